//! A request whose client shows a certificate.

use crate::pki::Pki;
use rustls::{
    RootCertStore, ServerConfig, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
    version::{TLS12, TLS13},
};
use std::sync::Arc;
use symbolon_tls::https::{HttpsClient, HttpsRequest, Method};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

/// Demands a certificate of the client's CA.
fn demanding(
    server: &Pki,
    client: &Pki,
    version: &'static SupportedProtocolVersion,
) -> TlsAcceptor {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(client.ca_pem.as_bytes()).unwrap();
    roots.add(ca).unwrap();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .unwrap();
    let key = PrivateKeyDer::from_pem_slice(server.key_pem.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![CertificateDer::from(server.leaf_der.clone())], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

#[tokio::test]
async fn a_server_that_demands_a_certificate_gets_it_on_either_version() {
    for version in [&TLS13, &TLS12] {
        let (server, client) = (Pki::generate(), Pki::generate());
        let acceptor = demanding(&server, &client, version);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shown = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = acceptor.accept(stream).await.unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                assert_ne!(stream.read_buf(&mut asked).await.unwrap(), 0);
            }
            let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
            stream.write_all(answer).await.unwrap();
            stream.shutdown().await.unwrap();
            stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
        });
        let https = HttpsClient::new(&server.ca_pem)
            .unwrap()
            .showing_certificate(&client.chain_pem, &client.key_pem)
            .unwrap();
        let request = HttpsRequest {
            method: Method::GET,
            url: format!("https://localhost:{port}/"),
            headers: Vec::new(),
            body: Vec::new(),
        };
        assert_eq!(https.send(request).await.unwrap().status, 204);
        assert_eq!(shown.await.unwrap(), client.leaf_der);
    }
}

#[test]
fn a_certificate_with_the_key_of_another_is_refused() {
    let (one, other) = (Pki::generate(), Pki::generate());
    let https = HttpsClient::new(&one.ca_pem).unwrap();
    assert!(
        https
            .showing_certificate(&one.chain_pem, &other.key_pem)
            .is_err()
    );
}
