//! The endpoints. Moves bytes between HTTP and `core/`.

mod answer;
mod metadata;
mod token;

use answer::Format;
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use std::sync::Arc;

pub(crate) use token::TokenEndpoint;

/// How long a cache may keep the key set and the metadata, seconds: short, so that a new key is seen soon.
const CACHE_CONTROL: &str = "public, max-age=60";

/// What the handlers share.
struct Shared {
    token: TokenEndpoint,
    metadata: String,
}

/// All endpoints of an authorization server.
pub(crate) fn router(token: TokenEndpoint) -> Router {
    let issuer = token.issuer().clone();
    let shared = Shared {
        metadata: metadata::of(&issuer),
        token,
    };
    Router::new()
        .route(&issuer.token_path(), post(token::handle))
        .route(&issuer.jwks_path(), get(jwks))
        .route(&issuer.metadata_path(), get(server_metadata))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(Arc::new(shared))
}

async fn jwks(State(shared): State<Arc<Shared>>) -> Response {
    cacheable("application/jwk-set+json", shared.token.jwks())
}

async fn server_metadata(State(shared): State<Arc<Shared>>) -> Response {
    cacheable("application/json", shared.metadata.clone())
}

fn cacheable(content_type: &'static str, body: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, CACHE_CONTROL),
    ];
    (headers, body).into_response()
}

async fn not_found(headers: HeaderMap) -> Response {
    answer::failure(StatusCode::NOT_FOUND, "not_found", Format::asked(&headers))
}

async fn method_not_allowed(headers: HeaderMap) -> Response {
    let format = Format::asked(&headers);
    answer::failure(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", format)
}
