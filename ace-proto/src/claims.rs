//! What a token says (RFC 7519 §4.1, RFC 9200 §5.10, RFC 9431 §2.2.5).

pub(crate) mod cbor;
mod numeric_date;

use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};

pub(crate) use numeric_date::NumericDate;

use crate::{
    Confirmation, Scope, TokenError, UnixTime,
    json_object::{BadMember, Members},
};

/// The claims of a token for an MQTT broker, whatever form the token has.
#[derive(Clone, Debug)]
pub struct Claims {
    /// `iss`: the authorization server.
    pub issuer: String,
    /// `sub`: whom it speaks for; our AS writes the client identifier.
    pub subject: Option<String>,
    /// `client_id` (RFC 8693 §4.3).
    pub client_id: Option<String>,
    /// `aud`: the resource servers it is for, at least one.
    pub audience: Vec<String>,
    /// `exp`.
    pub expires_at: UnixTime,
    /// `nbf`.
    pub not_before: Option<UnixTime>,
    /// `iat`.
    pub issued_at: Option<UnixTime>,
    /// `jti`.
    pub token_identifier: Option<String>,
    /// `scope`.
    pub scope: Scope,
    /// `cnf`.
    pub confirmation: Confirmation,
}

/// What claims must fit, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) audience: &'a str,
    pub(crate) now: UnixTime,
    pub(crate) leeway_secs: u64,
}

/// `aud`: one text or a list of them (RFC 7519 §4.1.3).
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    pub(crate) fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(audience) => vec![audience],
            Self::Many(audiences) => audiences,
        }
    }
}

impl Claims {
    /// From the JSON of a token whose protection has been verified. The checks and their order are those of RFC 9200 §5.10.1.1.
    pub(crate) fn verify_json(json: &[u8], expected: &Expected<'_>) -> Result<Self, TokenError> {
        let members = Members::parse(json).map_err(|_| TokenError::NotAToken)?;
        let issuer: String = required(&members, "iss")?;
        if issuer != expected.issuer {
            return Err(TokenError::WrongIssuer);
        }
        let NumericDate(expires_at) = required(&members, "exp")?;
        if expires_at <= expected.now {
            return Err(TokenError::Expired);
        }
        let not_before: Option<NumericDate> = members.take("nbf")?;
        let not_before = not_before.map(|date| date.0);
        if not_before.is_some_and(|date| date > expected.now.plus_secs(expected.leeway_secs)) {
            return Err(TokenError::NotYetValid);
        }
        let audience = required::<Audience>(&members, "aud")?.into_vec();
        if !audience.iter().any(|one| one == expected.audience) {
            return Err(TokenError::WrongAudience);
        }
        let scope: String = required(&members, "scope")?;
        Ok(Self {
            scope: Scope::from_base64url(&scope)?,
            confirmation: required(&members, "cnf")?,
            subject: members.take("sub")?,
            client_id: members.take("client_id")?,
            issued_at: members.take("iat")?.map(|NumericDate(date)| date),
            token_identifier: members.take("jti")?,
            issuer,
            audience,
            expires_at,
            not_before,
        })
    }
}

fn required<'a, T: Deserialize<'a>>(
    members: &Members<'a>,
    name: &'static str,
) -> Result<T, TokenError> {
    members.take(name)?.ok_or(TokenError::BadClaim(name))
}

impl From<BadMember> for TokenError {
    fn from(BadMember(name): BadMember) -> Self {
        Self::BadClaim(name)
    }
}

impl Serialize for Claims {
    /// As the claims of a JWT.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("iss", &self.issuer)?;
        if let Some(subject) = &self.subject {
            map.serialize_entry("sub", subject)?;
        }
        if let Some(client_id) = &self.client_id {
            map.serialize_entry("client_id", client_id)?;
        }
        match self.audience.as_slice() {
            [one] => map.serialize_entry("aud", one)?,
            many => map.serialize_entry("aud", many)?,
        }
        map.serialize_entry("exp", &self.expires_at.0)?;
        if let Some(not_before) = self.not_before {
            map.serialize_entry("nbf", &not_before.0)?;
        }
        if let Some(issued_at) = self.issued_at {
            map.serialize_entry("iat", &issued_at.0)?;
        }
        if let Some(token_identifier) = &self.token_identifier {
            map.serialize_entry("jti", token_identifier)?;
        }
        map.serialize_entry("scope", &self.scope)?;
        map.serialize_entry("cnf", &self.confirmation)?;
        map.end()
    }
}
