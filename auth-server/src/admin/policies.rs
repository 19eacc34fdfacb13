//! `/policies`.

use super::{
    call::{Answer, Call},
    model::{self, Apply, NewPolicy},
    paging::{AFTER, LIMIT, Place},
    problem::Problem,
    route::{Access, Method, Query, QueryKind, Route},
};
use crate::store::{Desired, Policy, Selection, StoreError};
use serde::Deserialize;

const SELECTION: &[Query] = &[
    LIMIT,
    AFTER,
    Query {
        name: "client",
        about: "Those that bear on this client: its own, and those of its groups.",
        kind: QueryKind::Text,
        required: false,
    },
    Query {
        name: "group",
        about: "Those of this group.",
        kind: QueryKind::Text,
        required: false,
    },
    Query {
        name: "audience",
        about: "Those at this audience.",
        kind: QueryKind::Text,
        required: false,
    },
];

pub(super) const ROUTES: &[Route] = &[
    Route::new(
        (Method::Get, "/policies"),
        Access::Rules,
        |call| Box::pin(list(call)),
        "Rules in the order they were added; an owner sees those that they granted",
    )
    .query(SELECTION)
    .lists::<model::Policy>(),
    Route::new(
        (Method::Post, "/policies"),
        Access::Grantors,
        |call| Box::pin(add(call)),
        "Add a rule; an owner adds it in their own name, within their trees",
    )
    .takes::<NewPolicy>()
    .answers::<model::Policy>(201),
    Route::new(
        (Method::Delete, "/policies/{id}"),
        Access::Grantors,
        |call| Box::pin(remove(call)),
        "Remove a rule; an owner removes those that they granted",
    ),
    Route::new(
        (Method::Post, "/policies/apply"),
        Access::Administrators,
        |call| Box::pin(apply(call)),
        "Make groups, members and rules as they shall be, all or nothing, or say what that would change and who would lose what",
    )
    .takes::<Apply>()
    .answers::<model::Plan>(200),
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Selected {
    limit: Option<u32>,
    after: Option<String>,
    client: Option<String>,
    group: Option<String>,
    audience: Option<String>,
}

async fn list(call: Call) -> Result<Answer, Problem> {
    let asked: Selected = call.query()?;
    let place = Place::parse(asked.limit, asked.after.as_deref())?;
    let which = Selection {
        client: asked.client.as_deref(),
        group: asked.group.as_deref(),
        audience: asked.audience.as_deref(),
        owner: call.who.owner(),
    };
    let store = call.store();
    let read = store.policies_after(which, place.number()?, place.to_read());
    let number = |policy: &Policy| policy.id.to_string();
    let page = place.page(read.await?, number, |policy| model::Policy::from(&policy));
    Answer::ok(&page)
}

async fn add(call: Call) -> Result<Answer, Problem> {
    let mut policy = Policy::try_from(call.body::<NewPolicy>()?)?;
    if let Some(owner) = call.who.owner() {
        let named = policy.granted_by.as_deref();
        if named.is_some_and(|named| named != owner) {
            return Err(Problem::Forbidden);
        }
        policy.granted_by = Some(owner.to_owned());
    }
    policy.id = call.store().add_policy(&policy).await?;
    // A deny takes rights away.
    call.tell_changes();
    Answer::created(&model::Policy::from(&policy))
}

async fn remove(call: Call) -> Result<Answer, Problem> {
    let id = call.parameter("id");
    let not_found = || Problem::NotFound("policy", id.to_owned());
    let number: i64 = id.parse().map_err(|_| not_found())?;
    let store = call.store();
    if let Some(owner) = call.who.owner() {
        // A number is never given twice, so that what is removed is what was looked at.
        let policy = store.policy(number).await?.ok_or_else(not_found)?;
        if policy.granted_by.as_deref() != Some(owner) {
            // Of others' rules an owner learns nothing, not even that they are there.
            return Err(not_found());
        }
    }
    store.remove_policy(number).await?;
    call.tell_changes();
    Ok(Answer::done())
}

async fn apply(call: Call) -> Result<Answer, Problem> {
    let Apply { desired, dry_run } = call.body()?;
    let desired = Desired::try_from(desired)?;
    let store = call.store();
    // Before it: afterwards those that lost something are revoked.
    let tokens = store.tokens(None, call.now).await?;
    let (plan, losses) = store.apply(&desired, dry_run, call.now).await?;
    if !dry_run {
        call.tell_changes();
    }
    Answer::ok(&model::Plan::new(&plan, &losses, &tokens, dry_run))
}

/// What an owner must own all of.
pub(super) fn not_owned(owner: &str, filter: &str) -> Problem {
    StoreError::NotOwned(owner.to_owned(), filter.to_owned()).into()
}
