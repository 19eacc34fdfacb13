//! A token published to `authz-info` (RFC 9431 §2.2.2): judged like one in CONNECT, but for the proof; stored by its key; and answered.

use super::{
    authority::KeySets,
    counters::{Count, Limit, Outcome, Reason},
    holding::Needs,
    introspected::Question,
    publishing::NotPublished,
    refusal::{Refusal, Undecided},
    session::{ConnectionKey, SessionKey},
    shard::{Close, Now, Shard},
    stored_tokens::{Capacity, NotStored, StoredToken},
};
use crate::Limits;
use std::{fmt, sync::Arc};
use symbolon_ace_proto::TokenError;
use symbolon_mqtt_proto::{Delivery, ProtocolVersion, Publish, ReasonCode};

/// Publish-only and for tokens alone (RFC 9431 §2.2.2): nothing published to it is ever delivered, retained or queued.
pub(super) const AUTHZ_INFO: &str = "authz-info";

/// One text for all: a stranger is not told what of a token that he found is wrong.
const NOT_TAKEN: &str = "the token is not valid here";

const MS_PER_MIN: u64 = 60_000;
/// How long a client may stay that can do nothing but publish a token, milliseconds.
pub(super) const VISIT_MS: u64 = 60_000;

/// A published token that cannot be judged yet: the authorization server is being asked.
pub(crate) struct PendingToken {
    token: Vec<u8>,
    delivery: Delivery,
}

/// Does not show the token.
impl fmt::Debug for PendingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingToken")
            .field("delivery", &self.delivery)
            .finish_non_exhaustive()
    }
}

/// How many tokens a connection may still publish: a bucket, as the time at which it would be full again.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TokenPace {
    full_at_ms: u64,
}

impl TokenPace {
    /// Takes one, if there is one.
    fn take(&mut self, per_minute: u32, now_ms: u64) -> bool {
        let Some(interval_ms) = MS_PER_MIN.checked_div(u64::from(per_minute)) else {
            return true;
        };
        let full_at_ms = self.full_at_ms.max(now_ms) + interval_ms;
        let fits = full_at_ms - now_ms <= MS_PER_MIN;
        if fits {
            self.full_at_ms = full_at_ms;
        }
        fits
    }
}

/// Why a published token is not taken.
enum NotTaken {
    Refused(Refusal),
    NotStored(NotStored),
}

impl From<Refusal> for NotTaken {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Shard {
    /// A PUBLISH to `authz-info`.
    pub(super) fn handle_token(
        &mut self,
        key: SessionKey,
        publish: &Publish<'_>,
        keys: &KeySets,
        now: Now,
    ) -> Result<(), Close> {
        let delivery = publish.delivery;
        if let Delivery::ExactlyOnce(identifier) = delivery
            && !self.is_first(key, identifier)?
        {
            let pending = &self.session(key).link.pending_token;
            if !(pending.as_ref()).is_some_and(|pending| pending.delivery == delivery) {
                let told = (ReasonCode::Success, None);
                self.acknowledge(key, delivery, told, Needs::default());
            }
            return Ok(());
        }
        if publish.retain {
            let text = "a token is not retained";
            return self.refuse_token(key, delivery, ReasonCode::ImplementationSpecificError, text);
        }
        let per_minute = self.limits.authz_info_rate;
        let link = &mut self.session_mut(key).link;
        if link.pending_token.is_some() || !link.token_pace.take(per_minute, now.ms) {
            self.counters.count(Count::Limit(Limit::AuthzInfoRate));
            let text = "more tokens than one connection may publish";
            return self.refuse_token(key, delivery, ReasonCode::QuotaExceeded, text);
        }
        match self.take_token(key, publish.payload, keys, now) {
            Err(NotTaken::Refused(refusal)) if refusal.undecided().is_some() => {
                let token = publish.payload.to_vec();
                self.ask_about(key, &refusal);
                let link = &mut self.session_mut(key).link;
                link.pending_token = Some(PendingToken { token, delivery });
                Ok(())
            }
            taken => self.answer_token(key, delivery, taken),
        }
    }

    /// A stranger has had the time to publish a token.
    pub(super) fn handle_visit_timer(&mut self, at: ConnectionKey, now: Now) {
        let stays = (self.live(at)).is_none_or(|session| !session.grant.opens_nothing());
        if !stays {
            let close = Close::new(
                ReasonCode::MaximumConnectTime,
                "there is nothing to do here without a token",
            );
            self.close(at.session, &close, now);
        }
    }

    /// The authorization server was asked, or could not be: a token that waited for it is judged now.
    pub(super) fn judge_pending_token(
        &mut self,
        key: SessionKey,
        keys: &KeySets,
        now: Now,
    ) -> Result<(), Close> {
        let Some(pending) = self.session_mut(key).link.pending_token.take() else {
            return Ok(());
        };
        let taken = self.take_token(key, &pending.token, keys, now);
        self.answer_token(key, pending.delivery, taken)
    }

    /// Has the driver ask the authorization server what it takes to judge this token.
    pub(super) fn ask_about(&mut self, key: SessionKey, refusal: &Refusal) {
        let at = self.session(key).connection_key(key);
        match refusal.undecided() {
            None => {}
            Some(Undecided::Keys(issuer)) => self.key_requests.push_back((at, issuer)),
            Some(Undecided::Introspection(reference)) => {
                let question = Question {
                    reference,
                    issuer: None,
                };
                self.introspection_requests.push_back((at, question));
            }
        }
    }

    /// A client has proved to hold the key of this token, which it has just brought: it is stored like one that is published (RFC 9431
    /// §2.4.2, §6), if there is room. Nobody is refused for want of it.
    pub(super) fn keep_token(&mut self, token: Option<&Arc<StoredToken>>, now: Now) {
        let Some(token) = token.filter(|_| self.admission.tokens.from_connect) else {
            return;
        };
        let capacity = Capacity::of(&self.limits).for_connects();
        let stored = &self.admission.tokens.stored;
        match stored.insert(Arc::clone(token), capacity, now.unix) {
            Ok(_) | Err(NotStored::Older) => {}
            Err(full @ (NotStored::Tokens | NotStored::Bytes)) => {
                tracing::debug!(?full, "a token that came in CONNECT is not stored");
            }
        }
    }

    fn take_token(
        &mut self,
        key: SessionKey,
        token: &[u8],
        keys: &KeySets,
        now: Now,
    ) -> Result<(), NotTaken> {
        let token = self.admission.judge_to_store(token, keys, now.unix)?;
        // Who authenticated by a key of this token on the TLS layer has proved possession on this very connection.
        let renews = self.session(key).link.proved_key == Some(token.key.thumbprint());
        if renews {
            let (holder, other) = (self.session(key).grant.holder(), token.grant.holder());
            let same = matches!((holder, other), (Some(holder), Some(other)) if holder.may_be_renewed_by(other));
            if !same {
                return Err(Refusal::OtherSubject.into());
            }
        }
        let stored = &self.admission.tokens.stored;
        let token = stored
            .insert(token, Capacity::of(&self.limits), now.unix)
            .map_err(NotTaken::NotStored)?;
        if renews {
            self.renew(key, &token, now);
        }
        Ok(())
    }

    /// A client that TLS has authenticated gets the rights of its new token, without AUTH, which it may not send: its CONNECT named no method.
    fn renew(&mut self, key: SessionKey, token: &Arc<StoredToken>, now: Now) {
        let mut grant = token.grant.clone();
        self.bring_up_to_date(&mut grant);
        self.counters
            .count(Count::Reauthentications(Outcome::Success));
        let ended = self.replace_grant(key, grant, now);
        let client = &self.session(key).client_identifier;
        if ended > 0 {
            tracing::info!(%client, ended, "subscriptions ended that the new token does not allow");
        }
    }

    fn answer_token(
        &mut self,
        key: SessionKey,
        delivery: Delivery,
        taken: Result<(), NotTaken>,
    ) -> Result<(), Close> {
        let outcome = if taken.is_ok() {
            Outcome::Success
        } else {
            Outcome::Failure
        };
        self.counters.count(Count::AuthzInfo(outcome));
        match taken {
            Ok(()) => {
                let told = (ReasonCode::Success, None);
                self.acknowledge(key, delivery, told, Needs::default());
                Ok(())
            }
            // RFC 9431 §2.2.2.
            Err(NotTaken::Refused(Refusal::Token(TokenError::NotAToken))) => {
                let text = "the payload is not a token";
                self.refuse_token(key, delivery, ReasonCode::PayloadFormatInvalid, text)
            }
            Err(NotTaken::Refused(refusal)) => {
                let client = &self.session(key).client_identifier;
                tracing::info!(%client, reason = %refusal, "a published token is refused");
                self.refuse_token(key, delivery, ReasonCode::NotAuthorized, NOT_TAKEN)
            }
            Err(NotTaken::NotStored(NotStored::Older)) => {
                let client = &self.session(key).client_identifier;
                tracing::info!(%client, "a published token is older than the one that is stored for its key");
                self.refuse_token(key, delivery, ReasonCode::NotAuthorized, NOT_TAKEN)
            }
            Err(NotTaken::NotStored(full @ (NotStored::Tokens | NotStored::Bytes))) => {
                let limit = match full {
                    NotStored::Tokens => Limit::StoredTokens,
                    NotStored::Bytes | NotStored::Older => Limit::StoredTokensBytes,
                };
                self.counters.count(Count::Limit(limit));
                let text = "the broker stores no more tokens";
                self.refuse_token(key, delivery, ReasonCode::QuotaExceeded, text)
            }
        }
    }

    /// RFC 9431 §2.2.2; in 3.1.1, which has no codes, the client gets no verdict (§6.1): its next TLS handshake fails.
    fn refuse_token(
        &mut self,
        key: SessionKey,
        delivery: Delivery,
        reason_code: ReasonCode,
        text: &'static str,
    ) -> Result<(), Close> {
        if self.session(key).link.version == ProtocolVersion::V311 {
            self.counters
                .count(Count::Reason(Reason::Publish, reason_code));
            let told = (ReasonCode::Success, None);
            self.acknowledge(key, delivery, told, Needs::default());
            return Ok(());
        }
        self.refuse_publish(key, delivery, NotPublished { reason_code, text })
    }
}

impl Capacity {
    /// What the operator allows.
    pub(crate) fn of(limits: &Limits) -> Self {
        Self {
            tokens: limits.stored_tokens,
            bytes: limits.stored_tokens_bytes,
        }
    }

    /// Half of it is for those who can connect only with a token that they have published before.
    fn for_connects(self) -> Self {
        Self {
            tokens: self.tokens / 2,
            bytes: self.bytes / 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_may_publish_so_many_tokens_a_minute() {
        let mut pace = TokenPace::default();
        let taken = |pace: &mut TokenPace, at_ms| (0..10).filter(|_| pace.take(3, at_ms)).count();
        assert_eq!(taken(&mut pace, 5), 3);
        assert_eq!(taken(&mut pace, 19_000), 0);
        assert_eq!(taken(&mut pace, 20_005), 1);
        assert_eq!(taken(&mut pace, 200_000), 3);
        assert!((0..1_000).all(|_| pace.take(0, 200_000)));
    }
}
