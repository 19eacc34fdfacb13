//! How a client gets in: anonymous, or with a token and a proof (RFC 9431 §2.2.4.2): over the exporter value where there is TLS, else in
//! answer to a challenge.

use anyhow::{Context as _, bail};
use std::sync::Arc;
use symbolon_ace_proto::{
    AUTHENTICATION_METHOD, ChallengeResponse, ClientNonce, ConnectData, PopSigner, RsNonce,
    authentication_data::challenge_message,
};
use symbolon_mqtt_proto::{
    Auth, Connect, Packet, ProtocolVersion, ReasonCode, UserProperties, connect::ConnectProperties,
};

/// The client's part of a challenge. The same each time: a measurement keeps no secrets.
const CLIENT_NONCE: ClientNonce = ClientNonce([7; 8]);
/// Nobody pings.
const KEEP_ALIVE_SECS: u16 = 3_600;

/// A token and the key that it is bound to.
#[derive(Debug)]
pub(crate) struct Credentials {
    pub(crate) token: String,
    pub(crate) signer: PopSigner,
}

/// Who comes.
#[derive(Clone, Debug)]
pub(crate) struct Hello {
    pub(crate) client_identifier: String,
    pub(crate) clean_start: bool,
    /// How long the session outlives the connection, seconds.
    pub(crate) session_expiry_secs: u32,
    /// Its own, where it has not those of all.
    pub(crate) credentials: Option<Arc<Credentials>>,
}

impl Hello {
    /// Whose session begins and ends with the connection.
    pub(crate) fn brief(client_identifier: String) -> Self {
        Self {
            client_identifier,
            clean_start: true,
            session_expiry_secs: 0,
            credentials: None,
        }
    }

    /// The CONNECT, with a proof where the connection has an exporter value.
    pub(crate) fn connect(
        &self,
        credentials: Option<&Credentials>,
        exporter: Option<[u8; 32]>,
    ) -> anyhow::Result<Vec<u8>> {
        let data = match credentials {
            Some(credentials) => Some(credentials.data(exporter)?),
            None => None,
        };
        let connect = Connect {
            version: ProtocolVersion::V5,
            clean_start: self.clean_start,
            keep_alive_secs: KEEP_ALIVE_SECS,
            client_identifier: &self.client_identifier,
            will: None,
            user_name: None,
            password: None,
            properties: ConnectProperties {
                session_expiry_interval_secs: Some(self.session_expiry_secs),
                authentication_method: data.as_ref().map(|_| AUTHENTICATION_METHOD),
                authentication_data: data.as_deref(),
                ..ConnectProperties::default()
            },
        };
        let mut bytes = Vec::new();
        Packet::Connect(Box::new(connect)).encode(ProtocolVersion::V5, &mut bytes)?;
        Ok(bytes)
    }
}

impl Credentials {
    fn data(&self, exporter: Option<[u8; 32]>) -> anyhow::Result<Vec<u8>> {
        let token = self.token.as_bytes();
        Ok(match exporter {
            None => ConnectData::Token(token).encode()?,
            Some(exporter) => {
                let proof = &self.signer.sign(&exporter)?;
                ConnectData::TokenAndProof { token, proof }.encode()?
            }
        })
    }

    /// What is answered to a challenge.
    pub(crate) fn answer(&self, auth: &Auth<'_>) -> anyhow::Result<Vec<u8>> {
        if auth.reason_code != ReasonCode::ContinueAuthentication {
            bail!("AUTH {:?}", auth.reason_code);
        }
        let nonce = auth
            .authentication_data
            .and_then(|data| data.try_into().ok());
        let nonce = RsNonce(nonce.context("a challenge of another length")?);
        let proof = &self.signer.sign(&challenge_message(nonce, CLIENT_NONCE))?;
        let response = ChallengeResponse {
            client_nonce: CLIENT_NONCE,
            proof,
        };
        let answer = Auth {
            reason_code: ReasonCode::ContinueAuthentication,
            authentication_method: Some(AUTHENTICATION_METHOD),
            authentication_data: Some(&response.encode()),
            reason_string: None,
            user_properties: UserProperties::default(),
        };
        let mut bytes = Vec::new();
        Packet::Auth(answer).encode(ProtocolVersion::V5, &mut bytes)?;
        Ok(bytes)
    }
}
