//! Statements about resource servers and groups of them.

use super::{Database, Deed, corrupt, exists_or, found, revocations, shared_keys};
use crate::store::{
    ClientAuthentication, Lifetime, Protection, Requester, ResourceServer, Rotation, ServerAccess,
    StoreError, SymmetricKeys, TokenFormat, TokenKind,
};
use sqlx::{Row, any::AnyRow};
use symbolon_ace_proto::{SymmetricKey, cwt::MacKey, jwe::ContentKey};

/// All columns that [`resource_server_from`] reads.
const COLUMNS: &str =
    "audience, token_format, protection, symmetric_keys, lifetime, content_key_kid, content_key,
     mac_key_kid, mac_key, derivation_key, rs_cnf, client_id, auth_method, auth_data";

/// Whether keys of it are in `shared_key`.
const ROTATES: &str = "(SELECT count(*) FROM shared_key
      WHERE shared_key.audience = resource_server.audience) AS rotating";

impl Database {
    /// Registers one, or replaces the one with this audience. Its counter of sequence numbers stays.
    pub(in crate::store) async fn put_resource_server(
        &self,
        server: &ResourceServer,
    ) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        if let Some(access) = &server.access {
            let client: Option<i64> =
                sqlx::query_scalar("SELECT 1 FROM client WHERE client_id = $1")
                    .bind(&access.client_id)
                    .fetch_optional(&mut *transaction)
                    .await?;
            if client.is_some() {
                return Err(StoreError::Exists("client", access.client_id.clone()));
            }
        }
        let access = server
            .access
            .as_ref()
            .map(|access| (&access.client_id, access.authentication.to_columns()));
        let (client_id, columns) = access.unzip();
        let (method, data) = columns.unzip();
        // An update in place, not REPLACE, which would delete the row that policies refer to.
        let statement = format!(
            "INSERT INTO resource_server ({COLUMNS})
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
             ON CONFLICT (audience) DO UPDATE SET token_format = excluded.token_format,
                 protection = excluded.protection, symmetric_keys = excluded.symmetric_keys,
                 lifetime = excluded.lifetime, content_key_kid = excluded.content_key_kid,
                 content_key = excluded.content_key, mac_key_kid = excluded.mac_key_kid,
                 mac_key = excluded.mac_key, derivation_key = excluded.derivation_key,
                 rs_cnf = excluded.rs_cnf, client_id = excluded.client_id,
                 auth_method = excluded.auth_method, auth_data = excluded.auth_data"
        );
        sqlx::query(sqlx::AssertSqlSafe(statement))
            .bind(&server.audience)
            .bind(server.tokens.format.as_str())
            .bind(server.tokens.protection.as_str())
            .bind(server.tokens.symmetric_keys.as_str())
            .bind(server.tokens.lifetime.as_str())
            .bind(server.content_key.as_ref().map(|key| key.kid.as_str()))
            .bind(server.content_key.as_ref().map(|key| key.key.as_bytes()))
            .bind(server.mac_key.as_ref().map(MacKey::kid))
            .bind(server.mac_key.as_ref().map(|key| key.key().as_bytes()))
            .bind(server.derivation_key.as_ref().map(SymmetricKey::as_bytes))
            .bind(server.rs_cnf.as_ref().map(ToString::to_string))
            .bind(client_id)
            .bind(method)
            .bind(data)
            .execute(&mut *transaction)
            .await
            .map_err(|error| {
                let named = client_id.map_or("", String::as_str);
                exists_or(error, "resource server with the identifier", named)
            })?;
        shared_keys::keep_only(&mut transaction, server).await?;
        self.commit(transaction, Deed::done("rs.put", &server.audience, ""))
            .await
    }

    /// Removes one, its policies and its places in groups.
    pub(in crate::store) async fn remove_resource_server(
        &self,
        audience: &str,
    ) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        sqlx::query("DELETE FROM policy WHERE audience = $1")
            .bind(audience)
            .execute(&mut *transaction)
            .await?;
        let done = sqlx::query("DELETE FROM resource_server WHERE audience = $1")
            .bind(audience)
            .execute(&mut *transaction)
            .await?;
        found(done.rows_affected(), "resource server", audience)?;
        let requester = Requester::ResourceServer(audience);
        revocations::forget_updates(&mut transaction, requester).await?;
        self.commit(transaction, Deed::done("rs.remove", audience, ""))
            .await
    }

    pub(in crate::store) async fn resource_servers(
        &self,
        limit: i64,
    ) -> Result<Vec<(ResourceServer, bool)>, StoreError> {
        let statement =
            format!("SELECT {COLUMNS}, {ROTATES} FROM resource_server ORDER BY audience LIMIT $1");
        let rows = sqlx::query(sqlx::AssertSqlSafe(statement))
            .bind(limit)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(with_rotates).collect()
    }

    /// The one with this audience, or those of the group of this name.
    pub(in crate::store) async fn resource_servers_named(
        &self,
        audience: &str,
    ) -> Result<Vec<(ResourceServer, bool)>, StoreError> {
        let statement = format!(
            "SELECT {COLUMNS}, {ROTATES} FROM resource_server WHERE audience = $1
                 OR audience IN (SELECT audience FROM audience_group WHERE name = $1)
             ORDER BY audience"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(statement))
            .bind(audience)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(with_rotates).collect()
    }

    /// The one that authenticates by this identifier.
    pub(in crate::store) async fn resource_server_of(
        &self,
        client_id: &str,
    ) -> Result<Option<(ResourceServer, bool)>, StoreError> {
        let statement =
            format!("SELECT {COLUMNS}, {ROTATES} FROM resource_server WHERE client_id = $1");
        let row = sqlx::query(sqlx::AssertSqlSafe(statement))
            .bind(client_id)
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(with_rotates).transpose()
    }

    /// The next sequence number of a token with `exi` for this resource server.
    pub(in crate::store) async fn next_sequence_number(
        &self,
        audience: &str,
    ) -> Result<u64, StoreError> {
        let number: Option<i64> = sqlx::query_scalar(
            "UPDATE resource_server SET last_sequence = last_sequence + 1 WHERE audience = $1
             RETURNING last_sequence",
        )
        .bind(audience)
        .fetch_optional(&self.pool)
        .await?;
        let number =
            number.ok_or_else(|| StoreError::NotFound("resource server", audience.to_owned()))?;
        u64::try_from(number).map_err(|_| corrupt("sequence number"))
    }

    /// Makes a group, or adds to it. `members` must be registered.
    pub(in crate::store) async fn add_to_audience_group(
        &self,
        name: &str,
        members: &[String],
    ) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        let server: Option<i64> =
            sqlx::query_scalar("SELECT 1 FROM resource_server WHERE audience = $1")
                .bind(name)
                .fetch_optional(&mut *transaction)
                .await?;
        if server.is_some() {
            return Err(StoreError::Exists("resource server", name.to_owned()));
        }
        for member in members {
            let server: Option<i64> =
                sqlx::query_scalar("SELECT 1 FROM resource_server WHERE audience = $1")
                    .bind(member)
                    .fetch_optional(&mut *transaction)
                    .await?;
            if server.is_none() {
                return Err(StoreError::NotFound("resource server", member.clone()));
            }
            sqlx::query(
                "INSERT INTO audience_group (name, audience) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            )
            .bind(name)
            .bind(member)
            .execute(&mut *transaction)
            .await?;
        }
        let added = members.join(" ");
        self.commit(transaction, Deed::done("audience_group.add", name, &added))
            .await
    }

    pub(in crate::store) async fn remove_audience_group(
        &self,
        name: &str,
    ) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        let done = sqlx::query("DELETE FROM audience_group WHERE name = $1")
            .bind(name)
            .execute(&mut *transaction)
            .await?;
        found(done.rows_affected(), "audience group", name)?;
        self.commit(transaction, Deed::done("audience_group.remove", name, ""))
            .await
    }

    /// Name and member, in their order.
    pub(in crate::store) async fn audience_groups(
        &self,
    ) -> Result<Vec<(String, String)>, StoreError> {
        let rows =
            sqlx::query_as("SELECT name, audience FROM audience_group ORDER BY name, audience")
                .fetch_all(&self.pool)
                .await?;
        Ok(rows)
    }
}

/// With whether its keys rotate.
fn with_rotates(row: &AnyRow) -> Result<(ResourceServer, bool), StoreError> {
    let keys: i64 = row.try_get("rotating")?;
    Ok((resource_server_from(row)?, keys > 0))
}

fn resource_server_from(row: &AnyRow) -> Result<ResourceServer, StoreError> {
    let wrong = || corrupt("resource server");
    let text = |name: &str| row.try_get::<Option<String>, _>(name);
    let bytes = |name: &str| row.try_get::<Option<Vec<u8>>, _>(name);
    let symmetric = |key: Option<Vec<u8>>| key.map(|key| SymmetricKey::from_bytes(&key));
    let name = |column: &str| text(column)?.ok_or_else(wrong);
    let content_key = text("content_key_kid")?
        .zip(symmetric(bytes("content_key")?))
        .map(|(kid, key)| ContentKey { kid, key });
    let mac_key = text("mac_key_kid")?
        .zip(symmetric(bytes("mac_key")?))
        .map(|(kid, key)| MacKey::new(&kid, key));
    let rs_cnf = text("rs_cnf")?.map(|text| serde_json::from_str(&text));
    let access = match (
        text("client_id")?,
        text("auth_method")?,
        bytes("auth_data")?,
    ) {
        (Some(client_id), Some(method), Some(data)) => Some(ServerAccess {
            client_id,
            authentication: ClientAuthentication::from_columns(&method, data).ok_or_else(wrong)?,
        }),
        _ => None,
    };
    Ok(ResourceServer {
        audience: name("audience")?,
        tokens: TokenKind {
            format: TokenFormat::from_name(&name("token_format")?).ok_or_else(wrong)?,
            protection: Protection::from_name(&name("protection")?).ok_or_else(wrong)?,
            symmetric_keys: SymmetricKeys::from_name(&name("symmetric_keys")?).ok_or_else(wrong)?,
            lifetime: Lifetime::from_name(&name("lifetime")?).ok_or_else(wrong)?,
        },
        content_key,
        mac_key: mac_key.transpose().map_err(|_| wrong())?,
        derivation_key: symmetric(bytes("derivation_key")?),
        rs_cnf: rs_cnf.transpose().map_err(|_| wrong())?,
        access,
        rotation: Rotation::default(),
    })
}
