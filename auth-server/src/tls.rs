//! TLS for HTTPS: rustls with aws-lc-rs, TLS 1.3 and 1.2.

use rustls::{ServerConfig, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::sync::Arc;

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
