//! `/groups`.

use super::{
    call::{Answer, Call},
    model::{self, MemberChange, NewGroup},
    paging::{AFTER, LIMIT, Paged},
    problem::Problem,
    route::{Access, Method, Route},
};
use crate::store::Group;

pub(super) const ROUTES: &[Route] = &[
    Route::new(
        (Method::Get, "/groups"),
        Access::Readers,
        |call| Box::pin(list(call)),
        "Groups of clients, by name",
    )
    .query(&[LIMIT, AFTER])
    .lists::<model::Group>(),
    Route::new(
        (Method::Post, "/groups"),
        Access::Administrators,
        |call| Box::pin(add(call)),
        "Make a group without members",
    )
    .takes::<NewGroup>()
    .answers::<model::Group>(201),
    Route::new(
        (Method::Delete, "/groups/{name}"),
        Access::Administrators,
        |call| Box::pin(remove(call)),
        "Remove a group and its rules; its members stay clients",
    ),
    Route::new(
        (Method::Patch, "/groups/{name}/members"),
        Access::Administrators,
        |call| Box::pin(change_members(call)),
        "Add clients to a group and remove others, all or nothing",
    )
    .takes::<MemberChange>()
    .answers::<model::Group>(200),
];

async fn list(call: Call) -> Result<Answer, Problem> {
    let place = call.query::<Paged>()?.parse()?;
    let groups = call.store().groups().await?;
    let page = place.page_of_all(groups, |group| group.name.clone(), model::Group::from);
    Answer::ok(&page)
}

async fn add(call: Call) -> Result<Answer, Problem> {
    let NewGroup { name } = call.body()?;
    call.store().add_group(&name).await?;
    let members = Vec::new();
    Answer::created(&model::Group { name, members })
}

async fn remove(call: Call) -> Result<Answer, Problem> {
    call.store().remove_group(call.parameter("name")).await?;
    call.tell_changes();
    Ok(Answer::done())
}

async fn change_members(call: Call) -> Result<Answer, Problem> {
    let name = call.parameter("name");
    let MemberChange { add, remove } = call.body()?;
    let store = call.store();
    store.change_members(name, &add, &remove).await?;
    call.tell_changes();
    let mut groups = store.groups().await?.into_iter();
    let group = groups.find(|group: &Group| group.name == name);
    let group = group.ok_or_else(|| Problem::NotFound("group", name.to_owned()))?;
    Answer::ok(&model::Group::from(group))
}
