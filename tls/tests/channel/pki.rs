//! Certificates for a test, and both ends of a connection.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use symbolon_tls::{Acceptor, Channel, Connector, HandshakeError};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// A CA and a Server's certificate for `localhost` from it.
pub(crate) struct Pki {
    pub(crate) ca_pem: String,
    pub(crate) ca_key_pem: String,
    pub(crate) chain_pem: String,
    pub(crate) leaf_der: Vec<u8>,
    pub(crate) key_pem: String,
}

impl Pki {
    pub(crate) fn generate() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["localhost".to_owned()])
            .unwrap()
            .signed_by(&key, &ca)
            .unwrap();
        Self {
            ca_pem: ca.pem(),
            ca_key_pem: ca.key().serialize_pem(),
            chain_pem: leaf.pem(),
            leaf_der: leaf.der().to_vec(),
            key_pem: key.serialize_pem(),
        }
    }

    pub(crate) fn acceptor(&self) -> Acceptor {
        Acceptor::new(&self.chain_pem, &self.key_pem, LIMIT).unwrap()
    }

    pub(crate) fn connector(&self) -> Connector {
        Connector::new(&self.ca_pem, LIMIT).unwrap()
    }

    /// A client of another make: rustls as it comes, with resumption.
    pub(crate) fn foreign_client(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        alpn: &[&str],
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(self.ca_pem.as_bytes()).unwrap())
            .unwrap();
        let mut config =
            ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_protocol_versions(versions)
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

/// A listener whose one next connection is accepted in a task.
pub(crate) async fn accept_one(
    acceptor: Acceptor,
) -> (
    SocketAddr,
    tokio::task::JoinHandle<Result<Channel, HandshakeError>>,
) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepting = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        acceptor.accept(stream).await
    });
    (address, accepting)
}

/// Both ends of a connection: the Client's, the Server's.
pub(crate) async fn connected(pki: &Pki) -> (Channel, Channel) {
    let (address, accepting) = accept_one(pki.acceptor()).await;
    let client = pki.connector().connect(address, "localhost").await.unwrap();
    (client, accepting.await.unwrap().unwrap())
}

pub(crate) async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (client, server) = tokio::join!(TcpStream::connect(address), listener.accept());
    (client.unwrap(), server.unwrap().0)
}
