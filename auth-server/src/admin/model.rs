//! The messages of the administration API: JSON, in UTF-8. Times are seconds since 1970.
//!
//! Requests refuse members that they do not know. Answers may get more members in later versions: whoever reads them passes over what they
//! do not know. What is secret goes in and never comes out.
//!
//! | module | holds |
//! |---|---|
//! | [`Client`], [`NewClient`] | registered clients |
//! | [`Policy`], [`NewPolicy`] | rules |
//! | [`Desired`], [`Plan`] | rules and groups as they shall be, and what that changes |
//! | [`Group`], [`Owner`] | groups of clients, resource owners |
//! | [`ResourceServer`], [`PutResourceServer`], [`AudienceGroup`] | resource servers, and audiences that stand for several |
//! | [`Token`], [`Revocation`] | issued tokens |
//! | [`Question`], [`Explanation`], [`Granted`] | which rule decides, and what a client may be granted |
//! | [`AuditRecord`], [`AuditVerdict`] | the audit log |
//! | [`Account`], [`NewAccount`], [`Login`] | who may use this API |
//! | [`Page`], [`Problem`] | lists, and errors |

mod account;
mod audit;
mod client;
mod explanation;
mod group;
mod owner;
mod plan;
mod policy;
mod resource_server;
mod secret;
mod token;

pub(crate) use account::certificate_digest;
pub use account::{
    Account, AccountCertificate, AccountPassword, Login, MAX_PASSWORD_BYTES, MIN_PASSWORD_BYTES,
    NewAccount, Role,
};
pub use audit::{AuditMarkError, AuditRecord, AuditVerdict, mark_from_text, mark_to_text};
pub use client::{Authentication, Client, NewClient, ProofKey};
pub use explanation::{Considered, Cut, Explanation, Granted, Question};
pub use group::{AudienceGroup, AudienceGroupMembers, Group, MemberChange, NewGroup};
pub use owner::{Owner, OwnerRemoved, RemoveOwner, Tree};
pub use plan::{Apply, Desired, DesiredClient, DesiredGroup, Loss, Plan};
pub use policy::{Effect, NewPolicy, Permission, Policy};
pub use resource_server::{PutResourceServer, ResourceServer, SharedKey};
pub use secret::SecretText;
pub use token::{Revocation, Revoked, Token};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where the API lies: below this path.
pub const PATH: &str = "/admin/v1";
/// The largest body of a request, bytes.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;
/// The most items on a page.
pub const MAX_PAGE: u32 = 1000;
/// The items on a page where nothing else is asked for.
pub const DEFAULT_PAGE: u32 = 100;

/// A part of a list.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Page<T> {
    /// What there is of it here.
    pub items: Vec<T>,
    /// For `?after=` of the next request; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Why a request is refused (RFC 9457), as `application/problem+json`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Problem {
    /// `about:blank`: the status says what kind of problem it is.
    #[serde(rename = "type", default = "about_blank")]
    pub kind: String,
    /// The status in words.
    #[serde(default)]
    pub title: String,
    /// The status code.
    pub status: u16,
    /// What is wrong with this request, in one sentence for people. Never a secret.
    #[serde(default)]
    pub detail: String,
}

fn about_blank() -> String {
    "about:blank".to_owned()
}

/// Why a request means nothing: which member, and what is wrong with it. Never its value, where that may be a secret.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{member}: {why}")]
pub struct ModelError {
    /// The name of the member.
    pub member: &'static str,
    /// What is wrong.
    pub why: String,
}

impl ModelError {
    pub(crate) fn new(member: &'static str, why: impl std::fmt::Display) -> Self {
        Self {
            member,
            why: why.to_string(),
        }
    }
}
