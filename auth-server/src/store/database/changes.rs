//! What one process must know of what others do: that rules changed, that the token revocation list did, that an identifier was seen.

use super::{Database, Engine, StoreError, tokens::seconds};
use sqlx::Transaction;
use symbolon_ace_proto::UnixTime;

/// What is counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Change {
    /// Clients, rules, groups, resource servers: all that a token depends on.
    Rules,
    /// The token revocation list.
    RevocationList,
}

impl Change {
    fn as_str(self) -> &'static str {
        match self {
            Self::Rules => "rules",
            Self::RevocationList => "revocation_list",
        }
    }
}

/// Counts a change, within the transaction that makes it.
pub(super) async fn count(
    transaction: &mut Transaction<'static, Engine>,
    change: Change,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE change SET number = number + 1 WHERE what = $1")
        .bind(change.as_str())
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

impl Database {
    /// How often rules have changed. What is read after this holds as long as the number is the same.
    pub(in crate::store) async fn rules_number(&self) -> Result<i64, StoreError> {
        self.changes(Change::Rules).await
    }

    /// How often the token revocation list has changed.
    pub(in crate::store) async fn list_number(&self) -> Result<i64, StoreError> {
        self.changes(Change::RevocationList).await
    }

    async fn changes(&self, change: Change) -> Result<i64, StoreError> {
        Ok(
            sqlx::query_scalar("SELECT number FROM change WHERE what = $1")
                .bind(change.as_str())
                .fetch_one(&self.pool)
                .await?,
        )
    }

    /// Remembers an identifier until `expires_at`, that second included; `false` where it is remembered already, by whatever process.
    pub(in crate::store) async fn see(
        &self,
        mark: &[u8; 16],
        expires_at: UnixTime,
        now: UnixTime,
    ) -> Result<bool, StoreError> {
        // One statement, so that of two who see it at once one is the second.
        let done = sqlx::query(
            "INSERT INTO seen_identifier (mark, expires_at) VALUES ($1, $2)
             ON CONFLICT (mark) DO UPDATE SET expires_at = excluded.expires_at
                 WHERE seen_identifier.expires_at < $3",
        )
        .bind(mark.as_slice())
        .bind(seconds(expires_at))
        .bind(seconds(now))
        .execute(&self.relaxed)
        .await?;
        Ok(done.rows_affected() == 1)
    }
}
