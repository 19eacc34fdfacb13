//! What a client's certificate says: its key and its names (RFC 5280 §4.1, §4.2.1.6). Whether to believe it, others decide.

use crate::store::CertificateName;
use std::{fmt::Write, net::IpAddr};
use symbolon_ace_proto::{Jwk, PopKey};

/// Tags of DER.
mod tag {
    pub(super) const OCTET_STRING: u8 = 0x04;
    pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
    pub(super) const UTF8: u8 = 0x0c;
    pub(super) const PRINTABLE: u8 = 0x13;
    pub(super) const IA5: u8 = 0x16;
    pub(super) const SEQUENCE: u8 = 0x30;
    pub(super) const SET: u8 = 0x31;
    /// `version` of a certificate.
    pub(super) const VERSION: u8 = 0xa0;
    /// `extensions` of a certificate.
    pub(super) const EXTENSIONS: u8 = 0xa3;
    /// The kinds of `GeneralName`.
    pub(super) const EMAIL: u8 = 0x81;
    pub(super) const DNS: u8 = 0x82;
    pub(super) const URI: u8 = 0x86;
    pub(super) const IP: u8 = 0x87;
}

/// `subjectAltName`, 2.5.29.17.
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// Types of attributes that RFC 4514 §3 has names for.
const ATTRIBUTES: [(&[u8], &str); 9] = [
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 9], "STREET"),
    (
        &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25],
        "DC",
    ),
    (
        &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1],
        "UID",
    ),
];

/// `SubjectPublicKeyInfo` of Ed25519 up to the key (RFC 8410 §4), and of P-256 up to the coordinates of a point that is not compressed
/// (RFC 5480 §2).
const ED25519_PREFIX: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
const P256_PREFIX: &[u8] =
    b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00\x04";

/// The parts of a certificate that are looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Certificate<'a> {
    subject: &'a [u8],
    public_key: &'a [u8],
    alternative_names: Option<&'a [u8]>,
}

/// One element of DER.
#[derive(Clone, Copy)]
struct Element<'a> {
    tag: u8,
    content: &'a [u8],
    /// With its head.
    whole: &'a [u8],
}

impl<'a> Certificate<'a> {
    /// From DER; `None` for what is no certificate.
    pub(crate) fn parse(der: &'a [u8]) -> Option<Self> {
        let (certificate, _) = read(der)?;
        let (to_be_signed, _) = read(content(certificate, tag::SEQUENCE)?)?;
        let mut rest = content(to_be_signed, tag::SEQUENCE)?;
        let mut next = || {
            let (element, behind) = read(rest)?;
            rest = behind;
            Some(element)
        };
        // The version is optional; the serial number stands behind it.
        if next()?.tag == tag::VERSION {
            next()?;
        }
        let [_signature, _issuer, _validity] = [next()?, next()?, next()?];
        let (subject, public_key) = (next()?, next()?);
        let mut alternative_names = None;
        while let Some(element) = next() {
            if element.tag == tag::EXTENSIONS {
                alternative_names = alternative_names_of(element.content);
            }
        }
        Some(Self {
            subject: content(subject, tag::SEQUENCE)?,
            public_key: public_key.whole,
            alternative_names,
        })
    }

    /// The public key, where it is one for `EdDSA` with Ed25519 or for ES256.
    pub(crate) fn public_key(&self) -> Option<PopKey> {
        raw_public_key(self.public_key)
    }

    /// Whether it has this name.
    pub(crate) fn is_named(&self, name: &CertificateName) -> bool {
        let any = |tag, fits: &dyn Fn(&[u8]) -> bool| {
            elements(self.alternative_names.unwrap_or_default())
                .any(|one| one.tag == tag && fits(one.content))
        };
        match name {
            CertificateName::SubjectDn(dn) => self.subject_dn().as_ref() == Some(dn),
            CertificateName::Dns(dns) => {
                any(tag::DNS, &|own| own.eq_ignore_ascii_case(dns.as_bytes()))
            }
            CertificateName::Uri(uri) => any(tag::URI, &|own| own == uri.as_bytes()),
            CertificateName::Email(email) => any(tag::EMAIL, &|own| own == email.as_bytes()),
            CertificateName::Ip(IpAddr::V4(address)) => {
                any(tag::IP, &|own| own == address.octets())
            }
            CertificateName::Ip(IpAddr::V6(address)) => {
                any(tag::IP, &|own| own == address.octets())
            }
        }
    }

    /// The subject as RFC 4514 §2 writes it: the last part first.
    pub(crate) fn subject_dn(&self) -> Option<String> {
        let mut parts = Vec::new();
        for set in elements(self.subject) {
            let attributes = elements(content(set, tag::SET)?);
            let attributes: Option<Vec<String>> = attributes.map(attribute_text).collect();
            parts.push(attributes?.join("+"));
        }
        parts.reverse();
        Some(parts.join(","))
    }
}

/// The key in a `SubjectPublicKeyInfo`, which is all there is of a raw public key (RFC 7250 §3).
pub(crate) fn raw_public_key(der: &[u8]) -> Option<PopKey> {
    let encode = |bytes: &[u8]| {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        URL_SAFE_NO_PAD.encode(bytes)
    };
    let jwk = if let Some(x) = der.strip_prefix(ED25519_PREFIX) {
        serde_json::json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(x) })
    } else {
        let point = der.strip_prefix(P256_PREFIX)?;
        let (x, y) = point.split_at_checked(32)?;
        serde_json::json!({ "kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y) })
    };
    let jwk: Jwk = serde_json::from_value(jwk).ok()?;
    PopKey::from_jwk(&jwk).ok()
}

fn content(element: Element<'_>, tag: u8) -> Option<&[u8]> {
    (element.tag == tag).then_some(element.content)
}

/// The first element, and what stands behind it. Lengths take at most two bytes: no certificate in a handshake is longer than 64 KiB.
fn read(der: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (&[tag, first], rest) = der.split_first_chunk::<2>()?;
    let (length, rest) = match first {
        0..0x80 => (usize::from(first), rest),
        0x81 => rest
            .split_first()
            .map(|(byte, rest)| (usize::from(*byte), rest))?,
        0x82 => rest
            .split_first_chunk::<2>()
            .map(|(bytes, rest)| (usize::from(u16::from_be_bytes(*bytes)), rest))?,
        0x80 | 0x83.. => return None,
    };
    let (content, behind) = rest.split_at_checked(length)?;
    let whole = der.get(..der.len() - behind.len())?;
    Some((
        Element {
            tag,
            content,
            whole,
        },
        behind,
    ))
}

/// All elements up to the first that is malformed.
fn elements(mut der: &[u8]) -> impl Iterator<Item = Element<'_>> {
    std::iter::from_fn(move || {
        let (element, rest) = read(der)?;
        der = rest;
        Some(element)
    })
}

fn alternative_names_of(extensions: &[u8]) -> Option<&[u8]> {
    let (all, _) = read(extensions)?;
    let mut extensions = elements(content(all, tag::SEQUENCE)?);
    let extension = extensions.find(|extension| {
        let identifier = read(extension.content).map(|(identifier, _)| identifier);
        identifier.and_then(|identifier| content(identifier, tag::OBJECT_IDENTIFIER))
            == Some(SUBJECT_ALT_NAME)
    })?;
    let value = elements(extension.content).find(|part| part.tag == tag::OCTET_STRING)?;
    let (names, _) = read(value.content)?;
    content(names, tag::SEQUENCE)
}

fn attribute_text(attribute: Element<'_>) -> Option<String> {
    let (kind, rest) = read(content(attribute, tag::SEQUENCE)?)?;
    let (value, _) = read(rest)?;
    let identifier = content(kind, tag::OBJECT_IDENTIFIER)?;
    let known = ATTRIBUTES.iter().find(|(own, _)| *own == identifier);
    let text = match value.tag {
        tag::UTF8 | tag::PRINTABLE | tag::IA5 => str::from_utf8(value.content).ok(),
        _ => None,
    };
    Some(match (known, text) {
        (Some((_, name)), Some(text)) => format!("{name}={}", escaped(text)),
        (Some((_, name)), None) => format!("{name}=#{}", hex(value.whole)),
        (None, _) => format!("{}=#{}", dotted(identifier), hex(value.whole)),
    })
}

/// RFC 4514 §2.4
fn escaped(text: &str) -> String {
    let last = text.chars().count().saturating_sub(1);
    let mut escaped = String::with_capacity(text.len());
    for (at, char) in text.chars().enumerate() {
        match char {
            '\0' => escaped.push_str("\\00"),
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => escaped.extend(['\\', char]),
            '#' if at == 0 => escaped.push_str("\\#"),
            ' ' if at == 0 || at == last => escaped.push_str("\\ "),
            _ => escaped.push(char),
        }
    }
    escaped
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a String takes everything");
    }
    text
}

/// An object identifier with dots (X.690 §8.19).
fn dotted(identifier: &[u8]) -> String {
    let mut numbers = Vec::new();
    let mut number = 0_u64;
    for byte in identifier {
        number = number.wrapping_shl(7) | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            numbers.push(number);
            number = 0;
        }
    }
    let first = numbers.first().copied().unwrap_or_default();
    let root = (first / 40).min(2);
    let mut text = format!("{root}.{}", first - root * 40);
    for number in numbers.iter().skip(1) {
        write!(text, ".{number}").expect("a String takes everything");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};
    use symbolon_ace_proto::PopAlgorithm;

    fn certificate(algorithm: &'static rcgen::SignatureAlgorithm) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["Sensor.example".to_owned()]).unwrap();
        let mut name = DistinguishedName::new();
        name.push(DnType::OrganizationName, "Example, Inc.");
        name.push(DnType::CommonName, "sensor 1");
        params.distinguished_name = name;
        params.subject_alt_names.extend([
            SanType::URI("urn:dev:1".try_into().unwrap()),
            SanType::IpAddress("192.0.2.7".parse().unwrap()),
            SanType::Rfc822Name("a@example.com".try_into().unwrap()),
        ]);
        let key = KeyPair::generate_for(algorithm).unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    // RFC 8705 §2.1.2, RFC 4514 §2
    #[test]
    fn each_kind_of_name_is_found() {
        let der = certificate(&rcgen::PKCS_ECDSA_P256_SHA256);
        let certificate = Certificate::parse(&der).unwrap();
        let dn = certificate.subject_dn();
        assert_eq!(dn.as_deref(), Some("CN=sensor 1,O=Example\\, Inc."));
        for name in [
            "dn:CN=sensor 1,O=Example\\, Inc.",
            "dns:sensor.EXAMPLE",
            "uri:urn:dev:1",
            "ip:192.0.2.7",
            "email:a@example.com",
        ] {
            assert!(certificate.is_named(&name.parse().unwrap()), "{name}");
        }
        for name in [
            "dn:CN=sensor 1",
            "dns:example",
            "uri:urn:dev:2",
            "ip:192.0.2.8",
            "email:b@example.com",
            "dns:urn:dev:1",
        ] {
            assert!(!certificate.is_named(&name.parse().unwrap()), "{name}");
        }
    }

    #[test]
    fn the_key_is_the_certificates() {
        for (algorithm, expected) in [
            (&rcgen::PKCS_ECDSA_P256_SHA256, Some(PopAlgorithm::Es256)),
            (&rcgen::PKCS_ED25519, Some(PopAlgorithm::EdDsa)),
            (&rcgen::PKCS_ECDSA_P384_SHA384, None),
        ] {
            let der = certificate(algorithm);
            let key = Certificate::parse(&der).unwrap().public_key();
            assert_eq!(key.map(|key| key.algorithm()), expected);
        }
    }

    #[test]
    fn no_part_of_a_certificate_panics() {
        let der = certificate(&rcgen::PKCS_ED25519);
        for length in 0..der.len() {
            if let Some(part) = Certificate::parse(&der[..length]) {
                drop(part.subject_dn());
            }
        }
        for at in 0..der.len() {
            for flip in [1, 0x80, 0xff] {
                let mut changed = der.clone();
                changed[at] ^= flip;
                if let Some(part) = Certificate::parse(&changed) {
                    drop(part.subject_dn());
                    part.public_key();
                }
            }
        }
    }

    #[test]
    fn an_identifier_is_written_with_dots() {
        assert_eq!(dotted(&[0x55, 4, 5]), "2.5.4.5");
        assert_eq!(
            dotted(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d]),
            "1.2.840.113549"
        );
    }
}
