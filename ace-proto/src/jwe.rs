//! A symmetric proof-of-possession key inside a JWE (RFC 7516): `dir` with A256GCM under the key that AS and RS share.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::de::IgnoredAny;
use zeroize::Zeroizing;

use crate::{
    Jwk, PopError, SymmetricKey, base64url,
    json_object::{Members, Text},
};

/// Length of a content encryption key of A256GCM, bytes (RFC 7518 §5.3).
const KEY_LENGTH: usize = 32;
/// Length of the random part of a `kid` made here, bytes.
const KID_LENGTH: usize = 16;
/// The longest JWE accepted, bytes: a JWK in it is a few hundred.
pub(crate) const MAX_LENGTH: usize = 8192;

/// A content encryption key shared by an AS and an RS, 32 bytes, with its `kid`. It may encrypt 2^32 times (NIST SP 800-38D §8.3, since
/// initialization vectors are random); then make a new one.
#[derive(Clone, Debug)]
pub struct ContentKey {
    /// Written into the JWE's header.
    pub kid: String,
    /// 32 bytes.
    pub key: SymmetricKey,
}

/// The content keys an RS accepts, found by `kid`.
#[derive(Clone, Debug, Default)]
pub struct ContentKeys(pub Vec<ContentKey>);

impl ContentKey {
    /// Makes one with a random `kid`, from the system's random source.
    pub fn generate() -> Result<Self, PopError> {
        Ok(Self {
            kid: base64url::encode(SymmetricKey::random(KID_LENGTH)?.as_bytes()),
            key: SymmetricKey::random(KEY_LENGTH)?,
        })
    }

    /// Encrypts a JWK: the compact serialization. The initialization vector comes from the system's random source.
    pub fn encrypt(&self, jwk: &Jwk) -> Result<String, PopError> {
        let header = serde_json::json!({
            "alg": "dir",
            "enc": "A256GCM",
            "kid": self.kid,
            // RFC 7517 §7
            "cty": "jwk+json",
        });
        let header = base64url::encode(header.to_string().as_bytes());
        let mut iv = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut iv).map_err(|_| PopError::Crypto)?;

        let mut content = Zeroizing::new(jwk.to_json().as_bytes().to_vec());
        let tag = self
            .cipher()?
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(iv),
                Aad::from(header.as_bytes()),
                &mut content,
            )
            .map_err(|_| PopError::Crypto)?;
        let (iv, content) = (base64url::encode(&iv), base64url::encode(&content));
        let tag = base64url::encode(tag.as_ref());
        // `dir`: the encrypted key is empty (RFC 7518 §4.5).
        Ok(format!("{header}..{iv}.{content}.{tag}"))
    }

    pub(crate) fn cipher(&self) -> Result<LessSafeKey, PopError> {
        UnboundKey::new(&AES_256_GCM, self.key.as_bytes())
            .map(LessSafeKey::new)
            .map_err(|_| PopError::UnsupportedKey)
    }
}

impl ContentKeys {
    /// Decrypts the key in `cnf`, a compact JWE or the base64url of an `Encrypted_COSE_Key`, which has no dots. One error for all failures,
    /// so that a peer learns nothing from it.
    pub fn decrypt(&self, encrypted: &str) -> Result<Jwk, PopError> {
        let opened = if encrypted.contains('.') {
            self.open(encrypted)
        } else {
            self.open_cose(encrypted)
        };
        opened.ok_or(PopError::Undecryptable)
    }

    fn open(&self, jwe: &str) -> Option<Jwk> {
        if jwe.len() > MAX_LENGTH {
            return None;
        }
        let mut parts = jwe.splitn(5, '.');
        let (header, encrypted_key) = (parts.next()?, parts.next()?);
        let (iv, content, tag) = (parts.next()?, parts.next()?, parts.next()?);
        if !encrypted_key.is_empty() {
            return None;
        }
        let cipher = self.find(&base64url::decode(header)?)?.cipher().ok()?;
        let iv: [u8; NONCE_LEN] = base64url::decode_exact(iv)?;
        let tag: [u8; 16] = base64url::decode_exact(tag)?;

        let content = base64url::decode(content)?;
        let mut opened = Zeroizing::new(vec![0; content.len()]);
        cipher
            .open_separate_gather(
                Nonce::assume_unique_for_key(iv),
                Aad::from(header.as_bytes()),
                &content,
                &tag,
                &mut opened,
            )
            .ok()?;
        Jwk::from_json(&opened).ok()
    }

    /// The key a header names, if all else in the header is as it must be: no other algorithm, no compression (RFC 8725 §3.6), nothing
    /// critical.
    fn find(&self, header: &[u8]) -> Option<&ContentKey> {
        let members = Members::parse(header).ok()?;
        let text = |name| members.take::<Text<'_>>(name).ok().flatten();
        let absent = |name| members.take::<IgnoredAny>(name) == Ok(None);
        let direct = text("alg")?.as_str() == "dir" && text("enc")?.as_str() == "A256GCM";
        if !direct || !absent("crit") || !absent("zip") {
            return None;
        }
        let kid = text("kid")?;
        self.0.iter().find(|key| key.kid == kid.as_str())
    }
}
