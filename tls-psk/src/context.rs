//! What may be negotiated. Common to all: no resumption, no tickets, no early data, no renegotiation.

use crate::{
    Connection, KeySource, PreSharedKey, SetupError,
    connection::Expected,
    foreign,
    lookup::{Handshake, Lookup},
};
use openssl::{
    error::ErrorStack,
    pkey::PKey,
    ssl::{
        AlpnError, Ssl, SslContext, SslContextBuilder, SslMethod, SslMode, SslOptions, SslRef,
        SslSessionCacheMode, SslVerifyMode, SslVersion,
    },
    x509::X509,
};
use std::sync::Arc;

/// With SHA-256, as our keys are for: a suite with another hash would drop the key and leave an unauthenticated handshake.
const SUITES_13: &str = "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256";
/// OpenSSL has no `TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256` (RFC 8442); these are what it has with forward secrecy and an unbroken hash.
const PSK_SUITES_12: &str = "ECDHE-PSK-CHACHA20-POLY1305:ECDHE-PSK-AES128-CBC-SHA256";
/// The longest identity on TLS 1.2, bytes: OpenSSL takes no longer one.
const IDENTITY_BYTES_12: usize = 255;
const RAW_KEY_SUITES_12: &str =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-AES128-GCM-SHA256";

/// Accepts clients with a pre-shared key, and nobody else: it has no certificate to fall back to. Cheap to clone.
#[derive(Clone)]
pub struct PskServer {
    tls13: SslContext,
    tls12: SslContext,
}

/// Accepts clients on TLS 1.2 that show a raw public key, or nothing. Cheap to clone.
#[derive(Clone)]
pub struct RawKeyServer {
    context: SslContext,
}

/// Connects to a Server that holds the same pre-shared key: TLS 1.3, and TLS 1.2 where the identity allows. Cheap to clone.
#[derive(Clone)]
pub struct PskClient {
    context: SslContext,
    identity: Arc<[u8]>,
    key: PreSharedKey,
}

impl PskServer {
    /// For all handshakes with pre-shared keys.
    pub fn new() -> Result<Self, SetupError> {
        let mut tls13 = builder(SslVersion::TLS1_3)?;
        tls13.set_ciphersuites(SUITES_13)?;
        foreign::find_keys(&mut tls13);
        // A context of its own: on one for both versions, OpenSSL would ask the callback of TLS 1.2 for keys of TLS 1.3.
        let mut tls12 = builder(SslVersion::TLS1_2)?;
        tls12.set_cipher_list(PSK_SUITES_12)?;
        tls12.set_psk_server_callback(find_key);
        Ok(Self {
            tls13: tls13.build(),
            tls12: tls12.build(),
        })
    }

    /// Begins a handshake of TLS 1.3, whose `ClientHello` offers so many identities.
    pub fn accept_tls13(
        &self,
        alpn: &'static [u8],
        keys: Arc<dyn KeySource>,
        identities: usize,
    ) -> Result<Connection, SetupError> {
        let lookup = Some(Lookup::new(keys, identities));
        accept(&self.tls13, alpn, lookup, Expected::Key)
    }

    /// Begins a handshake of TLS 1.2: `ECDHE_PSK`, with the extended main secret.
    pub fn accept_tls12(
        &self,
        alpn: &'static [u8],
        keys: Arc<dyn KeySource>,
    ) -> Result<Connection, SetupError> {
        let lookup = Some(Lookup::new(keys, 1));
        accept(&self.tls12, alpn, lookup, Expected::Key)
    }
}

impl RawKeyServer {
    /// From PEM texts: the certificate chain, leaf first, and its private key, which is the raw public key's too.
    pub fn new(chain_pem: &[u8], key_pem: &[u8]) -> Result<Self, SetupError> {
        let mut context = builder(SslVersion::TLS1_2)?;
        context.set_cipher_list(RAW_KEY_SUITES_12)?;
        let mut chain = X509::stack_from_pem(chain_pem)?.into_iter();
        if let Some(leaf) = chain.next() {
            context.set_certificate(&leaf)?;
        }
        for certificate in chain {
            context.add_extra_chain_cert(certificate)?;
        }
        context.set_private_key(&*PKey::private_key_from_pem(key_pem)?)?;
        context.check_private_key()?;
        foreign::ask_for_raw_keys(&mut context)?;
        // Possession is proved by the signature; whether the key is known, the caller judges.
        context.set_verify_callback(SslVerifyMode::PEER, |is_valid, chain| {
            is_valid || foreign::is_untrusted_raw_key(chain)
        });
        Ok(Self {
            context: context.build(),
        })
    }

    /// Begins a handshake.
    pub fn accept(&self, alpn: &'static [u8]) -> Result<Connection, SetupError> {
        accept(&self.context, alpn, None, Expected::RawKey)
    }
}

impl PskClient {
    /// Offers this identity, of up to 62 000 bytes, and proves possession of this key. On TLS 1.2 too (`ECDHE_PSK`) where the identity has
    /// up to 255 bytes and none of them is zero: more does not fit through OpenSSL there.
    pub fn new(identity: &[u8], key: PreSharedKey) -> Result<Self, SetupError> {
        let mut context = builder(SslVersion::TLS1_3)?;
        context.set_ciphersuites(SUITES_13)?;
        foreign::use_key(&mut context);
        if identity.len() <= IDENTITY_BYTES_12 && !identity.contains(&0) {
            context.set_min_proto_version(Some(SslVersion::TLS1_2))?;
            // No other suites than these: a Server cannot choose one without the key.
            context.set_cipher_list(PSK_SUITES_12)?;
            context.set_psk_client_callback(offer_key);
        }
        // A Server that does not know the key may show a certificate instead. No certificate is good enough.
        context.set_verify_callback(SslVerifyMode::PEER, |_is_valid, _chain| false);
        Ok(Self {
            context: context.build(),
            identity: identity.into(),
            key,
        })
    }

    /// Begins a handshake, naming the Server where it has a DNS name.
    pub fn connect(
        &self,
        alpn: &'static [u8],
        dns_name: Option<&str>,
    ) -> Result<Connection, SetupError> {
        let mut ssl = Ssl::new(&self.context)?;
        let length = u8::try_from(alpn.len()).unwrap_or(u8::MAX);
        ssl.set_alpn_protos(&[&[length], alpn].concat())?;
        if let Some(name) = dns_name {
            ssl.set_hostname(name)?;
        }
        let handshake = Handshake {
            alpn,
            lookup: None,
            own: Some((Arc::clone(&self.identity), self.key.clone())),
        };
        handshake.attach(&mut ssl)?;
        ssl.set_connect_state();
        Ok(Connection::new(ssl, Expected::OwnKey)?)
    }
}

fn builder(version: SslVersion) -> Result<SslContextBuilder, ErrorStack> {
    let mut context = SslContext::builder(SslMethod::tls())?;
    context.set_min_proto_version(Some(version))?;
    context.set_max_proto_version(Some(version))?;
    context.set_options(
        SslOptions::NO_TICKET
            | SslOptions::NO_RENEGOTIATION
            | SslOptions::NO_COMPRESSION
            | SslOptions::CIPHER_SERVER_PREFERENCE,
    );
    context.set_num_tickets(0)?;
    context.set_session_cache_mode(SslSessionCacheMode::OFF);
    context.set_mode(SslMode::RELEASE_BUFFERS);
    context.set_alpn_select_callback(select_protocol);
    Ok(context)
}

fn accept(
    context: &SslContext,
    alpn: &'static [u8],
    lookup: Option<Lookup>,
    expected: Expected,
) -> Result<Connection, SetupError> {
    let mut ssl = Ssl::new(context)?;
    let own = None;
    Handshake { alpn, lookup, own }.attach(&mut ssl)?;
    ssl.set_accept_state();
    Ok(Connection::new(ssl, expected)?)
}

/// A client that offers protocols without ours is refused; one that offers none is not asked (RFC 7301 §3.2).
fn select_protocol<'a>(ssl: &mut SslRef, offered: &'a [u8]) -> Result<&'a [u8], AlpnError> {
    let wanted = Handshake::of(ssl).map(|handshake| handshake.alpn);
    let mut rest = offered;
    while let Some((&length, after)) = rest.split_first() {
        let Some((name, after)) = after.split_at_checked(usize::from(length)) else {
            break;
        };
        if Some(name) == wanted {
            return Ok(name);
        }
        rest = after;
    }
    Err(AlpnError::ALERT_FATAL)
}

/// The key for TLS 1.2. The binding calls it from C: it must not panic.
fn find_key(
    ssl: &mut SslRef,
    identity: Option<&[u8]>,
    place: &mut [u8],
) -> Result<usize, ErrorStack> {
    let lookup = Handshake::of(ssl).and_then(|handshake| handshake.lookup.as_mut());
    let Some(lookup) = lookup else { return Ok(0) };
    let Some(key) = lookup.ask(identity.unwrap_or_default())? else {
        return Ok(0);
    };
    let key = key.bytes();
    let Some(place) = place.get_mut(..key.len()) else {
        return Ok(0);
    };
    place.copy_from_slice(key);
    Ok(key.len())
}

/// Our own identity and key for TLS 1.2. The binding calls it from C: it must not panic.
#[expect(clippy::unnecessary_wraps, reason = "the binding takes it so")]
fn offer_key(
    ssl: &mut SslRef,
    _hint: Option<&[u8]>,
    identity_place: &mut [u8],
    key_place: &mut [u8],
) -> Result<usize, ErrorStack> {
    let own = Handshake::of(ssl).and_then(|handshake| handshake.own.as_ref());
    let Some((identity, key)) = own else {
        return Ok(0);
    };
    let key = key.bytes();
    let (Some((end, name_place)), Some(key_place)) = (
        identity_place
            .get_mut(..=identity.len())
            .and_then(<[u8]>::split_last_mut),
        key_place.get_mut(..key.len()),
    ) else {
        return Ok(0);
    };
    name_place.copy_from_slice(identity);
    *end = 0;
    key_place.copy_from_slice(key);
    Ok(key.len())
}
