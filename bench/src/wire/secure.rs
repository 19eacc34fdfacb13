//! TLS 1.3 for either end: the engine that the broker uses, without tickets on either side.

use super::is_not_now;
use anyhow::Context as _;
use mio::net::TcpStream;
use rustls::{
    ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection,
    client::Resumption,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    version::TLS13,
};
use std::{
    io::{self, Read, Write},
    path::Path,
    sync::Arc,
};
use symbolon_ace_proto::{EXPORTER_LABEL, EXPORTER_LENGTH};

/// The name in the servers' certificates.
const SERVER_NAME: &str = "localhost";
/// Room that is left for what one TLS record may bring, bytes.
const RECORD_BYTES: usize = 32 * 1024;

/// What clients are made from.
#[derive(Clone, Debug)]
pub(crate) struct ClientTls(Arc<ClientConfig>);

/// What servers are made from.
#[derive(Clone, Debug)]
pub(crate) struct ServerTls(Arc<ServerConfig>);

/// The TLS state of one connection.
#[derive(Debug)]
pub(crate) struct Secure(Connection);

impl ClientTls {
    /// Trusts the CA in this PEM file.
    pub(crate) fn trusting(ca: &Path) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(ca).context("no CA")? {
            roots.add(certificate?)?;
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok(Self(Arc::new(config)))
    }

    /// A new connection.
    pub(crate) fn begin(&self) -> anyhow::Result<Secure> {
        let name = ServerName::try_from(SERVER_NAME)?;
        let mut connection = ClientConnection::new(Arc::clone(&self.0), name)?;
        connection.set_buffer_limit(None);
        Ok(Secure(connection.into()))
    }
}

impl ServerTls {
    /// With this certificate chain and key, PEM files.
    pub(crate) fn with(certificate: &Path, key: &Path) -> anyhow::Result<Self> {
        let chain = CertificateDer::pem_file_iter(certificate).context("no certificate")?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])?
            .with_no_client_auth()
            .with_single_cert(
                chain.collect::<Result<_, _>>()?,
                PrivateKeyDer::from_pem_file(key).context("no key")?,
            )?;
        config.send_tls13_tickets = 0;
        Ok(Self(Arc::new(config)))
    }

    /// For a server that drives connections itself.
    pub(crate) fn acceptor(&self) -> tokio_rustls::TlsAcceptor {
        Arc::clone(&self.0).into()
    }

    /// A new connection.
    pub(crate) fn begin(&self) -> anyhow::Result<Secure> {
        let mut connection = ServerConnection::new(Arc::clone(&self.0))?;
        connection.set_buffer_limit(None);
        Ok(Secure(connection.into()))
    }
}

impl Secure {
    pub(super) fn is_open(&self) -> bool {
        !self.0.is_handshaking()
    }

    pub(super) fn exporter(&self) -> Option<[u8; EXPORTER_LENGTH]> {
        let value = [0; EXPORTER_LENGTH];
        let exported = self.0.export_keying_material(value, EXPORTER_LABEL, None);
        exported.ok()
    }

    /// Reads until nothing is there, or `room` is nearly full; how many bytes.
    pub(super) fn read(
        &mut self,
        stream: &mut TcpStream,
        room: &mut [u8],
        has_ended: &mut bool,
    ) -> io::Result<usize> {
        let mut count = 0;
        while count + RECORD_BYTES < room.len() {
            match self.0.read_tls(stream) {
                Ok(0) => {
                    *has_ended = true;
                    break;
                }
                Ok(_) => {}
                Err(error) if is_not_now(&error) => break,
                Err(error) => return Err(error),
            }
            let state = self.0.process_new_packets().map_err(io::Error::other)?;
            let whole = state.plaintext_bytes_to_read();
            if whole > 0 {
                self.0
                    .reader()
                    .read_exact(&mut room[count..count + whole])?;
                count += whole;
            }
            *has_ended |= state.peer_has_closed();
        }
        if self.0.wants_write() {
            self.write(stream, &mut Vec::new())?;
        }
        Ok(count)
    }

    /// Encrypts all of `out` and writes as much as the other end takes; what it does not is kept as records.
    pub(super) fn write(&mut self, stream: &mut TcpStream, out: &mut Vec<u8>) -> io::Result<()> {
        if !out.is_empty() && self.is_open() {
            self.0.writer().write_all(out)?;
            out.clear();
        }
        while self.0.wants_write() {
            match self.0.write_tls(stream) {
                Ok(_) => {}
                Err(error) if is_not_now(&error) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(super) fn say_goodbye(&mut self) {
        self.0.send_close_notify();
    }
}
