//! What the token endpoint answers, and whether it is a token that this device can use.

use super::{Ask, HeldKey, Token, TokenRequestError, copy};
use crate::{BrokerKey, Profile};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use symbolon_ace_proto::{
    Confirmation, ErrorResponse, Jwk, PROFILE, PopAlgorithm, PopSigner, TokenResponse, UnixTime,
    identifier, token::Form,
};
use symbolon_tls::https::HttpsResponse;

/// The token of an answer to a request made at `now`.
pub(super) fn token(
    profile: &Profile,
    ask: Ask<'_>,
    now: UnixTime,
    response: &HttpsResponse,
) -> Result<Token, TokenRequestError> {
    if response.status != 200 {
        let refusal = if is_json(&response.body) {
            ErrorResponse::from_json(&response.body).ok()
        } else {
            ErrorResponse::from_cbor(&response.body).ok()
        };
        return Err(match refusal {
            Some(refusal) => TokenRequestError::Refused(refusal),
            None => not_understood(format!("HTTP status {}", response.status)),
        });
    }
    let is_json = is_json(&response.body);
    let answer = if is_json {
        // serde might quote the answer, and the answer holds a key.
        TokenResponse::from_json(&response.body).ok()
    } else {
        TokenResponse::from_cbor(&response.body).ok()
    };
    let answer = answer.ok_or_else(|| not_understood("it is not a token response"))?;
    check_kind(&answer)?;
    // A client that cannot learn how long a token is good must not use it (RFC 9200 §5.10.4).
    let lifetime = answer
        .expires_in_secs
        .ok_or_else(|| not_understood("it does not say how long the token is good"))?;
    let (signer, key_identifier) = key(profile, ask.held, answer.cnf.as_ref())?;
    let broker = answer.rs_cnf.as_ref().map(BrokerKey::parse).transpose();
    Ok(Token {
        signer,
        key_identifier,
        expires_at: now.plus_secs(lifetime),
        obtained_at: now,
        scope: answer.scope,
        requested_scope: ask.scope.cloned(),
        broker: broker.map_err(|error| not_understood(error.to_string()))?,
        raw: if is_json {
            None
        } else {
            cwt(&answer.access_token)
        },
        text: answer.access_token,
    })
}

/// An object of JSON begins with a brace, which no map of CBOR does. An AS that does not speak CBOR says so in JSON.
fn is_json(body: &[u8]) -> bool {
    body.trim_ascii_start().first() == Some(&b'{')
}

/// A CWT that came as bytes goes on as the same bytes.
fn cwt(text: &str) -> Option<Vec<u8>> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
    (Form::of(&bytes) == Some(Form::Cwt)).then_some(bytes)
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

/// The key that proves possession, and its name where it is a shared one: the device's own, the one that came with the token (RFC 9201
/// §3.2), or the one that came with an earlier token and that this one is for too (RFC 9202 §4).
fn key(
    profile: &Profile,
    held: Option<&HeldKey>,
    cnf: Option<&Confirmation>,
) -> Result<(PopSigner, Option<Vec<u8>>), TokenRequestError> {
    match (profile.pop_signer()?, cnf) {
        (Some(own), None) => Ok((own, None)),
        (Some(own), Some(Confirmation::Key(jwk))) => {
            let bound = symbolon_ace_proto::PopKey::from_jwk(jwk);
            if bound.is_ok_and(|key| key.thumbprint() == own.verifying_key().thumbprint()) {
                return Ok((own, None));
            }
            Err(not_understood("the token is bound to another key"))
        }
        (None, Some(Confirmation::Key(jwk))) if jwk.is_secret() => {
            let signer = PopSigner::from_jwk(jwk).ok();
            let signer = signer.filter(|signer| signer.algorithm() == PopAlgorithm::Hs256);
            signer
                .map(|signer| (signer, name(jwk)))
                .ok_or_else(|| not_understood("the key that came with the token is not for HS256"))
        }
        (None, cnf) => held_key(held, cnf),
        (Some(_), Some(Confirmation::Encrypted(_) | Confirmation::KeyIdentifier(_))) => Err(
            not_understood("the key of the token is not readable to the device"),
        ),
    }
}

/// The answer has no key in it: the token is for the one that we hold, if the answer does not name another.
fn held_key(
    held: Option<&HeldKey>,
    cnf: Option<&Confirmation>,
) -> Result<(PopSigner, Option<Vec<u8>>), TokenRequestError> {
    let (held, named) = match (held, cnf) {
        (None, None) => return Err(not_understood("no key came with the token")),
        (None, Some(Confirmation::Key(_))) => {
            return Err(not_understood(
                "the key that came with the token is not for HS256",
            ));
        }
        (None, Some(_)) => {
            return Err(not_understood(
                "the key of the token is not readable to the device",
            ));
        }
        (Some(held), None) => (held, true),
        (Some(held), Some(cnf)) => {
            let named = cnf.key_identifier();
            (held, named.as_ref() == Some(&held.key_identifier))
        }
    };
    let signer = copy(&held.signer).filter(|_| named);
    let signer = signer.ok_or_else(|| not_understood("the token is bound to another key"))?;
    Ok((signer, Some(held.key_identifier.clone())))
}

fn name(jwk: &Jwk) -> Option<Vec<u8>> {
    jwk.kid.as_deref().map(identifier::to_bytes)
}
