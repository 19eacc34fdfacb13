//! The question as `application/x-www-form-urlencoded` (RFC 7662 §2.1).

use std::fmt::Write;

use super::IntrospectionRequest;
use crate::{MalformedMessage, token};

impl IntrospectionRequest {
    /// As a form, with `more` parameters behind. Fails for a token that is neither text nor a CWT.
    pub fn to_form(&self, more: &[(&str, &str)]) -> Result<String, MalformedMessage> {
        let token = token::to_text(&self.token).ok_or(MalformedMessage("token"))?;
        let hint = self.token_type_hint.as_deref();
        let hint = hint.map(|hint| ("token_type_hint", hint));
        let own = std::iter::once(("token", token.as_str())).chain(hint);
        let mut form = String::new();
        for (name, value) in own.chain(more.iter().copied()) {
            if !form.is_empty() {
                form.push('&');
            }
            form.push_str(name);
            form.push('=');
            form.push_str(&form_encoded(value));
        }
        Ok(form)
    }
}

/// `application/x-www-form-urlencoded` (RFC 6749 Appendix B).
pub(crate) fn form_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => {
                encoded.push(char::from(byte));
            }
            b' ' => encoded.push('+'),
            _ => write!(encoded, "%{byte:02X}").expect("a String takes everything"),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_a_form() {
        let question = IntrospectionRequest {
            token: b"a+b/c".to_vec(),
            token_type_hint: Some("PoP".to_owned()),
        };
        assert_eq!(
            question.to_form(&[("client_id", "b 1")]).unwrap(),
            "token=a%2Bb%2Fc&token_type_hint=PoP&client_id=b+1"
        );
    }
}
