//! What a token says (RFC 9200 §5.10, RFC 9431 §2.1).

use super::policy::Permitted;
use crate::store::Lifetime;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use symbolon_ace_proto::{Claims, Confirmation, UnixTime, introspection::ActiveToken};

/// Whom a token is for.
#[derive(Clone, Debug)]
pub(crate) struct Parties<'a> {
    /// The authorization server.
    pub(crate) issuer: &'a str,
    /// The client.
    pub(crate) client_id: &'a str,
    /// The resource server; of a group its name first, then its members.
    pub(crate) audience: Vec<String>,
}

/// What is of this token alone.
#[derive(Clone, Debug)]
pub(crate) struct Particulars<'a> {
    /// Its key.
    pub(crate) confirmation: Confirmation,
    /// `cti`; no other token has it.
    pub(crate) identifier: &'a [u8],
    /// How it says when it ends.
    pub(crate) lifetime: Lifetime,
    /// `cnonce` of the request (RFC 9200 §5.8.4.4).
    pub(crate) client_nonce: Option<Vec<u8>>,
}

/// The claims of a token.
pub(crate) fn claims(
    parties: Parties<'_>,
    permitted: &Permitted,
    particulars: Particulars<'_>,
    now: UnixTime,
) -> Claims {
    Claims {
        issuer: parties.issuer.to_owned(),
        subject: Some(parties.client_id.to_owned()),
        client_id: Some(parties.client_id.to_owned()),
        audience: parties.audience,
        expires_at: now.plus_secs(permitted.token_lifetime_secs),
        not_before: None,
        issued_at: Some(now),
        token_identifier: Some(URL_SAFE_NO_PAD.encode(particulars.identifier)),
        scope: permitted.scope.clone(),
        confirmation: particulars.confirmation,
        expires_in_secs: match particulars.lifetime {
            Lifetime::Exp => None,
            Lifetime::Exi => Some(permitted.token_lifetime_secs),
        },
        client_nonce: particulars.client_nonce,
    }
}

/// What a resource server that asks is told of a token with these claims (RFC 7662 §2.2, RFC 9200 §5.9.2).
pub(crate) fn told(claims: &Claims) -> ActiveToken {
    ActiveToken {
        issuer: Some(claims.issuer.clone()),
        subject: claims.subject.clone(),
        client_id: claims.client_id.clone(),
        audience: claims.audience.clone(),
        expires_at: match claims.expires_in_secs {
            None => Some(claims.expires_at),
            Some(_) => None,
        },
        not_before: claims.not_before,
        issued_at: claims.issued_at,
        token_identifier: claims.token_identifier.clone(),
        expires_in_secs: claims.expires_in_secs,
        scope: Some(claims.scope.clone()),
        confirmation: Some(claims.confirmation.clone()),
        client_nonce: claims.client_nonce.clone(),
        profile_named: true,
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
            audience: vec!["broker".to_owned()],
        };
        let permitted = Permitted {
            scope: Scope::from_json(r#"[["a",["pub"]]]"#).unwrap(),
            token_lifetime_secs: 60,
        };
        let particulars = Particulars {
            confirmation: Confirmation::KeyIdentifier(vec![1]),
            identifier: &[0xff; 16],
            lifetime: Lifetime::Exp,
            client_nonce: Some(vec![7]),
        };
        let spanning = Particulars {
            lifetime: Lifetime::Exi,
            ..particulars.clone()
        };
        let other = claims(parties.clone(), &permitted, spanning, UnixTime(1000));
        assert_eq!(other.expires_in_secs, Some(60));
        assert_eq!(told(&other).expires_at, None);
        assert_eq!(told(&other).expires_in_secs, Some(60));
        let claims = claims(parties, &permitted, particulars, UnixTime(1000));
        assert_eq!(told(&claims).expires_at, Some(UnixTime(1060)));
        assert_eq!(claims.client_nonce, Some(vec![7]));
        assert_eq!(claims.expires_in_secs, None);
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
