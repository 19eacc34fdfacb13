//! Rights that shrink do so at once: a token that says more than the rules now allow is revoked with the change that takes it away.

use super::{Engine, StoreError, corrupt, policies, revocations};
use crate::{
    core::policy::{ClientId, exceeds, rule::Rule, rule::Subject},
    issuing::now,
    store::Revocation,
};
use sqlx::Transaction;
use std::collections::{BTreeMap, BTreeSet};
use symbolon_ace_proto::{IntrospectionResponse, Scope, UnixTime};

/// A token that is good: its hash, its audience, what it says.
type GoodRow = (Vec<u8>, String, String);

/// Who a rule is about.
pub(super) async fn clients_of(
    transaction: &mut Transaction<'static, Engine>,
    subject: &Subject,
) -> Result<BTreeSet<String>, StoreError> {
    match subject {
        Subject::Client(name) => Ok(BTreeSet::from([name.clone()])),
        Subject::Group(name) => members_of(transaction, name).await,
    }
}

/// The clients of a group.
pub(super) async fn members_of(
    transaction: &mut Transaction<'static, Engine>,
    group: &str,
) -> Result<BTreeSet<String>, StoreError> {
    let members: Vec<String> =
        sqlx::query_scalar("SELECT client_id FROM client_group_member WHERE group_name = $1")
            .bind(group)
            .fetch_all(&mut **transaction)
            .await?;
    Ok(members.into_iter().collect())
}

/// Revokes the tokens of these clients that say more than the rules allow now, within the change of the rules; how many those were. What is
/// left of a client's rights it gets with its next token.
pub(super) async fn revoke_excess(
    transaction: &mut Transaction<'static, Engine>,
    clients: &BTreeSet<String>,
) -> Result<u64, StoreError> {
    let now = now();
    let mut revoked = 0;
    for client_id in clients {
        let good: Vec<GoodRow> = sqlx::query_as(
            "SELECT sha256, audience, answer FROM token
             WHERE client_id = $1 AND revoked_at IS NULL AND expires_at > $2",
        )
        .bind(client_id)
        .bind(super::tokens::seconds(now))
        .fetch_all(&mut **transaction)
        .await?;
        if good.is_empty() {
            continue;
        }
        let rules = rules_of(transaction, client_id).await?;
        for (sha256, audience, answer) in good {
            let scope = scope_of(&answer)?;
            if is_excess(transaction, &rules, (&audience, &scope), now).await? {
                let sha256 = sha256.try_into().map_err(|_| corrupt("token"))?;
                let which = Revocation::Sha256(sha256);
                revoked += revocations::revoke_within(transaction, &which, now).await?;
            }
        }
    }
    Ok(revoked)
}

/// All rules that bear on a client, by audience.
async fn rules_of(
    transaction: &mut Transaction<'static, Engine>,
    client_id: &str,
) -> Result<BTreeMap<String, Vec<Rule>>, StoreError> {
    let name = ClientId::parse(client_id).map_err(|_| corrupt("client"))?;
    let mut rules: BTreeMap<String, Vec<Rule>> = BTreeMap::new();
    for policy in policies::of_client(transaction, client_id).await? {
        let rule = policy.for_client(name).map_err(|_| corrupt("policy"))?;
        rules.entry(policy.audience).or_default().push(rule);
    }
    Ok(rules)
}

/// A token for a group of resource servers says what is allowed at each of them.
async fn is_excess(
    transaction: &mut Transaction<'static, Engine>,
    rules: &BTreeMap<String, Vec<Rule>>,
    (audience, scope): (&str, &Scope),
    now: UnixTime,
) -> Result<bool, StoreError> {
    let mut members: Vec<String> =
        sqlx::query_scalar("SELECT audience FROM audience_group WHERE name = $1")
            .bind(audience)
            .fetch_all(&mut **transaction)
            .await?;
    if members.is_empty() {
        members.push(audience.to_owned());
    }
    let none = Vec::new();
    let mut rules = members.iter().map(|one| rules.get(one).unwrap_or(&none));
    Ok(rules.any(|rules| exceeds(scope, rules, now)))
}

fn scope_of(answer: &str) -> Result<Scope, StoreError> {
    match IntrospectionResponse::from_json(answer.as_bytes()) {
        Ok(IntrospectionResponse::Active(token)) => Ok(token.scope.unwrap_or_default()),
        Ok(IntrospectionResponse::Inactive) | Err(_) => Err(corrupt("token")),
    }
}
