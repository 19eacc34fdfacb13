//! The administration API, `/admin/v1`: for administrators, auditors and resource owners over HTTPS, and for programs that have the database
//! themselves.
//!
//! | module | holds |
//! |---|---|
//! | [`model`] | the messages |
//! | `route`, `routes` | what there is, who may, what the document says of it |
//! | `identity`, `passwords` | who calls |
//! | `call`, `problem` | a request, its answer, its refusal |
//! | `paging` | long lists |
//! | `document` | the OpenAPI document |
//! | `accounts`, `sessions` and so on | a file for each resource |

mod accounts;
mod audit;
mod call;
mod clients;
mod document;
mod groups;
mod identity;
pub mod model;
mod owners;
mod paging;
mod passwords;
mod policies;
mod problem;
mod resource_servers;
mod rights;
mod route;
mod routes;
mod sessions;
mod tokens;

pub use axum::{body::Bytes, http};
pub use document::openapi_json;

use crate::{
    core::{
        failures::{Failures, Patience},
        network::Network,
        recent::Recent,
        refusals::Refusals,
    },
    http::{answer::media_type, body::read_at_most},
    metrics::{Caller, Counting, Metrics, count},
    store::Store,
};
use axum::{
    Router,
    body::Body,
    extract::{RawPathParams, Request, rejection::RawPathParamsRejection},
    http::{header, request::Parts},
    middleware::from_fn_with_state,
    response::Response,
    routing::on,
};
use call::{Answer, Call, moment};
use http_body_util::BodyExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use identity::Local;
use model::{MAX_BODY_BYTES, PATH};
use passwords::Passwords;
use problem::Problem;
use route::{Access, Route};
use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use symbolon_ace_proto::UnixTime;
use tokio::sync::watch;

/// How many logins are remembered so as not to record each request as one.
const MAX_LOGINS: usize = 16 * 1024;

/// What the handlers share.
pub(crate) struct Administration {
    store: Store,
    /// Says that the token revocation list has changed.
    changes: watch::Sender<()>,
    passwords: Passwords,
    failures: Mutex<Failures>,
    logins: Mutex<Recent<(String, Network, &'static str), UnixTime>>,
    refusals: Mutex<Refusals>,
    /// Where requests are counted.
    metrics: Option<Arc<Metrics>>,
}

impl fmt::Debug for Administration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Administration(..)")
    }
}

impl Administration {
    /// On `store`; `changes` is told when tokens may have been revoked.
    pub(crate) fn new(store: Store, changes: watch::Sender<()>) -> Self {
        Self {
            store,
            changes,
            passwords: Passwords::default(),
            failures: Mutex::new(Failures::new(Patience::PASSWORDS)),
            logins: Mutex::new(Recent::new(MAX_LOGINS)),
            refusals: Mutex::default(),
            metrics: None,
        }
    }

    /// The same, whose requests are counted.
    pub(crate) fn counted_by(mut self, metrics: Arc<Metrics>) -> Arc<Self> {
        self.metrics = Some(metrics);
        Arc::new(self)
    }

    // Of the three, numbers and times: a panic elsewhere leaves them right enough.

    fn failures(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn logins(&self) -> MutexGuard<'_, Recent<(String, Network, &'static str), UnixTime>> {
        self.logins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refusals(&self) -> MutexGuard<'_, Refusals> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One request.
    async fn answer(
        self: &Arc<Self>,
        route: &Route,
        parameters: Result<RawPathParams, RawPathParamsRejection>,
        request: Request,
    ) -> Result<Answer, Problem> {
        let now = moment();
        let (parts, body) = request.into_parts();
        let parameters = named(parameters)?;
        let mut claimed = None;
        let identified = match route.access {
            Access::Open => Ok(identity::Identified::nobody()),
            Access::Accounts
            | Access::Administrators
            | Access::Readers
            | Access::Grantors
            | Access::Rules => self.identify(&parts, &mut claimed, now).await,
        };
        let identified = match identified {
            Ok(identified) => identified,
            Err(problem) => {
                let who = claimed.map(|name| format!("somebody as account {name}"));
                self.record_refusal(who, &parts, &problem, now).await;
                return Err(problem);
            }
        };
        let actor = identified.who.actor();
        let answered = if route.access.allows(&identified.who) {
            let call = Call {
                admin: Arc::clone(self),
                who: identified.who,
                session: identified.session,
                now,
                uri: parts.uri.clone(),
                parameters,
                body: body_of(route, &parts, body).await?,
            };
            (route.handler)(call).await
        } else {
            Err(Problem::Forbidden)
        };
        if let Err(problem) = &answered {
            self.record_refusal(Some(actor), &parts, problem, now).await;
        }
        answered
    }

    /// Records a refusal of a right, within bounds; mistakes are none.
    async fn record_refusal(
        &self,
        who: Option<String>,
        parts: &Parts,
        problem: &Problem,
        now: UnixTime,
    ) {
        if let Problem::Store(error) = problem {
            problem::log(error);
        }
        if let Some(metrics) = &self.metrics {
            if matches!(problem, Problem::WrongLogin) {
                metrics.authentication_failed(Caller::Account);
            } else if matches!(problem, Problem::TooFast(_)) {
                metrics.authentication_delayed(Caller::Account);
            }
        }
        if !problem.is_refusal() {
            return;
        }
        let is_known = who
            .as_deref()
            .is_some_and(|who| !who.starts_with("somebody"));
        let Some(left_out) = self.refusals().handle_refusal(is_known, now) else {
            return;
        };
        let who = who.unwrap_or_else(|| "somebody".to_owned());
        // The router has taken the prefix off.
        let object = format!("{} {PATH}{}", parts.method, parts.uri.path());
        let why = match left_out {
            0 => problem.to_string(),
            count => format!("{problem}; {count} more before it"),
        };
        let deed = ("admin.request", object.as_str());
        if let Err(error) = self.store.record_refusal(&who, deed, &why).await {
            tracing::error!(%error, "a refusal cannot be recorded in the audit log");
        }
    }
}

fn named(
    parameters: Result<RawPathParams, RawPathParamsRejection>,
) -> Result<Vec<(String, String)>, Problem> {
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    match parameters {
        Ok(parameters) => Ok(parameters.iter().map(owned).collect()),
        Err(error) => Err(Problem::Malformed(error.body_text())),
    }
}

/// The body, where the route takes one; it is read only for whoever may use the route.
async fn body_of(route: &Route, parts: &Parts, body: Body) -> Result<Vec<u8>, Problem> {
    if route.request.is_none() {
        return Ok(Vec::new());
    }
    match media_type(parts.headers.get(header::CONTENT_TYPE)).as_deref() {
        Some("application/json") => Ok(read_at_most(body, MAX_BODY_BYTES).await?),
        Some(_) | None => Err(Problem::MediaType),
    }
}

/// The API, below [`model::PATH`].
pub(crate) fn router(admin: &Arc<Administration>) -> Router {
    let metrics = admin.metrics.as_ref();
    let mut router = Router::new();
    for route in routes::all() {
        let admin = Arc::clone(admin);
        let handler = async move |parameters: Result<RawPathParams, RawPathParamsRejection>,
                                  request: Request| {
            respond(admin.answer(route, parameters, request).await)
        };
        let mut method = on(route.method.filter(), handler);
        if let Some(metrics) = metrics {
            let metrics = Arc::clone(metrics);
            let endpoint = "admin";
            let counting = Counting { metrics, endpoint };
            method = method.layer(from_fn_with_state(counting, count));
        }
        router = router.route(route.path, method);
    }
    let router = router
        .fallback(async || Problem::NoSuchPath.respond())
        .method_not_allowed_fallback(async || Problem::MethodNotAllowed.respond());
    Router::new().nest(PATH, router)
}

fn respond(answered: Result<Answer, Problem>) -> Response {
    match answered {
        Ok(answer) => answer.respond(),
        Err(problem) => problem.respond(),
    }
}

/// The API for a program that has opened the database itself, which is what authorises it: it may do everything.
#[derive(Debug)]
pub struct LocalApi {
    router: Router,
    actor: String,
}

impl LocalApi {
    /// On this store; `actor` is the name that the audit log gets, as `cli root uid=0`.
    pub fn new(store: Store, actor: &str) -> Self {
        let admin = Arc::new(Administration::new(store, watch::Sender::new(())));
        Self {
            router: router(&admin),
            actor: actor.to_owned(),
        }
    }

    /// Answers a request for a path below [`model::PATH`], as the server would over HTTPS; it needs no Authorization header.
    pub async fn call(&self, request: http::Request<Bytes>) -> http::Response<Bytes> {
        let mut request = request.map(Body::from);
        request.extensions_mut().insert(Local(self.actor.clone()));
        let service = TowerToHyperService::new(self.router.clone());
        let response = match service.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let (parts, body) = response.into_parts();
        // Every answer is in memory already, so that reading it cannot fail.
        let body = body
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes);
        http::Response::from_parts(parts, body.unwrap_or_default())
    }
}
