//! Why a client is refused, and what it is told of that.

use super::introspected::Reference;
use std::{borrow::Cow, sync::Arc};
use symbolon_ace_proto::TokenError;
use symbolon_mqtt_proto::ReasonCode;

/// What a client is told whose token, key or proof is wrong: one text for all, so that who holds a stolen token, or guesses at keys, learns
/// nothing from trying. The log says more.
const NOT_VALID: &str = "the token or the proof of possession is not valid here";

/// Why a client is refused. Its `Display` is for the log alone; [`Refusal::text`] is what the client is told.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("a token is required")]
    NoToken,
    #[error("this broker accepts tokens, not passwords")]
    Password,
    #[error("user name and password must be absent with the authentication method ace")]
    PasswordWithAce,
    #[error("the authentication method is not supported")]
    Method,
    #[error("malformed authentication data")]
    Malformed,
    #[error("{0}")]
    Token(TokenError),
    /// Whose keys may be too old.
    #[error("token is signed with an unknown key")]
    UnknownKey(Arc<str>),
    #[error("what the token says could not be learnt from the authorization server")]
    NotIntrospected(Reference),
    #[error("the authorization server does not vouch for the token")]
    Inactive,
    #[error("the token has been revoked")]
    Revoked,
    #[error("the token does not bring back a fresh cnonce")]
    Stale,
    #[error("the token's proof-of-possession key cannot be used")]
    Key,
    #[error("proof of possession failed")]
    Proof,
    #[error("proof over the TLS exporter needs TLS")]
    NoExporter,
    #[error("the will topic is not covered by the token")]
    Will,
    #[error("an AUTH packet that answers the challenge was expected")]
    UnexpectedPacket,
    #[error("the broker has no random numbers for a challenge")]
    NoRandom,
    #[error("re-authentication must be for the same subject")]
    OtherSubject,
    #[error("the client identifier belongs to another client's session")]
    OtherSession,
    #[error("the broker's store is full")]
    StoreFull,
    #[error("the broker keeps no more sessions")]
    Sessions,
    #[error("the broker keeps no more wills")]
    Wills,
    #[error("the will is larger than the broker's limit")]
    WillSize,
    #[error("the will topic is beyond the broker's limits")]
    WillTopic,
}

/// What the authorization server must be asked for before a token can be judged.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Undecided {
    /// The keys of this issuer: the token names one that we do not know.
    Keys(Arc<str>),
    /// What the token says: it is a reference.
    Introspection(Reference),
}

impl Refusal {
    /// What CONNACK or DISCONNECT says (RFC 9431 §2.4.1).
    pub(crate) fn reason_code(&self) -> ReasonCode {
        match self {
            Self::Method => ReasonCode::BadAuthenticationMethod,
            Self::Password => ReasonCode::BadUserNameOrPassword,
            Self::UnexpectedPacket => ReasonCode::ProtocolError,
            Self::NoRandom => ReasonCode::ServerUnavailable,
            Self::OtherSession => ReasonCode::ClientIdentifierNotValid,
            Self::StoreFull | Self::Sessions | Self::Wills | Self::WillSize => {
                ReasonCode::QuotaExceeded
            }
            Self::WillTopic => ReasonCode::TopicNameInvalid,
            Self::NoToken
            | Self::PasswordWithAce
            | Self::Malformed
            | Self::Token(_)
            | Self::UnknownKey(_)
            | Self::NotIntrospected(_)
            | Self::Inactive
            | Self::Revoked
            | Self::Stale
            | Self::Key
            | Self::Proof
            | Self::NoExporter
            | Self::Will
            | Self::OtherSubject => ReasonCode::NotAuthorized,
        }
    }

    /// What to ask the authorization server for; then the token is to be judged once more.
    pub(crate) fn undecided(&self) -> Option<Undecided> {
        if let Self::NotIntrospected(reference) = self {
            return Some(Undecided::Introspection(reference.clone()));
        }
        if let Self::UnknownKey(issuer) = self {
            return Some(Undecided::Keys(Arc::clone(issuer)));
        }
        None
    }

    /// Whether it tells something of a token, of its key, or of whom it speaks for.
    pub(crate) fn concerns_secrets(&self) -> bool {
        match self {
            Self::Token(_)
            | Self::UnknownKey(_)
            | Self::NotIntrospected(_)
            | Self::Inactive
            | Self::Revoked
            | Self::Stale
            | Self::Key
            | Self::Proof
            | Self::OtherSubject => true,
            Self::NoToken
            | Self::Password
            | Self::PasswordWithAce
            | Self::Method
            | Self::Malformed
            | Self::NoExporter
            // After the proof: it is the client's own token.
            | Self::Will
            | Self::UnexpectedPacket
            | Self::NoRandom
            | Self::OtherSession
            | Self::StoreFull
            | Self::Sessions
            | Self::Wills
            | Self::WillSize
            | Self::WillTopic => false,
        }
    }

    /// The Reason String.
    pub(crate) fn text(&self) -> Cow<'static, str> {
        if self.concerns_secrets() {
            NOT_VALID.into()
        } else {
            self.to_string().into()
        }
    }

    /// Whether another token would help, so that the client should be told where to get one.
    pub(crate) fn wants_hint(&self) -> bool {
        match self {
            Self::NoToken
            | Self::Password
            | Self::Token(_)
            | Self::UnknownKey(_)
            | Self::NotIntrospected(_)
            | Self::Inactive
            | Self::Revoked
            | Self::Stale
            | Self::Key
            | Self::Proof
            | Self::Method => true,
            Self::PasswordWithAce
            | Self::Malformed
            | Self::NoExporter
            | Self::Will
            | Self::UnexpectedPacket
            | Self::NoRandom
            | Self::OtherSubject
            | Self::OtherSession
            | Self::StoreFull
            | Self::Sessions
            | Self::Wills
            | Self::WillSize
            | Self::WillTopic => false,
        }
    }
}
