//! A symmetric proof-of-possession key as an `Encrypted_COSE_Key` (RFC 8747 §3.3): `COSE_Encrypt0` with A256GCM under the key that AS and RS
//! share. AES-CCM with its tag of 8 bytes, which the example there has, is not done: a forged key would be found in 2^64 tries and not 2^128.

use aws_lc_rs::aead::{Aad, NONCE_LEN, Nonce};
use zeroize::Zeroizing;

use crate::{
    Jwk, PopError, base64url, cose,
    cose::{Algorithm, Encrypt0},
    identifier,
    jwe::{ContentKey, ContentKeys, MAX_LENGTH},
};

impl ContentKey {
    /// Encrypts a JWK for a CWT: what [`Confirmation::Encrypted`](crate::Confirmation::Encrypted) holds then. The initialization vector comes
    /// from the system's random source; it counts towards the same 2^32 as those of [`ContentKey::encrypt`].
    pub fn encrypt_cose_key(&self, jwk: &Jwk) -> Result<String, PopError> {
        let mut content = jwk.to_cose_key().map_err(|_| PopError::UnsupportedKey)?;
        let mut iv = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut iv).map_err(|_| PopError::Crypto)?;
        let cipher = self.cipher()?;
        let message = cose::make_encrypt0(self.kid.as_bytes(), &iv, |authenticated| {
            let nonce = Nonce::assume_unique_for_key(iv);
            let tag = cipher
                .seal_in_place_separate_tag(nonce, Aad::from(authenticated), &mut content)
                .map_err(|_| PopError::Crypto)?;
            Ok([content.as_slice(), tag.as_ref()].concat())
        })?;
        Ok(base64url::encode(&message))
    }
}

impl ContentKeys {
    pub(crate) fn open_cose(&self, encrypted: &str) -> Option<Jwk> {
        if encrypted.len() > MAX_LENGTH {
            return None;
        }
        let message = base64url::decode(encrypted)?;
        let message = Encrypt0::parse(&message).ok()?;
        if message.header.critical || message.header.algorithm != Some(Algorithm::A256Gcm) {
            return None;
        }
        let kid = message.header.kid?;
        let key = self
            .0
            .iter()
            .find(|key| identifier::is_same(&key.kid, kid))?;
        let iv: [u8; NONCE_LEN] = message.iv.try_into().ok()?;
        let (content, tag) = message.ciphertext.split_last_chunk::<16>()?;

        let mut opened = Zeroizing::new(vec![0; content.len()]);
        key.cipher()
            .ok()?
            .open_separate_gather(
                Nonce::assume_unique_for_key(iv),
                Aad::from(message.authenticated()),
                content,
                tag,
                &mut opened,
            )
            .ok()?;
        Jwk::from_cose_key(&opened).ok()
    }
}
