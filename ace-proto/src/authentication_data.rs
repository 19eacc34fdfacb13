//! MQTT Authentication Data (RFC 9431 §2.2.4.2) and what a proof is computed over.

/// The broker's challenge, 8 random bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RsNonce(pub [u8; 8]);

/// The client's contribution, 8 random bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClientNonce(pub [u8; 8]);

/// What a CONNECT or a re-authenticating AUTH carries.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ConnectData<'a> {
    /// No property, no bytes, or a token length of 0 and nothing more.
    NoToken,
    /// The token alone: a challenge is asked for (§2.2.4.2.2).
    Token(&'a [u8]),
    /// The token and a proof over the TLS exporter value (§2.2.4.2.1).
    TokenAndProof {
        /// The token.
        token: &'a [u8],
        /// MAC or signature.
        proof: &'a [u8],
    },
}

/// What the client answers to a challenge (§2.2.4.2.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ChallengeResponse<'a> {
    /// Its nonce.
    pub client_nonce: ClientNonce,
    /// MAC or signature over [`challenge_message`].
    pub proof: &'a [u8],
}

/// The bytes do not have the layout of RFC 9431.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("malformed authentication data")]
pub struct Malformed;

impl<'a> ConnectData<'a> {
    /// Takes the property's value apart.
    pub fn parse(data: Option<&'a [u8]>) -> Result<Self, Malformed> {
        let _ = data;
        todo!()
    }

    /// The property's value. Fails where it would pass 65,535 bytes.
    pub fn encode(&self) -> Result<Vec<u8>, Malformed> {
        todo!()
    }
}

impl<'a> ChallengeResponse<'a> {
    /// Takes the property's value apart; the proof must not be empty.
    pub fn parse(data: &'a [u8]) -> Result<Self, Malformed> {
        let _ = data;
        todo!()
    }

    /// The property's value.
    pub fn encode(&self) -> Vec<u8> {
        todo!()
    }
}

/// What a challenge/response proof is computed over: RS nonce, then client nonce.
pub fn challenge_message(rs_nonce: RsNonce, client_nonce: ClientNonce) -> [u8; 16] {
    let mut message = [0; 16];
    message[..8].copy_from_slice(&rs_nonce.0);
    message[8..].copy_from_slice(&client_nonce.0);
    message
}
