//! What cannot serve is found at the start.

use crate::pki::{LIMIT, Pki};
use symbolon_tls::{Acceptor, Connector, SetupError};

#[test]
fn texts_without_pem_are_refused_by_what_is_missing() {
    let pki = Pki::generate();
    assert!(matches!(
        Acceptor::new("", &pki.key_pem, LIMIT),
        Err(SetupError::Missing("certificate"))
    ));
    assert!(matches!(
        Acceptor::new(&pki.chain_pem, &pki.chain_pem, LIMIT),
        Err(SetupError::Missing("private key"))
    ));
    assert!(matches!(
        Connector::new("no PEM", LIMIT),
        Err(SetupError::Missing("CA certificate"))
    ));
}

#[test]
fn broken_pem_is_refused() {
    let pki = Pki::generate();
    let broken = pki.chain_pem.replace("-----END", "!-----END");
    assert!(matches!(
        Acceptor::new(&broken, &pki.key_pem, LIMIT),
        Err(SetupError::Unreadable("certificate"))
    ));
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let pki = Pki::generate();
    let other = Pki::generate();
    assert!(matches!(
        Acceptor::new(&pki.chain_pem, &other.key_pem, LIMIT),
        Err(SetupError::Refused(_))
    ));
}

#[test]
fn a_ca_certificate_as_the_servers_own_is_refused() {
    let pki = Pki::generate();
    assert!(matches!(
        Acceptor::new(&pki.ca_pem, &pki.ca_key_pem, LIMIT),
        Err(SetupError::CaAsServer)
    ));
}
