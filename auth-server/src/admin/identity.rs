//! Who calls: by HTTP Basic, by the token of a session, or by a certificate.

use super::{Administration, problem::Problem};
use crate::{
    core::network::Network,
    http::caller::{Several, only},
    listener::network_of,
    store::{Account, Role, sha256_of},
    tls::PeerCertificates,
};
use axum::http::{header, request::Parts};
use base64::{Engine, engine::general_purpose::STANDARD};
use symbolon_ace_proto::UnixTime;

/// A session ends after so many seconds in which nobody used it.
pub(super) const IDLE_SECS: u64 = 15 * 60;
/// And after so many in any case.
pub(super) const SESSION_SECS: u64 = 8 * 60 * 60;
/// That an account came by Basic or a certificate is recorded again after so many seconds.
const LOGIN_RECORDED_EVERY_SECS: u64 = 15 * 60;

/// A caller.
#[derive(Clone, Debug)]
pub(super) enum Who {
    /// Whoever could open the database, under the name that the audit log gets.
    Local(String),
    /// An account.
    Account(Account),
    /// Whoever asks for what is open to everybody.
    Nobody,
}

/// Marks a request that comes from this process.
#[derive(Clone, Debug)]
pub(super) struct Local(pub(super) String);

impl Who {
    /// The name for the audit log.
    pub(super) fn actor(&self) -> String {
        match self {
            Self::Local(actor) => actor.clone(),
            Self::Account(account) => format!("account {}", account.name),
            Self::Nobody => "somebody".to_owned(),
        }
    }

    /// The resource owner whose rules these are all that they may see.
    pub(super) fn owner(&self) -> Option<&str> {
        match self {
            Self::Local(_) | Self::Nobody => None,
            Self::Account(account) => account.role.owner(),
        }
    }

    pub(super) fn is_account(&self, name: &str) -> bool {
        match self {
            Self::Local(_) | Self::Nobody => false,
            Self::Account(account) => account.name == name,
        }
    }

    pub(super) fn is_administrator(&self) -> bool {
        match self {
            Self::Local(_) => true,
            Self::Account(account) => account.role == Role::Administrator,
            Self::Nobody => false,
        }
    }
}

/// Who calls, and the digest of the token of the session by which they do.
#[derive(Debug)]
pub(super) struct Identified {
    pub(super) who: Who,
    pub(super) session: Option<[u8; 32]>,
}

impl Identified {
    /// Where nobody has to say who they are.
    pub(super) fn nobody() -> Self {
        Self {
            who: Who::Nobody,
            session: None,
        }
    }
}

enum Credentials {
    Password(String, Vec<u8>),
    Session([u8; 32]),
    Certificate([u8; 32]),
}

impl Credentials {
    /// What stands in the Authorization header; a certificate where there is none.
    fn parse(parts: &Parts) -> Result<Self, Problem> {
        let header = only(&parts.headers, header::AUTHORIZATION.as_str())
            .map_err(|Several| Problem::Malformed("several Authorization headers".to_owned()))?;
        let Some(header) = header else {
            let shown = parts.extensions.get::<PeerCertificates>();
            // A raw public key is no certificate, and no account is registered with one.
            let certificate = shown.and_then(PeerCertificates::end_entity);
            let certificate = certificate.ok_or(Problem::NoLogin)?;
            return Ok(Self::Certificate(sha256_of(certificate)));
        };
        let text = str::from_utf8(header).map_err(|_| Problem::NoLogin)?;
        let (scheme, value) = text.split_once(' ').ok_or(Problem::NoLogin)?;
        let value = value.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return Ok(Self::Session(sha256_of(value.as_bytes())));
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return Err(Problem::NoLogin);
        }
        // RFC 7617 §2: the name has no colon, the password may.
        let decoded = STANDARD.decode(value).map_err(|_| Problem::NoLogin)?;
        let text = String::from_utf8(decoded).map_err(|_| Problem::NoLogin)?;
        let (name, password) = text.split_once(':').ok_or(Problem::NoLogin)?;
        Ok(Self::Password(
            name.to_owned(),
            password.as_bytes().to_vec(),
        ))
    }
}

impl Administration {
    /// Who calls. `claimed` gets the name of the account that they claim to be, for the log.
    pub(super) async fn identify(
        &self,
        parts: &Parts,
        claimed: &mut Option<String>,
        now: UnixTime,
    ) -> Result<Identified, Problem> {
        if let Some(Local(actor)) = parts.extensions.get::<Local>() {
            let who = Who::Local(actor.clone());
            return Ok(Identified { who, session: None });
        }
        let network = network_of(parts);
        match Credentials::parse(parts)? {
            Credentials::Session(sha256) => {
                let idle_since = UnixTime(now.0.saturating_sub(IDLE_SECS));
                let account = self.store.session(&sha256, (now, idle_since)).await?;
                Ok(Identified {
                    who: Who::Account(account.ok_or(Problem::WrongLogin)?),
                    session: Some(sha256),
                })
            }
            Credentials::Certificate(sha256) => {
                let account = self.store.account_of_certificate(&sha256).await?;
                let account = account.ok_or(Problem::WrongLogin)?;
                self.record_login(&account, network, "certificate", now)
                    .await?;
                let who = Who::Account(account);
                Ok(Identified { who, session: None })
            }
            Credentials::Password(name, password) => {
                let account = self.by_password(&name, password, network, claimed).await?;
                self.record_login(&account, network, "password", now)
                    .await?;
                let who = Who::Account(account);
                Ok(Identified { who, session: None })
            }
        }
    }

    async fn by_password(
        &self,
        name: &str,
        password: Vec<u8>,
        network: Network,
        claimed: &mut Option<String>,
    ) -> Result<Account, Problem> {
        *claimed = Some(name.to_owned());
        let admit = || {
            let admitted = self.failures().admit(name, network, super::call::moment());
            admitted.map_err(|wait| Problem::TooFast(wait.0))
        };
        admit()?;
        let slot = self.passwords.slot().await?;
        // Again: others may have failed while this one waited for its place.
        admit()?;
        let known = self.store.account(name).await?;
        let (account, hash) = known.map_or((None, None), |(account, hash)| (Some(account), hash));
        let right = slot.verify(hash, password).await?;
        if let Some(account) = account.filter(|_| right) {
            self.failures().handle_success(name, network);
            return Ok(account);
        }
        let now = super::call::moment();
        self.failures().handle_failure(name, network, now);
        Err(Problem::WrongLogin)
    }

    /// Records a login, unless the account came the same way from the same network a short while ago.
    async fn record_login(
        &self,
        account: &Account,
        network: Network,
        how: &'static str,
        now: UnixTime,
    ) -> Result<(), Problem> {
        {
            let mut logins = self.logins();
            let key = (account.name.clone(), network, how);
            let recorded = logins.entry(key, || UnixTime(0));
            if now.0 < recorded.0.saturating_add(LOGIN_RECORDED_EVERY_SECS) {
                return Ok(());
            }
            *recorded = now;
        }
        let actor = format!("account {}", account.name);
        let store = self.store.clone().acting_as(&actor);
        Ok(store.record("account.login", &account.name, how).await?)
    }
}
