//! MQTT Authentication Data (RFC 9431 §2.2.4.2) and what a proof is computed over.

use crate::base64url;

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

/// Length of the token length, bytes.
const LENGTH_BYTES: usize = 2;
/// Length of either nonce, bytes.
const NONCE_LENGTH: usize = 8;
/// The most an MQTT Binary Data holds, bytes (MQTT 5.0 §1.5.6).
const MAX_LENGTH: usize = 65_535;

impl<'a> ConnectData<'a> {
    /// Takes the property's value apart.
    pub fn parse(data: Option<&'a [u8]>) -> Result<Self, Malformed> {
        let Some(data) = data.filter(|data| !data.is_empty()) else {
            return Ok(Self::NoToken);
        };
        let (length, rest) = data.split_first_chunk::<LENGTH_BYTES>().ok_or(Malformed)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (token, proof) = rest.split_at_checked(length).ok_or(Malformed)?;
        match (token, proof) {
            ([], []) => Ok(Self::NoToken),
            ([], [..]) => Err(Malformed),
            (token, []) => Ok(Self::Token(token)),
            (token, proof) => Ok(Self::TokenAndProof { token, proof }),
        }
    }

    /// The property's value; empty where there is no token, then the property is best left out. Fails where it would pass 65,535 bytes, and
    /// for an empty token or proof, which would be read as something else.
    pub fn encode(&self) -> Result<Vec<u8>, Malformed> {
        let (token, proof): (&[u8], &[u8]) = match self {
            Self::NoToken => return Ok(Vec::new()),
            Self::Token(token) => (token, &[]),
            Self::TokenAndProof { proof: [], .. } => return Err(Malformed),
            Self::TokenAndProof { token, proof } => (token, proof),
        };
        let total = LENGTH_BYTES + token.len() + proof.len();
        if token.is_empty() || total > MAX_LENGTH {
            return Err(Malformed);
        }
        let length = u16::try_from(token.len()).map_err(|_| Malformed)?;
        Ok([&length.to_be_bytes(), token, proof].concat())
    }
}

impl<'a> ChallengeResponse<'a> {
    /// Takes the property's value apart; the proof must not be empty.
    pub fn parse(data: &'a [u8]) -> Result<Self, Malformed> {
        match data.split_first_chunk::<NONCE_LENGTH>() {
            None | Some((_, [])) => Err(Malformed),
            Some((nonce, proof)) => Ok(Self {
                client_nonce: ClientNonce(*nonce),
                proof,
            }),
        }
    }

    /// The property's value.
    pub fn encode(&self) -> Vec<u8> {
        [&self.client_nonce.0, self.proof].concat()
    }
}

/// What stands before the token in the User Name of MQTT 3.1.1 (RFC 9431 §6).
const USER_NAME_PREFIX: &str = "ace";

/// The User Name by which a client of MQTT 3.1.1, which has no Authentication Data, brings its token (RFC 9431 §6). A JWT, text already, is
/// encoded all the same.
pub fn user_name(token: &[u8]) -> String {
    let mut name = String::from(USER_NAME_PREFIX);
    base64url::encode_onto(&mut name, token);
    name
}

/// The token in such a User Name; `None` where it is another kind of user name, [`Malformed`] where it begins like one and is none.
pub fn token_of_user_name(name: &str) -> Option<Result<Vec<u8>, Malformed>> {
    let text = name.strip_prefix(USER_NAME_PREFIX)?;
    let token = base64url::decode(text).filter(|token| !token.is_empty());
    Some(token.ok_or(Malformed))
}

/// What a challenge/response proof is computed over: RS nonce, then client nonce.
pub fn challenge_message(rs_nonce: RsNonce, client_nonce: ClientNonce) -> [u8; 16] {
    let mut message = [0; 16];
    message[..8].copy_from_slice(&rs_nonce.0);
    message[8..].copy_from_slice(&client_nonce.0);
    message
}
