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
        expires_in_secs: None,
        client_nonce: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use symbolon_ace_proto::Scope;

    #[test]
    fn a_token_says_who_where_what_and_how_long() {
        let parties = Parties {
            issuer: "https://as.example.com",
            client_id: "c",
            audience: "broker",
        };
        let permitted = Permitted {
            scope: Scope::from_json(r#"[["a",["pub"]]]"#).unwrap(),
            token_lifetime_secs: 60,
        };
        let confirmation = Confirmation::KeyIdentifier(vec![1]);
        let claims = claims(
            parties,
            &permitted,
            confirmation,
            [0xff; 16],
            UnixTime(1000),
        );
        assert_eq!(claims.issuer, "https://as.example.com");
        assert_eq!(claims.subject.as_deref(), Some("c"));
        assert_eq!(claims.client_id.as_deref(), Some("c"));
        assert_eq!(claims.audience, ["broker"]);
        assert_eq!(claims.issued_at, Some(UnixTime(1000)));
        assert_eq!(claims.expires_at, UnixTime(1060));
        assert_eq!(claims.not_before, None);
        let identifier = claims.token_identifier.as_deref();
        assert_eq!(identifier, Some("_____________________w"));
        assert_eq!(claims.scope, permitted.scope);
    }
}
