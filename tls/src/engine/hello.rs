//! The `ClientHello`, read only as far as the choice of an engine and a configuration needs it (RFC 8446 §4.1.2, RFC 5246 §7.4.1.2).
//!
//! The engine that is chosen reads the same bytes again and judges them whole: what is malformed is its to refuse.

/// The longest `ClientHello` we wait for, bytes: an identity of 64 KiB and what goes with it.
const HELLO_LIMIT: usize = 68 * 1024;
/// All bytes of its records, so that a peer cannot make us hold more by splitting it finely.
pub(super) const RECORDS_LIMIT: usize = 80 * 1024;
/// RFC 8446 §5.1.
const RECORD_HEADER_BYTES: usize = 5;
/// RFC 8446 §4: a type and a length.
const MESSAGE_HEADER_BYTES: usize = 4;
const HANDSHAKE_RECORD: u8 = 22;
const CLIENT_HELLO: u8 = 1;
/// RFC 8446 §4.2, RFC 7250 §8.
const SUPPORTED_VERSIONS: u16 = 43;
const PRE_SHARED_KEY: u16 = 41;
const CLIENT_CERTIFICATE_TYPE: u16 = 19;
const SERVER_CERTIFICATE_TYPE: u16 = 20;
const TLS13_VERSION: u16 = 0x0304;
/// RFC 7250 §8.
const X509: u8 = 0;
const RAW_PUBLIC_KEY: u8 = 2;

/// The first bytes of a connection, kept so that the engine can read them again.
#[derive(Debug, Default)]
pub(super) struct Beginning {
    /// All that was read.
    pub(super) records: Vec<u8>,
    /// How much of it is whole records that were looked at.
    seen: usize,
    /// What these records hold.
    message: Vec<u8>,
}

/// What the first bytes of a connection are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Hello {
    /// A whole `ClientHello` that offers this.
    Offer(Offer),
    /// No `ClientHello`, or not one we can read, or too long.
    Unreadable,
}

/// What a client offers, as far as the choice depends on it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Offer {
    /// TLS 1.3 is among the versions.
    pub(super) tls13: bool,
    /// How many pre-shared keys are offered for TLS 1.3, where one at least is external.
    pub(super) external_keys: usize,
    /// A cipher suite of TLS 1.2 with a pre-shared key is offered.
    pub(super) psk_suite: bool,
    /// Which ends' raw public keys it can deal with.
    pub(super) raw_keys: RawKeys,
}

/// Raw public keys of either end (RFC 7250).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct RawKeys {
    /// The client can show one.
    pub(super) client: bool,
    /// The client likes one of the Server's better than a certificate.
    pub(super) server: bool,
}

impl Beginning {
    /// Looks at the records that became whole since the last call; `None` while more bytes are needed. Each byte is looked at once,
    /// however finely a peer splits them.
    pub(super) fn look(&mut self) -> Option<Hello> {
        while let [kind, _, _, high, low, after @ ..] = &self.records[self.seen..] {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            if *kind != HANDSHAKE_RECORD || length == 0 {
                return Some(Hello::Unreadable);
            }
            let Some(fragment) = after.get(..length) else {
                break;
            };
            self.message.extend_from_slice(fragment);
            self.seen += RECORD_HEADER_BYTES + length;
            if let Some(hello) = self.whole() {
                return Some(hello);
            }
        }
        let is_other = self
            .records
            .first()
            .is_some_and(|&kind| kind != HANDSHAKE_RECORD);
        (is_other || self.records.len() >= RECORDS_LIMIT).then_some(Hello::Unreadable)
    }

    /// `None` while the message is not whole.
    fn whole(&self) -> Option<Hello> {
        let (&[kind, a, b, c], body) = self.message.split_first_chunk::<MESSAGE_HEADER_BYTES>()?;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        if kind != CLIENT_HELLO || length > HELLO_LIMIT {
            return Some(Hello::Unreadable);
        }
        let body = body.get(..length)?;
        Some(Offer::parse(body).map_or(Hello::Unreadable, Hello::Offer))
    }
}

impl Offer {
    fn parse(body: &[u8]) -> Option<Self> {
        let mut body = Reader(body);
        let _legacy_version = body.u16()?;
        let _random = body.take(32)?;
        let _session = body.vector8()?;
        let suites = body.vector16()?;
        let _compression = body.vector8()?;
        let mut offer = Self {
            psk_suite: suites
                .0
                .chunks_exact(2)
                .any(|suite| is_psk_suite([suite[0], suite[1]])),
            ..Self::default()
        };
        // A hello of TLS 1.2 may end here.
        if body.0.is_empty() {
            return Some(offer);
        }
        let mut extensions = body.vector16()?;
        while !extensions.0.is_empty() {
            let kind = extensions.u16()?;
            offer.note(kind, extensions.vector16()?)?;
        }
        Some(offer)
    }

    fn note(&mut self, kind: u16, mut content: Reader<'_>) -> Option<()> {
        match kind {
            SUPPORTED_VERSIONS => {
                let versions = content.vector8()?.0;
                self.tls13 = versions
                    .chunks_exact(2)
                    .any(|v| *v == TLS13_VERSION.to_be_bytes());
            }
            PRE_SHARED_KEY => self.external_keys = external_keys(content.vector16()?)?,
            CLIENT_CERTIFICATE_TYPE => {
                self.raw_keys.client = content.vector8()?.0.contains(&RAW_PUBLIC_KEY);
            }
            SERVER_CERTIFICATE_TYPE => {
                let known = |kind: &&u8| [X509, RAW_PUBLIC_KEY].contains(*kind);
                // In the client's order of preference (RFC 7250 §4.1).
                self.raw_keys.server =
                    content.vector8()?.0.iter().find(known) == Some(&RAW_PUBLIC_KEY);
            }
            _ => {}
        }
        Some(())
    }
}

/// How many identities there are; none where all are tickets. A ticket has an age that was made unrecognisable by adding a random
/// number; an external key has the age 0 (RFC 8446 §4.2.11, SHOULD). We give no tickets, but a client may try one that another server
/// gave it under our name, and then wants to be shown a certificate.
fn external_keys(mut identities: Reader<'_>) -> Option<usize> {
    let (mut count, mut is_external) = (0, false);
    while !identities.0.is_empty() {
        let _identity = identities.vector16()?;
        is_external |= identities.take(4)? == [0; 4];
        count += 1;
    }
    Some(if is_external { count } else { 0 })
}

/// Whether the IANA registry of TLS cipher suites has the suite as one with a pre-shared key.
fn is_psk_suite(suite: [u8; 2]) -> bool {
    matches!(
        u16::from_be_bytes(suite),
        0x002C..=0x002E
            | 0x008A..=0x0095
            | 0x00A8..=0x00B9
            | 0xC033..=0xC03B
            | 0xC064..=0xC071
            | 0xC08E..=0xC09B
            | 0xC0A4..=0xC0AB
            | 0xCCAB..=0xCCAE
            | 0xD001..=0xD005
    )
}

/// Bytes from the left; `None` where there are too few.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        let taken = self.take(2)?;
        Some(u16::from_be_bytes([taken[0], taken[1]]))
    }

    fn vector8(&mut self) -> Option<Self> {
        let length = usize::from(*self.take(1)?.first()?);
        self.take(length).map(Self)
    }

    fn vector16(&mut self) -> Option<Self> {
        let length = usize::from(self.u16()?);
        self.take(length).map(Self)
    }
}

#[cfg(test)]
mod tests;
