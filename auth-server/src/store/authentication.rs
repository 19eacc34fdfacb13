//! How a client or a resource server authenticates, and how that is kept.

use super::{StoreError, sha256_of};
use std::{fmt, net::IpAddr, str::FromStr};
use symbolon_ace_proto::{Jwk, PopAlgorithm, PopKey};

/// How a client, or a resource server that asks, authenticates. `Debug` does not show the digest of a secret.
#[derive(Clone)]
pub enum ClientAuthentication {
    /// `client_secret_basic` and `client_secret_post`: SHA-256 of the secret, which has 256 random bits.
    Secret {
        /// The digest of the secret's text, as the client sends it.
        sha256: [u8; 32],
    },
    /// `private_key_jwt`: the public key.
    Key(Box<Jwk>),
    /// `self_signed_tls_client_auth` (RFC 8705 §2.2): this certificate in the TLS handshake.
    Certificate {
        /// SHA-256 of the certificate in DER, `x5t#S256`.
        sha256: [u8; 32],
    },
    /// `symbolon_rpk`, which no standard has a name for: this public key in the TLS handshake (RFC 7250), as RFC 9202 §3.2 has it between
    /// clients and resource servers.
    RawPublicKey(Box<Jwk>),
    /// `tls_client_auth` (RFC 8705 §2.1): a certificate of a CA that the server trusts for this, with this name in it.
    CertificateName(CertificateName),
}

/// The one name in a certificate that says whose it is (RFC 8705 §2.1.2).
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CertificateName {
    /// `tls_client_auth_subject_dn`: the subject as RFC 4514 writes it, types of attributes in capitals.
    SubjectDn(String),
    /// `tls_client_auth_san_dns`; case does not count.
    Dns(String),
    /// `tls_client_auth_san_uri`.
    Uri(String),
    /// `tls_client_auth_san_ip`.
    Ip(IpAddr),
    /// `tls_client_auth_san_email`.
    Email(String),
}

/// Not one of `dn:`, `dns:`, `uri:`, `ip:` and `email:` with a name behind it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a certificate's name is dn:NAME, dns:NAME, uri:NAME, ip:ADDRESS or email:ADDRESS")]
pub struct CertificateNameError;

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SubjectDn(name) => write!(f, "dn:{name}"),
            Self::Dns(name) => write!(f, "dns:{name}"),
            Self::Uri(name) => write!(f, "uri:{name}"),
            Self::Ip(address) => write!(f, "ip:{address}"),
            Self::Email(address) => write!(f, "email:{address}"),
        }
    }
}

impl FromStr for CertificateName {
    type Err = CertificateNameError;

    fn from_str(text: &str) -> Result<Self, CertificateNameError> {
        let (kind, name) = text.split_once(':').ok_or(CertificateNameError)?;
        if name.is_empty() || name.len() > MAX_NAME_BYTES {
            return Err(CertificateNameError);
        }
        match kind {
            "dn" => Ok(Self::SubjectDn(name.to_owned())),
            "dns" => Ok(Self::Dns(name.to_ascii_lowercase())),
            "uri" => Ok(Self::Uri(name.to_owned())),
            "ip" => name.parse().map(Self::Ip).map_err(|_| CertificateNameError),
            "email" => Ok(Self::Email(name.to_owned())),
            _ => Err(CertificateNameError),
        }
    }
}

/// The longest name of a certificate, bytes.
const MAX_NAME_BYTES: usize = 1024;

impl fmt::Debug for ClientAuthentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret { .. } => f.write_str("Secret(..)"),
            Self::Key(jwk) => f.debug_tuple("Key").field(jwk).finish(),
            Self::Certificate { .. } => f.write_str("Certificate(..)"),
            Self::RawPublicKey(jwk) => f.debug_tuple("RawPublicKey").field(jwk).finish(),
            Self::CertificateName(name) => f.debug_tuple("CertificateName").field(name).finish(),
        }
    }
}

/// How a raw public key is kept.
#[derive(serde::Deserialize)]
struct RawKey {
    raw_public_key: Box<Jwk>,
}

impl ClientAuthentication {
    /// The name of the method with a raw public key, which none is registered for (RFC 7591 §2, RFC 8705 §6).
    pub const RAW_PUBLIC_KEY: &'static str = "symbolon_rpk";

    /// For a client with this secret; only its SHA-256 is kept. The secret must have 256 random bits: the digest is not stretched.
    pub fn from_secret(secret: &str) -> Self {
        Self::Secret {
            sha256: sha256_of(secret.as_bytes()),
        }
    }

    /// As RFC 7591 and RFC 8705 name the method.
    pub fn method_name(&self) -> &'static str {
        match self {
            Self::Secret { .. } => "client_secret_basic",
            Self::Key(_) => "private_key_jwt",
            Self::Certificate { .. } => "self_signed_tls_client_auth",
            Self::RawPublicKey(_) => Self::RAW_PUBLIC_KEY,
            Self::CertificateName(_) => "tls_client_auth",
        }
    }

    /// As it is kept: of a key, the public members and nothing else, so that a private key given by mistake is not stored.
    pub(super) fn storable(&self, whose: &str) -> Result<Self, StoreError> {
        let (jwk, kept): (_, fn(Box<Jwk>) -> Self) = match self {
            Self::Key(jwk) => (jwk, Self::Key),
            Self::RawPublicKey(jwk) => (jwk, Self::RawPublicKey),
            Self::Secret { .. } | Self::Certificate { .. } | Self::CertificateName(_) => {
                return Ok(self.clone());
            }
        };
        let refused = |why: String| StoreError::Invalid("key of client", whose.to_owned(), why);
        let key = PopKey::from_jwk(jwk).map_err(|error| refused(error.to_string()))?;
        match key.algorithm() {
            PopAlgorithm::Hs256 => Err(refused("it must be a key pair".to_owned())),
            PopAlgorithm::EdDsa | PopAlgorithm::Es256 => Ok(kept(Box::new(key.to_jwk()))),
        }
    }

    /// The two columns.
    pub(crate) fn to_columns(&self) -> (&'static str, Vec<u8>) {
        match self {
            Self::Secret { sha256 } => ("secret", sha256.to_vec()),
            Self::Key(jwk) => ("key", jwk.to_json().as_bytes().to_vec()),
            Self::Certificate { sha256 } => ("certificate", sha256.to_vec()),
            // The database knows four methods; the member tells it from a key of assertions.
            Self::RawPublicKey(jwk) => {
                let raw = format!("{{\"raw_public_key\":{}}}", *jwk.to_json());
                ("key", raw.into_bytes())
            }
            Self::CertificateName(name) => ("certificate_name", name.to_string().into_bytes()),
        }
    }

    /// From the two columns; `None` where they are corrupt.
    pub(super) fn from_columns(method: &str, data: Vec<u8>) -> Option<Self> {
        match method {
            "secret" => Some(Self::Secret {
                sha256: data.try_into().ok()?,
            }),
            "key" => match serde_json::from_slice::<RawKey>(&data) {
                Ok(raw) => Some(Self::RawPublicKey(raw.raw_public_key)),
                Err(_) => Some(Self::Key(serde_json::from_slice(&data).ok()?)),
            },
            "certificate" => Some(Self::Certificate {
                sha256: data.try_into().ok()?,
            }),
            "certificate_name" => {
                let name = str::from_utf8(&data).ok()?.parse();
                name.ok().map(Self::CertificateName)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_comes_back_from_its_text() {
        for text in [
            "dn:CN=sensor,O=Example",
            "dns:sensor.example",
            "uri:urn:dev:mac:0024befffe804ff1",
            "ip:2001:db8::1",
            "email:sensor@example.com",
        ] {
            let name: CertificateName = text.parse().unwrap();
            assert_eq!(name.to_string(), text);
        }
        for text in ["", "dns:", "cn:x", "sensor", "ip:sensor"] {
            assert_eq!(text.parse::<CertificateName>(), Err(CertificateNameError));
        }
    }
}
