//! What a token says (RFC 7519 §4.1, RFC 9200 §5.10, RFC 9431 §2.2.5).

pub(crate) mod cbor;
mod numeric_date;

use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};

pub(crate) use numeric_date::NumericDate;

use crate::{
    Confirmation, Scope, TokenError, UnixTime, base64url,
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
    /// `exp`; of a token that has `exi` alone the end if it is seen now for the first time.
    pub expires_at: UnixTime,
    /// `exi`: how long it is valid from when the resource server first sees it, seconds (RFC 9200 §5.10.3). A token that is made with it has
    /// no `exp`.
    pub expires_in_secs: Option<u64>,
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
    /// `cnonce`: the nonce of the resource server's hint, bytes (RFC 9200 §5.3.1).
    pub client_nonce: Option<Vec<u8>>,
}

/// What claims must fit, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) audience: &'a str,
    pub(crate) now: UnixTime,
    pub(crate) leeway_secs: u64,
    pub(crate) lifetimes: Lifetimes,
}

/// Which ends of a token the resource server can judge.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Lifetimes {
    /// `exp`, by a clock. `exi` is not looked at.
    #[default]
    Dates,
    /// `exp`, and where there is none `exi`: the receiver keeps sequence numbers.
    DatesAndSpans,
    /// `exi` alone: the receiver has no clock (RFC 9200 §5.10.3).
    Spans,
}

impl Expected<'_> {
    /// When a token is over.
    pub(crate) fn end_of(
        &self,
        exp: Option<UnixTime>,
        exi: Option<u64>,
    ) -> Result<UnixTime, TokenError> {
        let from_now = exi.map(|secs| self.now.plus_secs(secs));
        let end = match self.lifetimes {
            Lifetimes::Dates => exp.ok_or(TokenError::BadClaim("exp"))?,
            Lifetimes::DatesAndSpans => exp.or(from_now).ok_or(TokenError::BadClaim("exp"))?,
            Lifetimes::Spans => from_now.ok_or(TokenError::BadClaim("exi"))?,
        };
        if end <= self.now {
            return Err(TokenError::Expired);
        }
        Ok(end)
    }

    /// Whether `nbf` is still to come. Without a clock nobody can say.
    pub(crate) fn is_early(&self, not_before: Option<UnixTime>) -> bool {
        self.lifetimes != Lifetimes::Spans
            && not_before.is_some_and(|date| date > self.now.plus_secs(self.leeway_secs))
    }
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
        let exp = members.take("exp")?.map(|NumericDate(date)| date);
        let expires_in_secs: Option<u64> = members.take("exi")?;
        let expires_at = expected.end_of(exp, expires_in_secs)?;
        let not_before: Option<NumericDate> = members.take("nbf")?;
        let not_before = not_before.map(|date| date.0);
        if expected.is_early(not_before) {
            return Err(TokenError::NotYetValid);
        }
        let audience = required::<Audience>(&members, "aud")?.into_vec();
        if !audience.iter().any(|one| one == expected.audience) {
            return Err(TokenError::WrongAudience);
        }
        let scope: String = required(&members, "scope")?;
        let nonce: Option<String> = members.take("cnonce")?;
        let nonce =
            nonce.map(|text| base64url::decode(&text).ok_or(TokenError::BadClaim("cnonce")));
        Ok(Self {
            scope: Scope::from_base64url(&scope)?,
            client_nonce: nonce.transpose()?,
            expires_in_secs,
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
        match self.expires_in_secs {
            None => map.serialize_entry("exp", &self.expires_at.0)?,
            Some(secs) => map.serialize_entry("exi", &secs)?,
        }
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
        if let Some(nonce) = &self.client_nonce {
            map.serialize_entry("cnonce", &base64url::encode(nonce))?;
        }
        map.end()
    }
}
