//! A token that lacks nothing but its signature, for a key that signs elsewhere: in a hardware module, say.

use std::fmt;

use zeroize::Zeroizing;

use crate::{
    Claims, Confirmation, PopError,
    cose::{self, Kind},
    json_object::to_json,
    jws::{self, SIGNATURE_LENGTH},
    jwt::SigningAlgorithm,
};

/// A token before it is signed. What is to be signed is [`UnsignedToken::signing_input`]; the raw signature over it makes the token whole.
pub struct UnsignedToken {
    form: Form,
    signing_input: Vec<u8>,
}

/// A token with its signature.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SignedToken {
    /// The compact serialization of a JWS.
    Jwt(String),
    /// A CWT with both tags.
    Cwt(Vec<u8>),
}

enum Form {
    /// The signing input is the beginning of the token.
    Jwt,
    Cwt {
        protected: Vec<u8>,
        payload: Zeroizing<Vec<u8>>,
    },
}

impl UnsignedToken {
    /// A JWT with these claims, `typ` `at+jwt`, for the key with this name. A secret key in `cnf` is refused as [`PopError::UnsupportedKey`]:
    /// what is only signed can be read by whoever sees it, so it belongs in a JWE (RFC 7800 §3.3).
    pub fn jwt(claims: &Claims, algorithm: SigningAlgorithm, kid: &str) -> Result<Self, PopError> {
        if has_secret_key(claims) {
            return Err(PopError::UnsupportedKey);
        }
        let header = serde_json::json!({
            "alg": algorithm.as_str(),
            "kid": kid,
            "typ": "at+jwt",
        });
        let text = jws::signing_input(&header.to_string(), &to_json(claims));
        Ok(Self {
            form: Form::Jwt,
            signing_input: text.into_bytes(),
        })
    }

    /// A CWT with these claims: `COSE_Sign1` with both tags, all headers protected (RFC 9770). A secret key in `cnf` is refused as
    /// [`PopError::UnsupportedKey`], and so is a JWE (RFC 8747 §3.3).
    pub fn cwt(claims: &Claims, algorithm: SigningAlgorithm, kid: &str) -> Result<Self, PopError> {
        let payload = cbor_payload(claims)?;
        let algorithm = match algorithm {
            SigningAlgorithm::EdDsa => cose::EDDSA,
            SigningAlgorithm::Es256 => cose::ES256,
        };
        let protected = cose::protected(algorithm, kid.as_bytes());
        Ok(Self {
            signing_input: Kind::Sign1.authenticated(&protected, &payload),
            form: Form::Cwt { protected, payload },
        })
    }

    /// What the signature is over.
    pub fn signing_input(&self) -> &[u8] {
        &self.signing_input
    }

    /// The token with its signature: 64 bytes, for ES256 `r` and `s` one behind the other. Any other length is [`PopError::Crypto`]. Whether
    /// it is the right signature is not looked at here.
    pub fn with_signature(self, signature: &[u8]) -> Result<SignedToken, PopError> {
        if signature.len() != SIGNATURE_LENGTH {
            return Err(PopError::Crypto);
        }
        Ok(match self.form {
            Form::Jwt => {
                let text = String::from_utf8(self.signing_input);
                let text = text.map_err(|_| PopError::Crypto)?;
                SignedToken::Jwt(jws::with_signature(text, signature))
            }
            Form::Cwt { protected, payload } => {
                let token = cose::assemble(Kind::Sign1, &protected, &payload, signature);
                SignedToken::Cwt(token)
            }
        })
    }
}

impl fmt::Debug for UnsignedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnsignedToken").finish_non_exhaustive()
    }
}

/// The claims as CBOR; refused where there is a secret key among them, or what has no form in CBOR.
pub(crate) fn cbor_payload(claims: &Claims) -> Result<Zeroizing<Vec<u8>>, PopError> {
    if has_secret_key(claims) {
        return Err(PopError::UnsupportedKey);
    }
    claims.to_cbor().map_err(|_| PopError::UnsupportedKey)
}

/// What is only authenticated can be read by whoever sees it.
pub(crate) fn has_secret_key(claims: &Claims) -> bool {
    match &claims.confirmation {
        Confirmation::Key(jwk) => jwk.is_secret(),
        Confirmation::Encrypted(_) | Confirmation::KeyIdentifier(_) => false,
    }
}
