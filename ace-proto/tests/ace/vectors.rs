//! Keys and values that several tests share.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use symbolon_ace_proto::{Jwk, PopSigner};

/// RFC 8037 Appendix A.1, which is test 1 of RFC 8032 §7.1.
pub(crate) const ED25519_PRIVATE: &str = r#"{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
/// RFC 8037 Appendix A.2.
pub(crate) const ED25519_PUBLIC: &str =
    r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
/// RFC 7515 Appendix A.3.
pub(crate) const P256_PRIVATE: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}"#;
/// The public part of it.
pub(crate) const P256_PUBLIC: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
/// The bytes 00 to 1f.
pub(crate) const SYMMETRIC: &str =
    r#"{"kty":"oct","k":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"}"#;

pub(crate) const ISSUER: &str = "https://as.example.com";
pub(crate) const AUDIENCE: &str = "mqtts://broker.example.com";
/// The example of RFC 9431 §2.3.
pub(crate) const SCOPE_JSON: &str =
    r#"[["topic1",["pub","sub"]],["topic2/#",["pub"]],["+/topic3",["sub"]]]"#;
pub(crate) const SCOPE: &str =
    "W1sidG9waWMxIixbInB1YiIsInN1YiJdXSxbInRvcGljMi8jIixbInB1YiJdXSxbIisvdG9waWMzIixbInN1YiJdXV0";

/// The same in CBOR.
pub(crate) const SCOPE_CBOR: &str = "838266746f706963318263707562637375628268746f706963322f23816370756282682b2f746f706963338163737562";

pub(crate) fn jwk(json: &str) -> Jwk {
    serde_json::from_str(json).unwrap()
}

pub(crate) fn signer(json: &str) -> PopSigner {
    PopSigner::from_jwk(&jwk(json)).unwrap()
}

pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect()
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    let digit = |byte: u8| char::from(b"0123456789abcdef"[usize::from(byte)]);
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(digit).collect()
}

pub(crate) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn from_base64url(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// A compact JWS of whatever header and payload.
pub(crate) fn jws(header: &str, payload: &str, signer: &PopSigner) -> String {
    let input = format!("{}.{}", base64url(header), base64url(payload));
    let signature = signer.sign(input.as_bytes()).unwrap();
    format!("{input}.{}", base64url(signature))
}
