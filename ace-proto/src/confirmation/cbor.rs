//! `cnf` as CBOR (RFC 8747 §3, RFC 9201 §3).

use zeroize::Zeroizing;

use super::{Confirmation, MalformedConfirmation};
use crate::{
    Jwk, base64url,
    cbor::{self, Value},
};

const COSE_KEY: i64 = 1;
const ENCRYPTED_COSE_KEY: i64 = 2;
const KID: i64 = 3;

impl Confirmation {
    /// From the encoded value of `cnf` or `req_cnf`.
    pub fn from_cbor(bytes: &[u8]) -> Result<Self, MalformedConfirmation> {
        let value = cbor::decode(bytes).map_err(|_| MalformedConfirmation)?;
        Self::from_cbor_value(&value)
    }

    /// As the encoded value of `cnf` or `req_cnf`. A JWE has no form in CBOR, nor has a key of a type that [`Jwk::to_cose_key`] refuses.
    pub fn to_cbor(&self) -> Result<Zeroizing<Vec<u8>>, MalformedConfirmation> {
        let one = |label, value| Value::map(vec![(label, value)]).encode_secret();
        match self {
            Self::Key(jwk) => {
                let key = jwk.to_cose_key().map_err(|_| MalformedConfirmation)?;
                Ok(one(COSE_KEY, Value::Encoded(&key)))
            }
            Self::Encrypted(encrypted) => {
                let message = base64url::decode(encrypted).ok_or(MalformedConfirmation)?;
                cbor::decode(&message).map_err(|_| MalformedConfirmation)?;
                Ok(one(ENCRYPTED_COSE_KEY, Value::Encoded(&message)))
            }
            Self::KeyIdentifier(kid) => Ok(one(KID, Value::Bytes(kid))),
        }
    }

    /// Exactly one of the three; unknown members are ignored (RFC 8747 §3.1).
    pub(crate) fn from_cbor_value(value: &Value<'_>) -> Result<Self, MalformedConfirmation> {
        let members = value.as_map().ok_or(MalformedConfirmation)?;
        let (key, encrypted) = (members.get(COSE_KEY), members.get(ENCRYPTED_COSE_KEY));
        match (key, encrypted, members.get(KID)) {
            (Some(key), None, None) => {
                let members = key.as_map().ok_or(MalformedConfirmation)?;
                let jwk = Jwk::from_cose_members(members).map_err(|_| MalformedConfirmation)?;
                Ok(Self::Key(Box::new(jwk)))
            }
            (None, Some(message), None) => {
                Ok(Self::Encrypted(base64url::encode(&message.encode())))
            }
            (None, None, Some(kid)) => {
                let kid = kid.as_bytes().ok_or(MalformedConfirmation)?;
                Ok(Self::KeyIdentifier(kid.to_vec()))
            }
            _ => Err(MalformedConfirmation),
        }
    }
}
