//! Introspection as JSON (RFC 7662 §2, RFC 9200 §5.9).

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{ActiveToken, IntrospectionRequest, IntrospectionResponse};
use crate::{
    MalformedMessage, PROFILE, Scope, base64url,
    claims::{Audience, NumericDate},
    json_object::{BadMember, Members, to_json},
    token,
};

impl IntrospectionRequest {
    /// As JSON. Fails for a token that is neither text nor a CWT.
    pub fn to_json(&self) -> Result<String, MalformedMessage> {
        let token = token::to_text(&self.token).ok_or(MalformedMessage("token"))?;
        Ok(match &self.token_type_hint {
            Some(hint) => serde_json::json!({ "token": token, "token_type_hint": hint }),
            None => serde_json::json!({ "token": token }),
        }
        .to_string())
    }

    /// From JSON; unknown members are ignored.
    pub fn from_json(body: &[u8]) -> Result<Self, MalformedMessage> {
        let members = Members::parse(body).map_err(|_| MalformedMessage("not a JSON object"))?;
        let token: Option<String> = members.take("token")?;
        Ok(Self {
            token: token::to_bytes(&token.ok_or(MalformedMessage("token"))?),
            token_type_hint: members.take("token_type_hint")?,
        })
    }
}

impl IntrospectionResponse {
    /// As JSON. It may hold a key.
    pub fn to_json(&self) -> zeroize::Zeroizing<String> {
        zeroize::Zeroizing::new(match self {
            Self::Inactive => r#"{"active":false}"#.to_owned(),
            Self::Active(token) => to_json(token),
        })
    }

    /// From JSON; unknown members are ignored.
    pub fn from_json(body: &[u8]) -> Result<Self, MalformedMessage> {
        let members = Members::parse(body).map_err(|_| MalformedMessage("not a JSON object"))?;
        let active: Option<bool> = members.take("active")?;
        if active.ok_or(MalformedMessage("active"))? {
            ActiveToken::from_members(&members).map(|token| Self::Active(Box::new(token)))
        } else {
            Ok(Self::Inactive)
        }
    }
}

impl ActiveToken {
    fn from_members(members: &Members<'_>) -> Result<Self, MalformedMessage> {
        let date = |name| {
            let date = members.take::<NumericDate>(name)?;
            Ok::<_, MalformedMessage>(date.map(|NumericDate(date)| date))
        };
        let scope: Option<String> = members.take("scope")?;
        let scope = scope.map(|text| Scope::from_base64url(&text));
        let nonce: Option<String> = members.take("cnonce")?;
        let nonce = nonce.map(|text| base64url::decode(&text).ok_or(MalformedMessage("cnonce")));
        let profile: Option<String> = members.take("ace_profile")?;
        Ok(Self {
            issuer: members.take("iss")?,
            subject: members.take("sub")?,
            client_id: members.take("client_id")?,
            audience: members
                .take::<Audience>("aud")?
                .map(Audience::into_vec)
                .unwrap_or_default(),
            expires_at: date("exp")?,
            not_before: date("nbf")?,
            issued_at: date("iat")?,
            token_identifier: members.take("jti")?,
            expires_in_secs: members.take("exi")?,
            scope: scope.transpose().map_err(|_| MalformedMessage("scope"))?,
            confirmation: members.take("cnf")?,
            client_nonce: nonce.transpose()?,
            profile_named: profile.as_deref() == Some(PROFILE),
        })
    }
}

impl Serialize for ActiveToken {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("active", &true)?;
        let texts = [
            ("iss", &self.issuer),
            ("sub", &self.subject),
            ("client_id", &self.client_id),
            ("jti", &self.token_identifier),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                map.serialize_entry(name, text)?;
            }
        }
        match self.audience.as_slice() {
            [] => {}
            [one] => map.serialize_entry("aud", one)?,
            many => map.serialize_entry("aud", many)?,
        }
        let numbers = [
            ("exp", self.expires_at.map(|date| date.0)),
            ("nbf", self.not_before.map(|date| date.0)),
            ("iat", self.issued_at.map(|date| date.0)),
            ("exi", self.expires_in_secs),
        ];
        for (name, number) in numbers {
            if let Some(number) = number {
                map.serialize_entry(name, &number)?;
            }
        }
        if let Some(scope) = &self.scope {
            map.serialize_entry("scope", scope)?;
        }
        if let Some(confirmation) = &self.confirmation {
            map.serialize_entry("cnf", confirmation)?;
        }
        if let Some(nonce) = &self.client_nonce {
            map.serialize_entry("cnonce", &base64url::encode(nonce))?;
        }
        if self.profile_named {
            map.serialize_entry("ace_profile", PROFILE)?;
        }
        map.end()
    }
}

impl From<BadMember> for MalformedMessage {
    fn from(BadMember(name): BadMember) -> Self {
        Self(name)
    }
}
