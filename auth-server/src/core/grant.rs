//! What a token says (RFC 9200 §5.10, RFC 9431 §2.1).

use super::policy::Permitted;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use symbolon_ace_proto::{Claims, Confirmation, UnixTime};

/// Whom a token is for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parties<'a> {
    /// The authorization server.
    pub(crate) issuer: &'a str,
    /// The client.
    pub(crate) client_id: &'a str,
    /// The resource server.
    pub(crate) audience: &'a str,
}

/// The claims of a token. `identifier` is fresh and random.
pub(crate) fn claims(
    parties: Parties<'_>,
    permitted: &Permitted,
    confirmation: Confirmation,
    identifier: [u8; 16],
    now: UnixTime,
) -> Claims {
    Claims {
        issuer: parties.issuer.to_owned(),
        subject: Some(parties.client_id.to_owned()),
        client_id: Some(parties.client_id.to_owned()),
        audience: vec![parties.audience.to_owned()],
        expires_at: now.plus_secs(permitted.token_lifetime_secs),
        not_before: None,
        issued_at: Some(now),
        token_identifier: Some(URL_SAFE_NO_PAD.encode(identifier)),
        scope: permitted.scope.clone(),
        confirmation,
    }
}
