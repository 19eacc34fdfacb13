//! One connection, without IO: the caller moves the ciphertext.

use crate::{TlsError, error::reasons, foreign, lookup::Handshake, wire::Wire};
use openssl::{
    error::ErrorStack,
    ssl::{ErrorCode, ShutdownState, Ssl, SslStream, SslVersion},
};
use std::{fmt, sync::Arc};

/// A TLS connection. Whatever is called: afterwards [`Self::ciphertext`] may have to be sent.
pub struct Connection {
    stream: SslStream<Wire>,
    expected: Expected,
}

/// How far a call got.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Progress<T> {
    /// It is done.
    Done(T),
    /// More ciphertext has to come first.
    Blocked,
}

/// Whom a handshake proved the peer to be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Peer {
    /// Nobody.
    Anonymous,
    /// The holder of the private key to this `SubjectPublicKeyInfo` (DER), whatever kind of key it is.
    RawPublicKey(Vec<u8>),
    /// A holder of the key that belongs to this identity.
    PreSharedKey(Arc<[u8]>),
    /// A holder of our own key.
    OwnKey,
}

/// What a handshake must have proved when it is over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Expected {
    /// A key we found.
    Key,
    /// Our own key.
    OwnKey,
    /// A raw public key, or nothing.
    RawKey,
}

impl Connection {
    pub(crate) fn new(ssl: Ssl, expected: Expected) -> Result<Self, ErrorStack> {
        Ok(Self {
            stream: SslStream::new(ssl, Wire::default())?,
            expected,
        })
    }

    /// Ciphertext from the peer. Nothing bounds it but the caller, who reads from the socket only when a call was
    /// [`Progress::Blocked`].
    pub fn handle_ciphertext(&mut self, ciphertext: &[u8]) {
        self.stream.get_mut().append(ciphertext);
    }

    /// The peer sends no more.
    pub fn handle_end(&mut self) {
        self.stream.get_mut().has_ended = true;
    }

    /// What has to be sent to the peer.
    pub fn ciphertext(&self) -> &[u8] {
        &self.stream.get_ref().outgoing
    }

    /// The first so many bytes of [`Self::ciphertext`] were sent.
    pub fn handle_sent(&mut self, count: usize) {
        let outgoing = &mut self.stream.get_mut().outgoing;
        outgoing.drain(..count.min(outgoing.len()));
        if outgoing.is_empty() {
            *outgoing = Vec::new();
        }
    }

    /// Goes on with the handshake. Where it fails, an alert is left to be sent.
    pub fn handshake(&mut self) -> Result<Progress<Peer>, TlsError> {
        match self.stream.do_handshake() {
            Ok(()) => self.judge().map(Progress::Done),
            Err(error) if error.code() == ErrorCode::WANT_READ => Ok(Progress::Blocked),
            Err(error) => Err(self.failure(&error)),
        }
    }

    /// Decrypts into `place`; `Done(0)` is the end, said by the peer in TLS.
    pub fn read(&mut self, place: &mut [u8]) -> Result<Progress<usize>, TlsError> {
        match self.stream.ssl_read(place) {
            Ok(count) => Ok(Progress::Done(count)),
            Err(error) if error.code() == ErrorCode::WANT_READ => Ok(Progress::Blocked),
            Err(error) if error.code() == ErrorCode::ZERO_RETURN => Ok(Progress::Done(0)),
            Err(error) => Err(self.failure(&error)),
        }
    }

    /// Encrypts all of it, in records of at most 16 KiB.
    pub fn write(&mut self, plaintext: &[u8]) -> Result<(), TlsError> {
        let mut rest = plaintext;
        while !rest.is_empty() {
            let written = self.stream.ssl_write(rest);
            let count = written.map_err(|error| self.failure(&error))?;
            rest = &rest[count..];
        }
        Ok(())
    }

    /// Says the end in TLS (`close_notify`), once.
    pub fn close(&mut self) -> Result<(), TlsError> {
        if self.stream.get_shutdown().contains(ShutdownState::SENT) {
            return Ok(());
        }
        let closed = self.stream.shutdown();
        closed.map(drop).map_err(|error| self.failure(&error))
    }

    /// Keying material (RFC 5705, RFC 8446 §7.5) for this label and the context that is present and empty.
    pub fn export(&self, label: &str, value: &mut [u8]) -> Result<(), TlsError> {
        let ssl = self.stream.ssl();
        Ok(ssl.export_keying_material(value, label, Some(&[]))?)
    }

    /// The handshake is over. What does it prove?
    fn judge(&self) -> Result<Peer, TlsError> {
        let ssl = self.stream.ssl();
        let is_tls13 = ssl.version2() == Some(SslVersion::TLS1_3);
        // OpenSSL cannot be told to insist on it.
        if !is_tls13 && ssl.extms_support() != Some(true) {
            return Err(TlsError::ExtendedMainSecret);
        }
        // On TLS 1.3 a handshake with an external key counts as resumed; resumption proper we do not have.
        let is_keyed = ssl.session_reused()
            || ssl
                .current_cipher()
                .is_some_and(|suite| suite.name().contains("PSK"));
        match self.expected {
            Expected::RawKey => {
                Ok(foreign::peer_raw_key(ssl)?.map_or(Peer::Anonymous, Peer::RawPublicKey))
            }
            Expected::OwnKey if is_keyed => Ok(Peer::OwnKey),
            Expected::Key if is_keyed => Handshake::found(ssl)
                .map(Peer::PreSharedKey)
                .ok_or(TlsError::NoKey),
            Expected::OwnKey | Expected::Key => Err(TlsError::NoKey),
        }
    }

    fn failure(&self, error: &openssl::ssl::Error) -> TlsError {
        if self.stream.get_ref().is_exhausted() {
            return TlsError::Truncated;
        }
        match error.ssl_error() {
            Some(errors) => TlsError::OpenSsl(reasons(errors)),
            None => TlsError::OpenSsl("OpenSSL gives no reason".to_owned()),
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}
