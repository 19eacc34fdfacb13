//! Where new tokens come from.

use super::{ConnectError, open, place::Place};
use crate::{
    Mode, Profile,
    token::{self, Ask, Token, TokenRequestError},
};
use std::{pin::Pin, sync::Arc};
use symbolon_ace_proto::ClientNonce;
use symbolon_mqtt_proto::ProtocolVersion;

/// Where new tokens come from, and what becomes of them.
pub(super) struct TokenSource {
    pub(super) profile: Arc<Profile>,
    pub(super) place: Arc<Place>,
    /// The one that counts now.
    pub(super) token: Token,
    /// Tokens must bring back a nonce of the broker's hint.
    pub(super) wants_nonce: bool,
}

/// How a new token comes to count.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Way {
    /// By AUTH 0x19 (RFC 9431 §4).
    Reauthenticate,
    /// At `authz-info`, on the live connection: TLS has proved its key already.
    Publish,
    /// On another connection.
    Reconnect,
}

pub(super) type Obtaining = Pin<Box<dyn Future<Output = Result<Token, TokenRequestError>> + Send>>;

impl TokenSource {
    /// Asks for a new one.
    pub(super) fn obtain(&self) -> Obtaining {
        let (profile, place) = (Arc::clone(&self.profile), Arc::clone(&self.place));
        let scope = self.token.requested_scope.clone();
        let wants_nonce = self.wants_nonce;
        let held = match self.place.mode() {
            Mode::PskToken | Mode::PskKid => self.token.held_key(),
            Mode::Anon | Mode::Exporter | Mode::Challenge | Mode::Rpk | Mode::V311 => None,
        };
        Box::pin(async move {
            let nonce = if wants_nonce {
                let unreachable = |error: ConnectError| {
                    TokenRequestError::Unreachable(format!("no nonce from the broker: {error}"))
                };
                open::nonce(&place).await.map_err(unreachable)?
            } else {
                None
            };
            let ask = Ask {
                scope: scope.as_ref(),
                client_nonce: nonce.as_deref(),
                held: held.as_ref(),
            };
            token::obtain_with(&profile, ask).await
        })
    }

    /// How this token comes to count. A client that began without AUTH cannot go on with it ([MQTT-4.12.1-1]); 3.1.1 has none, and no
    /// verdict on a token that is published either.
    pub(super) fn way(&self, token: &Token) -> Way {
        if self.place.version() == ProtocolVersion::V311 {
            return Way::Reconnect;
        }
        match self.place.mode() {
            Mode::Exporter | Mode::Challenge => Way::Reauthenticate,
            mode if mode.is_known_to_tls() && self.is_for_same_key(token) => Way::Publish,
            Mode::Anon | Mode::Rpk | Mode::PskToken | Mode::PskKid | Mode::V311 => Way::Reconnect,
        }
    }

    fn is_for_same_key(&self, token: &Token) -> bool {
        token.signer.verifying_key() == self.token.signer.verifying_key()
    }
}

pub(super) fn client_nonce() -> Result<ClientNonce, ConnectError> {
    let mut nonce = [0; 8];
    aws_lc_rs::rand::fill(&mut nonce)
        .map_err(|_unspecified| ConnectError::not_sent("the system gives no random bytes"))?;
    Ok(ClientNonce(nonce))
}
