//! Introspection as CBOR (RFC 9200 §5.9.4, Figure 16). Keys 1 to 5 mean other things here than at the token endpoint.

use zeroize::Zeroizing;

use super::{ActiveToken, IntrospectionRequest, IntrospectionResponse};
use crate::{
    Confirmation, PROFILE_NUMBER, Scope, UnixTime,
    cbor::{self, MalformedMessage, Members, Value},
    claims::cbor::{audience_from, audience_value, date_from},
    identifier,
};

const ISS: i64 = 1;
const SUB: i64 = 2;
const AUD: i64 = 3;
const EXP: i64 = 4;
const NBF: i64 = 5;
const IAT: i64 = 6;
const CTI: i64 = 7;
const CNF: i64 = 8;
const SCOPE: i64 = 9;
const ACTIVE: i64 = 10;
const TOKEN: i64 = 11;
const CLIENT_ID: i64 = 24;
const TOKEN_TYPE_HINT: i64 = 33;
const ACE_PROFILE: i64 = 38;
const CNONCE: i64 = 39;
const EXI: i64 = 40;

/// The number of the hint in RFC 9200 Figure 14, where the table has a text.
const POP: u64 = 2;

impl IntrospectionRequest {
    /// As `application/ace+cbor`.
    pub fn to_cbor(&self) -> Vec<u8> {
        let mut members = Members::default();
        members.push_bytes(TOKEN, Some(&self.token));
        members.push_text(TOKEN_TYPE_HINT, self.token_type_hint.as_deref());
        Value::Map(members).encode()
    }

    /// From `application/ace+cbor`. The hint may be a number: RFC 9200's table says text and its example has an integer.
    pub fn from_cbor(bytes: &[u8]) -> Result<Self, MalformedMessage> {
        let members = cbor::decode_map(bytes)?;
        let token = members.bytes(TOKEN, "token")?;
        Ok(Self {
            token: token.ok_or(MalformedMessage("token"))?.to_vec(),
            token_type_hint: members.parsed(TOKEN_TYPE_HINT, "token_type_hint", hint)?,
        })
    }
}

fn hint(value: &Value<'_>) -> Option<String> {
    match value.as_unsigned() {
        Some(POP) => Some("PoP".to_owned()),
        Some(other) => Some(other.to_string()),
        None => value.as_text().map(str::to_owned),
    }
}

impl IntrospectionResponse {
    /// As `application/ace+cbor`; wiped when dropped since it may hold a key. Fails where [`Confirmation::to_cbor`] does.
    pub fn to_cbor(&self) -> Result<Zeroizing<Vec<u8>>, MalformedMessage> {
        match self {
            Self::Inactive => {
                let inactive = vec![(ACTIVE, Value::Bool(false))];
                Ok(Value::map(inactive).encode_secret())
            }
            Self::Active(token) => token.to_cbor(),
        }
    }

    /// From `application/ace+cbor`; unknown members are ignored.
    pub fn from_cbor(bytes: &[u8]) -> Result<Self, MalformedMessage> {
        let members = cbor::decode_map(bytes)?;
        let active = members.parsed(ACTIVE, "active", Value::as_bool)?;
        if active.ok_or(MalformedMessage("active"))? {
            ActiveToken::from_cbor(&members).map(|token| Self::Active(Box::new(token)))
        } else {
            Ok(Self::Inactive)
        }
    }
}

impl ActiveToken {
    fn to_cbor(&self) -> Result<Zeroizing<Vec<u8>>, MalformedMessage> {
        let scope = self.scope.as_ref().map(Scope::to_cbor);
        let identifier = self.token_identifier.as_deref().map(identifier::to_bytes);
        let cnf = self.confirmation.as_ref().map(Confirmation::to_cbor);
        let cnf = cnf.transpose().map_err(|_| MalformedMessage("cnf"))?;
        let secs = |date: Option<UnixTime>| date.map(|UnixTime(secs)| secs);
        let mut members = Members::default();
        members.push(ACTIVE, Value::Bool(true));
        members.push_text(ISS, self.issuer.as_deref());
        members.push_text(SUB, self.subject.as_deref());
        members.push_text(CLIENT_ID, self.client_id.as_deref());
        if !self.audience.is_empty() {
            members.push(AUD, audience_value(&self.audience));
        }
        members.push_unsigned(EXP, secs(self.expires_at));
        members.push_unsigned(NBF, secs(self.not_before));
        members.push_unsigned(IAT, secs(self.issued_at));
        members.push_bytes(CTI, identifier.as_deref());
        members.push_unsigned(EXI, self.expires_in_secs);
        members.push_bytes(SCOPE, scope.as_deref());
        if let Some(cnf) = &cnf {
            members.push(CNF, Value::Encoded(cnf));
        }
        members.push_bytes(CNONCE, self.client_nonce.as_deref());
        if self.profile_named {
            members.push(ACE_PROFILE, Value::integer(PROFILE_NUMBER));
        }
        Ok(Value::Map(members).encode_secret())
    }

    fn from_cbor(members: &Members<'_>) -> Result<Self, MalformedMessage> {
        let confirmation = |value: &_| Confirmation::from_cbor_value(value).ok();
        let scope = |value: &_| Scope::from_cbor_value(value).ok();
        let profile = members.parsed(ACE_PROFILE, "ace_profile", Value::as_integer)?;
        Ok(Self {
            issuer: members.text(ISS, "iss")?,
            subject: members.text(SUB, "sub")?,
            client_id: members.text(CLIENT_ID, "client_id")?,
            audience: members
                .parsed(AUD, "aud", audience_from)?
                .unwrap_or_default(),
            expires_at: members.parsed(EXP, "exp", date_from)?,
            not_before: members.parsed(NBF, "nbf", date_from)?,
            issued_at: members.parsed(IAT, "iat", date_from)?,
            token_identifier: members.bytes(CTI, "cti")?.map(identifier::to_text),
            expires_in_secs: members.parsed(EXI, "exi", Value::as_unsigned)?,
            scope: members.parsed(SCOPE, "scope", scope)?,
            confirmation: members.parsed(CNF, "cnf", confirmation)?,
            client_nonce: members.bytes(CNONCE, "cnonce")?.map(<[u8]>::to_vec),
            profile_named: profile == Some(PROFILE_NUMBER),
        })
    }
}
