//! A copy of the whole database, and a database from such a copy.

use super::{
    Database, Kind, StoreError,
    audit::Deed,
    sqlite::{prepare_file, unusable},
};
use std::path::Path;

/// How far the sequence numbers of tokens with `exi` jump: those that were used since the copy are not used again (RFC 9200 §5.10.3).
const SEQUENCE_JUMP: i64 = 1 << 32;

impl Database {
    /// Copies what there is at one moment into a new file of mode 0600.
    pub(crate) async fn backup(&self, to: &Path) -> Result<(), StoreError> {
        let path = to.to_str().ok_or_else(|| unusable(to, "not UTF-8"))?;
        if to.exists() {
            return Err(StoreError::Exists("file", path.to_owned()));
        }
        // SQLite writes into an empty file, and would make one that others may read.
        prepare_file(to).map_err(|error| unusable(to, &error.to_string()))?;
        let copied = match self.kind {
            Kind::Sqlite => self.copy_into(path).await,
            Kind::Postgres => self.dump_into(to).await,
        };
        if let Err(error) = copied {
            // Best effort after a failure that is told.
            for end in ["", "-wal", "-shm"] {
                drop(std::fs::remove_file(format!("{path}{end}")));
            }
            return Err(error);
        }
        self.record_own(Deed::done("database.backup", path, ""))
            .await
    }

    async fn copy_into(&self, path: &str) -> Result<(), StoreError> {
        sqlx::query("VACUUM INTO $1")
            .bind(path)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// The copy of a database of PostgreSQL is a file too, so that it can be put into either.
    async fn dump_into(&self, path: &Path) -> Result<(), StoreError> {
        let file = Self::open(&path.into()).await?;
        let filled = file.fill_from(self).await;
        // Also folds the `-wal` file into it.
        file.close().await;
        filled
    }

    /// What a copy needs before it takes the place of the original. Fails where it is not sound.
    pub(crate) async fn revive(&self) -> Result<(), StoreError> {
        let sound: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check(1)")
            .fetch_all(&self.pool)
            .await?;
        if sound != ["ok"] {
            return Err(StoreError::Database(format!(
                "the copy is damaged: {}",
                sound.join(", ")
            )));
        }
        let mut transaction = self.write().await?;
        sqlx::query("UPDATE resource_server SET last_sequence = last_sequence + $1")
            .bind(SEQUENCE_JUMP)
            .execute(&mut *transaction)
            .await?;
        self.commit(transaction, Deed::done("database.restore", "", ""))
            .await
    }
}
