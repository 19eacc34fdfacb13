//! The question as `application/x-www-form-urlencoded` (RFC 7662 §2.1).

use super::IntrospectionRequest;
use crate::{MalformedMessage, form, token};

impl IntrospectionRequest {
    /// As a form, with `more` parameters behind. Fails for a token that is neither text nor a CWT.
    pub fn to_form(&self, more: &[(&str, &str)]) -> Result<String, MalformedMessage> {
        let token = token::to_text(&self.token).ok_or(MalformedMessage("token"))?;
        let hint = self.token_type_hint.as_deref();
        let hint = hint.map(|hint| ("token_type_hint", hint));
        let own = std::iter::once(("token", token.as_str())).chain(hint);
        Ok(form::encode(own.chain(more.iter().copied())))
    }
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
