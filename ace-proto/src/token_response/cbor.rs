//! The answers of the token endpoint as CBOR (RFC 9200 §5.8.4 and Figure 12, RFC 9201 §3.2).

use serde_json::json;
use zeroize::Zeroizing;

use super::{ErrorCode, ErrorResponse, TokenResponse};
use crate::{
    Confirmation, Jwk, PROFILE, PROFILE_NUMBER, Scope, base64url,
    cbor::{self, MalformedMessage, Members, Value},
    identifier, token,
};

const ACCESS_TOKEN: i64 = 1;
const EXPIRES_IN: i64 = 2;
const CNF: i64 = 8;
const SCOPE: i64 = 9;
const ERROR: i64 = 30;
const ERROR_DESCRIPTION: i64 = 31;
const TOKEN_TYPE: i64 = 34;
const REFRESH_TOKEN: i64 = 37;
const ACE_PROFILE: i64 = 38;
const RS_CNF: i64 = 41;

/// In a confirmation: the key itself (RFC 8747 §3.2).
const COSE_KEY: i64 = 1;
/// A certificate's thumbprint, which has no number there: by its name in JSON, as bytes.
const THUMBPRINT: &str = "x5t#S256";

/// RFC 9200 §8.7: numbers of token types.
const TOKEN_TYPES: [(u64, &str); 2] = [(1, "Bearer"), (2, "PoP")];

impl TokenResponse {
    /// From `application/ace+cbor`, at a client; unknown members are ignored.
    pub fn from_cbor(body: &[u8]) -> Result<Self, MalformedMessage> {
        let members = cbor::decode_map(body)?;
        let access_token = members.bytes(ACCESS_TOKEN, "access_token")?;
        let access_token = access_token.and_then(token::to_text);
        let confirmation = |value: &_| Confirmation::from_cbor_value(value).ok();
        let scope = |value: &_| Scope::from_cbor_value(value).ok();
        Ok(Self {
            access_token: access_token.ok_or(MalformedMessage("access_token"))?,
            token_type: members.parsed(TOKEN_TYPE, "token_type", token_type)?,
            expires_in_secs: members.parsed(EXPIRES_IN, "expires_in", Value::as_unsigned)?,
            scope: members.parsed(SCOPE, "scope", scope)?,
            cnf: members.parsed(CNF, "cnf", confirmation)?,
            rs_cnf: members.parsed(RS_CNF, "rs_cnf", rs_cnf_to_json)?,
            refresh_token: members
                .bytes(REFRESH_TOKEN, "refresh_token")?
                .map(base64url::encode),
            ace_profile: members.parsed(ACE_PROFILE, "ace_profile", profile)?,
        })
    }

    /// As `application/ace+cbor`; wiped when dropped since it may hold a key. Fails if the confirmations, the token's type or the profile have
    /// no form in CBOR.
    pub fn to_cbor(&self) -> Result<Zeroizing<Vec<u8>>, MalformedMessage> {
        let access_token = token::to_bytes(&self.access_token);
        let scope = self.scope.as_ref().map(Scope::to_cbor);
        let cnf = self.cnf.as_ref().map(Confirmation::to_cbor).transpose();
        let cnf = cnf.map_err(|_| MalformedMessage("cnf"))?;
        let rs_cnf = self.rs_cnf.as_ref().map(rs_cnf_to_cbor);
        let mut members = Members::default();
        members.push_bytes(ACCESS_TOKEN, Some(&access_token));
        if let Some(name) = &self.token_type {
            let known = TOKEN_TYPES
                .iter()
                .find(|(_, own)| own.eq_ignore_ascii_case(name));
            let (number, _) = known.ok_or(MalformedMessage("token_type"))?;
            members.push_unsigned(TOKEN_TYPE, Some(*number));
        }
        members.push_unsigned(EXPIRES_IN, self.expires_in_secs);
        members.push_bytes(SCOPE, scope.as_deref());
        if let Some(cnf) = &cnf {
            members.push(CNF, Value::Encoded(cnf));
        }
        let rs_cnf = match rs_cnf {
            Some(encoded) => Some(encoded.ok_or(MalformedMessage("rs_cnf"))?),
            None => None,
        };
        if let Some(rs_cnf) = &rs_cnf {
            members.push(RS_CNF, Value::Encoded(rs_cnf));
        }
        let refresh_token = self.refresh_token.as_deref().map(identifier::to_bytes);
        members.push_bytes(REFRESH_TOKEN, refresh_token.as_deref());
        match self.ace_profile.as_deref() {
            None => {}
            Some(PROFILE) => members.push(ACE_PROFILE, Value::integer(PROFILE_NUMBER)),
            Some(_) => return Err(MalformedMessage("ace_profile")),
        }
        Ok(Value::Map(members).encode_secret())
    }
}

fn token_type(value: &Value<'_>) -> Option<String> {
    let number = value.as_unsigned()?;
    let known = TOKEN_TYPES.iter().find(|(own, _)| *own == number);
    known.map(|(_, name)| (*name).to_owned())
}

/// The name of our profile. Another number is kept as a text, so that a client sees that it is not ours.
fn profile(value: &Value<'_>) -> Option<String> {
    match value.as_integer()? {
        PROFILE_NUMBER => Some(PROFILE.to_owned()),
        other => Some(other.to_string()),
    }
}

fn rs_cnf_to_json(value: &Value<'_>) -> Option<serde_json::Value> {
    let members = value.as_map()?;
    match (members.get(COSE_KEY), members.get_named(THUMBPRINT)) {
        (Some(key), None) => {
            let jwk = Jwk::from_cose_members(key.as_map()?).ok()?;
            Some(json!({ "jwk": jwk }))
        }
        (None, Some(thumbprint)) => {
            Some(json!({ THUMBPRINT: base64url::encode(thumbprint.as_bytes()?) }))
        }
        (None, None) | (Some(_), Some(_)) => None,
    }
}

fn rs_cnf_to_cbor(rs_cnf: &serde_json::Value) -> Option<Zeroizing<Vec<u8>>> {
    let mut members = Members::default();
    if let Some(jwk) = rs_cnf.get("jwk") {
        let jwk: Jwk = serde_json::from_value(jwk.clone()).ok()?;
        let key = jwk.to_cose_key().ok()?;
        members.push(COSE_KEY, Value::Encoded(&key));
        return Some(Value::Map(members).encode_secret());
    }
    let thumbprint = base64url::decode(rs_cnf.get(THUMBPRINT)?.as_str()?)?;
    members.push_named(THUMBPRINT, Value::Bytes(&thumbprint));
    Some(Value::Map(members).encode_secret())
}

impl ErrorResponse {
    /// From CBOR, at a client; unknown members are ignored. Fails for an error code that RFC 9200 does not know.
    pub fn from_cbor(body: &[u8]) -> Result<Self, MalformedMessage> {
        let members = cbor::decode_map(body)?;
        let code = members.parsed(ERROR, "error", |code| {
            ErrorCode::from_number(code.as_integer()?)
        })?;
        let description = members.text(ERROR_DESCRIPTION, "error_description")?;
        let code = code.ok_or(MalformedMessage("error"))?;
        Ok(Self::new(code, &description.unwrap_or_default()))
    }

    /// As CBOR.
    pub fn to_cbor(&self) -> Vec<u8> {
        // `new` sees to the characters that are allowed.
        let allowed = Self::new(self.code, &self.description);
        let mut members = Members::default();
        members.push(ERROR, Value::integer(self.code.number()));
        let description = Some(allowed.description.as_str());
        members.push_text(
            ERROR_DESCRIPTION,
            description.filter(|text| !text.is_empty()),
        );
        Value::Map(members).encode()
    }
}

impl ErrorCode {
    /// The number of RFC 9200 Figure 10.
    pub fn number(self) -> i64 {
        match self {
            Self::InvalidRequest => 1,
            Self::InvalidClient => 2,
            Self::InvalidGrant => 3,
            Self::UnauthorizedClient => 4,
            Self::UnsupportedGrantType => 5,
            Self::InvalidScope => 6,
            Self::UnsupportedPopKey => 7,
            Self::IncompatibleAceProfiles => 8,
        }
    }

    /// From that number.
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.number() == number)
    }
}
