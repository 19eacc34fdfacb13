//! The token request as CBOR (RFC 9200 §5.8.4 and Figure 12, RFC 9201 §3.1).

use zeroize::Zeroizing;

use super::{MAX_NONCE_LENGTH, TokenRequest, invalid_request, malformed};
use crate::{
    Confirmation, ErrorCode, ErrorResponse, PROFILE_NUMBER, Scope, base64url,
    cbor::{self, MalformedMessage, Members, Value},
    confirmation::MalformedConfirmation,
    identifier,
    json_object::BadMember,
};

const REQ_CNF: i64 = 4;
const AUDIENCE: i64 = 5;
const SCOPE: i64 = 9;
const CLIENT_ID: i64 = 24;
const CLIENT_SECRET: i64 = 25;
const GRANT_TYPE: i64 = 33;
const REFRESH_TOKEN: i64 = 37;
const ACE_PROFILE: i64 = 38;
const CNONCE: i64 = 39;
/// Have no numbers; a text may name a parameter.
const CLIENT_ASSERTION_TYPE: &str = "client_assertion_type";
const CLIENT_ASSERTION: &str = "client_assertion";

/// RFC 9200 Figure 11: each at the place of its number.
const GRANT_TYPES: [&str; 4] = [
    "password",
    "authorization_code",
    "client_credentials",
    "refresh_token",
];

impl TokenRequest {
    /// From `application/ace+cbor`. Unknown members are ignored; the same key twice is refused.
    pub fn from_cbor(body: &[u8]) -> Result<Self, ErrorResponse> {
        let members = cbor::decode_map(body).map_err(|_| {
            invalid_request(
                "the body is not a CBOR map in preferred serialization with unique keys",
            )
        })?;
        let text = |label, name| members.text(label, name).map_err(refused);
        let named = |name| {
            let text = cbor::read(members.get_named(name), name, Value::as_text);
            text.map(|text| text.map(str::to_owned)).map_err(refused)
        };
        let secret = members.bytes(CLIENT_SECRET, "client_secret");
        let secret = secret.map_err(refused)?.map(|secret| {
            let text = str::from_utf8(secret).map_err(|_| malformed(BadMember("client_secret")))?;
            Ok(text.to_owned())
        });
        let confirmation = |value: &_| Confirmation::from_cbor_value(value).ok();
        let scope = members.get(SCOPE).map(|scope| {
            Scope::from_cbor_value(scope)
                .map_err(|error| ErrorResponse::new(ErrorCode::InvalidScope, &error.to_string()))
        });
        Ok(Self {
            grant_type: members
                .parsed(GRANT_TYPE, "grant_type", grant_type)
                .map_err(refused)?,
            client_id: text(CLIENT_ID, "client_id")?,
            client_secret: secret.transpose()?,
            client_assertion_type: named(CLIENT_ASSERTION_TYPE)?,
            client_assertion: named(CLIENT_ASSERTION)?,
            audience: text(AUDIENCE, "audience")?,
            scope: scope.transpose()?,
            req_cnf: members
                .parsed(REQ_CNF, "req_cnf", confirmation)
                .map_err(refused)?,
            client_nonce: members.parsed(CNONCE, "cnonce", nonce).map_err(refused)?,
            refresh_token: members
                .bytes(REFRESH_TOKEN, "refresh_token")
                .map_err(refused)?
                .map(base64url::encode),
            profile_asked: members
                .get(ACE_PROFILE)
                .map(check_profile)
                .transpose()?
                .is_some(),
        })
    }

    /// As `application/ace+cbor`, for a client; wiped when dropped since it may hold a credential. Fails where [`Confirmation::to_cbor`] does.
    pub fn to_cbor(&self) -> Result<Zeroizing<Vec<u8>>, MalformedConfirmation> {
        let scope = self.scope.as_ref().map(Scope::to_cbor);
        let req_cnf = self.req_cnf.as_ref().map(Confirmation::to_cbor);
        let req_cnf = req_cnf.transpose()?;
        let mut members = Members::default();
        if let Some(name) = &self.grant_type {
            let number = GRANT_TYPES.iter().position(|known| known == name);
            let value = number.map_or(Value::Text(name), |number| Value::Unsigned(number as u64));
            members.push(GRANT_TYPE, value);
        }
        members.push_text(CLIENT_ID, self.client_id.as_deref());
        members.push_bytes(
            CLIENT_SECRET,
            self.client_secret.as_deref().map(str::as_bytes),
        );
        members.push_text(AUDIENCE, self.audience.as_deref());
        members.push_bytes(SCOPE, scope.as_deref());
        let assertion = [
            (CLIENT_ASSERTION_TYPE, &self.client_assertion_type),
            (CLIENT_ASSERTION, &self.client_assertion),
        ];
        for (name, text) in assertion {
            if let Some(text) = text {
                members.push_named(name, Value::Text(text));
            }
        }
        if let Some(req_cnf) = &req_cnf {
            members.push(REQ_CNF, Value::Encoded(req_cnf));
        }
        let refresh_token = self.refresh_token.as_deref().map(identifier::to_bytes);
        members.push_bytes(REFRESH_TOKEN, refresh_token.as_deref());
        members.push_bytes(CNONCE, self.client_nonce.as_deref());
        if self.profile_asked {
            members.push(ACE_PROFILE, Value::Null);
        }
        Ok(Value::Map(members).encode_secret())
    }
}

fn nonce(value: &Value<'_>) -> Option<Vec<u8>> {
    let nonce = value.as_bytes()?;
    (nonce.len() <= MAX_NONCE_LENGTH).then(|| nonce.to_vec())
}

/// The number of a grant, or the name of one that has none.
fn grant_type(value: &Value<'_>) -> Option<String> {
    if let Some(name) = value.as_text() {
        return Some(name.to_owned());
    }
    let number = usize::try_from(value.as_unsigned()?).ok()?;
    GRANT_TYPES.get(number).map(|name| (*name).to_owned())
}

/// Refuses every profile but ours; `null` asks for the name of it. A text is no profile in CBOR (RFC 9200 §5.8.4.3).
fn check_profile(profile: &Value<'_>) -> Result<(), ErrorResponse> {
    match profile.as_integer() {
        None if *profile == Value::Null => Ok(()),
        Some(PROFILE_NUMBER) => Ok(()),
        Some(_) => Err(ErrorResponse::new(
            ErrorCode::IncompatibleAceProfiles,
            "the only profile here is mqtt_tls",
        )),
        None => Err(malformed(BadMember("ace_profile"))),
    }
}

fn refused(MalformedMessage(name): MalformedMessage) -> ErrorResponse {
    malformed(BadMember(name))
}
