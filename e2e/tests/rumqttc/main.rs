//! rumqttc, the Rust client most in use. It has no TLS without another cryptographic library than ours and gives out no exporter value, so it
//! speaks over a Unix socket to a sidecar that holds the TLS connection, as a device could that cannot do otherwise.

#[cfg(test)]
mod peer;

use peer::{Connect, Message, Peer, VERSIONS, Version, message, open, open_with, sidecar, within};
use std::fs;
use symbolon_ace_proto::ConnectData;
use symbolon_client::{Profile, token};
use symbolon_e2e::System;

const PUBLIC: &[(&str, &str)] = &[("SYMBOLON_BROKER_PUBLIC_TOPICS", r#"["public/#"]"#)];

async fn at_every_qos(reader: &mut Peer, writer: Option<&Peer>, topic: &str) {
    for qos in 0..=2 {
        let sent = message(&format!("{topic}/{qos}"), "warm", qos);
        reader.subscribe(&sent.topic, qos).await;
        writer.unwrap_or(reader).publish(&sent).await;
        assert_eq!(reader.message().await, sent);
    }
}

#[test]
fn rumqttc_publishes_and_subscribes_at_every_qos() {
    let system = System::start_with(PUBLIC);
    within(async {
        for version in VERSIONS {
            let mut reader = open(&system, version, &format!("reader{version:?}")).await;
            let writer = open(&system, version, &format!("writer{version:?}")).await;
            at_every_qos(&mut reader, Some(&writer), "public/room").await;
        }
    });
}

#[test]
fn rumqttc_gets_a_retained_message() {
    let system = System::start_with(PUBLIC);
    within(async {
        for version in VERSIONS {
            let mut peer = open(&system, version, &format!("peer{version:?}")).await;
            let topic = format!("public/{version:?}");
            let kept = Message {
                retain: true,
                ..message(&topic, "kept", 1)
            };
            peer.publish(&kept).await;
            peer.subscribe(&topic, 1).await;
            assert_eq!(peer.message().await, kept);
        }
    });
}

#[test]
fn the_will_of_rumqttc_is_published_when_its_connection_breaks() {
    let system = System::start_with(PUBLIC);
    within(async {
        for version in VERSIONS {
            for qos in 0..=2 {
                let name = |who| format!("{who}{version:?}{qos}");
                let mut reader = open(&system, version, &name("reader")).await;
                reader.subscribe("public/will", 2).await;
                let will = Connect {
                    will: Some(("public/will", qos)),
                    ..Connect::default()
                };
                let lost = open_with(&system, version, &name("lost"), will).await;
                lost.cut().await;
                assert_eq!(reader.message().await, message("public/will", "gone", qos));
            }
        }
    });
}

// MQTT 5.0 §4.10.
#[test]
fn rumqttc_asks_and_is_answered() {
    let system = System::start_with(PUBLIC);
    within(async {
        let mut asker = open(&system, Version::V5, "asker").await;
        let mut answerer = open(&system, Version::V5, "answerer").await;
        answerer.subscribe("public/question", 1).await;
        asker.subscribe("public/answer", 1).await;
        let question = Message {
            response_topic: Some("public/answer".to_owned()),
            correlation_data: Some(vec![0, 255, 7]),
            ..message("public/question", "how warm?", 1)
        };
        asker.publish(&question).await;
        let arrived = answerer.message().await;
        assert_eq!(arrived, question);
        let answer = Message {
            correlation_data: arrived.correlation_data,
            ..message(&arrived.response_topic.unwrap(), "21", 1)
        };
        answerer.publish(&answer).await;
        assert_eq!(asker.message().await, answer);
    });
}

#[test]
fn rumqttc_proves_a_token_by_the_exporter() {
    let system = System::start();
    for (name, options) in [
        ("shared", "--auth secret --pop hs256"),
        ("own", "--auth key --pop ed25519"),
    ] {
        let options = format!("{options} --allow pub:rooms/# --allow sub:rooms/#");
        let profile = fs::read_to_string(system.device(name, &options)).unwrap();
        let profile = Profile::from_json(&profile).unwrap();
        within(async {
            let token = token::obtain(&profile, None).await.unwrap();
            let (path, exporter) = sidecar(&system, name).await;
            let proof = token.signer.sign(&exporter.0).unwrap();
            let token = token.text.as_bytes();
            let proved = ConnectData::TokenAndProof {
                token,
                proof: &proof,
            };
            let connect = Connect {
                authentication_data: Some(proved.encode().unwrap()),
                ..Connect::default()
            };
            let mut peer = Peer::start(&path, Version::V5, name, connect).await;
            at_every_qos(&mut peer, None, "rooms").await;
        });
    }
}
