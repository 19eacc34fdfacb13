//! Statements on initial access tokens, and on what clients registered of themselves.

use super::{
    Database, Engine, StoreError,
    audit::Deed,
    corrupt, exists_or, found,
    groups::{exists, insert_member},
    policies,
    tokens::{seconds, time},
};
use crate::store::{
    Client, Store,
    registration::{
        Admission, InitialAccessToken, NewInitialAccessToken, NewName, NewRegistration,
        Registration, Update, id_of,
    },
};
use sqlx::Transaction;
use std::collections::BTreeSet;
use symbolon_ace_proto::UnixTime;

type TokenRow = (String, String, i64, i64, i64);
type RegistrationRow = (Vec<u8>, String, i64, i64);

impl Database {
    pub(in crate::store) async fn add_initial_access_tokens(
        &self,
        tokens: &[NewInitialAccessToken<'_>],
        now: UnixTime,
    ) -> Result<Vec<String>, StoreError> {
        let mut transaction = self.write().await?;
        check_room(&mut transaction, tokens.len()).await?;
        check_destinations(&mut transaction, tokens).await?;
        let mut ids = Vec::with_capacity(tokens.len());
        for token in tokens {
            let id = insert_token(&mut transaction, token, now).await?;
            let detail = format!(
                "{}: {} uses until {}",
                token.admission.name, token.uses, token.expires_at.0
            );
            let deed = Deed::done("initial_access_token.add", &id, &detail);
            self.record_within(&mut transaction, deed).await?;
            ids.push(id);
        }
        self.finish(transaction).await?;
        Ok(ids)
    }

    pub(in crate::store) async fn initial_access_tokens(
        &self,
        client_id: Option<&str>,
        now: UnixTime,
    ) -> Result<Vec<InitialAccessToken>, StoreError> {
        const ALL: &str =
            "SELECT id, admission, uses_left, created_at, expires_at FROM initial_access_token
             WHERE expires_at > $1 ORDER BY id";
        const OF_CLIENT: &str =
            "SELECT id, admission, uses_left, created_at, expires_at FROM initial_access_token
             WHERE expires_at > $1 AND client_id = $2 ORDER BY id";
        let query = match client_id {
            None => sqlx::query_as(ALL).bind(seconds(now)),
            Some(client_id) => sqlx::query_as(OF_CLIENT).bind(seconds(now)).bind(client_id),
        };
        let rows: Vec<TokenRow> = query.fetch_all(&self.pool).await?;
        rows.into_iter().map(token_from).collect()
    }

    pub(in crate::store) async fn remove_initial_access_token(
        &self,
        id: &str,
    ) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        let done = sqlx::query("DELETE FROM initial_access_token WHERE id = $1")
            .bind(id)
            .execute(&mut *transaction)
            .await?;
        found(done.rows_affected(), "initial access token", id)?;
        let deed = Deed::done("initial_access_token.remove", id, "");
        self.commit(transaction, deed).await
    }

    /// Forgets those that have expired; whether there may be more.
    pub(in crate::store) async fn sweep_initial_access_tokens(
        &self,
        now: UnixTime,
        most: i64,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "DELETE FROM initial_access_token WHERE id IN (SELECT id FROM initial_access_token
                 WHERE expires_at <= $1 LIMIT $2)",
        )
        .bind(seconds(now))
        .bind(most)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() >= most.unsigned_abs())
    }

    pub(in crate::store) async fn admission(
        &self,
        sha256: &[u8; 32],
        now: UnixTime,
    ) -> Result<Option<Admission>, StoreError> {
        let admission: Option<String> = sqlx::query_scalar(
            "SELECT admission FROM initial_access_token WHERE sha256 = $1 AND expires_at > $2 AND uses_left > 0",
        )
        .bind(sha256.as_slice())
        .bind(seconds(now))
        .fetch_optional(&self.pool)
        .await?;
        admission.as_deref().map(admission_from).transpose()
    }

    /// Whoever comes first with the last use of a token has it: the statement that takes the use holds the row until all is done.
    pub(in crate::store) async fn register(
        &self,
        registration: &NewRegistration<'_>,
        client: &Client,
        now: UnixTime,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.write().await?;
        let taken: Option<(String, String)> = sqlx::query_as(
            "UPDATE initial_access_token SET uses_left = uses_left - 1
             WHERE sha256 = $1 AND expires_at > $2 AND uses_left > 0 RETURNING id, admission",
        )
        .bind(registration.initial.as_slice())
        .bind(seconds(now))
        .fetch_optional(&mut *transaction)
        .await?;
        let Some((id, admission)) = taken else {
            return Ok(false);
        };
        let admission = admission_from(&admission)?;
        let actor = format!("initial access token {id}");
        let client_id = &client.client_id;
        self.insert_client(&mut transaction, client).await?;
        for policy in admission.policies(client_id) {
            let id = policies::insert(&mut transaction, &policy)
                .await?
                .to_string();
            let detail = policy.to_string();
            let deed = Deed::done("policy.add", &id, &detail);
            self.record_of(&mut transaction, &actor, deed).await?;
        }
        for group in &admission.groups {
            let known = "SELECT 1 FROM client_group WHERE name = $1";
            exists(&mut transaction, "group", known, group).await?;
            insert_member(&mut transaction, group, client_id).await?;
        }
        sqlx::query(
            "INSERT INTO registration (client_id, sha256, metadata, refresh_tokens, registered_at)
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(client_id)
        .bind(registration.sha256.as_slice())
        .bind(registration.metadata)
        .bind(i64::from(admission.refresh_tokens))
        .bind(seconds(now))
        .execute(&mut *transaction)
        .await?;
        let detail = match admission.groups.as_slice() {
            [] => String::new(),
            groups => format!("groups {}", groups.join(" ")),
        };
        let deed = Deed::done("client.register", client_id, &detail);
        self.record_of(&mut transaction, &actor, deed).await?;
        self.finish(transaction).await?;
        Ok(true)
    }

    pub(in crate::store) async fn registration(
        &self,
        client_id: &str,
    ) -> Result<Option<Registration>, StoreError> {
        let row: Option<RegistrationRow> = sqlx::query_as(
            "SELECT sha256, metadata, refresh_tokens, registered_at FROM registration WHERE client_id = $1",
        )
        .bind(client_id)
        .fetch_optional(&self.pool)
        .await?;
        let Some((sha256, metadata, refresh_tokens, registered_at)) = row else {
            return Ok(None);
        };
        Ok(Some(Registration {
            sha256: sha256.try_into().map_err(|_| corrupt("registration"))?,
            metadata,
            refresh_tokens: refresh_tokens != 0,
            registered_at: time(registered_at)?,
        }))
    }

    /// Refresh tokens of a client that has none any more go.
    pub(in crate::store) async fn update_registration(
        &self,
        update: &Update<'_>,
        client: &Client,
    ) -> Result<bool, StoreError> {
        let client_id = &client.client_id;
        let mut transaction = self.write().await?;
        let done = sqlx::query(
            "UPDATE registration SET sha256 = $1, metadata = $2 WHERE client_id = $3 AND sha256 = $4",
        )
        .bind(update.sha256.as_slice())
        .bind(update.metadata)
        .bind(client_id)
        .bind(update.before.as_slice())
        .execute(&mut *transaction)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        let (method, data) = client.authentication.to_columns();
        sqlx::query(
            "UPDATE client SET auth_method = $1, auth_data = $2, pop_algorithm = $3, refresh_tokens = $4
             WHERE client_id = $5",
        )
        .bind(method)
        .bind(data)
        .bind(client.pop_algorithm.as_str())
        .bind(i64::from(client.refresh_tokens))
        .bind(client_id)
        .execute(&mut *transaction)
        .await?;
        if !client.refresh_tokens {
            sqlx::query("DELETE FROM refresh_token WHERE client_id = $1")
                .bind(client_id)
                .execute(&mut *transaction)
                .await?;
        }
        let detail = client.authentication.method_name();
        let deed = Deed::done("client.update", client_id, detail);
        self.commit(transaction, deed).await?;
        Ok(true)
    }
}

async fn check_room(
    transaction: &mut Transaction<'static, Engine>,
    more: usize,
) -> Result<(), StoreError> {
    let there: i64 = sqlx::query_scalar("SELECT count(*) FROM initial_access_token")
        .fetch_one(&mut **transaction)
        .await?;
    let there = usize::try_from(there).unwrap_or(usize::MAX);
    if there.saturating_add(more) <= Store::MAX_INITIAL_ACCESS_TOKENS {
        return Ok(());
    }
    let most = Store::MAX_INITIAL_ACCESS_TOKENS;
    let why = format!("there would be more than {most} of them");
    Err(StoreError::Invalid(
        "initial access token",
        "new".to_owned(),
        why,
    ))
}

/// Each audience and each group once, however many tokens name it.
async fn check_destinations(
    transaction: &mut Transaction<'static, Engine>,
    tokens: &[NewInitialAccessToken<'_>],
) -> Result<(), StoreError> {
    let audiences: BTreeSet<&str> = tokens
        .iter()
        .map(|token| token.admission.audience.as_str())
        .collect();
    for audience in audiences {
        let known = "SELECT 1 FROM resource_server WHERE audience = $1";
        exists(transaction, "resource server", known, audience).await?;
    }
    let groups = tokens.iter().flat_map(|token| &token.admission.groups);
    for group in groups.collect::<BTreeSet<_>>() {
        let known = "SELECT 1 FROM client_group WHERE name = $1";
        exists(transaction, "group", known, group).await?;
    }
    Ok(())
}

async fn insert_token(
    transaction: &mut Transaction<'static, Engine>,
    token: &NewInitialAccessToken<'_>,
    now: UnixTime,
) -> Result<String, StoreError> {
    let sha256 = token.secret.sha256();
    let id = id_of(&sha256);
    let client_id = match &token.admission.name {
        NewName::Exactly(name) => {
            let client: Option<i64> =
                sqlx::query_scalar("SELECT 1 FROM client WHERE client_id = $1")
                    .bind(name)
                    .fetch_optional(&mut **transaction)
                    .await?;
            if client.is_some() {
                return Err(StoreError::Exists("client", name.clone()));
            }
            Some(name)
        }
        NewName::Beginning(_) => None,
    };
    let admission = serde_json::to_string(&token.admission)
        .map_err(|error| StoreError::Database(error.to_string()))?;
    let uses = i64::try_from(token.uses).map_err(|_| corrupt("initial access token"))?;
    sqlx::query(
        "INSERT INTO initial_access_token (id, sha256, admission, client_id, uses_left, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(&id)
    .bind(sha256.as_slice())
    .bind(admission)
    .bind(client_id)
    .bind(uses)
    .bind(seconds(now))
    .bind(seconds(token.expires_at))
    .execute(&mut **transaction)
    .await
    .map_err(|error| exists_or(error, "initial access token", &id))?;
    Ok(id)
}

fn admission_from(json: &str) -> Result<Admission, StoreError> {
    serde_json::from_str(json).map_err(|_| corrupt("initial access token"))
}

fn token_from(row: TokenRow) -> Result<InitialAccessToken, StoreError> {
    let (id, admission, uses_left, created_at, expires_at) = row;
    Ok(InitialAccessToken {
        id,
        admission: admission_from(&admission)?,
        uses_left: u64::try_from(uses_left).map_err(|_| corrupt("initial access token"))?,
        created_at: time(created_at)?,
        expires_at: time(expires_at)?,
    })
}
