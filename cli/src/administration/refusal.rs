//! Why something was not done.

use symbolon_tls::https::HttpsError;

/// Why the administration API did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdministrationError {
    /// It says no, and why.
    #[error("{detail}")]
    Refused {
        /// The status code.
        status: u16,
        /// Its words.
        detail: String,
        /// Whether it was asked over HTTPS.
        remote: bool,
    },
    /// There is no secure connection, or it broke; to where, and why.
    #[error("{url}: {source}")]
    Unreachable {
        /// The server's URL.
        url: String,
        /// What went wrong.
        source: HttpsError,
    },
    /// What came back is not what the API says.
    #[error("{who} does not answer as the administration API does (status {status})")]
    NotUnderstood {
        /// Who answered.
        who: String,
        /// The status code.
        status: u16,
    },
    /// A list does not end.
    #[error("a list of the administration API does not end")]
    Endless,
    /// A name is longer than a URL can be.
    #[error("a name is too long")]
    TooLong,
    /// A request has no form in JSON.
    #[error("the request cannot be written: {0}")]
    Unwritable(serde_json::Error),
}

impl AdministrationError {
    /// Whether what was asked for is not there.
    pub(super) fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }

    /// Whether the account may not do this.
    pub(crate) fn is_forbidden(&self) -> bool {
        self.status() == Some(403)
    }

    /// Whether it is the account that is refused, by a server elsewhere: unknown, without the right, or asking too often.
    pub(crate) fn refuses_the_account(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                status: 401 | 403 | 429,
                remote: true,
                ..
            }
        )
    }

    fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            Self::Unreachable { .. }
            | Self::NotUnderstood { .. }
            | Self::Endless
            | Self::TooLong
            | Self::Unwritable(_) => None,
        }
    }
}
