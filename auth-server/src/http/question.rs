//! The endpoints that are asked about one token: introspection (RFC 7662, RFC 9200 §5.9) and revocation (RFC 7009).

use super::{
    Endpoints, Shared,
    answer::{self, ACE_JSON, FORM, Format, JSON, media_type},
    body,
    caller::CallerError,
};
use crate::{
    core::{authenticate::Principal, minting},
    issuing::now,
    store::{ResourceServer, Revocation, Store, StoreError, sha256_of},
};
use axum::{
    extract::{Request, State},
    http::{StatusCode, header, request::Parts},
    response::Response,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use std::sync::Arc;
use symbolon_ace_proto::{
    CBOR_MEDIA_TYPE, IntrospectionResponse, MalformedMessage, TokenQuestion, UnixTime,
};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Caller(#[from] CallerError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("what is remembered of a token cannot be told: {0}")]
    Answer(#[from] MalformedMessage),
    #[error("only resource servers may ask what a token says")]
    NotAResourceServer,
}

impl Failure {
    /// RFC 9200 §5.9.3: 401 for wrong credentials, 403 without payload for whoever may not ask.
    fn respond(&self, format: Format) -> Response {
        match self {
            Self::NotAResourceServer => answer::empty(StatusCode::FORBIDDEN),
            Self::Caller(CallerError::Authentication(error)) => {
                let response = answer::refusal(&error.response(), format);
                if response.status() == StatusCode::UNAUTHORIZED {
                    return answer::empty(StatusCode::UNAUTHORIZED);
                }
                response
            }
            Self::Caller(
                error @ (CallerError::Busy(_)
                | CallerError::TooFast
                | CallerError::Failures(_)
                | CallerError::Store(_)),
            ) => error.respond(format),
            Self::Store(error) => answer::store_failure(error, format),
            Self::Answer(_) => {
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                answer::failure(status, "server_error", format)
            }
        }
    }

    fn log(&self, endpoint: &'static str, claimed: Option<&str>) {
        let caller = claimed.unwrap_or("-");
        match self {
            Self::Store(_) | Self::Answer(_) => {
                tracing::error!(endpoint, caller, error = %self, "no answer");
            }
            Self::Caller(error) if error.is_ours() => {
                tracing::error!(endpoint, caller, error = %self, "no answer");
            }
            Self::Caller(_) | Self::NotAResourceServer => {
                tracing::info!(endpoint, caller, reason = %self, "refused");
            }
        }
    }
}

/// Answers `POST /introspect`.
pub(super) async fn introspect(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, question, format) = match read(request).await {
        Ok(read) => read,
        Err(response) => return response,
    };
    let mut claimed = None;
    let answered = shared
        .endpoints
        .introspect(&parts, &question, format, &mut claimed)
        .await;
    match answered {
        Ok(body) => answer::no_store(StatusCode::OK, format, body),
        Err(failure) => {
            failure.log("introspect", claimed.as_deref());
            failure.respond(format)
        }
    }
}

/// Answers `POST /revoke`.
pub(super) async fn revoke(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, question, format) = match read(request).await {
        Ok(read) => read,
        Err(response) => return response,
    };
    let mut claimed = None;
    match shared
        .endpoints
        .revoke(&parts, &question, &mut claimed)
        .await
    {
        // RFC 7009 §2.2: 200 whether or not there was such a token.
        Ok(()) => answer::empty(StatusCode::OK),
        Err(failure) => {
            failure.log("revoke", claimed.as_deref());
            match failure {
                // RFC 7009 §2.2.1: with a body, as at the token endpoint.
                Failure::Caller(error) => error.respond(format),
                Failure::Store(_) | Failure::Answer(_) | Failure::NotAResourceServer => {
                    failure.respond(format)
                }
            }
        }
    }
}

/// Parts, question, and the form of the answer; or the refusal.
async fn read(request: Request) -> Result<(Parts, TokenQuestion, Format), Response> {
    let (parts, body) = request.into_parts();
    let format = Format::asked(&parts.headers);
    let parse = match media_type(parts.headers.get(header::CONTENT_TYPE)).as_deref() {
        Some(FORM) => TokenQuestion::from_form,
        Some(JSON | ACE_JSON) => TokenQuestion::from_json,
        Some(CBOR_MEDIA_TYPE) => TokenQuestion::from_cbor,
        Some(_) | None => {
            let description = "send a form, application/json or application/ace+cbor";
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(answer::malformed(status, description, format));
        }
    };
    // RFC 6749 §2.3.1: neither credentials nor tokens stand in the URI, where logs keep them.
    if parts.uri.query().is_some() {
        let description = "parameters belong into the body";
        return Err(answer::malformed(
            StatusCode::BAD_REQUEST,
            description,
            format,
        ));
    }
    let body = body::read(body)
        .await
        .map_err(|error| answer::malformed(error.status(), &error.to_string(), format))?;
    let question = parse(&body).map_err(|error| answer::refusal(&error, format))?;
    Ok((parts, question, format))
}

impl Endpoints {
    async fn introspect(
        &self,
        parts: &Parts,
        question: &TokenQuestion,
        format: Format,
        claimed: &mut Option<String>,
    ) -> Result<Vec<u8>, Failure> {
        let now = now();
        let principal = self
            .authenticator
            .principal(parts, &question.credentials, claimed, now)
            .await?;
        let server = match principal {
            Principal::ResourceServer(server) => server,
            Principal::Client(_) => return Err(Failure::NotAResourceServer),
        };
        let response = self.active(question, &server, format, now).await?;
        Ok(if format.is_cbor() {
            response.to_cbor()?.to_vec()
        } else {
            response.to_json().as_bytes().to_vec()
        })
    }

    /// What a token says to this resource server now. Unknown, expired, revoked and another's: all the same (RFC 7662 §2.2).
    async fn active(
        &self,
        question: &TokenQuestion,
        server: &ResourceServer,
        format: Format,
        now: UnixTime,
    ) -> Result<IntrospectionResponse, Failure> {
        let inactive = Ok(IntrospectionResponse::Inactive);
        let sha256 = Store::token_sha256(&question.token);
        let Some(token) = self.store.token(&sha256).await? else {
            return inactive;
        };
        if token.revoked || token.expires_at <= now {
            return inactive;
        }
        let audience = Some(token.audience.as_str());
        let recipients = self.store.resource_servers_for(audience).await?;
        if !recipients.iter().any(|one| one.audience == server.audience) {
            return inactive;
        }
        let remembered = IntrospectionResponse::from_json(token.answer.as_bytes())?;
        let IntrospectionResponse::Active(mut token) = remembered else {
            return inactive;
        };
        if let Some(confirmation) = token.confirmation.take() {
            // A key that cannot be read any more makes the token one that cannot be used.
            let Some(told) = minting::told(confirmation, server, format.is_cbor()) else {
                return inactive;
            };
            token.confirmation = Some(told);
        }
        Ok(IntrospectionResponse::Active(token))
    }

    async fn revoke(
        &self,
        parts: &Parts,
        question: &TokenQuestion,
        claimed: &mut Option<String>,
    ) -> Result<(), Failure> {
        let now = now();
        let caller = self
            .authenticator
            .client(parts, &question.credentials, claimed, now)
            .await?;
        let client_id = caller.client.client_id.as_str();
        let store = self.store.clone().acting_as(&format!("client {client_id}"));
        let sha256 = Store::token_sha256(&question.token);
        let token = store.token(&sha256).await?;
        let mut revoked = 0;
        // RFC 7009 §2.1: another client's token is left as it is, and nothing is said of it.
        if token.is_some_and(|token| token.client_id == client_id) {
            let which = Revocation::Sha256(sha256);
            revoked = store.revoke(&which, now).await?;
        }
        // A refresh token is bytes in CBOR and their base64url elsewhere; it is remembered by the text.
        let text = URL_SAFE_NO_PAD.encode(&question.token);
        for sha256 in [sha256, sha256_of(text.as_bytes())] {
            if store.revoke_refresh_token(&sha256, client_id, now).await? {
                revoked += 1;
            }
        }
        if revoked > 0 {
            tracing::info!(client_id, revoked, "revoked by its client");
            self.tell_changes();
        }
        Ok(())
    }
}
