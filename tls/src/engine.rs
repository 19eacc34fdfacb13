//! The TLS engines. No other file names one, and no type of theirs is in the crate's public face.

mod client;
mod hello;
mod keyed;
mod raw_keys;
mod replay;
mod server;

pub(crate) use client::{ClientEngine, KeyedClient};
pub(crate) use server::{KeyedEngine, ServerEngine};

use crate::{HandshakeError, SetupError, socket::Socket};
use keyed::KeyedStream;
use replay::Replay;
use rustls::{
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
};
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The ALPN protocol name of MQTT over TLS (RFC 9431 §2.2.3).
pub(crate) const MQTT_ALPN: &[u8] = b"mqtt";
/// That of HTTP/1.1 (RFC 7301 §6).
pub(crate) const HTTP_ALPN: &[u8] = b"http/1.1";
/// RFC 9431 §7.1.
const EXPORTER_LABEL: &str = "EXPORTER-ACE-MQTT-Sign-Challenge";
/// Present and empty. On TLS 1.2 that is not the same as absent (RFC 5705 §4).
const EXPORTER_CONTEXT: Option<&[u8]> = Some(&[]);

/// What a TLS engine says: for people and logs.
#[derive(Clone, Debug, thiserror::Error)]
#[error(transparent)]
pub struct EngineError(#[from] Said);

#[derive(Clone, Debug, thiserror::Error)]
enum Said {
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
    #[error(transparent)]
    OpenSsl(#[from] symbolon_tls_psk::TlsError),
    #[error(transparent)]
    OpenSslSetup(#[from] symbolon_tls_psk::SetupError),
}

/// A TLS stream of either end.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "boxed as a whole in a Carrier, and the larger one is the usual one"
)]
pub(crate) enum TlsStream {
    Rustls(tokio_rustls::TlsStream<Replay>),
    OpenSsl(KeyedStream),
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn certificates(pem: &str, what: &'static str) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_error| SetupError::Unreadable(what))?;
    if chain.is_empty() {
        return Err(SetupError::Missing(what));
    }
    Ok(chain)
}

fn private_key(pem: &str) -> Result<PrivateKeyDer<'static>, SetupError> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|error| {
        if matches!(error, pem::Error::NoItemsFound) {
            SetupError::Missing("private key")
        } else {
            SetupError::Unreadable("private key")
        }
    })
}

fn refused(error: impl Into<Said>) -> SetupError {
    SetupError::Refused(EngineError(error.into()))
}

fn failed(error: impl Into<Said>) -> HandshakeError {
    HandshakeError::Tls(EngineError(error.into()))
}

/// The stream wraps what the engine says in an [`io::Error`].
fn handshake_error(error: io::Error) -> HandshakeError {
    match error.downcast::<rustls::Error>() {
        Ok(error) => failed(error),
        Err(error) => HandshakeError::Io(error),
    }
}

impl TlsStream {
    pub(crate) fn socket(&self) -> &Socket {
        match self {
            Self::Rustls(stream) => stream.get_ref().0.socket(),
            Self::OpenSsl(stream) => &stream.socket,
        }
    }

    pub(crate) fn socket_mut(&mut self) -> &mut Socket {
        match self {
            Self::Rustls(stream) => stream.get_mut().0.socket_mut(),
            Self::OpenSsl(stream) => &mut stream.socket,
        }
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Rustls(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::OpenSsl(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Rustls(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::OpenSsl(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Rustls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::OpenSsl(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Rustls(stream) => Pin::new(stream).poll_flush(cx),
            Self::OpenSsl(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Rustls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::OpenSsl(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
