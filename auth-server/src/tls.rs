//! TLS for HTTPS: rustls with aws-lc-rs, TLS 1.3 and 1.2.

use rustls::{ServerConfig, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::sync::Arc;

/// What handshakes are done with.
pub(crate) type ServerTls = ServerConfig;

/// The configuration for a certificate chain, leaf first, and its key. The error says what is wrong, and shows nothing of the key.
pub(crate) fn server_config(
    certificate_chain_pem: &str,
    private_key_pem: &str,
) -> Result<Arc<ServerConfig>, String> {
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(certificate_chain_pem.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|error| format!("certificate chain: {error}"))?;
    if chain.is_empty() {
        return Err("certificate chain: no certificate in it".to_owned());
    }
    let key = PrivateKeyDer::from_pem_slice(private_key_pem.as_bytes())
        .map_err(|_| "private key: not a PEM key".to_owned())?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| error.to_string())?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // RFC 9325 §3.4: TLS 1.2 without the extended main secret invites triple handshakes.
    config.require_ems = true;
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::{
        ClientConfig, ClientConnection, ProtocolVersion, RootCertStore, ServerConnection,
        SupportedProtocolVersion, pki_types::ServerName, version,
    };

    /// Shakes hands in memory; what both ends agree on.
    fn negotiate(
        version: &'static SupportedProtocolVersion,
        alpn: &[&[u8]],
    ) -> Result<(Option<ProtocolVersion>, Option<Vec<u8>>), rustls::Error> {
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = certified.signing_key.serialize_pem();
        let config = server_config(&certified.cert.pem(), &key).unwrap();
        let mut server = ServerConnection::new(config).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certified.cert.der().clone()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let name = ServerName::try_from("localhost").unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        while client.is_handshaking() || server.is_handshaking() {
            let mut bytes = Vec::new();
            client.write_tls(&mut bytes).unwrap();
            server.read_tls(&mut bytes.as_slice()).unwrap();
            server.process_new_packets()?;
            let mut bytes = Vec::new();
            server.write_tls(&mut bytes).unwrap();
            client.read_tls(&mut bytes.as_slice()).unwrap();
            client.process_new_packets()?;
        }
        let alpn = server.alpn_protocol().map(<[u8]>::to_vec);
        Ok((server.protocol_version(), alpn))
    }

    #[test]
    fn tls_1_3_and_1_2_are_spoken_and_http_1_1_is_agreed_on() {
        for version in [&version::TLS13, &version::TLS12] {
            let agreed = negotiate(version, &[b"h2", b"http/1.1"]).unwrap();
            assert_eq!(agreed, (Some(version.version), Some(b"http/1.1".to_vec())));
            let without = negotiate(version, &[]).unwrap();
            assert_eq!(without, (Some(version.version), None));
        }
    }

    // RFC 7301 §3.2
    #[test]
    fn a_client_that_speaks_no_http_is_refused() {
        assert!(negotiate(&version::TLS13, &[b"mqtt"]).is_err());
    }

    #[test]
    fn a_refused_key_is_not_shown() {
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let pem = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";
        let error = server_config(&certified.cert.pem(), pem).unwrap_err();
        assert!(
            !error.contains("c2VjcmV0") && !error.contains("secret"),
            "{error}"
        );
    }
}
