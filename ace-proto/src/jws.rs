//! The compact serialization of a JWS (RFC 7515 §7.1), for tokens, client assertions and DPoP proofs. Signatures of EdDSA and ES256 only.

use serde::{Deserialize, de::IgnoredAny};

use crate::{
    PopAlgorithm, PopError, PopSigner, SymmetricKey, base64url,
    json_object::{Members, Text},
};

/// Length of a signature of EdDSA and of ES256, bytes.
pub(crate) const SIGNATURE_LENGTH: usize = 64;

/// Length of the random part of a `jti` made here, bytes.
const IDENTIFIER_LENGTH: usize = 16;

/// A compact JWS taken into its parts, nothing verified.
pub(crate) struct Compact<'a> {
    /// What the signature is over: the first two parts and the dot between them.
    pub(crate) signing_input: &'a str,
    /// The decoded header.
    header: Vec<u8>,
    /// The decoded payload.
    pub(crate) payload: Vec<u8>,
    /// The decoded signature.
    pub(crate) signature: Vec<u8>,
}

/// What we read of a JOSE header. `jku`, `jwk`, `x5u` and `x5c` are not looked at where a token is read: the key is known beforehand or the
/// token is refused (RFC 8725 §3.10).
pub(crate) struct Header<'a> {
    pub(crate) alg: Text<'a>,
    pub(crate) kid: Option<Text<'a>>,
    pub(crate) typ: Option<Text<'a>>,
    /// `crit` is there: we know no extension, so whatever it says is too much (RFC 7515 §4.1.11).
    pub(crate) critical: bool,
    members: Members<'a>,
}

/// The text is not a compact JWS with a JSON object for a header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Malformed;

impl<'a> Compact<'a> {
    pub(crate) fn parse(text: &'a str, max_length: usize) -> Result<Self, Malformed> {
        if text.len() > max_length {
            return Err(Malformed);
        }
        let (signing_input, signature) = text.rsplit_once('.').ok_or(Malformed)?;
        // A dot more than this is left in the payload, and no base64url.
        let (header, payload) = signing_input.split_once('.').ok_or(Malformed)?;
        let decode = |part| base64url::decode(part).ok_or(Malformed);
        Ok(Self {
            signing_input,
            header: decode(header)?,
            payload: decode(payload)?,
            signature: decode(signature)?,
        })
    }

    pub(crate) fn header(&self) -> Result<Header<'_>, Malformed> {
        let members = Members::parse(&self.header).map_err(|_| Malformed)?;
        Ok(Header {
            alg: members.take("alg").ok().flatten().ok_or(Malformed)?,
            kid: members.take("kid").map_err(|_| Malformed)?,
            typ: members.take("typ").map_err(|_| Malformed)?,
            critical: members.take::<IgnoredAny>("crit") != Ok(None),
            members,
        })
    }

    /// The header's bytes.
    pub(crate) fn header_json(&self) -> &[u8] {
        &self.header
    }
}

impl Header<'_> {
    /// The algorithm, if it is one of a signature: never `none`, never a MAC.
    pub(crate) fn signature_algorithm(&self) -> Option<PopAlgorithm> {
        PopAlgorithm::from_name(self.alg.as_str()).filter(|algorithm| match algorithm {
            PopAlgorithm::EdDsa | PopAlgorithm::Es256 => true,
            PopAlgorithm::Hs256 => false,
        })
    }

    /// Whether `typ` is one of these; `application/` may stand before it, and case does not count (RFC 7515 §4.1.9).
    pub(crate) fn typ_is_one_of(&self, accepted: &[&str]) -> bool {
        self.typ.as_ref().is_some_and(|typ| {
            let typ = typ.as_str();
            let bare = match typ.split_at_checked("application/".len()) {
                Some((prefix, rest)) if prefix.eq_ignore_ascii_case("application/") => rest,
                _ => typ,
            };
            accepted.iter().any(|one| bare.eq_ignore_ascii_case(one))
        })
    }

    /// Another member of the header.
    pub(crate) fn take<T: for<'de> Deserialize<'de>>(
        &self,
        name: &'static str,
    ) -> Result<Option<T>, Malformed> {
        self.members.take(name).map_err(|_| Malformed)
    }
}

/// A fresh `jti` from the system's random source.
pub(crate) fn random_identifier() -> Result<String, PopError> {
    SymmetricKey::random(IDENTIFIER_LENGTH).map(|random| base64url::encode(random.as_bytes()))
}

/// The compact serialization of `payload` under `header`, both JSON texts.
pub(crate) fn sign(header: &str, payload: &str, signer: &PopSigner) -> Result<String, PopError> {
    authenticate(header, payload, |message| signer.sign(message))
}

/// The same with a signature or MAC made by `authenticate`.
pub(crate) fn authenticate(
    header: &str,
    payload: &str,
    authenticate: impl FnOnce(&[u8]) -> Result<Vec<u8>, PopError>,
) -> Result<String, PopError> {
    let text = signing_input(header, payload);
    let signature = authenticate(text.as_bytes())?;
    Ok(with_signature(text, &signature))
}

/// What a signature is over, with room for it behind.
pub(crate) fn signing_input(header: &str, payload: &str) -> String {
    let length = (header.len() + payload.len() + SIGNATURE_LENGTH).div_ceil(3) * 4 + 4;
    let mut text = String::with_capacity(length);
    base64url::encode_onto(&mut text, header.as_bytes());
    text.push('.');
    base64url::encode_onto(&mut text, payload.as_bytes());
    text
}

/// The compact serialization.
pub(crate) fn with_signature(mut text: String, signature: &[u8]) -> String {
    text.push('.');
    base64url::encode_onto(&mut text, signature);
    text
}
