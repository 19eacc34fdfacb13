//! The one door for tokens, whichever form they have.

use std::borrow::Cow;

use crate::{Claims, TokenError, Validation, base64url, cwt, jwt, jwt::MAX_TOKEN_LENGTH};

/// What a token is, by its first byte.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// ASCII text with dots.
    Jwt,
    /// CBOR that starts with a tag.
    Cwt,
    /// A CWT as base64url: what a client holds that got it from the AS in JSON (RFC 9431 §2.2.4.2 does not say which of the two it shall
    /// send, so both are taken).
    CwtAsText,
}

impl Form {
    /// A CWT starts with tag 16, 17, 18 or 61, which are bytes beyond ASCII; their base64url starts with `0` or `2`; a JWT starts with
    /// base64url of `{` or of white space, none of which begins with those digits.
    pub fn of(token: &[u8]) -> Option<Self> {
        match token.first()? {
            0xd0..=0xd2 | 0xd8 => Some(Self::Cwt),
            b'0' | b'2' => Some(Self::CwtAsText),
            0..0x80 => Some(Self::Jwt),
            0x80.. => None,
        }
    }
}

/// Verifies a token as MQTT carries it and takes its claims: [`jwt::verify`] or [`cwt::verify`]. [`TokenError::UnknownKey`] is the caller's
/// cue to fetch the key set anew.
pub fn verify(token: &[u8], validation: &Validation<'_>) -> Result<Claims, TokenError> {
    if token.len() > MAX_TOKEN_LENGTH {
        return Err(TokenError::NotAToken);
    }
    match Form::of(token).ok_or(TokenError::NotAToken)? {
        Form::Jwt => jwt::verify(as_text(token)?, validation),
        Form::Cwt => cwt::verify(token, validation),
        Form::CwtAsText => {
            let token = base64url::decode(as_text(token)?).ok_or(TokenError::NotAToken)?;
            cwt::verify(&token, validation)
        }
    }
}

/// Who the token says that it is from, nothing verified: only to choose the keys that it is to be verified with, which then must be that
/// issuer's.
pub fn issuer(token: &[u8]) -> Result<String, TokenError> {
    if token.len() > MAX_TOKEN_LENGTH {
        return Err(TokenError::NotAToken);
    }
    match Form::of(token).ok_or(TokenError::NotAToken)? {
        Form::Jwt => jwt::issuer(as_text(token)?),
        Form::Cwt | Form::CwtAsText => cwt::issuer(&own_bytes(token)),
    }
}

/// The token's own bytes, byte for byte as its maker wrote them: of a CWT in a text what the text stands for, of others what is there. A key
/// is derived from these ([`derived_key`](crate::derived_key)).
pub fn own_bytes(token: &[u8]) -> Cow<'_, [u8]> {
    let is_text = Form::of(token) == Some(Form::CwtAsText);
    let text = is_text.then(|| str::from_utf8(token).ok()).flatten();
    let cwt = text.and_then(base64url::decode);
    cwt.map_or(Cow::Borrowed(token), Cow::Owned)
}

fn as_text(token: &[u8]) -> Result<&str, TokenError> {
    str::from_utf8(token).map_err(|_| TokenError::NotAToken)
}

/// The text in which a token of a CBOR message is kept: a CWT as base64url, a JWT as it is; `None` for what is neither.
pub(crate) fn to_text(token: &[u8]) -> Option<String> {
    match Form::of(token)? {
        Form::Cwt => Some(base64url::encode(token)),
        Form::Jwt | Form::CwtAsText => str::from_utf8(token).ok().map(str::to_owned),
    }
}

/// The bytes of such a text in a CBOR message, and as they reach the resource server in one: of base64url of a CWT the CWT, of any other
/// text its letters.
pub fn to_bytes(token: &str) -> Vec<u8> {
    let cwt = base64url::decode(token).filter(|bytes| Form::of(bytes) == Some(Form::Cwt));
    cwt.unwrap_or_else(|| token.as_bytes().to_vec())
}
