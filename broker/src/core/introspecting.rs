//! Sessions whose tokens are by reference: the authorization server is asked again what they say once its last answer is stale (RFC 9200
//! §5.9). One that it no longer vouches for ends; while it is away, nobody is cut before the token's own end.

use super::{
    grant::Grant,
    introspected::Question,
    refusal::Refusal,
    session::{ConnectionKey, SessionKey},
    shard::{Close, Now, Shard, Timer},
};
use std::collections::HashSet;
use symbolon_ace_proto::TokenError;

/// Sessions that one shard asks about at once. The others wait their turn: new clients are not to wait behind them.
const ASKED_AT_ONCE: usize = 8;
/// Where there was no answer, the next question comes this much later, milliseconds.
const ASKED_AGAIN_AFTER_MS: u64 = 5_000;

impl Shard {
    /// Sets the timer at which the authorization server is asked again: when its answer is stale and up to a tenth of that time later, so that
    /// those who came together are not asked about together.
    pub(super) fn arm_introspection(&mut self, key: SessionKey, now: Now) {
        let stale_at = (self.session(key).grant.introspection()).map(|asked| asked.until);
        let wait_ms = stale_at.map(|at| now.unix.secs_until(at) * 1_000);
        self.arm_question(key, wait_ms, now);
    }

    fn arm_question(&mut self, key: SessionKey, wait_ms: Option<u64>, now: Now) {
        let session = self.session_mut(key);
        let at = session.connection_key(key);
        if let Some(timer) = session.link.introspection_timer.take() {
            self.wheel.cancel(timer);
        }
        if let Some(wait_ms) = wait_ms {
            let spread_ms = scatter(at.serial) % (wait_ms / 10 + 1);
            let deadline_ms = now.ms + (wait_ms + spread_ms).max(1);
            let timer = self.wheel.insert(deadline_ms, Timer::Introspection(at));
            self.session_mut(key).link.introspection_timer = Some(timer);
        }
    }

    /// What was said of a session's token is stale.
    pub(super) fn handle_introspection_timer(&mut self, at: ConnectionKey, now: Now) {
        if self.live(at).is_none() {
            return;
        }
        self.session_mut(at.session).link.introspection_timer = None;
        // Another session with the same token may have had the answer.
        if self.take_answer(at, now) {
            return;
        }
        if self.asking.len() < ASKED_AT_ONCE {
            self.ask_again(at);
        } else if !std::mem::replace(
            &mut self.session_mut(at.session).link.is_to_be_asked_about,
            true,
        ) {
            self.to_ask.push_back(at);
        }
    }

    /// The authorization server was asked about this session, or could not be.
    pub(super) fn handle_answer(&mut self, at: ConnectionKey, now: Now) {
        let Some(place) = self.asking.iter().position(|asked| *asked == at) else {
            return;
        };
        self.asking.swap_remove(place);
        while let Some(next) = self.to_ask.pop_front() {
            if self.live(next).is_none() {
                continue;
            }
            self.session_mut(next.session).link.is_to_be_asked_about = false;
            if !self.take_answer(next, now) {
                self.ask_again(next);
                break;
            }
        }
        if self.live(at).is_some() && !self.take_answer(at, now) {
            let client = &self.session(at.session).client_identifier;
            tracing::debug!(%client, "nobody says whether the token is still valid: asked again later");
            self.arm_question(at.session, Some(ASKED_AGAIN_AFTER_MS), now);
        }
    }

    fn ask_again(&mut self, at: ConnectionKey) {
        let grant = &self.session(at.session).grant;
        let (Some(asked), Some(holder)) = (grant.introspection(), grant.holder()) else {
            return;
        };
        let question = Question {
            reference: asked.reference.clone(),
            issuer: Some(holder.issuer.clone()),
        };
        self.asking.push(at);
        self.introspection_requests.push_back((at, question));
    }

    /// Judges the session by what is known of its token now; whether anything is.
    fn take_answer(&mut self, at: ConnectionKey, now: Now) -> bool {
        let key = at.session;
        let grant = &self.session(key).grant;
        let (Some(asked), Some(holder)) = (grant.introspection(), grant.holder()) else {
            // It has another token by now.
            return true;
        };
        match self
            .admission
            .judge_again(&asked.reference, holder, now.unix)
        {
            None => return false,
            Some(Ok(grant)) => self.take_other_rights(key, grant, now),
            Some(Err(Refusal::Token(TokenError::Expired))) => {
                self.close(key, &Close::token_expired(), now);
            }
            Some(Err(_)) if grant.is_expired(now.unix) => {
                self.close(key, &Close::token_expired(), now);
            }
            Some(Err(refusal)) => self.end_inactive(key, &refusal, now),
        }
        true
    }

    fn take_other_rights(&mut self, key: SessionKey, grant: Grant, now: Now) {
        let ended = self.replace_grant(key, grant, now);
        if ended > 0 {
            let client = &self.session(key).client_identifier;
            tracing::info!(%client, ended, "subscriptions ended that the token does not allow any more");
        }
    }

    /// A token that was revoked is not one that has expired: its Will is not published, and what it left behind is taken away.
    fn end_inactive(&mut self, key: SessionKey, refusal: &Refusal, now: Now) {
        let session = self.session(key);
        tracing::info!(client = %session.client_identifier, reason = %refusal, "the token was revoked");
        if let Some(marks) = session.grant.token_marks() {
            let tokens = &self.admission.tokens;
            tokens.forget(&HashSet::from(marks.names()));
        }
        self.close_revoked(key, now);
    }
}

/// Spreads serials, which follow each other.
fn scatter(serial: u64) -> u64 {
    // The golden ratio in 64 bits: neighbours fall far apart.
    serial.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32
}
