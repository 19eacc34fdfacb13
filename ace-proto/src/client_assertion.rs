//! Client authentication by a signed assertion, `private_key_jwt` (RFC 7521, RFC 7523).

use serde::{Deserialize, Serialize};

use crate::{
    PopAlgorithm, PopKey, PopSigner, UnixTime,
    claims::{Audience, NumericDate},
    json_object::{BadMember, Members, to_json},
    jws::{self, Compact, Malformed},
};

/// The value of `client_assertion_type`.
pub const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A verified assertion.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientAssertion {
    /// `iss` and `sub`: the client.
    pub client_id: String,
    /// `jti`, kept until `expires_at` against replay.
    pub identifier: String,
    /// `exp`, or [`MAX_LIFETIME_SECS`] after `iat` where that is sooner.
    pub expires_at: UnixTime,
}

/// The longest life of an assertion, seconds. One that says that it lives longer is good for so long after `iat`: it must be remembered
/// against replay for as long as it is good.
pub const MAX_LIFETIME_SECS: u64 = 300;

/// Why an assertion is refused. The peer is told `invalid_client` and no more.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("client assertion refused: {0}")]
pub struct AssertionError(pub &'static str);

/// The longest assertion accepted, bytes.
pub const MAX_LENGTH: usize = 8192;
/// The longest `jti` accepted, bytes: it is kept.
pub const MAX_IDENTIFIER_LENGTH: usize = 256;
/// How long an assertion made here is valid, seconds.
const LIFETIME_SECS: u64 = 60;
/// How far the client's clock may be ahead of ours where it says when an assertion begins, seconds.
const LEEWAY_SECS: u64 = 60;
/// What `typ` may be where it is present.
const ACCEPTED_TYPES: [&str; 2] = ["JWT", "client-authentication+jwt"];

#[derive(Serialize)]
struct AssertionClaims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    jti: String,
    iat: u64,
    exp: u64,
}

/// Makes an assertion for `client_id` at the AS `audience`, signed with an Ed25519 or P-256 key, valid for a minute. Its `jti` comes from the
/// system's random source.
pub fn make(
    client_id: &str,
    audience: &str,
    signer: &PopSigner,
    now: UnixTime,
) -> Result<String, AssertionError> {
    if signer.algorithm() == PopAlgorithm::Hs256 {
        return Err(AssertionError("the key is symmetric"));
    }
    let claims = AssertionClaims {
        iss: client_id,
        sub: client_id,
        aud: audience,
        jti: jws::random_identifier().map_err(|_| AssertionError("no random source"))?,
        iat: now.0,
        exp: now.plus_secs(LIFETIME_SECS).0,
    };
    let header = serde_json::json!({ "alg": signer.algorithm().as_str(), "typ": "JWT" });
    jws::sign(&header.to_string(), &to_json(&claims), signer)
        .map_err(|_| AssertionError("cannot be signed"))
}

/// The client an assertion claims to be from, nothing verified: to look up its key.
pub fn claimed_client_id(assertion: &str) -> Result<String, AssertionError> {
    let jws = Compact::parse(assertion, MAX_LENGTH)?;
    let claims = Members::parse(&jws.payload).map_err(|_| NOT_AN_ASSERTION)?;
    required(&claims, "sub")
}

/// Verifies an assertion (RFC 7523 §3). `audiences` are the issuer and the token endpoint.
///
/// Stricter than RFC 7523 §3: `jti` is required, and `exp` or `iat` must be near.
pub fn verify(
    assertion: &str,
    key: &PopKey,
    audiences: &[&str],
    now: UnixTime,
) -> Result<ClientAssertion, AssertionError> {
    let jws = Compact::parse(assertion, MAX_LENGTH)?;
    let header = jws.header()?;
    if header.critical {
        return Err(AssertionError("unknown critical header"));
    }
    if header.signature_algorithm() != Some(key.algorithm()) {
        return Err(AssertionError("algorithm is not the key's"));
    }
    if header.typ.is_some() && !header.typ_is_one_of(&ACCEPTED_TYPES) {
        return Err(AssertionError("wrong type"));
    }
    key.verify(jws.signing_input.as_bytes(), &jws.signature)
        .map_err(|_| AssertionError("signature does not match"))?;
    let claims = Members::parse(&jws.payload).map_err(|_| NOT_AN_ASSERTION)?;
    check_claims(&claims, audiences, now)
}

fn check_claims(
    claims: &Members<'_>,
    audiences: &[&str],
    now: UnixTime,
) -> Result<ClientAssertion, AssertionError> {
    let client_id: String = required(claims, "sub")?;
    if required::<String>(claims, "iss")? != client_id {
        return Err(AssertionError("iss is not sub"));
    }
    let audience = required::<Audience>(claims, "aud")?.into_vec();
    if !audience.iter().any(|one| audiences.contains(&one.as_str())) {
        return Err(AssertionError("for another audience"));
    }
    let latest = now.plus_secs(LEEWAY_SECS);
    let date = |name| Ok::<_, AssertionError>(claims.take::<NumericDate>(name)?.map(|date| date.0));
    let (begins_at, issued_at) = (date("nbf")?, date("iat")?);
    if [begins_at, issued_at]
        .into_iter()
        .flatten()
        .any(|date| date > latest)
    {
        return Err(AssertionError("not yet valid"));
    }
    let NumericDate(expires_at) = required(claims, "exp")?;
    let expires_at = match issued_at {
        Some(issued_at) => expires_at.min(issued_at.plus_secs(MAX_LIFETIME_SECS)),
        None if expires_at > now.plus_secs(MAX_LIFETIME_SECS) => {
            return Err(AssertionError("valid for too long"));
        }
        None => expires_at,
    };
    if expires_at <= now {
        return Err(AssertionError("expired"));
    }
    let identifier: String = required(claims, "jti")?;
    if identifier.is_empty() || identifier.len() > MAX_IDENTIFIER_LENGTH {
        return Err(AssertionError("jti is empty or too long"));
    }
    Ok(ClientAssertion {
        client_id,
        identifier,
        expires_at,
    })
}

const NOT_AN_ASSERTION: AssertionError = AssertionError("not a signed assertion");

fn required<'a, T: Deserialize<'a>>(
    claims: &Members<'a>,
    name: &'static str,
) -> Result<T, AssertionError> {
    claims
        .take(name)?
        .ok_or(AssertionError("a claim is missing"))
}

impl From<Malformed> for AssertionError {
    fn from(_: Malformed) -> Self {
        NOT_AN_ASSERTION
    }
}

impl From<BadMember> for AssertionError {
    fn from(_: BadMember) -> Self {
        Self("a claim is malformed")
    }
}
