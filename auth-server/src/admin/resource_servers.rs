//! `/resource-servers` and `/audience-groups`.

use super::{
    call::{Answer, Call},
    model::{self, AudienceGroup, AudienceGroupMembers, PutResourceServer},
    paging::{AFTER, LIMIT, Paged},
    problem::Problem,
    route::{Access, Method, Route},
};
use crate::store::ResourceServer;

pub(super) const ROUTES: &[Route] = &[
    Route::new(
        (Method::Get, "/resource-servers"),
        Access::Readers,
        |call| Box::pin(list(call)),
        "Resource servers, by audience; of shared keys, the names alone",
    )
    .query(&[LIMIT, AFTER])
    .lists::<model::ResourceServer>(),
    Route::new(
        (Method::Get, "/resource-servers/{audience}"),
        Access::Readers,
        |call| Box::pin(show(call)),
        "A resource server; of shared keys, the names alone",
    )
    .answers::<model::ResourceServer>(200),
    Route::new(
        (Method::Put, "/resource-servers/{audience}"),
        Access::Administrators,
        |call| Box::pin(put(call)),
        "Register a resource server, or change what is named of one",
    )
    .takes::<PutResourceServer>()
    .answers::<model::ResourceServer>(200),
    Route::new(
        (Method::Delete, "/resource-servers/{audience}"),
        Access::Administrators,
        |call| Box::pin(remove(call)),
        "Remove a resource server with its rules; tokens for it run out in their time",
    ),
    Route::new(
        (Method::Get, "/audience-groups"),
        Access::Readers,
        |call| Box::pin(list_groups(call)),
        "Audiences that stand for several resource servers, by name",
    )
    .query(&[LIMIT, AFTER])
    .lists::<AudienceGroup>(),
    Route::new(
        (Method::Post, "/audience-groups/{name}"),
        Access::Administrators,
        |call| Box::pin(add_to_group(call)),
        "Make such an audience, or add resource servers to it",
    )
    .takes::<AudienceGroupMembers>()
    .answers::<AudienceGroup>(200),
    Route::new(
        (Method::Delete, "/audience-groups/{name}"),
        Access::Administrators,
        |call| Box::pin(remove_group(call)),
        "Remove such an audience; its resource servers stay",
    ),
];

async fn list(call: Call) -> Result<Answer, Problem> {
    let place = call.query::<Paged>()?.parse()?;
    let servers = call.store().resource_servers().await?;
    let audience = |server: &ResourceServer| server.audience.clone();
    let page = place.page_of_all(servers, audience, |server| {
        model::ResourceServer::from(&server)
    });
    Answer::ok(&page)
}

async fn show(call: Call) -> Result<Answer, Problem> {
    let audience = call.parameter("audience");
    let server = call.store().resource_server(audience).await?;
    let server = server.ok_or_else(|| not_found(audience))?;
    Answer::ok(&model::ResourceServer::from(&server))
}

async fn put(call: Call) -> Result<Answer, Problem> {
    let asked: PutResourceServer = call.body()?;
    let audience = call.parameter("audience");
    let store = call.store();
    let before = store.resource_server(audience).await?;
    let server = asked.change(audience, before)?;
    store.put_resource_server(&server).await?;
    let stored = store.resource_server(audience).await?;
    let stored = stored.ok_or_else(|| not_found(audience))?;
    Answer::ok(&model::ResourceServer::from(&stored))
}

async fn remove(call: Call) -> Result<Answer, Problem> {
    let audience = call.parameter("audience");
    call.store().remove_resource_server(audience).await?;
    Ok(Answer::done())
}

fn not_found(audience: &str) -> Problem {
    Problem::NotFound("resource server", audience.to_owned())
}

async fn list_groups(call: Call) -> Result<Answer, Problem> {
    let place = call.query::<Paged>()?.parse()?;
    let groups = AudienceGroup::gather(call.store().audience_groups().await?);
    let page = place.page_of_all(groups, |group| group.name.clone(), |group| group);
    Answer::ok(&page)
}

async fn add_to_group(call: Call) -> Result<Answer, Problem> {
    let AudienceGroupMembers { members } = call.body()?;
    let name = call.parameter("name");
    let store = call.store();
    store.add_to_audience_group(name, &members).await?;
    let groups = AudienceGroup::gather(store.audience_groups().await?);
    let group = groups.into_iter().find(|group| group.name == name);
    // One without members is none.
    let group = group.ok_or_else(|| Problem::NotFound("audience group", name.to_owned()))?;
    Answer::ok(&group)
}

async fn remove_group(call: Call) -> Result<Answer, Problem> {
    let name = call.parameter("name");
    call.store().remove_audience_group(name).await?;
    Ok(Answer::done())
}
