//! The `COSE_Key` (RFC 9052 §7, RFC 9053 §7) of a [`Jwk`] and back.

use aws_lc_rs::digest;
use zeroize::Zeroizing;

use super::{Jwk, PopAlgorithm, PopKey};
use crate::{
    base64url,
    cbor::{self, Members, Value},
    cose::{self, Algorithm},
    identifier,
};

const KTY: i64 = 1;
const KID: i64 = 2;
const ALG: i64 = 3;
const KEY_OPS: i64 = 4;
const CRV: i64 = -1;
const X: i64 = -2;
const Y: i64 = -3;
const D: i64 = -4;
/// Of a symmetric key.
const K: i64 = -1;

const OKP: u64 = 1;
const EC2: u64 = 2;
const SYMMETRIC: u64 = 4;

const P256: u64 = 1;
const ED25519: u64 = 6;

/// `key_ops` and their names in a JWK (RFC 9052 Table 5, RFC 7517 §4.3). Those of a MAC have the names of those of a signature there.
const OPERATIONS: [(u64, &str); 10] = [
    (1, "sign"),
    (2, "verify"),
    (3, "encrypt"),
    (4, "decrypt"),
    (5, "wrapKey"),
    (6, "unwrapKey"),
    (7, "deriveKey"),
    (8, "deriveBits"),
    (9, "sign"),
    (10, "verify"),
];

/// Not a `COSE_Key`, or one of another type or curve than Ed25519, P-256 and symmetric, or with a compressed point.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a COSE_Key of a type that is supported")]
pub struct MalformedCoseKey;

impl Jwk {
    /// From a `COSE_Key`, public, private or symmetric. Unknown members are ignored. `kid` becomes base64url, except where a text of its
    /// bytes comes back to the same `kid`.
    pub fn from_cose_key(bytes: &[u8]) -> Result<Self, MalformedCoseKey> {
        let members = cbor::decode_map(bytes).map_err(|_| MalformedCoseKey)?;
        Self::from_cose_members(&members)
    }

    /// As a `COSE_Key`, deterministically encoded, wiped when dropped since it may hold a secret. `use` has no place there.
    pub fn to_cose_key(&self) -> Result<Zeroizing<Vec<u8>>, MalformedCoseKey> {
        self.encode_cose().ok_or(MalformedCoseKey)
    }

    pub(crate) fn from_cose_members(members: &Members<'_>) -> Result<Self, MalformedCoseKey> {
        Self::decode_cose(members).ok_or(MalformedCoseKey)
    }

    fn decode_cose(members: &Members<'_>) -> Option<Self> {
        let mut jwk = match members.get(KTY)?.as_unsigned()? {
            OKP if members.get(CRV)?.as_unsigned()? == ED25519 => {
                Self::ed25519(members.get(X)?.as_bytes()?)
            }
            EC2 if members.get(CRV)?.as_unsigned()? == P256 => {
                Self::p256(members.get(X)?.as_bytes()?, members.get(Y)?.as_bytes()?)
            }
            SYMMETRIC => {
                let mut jwk = match members.get(K) {
                    Some(k) => Self::symmetric(k.as_bytes()?),
                    // Only named, as in a PSK identity.
                    None => Self::default(),
                };
                "oct".clone_into(&mut jwk.kty);
                jwk.alg = None;
                jwk
            }
            _ => return None,
        };
        if !jwk.is_symmetric()
            && let Some(d) = members.get(D)
        {
            jwk = jwk.with_private(d.as_bytes()?);
        }
        if let Some(kid) = members.get(KID) {
            jwk.kid = Some(identifier::to_text(kid.as_bytes()?));
        }
        if let Some(algorithm) = members.get(ALG) {
            jwk.alg = Some(algorithm_name(algorithm.as_integer()).to_owned());
        }
        if let Some(operations) = members.get(KEY_OPS) {
            let names = operations.as_array()?.iter().map(operation_name);
            jwk.key_ops = Some(names.collect());
        }
        Some(jwk)
    }

    fn encode_cose(&self) -> Option<Zeroizing<Vec<u8>>> {
        let decode = |text: &Option<String>| base64url::decode(text.as_deref()?);
        let kid = self.kid.as_deref().map(identifier::to_bytes);
        let (x, y) = (decode(&self.x), decode(&self.y));
        let secret = match self.k().or(self.d()) {
            Some(text) => Some(base64url::decode_secret(text)?),
            None => None,
        };
        let mut members = Members::default();
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("OKP", Some("Ed25519")) => {
                members.push(KTY, Value::Unsigned(OKP));
                members.push(CRV, Value::Unsigned(ED25519));
                members.push(X, Value::Bytes(x.as_deref()?));
            }
            ("EC", Some("P-256")) => {
                members.push(KTY, Value::Unsigned(EC2));
                members.push(CRV, Value::Unsigned(P256));
                members.push(X, Value::Bytes(x.as_deref()?));
                members.push(Y, Value::Bytes(y.as_deref()?));
            }
            ("oct", None) if self.d().is_none() => members.push(KTY, Value::Unsigned(SYMMETRIC)),
            _ => return None,
        }
        if let Some(secret) = &secret {
            let label = if self.is_symmetric() { K } else { D };
            members.push(label, Value::Bytes(secret));
        }
        if let Some(kid) = &kid {
            members.push(KID, Value::Bytes(kid));
        }
        if let Some(name) = &self.alg {
            members.push(ALG, Value::integer(algorithm_number(name)?));
        }
        if let Some(names) = &self.key_ops {
            let operations = names
                .iter()
                .map(|name| operation_number(name, self.is_symmetric()));
            let operations: Option<Vec<_>> = operations.collect();
            members.push(KEY_OPS, Value::Array(operations?));
        }
        Some(Value::Map(members).encode_secret())
    }
}

impl PopKey {
    /// The `COSE_Key` Thumbprint with SHA-256 (RFC 9679 §3), which a `ckt` holds. What identifies a holder here is
    /// [`PopKey::thumbprint`], whatever form its key came in.
    pub fn cose_thumbprint(&self) -> [u8; 32] {
        let required = match self {
            Self::Hs256(key) => vec![
                (KTY, Value::Unsigned(SYMMETRIC)),
                (K, Value::Bytes(key.as_bytes())),
            ],
            Self::Ed25519(x) => vec![
                (KTY, Value::Unsigned(OKP)),
                (CRV, Value::Unsigned(ED25519)),
                (X, Value::Bytes(x)),
            ],
            Self::Es256(point) => vec![
                (KTY, Value::Unsigned(EC2)),
                (CRV, Value::Unsigned(P256)),
                (X, Value::Bytes(&point[1..33])),
                (Y, Value::Bytes(&point[33..])),
            ],
        };
        let encoded = Value::map(required).encode_secret();
        let mut thumbprint = [0; 32];
        thumbprint.copy_from_slice(digest::digest(&digest::SHA256, &encoded).as_ref());
        thumbprint
    }
}

/// The JWA name. One that we do not know has none of ours, so that the key fits no algorithm.
fn algorithm_name(number: Option<i64>) -> &'static str {
    match number.and_then(Algorithm::from_number) {
        Some(Algorithm::EdDsa) => PopAlgorithm::EdDsa.as_str(),
        Some(Algorithm::Es256) => PopAlgorithm::Es256.as_str(),
        Some(Algorithm::Hmac256) => PopAlgorithm::Hs256.as_str(),
        Some(Algorithm::A256Gcm) => "A256GCM",
        None => "unsupported",
    }
}

fn algorithm_number(name: &str) -> Option<i64> {
    match PopAlgorithm::from_name(name) {
        Some(PopAlgorithm::EdDsa) => Some(cose::EDDSA),
        Some(PopAlgorithm::Es256) => Some(cose::ES256),
        Some(PopAlgorithm::Hs256) => Some(cose::HMAC_256),
        None => None,
    }
}

fn operation_name(operation: &Value<'_>) -> String {
    let number = operation.as_unsigned();
    let known = OPERATIONS.iter().find(|(own, _)| Some(*own) == number);
    known.map_or("unsupported", |(_, name)| *name).to_owned()
}

fn operation_number(name: &str, symmetric: bool) -> Option<Value<'static>> {
    let mut fitting = OPERATIONS.iter().filter(|(_, own)| *own == name);
    let first = fitting.next()?;
    let mac = fitting.next().filter(|_| symmetric);
    Some(Value::Unsigned(mac.unwrap_or(first).0))
}
