//! `/accounts`.

use super::{
    call::{Answer, Call},
    model::{self, AccountCertificate, AccountPassword, ModelError},
    paging::{AFTER, LIMIT, Paged},
    problem::Problem,
    route::{Access, Method, Route},
};
use crate::store::{Account, NewAccount, Role};

pub(super) const ROUTES: &[Route] = &[
    Route::new(
        (Method::Get, "/accounts"),
        Access::Readers,
        |call| Box::pin(list(call)),
        "All accounts, by name",
    )
    .query(&[LIMIT, AFTER])
    .lists::<model::Account>(),
    Route::new(
        (Method::Post, "/accounts"),
        Access::Administrators,
        |call| Box::pin(add(call)),
        "Make an account",
    )
    .takes::<model::NewAccount>()
    .answers::<model::Account>(201),
    Route::new(
        (Method::Delete, "/accounts/{name}"),
        Access::Administrators,
        |call| Box::pin(remove(call)),
        "Remove an account and end its sessions",
    ),
    Route::new(
        (Method::Put, "/accounts/{name}/password"),
        Access::Accounts,
        |call| Box::pin(set_password(call)),
        "Give an account another password and end its sessions; everybody may do so to their own",
    )
    .takes::<AccountPassword>(),
    Route::new(
        (Method::Put, "/accounts/{name}/certificate"),
        Access::Administrators,
        |call| Box::pin(set_certificate(call)),
        "Give an account another certificate and end its sessions",
    )
    .takes::<AccountCertificate>()
    .answers::<model::Account>(200),
];

async fn list(call: Call) -> Result<Answer, Problem> {
    let place = call.query::<Paged>()?.parse()?;
    let accounts = call.store().accounts().await?;
    let name = |account: &Account| account.name.clone();
    let page = place.page_of_all(accounts, name, |account| model::Account::from(&account));
    Answer::ok(&page)
}

async fn add(call: Call) -> Result<Answer, Problem> {
    let asked: model::NewAccount = call.body()?;
    let role = role_of(asked.role, asked.owner)?;
    let certificate = asked.certificate_sha256.as_deref();
    let certificate = certificate.map(model::certificate_digest).transpose()?;
    let password = match asked.password {
        None => None,
        Some(password) => Some(call.hash(password.as_str()).await?),
    };
    let new = NewAccount {
        name: asked.name,
        role,
        password,
        certificate,
    };
    let store = call.store();
    store.add_account(&new, call.now).await?;
    Answer::created(&shown(&call, &new.name).await?)
}

async fn remove(call: Call) -> Result<Answer, Problem> {
    call.store().remove_account(call.parameter("name")).await?;
    Ok(Answer::done())
}

async fn set_password(call: Call) -> Result<Answer, Problem> {
    let name = call.parameter("name");
    if !call.who.is_administrator() && !call.who.is_account(name) {
        return Err(Problem::Forbidden);
    }
    let AccountPassword { password } = call.body()?;
    let store = call.store();
    // Before the work: an account that is not there costs no computation.
    if store.account(name).await?.is_none() {
        return Err(Problem::NotFound("account", name.to_owned()));
    }
    let password = call.hash(password.as_str()).await?;
    store.set_password(name, &password).await?;
    Ok(Answer::done())
}

async fn set_certificate(call: Call) -> Result<Answer, Problem> {
    let name = call.parameter("name");
    let AccountCertificate { certificate_sha256 } = call.body()?;
    let sha256 = model::certificate_digest(&certificate_sha256)?;
    call.store().set_certificate(name, sha256).await?;
    Answer::ok(&shown(&call, name).await?)
}

async fn shown(call: &Call, name: &str) -> Result<model::Account, Problem> {
    let known = call.store().account(name).await?;
    let known = known.ok_or_else(|| Problem::NotFound("account", name.to_owned()))?;
    Ok(model::Account::from(&known.0))
}

fn role_of(role: model::Role, owner: Option<String>) -> Result<Role, ModelError> {
    match (role, owner) {
        (model::Role::Administrator, None) => Ok(Role::Administrator),
        (model::Role::Auditor, None) => Ok(Role::Auditor),
        (model::Role::Owner, Some(owner)) => Ok(Role::Owner(owner)),
        (model::Role::Owner, None) => {
            let why = "the role owner needs the name of a resource owner";
            Err(ModelError::new("owner", why))
        }
        (model::Role::Administrator | model::Role::Auditor, Some(_)) => {
            let why = "only the role owner has one";
            Err(ModelError::new("owner", why))
        }
    }
}
