//! Statements about the token revocation list (RFC 9770): what is on it, and what changed for whom.

use super::{
    Database, Deed, Engine, changes, corrupt,
    tokens::{seconds, time},
};
use crate::store::{
    Revocation, Store, StoreError,
    token::{ListUpdate, Requester, Swept},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sqlx::Transaction;
use symbolon_ace_proto::{TokenHash, UnixTime};

/// The most tokens that one sweep removes; the next goes on.
const SWEPT_AT_ONCE: i64 = 1_000;

type RevokedRow = (Vec<u8>, String, String);

impl Database {
    /// Revokes; how many that were good until now.
    pub(in crate::store) async fn revoke(
        &self,
        which: &Revocation,
        now: UnixTime,
    ) -> Result<u64, StoreError> {
        let mut transaction = self.write().await?;
        let revoked = revoke_within(&mut transaction, which, now).await?;
        let (action, object) = match which {
            Revocation::Identifier(identifier) => ("token.revoke", identifier.clone()),
            Revocation::Sha256(sha256) => ("token.revoke", URL_SAFE_NO_PAD.encode(sha256)),
            Revocation::Client(client_id) => ("client.revoke", client_id.clone()),
        };
        let detail = format!("tokens that were good: {revoked}");
        self.commit(transaction, Deed::done(action, &object, &detail))
            .await?;
        Ok(revoked)
    }

    /// Revokes all refresh tokens of a family, and the tokens they were exchanged for.
    pub(in crate::store) async fn revoke_family(
        &self,
        family: &[u8; 16],
        now: UnixTime,
    ) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        sqlx::query("DELETE FROM refresh_token WHERE family = $1")
            .bind(family.as_slice())
            .execute(&mut *transaction)
            .await?;
        let rows: Vec<RevokedRow> = sqlx::query_as(
            "UPDATE token SET revoked_at = $2 WHERE family = $1 AND revoked_at IS NULL
                 AND expires_at > $2 RETURNING listed_as, client_id, audience",
        )
        .bind(family.as_slice())
        .bind(seconds(now))
        .fetch_all(&mut *transaction)
        .await?;
        let object = rows.first().map_or_else(String::new, |row| row.1.clone());
        let detail = format!("tokens that were good: {}", rows.len());
        tell_all(&mut transaction, &rows, true).await?;
        let deed = Deed::done("refresh_token.revoke", &object, &detail);
        self.commit(transaction, deed).await
    }

    /// What is on the list for this requester.
    pub(in crate::store) async fn revoked(
        &self,
        requester: Requester<'_>,
        now: UnixTime,
    ) -> Result<Vec<TokenHash>, StoreError> {
        let (statement, who) = match requester {
            Requester::Client(client_id) => (
                "SELECT listed_as FROM token WHERE client_id = $1 AND revoked_at IS NOT NULL
                     AND expires_at > $2 ORDER BY revoked_at, listed_as",
                client_id,
            ),
            Requester::ResourceServer(audience) => (
                "SELECT listed_as FROM token WHERE revoked_at IS NOT NULL AND expires_at > $2
                     AND (audience = $1 OR audience IN
                         (SELECT name FROM audience_group WHERE audience = $1))
                 ORDER BY revoked_at, listed_as",
                audience,
            ),
        };
        let hashes: Vec<Vec<u8>> = sqlx::query_scalar(statement)
            .bind(who)
            .bind(seconds(now))
            .fetch_all(&self.pool)
            .await?;
        hashes.iter().map(|hash| hash_from(hash)).collect()
    }

    /// The last updates for this requester, the newest first.
    pub(in crate::store) async fn list_updates(
        &self,
        requester: Requester<'_>,
    ) -> Result<Vec<ListUpdate>, StoreError> {
        let rows: Vec<(i64, Vec<u8>, i64)> = sqlx::query_as(
            "SELECT number, listed_as, added FROM revocation_update WHERE requester = $1
             ORDER BY number DESC",
        )
        .bind(requester.key())
        .fetch_all(&self.pool)
        .await?;
        let update = |(number, hash, added): (i64, Vec<u8>, i64)| {
            Ok(ListUpdate {
                number: time(number)?.0,
                listed_as: hash_from(&hash)?,
                added: added != 0,
            })
        };
        rows.into_iter().map(update).collect()
    }

    /// The number of the last update for this requester.
    pub(in crate::store) async fn last_list_update(
        &self,
        requester: Requester<'_>,
    ) -> Result<Option<u64>, StoreError> {
        let number: Option<i64> =
            sqlx::query_scalar("SELECT max(number) FROM revocation_update WHERE requester = $1")
                .bind(requester.key())
                .fetch_one(&self.pool)
                .await?;
        number
            .map(|number| time(number).map(|time| time.0))
            .transpose()
    }

    /// Forgets what has expired, a part at a time.
    pub(in crate::store) async fn sweep(&self, now: UnixTime) -> Result<Swept, StoreError> {
        let mut transaction = self.write().await?;
        let rows: Vec<RevokedRow> = sqlx::query_as(
            "DELETE FROM token WHERE sha256 IN (SELECT sha256 FROM token WHERE revoked_at IS NOT NULL
                 AND expires_at <= $1 LIMIT $2) RETURNING listed_as, client_id, audience",
        )
        .bind(seconds(now))
        .bind(SWEPT_AT_ONCE)
        .fetch_all(&mut *transaction)
        .await?;
        tell_all(&mut transaction, &rows, false).await?;
        let mut most = rows.len() as u64;
        for statement in [
            "DELETE FROM token WHERE sha256 IN (SELECT sha256 FROM token
                 WHERE expires_at <= $1 AND revoked_at IS NULL LIMIT $2)",
            "DELETE FROM refresh_token WHERE sha256 IN (SELECT sha256 FROM refresh_token
                 WHERE expires_at <= $1 LIMIT $2)",
        ] {
            let done = sqlx::query(statement)
                .bind(seconds(now))
                .bind(SWEPT_AT_ONCE)
                .execute(&mut *transaction)
                .await?;
            most = most.max(done.rows_affected());
        }
        // The second in which one expires is its last.
        let done = sqlx::query(
            "DELETE FROM seen_identifier WHERE mark IN (SELECT mark FROM seen_identifier
                 WHERE expires_at < $1 LIMIT $2)",
        )
        .bind(seconds(now))
        .bind(SWEPT_AT_ONCE)
        .execute(&mut *transaction)
        .await?;
        most = most.max(done.rows_affected());
        self.finish(transaction).await?;
        Ok(Swept {
            list_changed: !rows.is_empty(),
            more: most >= SWEPT_AT_ONCE.unsigned_abs(),
        })
    }
}

/// Revokes tokens within a larger change, refresh tokens of a client too.
pub(super) async fn revoke_within(
    transaction: &mut Transaction<'static, Engine>,
    which: &Revocation,
    now: UnixTime,
) -> Result<u64, StoreError> {
    const RETURNING: &str =
        "AND revoked_at IS NULL AND expires_at > $2 RETURNING listed_as, client_id, audience";
    let column = match which {
        Revocation::Identifier(_) => "identifier",
        Revocation::Sha256(_) => "sha256",
        Revocation::Client(_) => "client_id",
    };
    if let Revocation::Client(client_id) = which {
        sqlx::query("DELETE FROM refresh_token WHERE client_id = $1")
            .bind(client_id)
            .execute(&mut **transaction)
            .await?;
    }
    let statement = format!("UPDATE token SET revoked_at = $2 WHERE {column} = $1 {RETURNING}");
    let query = sqlx::query_as(sqlx::AssertSqlSafe(statement));
    let query = match which {
        Revocation::Identifier(text) | Revocation::Client(text) => query.bind(text),
        Revocation::Sha256(sha256) => query.bind(sha256.as_slice()),
    };
    let rows: Vec<RevokedRow> = query
        .bind(seconds(now))
        .fetch_all(&mut **transaction)
        .await?;
    tell_all(transaction, &rows, true).await?;
    Ok(rows.len() as u64)
}

/// Writes down that these came onto the list, or left it.
async fn tell_all(
    transaction: &mut Transaction<'static, Engine>,
    rows: &[RevokedRow],
    added: bool,
) -> Result<(), StoreError> {
    for row in rows {
        tell(transaction, row, added).await?;
    }
    if !rows.is_empty() {
        changes::count(transaction).await?;
    }
    Ok(())
}

/// Writes an update down for everybody whom it concerns: the client, and each resource server that the token was for.
async fn tell(
    transaction: &mut Transaction<'static, Engine>,
    (hash, client_id, audience): &RevokedRow,
    added: bool,
) -> Result<(), StoreError> {
    let members: Vec<String> =
        sqlx::query_scalar("SELECT audience FROM audience_group WHERE name = $1")
            .bind(audience)
            .fetch_all(&mut **transaction)
            .await?;
    let servers = members.iter().chain(std::iter::once(audience));
    let servers = servers.map(|server| Requester::ResourceServer(server));
    for requester in std::iter::once(Requester::Client(client_id)).chain(servers) {
        tell_one(transaction, requester, (hash, added)).await?;
    }
    Ok(())
}

/// Only those who are registered can ask; of the others nothing is kept.
async fn tell_one(
    transaction: &mut Transaction<'static, Engine>,
    requester: Requester<'_>,
    (hash, added): (&[u8], bool),
) -> Result<(), StoreError> {
    const NEXT: &str = "INSERT INTO revocation_update (requester, number, listed_as, added)
         SELECT $1, coalesce((SELECT max(number) + 1 FROM revocation_update WHERE requester = $1), 0), $2, $3";
    let (who, registered) = match requester {
        Requester::Client(client_id) => (
            client_id,
            "EXISTS (SELECT 1 FROM client WHERE client_id = $4)",
        ),
        Requester::ResourceServer(audience) => (
            audience,
            "EXISTS (SELECT 1 FROM resource_server WHERE audience = $4)",
        ),
    };
    let key = requester.key();
    sqlx::query(sqlx::AssertSqlSafe(format!("{NEXT} WHERE {registered}")))
        .bind(&key)
        .bind(hash)
        .bind(i64::from(added))
        .bind(who)
        .execute(&mut **transaction)
        .await?;
    let most = i64::try_from(Store::MAX_LIST_UPDATES).unwrap_or(i64::MAX);
    sqlx::query(
        "DELETE FROM revocation_update WHERE requester = $1 AND number <=
             (SELECT max(number) FROM revocation_update WHERE requester = $1) - $2",
    )
    .bind(&key)
    .bind(most)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Forgets what was to be told whoever is no longer registered.
pub(super) async fn forget_updates(
    transaction: &mut Transaction<'static, Engine>,
    requester: Requester<'_>,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM revocation_update WHERE requester = $1")
        .bind(requester.key())
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

fn hash_from(bytes: &[u8]) -> Result<TokenHash, StoreError> {
    TokenHash::from_bytes(bytes).ok_or_else(|| corrupt("token"))
}
