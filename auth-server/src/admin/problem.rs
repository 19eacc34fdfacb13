//! Refusals as RFC 9457 has them.

use super::model::{self, ModelError};
use crate::store::StoreError;
use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};

/// The media type of a refusal (RFC 9457 §3).
pub(super) const MEDIA_TYPE: &str = "application/problem+json";

/// What both ways to name an account are called, for whoever named none.
const CHALLENGES: [&str; 2] = [
    "Basic realm=\"symbolon administration\", charset=\"UTF-8\"",
    "Bearer realm=\"symbolon administration\"",
];

/// Why a request is not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    #[error("the request is malformed: {0}")]
    Malformed(String),
    #[error("name an account: by HTTP Basic, by the token of a session, or by its certificate")]
    NoLogin,
    #[error("unknown account, wrong password, or a session that is over")]
    WrongLogin,
    #[error("the account has no right to this")]
    Forbidden,
    #[error("there is nothing here")]
    NoSuchPath,
    #[error("there is no {0} {1:?}")]
    NotFound(&'static str, String),
    #[error("this path does not take the method")]
    MethodNotAllowed,
    #[error("{0}")]
    Body(#[from] crate::http::body::BodyError),
    #[error("send application/json")]
    MediaType,
    #[error("too many attempts: wait {0} s")]
    TooFast(u64),
    #[error("too many logins at once")]
    Busy,
    #[error("{0}")]
    Unusable(String),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Ours(&'static str),
}

impl Problem {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::NoLogin | Self::WrongLogin => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NoSuchPath | Self::NotFound(..) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Body(error) => error.status(),
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooFast(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unusable(_) | Self::Model(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Store(error) => of_store(error),
            Self::Ours(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Whether a right was refused: what the audit log is to say. A mistake, or a fault of ours, is none.
    pub(super) fn is_refusal(&self) -> bool {
        match self {
            Self::WrongLogin | Self::Forbidden | Self::TooFast(_) => true,
            Self::Store(error) => matches!(error, StoreError::NotOwned(..)),
            Self::Malformed(_)
            | Self::NoLogin
            | Self::NoSuchPath
            | Self::NotFound(..)
            | Self::MethodNotAllowed
            | Self::Body(_)
            | Self::MediaType
            | Self::Busy
            | Self::Unusable(_)
            | Self::Model(_)
            | Self::Ours(_) => false,
        }
    }

    /// What the caller is told: of what is wrong with our database, nothing.
    fn detail(&self) -> String {
        match self {
            Self::Store(StoreError::Database(_) | StoreError::Unavailable(_)) => {
                "the database cannot be used now".to_owned()
            }
            Self::Malformed(_)
            | Self::NoLogin
            | Self::WrongLogin
            | Self::Forbidden
            | Self::NoSuchPath
            | Self::NotFound(..)
            | Self::MethodNotAllowed
            | Self::Body(_)
            | Self::MediaType
            | Self::TooFast(_)
            | Self::Busy
            | Self::Unusable(_)
            | Self::Model(_)
            | Self::Store(_)
            | Self::Ours(_) => self.to_string(),
        }
    }

    pub(super) fn respond(&self) -> Response {
        let status = self.status();
        let body = model::Problem {
            kind: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail: self.detail(),
        };
        // Texts and numbers always have a form in JSON.
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::UNAUTHORIZED {
            for challenge in CHALLENGES {
                let challenge = HeaderValue::from_static(challenge);
                headers.append(header::WWW_AUTHENTICATE, challenge);
            }
        }
        if let Self::TooFast(secs) = self {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(*secs));
        }
        if let Self::Store(StoreError::Unavailable(_)) = self {
            let secs = HeaderValue::from(StoreError::RETRY_AFTER_SECS);
            headers.insert(header::RETRY_AFTER, secs);
        }
        response
    }
}

/// The log gets what is wrong with our database; the caller does not.
pub(super) fn log(error: &StoreError) {
    match error {
        StoreError::Database(_) | StoreError::Unavailable(_) | StoreError::Newer => {
            tracing::error!(%error, "an administration request failed");
        }
        StoreError::Exists(..)
        | StoreError::NotFound(..)
        | StoreError::Invalid(..)
        | StoreError::TooManyPolicies(_)
        | StoreError::TooManyGroups(_)
        | StoreError::NotOwned(..) => {}
    }
}

fn of_store(error: &StoreError) -> StatusCode {
    match error {
        StoreError::Exists(..) => StatusCode::CONFLICT,
        StoreError::NotFound(..) => StatusCode::NOT_FOUND,
        StoreError::Invalid(..) | StoreError::TooManyPolicies(_) | StoreError::TooManyGroups(_) => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        StoreError::NotOwned(..) => StatusCode::FORBIDDEN,
        StoreError::Newer | StoreError::Database(_) | StoreError::Unavailable(_) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}
