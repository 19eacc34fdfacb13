//! What is sent to the token endpoint: the request, who asks, and the proof that the key is theirs.

use super::{Ask, Encoding, TokenRequestError};
use crate::{Profile, profile::ClientAuth};
use symbolon_ace_proto::{
    CBOR_MEDIA_TYPE, Confirmation, PopSigner, TokenRequest, UnixTime, client_assertion,
    client_secret, dpop,
};
use symbolon_tls::https::{HttpsRequest, Method};

/// The media type of RFC 9431 §7.3.
const JSON_MEDIA_TYPE: &str = "application/ace+json";

/// The whole POST for a token.
pub(super) fn post(
    profile: &Profile,
    ask: Ask<'_>,
    now: UnixTime,
) -> Result<HttpsRequest, TokenRequestError> {
    let wrong = |problem: &dyn ToString| TokenRequestError::Profile(problem.to_string());
    if !profile.names_authorization_server() {
        return Err(wrong(
            &"token_endpoint: is missing: the broker has to be asked where tokens are issued",
        ));
    }
    let scope = match ask.scope {
        Some(scope) => scope.clone(),
        None => profile.parsed_scope()?,
    };
    let pop_signer = profile.pop_signer()?;
    let assertion_signer = profile.assertion_signer()?;
    let pop_key = pop_signer.as_ref().map(PopSigner::verifying_key);
    let mut request = TokenRequest {
        grant_type: Some("client_credentials".to_owned()),
        audience: Some(profile.audience.clone()),
        scope: Some(scope),
        req_cnf: match (&pop_key, ask.held) {
            (Some(key), _) => Some(Confirmation::Key(Box::new(key.to_jwk()))),
            // RFC 9202 §4: an update of the rights that a key has.
            (None, Some(held)) => Some(Confirmation::KeyIdentifier(held.key_identifier.clone())),
            (None, None) => None,
        },
        profile_asked: true,
        client_nonce: ask.client_nonce.map(<[u8]>::to_vec),
        ..TokenRequest::default()
    };
    let encoding = profile.encoding.unwrap_or_default();
    let media_type = match encoding {
        Encoding::Json => JSON_MEDIA_TYPE,
        Encoding::Cbor => CBOR_MEDIA_TYPE,
    };
    let mut headers = vec![
        ("content-type", media_type.to_owned()),
        ("accept", media_type.to_owned()),
    ];
    match (&profile.client_auth, &assertion_signer) {
        (ClientAuth::Secret { secret }, _) => {
            let header = client_secret::basic(&profile.client_id, secret);
            headers.push(("authorization", header.to_string()));
        }
        (ClientAuth::Key { .. }, Some(signer)) => {
            let assertion =
                client_assertion::make(&profile.client_id, &profile.issuer, signer, now);
            request.client_id = Some(profile.client_id.clone());
            request.client_assertion_type = Some(client_assertion::ASSERTION_TYPE.to_owned());
            request.client_assertion = Some(assertion.map_err(|error| wrong(&error))?);
        }
        (ClientAuth::RawPublicKey { .. }, _) => {
            request.client_id = Some(profile.client_id.clone());
        }
        (ClientAuth::Key { .. }, None) => return Err(wrong(&"client_auth.jwk: is missing")),
    }
    if let Some(signer) = &pop_signer {
        // The AS must see that the key of req_cnf is ours (RFC 9201 §3.1). An assertion with that very key shows it already, and so does the
        // TLS handshake.
        let shown = assertion_signer.or(profile.raw_key_signer()?);
        let shown = shown.map(|signer| signer.verifying_key().thumbprint());
        if shown != pop_key.map(|key| key.thumbprint()) {
            let proof = dpop::make("POST", &profile.token_endpoint, signer, now);
            headers.push(("dpop", proof.map_err(|error| wrong(&error))?));
        }
    }
    Ok(HttpsRequest {
        method: Method::POST,
        url: profile.token_endpoint.clone(),
        headers,
        body: match encoding {
            Encoding::Json => request.to_json().into_bytes(),
            Encoding::Cbor => request.to_cbor().map_err(|error| wrong(&error))?.to_vec(),
        },
    })
}
