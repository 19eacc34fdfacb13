//! What one process must know of what others do: that the token revocation list changed, that an identifier was seen.

use super::{Database, Engine, StoreError, tokens::seconds};
use sqlx::Transaction;
use symbolon_ace_proto::UnixTime;

/// Counts a change of the token revocation list, within the transaction that makes it.
pub(super) async fn count(
    transaction: &mut Transaction<'static, Engine>,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE change SET number = number + 1 WHERE what = 'revocation_list'")
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

impl Database {
    /// How often the token revocation list has changed.
    pub(in crate::store) async fn list_number(&self) -> Result<i64, StoreError> {
        Ok(
            sqlx::query_scalar("SELECT number FROM change WHERE what = 'revocation_list'")
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
