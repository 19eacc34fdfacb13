//! Tokens that were issued, refresh tokens, and what changed on the token revocation list.

use symbolon_ace_proto::{TokenHash, UnixTime};

/// A token that was issued and has not expired, for the operator.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct IssuedToken {
    /// `jti`, or `cti` as base64url.
    pub identifier: String,
    /// Whose it is.
    pub client_id: String,
    /// The resource server or the group it is for.
    pub audience: String,
    /// When it ends; of one with `exi`, when it is forgotten.
    pub expires_at: UnixTime,
    /// Since when it is revoked.
    pub revoked_at: Option<UnixTime>,
}

/// Which tokens are to be revoked.
#[derive(Clone, Debug)]
pub enum Revocation {
    /// The one with this identifier.
    Identifier(String),
    /// The one with this digest: of the token as it reaches the resource server, a CWT with tag 61.
    Sha256([u8; 32]),
    /// All of a client.
    Client(String),
}

/// A token as it is to be remembered.
#[derive(Clone, Debug)]
pub(crate) struct NewToken {
    pub(crate) sha256: [u8; 32],
    pub(crate) listed_as: TokenHash,
    pub(crate) identifier: String,
    pub(crate) client_id: String,
    pub(crate) audience: String,
    /// In JSON, for the audit log.
    pub(crate) scope: String,
    pub(crate) pop_kid: Option<Vec<u8>>,
    pub(crate) answer: String,
    pub(crate) family: Option<[u8; 16]>,
    pub(crate) expires_at: UnixTime,
}

/// A token that is remembered.
#[derive(Clone, Debug)]
pub(crate) struct StoredToken {
    pub(crate) client_id: String,
    pub(crate) audience: String,
    /// In JSON.
    pub(crate) answer: String,
    pub(crate) expires_at: UnixTime,
    pub(crate) revoked: bool,
}

/// What a refresh token stands for.
#[derive(Clone, Debug)]
pub(crate) struct RefreshGrant {
    pub(crate) family: [u8; 16],
    pub(crate) client_id: String,
    pub(crate) audience: String,
    /// An AIF array in JSON.
    pub(crate) scope: String,
    /// `cnf` in JSON.
    pub(crate) confirmation: String,
}

/// A refresh token to be stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewRefreshToken<'a> {
    pub(crate) sha256: [u8; 32],
    pub(crate) grant: &'a RefreshGrant,
    pub(crate) expires_at: UnixTime,
}

/// What a refresh token that is shown turns out to be.
#[derive(Clone, Debug)]
pub(crate) enum Refresh {
    /// Never given out, expired, revoked, or another client's.
    Unknown,
    /// Exchanged before: it is in two hands, so the whole family was revoked.
    Replayed,
    /// Good.
    Grant(RefreshGrant),
}

/// Who may ask for the token revocation list, and sees the part that is about it (RFC 9770).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Requester<'a> {
    /// Sees its own tokens.
    Client(&'a str),
    /// Sees the tokens for its audience.
    ResourceServer(&'a str),
}

impl Requester<'_> {
    /// The name under which its updates are kept.
    pub(super) fn key(self) -> String {
        match self {
            Self::Client(client_id) => format!("c{client_id}"),
            Self::ResourceServer(audience) => format!("r{audience}"),
        }
    }
}

/// One update to the list, as one requester sees it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct ListUpdate {
    /// 0 for the first there ever was.
    pub(crate) number: u64,
    /// What it is about.
    pub(crate) listed_as: TokenHash,
    /// Added, or removed.
    pub(crate) added: bool,
}

/// What came of forgetting tokens that have expired.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Swept {
    /// The token revocation list has changed.
    pub(crate) list_changed: bool,
    /// There may be more.
    pub(crate) more: bool,
}
