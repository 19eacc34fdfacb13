//! The TLS engines. No other file names one, and no type of theirs is in the crate's public face.

mod client;
mod hello;
mod raw_keys;
mod replay;
mod server;

pub(crate) use client::ClientEngine;
pub(crate) use server::ServerEngine;

use crate::{HandshakeError, SetupError, socket::Socket};
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
const EXPORTER_LABEL: &[u8] = b"EXPORTER-ACE-MQTT-Sign-Challenge";
/// Present and empty. On TLS 1.2 that is not the same as absent (RFC 5705 §4).
const EXPORTER_CONTEXT: Option<&[u8]> = Some(&[]);

/// What the TLS engine says: for people and logs.
#[derive(Clone, Debug, thiserror::Error)]
#[error(transparent)]
pub struct EngineError(#[from] rustls::Error);

/// A TLS stream of either end.
#[derive(Debug)]
pub(crate) struct TlsStream(tokio_rustls::TlsStream<Replay>);

impl From<tokio_rustls::TlsStream<Replay>> for TlsStream {
    fn from(stream: tokio_rustls::TlsStream<Replay>) -> Self {
        Self(stream)
    }
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

fn refused(error: rustls::Error) -> SetupError {
    SetupError::Refused(EngineError(error))
}

/// The stream wraps what the engine says in an [`io::Error`].
fn handshake_error(error: io::Error) -> HandshakeError {
    match error.downcast::<rustls::Error>() {
        Ok(error) => HandshakeError::Tls(EngineError(error)),
        Err(error) => HandshakeError::Io(error),
    }
}

impl TlsStream {
    pub(crate) fn socket(&self) -> &Socket {
        self.0.get_ref().0.socket()
    }

    pub(crate) fn socket_mut(&mut self) -> &mut Socket {
        self.0.get_mut().0.socket_mut()
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
