//! The COSE messages used here (RFC 9052): one signer, one MAC, one layer of encryption. Empty external data throughout.

use crate::cbor::{self, Malformed, Members, Value};

/// `alg` of Ed25519 (RFC 9053 §2.2), and the name of RFC 9864 that says no more here, since we do no other curve.
pub(crate) const EDDSA: i64 = -8;
const ED25519: i64 = -19;
/// `alg` of ECDSA with SHA-256 (RFC 9053 §2.1), and the one of RFC 9864 that names P-256 too.
pub(crate) const ES256: i64 = -7;
const ESP256: i64 = -9;
/// `alg` of HMAC-SHA-256, not truncated (RFC 9053 §3.1).
pub(crate) const HMAC_256: i64 = 5;
/// `alg` of AES-GCM with a key of 256 bits (RFC 9053 §4.1).
pub(crate) const A256GCM: i64 = 3;

/// Tag of a CWT (RFC 8392 §6).
const CWT_TAG: u64 = 61;

/// Tag of a `COSE_Encrypt0` (RFC 9052 §2).
const ENCRYPT0_TAG: u64 = 16;

/// Header parameters (RFC 9052 §3.1, RFC 9596 §2).
const ALG: i64 = 1;
const CRIT: i64 = 2;
const KID: i64 = 4;
const IV: i64 = 5;
const PARTIAL_IV: i64 = 6;
const TYP: i64 = 16;

/// Which of the messages it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// One signature (RFC 9052 §4.2).
    Sign1,
    /// One MAC, the key known beforehand (RFC 9052 §6.2).
    Mac0,
}

/// A tagged `COSE_Sign1` or `COSE_Mac0` taken apart, nothing verified.
pub(crate) struct Message<'a> {
    pub(crate) kind: Kind,
    protected: &'a [u8],
    pub(crate) payload: &'a [u8],
    /// Signature or MAC.
    pub(crate) authenticator: &'a [u8],
    pub(crate) header: Header<'a>,
}

/// What we read of a header. As with a JWT, keys and references to keys in it are not looked at.
pub(crate) struct Header<'a> {
    /// `None` if it is no integer, which no algorithm of ours is.
    pub(crate) algorithm: Option<Algorithm>,
    pub(crate) kid: Option<&'a [u8]>,
    /// `crit` is there: we know no extension.
    pub(crate) critical: bool,
    /// `typ` is there, and is not that of a CWT.
    pub(crate) of_another_type: bool,
    iv: Option<&'a [u8]>,
}

/// The algorithms done here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Algorithm {
    EdDsa,
    Es256,
    Hmac256,
    A256Gcm,
}

impl Algorithm {
    pub(crate) fn from_number(number: i64) -> Option<Self> {
        match number {
            EDDSA | ED25519 => Some(Self::EdDsa),
            ES256 | ESP256 => Some(Self::Es256),
            HMAC_256 => Some(Self::Hmac256),
            A256GCM => Some(Self::A256Gcm),
            _ => None,
        }
    }
}

impl Kind {
    fn from_tag(tag: u64) -> Option<Self> {
        match tag {
            18 => Some(Self::Sign1),
            17 => Some(Self::Mac0),
            _ => None,
        }
    }

    fn tag(self) -> u64 {
        match self {
            Self::Sign1 => 18,
            Self::Mac0 => 17,
        }
    }

    /// What signature or MAC is over (RFC 9052 §4.4 and §6.3).
    pub(crate) fn authenticated(self, protected: &[u8], payload: &[u8]) -> Vec<u8> {
        let context = match self {
            Self::Sign1 => "Signature1",
            Self::Mac0 => "MAC0",
        };
        Value::Array(vec![
            Value::Text(context),
            Value::Bytes(protected),
            Value::Bytes(&[]),
            Value::Bytes(payload),
        ])
        .encode()
    }
}

impl<'a> Message<'a> {
    /// Takes a CWT apart. Tag 61 may be absent (RFC 8392 §7.2), the tag of the message may not, and nothing stands unprotected, as RFC 9770
    /// demands: then whoever carries a token cannot change its bytes, but for tag 61 and the second form of a signature with ECDSA.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (tag, message) = match untag(cbor::decode(bytes)?)? {
            (CWT_TAG, inner) => untag(inner)?,
            tagged => tagged,
        };
        let kind = Kind::from_tag(tag).ok_or(Malformed)?;
        let Some([protected, unprotected, payload, authenticator]) = message.as_array() else {
            return Err(Malformed);
        };
        if !unprotected.as_map().is_some_and(Members::is_empty) {
            return Err(Malformed);
        }
        let protected = protected.as_bytes().ok_or(Malformed)?;
        Ok(Self {
            kind,
            protected,
            payload: payload.as_bytes().ok_or(Malformed)?,
            authenticator: authenticator.as_bytes().ok_or(Malformed)?,
            header: Header::parse(&cbor::decode_map(protected)?)?,
        })
    }

    /// What signature or MAC is over.
    pub(crate) fn authenticated(&self) -> Vec<u8> {
        self.kind.authenticated(self.protected, self.payload)
    }
}

impl<'a> Header<'a> {
    fn parse(members: &Members<'a>) -> Result<Self, Malformed> {
        let algorithm = members.get(ALG).ok_or(Malformed)?;
        let number = algorithm.as_integer();
        // RFC 9052 §3.1: a text is allowed too, but names no algorithm of ours.
        if number.is_none() && algorithm.as_text().is_none() {
            return Err(Malformed);
        }
        let bytes = |label| match members.get(label) {
            None => Ok(None),
            Some(value) => value.as_bytes().map(Some).ok_or(Malformed),
        };
        if members.get(PARTIAL_IV).is_some() {
            return Err(Malformed);
        }
        Ok(Self {
            algorithm: number.and_then(Algorithm::from_number),
            kid: bytes(KID)?,
            iv: bytes(IV)?,
            critical: members.get(CRIT).is_some(),
            of_another_type: members.get(TYP).is_some_and(|typ| !is_cwt_type(typ)),
        })
    }
}

/// `typ` of a CWT (RFC 9596 §2): its content format, or its media type, whose case does not count.
fn is_cwt_type(typ: &Value<'_>) -> bool {
    typ.as_unsigned() == Some(61)
        || typ
            .as_text()
            .is_some_and(|text| text.eq_ignore_ascii_case("application/cwt"))
}

fn untag(value: Value<'_>) -> Result<(u64, Value<'_>), Malformed> {
    if let Value::Tag(tag, inner) = value {
        Ok((tag, *inner))
    } else {
        Err(Malformed)
    }
}

/// Makes a CWT: both tags, all headers protected (RFC 9770). `authenticate` signs or MACs.
pub(crate) fn make<E>(
    kind: Kind,
    algorithm: i64,
    key: &[u8],
    payload: &[u8],
    authenticate: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
) -> Result<Vec<u8>, E> {
    let protected = protected(algorithm, key);
    let authenticator = authenticate(&kind.authenticated(&protected, payload))?;
    Ok(assemble(kind, &protected, payload, &authenticator))
}

/// A CWT of its parts.
pub(crate) fn assemble(
    kind: Kind,
    protected: &[u8],
    payload: &[u8],
    authenticator: &[u8],
) -> Vec<u8> {
    let message = Value::Array(vec![
        Value::Bytes(protected),
        Value::map(Vec::new()),
        Value::Bytes(payload),
        Value::Bytes(authenticator),
    ]);
    message.tagged(kind.tag()).tagged(CWT_TAG).encode()
}

/// The protected header, encoded.
pub(crate) fn protected(algorithm: i64, kid: &[u8]) -> Vec<u8> {
    Value::map(vec![
        (ALG, Value::integer(algorithm)),
        (KID, Value::Bytes(kid)),
    ])
    .encode()
}

/// A `COSE_Encrypt0` taken apart, nothing decrypted (RFC 9052 §5.2).
pub(crate) struct Encrypt0<'a> {
    pub(crate) header: Header<'a>,
    pub(crate) iv: &'a [u8],
    /// With the authentication tag at its end.
    pub(crate) ciphertext: &'a [u8],
    protected: &'a [u8],
}

impl<'a> Encrypt0<'a> {
    /// From bytes, with or without tag 16. `kid` and `IV` may stand unprotected, as RFC 8747 §3.3 has them: this stands inside of what is
    /// protected as a whole. A parameter that stands in both headers is refused (RFC 9052 §3).
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let decoded = cbor::decode(bytes)?;
        let message = if let Value::Tag(ENCRYPT0_TAG, inner) = &decoded {
            inner
        } else {
            &decoded
        };
        let Some([protected, unprotected, ciphertext]) = message.as_array() else {
            return Err(Malformed);
        };
        let unprotected = unprotected.as_map().ok_or(Malformed)?;
        let protected = protected.as_bytes().ok_or(Malformed)?;
        let mut header = Header::parse(&cbor::decode_map(protected)?)?;
        // RFC 9052 §3.1: `crit` is protected, and `alg` is where an AEAD is used.
        if [ALG, CRIT, PARTIAL_IV]
            .iter()
            .any(|label| unprotected.get(*label).is_some())
        {
            return Err(Malformed);
        }
        for (label, member) in [(KID, &mut header.kid), (IV, &mut header.iv)] {
            match (unprotected.get(label), &member) {
                (None, _) => {}
                (Some(_), Some(_)) => return Err(Malformed),
                (Some(value), None) => *member = Some(value.as_bytes().ok_or(Malformed)?),
            }
        }
        Ok(Self {
            iv: header.iv.ok_or(Malformed)?,
            ciphertext: ciphertext.as_bytes().ok_or(Malformed)?,
            header,
            protected,
        })
    }

    /// What is authenticated besides the plaintext (RFC 9052 §5.3).
    pub(crate) fn authenticated(&self) -> Vec<u8> {
        encrypt0_structure(self.protected)
    }
}

/// Makes an untagged `COSE_Encrypt0` with A256GCM, all headers protected but the `IV`. `seal` gets what is to be authenticated besides.
pub(crate) fn make_encrypt0<E>(
    kid: &[u8],
    iv: &[u8],
    seal: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
) -> Result<Vec<u8>, E> {
    let protected = protected(A256GCM, kid);
    let ciphertext = seal(&encrypt0_structure(&protected))?;
    let message = Value::Array(vec![
        Value::Bytes(&protected),
        Value::map(vec![(IV, Value::Bytes(iv))]),
        Value::Bytes(&ciphertext),
    ]);
    Ok(message.encode())
}

fn encrypt0_structure(protected: &[u8]) -> Vec<u8> {
    Value::Array(vec![
        Value::Text("Encrypt0"),
        Value::Bytes(protected),
        Value::Bytes(&[]),
    ])
    .encode()
}
