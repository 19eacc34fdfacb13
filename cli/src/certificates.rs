//! A certificate authority of one's own, and the one certificate it issues for authorization server and broker.

use anyhow::Context as _;
use chrono::{Datelike as _, Days, Months, NaiveDate};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};

/// How long the CA is valid.
const CA_MONTHS: u32 = 120;
/// How long the servers' certificate is valid.
const SERVER_MONTHS: u32 = 24;
/// What every certificate of ours is good for, besides the host's name.
const LOOPBACK_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// PEM texts, and the fingerprint that clients are told.
pub(crate) struct Certificates {
    /// The CA's certificate.
    pub(crate) ca: String,
    /// The CA's private key.
    pub(crate) ca_key: String,
    /// The servers' certificate.
    pub(crate) server: String,
    /// The servers' private key.
    pub(crate) server_key: String,
    /// SHA-256 of the servers' certificate, DER: `x5t#S256` (RFC 8705 §3.1).
    pub(crate) server_sha256: [u8; 32],
}

/// Makes a CA and a certificate for `host` and loopback. rustls refuses a CA as a server's own certificate, so they are two.
pub(crate) fn issue(host: &str, today: NaiveDate) -> anyhow::Result<Certificates> {
    let mut ca_params = CertificateParams::default();
    ca_params.distinguished_name = common_name(&format!("Symbolon CA of {host}"));
    ca_params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca_params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_validity(&mut ca_params, today, CA_MONTHS)?;
    let ca_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let ca = ca_params.self_signed(&ca_key)?;

    let mut params = CertificateParams::new(names(host)).context("host name")?;
    params.distinguished_name = common_name(host);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    set_validity(&mut params, today, SERVER_MONTHS)?;
    let server_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let server = params.signed_by(&server_key, &Issuer::from_params(&ca_params, &ca_key))?;

    Ok(Certificates {
        ca: ca.pem(),
        ca_key: ca_key.serialize_pem(),
        server_sha256: sha256(server.der()),
        server: server.pem(),
        server_key: server_key.serialize_pem(),
    })
}

/// SHA-256.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let mut out = [0; 32];
    out.copy_from_slice(digest.as_ref());
    out
}

fn names(host: &str) -> Vec<String> {
    let mut names = vec![host.to_owned()];
    for name in LOOPBACK_NAMES {
        if name != host {
            names.push(name.to_owned());
        }
    }
    names
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished_name = DistinguishedName::new();
    distinguished_name.push(DnType::CommonName, name);
    distinguished_name
}

// From yesterday on: the clock of a small device may be a little behind.
fn set_validity(
    params: &mut CertificateParams,
    today: NaiveDate,
    months: u32,
) -> anyhow::Result<()> {
    let from = today.checked_sub_days(Days::new(1));
    let until = today.checked_add_months(Months::new(months));
    let (from, until) = from.zip(until).context("the clock is beyond all dates")?;
    let (from_month, from_day) = (u8::try_from(from.month())?, u8::try_from(from.day())?);
    let (until_month, until_day) = (u8::try_from(until.month())?, u8::try_from(until.day())?);
    params.not_before = rcgen::date_time_ymd(from.year(), from_month, from_day);
    params.not_after = rcgen::date_time_ymd(until.year(), until_month, until_day);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const TIMEOUT: Duration = Duration::from_secs(1);

    #[test]
    fn certificate_and_key_serve_and_the_ca_is_a_trust_anchor() {
        let today = NaiveDate::from_ymd_opt(2026, 2, 28).unwrap();
        let made = issue("broker.example", today).unwrap();
        assert!(made.ca.contains("BEGIN CERTIFICATE"));
        assert!(made.server_key.contains("PRIVATE KEY"));
        assert_ne!(made.ca, made.server);
        symbolon_tls::Acceptor::new(&made.server, &made.server_key, TIMEOUT).unwrap();
        symbolon_tls::Connector::new(&made.ca, TIMEOUT).unwrap();
    }

    #[test]
    fn the_fingerprint_is_that_of_the_certificate() {
        let today = NaiveDate::from_ymd_opt(2026, 2, 28).unwrap();
        let made = issue("127.0.0.1", today).unwrap();
        let lines: String = made
            .server
            .lines()
            .filter(|line| !line.starts_with("-----"))
            .collect();
        let der =
            base64::Engine::decode(&base64::engine::general_purpose::STANDARD, lines).unwrap();
        assert_eq!(sha256(&der), made.server_sha256);
    }
}
