use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use symbolon_ace_proto::{
    PopError, SymmetricKey,
    jwe::{ContentKey, ContentKeys},
};

use crate::vectors::{SYMMETRIC, base64url, from_base64url, jwk};

// Made with Python's joserfc 1.8 and jwcrypto 1.6 under the key 60..7f with kid rs1; inside is the symmetric key 00..1f unless a name says
// otherwise.
const JOSERFC: &str = "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIiwia2lkIjoicnMxIn0..O47dQ8PmTBcoAb32.d9thEf5R0tN914lrFrqpKVp25dN0ipXX_mEuxSmxxcbEjnWp6MWexnTfa5otXsW29Y9Xk9OBc0XtwGwHsbdcHb5LVavD-9tGXtdeMvU.HUbN9uaV8BSKQ9p0crCpzw";
const JWCRYPTO: &str = "eyJraWQiOiAicnMxIiwgImVuYyI6ICJBMjU2R0NNIiwgImN0eSI6ICJqd2sranNvbiIsICJhbGciOiAiZGlyIn0..aQdp1Ijt9CTfN7x3.43JqR9xeQCjlWN-mI4ZLwv7wEPdZ9G5v0ke-BwI19226GWrRkhyrjfTwoL2iowccELfC6zZp7uyQUgr8XbZr_I7AkwiDCwbZQkSv6l0.1ArI_dHGXVPl6eM7iOFoXw";
const ZIP: &str = "eyJhbGciOiAiZGlyIiwgImVuYyI6ICJBMjU2R0NNIiwgImtpZCI6ICJyczEiLCAiemlwIjogIkRFRiJ9..0yBL4wogvUnMrCsD.9L9rjBytr2UmIOyE8WP9wu21m3VKO6gDUn7JzShlmq4jJQQrafQAamkUtKAtMcyO6LFSpEQJnqNcfxFD2IZs5i5PNe-XH2QFcPRq.aEwp8n6qAfCQZUSoVVNG_Q";
const NO_KID: &str = "eyJhbGciOiAiZGlyIiwgImVuYyI6ICJBMjU2R0NNIn0..bDPq17AreENwJFP7.tgd5EdO7-R6RZy4C2PIV28eGY_kgSZIYODc5_mR67_XpdfmFIHhsq8GmQETQSQSc8a1idpvHdzsrpLjbCRMVZj5pUIRvT5YOCrMAMjg.EQPvcbDJuP9bXrzR5WtzJQ";
const OTHER_KID: &str = "eyJhbGciOiAiZGlyIiwgImVuYyI6ICJBMjU2R0NNIiwgImtpZCI6ICJyczIifQ..Nu2eHjTcVxt08j53.5lWtsHzAN0h_4mj-0dCiM-xDwgkWAfqifFoEFEGanbKNlxcN9lT6vXaZrlsX4KYfG-Qx1vhNss3epgT1JXjrpVtInZt0YVCKvPOOs-Y.aqfX2dymOxNUsSPC-4Wtaw";
const AES_CBC: &str = "eyJhbGciOiAiZGlyIiwgImVuYyI6ICJBMTI4Q0JDLUhTMjU2IiwgImtpZCI6ICJyczEifQ..0jIbES2y0YyiE5m6daVeJA.zcLqJ32cmQWNtZjNzdmT2W7pxKDxPWx-b-V-9iv2jDtwXoGL7Vt5gw7yf74mYTIfD8ntFKaWSUIrGDYjz_whOTEYFxhaIGdCleC0SKo_dm8.zoYXJX9GMa2lqeLYqynoVw";
const KEY_WRAP: &str = "eyJhbGciOiAiQTI1NktXIiwgImVuYyI6ICJBMjU2R0NNIiwgImtpZCI6ICJyczEifQ.y7dry2aX5lb3RIGKkHL7STU6Q-uKKIDaIJllA63xn8gyj7pgCdSYbA.XyLO7VSGYYc_dUET.FeqBV1o2LgRPsglJw6_ZW38r30MQKoIahVAwFadXhwDJFoAVrFAkLgdXK0uGAyVs7VCDpwuD84fHmvcHjEuHwPzYaveo3_ZwS81Vnns.DGSEiuxqVp3nl4wEa5US6A";
const OTHER_KEY: &str = "eyJhbGciOiAiZGlyIiwgImVuYyI6ICJBMjU2R0NNIiwgImtpZCI6ICJyczEifQ..agS8T0HWpCUkl5Uq.7VHJo6Z-ljyB1Zlbx2smQka6stwM6aK-MK3wCfz7hVJgY_NN-HmiteE8uult9FakQQuzU5hRhocKrUycgY1Ah-U83ommschaWyRzLYQ.cXXjAPVw4Q5TtUSxabrEfQ";
const NOT_JSON_INSIDE: &str = "eyJhbGciOiAiZGlyIiwgImVuYyI6ICJBMjU2R0NNIiwgImtpZCI6ICJyczEifQ..S4uaLWTwSCHhz-sa.gOrirg.Riz8cLwV4Bk_fAMGJInU1A";
fn keys() -> ContentKeys {
    let bytes: Vec<u8> = (0x60..0x80).collect();
    ContentKeys(vec![ContentKey {
        kid: "rs1".to_owned(),
        key: SymmetricKey::from_bytes(&bytes),
    }])
}

fn expect_refused(jwe: &str) {
    let refused = keys().decrypt(jwe).map(|_| ());
    assert_eq!(refused, Err(PopError::Undecryptable), "{jwe}");
}

#[test]
fn what_other_implementations_encrypt_is_decrypted() {
    for jwe in [JOSERFC, JWCRYPTO] {
        let key = keys().decrypt(jwe).unwrap();
        assert!(key.is_symmetric());
        assert!(
            key.to_json()
                .contains("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8")
        );
    }
}

#[test]
fn what_is_encrypted_is_decrypted_and_never_the_same_twice() {
    let content_key = ContentKey::generate().unwrap();
    let secret = jwk(SYMMETRIC).with_kid("k1");
    let [one, other] = [0, 1].map(|_| content_key.encrypt(&secret).unwrap());
    assert_ne!(one, other);
    let keys = ContentKeys(vec![content_key]);
    for jwe in [one, other] {
        assert_eq!(*keys.decrypt(&jwe).unwrap().to_json(), *secret.to_json());
    }
}

// RFC 7518 §4.5 and §5.3, RFC 7517 §7
#[test]
fn the_header_says_what_it_must_and_the_encrypted_key_is_empty() {
    let content_key = ContentKey::generate().unwrap();
    let jwe = content_key.encrypt(&jwk(SYMMETRIC)).unwrap();
    let parts: Vec<&str> = jwe.split('.').collect();
    let header: serde_json::Value = serde_json::from_slice(&from_base64url(parts[0])).unwrap();
    let expected = serde_json::json!({
        "alg": "dir", "enc": "A256GCM", "cty": "jwk+json", "kid": content_key.kid,
    });
    assert_eq!(header, expected);
    assert_eq!(parts.len(), 5);
    assert_eq!(parts[1], "");
    assert_eq!(from_base64url(parts[2]).len(), 12);
    assert_eq!(from_base64url(parts[4]).len(), 16);
}

#[test]
fn generated_keys_differ() {
    let [one, other] = [0, 1].map(|_| ContentKey::generate().unwrap());
    assert_ne!(one.kid, other.kid);
    assert_ne!(one.key, other.key);
    assert_eq!(one.key.as_bytes().len(), 32);
}

// RFC 8725 §3.6: no compression.
#[test]
fn compression_is_refused() {
    expect_refused(ZIP);
}

#[test]
fn another_algorithm_is_refused() {
    expect_refused(AES_CBC);
    expect_refused(KEY_WRAP);
}

#[test]
fn a_key_that_is_not_named_or_not_known_or_not_the_same_is_refused() {
    expect_refused(NO_KID);
    expect_refused(OTHER_KID);
    expect_refused(OTHER_KEY);
}

#[test]
fn what_is_no_jwk_inside_is_refused() {
    expect_refused(NOT_JSON_INSIDE);
}

/// A JWE that only the header, the encrypted key or its length can speak against: the encryption is right.
fn sealed(header: &str, encrypted_key: &str, content: &str) -> String {
    let header = base64url(header);
    let key = UnboundKey::new(&AES_256_GCM, keys().0[0].key.as_bytes()).unwrap();
    let mut content = content.as_bytes().to_vec();
    let tag = LessSafeKey::new(key)
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key([7; 12]),
            Aad::from(header.as_bytes()),
            &mut content,
        )
        .unwrap();
    let (iv, content, tag) = (base64url([7; 12]), base64url(content), base64url(tag));
    format!("{header}.{encrypted_key}.{iv}.{content}.{tag}")
}

// RFC 7516 §5.2
#[test]
fn a_header_that_is_not_as_it_must_be_is_refused() {
    let good = r#"{"alg":"dir","enc":"A256GCM","kid":"rs1"}"#;
    assert!(keys().decrypt(&sealed(good, "", SYMMETRIC)).is_ok());
    for header in [
        r#"{"alg":"A256KW","enc":"A256GCM","kid":"rs1"}"#,
        r#"{"alg":"none","enc":"A256GCM","kid":"rs1"}"#,
        r#"{"alg":"dir","enc":"A128GCM","kid":"rs1"}"#,
        r#"{"enc":"A256GCM","kid":"rs1"}"#,
        r#"{"alg":"dir","kid":"rs1"}"#,
        r#"{"alg":"dir","enc":"A256GCM"}"#,
        r#"{"alg":"dir","enc":"A256GCM","kid":["rs1"]}"#,
        r#"{"alg":"dir","enc":"A256GCM","kid":"rs1","kid":"rs1"}"#,
        r#"{"alg":"dir","enc":"A256GCM","kid":"rs1","zip":"DEF"}"#,
        r#"{"alg":"dir","enc":"A256GCM","kid":"rs1","zip":null}"#,
        // RFC 7516 §4.1.13
        r#"{"alg":"dir","enc":"A256GCM","kid":"rs1","crit":["x"],"x":1}"#,
        r#"{"alg":"dir","enc":"A256GCM","kid":"rs1","crit":[]}"#,
        r#"["dir","A256GCM","rs1"]"#,
        "",
    ] {
        expect_refused(&sealed(header, "", SYMMETRIC));
    }
    // RFC 7518 §4.5: with `dir` the encrypted key is empty.
    expect_refused(&sealed(good, "AA", SYMMETRIC));
}

#[test]
fn what_is_too_long_is_refused() {
    let header = r#"{"alg":"dir","enc":"A256GCM","kid":"rs1"}"#;
    let padded = |length: usize| {
        let content = SYMMETRIC.replace('{', &format!(r#"{{"pad":"{}","#, "x".repeat(length)));
        sealed(header, "", &content)
    };
    let base = padded(0).len();
    let fits = padded((8192 - base) * 3 / 4 - 3);
    assert!(keys().decrypt(&fits).is_ok());
    expect_refused(&padded((8192 - base) * 3 / 4 + 6));
}

#[test]
fn any_change_is_refused() {
    for at in 0..JOSERFC.len() {
        let mut changed = JOSERFC.as_bytes().to_vec();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        expect_refused(&String::from_utf8(changed).unwrap());
        expect_refused(&JOSERFC[..at]);
    }
    expect_refused(&format!("{JOSERFC}."));
    expect_refused(&format!("{JOSERFC}A"));
}

#[test]
fn another_length_of_key_is_refused() {
    for length in [0, 16, 31, 33] {
        let content_key = ContentKey {
            kid: "rs1".to_owned(),
            key: SymmetricKey::from_bytes(&vec![0; length]),
        };
        let refused = content_key.encrypt(&jwk(SYMMETRIC));
        assert_eq!(refused, Err(PopError::UnsupportedKey));
        let refused = ContentKeys(vec![content_key]).decrypt(JOSERFC).map(|_| ());
        assert_eq!(refused, Err(PopError::Undecryptable));
    }
}
