//! One request to a handler, and its answer.

use super::{Administration, identity::Who, problem::Problem};
use crate::{
    issuing::now,
    store::{PasswordHash, Store},
};
use axum::{
    body::Body,
    extract::Query,
    http::{HeaderValue, StatusCode, Uri, header},
    response::Response,
};
use serde::{Serialize, de::DeserializeOwned};
use std::sync::Arc;
use symbolon_ace_proto::UnixTime;

/// A request whose caller is known and may use the route.
pub(super) struct Call {
    pub(super) admin: Arc<Administration>,
    pub(super) who: Who,
    pub(super) now: UnixTime,
    pub(super) uri: Uri,
    pub(super) parameters: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// SHA-256 of the token of the session that it came with.
    pub(super) session: Option<[u8; 32]>,
}

/// What a handler answers.
#[derive(Debug)]
pub(super) struct Answer {
    status: StatusCode,
    body: Option<Vec<u8>>,
}

impl Call {
    /// A parameter of the path, percent-decoded.
    pub(super) fn parameter(&self, name: &str) -> &str {
        let mut known = self.parameters.iter();
        known
            .find(|(key, _)| key == name)
            .map_or("", |(_, value)| value)
    }

    /// The query as a whole; unknown and repeated names are refused.
    pub(super) fn query<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let query = Query::<T>::try_from_uri(&self.uri);
        let Query(query) = query.map_err(|error| Problem::Malformed(error.body_text()))?;
        Ok(query)
    }

    /// The body.
    pub(super) fn body<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_json::from_slice(&self.body).map_err(|error| Problem::Malformed(error.to_string()))
    }

    /// The store, which names the caller in the audit log.
    pub(super) fn store(&self) -> Store {
        self.admin.store.clone().acting_as(&self.who.actor())
    }

    /// A new password as it is kept, once there is a place to compute it.
    pub(super) async fn hash(&self, password: &str) -> Result<PasswordHash, Problem> {
        let slot = self.admin.passwords.slot().await?;
        slot.hash(password.as_bytes().to_vec()).await
    }

    /// Lets brokers that wait for news of revoked tokens look again.
    pub(super) fn tell_changes(&self) {
        self.admin.changes.send_replace(());
    }
}

impl Answer {
    pub(super) fn ok(body: &impl Serialize) -> Result<Self, Problem> {
        Self::json(StatusCode::OK, body)
    }

    pub(super) fn created(body: &impl Serialize) -> Result<Self, Problem> {
        Self::json(StatusCode::CREATED, body)
    }

    fn json(status: StatusCode, body: &impl Serialize) -> Result<Self, Problem> {
        let body = serde_json::to_vec(body).map_err(|error| {
            tracing::error!(%error, "an answer has no form in JSON");
            Problem::Ours("the answer cannot be written")
        })?;
        let body = Some(body);
        Ok(Self { status, body })
    }

    /// Done, and nothing to tell.
    pub(super) fn done() -> Self {
        Self {
            status: StatusCode::NO_CONTENT,
            body: None,
        }
    }

    pub(super) fn respond(self) -> Response {
        let is_json = self.body.is_some();
        let mut response = Response::new(Body::from(self.body.unwrap_or_default()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if is_json {
            let json = HeaderValue::from_static("application/json");
            headers.insert(header::CONTENT_TYPE, json);
        }
        response
    }
}

/// The moment of a call.
pub(super) fn moment() -> UnixTime {
    now()
}
