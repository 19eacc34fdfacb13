//! Statements on rules.

use super::{
    Database, Engine, EngineConnection, StoreError,
    audit::Deed,
    corrupt, found,
    groups::{exists, trees_of},
    rights,
};
use crate::{
    core::policy::{
        ClientId,
        ownership::is_within,
        rule::{Effect, Policy, Rule, Subject, Validity},
    },
    store::Store,
};
use sqlx::{AssertSqlSafe, Transaction};
use symbolon_ace_proto::UnixTime;

pub(super) const COLUMNS: &str = "id, client_id, group_name, effect, audience, filter, publish, subscribe, valid_from, valid_until,
     token_lifetime_secs, granted_by";
/// The rules that bear on a client: its own, and those of its groups.
const OF_CLIENT: &str = "(client_id = $1 OR group_name IN
     (SELECT group_name FROM client_group_member WHERE client_id = $1))";

pub(super) type PolicyRow = (
    i64,
    Option<String>,
    Option<String>,
    String,
    String,
    String,
    i64,
    i64,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<String>,
);

impl Database {
    pub(crate) async fn add_policy(&self, policy: &Policy) -> Result<i64, StoreError> {
        let mut transaction = self.write().await?;
        let id = insert(&mut transaction, policy).await?;
        if policy.effect == Effect::Deny {
            let concerned = rights::clients_of(&mut transaction, &policy.subject).await?;
            rights::revoke_excess(&mut transaction, &concerned).await?;
        }
        let (object, detail) = (id.to_string(), policy.to_string());
        let deed = Deed::done("policy.add", &object, &detail);
        self.commit(transaction, deed).await?;
        Ok(id)
    }

    /// All, or those that bear on a client.
    pub(crate) async fn policies(
        &self,
        client_id: Option<&str>,
    ) -> Result<Vec<Policy>, StoreError> {
        let mut connection = self.pool.acquire().await?;
        match client_id {
            None => all(&mut connection).await,
            Some(client_id) => of_client(&mut connection, client_id).await,
        }
    }

    pub(crate) async fn remove_policy(&self, id: i64) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        let known: Option<PolicyRow> = sqlx::query_as(AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM policy WHERE id = $1"
        )))
        .bind(id)
        .fetch_optional(&mut *transaction)
        .await?;
        let known = known.ok_or_else(|| StoreError::NotFound("policy", id.to_string()))?;
        let policy = policy_from(known)?;
        delete(&mut transaction, id).await?;
        let concerned = rights::clients_of(&mut transaction, &policy.subject).await?;
        rights::revoke_excess(&mut transaction, &concerned).await?;
        let (object, detail) = (id.to_string(), policy.to_string());
        let deed = Deed::done("policy.remove", &object, &detail);
        self.commit(transaction, deed).await
    }

    /// What bears on a client at an audience, placeholders filled in.
    pub(crate) async fn rules(
        &self,
        client_id: &str,
        audience: &str,
    ) -> Result<Vec<Rule>, StoreError> {
        let rows: Vec<PolicyRow> = sqlx::query_as(AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM policy WHERE {OF_CLIENT} AND audience = $2 ORDER BY id"
        )))
        .bind(client_id)
        .bind(audience)
        .fetch_all(&self.pool)
        .await?;
        let client_id = ClientId::parse(client_id).map_err(|_| corrupt("client"))?;
        let filled = rows.into_iter().map(|row| {
            let policy = policy_from(row)?;
            policy.for_client(client_id).map_err(|_| corrupt("policy"))
        });
        filled.collect()
    }
}

pub(super) async fn all(connection: &mut EngineConnection) -> Result<Vec<Policy>, StoreError> {
    let rows: Vec<PolicyRow> = sqlx::query_as(AssertSqlSafe(format!(
        "SELECT {COLUMNS} FROM policy ORDER BY id"
    )))
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(policy_from).collect()
}

pub(super) async fn of_client(
    connection: &mut EngineConnection,
    client_id: &str,
) -> Result<Vec<Policy>, StoreError> {
    let rows: Vec<PolicyRow> = sqlx::query_as(AssertSqlSafe(format!(
        "SELECT {COLUMNS} FROM policy WHERE {OF_CLIENT} ORDER BY id"
    )))
    .bind(client_id)
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(policy_from).collect()
}

pub(super) async fn delete(
    transaction: &mut Transaction<'static, Engine>,
    id: i64,
) -> Result<(), StoreError> {
    let done = sqlx::query("DELETE FROM policy WHERE id = $1")
        .bind(id)
        .execute(&mut **transaction)
        .await?;
    found(done.rows_affected(), "policy", &id.to_string())
}

/// Of a checked rule: its number. Whom it is about, where, and who granted it must be there, and an owner must own what it is about.
pub(super) async fn insert(
    transaction: &mut Transaction<'static, Engine>,
    policy: &Policy,
) -> Result<i64, StoreError> {
    let (client, group) = match &policy.subject {
        Subject::Client(name) => {
            let known = "SELECT 1 FROM client WHERE client_id = $1";
            exists(transaction, "client", known, name).await?;
            (Some(name), None)
        }
        Subject::Group(name) => {
            let known = "SELECT 1 FROM client_group WHERE name = $1";
            exists(transaction, "group", known, name).await?;
            (None, Some(name))
        }
    };
    let known = "SELECT 1 FROM resource_server WHERE audience = $1";
    exists(transaction, "resource server", known, &policy.audience).await?;
    if let Some(owner) = &policy.granted_by {
        let trees = trees_of(transaction, owner, &policy.audience).await?;
        if !is_within(policy, &trees) {
            return Err(StoreError::NotOwned(owner.clone(), policy.filter.clone()));
        }
    }
    let policies: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM policy WHERE client_id IS NOT DISTINCT FROM $1 AND group_name IS NOT DISTINCT FROM $2",
    )
    .bind(client)
    .bind(group)
    .fetch_one(&mut **transaction)
    .await?;
    if usize::try_from(policies).is_ok_and(|count| count >= Store::MAX_POLICIES_PER_CLIENT) {
        let name = policy.subject.name().to_owned();
        return Err(StoreError::TooManyPolicies(name));
    }
    refuse_twice(transaction, policy).await?;
    let id: i64 = sqlx::query_scalar(
        "INSERT INTO policy (client_id, group_name, effect, audience, filter, publish, subscribe, valid_from, valid_until,
             token_lifetime_secs, granted_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING id",
    )
    .bind(client)
    .bind(group)
    .bind(name_of(policy.effect))
    .bind(&policy.audience)
    .bind(&policy.filter)
    .bind(i64::from(policy.publish))
    .bind(i64::from(policy.subscribe))
    .bind(to_column(policy.validity.from.map(|time| time.0))?)
    .bind(to_column(policy.validity.until.map(|time| time.0))?)
    .bind(to_column(policy.token_lifetime_secs)?)
    .bind(&policy.granted_by)
    .fetch_one(&mut **transaction)
    .await?;
    Ok(id)
}

/// The same rule comes once. No index says so everywhere: PostgreSQL's have no room for a long filter. Nobody else writes meanwhile.
async fn refuse_twice(
    transaction: &mut Transaction<'static, Engine>,
    policy: &Policy,
) -> Result<(), StoreError> {
    let (client, group) = match &policy.subject {
        Subject::Client(name) => (Some(name), None),
        Subject::Group(name) => (None, Some(name)),
    };
    let same: Option<i64> = sqlx::query_scalar(
        "SELECT id FROM policy
         WHERE client_id IS NOT DISTINCT FROM $1 AND group_name IS NOT DISTINCT FROM $2 AND effect = $3 AND audience = $4
             AND filter = $5 AND publish = $6 AND subscribe = $7 AND valid_from IS NOT DISTINCT FROM $8
             AND valid_until IS NOT DISTINCT FROM $9 AND granted_by IS NOT DISTINCT FROM $10",
    )
    .bind(client)
    .bind(group)
    .bind(name_of(policy.effect))
    .bind(&policy.audience)
    .bind(&policy.filter)
    .bind(i64::from(policy.publish))
    .bind(i64::from(policy.subscribe))
    .bind(to_column(policy.validity.from.map(|time| time.0))?)
    .bind(to_column(policy.validity.until.map(|time| time.0))?)
    .bind(&policy.granted_by)
    .fetch_optional(&mut **transaction)
    .await?;
    match same {
        None => Ok(()),
        Some(_) => Err(StoreError::Exists("policy", policy.filter.clone())),
    }
}

fn name_of(effect: Effect) -> &'static str {
    match effect {
        Effect::Allow => "allow",
        Effect::Deny => "deny",
    }
}

pub(super) fn policy_from(row: PolicyRow) -> Result<Policy, StoreError> {
    let (id, client, group, effect, audience, filter, publish, subscribe, from, until, life, owner) =
        row;
    let time = |secs: Option<i64>| Ok::<_, StoreError>(from_column(secs)?.map(UnixTime));
    Ok(Policy {
        id,
        subject: match (client, group) {
            (Some(name), None) => Subject::Client(name),
            (None, Some(name)) => Subject::Group(name),
            (Some(_), Some(_)) | (None, None) => return Err(corrupt("policy")),
        },
        effect: match effect.as_str() {
            "allow" => Effect::Allow,
            "deny" => Effect::Deny,
            _ => return Err(corrupt("policy")),
        },
        audience,
        filter,
        publish: publish != 0,
        subscribe: subscribe != 0,
        validity: Validity {
            from: time(from)?,
            until: time(until)?,
        },
        token_lifetime_secs: from_column(life)?,
        granted_by: owner,
    })
}

fn to_column(secs: Option<u64>) -> Result<Option<i64>, StoreError> {
    let secs = secs.map(i64::try_from).transpose();
    secs.map_err(|_| corrupt("policy"))
}

fn from_column(secs: Option<i64>) -> Result<Option<u64>, StoreError> {
    let secs = secs.map(u64::try_from).transpose();
    secs.map_err(|_| corrupt("policy"))
}
