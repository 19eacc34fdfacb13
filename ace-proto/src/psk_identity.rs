//! What the identity of a pre-shared key says (RFC 9202 §3.3.2, RFC 9431 §2.2.3.2): the name of the key of a token that was uploaded before,
//! or a whole token.

use crate::{Confirmation, base64url, cbor, json_object::Members};

/// The number of `cnf` (RFC 9201 §5).
const CNF: i64 = 8;

/// An identity, read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PskIdentity<'a> {
    /// The name of a symmetric key, bytes: from a `cnf` as CBOR, as base64url of that, or as JSON.
    KeyIdentifier(Vec<u8>),
    /// Anything else may be a token.
    Token(&'a [u8]),
}

impl<'a> PskIdentity<'a> {
    /// Takes it apart. What stands in JSON is compared by its meaning, since RFC 9431 gives no bytes for it; `cnf` may be its member, as in
    /// CBOR, or all of it.
    pub fn parse(identity: &'a [u8]) -> Self {
        let kid = match identity.first() {
            // A CWT begins with a tag and a JWT with `e`; of a map of one member the base64url begins with `o`.
            Some(0xa1) => kid_in_cbor(identity),
            Some(b'o') => str::from_utf8(identity)
                .ok()
                .and_then(base64url::decode)
                .and_then(|bytes| kid_in_cbor(&bytes)),
            Some(b'{') => kid_in_json(identity),
            Some(_) | None => None,
        };
        kid.map_or(Self::Token(identity), Self::KeyIdentifier)
    }

    /// The identity that names this key, as RFC 9202 §3.3.2 has it: CBOR.
    pub fn of_key(kid: &[u8]) -> Vec<u8> {
        use cbor::Value;
        let key = Value::map(vec![(1, Value::Unsigned(4)), (2, Value::Bytes(kid))]);
        Value::map(vec![(CNF, Value::map(vec![(1, key)]))]).encode()
    }
}

fn kid_in_cbor(identity: &[u8]) -> Option<Vec<u8>> {
    let members = cbor::decode_map(identity).ok()?;
    let cnf = Confirmation::from_cbor_value(members.get(CNF)?).ok()?;
    cnf.key_identifier()
}

fn kid_in_json(identity: &[u8]) -> Option<Vec<u8>> {
    let member: Option<Confirmation> = Members::parse(identity).ok()?.take("cnf").ok()?;
    let cnf = match member {
        Some(cnf) => cnf,
        None => serde_json::from_slice(identity).ok()?,
    };
    cnf.key_identifier()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KID: &[u8] = b"\x3d\x02\x78\x33\xfc\x62\x67\xce";

    fn named(identity: &[u8]) -> Option<Vec<u8>> {
        match PskIdentity::parse(identity) {
            PskIdentity::KeyIdentifier(kid) => Some(kid),
            PskIdentity::Token(token) => {
                assert_eq!(token, identity);
                None
            }
        }
    }

    // RFC 9202 §3.3.2, Figure 8.
    #[test]
    fn the_identity_of_the_standard_names_its_key() {
        let identity = b"\xa1\x08\xa1\x01\xa2\x01\x04\x02\x48\x3d\x02\x78\x33\xfc\x62\x67\xce";
        assert_eq!(named(identity).as_deref(), Some(KID));
        assert_eq!(PskIdentity::of_key(KID), identity);
        assert_eq!(
            named(base64url::encode(identity).as_bytes()).as_deref(),
            Some(KID)
        );
    }

    #[test]
    fn an_identity_in_json_names_its_key_however_it_is_written() {
        let kid = base64url::encode(KID);
        for json in [
            format!(r#"{{"cnf":{{"jwk":{{"kty":"oct","kid":"{kid}"}}}}}}"#),
            format!(r#"{{ "jwk": {{"kid":"{kid}", "kty":"oct"}} }}"#),
            format!(r#"{{"cnf":{{"kid":"{kid}"}}}}"#),
        ] {
            assert_eq!(named(json.as_bytes()).as_deref(), Some(KID), "{json}");
        }
    }

    #[test]
    fn what_names_no_symmetric_key_may_be_a_token() {
        for other in [
            &b""[..],
            b"eyJ.e30.AA",
            b"\xd2\x84",
            b"\xa1\x08\xa1",
            b"{",
            b"opaque",
            br#"{"cnf":{"jwk":{"kty":"oct","k":"AAAA"}}}"#,
            // A name that stands twice has no meaning.
            br#"{"cnf":{"kid":"AAAA"},"cnf":{"kid":"AAAB"}}"#,
            br#"{"cnf":{"jwk":{"kty":"oct","kid":"AAAA","kid":"AAAB"}}}"#,
            br#"{"jwk":{"kty":"oct","kid":"AAAA","kid":"AAAB"}}"#,
        ] {
            assert_eq!(named(other), None);
        }
    }
}
