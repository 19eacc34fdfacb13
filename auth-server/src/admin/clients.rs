//! `/clients`.

use super::{
    call::{Answer, Call},
    model::{self, NewClient},
    paging::{AFTER, LIMIT, Paged},
    problem::Problem,
    route::{Access, Method, Route},
};
use crate::store::{Client, Policy};

pub(super) const ROUTES: &[Route] = &[
    Route::new(
        (Method::Get, "/clients"),
        Access::Readers,
        |call| Box::pin(list(call)),
        "Registered clients, by identifier, each with its own rules",
    )
    .query(&[LIMIT, AFTER])
    .lists::<model::Client>(),
    Route::new(
        (Method::Post, "/clients"),
        Access::Administrators,
        |call| Box::pin(add(call)),
        "Register a client with its rules, all or nothing",
    )
    .takes::<NewClient>()
    .answers::<model::Client>(201),
    Route::new(
        (Method::Get, "/clients/{client_id}"),
        Access::Readers,
        |call| Box::pin(show(call)),
        "A client, with its own rules and those of its groups",
    )
    .answers::<model::Client>(200),
    Route::new(
        (Method::Delete, "/clients/{client_id}"),
        Access::Administrators,
        |call| Box::pin(remove(call)),
        "Remove a client with its rules, and revoke its tokens",
    ),
];

async fn list(call: Call) -> Result<Answer, Problem> {
    let place = call.query::<Paged>()?.parse()?;
    let store = call.store();
    let clients = store.clients_after(&place.after, place.to_read()).await?;
    let name = |(client, _): &(Client, Vec<Policy>)| client.client_id.clone();
    let page = place.page(clients, name, |(client, policies)| {
        model::Client::new(&client, &policies)
    });
    Answer::ok(&page)
}

async fn add(call: Call) -> Result<Answer, Problem> {
    let (client, policies) = call.body::<NewClient>()?.parse()?;
    call.store().add_client(&client, &policies).await?;
    Answer::created(&shown(&call, &client.client_id).await?)
}

async fn show(call: Call) -> Result<Answer, Problem> {
    Answer::ok(&shown(&call, call.parameter("client_id")).await?)
}

async fn remove(call: Call) -> Result<Answer, Problem> {
    let client_id = call.parameter("client_id");
    call.store().remove_client(client_id, call.now).await?;
    call.tell_changes();
    Ok(Answer::done())
}

async fn shown(call: &Call, client_id: &str) -> Result<model::Client, Problem> {
    let store = call.store();
    let client = store.client(client_id).await?;
    let client = client.ok_or_else(|| Problem::NotFound("client", client_id.to_owned()))?;
    let policies = store.policies(Some(client_id)).await?;
    Ok(model::Client::new(&client, &policies))
}
