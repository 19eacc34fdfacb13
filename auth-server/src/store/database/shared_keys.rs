//! Statements about the keys that are shared with resource servers, while they rotate.

use super::{Database, Deed, EngineConnection, corrupt};
use crate::{
    core::shared_keys::{KeyPurpose, SharedKey, SharedKeyRing},
    store::{ResourceServer, StoreError},
};
use symbolon_ace_proto::{SymmetricKey, UnixTime};

type Row = (String, String, Vec<u8>, i64, Option<i64>);

impl Database {
    /// All of a resource server; none where they never rotated.
    pub(in crate::store) async fn shared_keys(
        &self,
        audience: &str,
    ) -> Result<Vec<SharedKey>, StoreError> {
        let mut connection = self.pool.acquire().await?;
        select(&mut connection, audience).await
    }

    /// Changes those for one purpose; `server` is what there is to begin with. What was done goes into the audit log.
    pub(in crate::store) async fn change_shared_keys(
        &self,
        server: &ResourceServer,
        begin: SharedKeyRing,
        how: impl FnOnce(&mut SharedKeyRing) -> Result<String, StoreError> + Send,
    ) -> Result<SharedKeyRing, StoreError> {
        let mut transaction = self.write().await?;
        let known = select(&mut transaction, &server.audience).await?;
        let purpose = begin.purpose();
        let mut ring = SharedKeyRing::of(purpose, &known);
        if ring.is_empty() {
            ring = begin;
        }
        let done = how(&mut ring)?;
        delete(&mut transaction, &server.audience, purpose).await?;
        for key in ring.all() {
            insert(&mut transaction, &server.audience, key).await?;
        }
        let detail = format!("{} {done}", purpose.as_str());
        self.commit(
            transaction,
            Deed::done("rs.rotate", &server.audience, &detail),
        )
        .await?;
        Ok(ring)
    }
}

/// A key that somebody sets takes the place of all that there were; one of those changes nothing.
pub(super) async fn keep_only(
    connection: &mut EngineConnection,
    server: &ResourceServer,
) -> Result<(), StoreError> {
    let known = select(connection, &server.audience).await?;
    for purpose in KeyPurpose::ALL {
        let set = server.shared_key(purpose);
        let is_set = |key: &SharedKey| Some(&key.key) == set;
        let ring = SharedKeyRing::of(purpose, &known);
        if !ring.is_empty() && !ring.all().iter().any(is_set) {
            delete(connection, &server.audience, purpose).await?;
        }
    }
    Ok(())
}

async fn select(
    connection: &mut EngineConnection,
    audience: &str,
) -> Result<Vec<SharedKey>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT purpose, kid, secret, used_from, good_until FROM shared_key WHERE audience = $1
         ORDER BY purpose, used_from",
    )
    .bind(audience)
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(key_from).collect()
}

fn key_from((purpose, kid, secret, from, until): Row) -> Result<SharedKey, StoreError> {
    let wrong = || corrupt("shared key");
    let time = |time: i64| u64::try_from(time).map(UnixTime).map_err(|_| wrong());
    Ok(SharedKey {
        purpose: KeyPurpose::from_name(&purpose).ok_or_else(wrong)?,
        kid,
        key: SymmetricKey::from_bytes(&secret),
        used_from: time(from)?,
        good_until: until.map(time).transpose()?,
    })
}

async fn delete(
    connection: &mut EngineConnection,
    audience: &str,
    purpose: KeyPurpose,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM shared_key WHERE audience = $1 AND purpose = $2")
        .bind(audience)
        .bind(purpose.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

async fn insert(
    connection: &mut EngineConnection,
    audience: &str,
    key: &SharedKey,
) -> Result<(), StoreError> {
    let time = |time: UnixTime| i64::try_from(time.0).unwrap_or(i64::MAX);
    sqlx::query(
        "INSERT INTO shared_key (audience, purpose, kid, secret, used_from, good_until)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(audience)
    .bind(key.purpose.as_str())
    .bind(&key.kid)
    .bind(key.key.as_bytes())
    .bind(time(key.used_from))
    .bind(key.good_until.map(time))
    .execute(connection)
    .await?;
    Ok(())
}
