//! Claims as CBOR (RFC 8392 §3, RFC 8747 §3.1, RFC 9200 §8.14).

use zeroize::Zeroizing;

use super::{Claims, Expected, NumericDate};
use crate::{
    Confirmation, Scope, TokenError, UnixTime,
    cbor::{self, MalformedMessage, Members, Value},
    confirmation::MalformedConfirmation,
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
const CNONCE: i64 = 39;
const EXI: i64 = 40;
/// No number is registered for it among the claims of a CWT, and a claim may be named by a text (RFC 8392 §1.1).
const CLIENT_ID: &str = "client_id";

impl Claims {
    /// From the CBOR of a token whose protection has been verified. The checks and their order are those of [`Claims::verify_json`].
    pub(crate) fn verify_cbor(payload: &[u8], expected: &Expected<'_>) -> Result<Self, TokenError> {
        let members = cbor::decode_map(payload).map_err(|_| TokenError::NotAToken)?;
        let issuer = required(members.text(ISS, "iss")?, "iss")?;
        if issuer != expected.issuer {
            return Err(TokenError::WrongIssuer);
        }
        let exp = members.parsed(EXP, "exp", date_from)?;
        let expires_in_secs = members.parsed(EXI, "exi", Value::as_unsigned)?;
        let expires_at = expected.end_of(exp, expires_in_secs)?;
        let not_before = members.parsed(NBF, "nbf", date_from)?;
        if expected.is_early(not_before) {
            return Err(TokenError::NotYetValid);
        }
        let audience = required(members.parsed(AUD, "aud", audience_from)?, "aud")?;
        if !audience.iter().any(|one| one == expected.audience) {
            return Err(TokenError::WrongAudience);
        }
        let scope = Scope::from_cbor(required(members.bytes(SCOPE, "scope")?, "scope")?)?;
        let cnf = members.parsed(CNF, "cnf", |cnf| Confirmation::from_cbor_value(cnf).ok())?;
        let client_id = members.get_named(CLIENT_ID);
        Ok(Self {
            scope,
            confirmation: required(cnf, "cnf")?,
            subject: members.text(SUB, "sub")?,
            client_id: cbor::read(client_id, CLIENT_ID, Value::as_text)?.map(str::to_owned),
            issued_at: members.parsed(IAT, "iat", date_from)?,
            token_identifier: members.bytes(CTI, "cti")?.map(identifier::to_text),
            issuer,
            client_nonce: members.bytes(CNONCE, "cnonce")?.map(<[u8]>::to_vec),
            audience,
            expires_at,
            expires_in_secs,
            not_before,
        })
    }

    /// `iss` alone, nothing verified.
    pub(crate) fn issuer_in_cbor(payload: &[u8]) -> Result<String, TokenError> {
        let members = cbor::decode_map(payload).map_err(|_| TokenError::NotAToken)?;
        required(members.text(ISS, "iss")?, "iss")
    }

    /// As the claims of a CWT.
    pub(crate) fn to_cbor(&self) -> Result<Zeroizing<Vec<u8>>, MalformedConfirmation> {
        let cnf = self.confirmation.to_cbor()?;
        let scope = self.scope.to_cbor();
        let identifier = self.token_identifier.as_deref().map(identifier::to_bytes);
        let mut members = Members::default();
        members.push(ISS, Value::Text(&self.issuer));
        members.push_text(SUB, self.subject.as_deref());
        members.push(AUD, audience_value(&self.audience));
        if self.expires_in_secs.is_none() {
            members.push(EXP, Value::Unsigned(self.expires_at.0));
        }
        members.push_unsigned(NBF, self.not_before.map(|UnixTime(secs)| secs));
        members.push_unsigned(IAT, self.issued_at.map(|UnixTime(secs)| secs));
        members.push_bytes(CTI, identifier.as_deref());
        members.push(CNF, Value::Encoded(&cnf));
        members.push(SCOPE, Value::Bytes(&scope));
        members.push_bytes(CNONCE, self.client_nonce.as_deref());
        members.push_unsigned(EXI, self.expires_in_secs);
        if let Some(client_id) = &self.client_id {
            members.push_named(CLIENT_ID, Value::Text(client_id));
        }
        Ok(Value::Map(members).encode_secret())
    }
}

fn required<T>(claim: Option<T>, name: &'static str) -> Result<T, TokenError> {
    claim.ok_or(TokenError::BadClaim(name))
}

impl From<MalformedMessage> for TokenError {
    fn from(MalformedMessage(name): MalformedMessage) -> Self {
        Self::BadClaim(name)
    }
}

/// One audience as a text, several as an array (RFC 8392 §3.1.3).
pub(crate) fn audience_value(audience: &[String]) -> Value<'_> {
    match audience {
        [one] => Value::Text(one),
        many => Value::Array(many.iter().map(|one| Value::Text(one)).collect()),
    }
}

/// The reverse of [`audience_value`].
pub(crate) fn audience_from(value: &Value<'_>) -> Option<Vec<String>> {
    if let Some(one) = value.as_text() {
        return Some(vec![one.to_owned()]);
    }
    let texts = value.as_array()?.iter().map(Value::as_text);
    texts.map(|text| text.map(str::to_owned)).collect()
}

/// A date, possibly with a fraction, which is cut off (RFC 8392 §2).
pub(crate) fn date_from(value: &Value<'_>) -> Option<UnixTime> {
    if let Value::Float(secs) = value {
        return NumericDate::from_float(*secs).map(|NumericDate(date)| date);
    }
    value.as_unsigned().map(UnixTime)
}
