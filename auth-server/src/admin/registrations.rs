//! `/initial-access-tokens`: who may register without an administrator.

use super::{
    call::{Answer, Call},
    model::{self, MadeInitialAccessTokens, NewInitialAccessTokens, SecretText},
    paging::{AFTER, LIMIT, Paged},
    problem::Problem,
    route::{Access, Method, Route},
};
use crate::store::{NewInitialAccessToken, Secret};

pub(super) const ROUTES: &[Route] = &[
    Route::new(
        (Method::Get, "/initial-access-tokens"),
        Access::Readers,
        |call| Box::pin(list(call)),
        "Tokens that let clients register themselves and have not expired, without the tokens",
    )
    .query(&[LIMIT, AFTER])
    .lists::<model::InitialAccessToken>(),
    Route::new(
        (Method::Post, "/initial-access-tokens"),
        Access::Administrators,
        |call| Box::pin(add(call)),
        "Make tokens that let clients register themselves, all or none; the one answer that has the tokens",
    )
    .takes::<NewInitialAccessTokens>()
    .answers::<MadeInitialAccessTokens>(201),
    Route::new(
        (Method::Delete, "/initial-access-tokens/{name}"),
        Access::Administrators,
        |call| Box::pin(remove(call)),
        "Remove such a token; clients that registered with it stay",
    ),
];

async fn list(call: Call) -> Result<Answer, Problem> {
    let place = call.query::<Paged>()?.parse()?;
    let tokens = call.store().initial_access_tokens(None, call.now).await?;
    let page = place.page_of_all(
        tokens,
        |token| token.id.clone(),
        model::InitialAccessToken::from,
    );
    Answer::ok(&page)
}

async fn add(call: Call) -> Result<Answer, Problem> {
    let asked: NewInitialAccessTokens = call.body()?;
    let admissions = asked.admissions()?;
    let secrets = admissions.iter().map(|_| Secret::generate());
    let secrets: Vec<Secret> = secrets
        .collect::<Result<_, _>>()
        .map_err(|_| Problem::Ours("the system's source of random numbers failed"))?;
    let names: Vec<String> = admissions
        .iter()
        .map(|(admission, _)| admission.name.to_string())
        .collect();
    let tokens: Vec<NewInitialAccessToken<'_>> = admissions
        .into_iter()
        .zip(&secrets)
        .map(|((admission, uses), secret)| NewInitialAccessToken {
            secret,
            admission,
            uses,
            expires_at: asked.ends(),
        })
        .collect();
    let ids = call
        .store()
        .add_initial_access_tokens(&tokens, call.now)
        .await?;
    let made = ids.into_iter().zip(names).zip(&secrets);
    let tokens = made.map(|((id, name), secret)| model::NewInitialAccessToken {
        id,
        name,
        token: SecretText(secret.as_str().to_owned()),
    });
    Answer::created(&MadeInitialAccessTokens {
        tokens: tokens.collect(),
    })
}

async fn remove(call: Call) -> Result<Answer, Problem> {
    let id = call.parameter("name");
    call.store().remove_initial_access_token(id).await?;
    Ok(Answer::done())
}
