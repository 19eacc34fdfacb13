//! The endpoints. Moves bytes between HTTP and `core/`.

pub(crate) mod answer;
mod auditing;
pub(crate) mod body;
pub(crate) mod caller;
mod metadata;
mod question;
mod registration;
mod revocation_list;
mod token;

use crate::{
    core::{authenticate::AuthenticationRules, refusals::Refusals, throttling::Throttle},
    issuer::{Endpoint, Issuer},
    issuing::{Issuing, now},
    metrics::{Counting, Metrics, count},
    store::Store,
};
use answer::Format;
use arc_swap::ArcSwap;
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::{MethodRouter, get, post},
};
use caller::Authenticator;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    sync::{Semaphore, watch},
    time::sleep,
};

/// How long a cache may keep the key set and the metadata, seconds: short, so that a new key is seen soon.
const CACHE_CONTROL: &str = "public, max-age=60";
/// The most requests that wait for news of revoked tokens; half of the connections there may be.
const MAX_WAITING: usize = 256;
/// How often it is looked, while somebody waits for news, whether another process has revoked something: a right that is taken away there
/// counts no more within a second either.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Rest after the database did not answer.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How often tokens that have expired are forgotten.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// Rest between two parts of a sweep, so that others get at the database.
const SWEEP_AGAIN: Duration = Duration::from_millis(100);

/// What answers requests.
#[derive(Debug)]
pub(crate) struct Endpoints {
    store: Store,
    issuer: Issuer,
    issuing: Arc<ArcSwap<Issuing>>,
    authenticator: Authenticator,
    /// Says that the token revocation list has changed.
    changes: watch::Sender<()>,
    /// Says that the server ends: nobody waits any longer.
    closing: watch::Sender<bool>,
    /// Places for requests that wait.
    waiting: Semaphore,
    /// What of refusals goes into the audit log.
    refusals: Mutex<Refusals>,
    /// Who shows wrong tokens where clients register.
    throttle: Mutex<Throttle>,
    /// Clients may register themselves.
    registration: bool,
    pub(crate) metrics: Arc<Metrics>,
}

impl Endpoints {
    /// Tokens as `issuing` says, for what `store` allows.
    pub(crate) fn new(
        store: Store,
        issuer: Issuer,
        issuing: Arc<ArcSwap<Issuing>>,
        rules: AuthenticationRules,
    ) -> Self {
        let metrics = Arc::new(Metrics::new(store.times()));
        Self {
            authenticator: Authenticator::new(store.clone(), rules, Arc::clone(&metrics)),
            metrics,
            store,
            issuer,
            issuing,
            changes: watch::Sender::new(()),
            closing: watch::Sender::new(false),
            waiting: Semaphore::new(MAX_WAITING),
            refusals: Mutex::default(),
            throttle: Mutex::default(),
            registration: true,
        }
    }

    /// Whether clients may register themselves.
    #[must_use]
    pub(crate) fn with_registration(self, registration: bool) -> Self {
        Self {
            registration,
            ..self
        }
    }

    /// For others that may change what is on the token revocation list.
    pub(crate) fn changes(&self) -> watch::Sender<()> {
        self.changes.clone()
    }

    fn tell_changes(&self) {
        self.changes.send_replace(());
    }

    /// Lets nobody wait any longer.
    pub(crate) fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Forgets what has expired, again and again.
    pub(crate) async fn sweep(&self) {
        loop {
            let mut more = false;
            match self.store.sweep(now()).await {
                Ok(swept) => {
                    more = swept.more;
                    if swept.list_changed {
                        self.tell_changes();
                    }
                }
                Err(error) => tracing::warn!(%error, "cannot forget expired tokens"),
            }
            sleep(if more { SWEEP_AGAIN } else { SWEEP_EVERY }).await;
        }
    }
}

impl Endpoints {
    /// Looks whether other processes have changed the token revocation list, for all who wait for news.
    pub(crate) async fn watch_others(&self) {
        let mut known = None;
        loop {
            sleep(LOOK_EVERY).await;
            if self.waiting.available_permits() == MAX_WAITING {
                continue;
            }
            match self.store.list_number().await {
                Ok(number) => {
                    if known.replace(number) != Some(number) {
                        self.tell_changes();
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot look for revoked tokens");
                    sleep(LOOK_AGAIN).await;
                }
            }
        }
    }
}

/// What the handlers share.
struct Shared {
    endpoints: Arc<Endpoints>,
    metadata: String,
}

/// A path, what requests to it are counted as, and what answers them.
type Route = (String, &'static str, MethodRouter<Arc<Shared>>);

/// All endpoints of an authorization server.
pub(crate) fn router(endpoints: Arc<Endpoints>) -> Router {
    let issuer = endpoints.issuer.clone();
    let shared = Shared {
        metadata: metadata::of(&issuer, endpoints.registration),
        endpoints,
    };
    let registration = endpoints_of_registration(&issuer, shared.endpoints.registration);
    let list = get(revocation_list::handle).post(revocation_list::handle);
    let routes = [
        (issuer.path(Endpoint::Token), "token", post(token::handle)),
        (
            issuer.path(Endpoint::Introspection),
            "introspection",
            post(question::introspect),
        ),
        (
            issuer.path(Endpoint::Revocation),
            "revocation",
            post(question::revoke),
        ),
        (
            issuer.path(Endpoint::RevocationList),
            "revocation_list",
            list,
        ),
        (issuer.path(Endpoint::JwkSet), "keys", get(jwk_set)),
        (issuer.path(Endpoint::CoseKeySet), "keys", get(cose_key_set)),
        (issuer.metadata_path(), "metadata", get(server_metadata)),
    ];
    let mut counted = Router::new();
    for (path, endpoint, route) in routes.into_iter().chain(registration) {
        let metrics = Arc::clone(&shared.endpoints.metrics);
        let counting = Counting { metrics, endpoint };
        let route = route.layer(from_fn_with_state(counting, count));
        counted = counted.route(&path, route);
    }
    counted
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(Arc::new(shared))
}

/// None where clients may not register themselves.
fn endpoints_of_registration(issuer: &Issuer, enabled: bool) -> Vec<Route> {
    if !enabled {
        return Vec::new();
    }
    let path = issuer.path(Endpoint::Registration);
    let manage = get(registration::manage)
        .put(registration::manage)
        .delete(registration::manage);
    vec![
        (format!("{path}/{{client_id}}"), "registration", manage),
        (path, "registration", post(registration::register)),
    ]
}

async fn jwk_set(State(shared): State<Arc<Shared>>) -> Response {
    let keys = shared.endpoints.issuing.load().key_set(now());
    cacheable("application/jwk-set+json", keys.to_json())
}

async fn cose_key_set(State(shared): State<Arc<Shared>>) -> Response {
    let keys = shared.endpoints.issuing.load().key_set(now());
    cacheable("application/cose-key-set", keys.to_cose())
}

async fn server_metadata(State(shared): State<Arc<Shared>>) -> Response {
    cacheable("application/json", shared.metadata.clone())
}

fn cacheable(content_type: &'static str, body: impl IntoResponse) -> Response {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, CACHE_CONTROL),
    ];
    (headers, body).into_response()
}

async fn not_found(headers: HeaderMap) -> Response {
    answer::failure(StatusCode::NOT_FOUND, "not_found", Format::asked(&headers))
}

async fn method_not_allowed(headers: HeaderMap) -> Response {
    let format = Format::asked(&headers);
    answer::failure(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", format)
}
