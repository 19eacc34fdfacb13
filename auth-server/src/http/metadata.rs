//! Authorization server metadata (RFC 8414).

use crate::issuer::Issuer;
use serde_json::json;

/// The metadata document.
pub(super) fn of(issuer: &Issuer) -> String {
    json!({
        "issuer": issuer.as_str(),
        "token_endpoint": issuer.token_endpoint(),
        "jwks_uri": issuer.jwks_uri(),
        // RFC 8414 §2 requires the member, §3.2 forbids empty ones: a server without authorization endpoint cannot do both. Parsers
        // miss a required member more often than they stumble over an empty array.
        "response_types_supported": [],
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ["EdDSA", "ES256"],
        "dpop_signing_alg_values_supported": ["EdDSA", "ES256"],
    })
    .to_string()
}
