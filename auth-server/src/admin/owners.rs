//! `/owners`.

use super::{
    call::{Answer, Call},
    model::{self, OwnerRemoved, RemoveOwner},
    paging::{AFTER, LIMIT, Paged},
    problem::Problem,
    route::{Access, Method, Route},
};
use crate::store::Owner;

pub(super) const ROUTES: &[Route] = &[
    Route::new(
        (Method::Get, "/owners"),
        Access::Readers,
        |call| Box::pin(list(call)),
        "Resource owners and what they own, by name",
    )
    .query(&[LIMIT, AFTER])
    .lists::<model::Owner>(),
    Route::new(
        (Method::Post, "/owners"),
        Access::Administrators,
        |call| Box::pin(add(call)),
        "Make an owner, or give one that there is more trees",
    )
    .takes::<model::Owner>()
    .answers::<model::Owner>(200),
    Route::new(
        (Method::Post, "/owners/{name}/remove"),
        Access::Administrators,
        |call| Box::pin(remove(call)),
        "Take trees of an owner away, or, where none is named, the owner; the rules that then lie outside go too, and are told",
    )
    .takes::<RemoveOwner>()
    .answers::<OwnerRemoved>(200),
];

async fn list(call: Call) -> Result<Answer, Problem> {
    let place = call.query::<Paged>()?.parse()?;
    let owners = call.store().owners().await?;
    let name = |owner: &Owner| owner.name.clone();
    let page = place.page_of_all(owners, name, |owner| model::Owner::from(&owner));
    Answer::ok(&page)
}

async fn add(call: Call) -> Result<Answer, Problem> {
    let owner = Owner::try_from(call.body::<model::Owner>()?)?;
    let store = call.store();
    store.add_owner(&owner).await?;
    let mut owners = store.owners().await?.into_iter();
    let known = owners.find(|known| known.name == owner.name);
    let known = known.ok_or(Problem::NotFound("owner", owner.name))?;
    Answer::ok(&model::Owner::from(&known))
}

async fn remove(call: Call) -> Result<Answer, Problem> {
    let trees = call.body::<RemoveOwner>()?.parse()?;
    let name = call.parameter("name");
    let gone = call.store().remove_owner(name, &trees).await?;
    call.tell_changes();
    Answer::ok(&OwnerRemoved {
        policies: gone.iter().map(model::Policy::from).collect(),
    })
}
