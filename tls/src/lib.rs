//! One secure channel: who the peer proved to be, and the exporter value of RFC 9431 §2.2.4.2.1.
//!
//! Server side: [`Acceptor`]; client side: [`Connector`]. Both end in a [`Channel`], which may also be a bare TCP connection
//! (for public topics on loopback and for measuring).
//!
//! | module | holds |
//! |---|---|
//! | `acceptor`, `connector` | timeouts and TCP around the handshake |
//! | `engine` | the one place that knows the TLS library: configuration, handshake, exporter |
//! | `channel`, `socket` | bytes in and out, and the move from one runtime to another |
//! | `carrier`, `websocket` | frames of RFC 6455 over a socket or TLS, and the request that opens them |
//! | [`https`] | one HTTPS request, on such a channel |
//! | `error` | why no channel came to be |

mod acceptor;
mod carrier;
mod channel;
mod connector;
mod engine;
mod error;
pub mod https;
mod socket;
mod spki;
mod websocket;

pub use acceptor::{Acceptor, ServerCertificate};
pub use channel::{Channel, DetachedChannel, ExporterValue, Peer};
pub use connector::Connector;
pub use engine::EngineError;
pub use error::{HandshakeError, SetupError, UpgradeError};
pub use spki::{PublicKey, Spki, SpkiError};
pub use symbolon_tls_psk::{KEY_BYTES, KeyError, KeySource, PreSharedKey};
pub use websocket::{WebSocketAcceptor, WebSocketPolicy};
