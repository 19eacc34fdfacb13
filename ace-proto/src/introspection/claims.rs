//! What an active token says, judged like the claims of a token that says it itself (RFC 9200 §5.9, §5.10.1.1).

use super::ActiveToken;
use crate::{Claims, TokenError, Validation};

impl ActiveToken {
    /// The claims, checked in the order of [`jwt::verify`](crate::jwt::verify). What the answer may leave out because the authorization server
    /// vouches for it by answering, `iss` and `aud`, need not be there; an end, a scope and a key must be.
    pub fn verify(&self, validation: &Validation<'_>) -> Result<Claims, TokenError> {
        let expected = validation.expected();
        let issuer = self.issuer.as_deref().unwrap_or(expected.issuer);
        if issuer != expected.issuer {
            return Err(TokenError::WrongIssuer);
        }
        let expires_at = expected.end_of(self.expires_at, self.expires_in_secs)?;
        if expected.is_early(self.not_before) {
            return Err(TokenError::NotYetValid);
        }
        let for_us = self.audience.iter().any(|one| one == expected.audience);
        if !self.audience.is_empty() && !for_us {
            return Err(TokenError::WrongAudience);
        }
        Ok(Claims {
            issuer: issuer.to_owned(),
            subject: self.subject.clone(),
            client_id: self.client_id.clone(),
            audience: vec![expected.audience.to_owned()],
            expires_at,
            expires_in_secs: None,
            not_before: self.not_before,
            issued_at: self.issued_at,
            token_identifier: self.token_identifier.clone(),
            scope: self.scope.clone().ok_or(TokenError::BadClaim("scope"))?,
            confirmation: (self.confirmation.clone()).ok_or(TokenError::BadClaim("cnf"))?,
            client_nonce: self.client_nonce.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Confirmation, KeySet, Lifetimes, Scope, UnixTime};

    const NOW: UnixTime = UnixTime(1_800_000_000);

    fn verify(token: &ActiveToken) -> Result<Claims, TokenError> {
        token.verify(&Validation {
            keys: &KeySet::default(),
            issuer: "https://as.example",
            audience: "mqtts://broker.example",
            now: NOW,
            leeway_secs: 5,
            lifetimes: Lifetimes::Dates,
        })
    }

    fn token() -> ActiveToken {
        ActiveToken {
            expires_at: Some(NOW.plus_secs(1)),
            scope: Some(Scope::from_json(r#"[["t",["pub"]]]"#).unwrap()),
            confirmation: Some(Confirmation::KeyIdentifier(vec![1])),
            ..ActiveToken::default()
        }
    }

    #[test]
    fn an_answer_is_judged_like_a_token() {
        assert_eq!(verify(&token()).unwrap().issuer, "https://as.example");
        let refused = |change: fn(&mut ActiveToken)| {
            let mut token = token();
            change(&mut token);
            verify(&token).unwrap_err()
        };
        let issuer = refused(|token| token.issuer = Some("https://other.example".into()));
        assert_eq!(issuer, TokenError::WrongIssuer);
        assert_eq!(
            refused(|token| token.expires_at = None),
            TokenError::BadClaim("exp")
        );
        assert_eq!(
            refused(|token| token.expires_at = Some(NOW)),
            TokenError::Expired
        );
        let early = refused(|token| token.not_before = Some(NOW.plus_secs(6)));
        assert_eq!(early, TokenError::NotYetValid);
        let audience = refused(|token| token.audience = vec!["other".into()]);
        assert_eq!(audience, TokenError::WrongAudience);
        assert_eq!(
            refused(|token| token.scope = None),
            TokenError::BadClaim("scope")
        );
        assert_eq!(
            refused(|token| token.confirmation = None),
            TokenError::BadClaim("cnf")
        );
    }
}
