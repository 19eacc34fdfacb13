//! Statements on groups of clients and on resource owners.

use super::{
    Database, Engine, EngineConnection, StoreError, audit::Deed, corrupt, exists_or, found,
    policies, rights,
};
use crate::{
    core::policy::{ownership::is_within, rule::Policy},
    store::{Group, Owner, Store, Tree},
};
use sqlx::Transaction;
use symbolon_mqtt_proto::TopicFilter;

impl Database {
    pub(crate) async fn add_group(&self, name: &str) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        insert_group(&mut transaction, name).await?;
        self.commit(transaction, Deed::done("group.add", name, ""))
            .await
    }

    pub(crate) async fn remove_group(&self, name: &str) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        let members = rights::members_of(&mut transaction, name).await?;
        let done = sqlx::query("DELETE FROM client_group WHERE name = $1")
            .bind(name)
            .execute(&mut *transaction)
            .await?;
        found(done.rows_affected(), "group", name)?;
        rights::revoke_excess(&mut transaction, &members).await?;
        self.commit(transaction, Deed::done("group.remove", name, ""))
            .await
    }

    pub(crate) async fn change_members(
        &self,
        name: &str,
        added: &[String],
        removed: &[String],
    ) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        let known = "SELECT 1 FROM client_group WHERE name = $1";
        exists(&mut transaction, "group", known, name).await?;
        for client_id in removed {
            delete_member(&mut transaction, name, client_id).await?;
        }
        for client_id in added {
            insert_member(&mut transaction, name, client_id).await?;
        }
        // Who comes may be denied something by it.
        let concerned = added.iter().chain(removed).cloned().collect();
        rights::revoke_excess(&mut transaction, &concerned).await?;
        let detail = [("added", added), ("removed", removed)]
            .into_iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(what, names)| format!("{what} {}", names.join(" ")))
            .collect::<Vec<_>>()
            .join("; ");
        let deed = Deed::done("group.members", name, &detail);
        self.commit(transaction, deed).await
    }

    pub(crate) async fn groups(&self) -> Result<Vec<Group>, StoreError> {
        let mut connection = self.pool.acquire().await?;
        all_groups(&mut connection).await
    }

    pub(crate) async fn add_owner(&self, owner: &Owner) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        sqlx::query("INSERT INTO owner (name) VALUES ($1) ON CONFLICT DO NOTHING")
            .bind(&owner.name)
            .execute(&mut *transaction)
            .await?;
        for tree in &owner.trees {
            let known = "SELECT 1 FROM resource_server WHERE audience = $1";
            exists(&mut transaction, "resource server", known, &tree.audience).await?;
            let known = trees_of(&mut transaction, &owner.name, &tree.audience).await?;
            if known.contains(&tree.filter) {
                let filter = tree.filter.as_str().to_owned();
                return Err(StoreError::Exists("tree", filter));
            }
            sqlx::query("INSERT INTO owner_tree (owner, audience, filter) VALUES ($1, $2, $3)")
                .bind(&owner.name)
                .bind(&tree.audience)
                .bind(tree.filter.as_str())
                .execute(&mut *transaction)
                .await?;
        }
        let detail = list(&owner.trees);
        let deed = Deed::done("owner.add", &owner.name, &detail);
        self.commit(transaction, deed).await
    }

    /// Takes these trees of an owner away, and the rules that then lie outside of all that are left. All where none is named.
    pub(crate) async fn remove_owner(
        &self,
        name: &str,
        trees: &[Tree],
    ) -> Result<Vec<Policy>, StoreError> {
        let mut transaction = self.write().await?;
        let granted = policies::all(&mut transaction).await?;
        let granted = granted
            .into_iter()
            .filter(|policy| policy.granted_by.as_deref() == Some(name));
        let gone: Vec<Policy> = if trees.is_empty() {
            let done = sqlx::query("DELETE FROM owner WHERE name = $1")
                .bind(name)
                .execute(&mut *transaction)
                .await?;
            found(done.rows_affected(), "owner", name)?;
            granted.collect()
        } else {
            for tree in trees {
                let done = sqlx::query(
                    "DELETE FROM owner_tree WHERE owner = $1 AND audience = $2 AND filter = $3",
                )
                .bind(name)
                .bind(&tree.audience)
                .bind(tree.filter.as_str())
                .execute(&mut *transaction)
                .await?;
                found(done.rows_affected(), "tree", tree.filter.as_str())?;
            }
            let mut gone = Vec::new();
            for policy in granted {
                let left = trees_of(&mut transaction, name, &policy.audience).await?;
                if !is_within(&policy, &left) {
                    policies::delete(&mut transaction, policy.id).await?;
                    gone.push(policy);
                }
            }
            gone
        };
        for policy in &gone {
            let concerned = rights::clients_of(&mut transaction, &policy.subject).await?;
            rights::revoke_excess(&mut transaction, &concerned).await?;
        }
        let detail = format!("{}; policies gone: {}", list(trees), gone.len());
        let deed = Deed::done("owner.remove", name, &detail);
        self.commit(transaction, deed).await?;
        Ok(gone)
    }

    pub(crate) async fn owners(&self) -> Result<Vec<Owner>, StoreError> {
        let rows: Vec<(String, Option<String>, Option<String>)> = sqlx::query_as(
            "SELECT name, audience, filter FROM owner LEFT JOIN owner_tree ON owner = name
             ORDER BY name, audience, filter",
        )
        .fetch_all(&self.pool)
        .await?;
        let mut owners: Vec<Owner> = Vec::new();
        for (name, audience, filter) in rows {
            if owners.last().is_none_or(|last| last.name != name) {
                let trees = Vec::new();
                owners.push(Owner { name, trees });
            }
            if let (Some(audience), Some(filter), Some(owner)) =
                (audience, filter, owners.last_mut())
            {
                let filter = TopicFilter::parse(&filter).map_err(|_| corrupt("tree"))?;
                owner.trees.push(Tree { audience, filter });
            }
        }
        Ok(owners)
    }
}

pub(super) async fn all_groups(
    connection: &mut EngineConnection,
) -> Result<Vec<Group>, StoreError> {
    let rows: Vec<(String, Option<String>)> = sqlx::query_as(
        "SELECT name, client_id FROM client_group LEFT JOIN client_group_member ON group_name = name
         ORDER BY name, client_id",
    )
    .fetch_all(connection)
    .await?;
    let mut groups: Vec<Group> = Vec::new();
    for (name, member) in rows {
        match groups.last_mut() {
            Some(group) if group.name == name => group.members.extend(member),
            Some(_) | None => groups.push(Group {
                name,
                members: member.into_iter().collect(),
            }),
        }
    }
    Ok(groups)
}

pub(super) async fn insert_group(
    transaction: &mut Transaction<'static, Engine>,
    name: &str,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO client_group (name) VALUES ($1)")
        .bind(name)
        .execute(&mut **transaction)
        .await
        .map_err(|error| exists_or(error, "group", name))?;
    Ok(())
}

pub(super) async fn insert_member(
    transaction: &mut Transaction<'static, Engine>,
    group: &str,
    client_id: &str,
) -> Result<(), StoreError> {
    let known = "SELECT 1 FROM client WHERE client_id = $1";
    exists(transaction, "client", known, client_id).await?;
    let groups: i64 =
        sqlx::query_scalar("SELECT count(*) FROM client_group_member WHERE client_id = $1")
            .bind(client_id)
            .fetch_one(&mut **transaction)
            .await?;
    if usize::try_from(groups).is_ok_and(|count| count >= Store::MAX_GROUPS_PER_CLIENT) {
        return Err(StoreError::TooManyGroups(client_id.to_owned()));
    }
    sqlx::query("INSERT INTO client_group_member (group_name, client_id) VALUES ($1, $2)")
        .bind(group)
        .bind(client_id)
        .execute(&mut **transaction)
        .await
        .map_err(|error| exists_or(error, "member", client_id))?;
    Ok(())
}

pub(super) async fn delete_member(
    transaction: &mut Transaction<'static, Engine>,
    group: &str,
    client_id: &str,
) -> Result<(), StoreError> {
    let done =
        sqlx::query("DELETE FROM client_group_member WHERE group_name = $1 AND client_id = $2")
            .bind(group)
            .bind(client_id)
            .execute(&mut **transaction)
            .await?;
    found(done.rows_affected(), "member", client_id)
}

/// What an owner owns at an audience. The owner must be there.
pub(super) async fn trees_of(
    transaction: &mut Transaction<'static, Engine>,
    owner: &str,
    audience: &str,
) -> Result<Vec<TopicFilter>, StoreError> {
    let known = "SELECT 1 FROM owner WHERE name = $1";
    exists(transaction, "owner", known, owner).await?;
    let filters: Vec<String> =
        sqlx::query_scalar("SELECT filter FROM owner_tree WHERE owner = $1 AND audience = $2")
            .bind(owner)
            .bind(audience)
            .fetch_all(&mut **transaction)
            .await?;
    let filters = filters.iter().map(|filter| TopicFilter::parse(filter));
    filters
        .collect::<Result<_, _>>()
        .map_err(|_| corrupt("tree"))
}

/// Fails where the query finds nothing by this name.
pub(super) async fn exists(
    transaction: &mut Transaction<'static, Engine>,
    what: &'static str,
    query: &'static str,
    name: &str,
) -> Result<(), StoreError> {
    let row: Option<i64> = sqlx::query_scalar(query)
        .bind(name)
        .fetch_optional(&mut **transaction)
        .await?;
    match row {
        Some(_) => Ok(()),
        None => Err(StoreError::NotFound(what, name.to_owned())),
    }
}

fn list(trees: &[Tree]) -> String {
    let trees = trees
        .iter()
        .map(|tree| format!("{} at {}", tree.filter.as_str(), tree.audience));
    trees.collect::<Vec<_>>().join(", ")
}
