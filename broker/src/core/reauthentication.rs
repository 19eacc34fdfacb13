//! A new token in a living session (RFC 9431 §4): AUTH 0x19 with the token, a challenge, its answer. Until it succeeds the old rights hold.

use super::{
    admission::Challenge,
    authority::KeySets,
    counters::{Count, Outcome},
    grant::Grant,
    refusal::Refusal,
    session::{ConnectionKey, SessionKey},
    shard::{Close, Now, Shard},
};
use symbolon_ace_proto::{AUTHENTICATION_METHOD, ConnectData, RsNonce};
use symbolon_mqtt_proto::{Auth, Packet, ReasonCode, UserProperties};

/// How far a re-authentication is.
#[derive(Debug, Default)]
pub(crate) enum Reauthentication {
    #[default]
    Idle,
    /// The token names a key that we do not know, or is by reference: the AS is being asked.
    AwaitKeys { token: Vec<u8>, rs_nonce: RsNonce },
    /// The challenge is out.
    AwaitProof(Box<Challenge>),
}

/// What an AUTH is judged with.
#[derive(Clone, Copy)]
pub(crate) struct AuthCircumstances<'a> {
    pub(crate) keys: &'a KeySets,
    /// Gives a fresh nonce each time; `None` where the system has no random numbers.
    pub(crate) fresh_nonce: &'a dyn Fn() -> Option<RsNonce>,
}

impl Shard {
    pub(super) fn handle_auth(
        &mut self,
        key: SessionKey,
        auth: &Auth<'_>,
        with: AuthCircumstances<'_>,
        now: Now,
    ) -> Result<(), Close> {
        // MQTT 5.0 §4.12: who came in without a method has none to re-authenticate by. RFC 9431 §4: an earlier token must have been proved.
        if !self.session(key).link.extended_authentication {
            return Err(Close::new(
                ReasonCode::ProtocolError,
                "AUTH without an authentication method in CONNECT",
            ));
        }
        if auth.authentication_method != Some(AUTHENTICATION_METHOD) {
            return Err(Refusal::Method.into());
        }
        let state = std::mem::take(&mut self.session_mut(key).reauthentication);
        match (auth.reason_code, state) {
            (ReasonCode::ReAuthenticate, Reauthentication::Idle) => {
                match ConnectData::parse(auth.authentication_data)
                    .map_err(|_| Refusal::Malformed)?
                {
                    ConnectData::Token(token) => self.judge_new_token(key, token, with, now),
                    ConnectData::NoToken => Err(Refusal::NoToken.into()),
                    // RFC 9431 §2.2.4.2.1: not by the exporter value, which is the same as at CONNECT.
                    ConnectData::TokenAndProof { .. } => Err(Refusal::Malformed.into()),
                }
            }
            (ReasonCode::ContinueAuthentication, Reauthentication::AwaitProof(challenge)) => {
                let proved = challenge.handle_response(auth.authentication_data, now.unix)?;
                self.keep_token(proved.token.as_ref(), now);
                self.counters
                    .count(Count::Reauthentications(Outcome::Success));
                let ended = self.replace_grant(key, proved.grant, now);
                let notice = (ended > 0)
                    .then_some("subscriptions that the new token does not allow were ended");
                self.send_auth(key, ReasonCode::Success, None, notice);
                Ok(())
            }
            _ => Err(Refusal::UnexpectedPacket.into()),
        }
    }

    /// Other rights from now on. How many subscriptions ended because they are not covered.
    pub(super) fn replace_grant(&mut self, key: SessionKey, grant: Grant, now: Now) -> usize {
        let expires_at = grant.expires_at();
        let session = self.session_mut(key);
        session.grant = grant;
        session.last_publish = None;
        self.renew_publisher(key);
        let ended = self.end_subscriptions_beyond_grant(key, now);
        self.arm_expiry(key, expires_at, now);
        self.arm_introspection(key, now);
        ended
    }

    /// The AS was asked for a session; whether or not there is anything new, the token is judged now.
    pub(crate) fn handle_keys(&mut self, at: ConnectionKey, keys: &KeySets, now: Now) {
        self.handle_answer(at, now);
        if self.live(at).is_none() {
            return;
        }
        let key = at.session;
        if let Err(close) = self.judge_pending_token(key, keys, now) {
            self.close(key, &close, now);
            return;
        }
        let session = self.session_mut(key);
        if let Reauthentication::AwaitKeys { token, rs_nonce } =
            std::mem::take(&mut session.reauthentication)
        {
            let judged = self.admission.judge(&token, keys, now.unix);
            let outcome = judged
                .map_err(Close::from)
                .and_then(|candidate| self.challenge(key, candidate.challenge(rs_nonce)));
            if let Err(close) = outcome {
                self.counters
                    .count(Count::Reauthentications(Outcome::Failure));
                self.close(key, &close, now);
            }
        }
    }

    fn judge_new_token(
        &mut self,
        key: SessionKey,
        token: &[u8],
        with: AuthCircumstances<'_>,
        now: Now,
    ) -> Result<(), Close> {
        let rs_nonce = (with.fresh_nonce)().ok_or(Refusal::NoRandom)?;
        match self.admission.judge(token, with.keys, now.unix) {
            Ok(candidate) => self.challenge(key, candidate.challenge(rs_nonce)),
            Err(refusal) if refusal.undecided().is_some() => {
                self.ask_about(key, &refusal);
                self.session_mut(key).reauthentication = Reauthentication::AwaitKeys {
                    token: token.to_vec(),
                    rs_nonce,
                };
                Ok(())
            }
            Err(refusal) => Err(refusal.into()),
        }
    }

    fn challenge(&mut self, key: SessionKey, challenge: Challenge) -> Result<(), Close> {
        match (self.session(key).grant.holder(), challenge.grant().holder()) {
            (Some(holder), Some(other)) if holder.may_be_renewed_by(other) => {}
            (Some(_) | None, Some(_) | None) => return Err(Refusal::OtherSubject.into()),
        }
        let RsNonce(nonce) = challenge.rs_nonce;
        self.session_mut(key).reauthentication = Reauthentication::AwaitProof(Box::new(challenge));
        self.send_auth(key, ReasonCode::ContinueAuthentication, Some(&nonce), None);
        Ok(())
    }

    fn send_auth(
        &mut self,
        key: SessionKey,
        reason_code: ReasonCode,
        data: Option<&[u8]>,
        text: Option<&str>,
    ) {
        self.send(
            key,
            &Packet::Auth(Auth {
                reason_code,
                authentication_method: Some(AUTHENTICATION_METHOD),
                authentication_data: data,
                reason_string: text,
                user_properties: UserProperties::default(),
            }),
        );
    }
}
