//! `/tokens`.

use super::{
    call::{Answer, Call},
    model::{self, Revoked, Token},
    paging::{AFTER, LIMIT, Place},
    problem::Problem,
    route::{Access, Method, Query, QueryKind, Route},
};
use crate::store::{IssuedToken, Revocation};
use serde::Deserialize;

pub(super) const ROUTES: &[Route] = &[
    Route::new(
        (Method::Get, "/tokens"),
        Access::Readers,
        |call| Box::pin(list(call)),
        "Tokens that have not expired, by identifier",
    )
    .query(&[
        LIMIT,
        AFTER,
        Query {
            name: "client",
            about: "Those of this client.",
            kind: QueryKind::Text,
            required: false,
        },
    ])
    .lists::<Token>(),
    Route::new(
        (Method::Post, "/tokens/revoke"),
        Access::Administrators,
        |call| Box::pin(revoke(call)),
        "Revoke one token, or all of a client",
    )
    .takes::<model::Revocation>()
    .answers::<Revoked>(200),
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Selected {
    limit: Option<u32>,
    after: Option<String>,
    client: Option<String>,
}

async fn list(call: Call) -> Result<Answer, Problem> {
    let asked: Selected = call.query()?;
    let place = Place::parse(asked.limit, asked.after.as_deref())?;
    let store = call.store();
    let part = (place.after.as_str(), place.to_read());
    let read = store.tokens_after(asked.client.as_deref(), part, call.now);
    let identifier = |token: &IssuedToken| token.identifier.clone();
    Answer::ok(&place.page(read.await?, identifier, Token::from))
}

async fn revoke(call: Call) -> Result<Answer, Problem> {
    let which = Revocation::try_from(call.body::<model::Revocation>()?)?;
    let revoked = call.store().revoke(&which, call.now).await?;
    call.tell_changes();
    Answer::ok(&Revoked { revoked })
}
