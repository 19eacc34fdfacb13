//! Proof that a client holds the key of its `req_cnf`, by a DPoP header (RFC 9449 §4): RFC 9431 defines none of its own.

use serde::{Deserialize, Serialize};

use crate::{
    Jwk, PopAlgorithm, PopKey, PopSigner, UnixTime,
    claims::NumericDate,
    json_object::{BadMember, Members, Text, to_json},
    jws::{self, Compact, Malformed},
};

/// A verified DPoP proof.
#[derive(Clone, Debug)]
pub struct DpopProof {
    /// The key that signed it.
    pub key: PopKey,
    /// `jti`, kept against replay until `issued_at` + [`WINDOW_SECS`].
    pub identifier: String,
    /// `iat`.
    pub issued_at: UnixTime,
}

/// How far `iat` may be from now, seconds.
pub const WINDOW_SECS: u64 = 120;

/// Why a proof is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("DPoP proof refused: {0}")]
pub struct DpopError(pub &'static str);

/// The longest proof accepted, bytes.
pub const MAX_LENGTH: usize = 8192;
/// The longest `jti` accepted, bytes: it is kept.
pub const MAX_IDENTIFIER_LENGTH: usize = 256;
/// The value of `typ` (RFC 9449 §4.2).
const TYPE: &str = "dpop+jwt";

#[derive(Serialize)]
struct ProofClaims<'a> {
    jti: String,
    htm: &'a str,
    htu: &'a str,
    iat: u64,
}

/// Makes a proof for a request `method uri`; query and fragment of `uri` are left out (RFC 9449 §4.2). Its `jti` comes from the system's
/// random source.
pub fn make(
    method: &str,
    uri: &str,
    signer: &PopSigner,
    now: UnixTime,
) -> Result<String, DpopError> {
    if signer.algorithm() == PopAlgorithm::Hs256 {
        return Err(DpopError("the key is symmetric"));
    }
    let claims = ProofClaims {
        jti: jws::random_identifier().map_err(|_| DpopError("no random source"))?,
        htm: method,
        htu: without_query(uri),
        iat: now.0,
    };
    let header = serde_json::json!({
        "alg": signer.algorithm().as_str(),
        "typ": TYPE,
        "jwk": signer.verifying_key().to_jwk(),
    });
    jws::sign(&header.to_string(), &to_json(&claims), signer)
        .map_err(|_| DpopError("cannot be signed"))
}

/// Verifies the value of a DPoP header (RFC 9449 §4.3). That the same `jti` has not been seen before is for the caller to check.
pub fn verify(proof: &str, method: &str, uri: &str, now: UnixTime) -> Result<DpopProof, DpopError> {
    let jws = Compact::parse(proof, MAX_LENGTH)?;
    let header = jws.header()?;
    if header.critical {
        return Err(DpopError("unknown critical header"));
    }
    if !header.typ_is_one_of(&[TYPE]) {
        return Err(DpopError("wrong type"));
    }
    let algorithm = header
        .signature_algorithm()
        .ok_or(DpopError("algorithm is not allowed"))?;
    let jwk: Jwk = header.take("jwk")?.ok_or(DpopError("jwk is missing"))?;
    let key =
        PopKey::from_jwk(&jwk).map_err(|_| DpopError("jwk is not a public key we can use"))?;
    if key.algorithm() != algorithm {
        return Err(DpopError("algorithm is not the key's"));
    }
    key.verify(jws.signing_input.as_bytes(), &jws.signature)
        .map_err(|_| DpopError("signature does not match"))?;

    let claims = Members::parse(&jws.payload).map_err(|_| NOT_A_PROOF)?;
    if required::<Text<'_>>(&claims, "htm")?.as_str() != method {
        return Err(DpopError("for another method"));
    }
    let htu: Text<'_> = required(&claims, "htu")?;
    if !is_same_target(htu.as_str(), uri) {
        return Err(DpopError("for another URI"));
    }
    let NumericDate(issued_at) = required(&claims, "iat")?;
    if issued_at > now.plus_secs(WINDOW_SECS) || now > issued_at.plus_secs(WINDOW_SECS) {
        return Err(DpopError("too old or from the future"));
    }
    let identifier: String = required(&claims, "jti")?;
    if identifier.is_empty() || identifier.len() > MAX_IDENTIFIER_LENGTH {
        return Err(DpopError("jti is empty or too long"));
    }
    Ok(DpopProof {
        key,
        identifier,
        issued_at,
    })
}

/// A URI of `http` or `https` as far as DPoP compares it: no query, no fragment.
struct Target<'a> {
    scheme: &'a str,
    host: &'a str,
    port: &'a str,
    path: &'a str,
}

impl<'a> Target<'a> {
    fn parse(uri: &'a str) -> Option<Self> {
        let (scheme, rest) = without_query(uri).split_once("://")?;
        let (authority, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, "/"),
        };
        let default_port = if scheme.eq_ignore_ascii_case("https") {
            "443"
        } else if scheme.eq_ignore_ascii_case("http") {
            "80"
        } else {
            return None;
        };
        // The colons inside the brackets of an IPv6 address are not before a port.
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port),
            Some(_) | None => (authority, ""),
        };
        let port = if port.is_empty() { default_port } else { port };
        (!host.is_empty() && !authority.contains('@')).then_some(Self {
            scheme,
            host,
            port,
            path,
        })
    }
}

/// Compares after the normalisation of scheme, host, default port and empty path (RFC 3986 §6.2.2.1 and §6.2.3).
fn is_same_target(one: &str, other: &str) -> bool {
    let (Some(one), Some(other)) = (Target::parse(one), Target::parse(other)) else {
        return false;
    };
    one.scheme.eq_ignore_ascii_case(other.scheme)
        && one.host.eq_ignore_ascii_case(other.host)
        && one.port == other.port
        && one.path == other.path
}

fn without_query(uri: &str) -> &str {
    uri.split(['?', '#']).next().unwrap_or(uri)
}

const NOT_A_PROOF: DpopError = DpopError("not a signed proof");

fn required<'a, T: Deserialize<'a>>(
    claims: &Members<'a>,
    name: &'static str,
) -> Result<T, DpopError> {
    claims.take(name)?.ok_or(DpopError("a claim is missing"))
}

impl From<Malformed> for DpopError {
    fn from(_: Malformed) -> Self {
        NOT_A_PROOF
    }
}

impl From<BadMember> for DpopError {
    fn from(_: BadMember) -> Self {
        Self("a claim is malformed")
    }
}
