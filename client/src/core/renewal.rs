//! A new token in time: asked for at 80 % of the old one's life. It is proved to the broker by re-authentication (RFC 9431 §4); where TLS
//! knows us by its key, it is published to `authz-info`; and where neither can be, the driver connects anew.

use super::{event::Event, fault::Fault, opening::key_of};
use crate::{
    ConnectError,
    token::{Token, TokenRequestError},
};
use std::time::{Duration, Instant};
use symbolon_ace_proto::{
    ChallengeResponse, ClientNonce, PopSigner, RsNonce, UnixTime,
    authentication_data::challenge_message,
};
use symbolon_mqtt_proto::{Auth, PacketIdentifier, ReasonCode};

/// No token is renewed sooner after the one before, however short its life.
const MIN_INTERVAL: Duration = Duration::from_secs(1);
/// How long before its end a token is renewed that lives for less than ten seconds (but not before half of its life), seconds: the clock that
/// tokens count by has whole seconds, so that one of them is no time.
const MIN_MARGIN_SECS: u64 = 2;
/// After a failure: this, then twice as long each time, up to [`MAX_RETRY`].
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest wait between two attempts.
const MAX_RETRY: Duration = Duration::from_mins(1);

/// Two clocks read at once: the one that tokens count by, and the one that waiting is done by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks {
    pub(crate) now: Instant,
    pub(crate) unix: UnixTime,
}

/// From when to when a token is good.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokenLife {
    pub(crate) obtained_at: UnixTime,
    pub(crate) expires_at: UnixTime,
}

/// Where the renewal stands.
#[derive(Debug)]
pub(super) enum Renewal {
    /// No token, or nowhere to get another.
    Never,
    /// The token is good until `expires`; the next is asked for at `at`.
    Waiting {
        at: Instant,
        expires: Instant,
        retry: Duration,
    },
    /// The application is to get a token.
    Asking { expires: Instant, retry: Duration },
    /// AUTH 0x19 is sent; the broker's challenge is due.
    AwaitChallenge {
        signer: PopSigner,
        client_nonce: ClientNonce,
        life: TokenLife,
        by: Instant,
    },
    /// The challenge is answered; AUTH 0x00 is due.
    AwaitSuccess { life: TokenLife, by: Instant },
    /// The token is to be published to `authz-info` once there is room in flight.
    AwaitRoom {
        token: Vec<u8>,
        life: TokenLife,
        expires: Instant,
        retry: Duration,
    },
    /// It is published; PUBACK is due.
    AwaitTaken {
        packet_identifier: PacketIdentifier,
        life: TokenLife,
        by: Instant,
        expires: Instant,
        retry: Duration,
    },
}

/// What an AUTH of the broker leads to.
#[derive(Debug)]
pub(super) enum Answer {
    /// This goes into an AUTH 0x18.
    Response(Vec<u8>),
    /// The new token holds.
    Renewed,
}

impl From<&Token> for TokenLife {
    fn from(token: &Token) -> Self {
        Self {
            obtained_at: token.obtained_at,
            expires_at: token.expires_at,
        }
    }
}

impl Renewal {
    /// Waits for 80 % of the token's life.
    pub(super) fn schedule(life: TokenLife, clocks: Clocks) -> Self {
        let lifetime = life.obtained_at.secs_until(life.expires_at);
        // Not lifetime * 4 / 5, which overflows for a token without end.
        let margin = (lifetime / 5).max(MIN_MARGIN_SECS.min(lifetime / 2));
        let due = life.obtained_at.plus_secs(lifetime - margin);
        let wait = Duration::from_secs(clocks.unix.secs_until(due)).max(MIN_INTERVAL);
        let rest = Duration::from_secs(clocks.unix.secs_until(life.expires_at));
        // A token that outlives the clock needs no renewing.
        match (clocks.now.checked_add(wait), clocks.now.checked_add(rest)) {
            (Some(at), Some(expires)) => Self::Waiting {
                at,
                expires,
                retry: FIRST_RETRY,
            },
            (Some(_) | None, _) => Self::Never,
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Never | Self::Asking { .. } | Self::AwaitRoom { .. } => None,
            Self::Waiting { at, .. } => Some(*at),
            Self::AwaitChallenge { by, .. }
            | Self::AwaitSuccess { by, .. }
            | Self::AwaitTaken { by, .. } => Some(*by),
        }
    }

    /// Fails where the broker lets a re-authentication hang.
    pub(super) fn handle_timeout(&self, now: Instant) -> Result<(), ConnectError> {
        match self {
            Self::AwaitChallenge { by, .. }
            | Self::AwaitSuccess { by, .. }
            | Self::AwaitTaken { by, .. }
                if *by <= now =>
            {
                Err(ConnectError::Timeout)
            }
            Self::Never
            | Self::Asking { .. }
            | Self::Waiting { .. }
            | Self::AwaitChallenge { .. }
            | Self::AwaitSuccess { .. }
            | Self::AwaitRoom { .. }
            | Self::AwaitTaken { .. } => Ok(()),
        }
    }

    /// Whether a token is to be got now; true once for each.
    pub(super) fn poll_due(&mut self, now: Instant) -> bool {
        match *self {
            Self::Waiting { at, expires, retry } if at <= now => {
                *self = Self::Asking { expires, retry };
                true
            }
            Self::Never
            | Self::Asking { .. }
            | Self::Waiting { .. }
            | Self::AwaitChallenge { .. }
            | Self::AwaitSuccess { .. }
            | Self::AwaitRoom { .. }
            | Self::AwaitTaken { .. } => false,
        }
    }

    /// A token came: AUTH 0x19 is sent, and its answer is due `by`.
    pub(super) fn handle_token(
        &mut self,
        token: &Token,
        client_nonce: ClientNonce,
        by: Instant,
    ) -> Result<(), ConnectError> {
        *self = Self::AwaitChallenge {
            life: TokenLife::from(token),
            signer: key_of(token)?,
            client_nonce,
            by,
        };
        Ok(())
    }

    /// A token came for the key that TLS knows us by: it is to be published.
    pub(super) fn handle_token_to_publish(&mut self, token: &Token) {
        if let Self::Asking { expires, retry } = *self {
            *self = Self::AwaitRoom {
                token: token.as_bytes().to_vec(),
                life: TokenLife::from(token),
                expires,
                retry,
            };
        }
    }

    /// The packet in which a token is on its way.
    pub(super) fn published(&self) -> Option<PacketIdentifier> {
        match self {
            Self::AwaitTaken {
                packet_identifier, ..
            } => Some(*packet_identifier),
            Self::Never
            | Self::Asking { .. }
            | Self::Waiting { .. }
            | Self::AwaitChallenge { .. }
            | Self::AwaitSuccess { .. }
            | Self::AwaitRoom { .. } => None,
        }
    }

    /// The token that waits to be published is, in this packet, whose PUBACK is due `by`.
    pub(super) fn handle_published(&mut self, packet_identifier: PacketIdentifier, by: Instant) {
        if let Self::AwaitRoom {
            life,
            expires,
            retry,
            ..
        } = *self
        {
            *self = Self::AwaitTaken {
                packet_identifier,
                life,
                by,
                expires,
                retry,
            };
        }
    }

    /// The token that waits to be published cannot be: it is larger than the broker takes.
    pub(super) fn handle_unpublishable(
        &mut self,
        why: &ConnectError,
        now: Instant,
    ) -> Result<Event, ConnectError> {
        if let Self::AwaitRoom { expires, retry, .. } = *self {
            *self = Self::Asking { expires, retry };
        }
        let error = TokenRequestError::NotTaken {
            reason_code: ReasonCode::PacketTooLarge,
            reason_string: Some(why.to_string()),
        };
        self.handle_no_token(error, now)
    }

    /// PUBACK came for the token: it holds from now on, or it is not taken.
    pub(super) fn handle_taken(
        &mut self,
        reason_code: ReasonCode,
        reason_string: Option<&str>,
        clocks: Clocks,
    ) -> Result<Event, ConnectError> {
        if let Self::AwaitTaken {
            life,
            expires,
            retry,
            ..
        } = *self
        {
            if !reason_code.is_failure() {
                *self = Self::schedule(life, clocks);
                return Ok(Event::Renewed);
            }
            *self = Self::Asking { expires, retry };
        }
        let error = TokenRequestError::NotTaken {
            reason_code,
            reason_string: reason_string.map(str::to_owned),
        };
        self.handle_no_token(error, clocks.now)
    }

    /// No token came. Another attempt follows, the last one when the old token ends; then it is the end of the connection too.
    pub(super) fn handle_no_token(
        &mut self,
        error: TokenRequestError,
        now: Instant,
    ) -> Result<Event, ConnectError> {
        match *self {
            Self::Asking { expires, retry } if now < expires => {
                *self = Self::Waiting {
                    at: (now + retry).min(expires),
                    expires,
                    retry: (2 * retry).min(MAX_RETRY),
                };
                Ok(Event::NotRenewed(error))
            }
            Self::Never
            | Self::Asking { .. }
            | Self::Waiting { .. }
            | Self::AwaitChallenge { .. }
            | Self::AwaitSuccess { .. }
            | Self::AwaitRoom { .. }
            | Self::AwaitTaken { .. } => Err(ConnectError::NotRenewed(error)),
        }
    }

    /// An AUTH came. One challenge gets one answer.
    pub(super) fn handle_auth(&mut self, auth: &Auth<'_>, clocks: Clocks) -> Result<Answer, Fault> {
        match std::mem::replace(self, Self::Never) {
            Self::AwaitChallenge {
                signer,
                client_nonce,
                life,
                by,
            } if auth.reason_code == ReasonCode::ContinueAuthentication => {
                let response = answer_challenge(auth, &signer, client_nonce)?;
                *self = Self::AwaitSuccess { life, by };
                Ok(Answer::Response(response))
            }
            // A broker that needs no challenge may say so (MQTT 5.0 §4.12.1).
            Self::AwaitChallenge { life, .. } | Self::AwaitSuccess { life, .. }
                if auth.reason_code == ReasonCode::Success =>
            {
                *self = Self::schedule(life, clocks);
                Ok(Answer::Renewed)
            }
            Self::Never
            | Self::Asking { .. }
            | Self::Waiting { .. }
            | Self::AwaitChallenge { .. }
            | Self::AwaitSuccess { .. }
            | Self::AwaitRoom { .. }
            | Self::AwaitTaken { .. } => Err(Fault::protocol("AUTH that nothing asked for")),
        }
    }
}

/// The Authentication Data that answers a challenge (RFC 9431 §2.2.4.2.2).
pub(super) fn answer_challenge(
    challenge: &Auth<'_>,
    signer: &PopSigner,
    client_nonce: ClientNonce,
) -> Result<Vec<u8>, Fault> {
    let nonce = challenge.authentication_data.unwrap_or_default();
    let nonce = <[u8; 8]>::try_from(nonce)
        .map_err(|_length| Fault::protocol("a challenge that is not 8 bytes long"))?;
    let proof = signer
        .sign(&challenge_message(RsNonce(nonce), client_nonce))
        .map_err(|error| ConnectError::NotSent(error.to_string()))?;
    let response = ChallengeResponse {
        client_nonce,
        proof: &proof,
    };
    Ok(response.encode())
}
