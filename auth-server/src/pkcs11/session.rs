//! What is asked of a session with a token: which key, its public half, a signature, a new key. All of it waits for the token.

use super::{HsmError, KeyUri};
use aws_lc_rs::{digest, rand};
use cryptoki::{
    context::Pkcs11,
    error::{Error, RvError},
    mechanism::{
        Mechanism,
        eddsa::{EddsaParams, EddsaSignatureScheme},
    },
    object::{Attribute, AttributeType, ObjectClass, ObjectHandle},
    session::{Session, UserType},
    slot::Slot,
    types::AuthPin,
};
use std::{
    slice,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use symbolon_ace_proto::{PopKey, jwt::SigningAlgorithm};

/// The most sessions that a thread keeps open: one for each key of a ring.
const OPEN_AT_MOST: usize = crate::KeyRing::MAX_KEYS;
/// Length of the identifier of a key made here, bytes.
const ID_BYTES: usize = 16;

/// `CKA_EC_PARAMS` of P-256: its object identifier (RFC 5480 §2.1.1.1).
const P256: &[u8] = &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
/// `CKA_EC_PARAMS` of Ed25519: its object identifier (RFC 8410 §3), and its name, which some modules want instead (PKCS #11 v3.0 §2.3.5).
const ED25519: [&[u8]; 2] = [&[6, 3, 0x2b, 0x65, 0x70], b"\x13\x0cedwards25519"];

/// The sessions of one thread. They are opened when a key is needed first, and closed when it fails.
pub(super) struct Sessions {
    pkcs11: Pkcs11,
    pin: Option<AuthPin>,
    /// Of all threads: one wrong PIN is enough.
    pin_is_refused: Arc<AtomicBool>,
    open: Vec<Open>,
}

/// A session, with the private key that it is for.
struct Open {
    uri: KeyUri,
    session: Session,
    key: ObjectHandle,
}

impl Sessions {
    pub(super) fn new(
        pkcs11: Pkcs11,
        pin: Option<AuthPin>,
        pin_is_refused: Arc<AtomicBool>,
    ) -> Self {
        Self {
            pkcs11,
            pin,
            pin_is_refused,
            open: Vec::new(),
        }
    }

    /// The raw signature over a message. A session that fails is opened anew, once: the token may have been away and have come back.
    pub(super) fn sign(
        &mut self,
        uri: &KeyUri,
        algorithm: SigningAlgorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, HsmError> {
        let known = self.open.iter().position(|open| open.uri == *uri);
        if let Some(at) = known {
            if let Ok(signature) = self.open[at].sign(algorithm, message) {
                return Ok(signature);
            }
            self.open.swap_remove(at);
        }
        let opened = self.open(uri)?;
        let signature = opened.sign(algorithm, message).map_err(failed)?;
        if self.open.len() >= OPEN_AT_MOST {
            self.open.remove(0);
        }
        self.open.push(opened);
        Ok(signature)
    }

    /// The public half of a key.
    pub(super) fn public_key(&mut self, uri: &KeyUri) -> Result<PopKey, HsmError> {
        let session = self.log_in(uri, false)?;
        let key = found(&session, uri, ObjectClass::PUBLIC_KEY)?;
        public_half(&session, key)?.ok_or_else(|| HsmError::Unsupported(uri.to_string()))
    }

    /// A new key, whose private half is never shown, with the URI that finds it.
    pub(super) fn generate(
        &mut self,
        uri: &KeyUri,
        algorithm: SigningAlgorithm,
    ) -> Result<(KeyUri, PopKey), HsmError> {
        let session = self.log_in(uri, true)?;
        let mut id = [0; ID_BYTES];
        rand::fill(&mut id).map_err(|_| HsmError::Failed("no random numbers".to_owned()))?;
        let id = uri.id.clone().unwrap_or_else(|| id.to_vec());
        let made = KeyUri {
            object: Some(uri.object.clone().unwrap_or_else(|| label(&id))),
            id: Some(id),
            ..uri.clone()
        };
        let public = generated(&session, &made, algorithm).map_err(failed)?;
        let key = public_half(&session, public)?;
        Ok((
            made,
            key.ok_or_else(|| HsmError::Unsupported(uri.to_string()))?,
        ))
    }

    fn open(&self, uri: &KeyUri) -> Result<Open, HsmError> {
        let session = self.log_in(uri, false)?;
        let key = found(&session, uri, ObjectClass::PRIVATE_KEY)?;
        Ok(Open {
            uri: uri.clone(),
            session,
            key,
        })
    }

    fn log_in(&self, uri: &KeyUri, writes: bool) -> Result<Session, HsmError> {
        if self.pin_is_refused.load(Ordering::Relaxed) {
            return Err(HsmError::Pin);
        }
        let slot = self.slot(uri)?;
        let session = if writes {
            self.pkcs11.open_rw_session(slot)
        } else {
            self.pkcs11.open_ro_session(slot)
        };
        let session = session.map_err(failed)?;
        let token = self.pkcs11.get_token_info(slot).map_err(failed)?;
        if self.pin.is_none() && token.login_required() && !token.protected_authentication_path() {
            return Err(HsmError::NoPin);
        }
        match session.login(UserType::User, self.pin.as_ref()) {
            // Another session of ours has logged all of them in.
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
            Err(Error::Pkcs11(
                RvError::PinIncorrect
                | RvError::PinInvalid
                | RvError::PinLenRange
                | RvError::PinExpired
                | RvError::PinLocked,
                _,
            )) => {
                self.pin_is_refused.store(true, Ordering::Relaxed);
                Err(HsmError::Pin)
            }
            Err(error) => Err(failed(error)),
        }
    }

    fn slot(&self, uri: &KeyUri) -> Result<Slot, HsmError> {
        let mut found = None;
        for slot in self.pkcs11.get_slots_with_token().map_err(failed)? {
            // A token that was taken out meanwhile is none of ours.
            let Ok(token) = self.pkcs11.get_token_info(slot) else {
                continue;
            };
            let is = |wanted: &Option<String>, text: &str| {
                wanted.as_deref().is_none_or(|wanted| wanted == text)
            };
            let matches = is(&uri.token, token.label())
                && is(&uri.serial, token.serial_number())
                && is(&uri.manufacturer, token.manufacturer_id())
                && is(&uri.model, token.model());
            if matches && token.token_initialized() && found.replace(slot).is_some() {
                return Err(HsmError::SeveralTokens(uri.to_string()));
            }
        }
        found.ok_or_else(|| HsmError::NoToken(uri.to_string()))
    }
}

impl Open {
    fn sign(&self, algorithm: SigningAlgorithm, message: &[u8]) -> Result<Vec<u8>, Error> {
        match algorithm {
            SigningAlgorithm::EdDsa => {
                let scheme = EddsaParams::new(EddsaSignatureScheme::Pure);
                let mechanism = Mechanism::Eddsa(scheme);
                self.session.sign(&mechanism, self.key, message)
            }
            SigningAlgorithm::Es256 => {
                let digest = digest::digest(&digest::SHA256, message);
                self.session
                    .sign(&Mechanism::Ecdsa, self.key, digest.as_ref())
            }
        }
    }
}

/// The one object of this class that the URI names.
fn found(session: &Session, uri: &KeyUri, class: ObjectClass) -> Result<ObjectHandle, HsmError> {
    let mut template = vec![Attribute::Token(true), Attribute::Class(class)];
    template.extend(named(uri));
    let objects = session.find_objects(&template).map_err(failed)?;
    match objects[..] {
        [] => Err(HsmError::NoKey(uri.to_string())),
        [object] => Ok(object),
        [_, _, ..] => Err(HsmError::SeveralKeys(uri.to_string())),
    }
}

fn named(uri: &KeyUri) -> impl Iterator<Item = Attribute> {
    let label = uri.object.as_ref();
    let label = label.map(|label| Attribute::Label(label.clone().into_bytes()));
    let id = uri.id.as_ref().map(|id| Attribute::Id(id.clone()));
    label.into_iter().chain(id)
}

/// `None` for a key of another kind.
fn public_half(session: &Session, key: ObjectHandle) -> Result<Option<PopKey>, HsmError> {
    let wanted = [AttributeType::EcParams, AttributeType::EcPoint];
    let attributes = session.get_attributes(key, &wanted).map_err(failed)?;
    let (mut params, mut point) = (Vec::new(), Vec::new());
    for attribute in attributes {
        if let Attribute::EcParams(bytes) = attribute {
            params = bytes;
        } else if let Attribute::EcPoint(bytes) = attribute {
            point = bytes;
        }
    }
    Ok(public_key(&params, &point))
}

/// The point is an OCTET STRING; some modules leave out what stands around it, and PKCS #11 v3.1 has a BIT STRING for Ed25519.
fn public_key(params: &[u8], point: &[u8]) -> Option<PopKey> {
    if params == P256 {
        let point = point.strip_prefix(&[4, 65]).unwrap_or(point);
        return point.try_into().map(PopKey::Es256).ok();
    }
    if ED25519.contains(&params) {
        let around = [&[4, 32][..], &[3, 33, 0][..]];
        let mut bare = around.iter().filter_map(|start| {
            let rest = point.strip_prefix(*start)?;
            (rest.len() == 32).then_some(rest)
        });
        let point = bare.next().unwrap_or(point);
        return point.try_into().map(PopKey::Ed25519).ok();
    }
    None
}

fn generated(
    session: &Session,
    uri: &KeyUri,
    algorithm: SigningAlgorithm,
) -> Result<ObjectHandle, Error> {
    let (mechanism, curves) = match algorithm {
        SigningAlgorithm::EdDsa => (Mechanism::EccEdwardsKeyPairGen, &ED25519[..]),
        SigningAlgorithm::Es256 => (Mechanism::EccKeyPairGen, slice::from_ref(&P256)),
    };
    let mut private = vec![
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
    ];
    private.extend(named(uri));
    let mut last = Error::NotSupported;
    for curve in curves {
        let mut public = vec![
            Attribute::Token(true),
            Attribute::Private(false),
            Attribute::Verify(true),
            Attribute::EcParams(curve.to_vec()),
        ];
        public.extend(named(uri));
        match session.generate_key_pair(&mechanism, &public, &private) {
            Ok((public, _)) => return Ok(public),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn label(id: &[u8]) -> String {
    id.iter()
        .take(4)
        .fold("symbolon-".to_owned(), |text, byte| {
            text + &format!("{byte:02x}")
        })
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "it stands where errors are mapped, and ends here"
)]
fn failed(error: Error) -> HsmError {
    HsmError::Failed(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_read_in_each_form_that_modules_have() {
        let ed25519 = [9; 32];
        for start in [&[4, 32][..], &[3, 33, 0], &[]] {
            let point = [start, &ed25519].concat();
            for params in ED25519 {
                let key = public_key(params, &point);
                assert_eq!(key, Some(PopKey::Ed25519(ed25519)), "{start:?}");
            }
        }
        let mut p256 = [7; 65];
        p256[0] = 4;
        for start in [&[4, 65][..], &[]] {
            let point = [start, &p256].concat();
            assert_eq!(public_key(P256, &point), Some(PopKey::Es256(p256)));
        }
        assert_eq!(public_key(P256, &ed25519), None);
        assert_eq!(public_key(ED25519[0], &p256), None);
        assert_eq!(public_key(&[5, 0], &ed25519), None);
    }
}
