//! `/login` and `/logout`.

use super::{
    call::{Answer, Call},
    identity::{SESSION_SECS, Who},
    model::{Login, SecretText},
    problem::Problem,
    route::{Access, Method, Route},
};
use crate::store::sha256_of;
use aws_lc_rs::rand;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

pub(super) const ROUTES: &[Route] = &[
    Route::new(
        (Method::Post, "/login"),
        Access::Accounts,
        |call| Box::pin(login(call)),
        "Begin a session: by HTTP Basic or a certificate, not by the token of another session",
    )
    .answers::<Login>(200),
    Route::new(
        (Method::Post, "/logout"),
        Access::Accounts,
        |call| Box::pin(logout(call)),
        "End the session whose token the request came with",
    ),
];

async fn login(call: Call) -> Result<Answer, Problem> {
    // A session that could begin others would never have to end.
    let (Who::Account(account), None) = (&call.who, call.session) else {
        return Err(Problem::Forbidden);
    };
    let mut secret = [0; 32];
    rand::fill(&mut secret).map_err(|_| Problem::Ours("no random numbers"))?;
    let token = URL_SAFE_NO_PAD.encode(secret);
    let span = (call.now, call.now.plus_secs(SESSION_SECS));
    let sha256 = sha256_of(token.as_bytes());
    let begun = call.store().add_session(account, &sha256, span).await?;
    if !begun {
        return Err(Problem::WrongLogin);
    }
    Answer::ok(&Login {
        token: SecretText(token),
        expires_in: SESSION_SECS,
    })
}

async fn logout(call: Call) -> Result<Answer, Problem> {
    if let Some(sha256) = &call.session {
        call.store().remove_session(sha256).await?;
    }
    Ok(Answer::done())
}
