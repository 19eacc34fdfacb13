//! Statements that read a part of a long list. A name is never empty, so that an empty text stands for none.

use super::{
    ClientRow, Database, client_from, corrupt,
    policies::{COLUMNS, PolicyRow, policy_from},
    tokens::{IssuedRow, issued_from, seconds},
};
use crate::store::{Client, IssuedToken, Policy, Selection, StoreError, Subject};
use sqlx::AssertSqlSafe;
use symbolon_ace_proto::UnixTime;

impl Database {
    pub(in crate::store) async fn clients_after(
        &self,
        after: &str,
        limit: u32,
    ) -> Result<Vec<(Client, Vec<Policy>)>, StoreError> {
        let rows: Vec<ClientRow> = sqlx::query_as(
            "SELECT client_id, auth_method, auth_data, pop_algorithm, refresh_tokens FROM client
             WHERE client_id > $1 ORDER BY client_id LIMIT $2",
        )
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        let clients = rows.into_iter().map(client_from);
        let clients = clients.collect::<Result<Vec<_>, _>>()?;
        let (Some(first), Some(last)) = (clients.first(), clients.last()) else {
            return Ok(Vec::new());
        };
        let rows: Vec<PolicyRow> = sqlx::query_as(AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM policy WHERE client_id >= $1 AND client_id <= $2 ORDER BY id"
        )))
        .bind(&first.client_id)
        .bind(&last.client_id)
        .fetch_all(&self.pool)
        .await?;
        let mut listed: Vec<(Client, Vec<Policy>)> = clients
            .into_iter()
            .map(|client| (client, Vec::new()))
            .collect();
        for row in rows {
            let policy = policy_from(row)?;
            let Subject::Client(name) = &policy.subject else {
                return Err(corrupt("policy"));
            };
            let place = listed.binary_search_by(|(client, _)| client.client_id.cmp(name));
            // One of a client that was added between the two readings is left out.
            if let Some((_, policies)) = place.ok().and_then(|place| listed.get_mut(place)) {
                policies.push(policy);
            }
        }
        Ok(listed)
    }

    pub(in crate::store) async fn policies_after(
        &self,
        which: Selection<'_>,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Policy>, StoreError> {
        let rows: Vec<PolicyRow> = sqlx::query_as(AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM policy WHERE id > $1
                 AND ($2 = '' OR client_id = $2 OR group_name IN
                     (SELECT group_name FROM client_group_member WHERE client_id = $2))
                 AND ($3 = '' OR group_name = $3)
                 AND ($4 = '' OR audience = $4)
                 AND ($5 = '' OR granted_by = $5)
             ORDER BY id LIMIT $6"
        )))
        .bind(after)
        .bind(which.client.unwrap_or_default())
        .bind(which.group.unwrap_or_default())
        .bind(which.audience.unwrap_or_default())
        .bind(which.owner.unwrap_or_default())
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(policy_from).collect()
    }

    pub(in crate::store) async fn tokens_after(
        &self,
        client_id: Option<&str>,
        (after, limit): (&str, u32),
        now: UnixTime,
    ) -> Result<Vec<IssuedToken>, StoreError> {
        let rows: Vec<IssuedRow> = sqlx::query_as(
            "SELECT identifier, client_id, audience, expires_at, revoked_at FROM token
             WHERE identifier > $1 AND ($2 = '' OR client_id = $2) AND expires_at > $3
             ORDER BY identifier LIMIT $4",
        )
        .bind(after)
        .bind(client_id.unwrap_or_default())
        .bind(seconds(now))
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(issued_from).collect()
    }
}
