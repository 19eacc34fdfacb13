//! Tokens by reference: the broker asks an authorization server over HTTPS, a small one made here (RFC 7662, RFC 9200 §5.9).

use crate::{
    authority::{of_servers, serve_https},
    management::{await_metric, config, start},
    peer::{Peer, V5, connect, identifier},
};
use hyper::StatusCode;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};
use symbolon_ace_proto::{
    ChallengeResponse, ClientNonce, Confirmation, ConnectData, IntrospectionResponse, KeySet,
    PopAlgorithm, PopSigner, RsNonce, Scope, UnixTime,
    authentication_data::challenge_message,
    hint::{AsHint, USER_PROPERTY},
    introspection::ActiveToken,
};
use symbolon_broker::{
    AuthorizationConfig, AuthorizationServerConfig, Config, IntrospectionConfig,
    IntrospectionCredential, TokensConfig,
};
use symbolon_mqtt_proto::{
    Auth, Connect, Delivery, Packet, PublishProperties, Qos, ReasonCode, TopicFilter, TopicName,
    UserProperties, Will, connect::ConnectProperties,
};

/// `broker:s3cret`.
const BASIC: &str = "Basic YnJva2VyOnMzY3JldA==";

/// What the authorization server says, and how often it was asked.
pub(crate) struct Server {
    pub(crate) pop: PopSigner,
    pub(crate) keys: String,
    pub(crate) open: AtomicBool,
    pub(crate) asked: AtomicUsize,
    /// No token is active any more.
    pub(crate) revoked: AtomicBool,
}

impl Server {
    fn answer(&self, path: &str, authorization: Option<&str>, body: &str) -> (StatusCode, String) {
        match path {
            "/jwks.json" => (StatusCode::OK, self.keys.clone()),
            "/introspect" if authorization != Some(BASIC) => {
                (StatusCode::UNAUTHORIZED, String::new())
            }
            "/introspect" => {
                self.asked.fetch_add(1, Ordering::SeqCst);
                if !self.open.load(Ordering::SeqCst) {
                    return (StatusCode::SERVICE_UNAVAILABLE, String::new());
                }
                let is_revoked = self.revoked.load(Ordering::SeqCst);
                let response = if body.starts_with("token=good") && !is_revoked {
                    IntrospectionResponse::Active(Box::new(self.active()))
                } else {
                    IntrospectionResponse::Inactive
                };
                (StatusCode::OK, response.to_json().to_string())
            }
            _ => (StatusCode::NOT_FOUND, String::new()),
        }
    }

    fn active(&self) -> ActiveToken {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        ActiveToken {
            client_id: Some("device".into()),
            expires_at: Some(UnixTime(now.as_secs() + 600)),
            scope: Some(Scope::from_json(r#"[["t",["pub","sub"]]]"#).unwrap()),
            confirmation: Some(Confirmation::Key(Box::new(
                self.pop.verifying_key().to_jwk(),
            ))),
            ..ActiveToken::default()
        }
    }
}

/// Serves HTTPS on a thread that ends with the test's process.
pub(crate) fn serve(server: Arc<Server>) -> AuthorizationConfig {
    let https = serve_https(move |path, header, body| server.answer(path, header, body));
    let port = https.port;
    let server = AuthorizationServerConfig {
        introspection: Some(IntrospectionConfig {
            endpoint: format!("https://localhost:{port}/introspect"),
            client_id: "broker".into(),
            credential: IntrospectionCredential::Secret("s3cret".into()),
            cache_secs: 600,
        }),
        ..https.server()
    };
    AuthorizationConfig {
        tokens: TokensConfig {
            authz_info: true,
            ..TokensConfig::default()
        },
        ..of_servers(vec![server])
    }
}

/// CONNECT with the token and, if challenged, the proof. What CONNACK says, and whether it told where to get a token.
pub(crate) fn come(
    address: SocketAddr,
    hello: &Connect<'_>,
    token: &[u8],
    pop: &PopSigner,
) -> (Peer, ReasonCode, bool) {
    let mut peer = Peer::open(address, V5);
    let data = ConnectData::Token(token).encode().unwrap();
    let packet = Connect {
        properties: ConnectProperties {
            authentication_method: Some("ace"),
            authentication_data: Some(&data),
            ..ConnectProperties::default()
        },
        ..hello.clone()
    };
    peer.send(&Packet::Connect(Box::new(packet)));
    let told = |packet: Option<&Packet<'_>>| match packet {
        Some(Packet::Auth(auth)) => Err(RsNonce(
            auth.authentication_data.unwrap().try_into().unwrap(),
        )),
        Some(Packet::ConnAck(connack)) => {
            let mut hints = connack.properties.user_properties.iter();
            let hint = hints.find(|(name, _)| *name == USER_PROPERTY);
            let hint = hint.map(|(_, value)| AsHint::from_json(value).unwrap());
            Ok((connack.reason_code, hint.is_some()))
        }
        other => panic!("{other:?}"),
    };
    let nonce = match peer.next(told) {
        Ok((reason_code, hint)) => return (peer, reason_code, hint),
        Err(nonce) => nonce,
    };
    let client_nonce = ClientNonce([3; 8]);
    let proof = pop.sign(&challenge_message(nonce, client_nonce)).unwrap();
    let response = ChallengeResponse {
        client_nonce,
        proof: &proof,
    };
    peer.send(&Packet::Auth(Auth {
        reason_code: ReasonCode::ContinueAuthentication,
        authentication_method: Some("ace"),
        authentication_data: Some(&response.encode()),
        reason_string: None,
        user_properties: UserProperties::default(),
    }));
    let (reason_code, hint) = peer.next(told).unwrap();
    (peer, reason_code, hint)
}

fn publish(peer: &mut Peer, topic: &str, payload: &[u8]) -> ReasonCode {
    peer.publish(topic, payload, Delivery::AtLeastOnce(identifier(1)));
    peer.next(|packet| match packet {
        Some(Packet::PubAck(ack)) => ack.reason_code,
        other => panic!("{other:?}"),
    })
}

// RFC 9431 §2.2.5.
#[test]
fn a_token_by_reference_counts_as_the_authorization_server_says() {
    let server = Arc::new(Server {
        pop: PopSigner::generate(PopAlgorithm::EdDsa).unwrap(),
        keys: KeySet::from_keys(Vec::new()).to_json(),
        open: AtomicBool::new(true),
        asked: AtomicUsize::new(0),
        revoked: AtomicBool::new(false),
    });
    let (running, management) = start(&config(Some(serve(Arc::clone(&server)))));
    let come = |name, token: &str| {
        let hello = connect(V5, name);
        come(running.address, &hello, token.as_bytes(), &server.pop)
    };
    let (mut first, reason_code, _) = come("one", "good-1");
    assert_eq!(reason_code, ReasonCode::Success);
    assert_eq!(
        publish(&mut first, "t", b""),
        ReasonCode::NoMatchingSubscribers
    );
    assert_eq!(publish(&mut first, "other", b""), ReasonCode::NotAuthorized);
    // What it said is remembered, for good and for ill.
    assert_eq!(come("two", "good-1").1, ReasonCode::Success);
    assert_eq!(server.asked.load(Ordering::SeqCst), 1);
    for _ in 0..2 {
        let (_, reason_code, hint) = come("three", "stolen");
        assert_eq!((reason_code, hint), (ReasonCode::NotAuthorized, true));
    }
    assert_eq!(server.asked.load(Ordering::SeqCst), 2);
    // While it is away, who is not known is sent to it, and who is in stays in.
    server.open.store(false, Ordering::SeqCst);
    let (_, reason_code, hint) = come("four", "good-2");
    assert_eq!((reason_code, hint), (ReasonCode::NotAuthorized, true));
    assert_eq!(
        publish(&mut first, "t", b""),
        ReasonCode::NoMatchingSubscribers
    );
    assert_eq!(come("two", "good-1").1, ReasonCode::Success);
    // RFC 9431 §2.2.2: "the claims cannot be obtained".
    assert_eq!(
        publish(&mut first, "authz-info", b"good-2"),
        ReasonCode::NotAuthorized
    );
    server.open.store(true, Ordering::SeqCst);
    assert_eq!(
        publish(&mut first, "authz-info", b"good-2"),
        ReasonCode::Success
    );
    assert_eq!(
        publish(&mut first, "authz-info", b"no token"),
        ReasonCode::PayloadFormatInvalid
    );
    await_metric(management, "introspections_total{outcome=\"success\"} 3");
    await_metric(management, "introspections_total{outcome=\"failure\"} 2");
    // That of the clients that came in by it, and the published one: the same key.
    await_metric(management, "stored_tokens 1");
}

// RFC 9431 §2.4.2 asks for a timeout of what was said; that a Will goes with a token that was revoked, and not with one that has expired (§5),
// is our choice.
#[test]
fn a_token_that_is_revoked_ends_the_session_without_its_will() {
    let server = Arc::new(Server {
        pop: PopSigner::generate(PopAlgorithm::EdDsa).unwrap(),
        keys: KeySet::from_keys(Vec::new()).to_json(),
        open: AtomicBool::new(true),
        asked: AtomicUsize::new(0),
        revoked: AtomicBool::new(false),
    });
    let mut authorization = serve(Arc::clone(&server));
    let introspection = &mut authorization.servers[0].introspection;
    introspection.as_mut().unwrap().cache_secs = 1;
    let listening = Config {
        public_topics: vec![TopicFilter::parse("#").unwrap()],
        ..config(Some(authorization))
    };
    let (running, _) = start(&listening);
    let mut reader = running.connect(V5, "reader");
    reader.subscribe(&[("t", Qos::AtMostOnce)]);
    let hello = Connect {
        will: Some(Will {
            topic: TopicName::parse("t").unwrap(),
            payload: b"gone",
            qos: Qos::AtMostOnce,
            retain: false,
            delay_interval_secs: 0,
            properties: PublishProperties::default(),
        }),
        ..connect(V5, "device")
    };
    let (mut device, reason_code, _) = come(running.address, &hello, b"good-1", &server.pop);
    assert_eq!(reason_code, ReasonCode::Success);
    device.publish_with("t", b"kept", Delivery::AtMostOnce, true);
    assert_eq!(reader.message().1, b"kept");
    // While nobody answers, nobody is cut.
    server.open.store(false, Ordering::SeqCst);
    std::thread::sleep(std::time::Duration::from_millis(2_500));
    device.ping();
    server.revoked.store(true, Ordering::SeqCst);
    server.open.store(true, Ordering::SeqCst);
    assert_eq!(device.end(), Some(ReasonCode::NotAuthorized));
    reader.expect_nothing();
    let mut late = running.connect(V5, "late");
    late.subscribe(&[("t", Qos::AtMostOnce)]);
    late.expect_nothing();
}
