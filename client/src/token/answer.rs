//! What the token endpoint answers, and whether it is a token that this device can use.

use super::{Token, TokenRequestError};
use crate::Profile;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use symbolon_ace_proto::{
    Confirmation, ErrorResponse, PROFILE, PopAlgorithm, PopSigner, Scope, TokenResponse, UnixTime,
};
use symbolon_tls::https::HttpsResponse;

/// The token of an answer to a request made at `now`.
pub(super) fn token(
    profile: &Profile,
    requested_scope: Option<&Scope>,
    now: UnixTime,
    response: &HttpsResponse,
) -> Result<Token, TokenRequestError> {
    if response.status != 200 {
        return Err(match ErrorResponse::from_json(&response.body) {
            Ok(refusal) => TokenRequestError::Refused(refusal),
            Err(_) => not_understood(format!("HTTP status {}", response.status)),
        });
    }
    let answer = TokenResponse::from_json(&response.body)
        // serde might quote the answer, and the answer holds a key.
        .map_err(|_error| not_understood("it is not a token response"))?;
    check_kind(&answer)?;
    // A client that cannot learn how long a token is good must not use it (RFC 9200 §5.10.4).
    let lifetime = answer
        .expires_in_secs
        .ok_or_else(|| not_understood("it does not say how long the token is good"))?;
    Ok(Token {
        signer: signer(profile, answer.cnf.as_ref())?,
        expires_at: now.plus_secs(lifetime),
        obtained_at: now,
        scope: answer.scope,
        requested_scope: requested_scope.cloned(),
        broker_certificate_sha256: broker_certificate(answer.rs_cnf.as_ref())?,
        text: answer.access_token,
    })
}

fn not_understood(problem: impl Into<String>) -> TokenRequestError {
    TokenRequestError::Answer(problem.into())
}

fn check_kind(answer: &TokenResponse) -> Result<(), TokenRequestError> {
    if let Some(kind) = &answer.token_type
        && !kind.eq_ignore_ascii_case("PoP")
    {
        return Err(not_understood(
            "the token is not a proof-of-possession token",
        ));
    }
    match answer.ace_profile.as_deref() {
        None | Some(PROFILE) => Ok(()),
        Some(_) => Err(not_understood("the token is for another ACE profile")),
    }
}

/// The key that proves possession: the device's own, or the one that came with the token (RFC 9201 §3.2).
fn signer(profile: &Profile, cnf: Option<&Confirmation>) -> Result<PopSigner, TokenRequestError> {
    let own = profile.pop_signer()?;
    match (own, cnf) {
        (Some(own), None) => Ok(own),
        (Some(own), Some(Confirmation::Key(jwk))) => {
            let bound = symbolon_ace_proto::PopKey::from_jwk(jwk);
            if bound.is_ok_and(|key| key.thumbprint() == own.verifying_key().thumbprint()) {
                return Ok(own);
            }
            Err(not_understood("the token is bound to another key"))
        }
        (None, Some(Confirmation::Key(jwk))) => PopSigner::from_jwk(jwk)
            .ok()
            .filter(|signer| signer.algorithm() == PopAlgorithm::Hs256)
            .ok_or_else(|| not_understood("the key that came with the token is not for HS256")),
        (_, Some(Confirmation::Encrypted(_) | Confirmation::KeyIdentifier(_))) => Err(
            not_understood("the key of the token is not readable to the device"),
        ),
        (None, None) => Err(not_understood("no key came with the token")),
    }
}

/// Fails where the AS vouches for a broker in a way that we cannot check: to go on regardless would make it worth nothing.
fn broker_certificate(
    rs_cnf: Option<&serde_json::Value>,
) -> Result<Option<[u8; 32]>, TokenRequestError> {
    let Some(rs_cnf) = rs_cnf else {
        return Ok(None);
    };
    let thumbprint = rs_cnf
        .get("x5t#S256")
        .and_then(serde_json::Value::as_str)
        .ok_or_else(|| not_understood("rs_cnf has no x5t#S256"))?;
    let digest = BASE64_URL_SAFE_NO_PAD.decode(thumbprint).ok();
    let digest = digest.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    match digest {
        Some(digest) => Ok(Some(digest)),
        None => Err(not_understood("x5t#S256 is not a SHA-256 digest")),
    }
}
