//! Certificates in files.

use crate::{certificates, exit::usage, private_file};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use std::path::Path;

/// SHA-256 of the first certificate in a PEM file, in DER: `x5t#S256`.
pub(crate) fn sha256(file: &Path) -> anyhow::Result<[u8; 32]> {
    let refused = |why: &str| usage(format!("{}: {why}", file.display()));
    let pem = private_file::read_text(file).map_err(|error| refused(&error))?;
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| refused("is not a certificate in PEM"))?;
    Ok(certificates::sha256(&certificate))
}
