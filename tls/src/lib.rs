//! One secure channel: who the peer proved to be, and the exporter value of RFC 9431 §2.2.4.2.1.
//!
//! Server side: [`Acceptor`]; client side: [`Connector`]. Both end in a [`Channel`], which may also be a bare TCP connection
//! (for public topics on loopback and for measuring).
//!
//! # How a client may prove itself in the handshake
//!
//! All on one port, chosen by what the `ClientHello` offers; [`Channel::peer`] says what came of it:
//!
//! | the client offers | [`Peer`] | who judges |
//! |---|---|---|
//! | nothing | [`Peer::Anonymous`] | the token in CONNECT (RFC 9431 §2.2.4) |
//! | a raw public key (RFC 7250; TLS 1.3, 1.2) | [`Peer::RawPublicKey`] | possession is proved; whether a token has this key, the caller judges afterwards (§2.2.3.1): compare [`Spki::public_key`] |
//! | a pre-shared key (TLS 1.3, 1.2) | [`Peer::PreSharedKey`] | the [`KeySource`] of [`Acceptor::with_pre_shared_keys`], in the handshake; then its identity says which token it was (§2.2.3.2) |
//!
//! A [`KeySource`] is asked with the bytes of the identity, whatever they mean: a whole token, or a `kid` in CBOR, or base64url of that. It
//! answers from what it can see at once, on the handshake's thread, and must not store anything: the peer has proved nothing yet. After the
//! handshake the same identity is in [`Peer::PreSharedKey`], to be looked up again, and stored. Where it answers `None`, the handshake
//! fails as for a wrong key.
//!
//! A client connects with [`Connector::showing_raw_key`], [`Connector::expecting_raw_key`] (the `rs_cnf` of its token) and
//! [`Connector::with_pre_shared_key`]: the former two on TLS 1.3, the last on TLS 1.2 too where its identity is short.
//!
//! # Modules
//!
//! | module | holds |
//! |---|---|
//! | `acceptor`, `connector` | timeouts and TCP around the handshake |
//! | `engine` | the one place that knows the TLS libraries: the door, configurations, handshakes, the exporter |
//! | `spki` | raw public keys |
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
