//! Whether a token counts: whose it is, whether it is what that authorization server made, for how long, and which key it is bound to
//! (RFC 9431 §2.2.5).

use super::{
    admission::{Admission, Candidate},
    authority::{Authority, KeySets},
    grant::{Grant, Holder},
    introspected::{Answer, Reference, Verdict},
    refusal::Refusal,
    stored_tokens::StoredToken,
};
use std::sync::Arc;
use symbolon_ace_proto::{
    Claims, KeySet, Lifetimes, TokenError, UnixTime, Validation, identifier, token,
};

/// How far our clock and the AS's may differ for `nbf`, seconds.
const LEEWAY_SECS: u64 = 5;

impl Admission {
    /// Validates a token. Done before the challenge and not after it, as the figure in RFC 9431 §2.2.4.2.2 has it: the answer's code is the
    /// same, and a stranger with a bad token costs no state.
    pub(crate) fn judge(
        &self,
        token: &[u8],
        keys: &KeySets,
        now: UnixTime,
    ) -> Result<Candidate, Refusal> {
        if let Some(known) = self.judged_before(token, keys, now) {
            return Ok(self.candidate(known, false));
        }
        let token = self.judge_to_store(token, keys, now)?;
        Ok(self.candidate(Arc::new(token), true))
    }

    /// A token that was found good before, by the same keys and under the same configuration, and that nobody has revoked: its signature,
    /// which is the dearest part of a CONNECT, is not verified again. Where a nonce must be fresh that is judged anew each time.
    fn judged_before(
        &self,
        token: &[u8],
        keys: &KeySets,
        now: UnixTime,
    ) -> Option<Arc<StoredToken>> {
        if self.tokens.nonces.is_some() {
            return None;
        }
        let known = (self.tokens.stored).by_token(&token::own_bytes(token), now)?;
        (known.judged_by == Some(self.judged_by(keys))).then_some(known)
    }

    /// Which keys and which configuration these are.
    fn judged_by(&self, keys: &KeySets) -> (u64, u64) {
        (keys.generation(), self.generation)
    }

    /// The same, with all that is kept of a token that comes before its client.
    pub(crate) fn judge_to_store(
        &self,
        token: &[u8],
        keys: &KeySets,
        now: UnixTime,
    ) -> Result<StoredToken, Refusal> {
        if self.authorities.is_empty() {
            return Err(Refusal::Method);
        }
        if self.tokens.revoked.contains(token) {
            return Err(Refusal::Revoked);
        }
        match token::issuer(token) {
            Ok(issuer) => self.judge_self_contained(token, &issuer, keys, now),
            Err(TokenError::NotAToken) if self.introspects() => self.judge_reference(token, now),
            Err(error) => Err(Refusal::Token(error)),
        }
    }

    fn introspects(&self) -> bool {
        self.authorities
            .iter()
            .any(|authority| authority.introspection)
    }

    /// Only the keys of the issuer that the token names can vouch for it.
    fn judge_self_contained(
        &self,
        token: &[u8],
        issuer: &str,
        sets: &KeySets,
        now: UnixTime,
    ) -> Result<StoredToken, Refusal> {
        let authority = (self.authorities.iter()).find(|authority| *authority.issuer == *issuer);
        let authority = authority.ok_or(Refusal::Token(TokenError::WrongIssuer))?;
        let none = KeySet::default();
        let keys = sets.of(issuer).unwrap_or(&none);
        let verified = token::verify(token, &self.validation(authority, keys, now));
        let claims = verified.map_err(|error| {
            if error == TokenError::UnknownKey {
                Refusal::UnknownKey(Arc::clone(&authority.issuer))
            } else {
                Refusal::Token(error)
            }
        })?;
        let claims = self.first_seen(claims, authority, now)?;
        self.check_nonce(&claims, now)?;
        let own_bytes = token::own_bytes(token);
        let judged = self.compile(&claims, authority, (&own_bytes, token.len()), now)?;
        Ok(StoredToken {
            judged_by: Some(self.judged_by(sets)),
            ..judged
        })
    }

    /// What the authorization servers said of a token by reference. They must have been asked: [`Refusal::NotIntrospected`].
    fn judge_reference(&self, token: &[u8], now: UnixTime) -> Result<StoredToken, Refusal> {
        let reference = Reference::parse(token).ok_or(Refusal::Token(TokenError::NotAToken))?;
        let mut unanswered = false;
        for authority in self.authorities.iter().filter(|one| one.introspection) {
            let said = &self.tokens.introspected;
            match said.find(&authority.issuer, &reference, now) {
                None => unanswered = true,
                Some(Verdict::Inactive) => {}
                Some(Verdict::Active(answer)) => {
                    let claims = self.claims_of(&answer, authority, now)?;
                    self.check_nonce(&claims, now)?;
                    return self.compile_answer(
                        &claims,
                        authority,
                        (&reference, answer.until),
                        now,
                    );
                }
            }
        }
        Err(if unanswered {
            Refusal::NotIntrospected(reference)
        } else {
            Refusal::Inactive
        })
    }

    /// What the authorization server says now of a token by reference that was accepted before and has this holder: the rights, or `None`
    /// where it has said nothing new. Its nonce was judged then.
    pub(crate) fn judge_again(
        &self,
        reference: &Reference,
        holder: &Holder,
        now: UnixTime,
    ) -> Option<Result<Grant, Refusal>> {
        let mut authorities = self.authorities.iter();
        let authority =
            authorities.find(|one| one.introspection && *one.issuer == *holder.issuer)?;
        let answer = match (self.tokens.introspected).find(&holder.issuer, reference, now)? {
            Verdict::Inactive => return Some(Err(Refusal::Inactive)),
            Verdict::Active(answer) => answer,
        };
        let claims = self.claims_of(&answer, authority, now);
        Some(claims.and_then(|claims| {
            let confirmation = &claims.confirmation;
            let thumbprint = if confirmation.key_identifier().is_some() {
                // A name: what was proved for it stays proved.
                holder.key_thumbprint
            } else {
                let key = confirmation.resolve(&authority.content_keys);
                key.map_err(|_| Refusal::Key)?.thumbprint()
            };
            let public = Arc::clone(&self.public_topics);
            let mut grant =
                Grant::compile(&claims, thumbprint, public).by_token(reference.as_bytes());
            grant.set_reference(reference.clone(), answer.until);
            // Nobody has proved to hold another key.
            let is_same = (grant.holder()).is_some_and(|other| {
                holder.may_be_renewed_by(other) && other.key_thumbprint == holder.key_thumbprint
            });
            is_same.then_some(grant).ok_or(Refusal::OtherSubject)
        }))
    }

    fn claims_of(
        &self,
        answer: &Answer,
        authority: &Authority,
        now: UnixTime,
    ) -> Result<Claims, Refusal> {
        let mut token = answer.token.clone();
        let mut counted_from = now;
        if !self.clock || token.expires_at.is_none() {
            counted_from = answer.asked_at;
        }
        if !self.clock && token.expires_in_secs.is_none() {
            // Nobody here knows how far away `exp` is. That it has not come, the authorization server says each time that it is asked: twice
            // the time that it is believed, so that there is some left to ask it again.
            token.expires_in_secs = Some(answer.asked_at.secs_until(answer.until) * 2);
        }
        let none = KeySet::default();
        let claims = token.verify(&self.validation(authority, &none, counted_from));
        let claims = claims.map_err(Refusal::Token)?;
        if claims.expires_at <= now {
            return Err(Refusal::Token(TokenError::Expired));
        }
        Ok(claims)
    }

    fn compile_answer(
        &self,
        claims: &Claims,
        authority: &Authority,
        (reference, until): (&Reference, UnixTime),
        now: UnixTime,
    ) -> Result<StoredToken, Refusal> {
        let bytes = reference.as_bytes();
        let mut judged = self.compile(claims, authority, (bytes, bytes.len()), now)?;
        judged.grant.set_reference(reference.clone(), until);
        Ok(judged)
    }

    /// A token must bring back a nonce of a hint, where the operator wants that.
    fn check_nonce(&self, claims: &Claims, now: UnixTime) -> Result<(), Refusal> {
        let nonce = claims.client_nonce.as_deref().unwrap_or_default();
        match &self.tokens.nonces {
            Some(nonces) if !nonces.is_fresh(nonce, now) => Err(Refusal::Stale),
            Some(_) | None => Ok(()),
        }
    }

    fn validation<'a>(
        &'a self,
        authority: &'a Authority,
        keys: &'a KeySet,
        now: UnixTime,
    ) -> Validation<'a> {
        Validation {
            keys,
            issuer: &authority.issuer,
            audience: &authority.audience,
            now,
            leeway_secs: LEEWAY_SECS,
            lifetimes: if self.clock {
                Lifetimes::DatesAndSpans
            } else {
                Lifetimes::Spans
            },
        }
    }

    /// A token with `exi` counts from when it was first seen, whatever else it says (RFC 9200 §5.10.3).
    fn first_seen(
        &self,
        mut claims: Claims,
        authority: &Authority,
        now: UnixTime,
    ) -> Result<Claims, Refusal> {
        let Some(secs) = claims.expires_in_secs else {
            return Ok(claims);
        };
        let identifier = claims.token_identifier.as_deref().unwrap_or_default();
        let number = identifier::sequence_number(identifier, &authority.audience);
        let number = number.ok_or(Refusal::Token(TokenError::BadClaim("cti")))?;
        let end = (self.tokens.spans)
            .see(&authority.issuer, number, now.plus_secs(secs), now)
            .ok_or(Refusal::Token(TokenError::Expired))?;
        claims.expires_at = claims.expires_at.min(end);
        Ok(claims)
    }

    /// What is kept of a token that is good but for the proof. `bytes` are its own, and `length` is that of what came.
    fn compile(
        &self,
        claims: &Claims,
        authority: &Authority,
        (bytes, length): (&[u8], usize),
        now: UnixTime,
    ) -> Result<StoredToken, Refusal> {
        let stored = |kid: &[u8]| {
            let stored = &self.tokens.stored;
            let named = stored.by_key_identifier(&authority.issuer, kid, now)?;
            Some(named.key.clone())
        };
        let key = authority.key_of(&claims.confirmation, bytes, stored);
        let (key, kid) = key.ok_or(Refusal::Key)?;
        let grant = Grant::compile(claims, key.thumbprint(), Arc::clone(&self.public_topics))
            .by_token(bytes);
        Ok(StoredToken {
            key_identifier: kid.map(Vec::into_boxed_slice),
            issued_at: claims.issued_at,
            ..StoredToken::new(grant, key, length)
        })
    }
}
