use proptest::prelude::*;
use symbolon_ace_proto::{
    ChallengeResponse, ClientNonce, ConnectData, RsNonce,
    authentication_data::{Malformed, challenge_message, token_of_user_name, user_name},
};

use crate::vectors::hex;

const TOKEN: &[u8] = b"abc.def.ghi";
const TOKEN_ONLY: &str = "000b6162632e6465662e676869";
const EXPORTER_MAC: &str = "0c95bd8bdd96004ec3f84f7bcc9526ee33491925dae778d32b6b81a42c38fe93";
const CHALLENGE_MAC: &str = "07215b998b9a990c5cc6a160e9180b487dc80d13a7e464ed0d1298cfbf652467";

// RFC 9431 §2.2.4.2.2
#[test]
fn a_token_alone_asks_for_a_challenge() {
    let bytes = hex(TOKEN_ONLY);
    let data = ConnectData::parse(Some(&bytes)).unwrap();
    assert_eq!(data, ConnectData::Token(TOKEN));
    assert_eq!(data.encode().unwrap(), bytes);
}

// RFC 9431 §2.2.4.2.1
#[test]
fn a_proof_runs_from_the_token_to_the_end_without_a_length() {
    let (bytes, proof) = (hex(&[TOKEN_ONLY, EXPORTER_MAC].concat()), hex(EXPORTER_MAC));
    let data = ConnectData::parse(Some(&bytes)).unwrap();
    let expected = ConnectData::TokenAndProof {
        token: TOKEN,
        proof: &proof,
    };
    assert_eq!(data, expected);
    assert_eq!(data.encode().unwrap(), bytes);
}

#[test]
fn no_property_and_no_bytes_and_a_token_length_of_zero_are_no_token() {
    for data in [None, Some(&[][..]), Some(&[0, 0][..])] {
        assert_eq!(ConnectData::parse(data), Ok(ConnectData::NoToken));
    }
    assert_eq!(ConnectData::NoToken.encode(), Ok(vec![]));
}

#[test]
fn a_token_shorter_than_its_length_is_malformed() {
    for data in [&[0][..], &[0, 1], &[0, 2, b'a'], &[0xff, 0xff, b'a']] {
        assert_eq!(ConnectData::parse(Some(data)), Err(Malformed), "{data:?}");
    }
}

#[test]
fn a_proof_without_a_token_is_malformed() {
    assert_eq!(ConnectData::parse(Some(&[0, 0, 1])), Err(Malformed));
    let data = ConnectData::TokenAndProof {
        token: &[],
        proof: &[1],
    };
    assert_eq!(data.encode(), Err(Malformed));
}

#[test]
fn what_would_be_read_as_something_else_is_not_encoded() {
    let no_proof = ConnectData::TokenAndProof {
        token: TOKEN,
        proof: &[],
    };
    assert_eq!(no_proof.encode(), Err(Malformed));
    assert_eq!(ConnectData::Token(&[]).encode(), Err(Malformed));
}

// MQTT 5.0 §1.5.6: Binary Data has at most 65,535 bytes.
#[test]
fn what_does_not_fit_into_the_property_is_not_encoded() {
    let token = vec![b'a'; 65_533];
    let fits = ConnectData::Token(&token).encode().unwrap();
    assert_eq!(fits.len(), 65_535);
    let with_proof = ConnectData::TokenAndProof {
        token: &token,
        proof: &[1],
    };
    assert_eq!(with_proof.encode(), Err(Malformed));
    let too_long = vec![b'a'; 65_534];
    assert_eq!(ConnectData::Token(&too_long).encode(), Err(Malformed));
}

// RFC 9431 §2.2.4.2.2
#[test]
fn the_answer_to_a_challenge_is_the_client_nonce_and_the_proof() {
    let (bytes, proof) = (
        hex(&["1112131415161718", CHALLENGE_MAC].concat()),
        hex(CHALLENGE_MAC),
    );
    let response = ChallengeResponse::parse(&bytes).unwrap();
    let nonce = ClientNonce([0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18]);
    assert_eq!(response.client_nonce, nonce);
    assert_eq!(response.proof, proof);
    assert_eq!(response.encode(), bytes);
}

#[test]
fn an_answer_without_a_proof_is_malformed() {
    for length in 0..=8 {
        assert_eq!(ChallengeResponse::parse(&vec![7; length]), Err(Malformed));
    }
    assert!(ChallengeResponse::parse(&[7; 9]).is_ok());
}

// RFC 9431 §2.2.4.2.2
#[test]
fn a_challenge_proof_is_over_the_rs_nonce_and_then_the_client_nonce() {
    let message = challenge_message(RsNonce([1; 8]), ClientNonce([2; 8]));
    assert_eq!(message[..8], [1; 8]);
    assert_eq!(message[8..], [2; 8]);
}

// RFC 9431 §6.
#[test]
fn the_user_name_of_3_1_1_carries_the_token() {
    let name = "aceYWJjLmRlZi5naGk";
    assert_eq!(user_name(b"abc.def.ghi"), name);
    assert_eq!(token_of_user_name(name), Some(Ok(b"abc.def.ghi".to_vec())));
    assert_eq!(token_of_user_name("alice"), None);
    for malformed in ["ace", "ace=", "aceYWJj=", "ace YWJj", "aceYWJj\n"] {
        assert_eq!(
            token_of_user_name(malformed),
            Some(Err(Malformed)),
            "{malformed:?}"
        );
    }
}

proptest! {
    #[test]
    fn what_is_encoded_is_parsed_back(
        token in prop::collection::vec(any::<u8>(), 1..600),
        proof in prop::collection::vec(any::<u8>(), 0..70),
    ) {
        let data = if proof.is_empty() {
            ConnectData::Token(&token)
        } else {
            ConnectData::TokenAndProof { token: &token, proof: &proof }
        };
        let encoded = data.encode().unwrap();
        prop_assert_eq!(ConnectData::parse(Some(&encoded)), Ok(data));
    }

    #[test]
    fn what_is_parsed_is_encoded_back(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        if let Ok(data) = ConnectData::parse(Some(&bytes))
            && data != ConnectData::NoToken
        {
            prop_assert_eq!(data.encode().unwrap(), bytes.clone());
        }
        if let Ok(response) = ChallengeResponse::parse(&bytes) {
            prop_assert_eq!(response.encode(), bytes);
        }
    }
}
