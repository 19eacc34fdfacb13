//! Makes a token of its claims, of the kind that its resource server wants, and brings the proof-of-possession key into it.

use crate::store::{Protection, ResourceServer, SymmetricKeys, TokenFormat};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use symbolon_ace_proto::{
    Claims, Confirmation, DERIVED_KEY_LENGTH, Jwk, PopError, PopKey, SignedToken, SymmetricKey,
    TokenHash, UnsignedToken, derived_key, identifier, jwe::ContentKeys, jwt::SigningAlgorithm,
};

/// Length of the name of a symmetric key, bytes.
const KID_BYTES: usize = 16;
/// Length of a reference, bytes.
const REFERENCE_BYTES: usize = 32;

/// The key that a token is bound to, before there is a token.
#[derive(Clone, Debug)]
pub(crate) enum Binding {
    /// A public key of the client's own.
    Public(Box<Jwk>),
    /// A symmetric key, which the client gets, with its name.
    Symmetric(Box<Jwk>),
    /// A symmetric key that is derived from the token that is made now; its name, bytes.
    DerivedNow(Vec<u8>),
    /// One that was derived from an earlier token; its name.
    DerivedBefore(Vec<u8>),
}

/// A token, made.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    /// As a JSON answer has it; a CWT as base64url.
    pub(crate) text: String,
    /// As it reaches the resource server.
    pub(crate) bytes: Vec<u8>,
}

/// A token, or all of it but the signature: that may come from elsewhere, and take its time.
#[derive(Debug)]
pub(crate) enum Minted {
    /// It needs none.
    Whole(Token),
    /// It lacks one.
    Unsigned(UnsignedToken),
}

impl Binding {
    /// A fresh symmetric key, as the resource server gets such keys; `None` where it gets none.
    pub(crate) fn fresh(server: &ResourceServer) -> Result<Option<Self>, PopError> {
        let kid = random::<KID_BYTES>()?;
        Ok(match server.tokens.symmetric_keys {
            SymmetricKeys::Derived => Some(Self::DerivedNow(derived_name(kid, server))),
            SymmetricKeys::Encrypted if server.content_key.is_none() => None,
            SymmetricKeys::Encrypted => {
                let key = SymmetricKey::from_bytes(&random::<DERIVED_KEY_LENGTH>()?);
                let jwk = PopKey::Hs256(key).to_jwk();
                Some(Self::Symmetric(Box::new(
                    jwk.with_kid(&URL_SAFE_NO_PAD.encode(kid)),
                )))
            }
        })
    }

    /// The key of an earlier token of the same audience, by what that said of it; `None` where it cannot be read any more.
    pub(crate) fn of_earlier(
        confirmation: &Confirmation,
        kid: &[u8],
        server: &ResourceServer,
    ) -> Option<Self> {
        match confirmation {
            Confirmation::Key(jwk) => {
                // RFC 9202 §4: the token MUST include the kid it was asked by.
                let named = jwk.kid.is_some();
                let jwk = jwk.as_ref().clone();
                Some(Self::Public(Box::new(if named {
                    jwk
                } else {
                    jwk.with_kid(&URL_SAFE_NO_PAD.encode(kid))
                })))
            }
            Confirmation::Encrypted(encrypted) => {
                let jwk = decrypted(encrypted, server)?;
                Some(Self::Symmetric(Box::new(jwk)))
            }
            Confirmation::KeyIdentifier(kid) => Some(Self::DerivedBefore(kid.clone())),
        }
    }

    /// Whether it is symmetric: then there is no `rs_cnf` (RFC 9201 §3.2).
    pub(crate) fn is_symmetric(&self) -> bool {
        match self {
            Self::Public(_) => false,
            Self::Symmetric(_) | Self::DerivedNow(_) | Self::DerivedBefore(_) => true,
        }
    }

    /// `cnf` in the token. Fails where the content key is missing.
    pub(crate) fn in_token(&self, server: &ResourceServer) -> Result<Confirmation, PopError> {
        Ok(match self {
            Self::Public(jwk) => Confirmation::Key(jwk.clone()),
            Self::Symmetric(jwk) => Confirmation::Encrypted(encrypted(
                jwk,
                server,
                server.tokens.format == TokenFormat::Cwt,
            )?),
            Self::DerivedNow(kid) | Self::DerivedBefore(kid) => {
                Confirmation::KeyIdentifier(kid.clone())
            }
        })
    }

    /// `cnf` for the client (RFC 9201 §3.2), once the token is made.
    pub(crate) fn for_client(
        &self,
        server: &ResourceServer,
        token: &Token,
    ) -> Result<Option<Confirmation>, PopError> {
        Ok(match self {
            Self::Public(_) => None,
            Self::Symmetric(jwk) => Some(Confirmation::Key(jwk.clone())),
            Self::DerivedNow(kid) => {
                let derivation_key = server.derivation_key.as_ref();
                let key: &[u8; DERIVED_KEY_LENGTH] = derivation_key
                    .and_then(|key| key.as_bytes().try_into().ok())
                    .ok_or(PopError::UnsupportedKey)?;
                let derived = SymmetricKey::from_bytes(&derived_key(key, &token.bytes));
                let jwk = PopKey::Hs256(derived).to_jwk();
                let kid = URL_SAFE_NO_PAD.encode(kid);
                Some(Confirmation::Key(Box::new(jwk.with_kid(&kid))))
            }
            Self::DerivedBefore(kid) => Some(Confirmation::KeyIdentifier(kid.clone())),
        })
    }

    /// Its name, by which the client may ask for another token with it: of a public key without one its thumbprint.
    pub(crate) fn kid(&self) -> Vec<u8> {
        match self {
            Self::Public(jwk) | Self::Symmetric(jwk) => match &jwk.kid {
                Some(kid) => identifier::to_bytes(kid),
                None => PopKey::from_jwk(jwk).map_or(Vec::new(), |key| key.thumbprint().to_vec()),
            },
            Self::DerivedNow(kid) | Self::DerivedBefore(kid) => kid.clone(),
        }
    }
}

/// `cnf` as it is told a resource server that asks: an encrypted key in the form that the message has, under the content key in use.
pub(crate) fn told(
    confirmation: Confirmation,
    server: &ResourceServer,
    in_cbor: bool,
) -> Option<Confirmation> {
    match confirmation {
        // A compact JWE has dots, and base64url of an Encrypted_COSE_Key has none.
        Confirmation::Encrypted(text)
            if text.contains('.') == in_cbor || !is_of_now(&text, server) =>
        {
            let jwk = decrypted(&text, server)?;
            encrypted(&jwk, server, in_cbor)
                .ok()
                .map(Confirmation::Encrypted)
        }
        other @ (Confirmation::Key(_)
        | Confirmation::Encrypted(_)
        | Confirmation::KeyIdentifier(_)) => Some(other),
    }
}

/// The name of a key that is derived: where the resource server has several to derive with, it begins with what tells them apart.
fn derived_name(mut random: [u8; KID_BYTES], server: &ResourceServer) -> Vec<u8> {
    if let Some(mark) = server.derivation_mark() {
        random[..mark.len()].copy_from_slice(&mark);
    }
    random.to_vec()
}

fn decrypted(encrypted: &str, server: &ResourceServer) -> Option<Jwk> {
    server.content_keys().decrypt(encrypted).ok()
}

/// Whether it is encrypted under the key that is in use.
fn is_of_now(encrypted: &str, server: &ResourceServer) -> bool {
    let present = server.content_key.iter().cloned().collect();
    ContentKeys(present).decrypt(encrypted).is_ok()
}

fn encrypted(jwk: &Jwk, server: &ResourceServer, as_cose: bool) -> Result<String, PopError> {
    let key = server
        .content_key
        .as_ref()
        .ok_or(PopError::UnsupportedKey)?;
    if as_cose {
        key.encrypt_cose_key(jwk)
    } else {
        key.encrypt(jwk)
    }
}

/// The token with these claims, or what is to be signed with the key of this algorithm and name to become one.
pub(crate) fn mint(
    claims: &Claims,
    server: &ResourceServer,
    (algorithm, kid): (SigningAlgorithm, &str),
) -> Result<Minted, PopError> {
    let mac_key = || server.mac_key.as_ref().ok_or(PopError::UnsupportedKey);
    let token = match (server.tokens.format, server.tokens.protection) {
        (TokenFormat::Jwt, Protection::Sign) => {
            return UnsignedToken::jwt(claims, algorithm, kid).map(Minted::Unsigned);
        }
        (TokenFormat::Cwt, Protection::Sign) => {
            return UnsignedToken::cwt(claims, algorithm, kid).map(Minted::Unsigned);
        }
        (TokenFormat::Jwt, Protection::Mac) => mac_key()?.mac_jwt(claims).map(Token::from_text),
        (TokenFormat::Cwt, Protection::Mac) => mac_key()?.mac_cwt(claims).map(Token::from_cwt),
        (TokenFormat::Reference, Protection::Sign | Protection::Mac) => {
            let mut bytes = random::<REFERENCE_BYTES>()?;
            // So that its text begins with a letter, as no CWT's does.
            bytes[0] &= 0x7f;
            Ok(Token::from_text(URL_SAFE_NO_PAD.encode(bytes)))
        }
    };
    token.map(Minted::Whole)
}

impl Token {
    /// With the raw signature over its signing input.
    pub(crate) fn signed(unsigned: UnsignedToken, signature: &[u8]) -> Result<Self, PopError> {
        Ok(match unsigned.with_signature(signature)? {
            SignedToken::Jwt(text) => Self::from_text(text),
            SignedToken::Cwt(bytes) => Self::from_cwt(bytes),
        })
    }

    fn from_text(text: String) -> Self {
        Self {
            bytes: text.as_bytes().to_vec(),
            text,
        }
    }

    fn from_cwt(bytes: Vec<u8>) -> Self {
        Self {
            text: URL_SAFE_NO_PAD.encode(&bytes),
            bytes,
        }
    }

    /// Its name on the token revocation list, which depends on the answer that gives it out.
    pub(crate) fn hash(&self, in_cbor: bool) -> TokenHash {
        if in_cbor {
            TokenHash::of_cbor_answer(&self.bytes)
        } else {
            TokenHash::of_json_answer(self.text.as_bytes())
        }
    }
}

/// The identifier of a token with `exi` (RFC 9200 §5.10.3): the audience and eight bytes of the number.
pub(crate) fn numbered_identifier(audience: &str, number: u64) -> Vec<u8> {
    [audience.as_bytes(), &number.to_be_bytes()].concat()
}

/// The identifier of any other token: 48 bits of time, milliseconds, and 80 random ones. Those of one time are neighbours in an index, so
/// that many tokens change one page of it.
pub(crate) fn timed_identifier(now_millis: u64) -> Result<[u8; 16], PopError> {
    let mut identifier = random::<16>()?;
    let [_, _, time @ ..] = now_millis.to_be_bytes();
    identifier[..6].copy_from_slice(&time);
    Ok(identifier)
}

pub(crate) fn random<const LENGTH: usize>() -> Result<[u8; LENGTH], PopError> {
    let mut bytes = [0; LENGTH];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| PopError::Crypto)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_of_one_time_are_neighbours_and_differ() {
        let [one, other] = [(); 2].map(|()| timed_identifier(0x0102_0304_0506).unwrap());
        assert_eq!(
            (&one[..6], &other[..6]),
            (&[1, 2, 3, 4, 5, 6][..], &one[..6])
        );
        assert_ne!(one, other);
    }

    // RFC 9200 §5.10.3
    #[test]
    fn an_identifier_with_a_number_ends_with_it() {
        let identifier = numbered_identifier("rs", 258);
        assert_eq!(identifier, b"rs\0\0\0\0\0\0\x01\x02");
    }
}
