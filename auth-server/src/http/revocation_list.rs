//! The token revocation list (RFC 9770) over HTTPS. Beyond the standard: `wait`, which holds the answer to a diff query back until there is
//! something to tell, and POST with the parameters in a form, for those who authenticate by an assertion in the body.

use super::{
    Endpoints, Shared,
    answer::{self, FORM, Format, media_type},
    body,
    caller::CallerError,
};
use crate::{
    core::{
        authenticate::Principal,
        revocations::{self, Query},
    },
    issuing::now,
    metrics::Counted,
    store::{Requester, StoreError},
};
use axum::{
    extract::{Request, State},
    http::{Method, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use std::{sync::Arc, time::Duration};
use symbolon_ace_proto::{
    TokenRequest,
    revocation_list::{MEDIA_TYPE, PROBLEM_MEDIA_TYPE, QueryError, RevocationList},
};
use tokio::time::{Instant, timeout_at};

/// The longest wait that is granted, seconds.
const MAX_WAIT_SECS: u64 = 60;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Caller(#[from] CallerError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the query is malformed")]
    Query(QueryError),
}

/// What is asked, and by whom.
struct Asked {
    query: Query,
    wait: Duration,
    credentials: TokenRequest,
}

/// Answers `GET /trl` and `POST /trl`.
pub(super) async fn handle(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let format = Format::asked(&parts.headers);
    let asked = if parts.method == Method::POST {
        if media_type(parts.headers.get(header::CONTENT_TYPE)).as_deref() != Some(FORM) {
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return answer::malformed(status, "send a form", format);
        }
        let body = match body::read(body).await {
            Ok(body) => body,
            Err(error) => return answer::malformed(error.status(), &error.to_string(), format),
        };
        match TokenRequest::from_form(&body) {
            Ok(credentials) => Asked::parse(&String::from_utf8_lossy(&body), credentials),
            Err(error) => return answer::refusal(&error, format),
        }
    } else {
        let query = parts.uri.query().unwrap_or_default();
        let credentials = TokenRequest {
            // For a certificate: whose it is said to be. What a secret or an assertion would do here, logs would keep.
            client_id: parameter(query, "client_id"),
            ..TokenRequest::default()
        };
        Asked::parse(query, credentials)
    };
    match shared.endpoints.revocation_list(&parts, asked).await {
        Ok(list) => answered(StatusCode::OK, MEDIA_TYPE, list.to_cbor()),
        Err(Failure::Query(error)) => {
            answered(StatusCode::BAD_REQUEST, PROBLEM_MEDIA_TYPE, error.to_cbor())
        }
        Err(failure) => {
            tracing::info!(reason = %failure, "no token revocation list");
            match failure {
                Failure::Caller(CallerError::Authentication(error)) => {
                    let status = answer::refusal(&error.response(), format).status();
                    answer::empty(status)
                }
                Failure::Caller(CallerError::TooFast | CallerError::Failures(_)) => {
                    answer::empty(StatusCode::TOO_MANY_REQUESTS)
                }
                Failure::Caller(CallerError::Busy(_)) => {
                    answer::empty(StatusCode::SERVICE_UNAVAILABLE)
                }
                Failure::Caller(CallerError::Store(StoreError::Unavailable(_)))
                | Failure::Store(StoreError::Unavailable(_)) => {
                    answer::not_now(answer::empty(StatusCode::SERVICE_UNAVAILABLE))
                }
                Failure::Caller(CallerError::Store(_)) | Failure::Store(_) | Failure::Query(_) => {
                    answer::empty(StatusCode::INTERNAL_SERVER_ERROR)
                }
            }
        }
    }
}

fn answered(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (status, headers, body).into_response()
}

impl Asked {
    fn parse(parameters: &str, credentials: TokenRequest) -> Self {
        // What is no number does not wait: it is our own parameter, and others are to be ignored (RFC 9770 §6).
        let wait = parameter(parameters, "wait").and_then(|wait| wait.parse().ok());
        Self {
            query: Query {
                diff: parameter(parameters, "diff"),
                cursor: parameter(parameters, "cursor"),
            },
            wait: Duration::from_secs(wait.unwrap_or(0).min(MAX_WAIT_SECS)),
            credentials,
        }
    }
}

/// The first parameter of this name. Values are numbers and names, so escapes are not taken off; with one it is no number.
fn parameter(parameters: &str, name: &str) -> Option<String> {
    let mut pairs = parameters
        .split('&')
        .filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(own, _)| *own == name)?;
    Some(value.to_owned())
}

impl Endpoints {
    async fn revocation_list(
        &self,
        parts: &Parts,
        asked: Asked,
    ) -> Result<RevocationList, Failure> {
        let principal = self
            .authenticator
            .principal(parts, &asked.credentials, &mut None, now())
            .await?;
        let requester = match &principal {
            Principal::Client(client) => Requester::Client(&client.client_id),
            Principal::ResourceServer(server) => Requester::ResourceServer(&server.audience),
        };
        if asked.wait.is_zero() {
            return self.list_now(requester, &asked.query).await;
        }
        // Past this many, whoever asks must ask again.
        let Ok(_place) = self.waiting.try_acquire() else {
            return self.list_now(requester, &asked.query).await;
        };
        let _counted = Counted::new(&self.metrics.waiting);
        self.wait_for_news(requester, &asked).await
    }

    /// Until there is something to tell, time is up, or the server ends.
    async fn wait_for_news(
        &self,
        requester: Requester<'_>,
        asked: &Asked,
    ) -> Result<RevocationList, Failure> {
        let until = Instant::now() + asked.wait;
        // All before the list is read: what changes while it is read is news then, and would else wait for the next change.
        let mut changes = self.changes.subscribe();
        let mut closing = self.closing.subscribe();
        let mut known = self.store.last_list_update(requester).await?;
        let mut list = self.list_now(requester, &asked.query).await?;
        while is_without_news(&list) && !*closing.borrow() {
            let something = async {
                tokio::select! {
                    _ = changes.changed() => {}
                    _ = closing.changed() => {}
                }
            };
            if timeout_at(until, something).await.is_err() {
                break;
            }
            let newest = self.store.last_list_update(requester).await?;
            if newest != known {
                known = newest;
                list = self.list_now(requester, &asked.query).await?;
            }
        }
        Ok(list)
    }

    async fn list_now(
        &self,
        requester: Requester<'_>,
        query: &Query,
    ) -> Result<RevocationList, Failure> {
        // The updates before the list: one that comes between is on the list, and told again.
        let updates = self.store.list_updates(requester).await?;
        let mut hashes = Vec::new();
        if query.diff.is_none() {
            hashes = self.store.revoked(requester, now()).await?;
        }
        revocations::answer(query, &updates, || hashes).map_err(Failure::Query)
    }
}

fn is_without_news(list: &RevocationList) -> bool {
    match list {
        RevocationList::Full { .. } => false,
        RevocationList::Diff { entries, more, .. } => entries.is_empty() && !more,
    }
}
