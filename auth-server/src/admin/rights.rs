//! `/why` and `/scope`.

use super::{
    call::{Answer, Call},
    model::{self, Granted, Question},
    policies::not_owned,
    problem::Problem,
    route::{Access, Method, Query, QueryKind, Route},
};
use crate::store::Store;
use serde::Deserialize;
use symbolon_mqtt_proto::TopicFilter;

pub(super) const ROUTES: &[Route] = &[
    Route::new(
        (Method::Post, "/why"),
        Access::Rules,
        |call| Box::pin(why(call)),
        "Whether a client may do something, and which rule says so; an owner asks within their trees",
    )
    .takes::<Question>()
    .answers::<model::Explanation>(200),
    Route::new(
        (Method::Get, "/scope"),
        Access::Readers,
        |call| Box::pin(scope(call)),
        "What a client may be granted at a resource server now",
    )
    .query(&[
        Query {
            name: "client",
            about: "The client.",
            kind: QueryKind::Text,
            required: true,
        },
        Query {
            name: "audience",
            about: "The resource server.",
            kind: QueryKind::Text,
            required: true,
        },
    ])
    .answers::<Granted>(200),
];

async fn why(call: Call) -> Result<Answer, Problem> {
    let question: Question = call.body()?;
    let (filter, at) = question.parse(call.now)?;
    let store = call.store();
    if let Some(owner) = call.who.owner() {
        let owns = owns(&store, owner, (&question.audience, &filter)).await?;
        owns.then_some(())
            .ok_or_else(|| not_owned(owner, filter.as_str()))?;
    }
    known(&store, &question.client).await?;
    let who = (question.client.as_str(), question.audience.as_str());
    let permission = question.permission.into();
    let explanation = store.explain(who, permission, &filter, at).await?;
    Answer::ok(&model::Explanation::new(&question, &explanation))
}

async fn owns(
    store: &Store,
    owner: &str,
    (audience, filter): (&str, &TopicFilter),
) -> Result<bool, Problem> {
    let owners = store.owners().await?;
    let mut trees = owners
        .iter()
        .filter(|known| known.name == owner)
        .flat_map(|known| &known.trees);
    Ok(trees.any(|tree| tree.audience == audience && tree.filter.covers(filter)))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    client: String,
    audience: String,
}

async fn scope(call: Call) -> Result<Answer, Problem> {
    let Asked { client, audience } = call.query()?;
    let store = call.store();
    known(&store, &client).await?;
    let scope = store.scope_of(&client, &audience, call.now).await?;
    let cuts = store.cuts(&client, &audience, call.now).await?;
    Answer::ok(&Granted::new((&client, &audience), &scope, &cuts))
}

async fn known(store: &Store, client_id: &str) -> Result<(), Problem> {
    match store.client(client_id).await? {
        Some(_) => Ok(()),
        None => Err(Problem::NotFound("client", client_id.to_owned())),
    }
}
