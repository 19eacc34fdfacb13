//! Authorization server metadata (RFC 8414).

use crate::{
    core::revocations::MAX_DIFF_BATCH,
    issuer::{Endpoint, Issuer},
    store::{ClientAuthentication, Store},
};
use serde_json::json;

/// The metadata document; `registration` says whether clients may register themselves.
pub(super) fn of(issuer: &Issuer, registration: bool) -> String {
    let methods = [
        "client_secret_basic",
        "client_secret_post",
        "private_key_jwt",
        "tls_client_auth",
        "self_signed_tls_client_auth",
        ClientAuthentication::RAW_PUBLIC_KEY,
    ];
    let algorithms = ["EdDSA", "ES256"];
    let mut document = json!({
        "issuer": issuer.as_str(),
        "token_endpoint": issuer.url(Endpoint::Token),
        "introspection_endpoint": issuer.url(Endpoint::Introspection),
        "revocation_endpoint": issuer.url(Endpoint::Revocation),
        "jwks_uri": issuer.url(Endpoint::JwkSet),
        // RFC 8414 §2 requires the member, §3.2 forbids empty ones: a server without authorization endpoint cannot do both. Parsers
        // miss a required member more often than they stumble over an empty array.
        "response_types_supported": [],
        "grant_types_supported": ["client_credentials", "refresh_token"],
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "introspection_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_signing_alg_values_supported": algorithms,
        "revocation_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
        "dpop_signing_alg_values_supported": algorithms,
        // No registered member is about these: what RFC 9770 §10 has told at registration, and keys in COSE.
        "symbolon_cose_keys_uri": issuer.url(Endpoint::CoseKeySet),
        "symbolon_trl_endpoint": issuer.url(Endpoint::RevocationList),
        "symbolon_trl_hash": "sha-256",
        "symbolon_trl_max_n": Store::MAX_LIST_UPDATES,
        "symbolon_trl_max_diff_batch": MAX_DIFF_BATCH,
    });
    if registration {
        document["registration_endpoint"] = issuer.url(Endpoint::Registration).into();
    }
    document.to_string()
}
