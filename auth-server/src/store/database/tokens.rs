//! Statements about tokens that were issued, and about refresh tokens.

use super::{Database, Engine, corrupt};
use crate::store::{
    IssuedToken, Store, StoreError,
    token::{NewRefreshToken, Refresh, RefreshGrant, StoredToken},
};
use sqlx::Transaction;
use symbolon_ace_proto::UnixTime;

pub(super) type IssuedRow = (String, String, String, i64, Option<i64>);
type RefreshRow = (Vec<u8>, String, String, String, i64);

impl Database {
    pub(in crate::store) async fn token(
        &self,
        sha256: &[u8; 32],
    ) -> Result<Option<StoredToken>, StoreError> {
        let row: Option<(String, String, String, i64, Option<i64>)> = sqlx::query_as(
            "SELECT client_id, audience, answer, expires_at, revoked_at FROM token WHERE sha256 = $1",
        )
        .bind(sha256.as_slice())
        .fetch_optional(&self.pool)
        .await?;
        let Some((client_id, audience, answer, expires_at, revoked_at)) = row else {
            return Ok(None);
        };
        Ok(Some(StoredToken {
            client_id,
            audience,
            answer,
            expires_at: time(expires_at)?,
            revoked: revoked_at.is_some(),
        }))
    }

    /// What the newest good token of a client with a key of this name says.
    pub(in crate::store) async fn answer_for_key(
        &self,
        client_id: &str,
        audience: &str,
        kid: &[u8],
        now: UnixTime,
    ) -> Result<Option<String>, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT answer FROM token WHERE client_id = $1 AND pop_kid = $2 AND audience = $3
                 AND expires_at > $4 AND revoked_at IS NULL ORDER BY expires_at DESC LIMIT 1",
        )
        .bind(client_id)
        .bind(kid)
        .bind(audience)
        .bind(seconds(now))
        .fetch_optional(&self.pool)
        .await?)
    }

    pub(in crate::store) async fn tokens(
        &self,
        client_id: Option<&str>,
        now: UnixTime,
    ) -> Result<Vec<IssuedToken>, StoreError> {
        let rows: Vec<IssuedRow> = sqlx::query_as(
            "SELECT identifier, client_id, audience, expires_at, revoked_at FROM token
             WHERE ($1 IS NULL OR client_id = $1) AND expires_at > $2 ORDER BY client_id, expires_at",
        )
        .bind(client_id)
        .bind(seconds(now))
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(issued_from).collect()
    }

    /// Stores one; where the client has too many, the ones that expire first go.
    pub(in crate::store) async fn add_refresh_token(
        &self,
        token: &NewRefreshToken<'_>,
    ) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        insert_refresh_token(&mut transaction, token).await?;
        self.finish(transaction).await
    }

    /// What a client's refresh token stands for. One that was exchanged before takes its whole family with it.
    pub(in crate::store) async fn refresh_token(
        &self,
        sha256: &[u8; 32],
        client_id: &str,
        now: UnixTime,
    ) -> Result<Refresh, StoreError> {
        let row: Option<RefreshRow> = sqlx::query_as(
            "SELECT family, audience, scope, confirmation, used FROM refresh_token
             WHERE sha256 = $1 AND client_id = $2 AND expires_at > $3",
        )
        .bind(sha256.as_slice())
        .bind(client_id)
        .bind(seconds(now))
        .fetch_optional(&self.pool)
        .await?;
        let Some((family, audience, scope, confirmation, used)) = row else {
            return Ok(Refresh::Unknown);
        };
        let family = family.try_into().map_err(|_| corrupt("refresh token"))?;
        if used != 0 {
            self.revoke_family(&family, now).await?;
            return Ok(Refresh::Replayed);
        }
        Ok(Refresh::Grant(RefreshGrant {
            family,
            client_id: client_id.to_owned(),
            audience,
            scope,
            confirmation,
        }))
    }

    /// Puts `next` in the place of the one with the digest `before`; `false` where that was exchanged by somebody else meanwhile.
    pub(in crate::store) async fn rotate_refresh_token(
        &self,
        before: &[u8; 32],
        next: &NewRefreshToken<'_>,
        now: UnixTime,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.write().await?;
        let done = sqlx::query("UPDATE refresh_token SET used = 1 WHERE sha256 = $1 AND used = 0")
            .bind(before.as_slice())
            .execute(&mut *transaction)
            .await?;
        if done.rows_affected() == 0 {
            drop(transaction);
            self.revoke_family(&next.grant.family, now).await?;
            return Ok(false);
        }
        insert_refresh_token(&mut transaction, next).await?;
        self.finish(transaction).await?;
        Ok(true)
    }

    /// The family of a client's refresh token, used or not.
    pub(in crate::store) async fn family_of(
        &self,
        sha256: &[u8; 32],
        client_id: &str,
    ) -> Result<Option<[u8; 16]>, StoreError> {
        let family: Option<Vec<u8>> = sqlx::query_scalar(
            "SELECT family FROM refresh_token WHERE sha256 = $1 AND client_id = $2",
        )
        .bind(sha256.as_slice())
        .bind(client_id)
        .fetch_optional(&self.pool)
        .await?;
        family
            .map(|family| family.try_into().map_err(|_| corrupt("refresh token")))
            .transpose()
    }
}

async fn insert_refresh_token(
    transaction: &mut Transaction<'static, Engine>,
    token: &NewRefreshToken<'_>,
) -> Result<(), StoreError> {
    let grant = token.grant;
    sqlx::query(
        "INSERT INTO refresh_token (sha256, family, client_id, audience, scope, confirmation, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(token.sha256.as_slice())
    .bind(grant.family.as_slice())
    .bind(&grant.client_id)
    .bind(&grant.audience)
    .bind(&grant.scope)
    .bind(&grant.confirmation)
    .bind(seconds(token.expires_at))
    .execute(&mut **transaction)
    .await?;
    let most = i64::try_from(Store::MAX_REFRESH_TOKENS_PER_CLIENT).unwrap_or(i64::MAX);
    sqlx::query(
        "DELETE FROM refresh_token WHERE client_id = $1 AND sha256 NOT IN (SELECT sha256 FROM refresh_token
             WHERE client_id = $1 ORDER BY expires_at DESC, used LIMIT $2)",
    )
    .bind(&grant.client_id)
    .bind(most)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// As it is kept. A time beyond reach is the last one.
pub(super) fn seconds(time: UnixTime) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}

pub(super) fn time(seconds: i64) -> Result<UnixTime, StoreError> {
    let seconds = u64::try_from(seconds).map_err(|_| corrupt("time"))?;
    Ok(UnixTime(seconds))
}

pub(super) fn issued_from(row: IssuedRow) -> Result<IssuedToken, StoreError> {
    let (identifier, client_id, audience, expires_at, revoked_at) = row;
    Ok(IssuedToken {
        identifier,
        client_id,
        audience,
        expires_at: time(expires_at)?,
        revoked_at: revoked_at.map(time).transpose()?,
    })
}
