//! Resource servers: what kind of tokens each gets, and what it shares with the authorization server.

use super::{ClientAuthentication, Rotation, Store, StoreError};
use symbolon_ace_proto::{Jwk, PopAlgorithm, PopKey, SymmetricKey, cwt::MacKey, jwe::ContentKey};

/// A registered resource server: a broker.
#[derive(Clone, Debug)]
pub struct ResourceServer {
    /// The audience in its tokens.
    pub audience: String,
    /// What its tokens are like.
    pub tokens: TokenKind,
    /// The content key shared with it, around symmetric proof-of-possession keys. 32 bytes.
    pub content_key: Option<ContentKey>,
    /// The key shared with it for the MACs of tokens. 32 bytes.
    pub mac_key: Option<MacKey>,
    /// The key shared with it from which symmetric proof-of-possession keys are derived (RFC 9202 §3.3.1). 32 bytes.
    pub derivation_key: Option<SymmetricKey>,
    /// `rs_cnf` for clients: `{"x5t#S256": "..."}` of its certificate, `{"jwk": {...}}` of its public key, or absent. Clients with a symmetric
    /// key never see it (RFC 9201 §3.2).
    pub rs_cnf: Option<serde_json::Value>,
    /// How it authenticates where it asks about tokens; without it, it cannot ask.
    pub access: Option<ServerAccess>,
    /// The keys shared with it that come and those that went; of no meaning where it is stored.
    pub rotation: Rotation,
}

/// How a resource server authenticates to introspection and to the token revocation list.
#[derive(Clone, Debug)]
pub struct ServerAccess {
    /// Its identifier; no client has the same.
    pub client_id: String,
    /// How it proves that it is this one.
    pub authentication: ClientAuthentication,
}

/// What the tokens of a resource server are like (RFC 9200 Appendix D).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct TokenKind {
    /// Their form.
    pub format: TokenFormat,
    /// What protects them; of no meaning for references.
    pub protection: Protection,
    /// How symmetric proof-of-possession keys get to the resource server.
    pub symmetric_keys: SymmetricKeys,
    /// How they say when they end.
    pub lifetime: Lifetime,
}

/// Declares an enum whose variants have a name on the command line and in the database.
macro_rules! named {
    ($(#[$doc:meta])* $kind:ident { $($(#[$variant_doc:meta])* $variant:ident = $name:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
        pub enum $kind { $($(#[$variant_doc])* $variant),+ }

        impl $kind {
            /// Its name.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// From its name.
            pub fn from_name(name: &str) -> Option<Self> {
                [$(Self::$variant),+].into_iter().find(|one| one.as_str() == name)
            }
        }
    };
}

named! {
    /// The form of a token.
    TokenFormat {
        /// A JWT (RFC 7519).
        #[default]
        Jwt = "jwt",
        /// A CWT (RFC 8392).
        Cwt = "cwt",
        /// 32 random bytes as base64url; the resource server asks what they stand for (RFC 7662).
        Reference = "reference",
    }
}

named! {
    /// What a token is protected by.
    Protection {
        /// The server's signature.
        #[default]
        Sign = "sign",
        /// HMAC-SHA-256 with the key that is shared for it: `HS256`, or `COSE_Mac0`.
        Mac = "mac",
    }
}

named! {
    /// How a symmetric proof-of-possession key gets to the resource server.
    SymmetricKeys {
        /// In the token, under the content key: a JWE or a `COSE_Encrypt0`.
        #[default]
        Encrypted = "encrypted",
        /// Derived from the token by both ends (RFC 9202 §3.3.1).
        Derived = "derived",
    }
}

named! {
    /// How a token says when it ends.
    Lifetime {
        /// `exp`: a time of day.
        #[default]
        Exp = "exp",
        /// `exi`: so many seconds from when the resource server first sees it, for one without a clock (RFC 9200 §5.10.3).
        Exi = "exi",
    }
}

impl ResourceServer {
    /// With JWTs, signed, and symmetric keys encrypted under `content_key`.
    pub fn new(audience: &str, content_key: ContentKey) -> Self {
        Self {
            audience: audience.to_owned(),
            tokens: TokenKind::default(),
            content_key: Some(content_key),
            mac_key: None,
            derivation_key: None,
            rs_cnf: None,
            access: None,
            rotation: Rotation::default(),
        }
    }

    /// What can be stored, or what is wrong with it.
    pub(super) fn storable(&self) -> Result<Self, StoreError> {
        let refused = |why: &str| {
            StoreError::Invalid("resource server", self.audience.clone(), why.to_owned())
        };
        check_audience(&self.audience).map_err(refused)?;
        self.check_keys().map_err(refused)?;
        self.check_kind().map_err(refused)?;
        if let Some(rs_cnf) = &self.rs_cnf {
            check_rs_cnf(rs_cnf).map_err(refused)?;
        }
        let mut stored = self.clone();
        if let Some(access) = &mut stored.access {
            super::client_id_of(&access.client_id)?;
            access.authentication = access.authentication.storable(&access.client_id)?;
        }
        Ok(stored)
    }

    fn check_keys(&self) -> Result<(), &'static str> {
        let keys = [
            self.content_key.as_ref().map(|key| &key.key),
            self.mac_key.as_ref().map(MacKey::key),
            self.derivation_key.as_ref(),
        ];
        let keys: Vec<&[u8]> = keys
            .into_iter()
            .flatten()
            .map(SymmetricKey::as_bytes)
            .collect();
        if keys.iter().any(|key| key.len() != 32) {
            return Err("a shared key has 32 bytes");
        }
        // RFC 8725 §3.1: one key, one algorithm.
        let same = |at: usize| keys.iter().skip(at + 1).any(|other| *other == keys[at]);
        if (0..keys.len()).any(same) {
            return Err("content key, MAC key and derivation key must differ");
        }
        Ok(())
    }

    fn check_kind(&self) -> Result<(), &'static str> {
        let kind = self.tokens;
        match (kind.format, kind.protection) {
            (TokenFormat::Jwt | TokenFormat::Cwt, Protection::Mac) if self.mac_key.is_none() => {
                return Err("tokens with a MAC need a MAC key");
            }
            (TokenFormat::Jwt | TokenFormat::Cwt | TokenFormat::Reference, _) => {}
        }
        if kind.symmetric_keys == SymmetricKeys::Derived && self.derivation_key.is_none() {
            return Err("derived keys need a derivation key");
        }
        // RFC 9200 §5.10.3: for self-contained tokens.
        if kind.lifetime == Lifetime::Exi && kind.format == TokenFormat::Reference {
            return Err("a reference has exp, not exi: the server that is asked has a clock");
        }
        Ok(())
    }

    /// Whether another may stand beside it in one audience (RFC 9200 §6.9): one token must do for both, and say nothing that is true of one
    /// alone.
    pub(crate) fn may_share_an_audience(&self) -> Result<(), &'static str> {
        match self.tokens {
            TokenKind {
                lifetime: Lifetime::Exi,
                ..
            } => Err("tokens with exi are counted for one resource server"),
            TokenKind {
                protection: Protection::Mac,
                format: TokenFormat::Jwt | TokenFormat::Cwt,
                ..
            } => Err("a MAC key is shared with one resource server"),
            TokenKind { .. } => Ok(()),
        }
    }
}

/// What an audience may look like; the error says what is wrong.
pub(super) fn check_audience(audience: &str) -> Result<(), &'static str> {
    if audience.is_empty() || audience.len() > Store::MAX_AUDIENCE_BYTES {
        return Err("an audience has 1 to 1024 bytes");
    }
    if audience.chars().any(char::is_control) {
        return Err("an audience has no control characters");
    }
    Ok(())
}

fn check_rs_cnf(rs_cnf: &serde_json::Value) -> Result<(), &'static str> {
    const WRONG: &str = "rs_cnf is {\"x5t#S256\": \"...\"}, or {\"jwk\": {...}} with a public key of Ed25519 or P-256";
    let members = rs_cnf
        .as_object()
        .filter(|members| members.len() == 1)
        .ok_or(WRONG)?;
    if let Some(thumbprint) = members.get("x5t#S256") {
        let text = thumbprint.as_str().ok_or(WRONG)?;
        return match super::decode_base64url(text) {
            Some(bytes) if bytes.len() == 32 => Ok(()),
            Some(_) | None => Err(WRONG),
        };
    }
    let jwk = members.get("jwk").ok_or(WRONG)?;
    let jwk: Jwk = serde_json::from_value(jwk.clone()).map_err(|_| WRONG)?;
    match PopKey::from_jwk(&jwk) {
        Ok(key) if key.algorithm() != PopAlgorithm::Hs256 && !jwk.is_secret() => Ok(()),
        Ok(_) | Err(_) => Err(WRONG),
    }
}
