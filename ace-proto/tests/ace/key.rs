use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair},
};
use symbolon_ace_proto::{
    ClientNonce, Jwk, PopAlgorithm, PopError, PopKey, PopSigner, RsNonce, SymmetricKey,
    authentication_data::challenge_message,
};

use crate::vectors::{
    ED25519_PRIVATE, ED25519_PUBLIC, P256_PRIVATE, P256_PUBLIC, SYMMETRIC, base64url,
    from_base64url, hex, jwk, signer,
};

const ALGORITHMS: [PopAlgorithm; 3] = [
    PopAlgorithm::Hs256,
    PopAlgorithm::EdDsa,
    PopAlgorithm::Es256,
];

fn challenge() -> [u8; 16] {
    challenge_message(
        RsNonce([1, 2, 3, 4, 5, 6, 7, 8]),
        ClientNonce([0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18]),
    )
}

fn exporter_value() -> Vec<u8> {
    (0xa0..=0xbf).collect()
}

fn expect_proof(key: &str, message: &[u8], proof: &str) {
    let signer = signer(key);
    assert_eq!(signer.sign(message).unwrap(), hex(proof));
    assert_eq!(signer.verifying_key().verify(message, &hex(proof)), Ok(()));
}

// RFC 9431 §2.2.5: HS256 is mandatory.
#[test]
fn a_proof_by_hs256_is_the_raw_mac() {
    let mac = "07215b998b9a990c5cc6a160e9180b487dc80d13a7e464ed0d1298cfbf652467";
    expect_proof(SYMMETRIC, &challenge(), mac);
    let mac = "0c95bd8bdd96004ec3f84f7bcc9526ee33491925dae778d32b6b81a42c38fe93";
    expect_proof(SYMMETRIC, &exporter_value(), mac);
}

// RFC 9431 §2.2.5: Ed25519 is mandatory.
#[test]
fn a_proof_by_ed25519_is_the_raw_signature() {
    let signature = "4ebfd6776f8815df4697203ec6a94d3c621532f75577025039a8ff0799df6b7c489578b681d079889d4a13c71fa6013b83d717a7212e957b9293d7cbac655a0e";
    expect_proof(ED25519_PRIVATE, &challenge(), signature);
    let signature = "7bed662aa8f7039efd3c73d9a29177f622f785e21a6556c3f55af3dc2f27e499fef369aa1a094f2e2ad34fe16911cb17ad94ce4167f41093f9ab9d54ddf6030b";
    expect_proof(ED25519_PRIVATE, &exporter_value(), signature);
}

// RFC 8037 Appendix A.4
#[test]
fn the_signature_of_rfc_8037_is_made_and_verified() {
    let input = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let signature =
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let made = signer(ED25519_PRIVATE).sign(input.as_bytes()).unwrap();
    assert_eq!(base64url(made), signature);
}

// RFC 7515 Appendix A.3
#[test]
fn the_signature_of_rfc_7515_is_verified() {
    let input = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let signature = from_base64url(
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    );
    let key = PopKey::from_jwk(&jwk(P256_PUBLIC)).unwrap();
    assert_eq!(key.verify(input.as_bytes(), &signature), Ok(()));
}

#[test]
fn a_key_that_was_made_proves_what_it_signs_and_nothing_else() {
    for algorithm in ALGORITHMS {
        let signer = PopSigner::generate(algorithm).unwrap();
        let key = signer.verifying_key();
        let proof = signer.sign(b"message").unwrap();
        assert_eq!(signer.algorithm(), algorithm);
        assert_eq!(key.algorithm(), algorithm);
        assert_eq!(key.verify(b"message", &proof), Ok(()));
        assert_eq!(key.verify(b"massage", &proof), Err(PopError::Mismatch));
        let other = PopSigner::generate(algorithm).unwrap().verifying_key();
        assert_eq!(other.verify(b"message", &proof), Err(PopError::Mismatch));
    }
}

// RFC 9431 §2.2.5: a proof that does not match is refused.
#[test]
fn a_proof_with_any_bit_changed_or_another_length_is_refused() {
    for algorithm in ALGORITHMS {
        let signer = PopSigner::generate(algorithm).unwrap();
        let key = signer.verifying_key();
        let proof = signer.sign(b"message").unwrap();
        for bit in 0..proof.len() * 8 {
            let mut changed = proof.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key.verify(b"message", &changed), Err(PopError::Mismatch));
        }
        let longer = [proof.as_slice(), &[0]].concat();
        for wrong in [&[][..], &proof[1..], &proof[..proof.len() - 1], &longer] {
            assert_eq!(key.verify(b"message", wrong), Err(PopError::Mismatch));
        }
    }
}

// RFC 7518 §3.4: R || S, never DER.
#[test]
fn an_es256_proof_in_der_is_refused() {
    let alg = &ECDSA_P256_SHA256_ASN1_SIGNING;
    let pair = EcdsaKeyPair::generate(alg).unwrap();
    let point = aws_lc_rs::signature::KeyPair::public_key(&pair);
    let key = PopKey::Es256(point.as_ref().try_into().unwrap());
    let der = pair.sign(&SystemRandom::new(), b"message").unwrap();
    assert_eq!(
        key.verify(b"message", der.as_ref()),
        Err(PopError::Mismatch)
    );
}

#[test]
fn a_key_comes_back_from_its_jwk() {
    for algorithm in ALGORITHMS {
        let signer = PopSigner::generate(algorithm).unwrap();
        let json = signer.to_jwk().to_json();
        let again = PopSigner::from_jwk(&Jwk::from_json(json.as_bytes()).unwrap()).unwrap();
        assert_eq!(again.verifying_key(), signer.verifying_key());
        let proof = again.sign(b"message").unwrap();
        assert_eq!(signer.verifying_key().verify(b"message", &proof), Ok(()));

        let key = signer.verifying_key();
        assert_eq!(PopKey::from_jwk(&key.to_jwk()), Ok(key));
    }
}

// RFC 7638 §3.1, RFC 8037 Appendix A.3
#[test]
fn the_thumbprint_is_that_of_rfc_7638() {
    let thumbprint = |json| base64url(PopKey::from_jwk(&jwk(json)).unwrap().thumbprint());
    assert_eq!(
        thumbprint(ED25519_PUBLIC),
        "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    );
    // Both made with Python's joserfc 1.8.
    assert_eq!(
        thumbprint(P256_PUBLIC),
        "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U"
    );
    assert_eq!(
        thumbprint(SYMMETRIC),
        "WqjPPRvAP8oYbAqCwMErhzTg-Quaz-vLx_cef07yhOs"
    );
}

// RFC 7638 §3: only the required members count.
#[test]
fn the_thumbprint_does_not_depend_on_labels() {
    let plain = jwk(ED25519_PUBLIC);
    let mut labelled = plain.clone().with_kid("a");
    labelled.alg = Some("EdDSA".to_owned());
    let [one, other] = [plain, labelled].map(|jwk| PopKey::from_jwk(&jwk).unwrap());
    assert_eq!(one.thumbprint(), other.thumbprint());
}

fn expect_refused(cases: &[&str]) {
    for case in cases {
        // What is not even a JWK is refused as well.
        let key = Jwk::from_json(case.as_bytes()).map(|jwk| PopKey::from_jwk(&jwk));
        assert!(
            !matches!(key, Ok(Ok(_))),
            "a key we cannot use is taken: {case}"
        );
    }
}

#[test]
fn a_type_or_curve_that_we_do_not_do_is_refused() {
    expect_refused(&[
        r#"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#,
        r#"{"kty":"OKP","crv":"X25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
        r#"{"kty":"OKP","crv":"Ed448","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
        r#"{"kty":"okp","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
        r#"{"kty":"OKP","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
        r#"{"kty":"OKP","crv":"P-256","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
        r#"{"kty":"EC","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
        r#"{"kty":"oct","crv":"P-256","k":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"}"#,
        r#"{"kty":""}"#,
        r"{}",
        r"[]",
        r#"["OKP","Ed25519","11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"]"#,
    ]);
}

// RFC 7518 §6.2.1.2, RFC 8037 §2
#[test]
fn a_coordinate_of_another_length_or_encoding_is_refused() {
    expect_refused(&[
        // 31 bytes, 33 bytes, none
        r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHUQ"}"#,
        r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURoA"}"#,
        r#"{"kty":"OKP","crv":"Ed25519","x":""}"#,
        r#"{"kty":"OKP","crv":"Ed25519"}"#,
        r#"{"kty":"OKP","crv":"Ed25519","x":null}"#,
        // padding, the other alphabet, white space, bits left over
        r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo="}"#,
        r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
        r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo "}"#,
        r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURp"}"#,
        r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"}"#,
        r#"{"kty":"EC","crv":"P-256","x":"zc4ncPbEXUGDy-5v20t7WAczNXvp7xO6z248e9FURQ","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#,
    ]);
}

#[test]
fn a_point_that_is_not_on_the_curve_is_refused() {
    expect_refused(&[
        r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a4"}"#,
        r#"{"kty":"EC","crv":"P-256","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","y":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#,
    ]);
}

// RFC 7518 §3.2
#[test]
fn a_symmetric_key_below_32_bytes_is_refused() {
    expect_refused(&[
        r#"{"kty":"oct","k":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg"}"#,
        r#"{"kty":"oct","k":""}"#,
        r#"{"kty":"oct"}"#,
    ]);
    let short = PopKey::Hs256(SymmetricKey::from_bytes(&[1; 31]));
    assert_eq!(short.verify(b"m", &[0; 32]), Err(PopError::UnsupportedKey));
}

// RFC 9201 §3.1 and RFC 7517 §4.2 to §4.4
#[test]
fn a_label_that_clashes_is_refused_and_one_that_fits_is_not() {
    let labelled = |labels: &str| format!("{},{labels}}}", ED25519_PUBLIC.trim_end_matches('}'));
    for labels in [
        r#""alg":"ES256""#,
        r#""alg":"HS256""#,
        r#""alg":"none""#,
        r#""alg":"eddsa""#,
        r#""use":"enc""#,
        r#""key_ops":["sign"]"#,
        r#""key_ops":[]"#,
    ] {
        expect_refused(&[&labelled(labels)]);
    }
    for labels in [
        r#""alg":"EdDSA""#,
        r#""alg":"Ed25519""#,
        r#""use":"sig""#,
        r#""key_ops":["verify","sign"]"#,
        r#""unknown":{"a":[null]},"x5u":"https://example.com""#,
    ] {
        assert!(
            PopKey::from_jwk(&jwk(&labelled(labels))).is_ok(),
            "{labels}"
        );
    }
}

#[test]
fn a_member_that_stands_twice_is_refused() {
    expect_refused(&[
        r#"{"kty":"oct","kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
    ]);
}

#[test]
fn a_private_key_does_not_pass_for_a_public_one() {
    for json in [ED25519_PRIVATE, P256_PRIVATE] {
        assert_eq!(PopKey::from_jwk(&jwk(json)), Err(PopError::UnsupportedKey));
    }
}

#[test]
fn a_private_key_that_does_not_fit_its_public_part_is_refused() {
    let other_d = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
    for (json, d) in [
        (
            ED25519_PRIVATE,
            "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
        ),
        (P256_PRIVATE, "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"),
    ] {
        for wrong in [other_d, &d[..42], "", "AA", "not base64url"] {
            let changed = jwk(&json.replace(d, wrong));
            let refused = PopSigner::from_jwk(&changed).map(|_| ());
            assert_eq!(refused, Err(PopError::UnsupportedKey), "{wrong}");
        }
    }
    for public in [ED25519_PUBLIC, P256_PUBLIC] {
        assert!(PopSigner::from_jwk(&jwk(public)).is_err());
    }
}

// RFC 7517 §4.3
#[test]
fn a_key_that_is_not_for_signing_does_not_sign() {
    for json in [ED25519_PRIVATE, P256_PRIVATE, SYMMETRIC] {
        for (labels, allowed) in [
            (r#""key_ops":["sign"]"#, true),
            (r#""use":"sig","alg":null"#, false),
            (r#""key_ops":["verify"]"#, false),
            (r#""use":"enc""#, false),
            (r#""alg":"RS256""#, false),
        ] {
            let labelled = format!("{},{labels}}}", json.trim_end_matches('}'));
            let signer = Jwk::from_json(labelled.as_bytes()).map(|jwk| PopSigner::from_jwk(&jwk));
            assert_eq!(matches!(signer, Ok(Ok(_))), allowed, "{labelled}");
        }
    }
    let both = SYMMETRIC.replace(
        '{',
        r#"{"d":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8","#,
    );
    assert!(PopSigner::from_jwk(&jwk(&both)).is_err());
    assert!(PopKey::from_jwk(&jwk(&both)).is_err());
}

#[test]
fn debug_shows_no_secret() {
    for json in [ED25519_PRIVATE, P256_PRIVATE, SYMMETRIC] {
        let key = jwk(json);
        let shown = format!(
            "{key:?} {:?} {:?}",
            signer(json),
            signer(json).verifying_key()
        );
        for secret in [
            "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
            "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI",
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
            "0, 1, 2, 3",
            "157, 97",
        ] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}
