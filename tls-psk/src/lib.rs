//! TLS with pre-shared keys, and raw public keys on TLS 1.2 (RFC 9431 §2.2.3): OpenSSL, without IO of its own.
//!
//! This crate exists to hold the few calls into OpenSSL that its Rust binding lacks. `symbolon-tls` puts it behind its door.
//!
//! | module | holds |
//! |---|---|
//! | `context` | what may be negotiated, for each kind of handshake |
//! | `connection` | one connection: ciphertext in and out, plaintext in and out |
//! | `wire` | the bytes between OpenSSL and the socket |
//! | `key`, `lookup` | pre-shared keys, and whom to ask for them |
//! | `foreign` | the calls, and all `unsafe` |

mod connection;
mod context;
mod error;
mod foreign;
mod key;
mod lookup;
mod wire;

pub use connection::{Connection, Peer, Progress};
pub use context::{PskClient, PskServer, RawKeyServer};
pub use error::{SetupError, TlsError};
pub use key::{KEY_BYTES, KeyError, KeySource, PreSharedKey};
