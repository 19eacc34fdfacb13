//! The client's end of a handshake.

use crate::{
    Channel, HandshakeError, PreSharedKey, SetupError, Spki,
    engine::{ClientEngine, HTTP_ALPN, KeyedClient, MQTT_ALPN},
    socket::Socket,
};
use std::{net::SocketAddr, ops::RangeInclusive, time::Duration};
use tokio::net::TcpStream;

/// How long a client's identity may be, bytes: with the rest of the `ClientHello`, all extensions have 65535.
const PSK_IDENTITY_BYTES: RangeInclusive<usize> = 1..=62_000;

/// Opens channels and checks the Server's certificate against given CAs, and no others, or its raw public key, or a pre-shared key. TLS 1.3, or TLS 1.2 with
/// extended main secret; ALPN `mqtt`; SNI where the name is a DNS name; no resumption. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Connector {
    engine: Engine,
    handshake_timeout: Duration,
}

#[derive(Clone, Debug)]
enum Engine {
    Certificate(ClientEngine),
    Keyed(KeyedClient),
}

impl Connector {
    /// Trusts exactly the CAs in the PEM text. `handshake_timeout` bounds TCP connecting and handshake together.
    pub fn new(ca_pem: &str, handshake_timeout: Duration) -> Result<Self, SetupError> {
        Ok(Self {
            engine: Engine::Certificate(ClientEngine::trusting_authorities(ca_pem, MQTT_ALPN)?),
            handshake_timeout,
        })
    }

    /// Trusts exactly the Server that holds the private key to this raw public key, as `rs_cnf` names it (RFC 9431 §2.2.3.1); its name
    /// and its certificate mean nothing then. TLS 1.3 alone.
    pub fn expecting_raw_key(
        server: Spki,
        handshake_timeout: Duration,
    ) -> Result<Self, SetupError> {
        Ok(Self {
            engine: Engine::Certificate(ClientEngine::trusting_raw_key(server, MQTT_ALPN)?),
            handshake_timeout,
        })
    }

    /// Shows the public key of this private key (PEM; Ed25519 or P-256) as a raw public key, and proves possession, once the Server
    /// was found to be the right one. TLS 1.3 alone; a Server that does not ask for it is refused.
    pub fn showing_raw_key(self, private_key_pem: &str) -> Result<Self, SetupError> {
        let engine = match &self.engine {
            Engine::Certificate(engine) => engine.with_raw_key(private_key_pem)?,
            Engine::Keyed(_) => return Err(SetupError::TwoIdentities),
        };
        Ok(Self {
            engine: Engine::Certificate(engine),
            ..self
        })
    }

    /// Trusts exactly the Server that holds this pre-shared key too, which is told it by this identity, of 1 to 62 000 bytes: a token, or
    /// what names one (RFC 9431 §2.2.3.2). TLS 1.3 with ephemeral keys, or TLS 1.2 with `ECDHE_PSK` where the identity has up to 255 bytes and
    /// none of them is zero; a Server that would do without the key is refused.
    pub fn with_pre_shared_key(
        identity: &[u8],
        key: PreSharedKey,
        handshake_timeout: Duration,
    ) -> Result<Self, SetupError> {
        if !PSK_IDENTITY_BYTES.contains(&identity.len()) {
            return Err(SetupError::PskIdentity);
        }
        Ok(Self {
            engine: Engine::Keyed(KeyedClient::new(identity, key, MQTT_ALPN)?),
            handshake_timeout,
        })
    }

    /// The same for HTTPS: ALPN `http/1.1`.
    pub(crate) fn for_http(ca_pem: &str, handshake_timeout: Duration) -> Result<Self, SetupError> {
        Ok(Self {
            engine: Engine::Certificate(ClientEngine::trusting_authorities(ca_pem, HTTP_ALPN)?),
            handshake_timeout,
        })
    }

    /// Shows this certificate (PEM, leaf first) where the Server asks for one. Not with a pre-shared key.
    pub(crate) fn showing_certificate(
        self,
        chain_pem: &str,
        key_pem: &str,
    ) -> Result<Self, SetupError> {
        let engine = match &self.engine {
            Engine::Certificate(engine) => engine.with_certificate(chain_pem, key_pem)?,
            Engine::Keyed(_) => return Err(SetupError::TwoIdentities),
        };
        Ok(Self {
            engine: Engine::Certificate(engine),
            ..self
        })
    }

    /// Resolves `host` and tries its addresses in turn: connects TCP and does the handshake for `host`.
    pub async fn connect_host(&self, host: &str, port: u16) -> Result<Channel, HandshakeError> {
        self.within_limit(async {
            let stream = TcpStream::connect((host, port))
                .await
                .map_err(HandshakeError::Connect)?;
            self.handshake(stream, host).await
        })
        .await
    }

    /// Connects TCP to `address` and does the handshake for `server_name` (SNI and certificate check; a DNS name or an IP address).
    pub async fn connect(
        &self,
        address: SocketAddr,
        server_name: &str,
    ) -> Result<Channel, HandshakeError> {
        self.within_limit(async {
            let stream = TcpStream::connect(address)
                .await
                .map_err(HandshakeError::Connect)?;
            self.handshake(stream, server_name).await
        })
        .await
    }

    /// Does the handshake for `server_name` on a connection that stands already.
    pub async fn connect_stream(
        &self,
        stream: TcpStream,
        server_name: &str,
    ) -> Result<Channel, HandshakeError> {
        self.within_limit(self.handshake(stream, server_name)).await
    }

    async fn handshake(
        &self,
        stream: TcpStream,
        server_name: &str,
    ) -> Result<Channel, HandshakeError> {
        stream.set_nodelay(true).map_err(HandshakeError::Io)?;
        let socket = Socket::Attached(stream);
        let secured = match &self.engine {
            Engine::Certificate(engine) => engine.connect(socket, server_name).await?,
            Engine::Keyed(engine) => engine.connect(socket, server_name).await?,
        };
        Ok(secured.into())
    }

    async fn within_limit(
        &self,
        work: impl Future<Output = Result<Channel, HandshakeError>>,
    ) -> Result<Channel, HandshakeError> {
        tokio::time::timeout(self.handshake_timeout, work)
            .await
            .map_err(|_elapsed| HandshakeError::Timeout)?
    }
}
