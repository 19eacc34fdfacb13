//! What the introspection and the revocation endpoint are asked (RFC 7662 §2.1, RFC 9200 §5.9.1, RFC 7009 §2.1), at the AS: a token, and how
//! the asker authenticates.

use crate::{
    ErrorResponse, IntrospectionRequest, MalformedMessage, TokenRequest,
    cbor::{self, Value},
    json_object::{BadMember, Members},
    token, token_request,
};

/// One question about a token. `Debug` shows neither the token nor a credential.
#[derive(Clone)]
pub struct TokenQuestion {
    /// `token`: a CWT as bytes, whatever it came in; any other token as its text.
    pub token: Vec<u8>,
    /// `token_type_hint`.
    pub token_type_hint: Option<String>,
    /// The members that authenticate the asker, in a request that asks for nothing.
    pub credentials: TokenRequest,
}

/// The member with the asker's secret (RFC 9200 Figure 12); the introspection endpoint's own table has none.
const CLIENT_SECRET: i64 = 25;
const CLIENT_ID: i64 = 24;

impl TokenQuestion {
    /// From `application/x-www-form-urlencoded`.
    pub fn from_form(body: &[u8]) -> Result<Self, ErrorResponse> {
        let mut form = token_request::parse_form(body)?;
        let mut take = |name: &str| form.remove(name).filter(|value| !value.is_empty());
        Self::from_texts(|name| Ok(take(name)))
    }

    /// From JSON; unknown members are ignored.
    pub fn from_json(body: &[u8]) -> Result<Self, ErrorResponse> {
        let members = Members::parse(body)
            .map_err(|_| invalid("the body is not a JSON object with unique members"))?;
        Self::from_texts(|name| members.take::<String>(name).map_err(malformed))
    }

    fn from_texts(
        mut take: impl FnMut(&'static str) -> Result<Option<String>, ErrorResponse>,
    ) -> Result<Self, ErrorResponse> {
        let token = take("token")?.ok_or_else(|| invalid("token is missing"))?;
        Ok(Self {
            token: token::to_bytes(&token),
            token_type_hint: take("token_type_hint")?,
            credentials: TokenRequest {
                client_id: take("client_id")?,
                client_secret: take("client_secret")?,
                client_assertion_type: take("client_assertion_type")?,
                client_assertion: take("client_assertion")?,
                ..TokenRequest::default()
            },
        })
    }

    /// From `application/ace+cbor`. A CWT in text is taken for what it stands for.
    pub fn from_cbor(body: &[u8]) -> Result<Self, ErrorResponse> {
        let question = IntrospectionRequest::from_cbor(body).map_err(not_a_question)?;
        let members = cbor::decode_map(body).map_err(|_| invalid("the body is malformed"))?;
        let secret = members.bytes(CLIENT_SECRET, "client_secret");
        let secret = secret.map_err(not_a_question)?.map(|secret| {
            let text = str::from_utf8(secret).map_err(|_| malformed(BadMember("client_secret")))?;
            Ok::<_, ErrorResponse>(text.to_owned())
        });
        let named = |name| {
            let text = cbor::read(members.get_named(name), name, Value::as_text);
            text.map(|text| text.map(str::to_owned))
                .map_err(not_a_question)
        };
        let as_text = str::from_utf8(&question.token).ok();
        Ok(Self {
            token: as_text.map_or_else(|| question.token.clone(), token::to_bytes),
            token_type_hint: question.token_type_hint,
            credentials: TokenRequest {
                client_id: members
                    .text(CLIENT_ID, "client_id")
                    .map_err(not_a_question)?,
                client_secret: secret.transpose()?,
                client_assertion_type: named("client_assertion_type")?,
                client_assertion: named("client_assertion")?,
                ..TokenRequest::default()
            },
        })
    }
}

impl std::fmt::Debug for TokenQuestion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenQuestion")
            .field("token_type_hint", &self.token_type_hint)
            .finish_non_exhaustive()
    }
}

fn invalid(description: &str) -> ErrorResponse {
    ErrorResponse::new(crate::ErrorCode::InvalidRequest, description)
}

fn malformed(BadMember(name): BadMember) -> ErrorResponse {
    invalid(&format!("{name} is malformed"))
}

fn not_a_question(MalformedMessage(name): MalformedMessage) -> ErrorResponse {
    malformed(BadMember(name))
}
