//! Statements on accounts of the administration API and their sessions.

use super::{
    Database,
    audit::Deed,
    corrupt, exists_or, found,
    tokens::{seconds, time},
};
use crate::store::{Account, NewAccount, PasswordHash, Role, Store, StoreError, sha256_of};
use symbolon_ace_proto::UnixTime;

/// That a session is used is written down at most this often, seconds.
const USED_EVERY_SECS: u64 = 60;

type AccountRow = (
    String,
    String,
    Option<String>,
    Option<String>,
    Option<Vec<u8>>,
    i64,
);

const BY_NAME: &str =
    "SELECT name, role, owner, password, certificate, created_at FROM account WHERE name = $1";

impl Database {
    pub(crate) async fn add_account(
        &self,
        new: &NewAccount,
        now: UnixTime,
    ) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM account")
            .fetch_one(&mut *transaction)
            .await?;
        if count >= i64::from(Store::MAX_ACCOUNTS) {
            let why = "there are as many accounts as there may be".to_owned();
            return Err(StoreError::Invalid("account", new.name.clone(), why));
        }
        if let Some(owner) = new.role.owner() {
            let known = "SELECT 1 FROM owner WHERE name = $1";
            super::groups::exists(&mut transaction, "owner", known, owner).await?;
        }
        sqlx::query(
            "INSERT INTO account (name, role, owner, password, certificate, created_at)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(&new.name)
        .bind(new.role.as_str())
        .bind(new.role.owner())
        .bind(new.password.as_ref().map(PasswordHash::as_phc))
        .bind(new.certificate.as_ref().map(<[u8; 32]>::as_slice))
        .bind(seconds(now))
        .execute(&mut *transaction)
        .await
        .map_err(|error| exists_or(error, "account with the name or certificate of", &new.name))?;
        let detail = match new.role.owner() {
            Some(owner) => format!("owner {owner}"),
            None => new.role.as_str().to_owned(),
        };
        let deed = Deed::done("account.add", &new.name, &detail);
        self.commit(transaction, deed).await
    }

    pub(crate) async fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        let rows: Vec<AccountRow> = sqlx::query_as(
            "SELECT name, role, owner, password, certificate, created_at FROM account ORDER BY name",
        )
        .fetch_all(&self.pool)
        .await?;
        let accounts = rows.into_iter().map(|row| Ok(account_from(row)?.0));
        accounts.collect()
    }

    pub(crate) async fn account(
        &self,
        name: &str,
    ) -> Result<Option<(Account, Option<PasswordHash>)>, StoreError> {
        let row: Option<AccountRow> = sqlx::query_as(BY_NAME)
            .bind(name)
            .fetch_optional(&self.pool)
            .await?;
        row.map(account_from).transpose()
    }

    pub(crate) async fn account_of_certificate(
        &self,
        sha256: &[u8; 32],
    ) -> Result<Option<Account>, StoreError> {
        let row: Option<AccountRow> = sqlx::query_as(
            "SELECT name, role, owner, password, certificate, created_at FROM account
             WHERE certificate = $1",
        )
        .bind(sha256.as_slice())
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| Ok(account_from(row)?.0)).transpose()
    }

    /// Its sessions go with it, by ON DELETE CASCADE.
    pub(crate) async fn remove_account(&self, name: &str) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        let done = sqlx::query("DELETE FROM account WHERE name = $1")
            .bind(name)
            .execute(&mut *transaction)
            .await?;
        found(done.rows_affected(), "account", name)?;
        let deed = Deed::done("account.remove", name, "");
        self.commit(transaction, deed).await
    }

    pub(crate) async fn set_password(
        &self,
        name: &str,
        password: &PasswordHash,
    ) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        let done = sqlx::query("UPDATE account SET password = $2 WHERE name = $1")
            .bind(name)
            .bind(password.as_phc())
            .execute(&mut *transaction)
            .await?;
        found(done.rows_affected(), "account", name)?;
        end_sessions(&mut transaction, name).await?;
        let deed = Deed::done("account.password", name, "");
        self.commit(transaction, deed).await
    }

    pub(crate) async fn set_certificate(
        &self,
        name: &str,
        sha256: &[u8; 32],
    ) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        let done = sqlx::query("UPDATE account SET certificate = $2 WHERE name = $1")
            .bind(name)
            .bind(sha256.as_slice())
            .execute(&mut *transaction)
            .await
            .map_err(|error| exists_or(error, "account with the certificate for", name))?;
        found(done.rows_affected(), "account", name)?;
        end_sessions(&mut transaction, name).await?;
        let deed = Deed::done("account.certificate", name, "");
        self.commit(transaction, deed).await
    }

    pub(crate) async fn add_session(
        &self,
        account: &Account,
        sha256: &[u8; 32],
        now: UnixTime,
        expires_at: UnixTime,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.write().await?;
        let row: Option<AccountRow> = sqlx::query_as(BY_NAME)
            .bind(&account.name)
            .fetch_optional(&mut *transaction)
            .await?;
        let known = row.map(account_from).transpose()?;
        if known.is_none_or(|(known, _)| known != *account) {
            return Ok(false);
        }
        sqlx::query("DELETE FROM account_session WHERE expires_at <= $1")
            .bind(seconds(now))
            .execute(&mut *transaction)
            .await?;
        sqlx::query(
            "INSERT INTO account_session (sha256, account, used_at, expires_at)
             VALUES ($1, $2, $3, $4)",
        )
        .bind(sha256.as_slice())
        .bind(&account.name)
        .bind(seconds(now))
        .bind(seconds(expires_at))
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "DELETE FROM account_session WHERE account = $1 AND sha256 NOT IN
                 (SELECT sha256 FROM account_session WHERE account = $1
                  ORDER BY used_at DESC, expires_at DESC LIMIT $2)",
        )
        .bind(&account.name)
        .bind(i64::from(Store::MAX_SESSIONS_PER_ACCOUNT))
        .execute(&mut *transaction)
        .await?;
        let deed = Deed::done("account.login", &account.name, "session");
        self.commit(transaction, deed).await?;
        Ok(true)
    }

    pub(crate) async fn session(
        &self,
        sha256: &[u8; 32],
        now: UnixTime,
        idle_since: UnixTime,
    ) -> Result<Option<Account>, StoreError> {
        let session: Option<(String, i64)> = sqlx::query_as(
            "SELECT account, used_at FROM account_session
             WHERE sha256 = $1 AND expires_at > $2 AND used_at > $3",
        )
        .bind(sha256.as_slice())
        .bind(seconds(now))
        .bind(seconds(idle_since))
        .fetch_optional(&self.pool)
        .await?;
        let Some((name, used_at)) = session else {
            return Ok(None);
        };
        if time(used_at)?.plus_secs(USED_EVERY_SECS) <= now {
            // A power loss may take it back: the session then ends a little early.
            sqlx::query("UPDATE account_session SET used_at = $2 WHERE sha256 = $1")
                .bind(sha256.as_slice())
                .bind(seconds(now))
                .execute(&self.relaxed)
                .await?;
        }
        let known = self.account(&name).await?;
        Ok(known.map(|(account, _)| account))
    }

    pub(crate) async fn remove_session(&self, sha256: &[u8; 32]) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        let account: Option<String> =
            sqlx::query_scalar("DELETE FROM account_session WHERE sha256 = $1 RETURNING account")
                .bind(sha256.as_slice())
                .fetch_optional(&mut *transaction)
                .await?;
        let Some(account) = account else {
            return Ok(());
        };
        let deed = Deed::done("account.logout", &account, "");
        self.commit(transaction, deed).await
    }
}

async fn end_sessions(
    transaction: &mut sqlx::Transaction<'static, super::Engine>,
    account: &str,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM account_session WHERE account = $1")
        .bind(account)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

fn account_from(row: AccountRow) -> Result<(Account, Option<PasswordHash>), StoreError> {
    let (name, role, owner, password, certificate, created_at) = row;
    let role = match (role.as_str(), owner) {
        ("administrator", None) => Role::Administrator,
        ("auditor", None) => Role::Auditor,
        ("owner", Some(owner)) => Role::Owner(owner),
        _ => return Err(corrupt("account")),
    };
    let certificate: Option<[u8; 32]> = certificate
        .map(|bytes: Vec<u8>| bytes.try_into().map_err(|_| corrupt("account")))
        .transpose()?;
    let proofs = [
        password.as_deref().unwrap_or_default().as_bytes(),
        certificate.as_ref().map_or(&[][..], <[u8; 32]>::as_slice),
    ];
    let stamp = sha256_of(&proofs.join(&0));
    let password = password.map(PasswordHash::from_phc);
    let account = Account {
        name,
        role,
        has_password: password.is_some(),
        certificate,
        created_at: time(created_at)?,
        stamp,
    };
    Ok((account, password))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Owner;

    const NOW: UnixTime = UnixTime(1_000_000);
    const LATER: UnixTime = UnixTime(2_000_000);

    async fn store(directory: &tempfile::TempDir) -> Store {
        Store::open(&directory.path().join("as.sqlite"))
            .await
            .unwrap()
    }

    fn new(name: &str, role: Role) -> NewAccount {
        NewAccount {
            name: name.to_owned(),
            role,
            password: Some(PasswordHash::from_phc("phc".to_owned())),
            certificate: None,
        }
    }

    #[tokio::test]
    async fn an_account_is_what_it_was_made_as_and_names_and_certificates_stand_once() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory).await;
        let alice = NewAccount {
            certificate: Some([7; 32]),
            ..new("alice", Role::Administrator)
        };
        store.add_account(&alice, NOW).await.unwrap();
        let (account, password) = store.account("alice").await.unwrap().unwrap();
        assert_eq!(account.role, Role::Administrator);
        assert_eq!(account.created_at, NOW);
        assert_eq!(password.unwrap().as_phc(), "phc");
        let by_certificate = store.account_of_certificate(&[7; 32]).await.unwrap();
        assert_eq!(by_certificate, Some(account));
        let again = store.add_account(&new("alice", Role::Auditor), NOW).await;
        assert!(matches!(again, Err(StoreError::Exists(..))));
        let same_certificate = NewAccount {
            certificate: Some([7; 32]),
            ..new("bob", Role::Auditor)
        };
        let refused = store.add_account(&same_certificate, NOW).await;
        assert!(matches!(refused, Err(StoreError::Exists(..))));
    }

    #[tokio::test]
    async fn an_account_needs_a_name_that_basic_can_carry_and_an_owner_that_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory).await;
        for name in ["", "a:b", "a b", "a/b"] {
            let refused = store.add_account(&new(name, Role::Auditor), NOW).await;
            assert!(matches!(refused, Err(StoreError::Invalid(..))), "{name}");
        }
        let stranger = new("a", Role::Owner("nobody".to_owned()));
        let refused = store.add_account(&stranger, NOW).await;
        assert!(matches!(refused, Err(StoreError::NotFound(..))));
    }

    #[tokio::test]
    async fn a_session_ends_with_its_time_its_idleness_another_password_and_its_account() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory).await;
        let account = new("alice", Role::Administrator);
        store.add_account(&account, NOW).await.unwrap();
        let begin = async |sha256: [u8; 32]| {
            let (account, _) = store.account("alice").await.unwrap().unwrap();
            let begun = store.add_session(&account, &sha256, (NOW, LATER)).await;
            assert!(begun.unwrap());
        };
        let holds = async |sha256: [u8; 32], now: UnixTime, idle_since: UnixTime| {
            let found = store.session(&sha256, (now, idle_since)).await.unwrap();
            found.is_some()
        };
        begin([1; 32]).await;
        assert!(holds([1; 32], NOW, UnixTime(0)).await);
        assert!(!holds([2; 32], NOW, UnixTime(0)).await);
        assert!(!holds([1; 32], LATER, UnixTime(0)).await);
        assert!(!holds([1; 32], NOW, NOW).await);
        // Used later, it is idle later.
        let used = NOW.plus_secs(USED_EVERY_SECS);
        assert!(holds([1; 32], used, UnixTime(0)).await);
        assert!(holds([1; 32], used, NOW).await);
        let password = PasswordHash::from_phc("other".to_owned());
        store.set_password("alice", &password).await.unwrap();
        assert!(!holds([1; 32], NOW, UnixTime(0)).await);
        // Whoever proved the old password just before it was changed begins no session by it.
        let (before, _) = store.account("alice").await.unwrap().unwrap();
        begin([3; 32]).await;
        store.set_certificate("alice", [9; 32]).await.unwrap();
        assert!(!holds([3; 32], NOW, UnixTime(0)).await);
        let outdated = store.add_session(&before, &[6; 32], (NOW, LATER)).await;
        assert!(!outdated.unwrap());
        begin([4; 32]).await;
        store.remove_session(&[4; 32]).await.unwrap();
        assert!(!holds([4; 32], NOW, UnixTime(0)).await);
        begin([5; 32]).await;
        store.remove_account("alice").await.unwrap();
        assert!(!holds([5; 32], NOW, UnixTime(0)).await);
    }

    #[tokio::test]
    async fn past_the_bound_the_session_that_was_not_used_for_longest_ends() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory).await;
        let account = new("alice", Role::Administrator);
        store.add_account(&account, NOW).await.unwrap();
        let (account, _) = store.account("alice").await.unwrap().unwrap();
        for number in 0..=Store::MAX_SESSIONS_PER_ACCOUNT {
            let sha256 = [u8::try_from(number).unwrap(); 32];
            let now = NOW.plus_secs(u64::from(number));
            let begun = store.add_session(&account, &sha256, (now, LATER)).await;
            assert!(begun.unwrap());
        }
        let span = (NOW, UnixTime(0));
        assert!(store.session(&[0; 32], span).await.unwrap().is_none());
        assert!(store.session(&[1; 32], span).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn an_owners_accounts_go_with_the_owner() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory).await;
        let owner = Owner {
            name: "ann".to_owned(),
            trees: Vec::new(),
        };
        store.add_owner(&owner).await.unwrap();
        let account = new("ann-login", Role::Owner("ann".to_owned()));
        store.add_account(&account, NOW).await.unwrap();
        store.remove_owner("ann", &[]).await.unwrap();
        assert!(store.accounts().await.unwrap().is_empty());
    }
}
