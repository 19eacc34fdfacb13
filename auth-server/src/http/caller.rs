//! Who asks: authenticates a request to any endpoint.

use super::answer::{self, Format};
use crate::{
    core::{
        authenticate::{
            Authenticated, AuthenticationError, AuthenticationRules, Credentials, Principal,
        },
        failures::{Failures, Patience, Wait},
        network::Network,
        pacing::Pacing,
        policy::ClientId,
        replay::{Kind, Seen, SeenError},
    },
    listener::network_of,
    metrics::{self, Metrics},
    store::{Client, Snapshot, Store, StoreError},
    tls::PeerCertificates,
};
use axum::{
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::Response,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use symbolon_ace_proto::{PopKey, TokenRequest, UnixTime, client_assertion::ClientAssertion};

/// The most assertions and proofs remembered against replay, about 100 bytes each. They live 5 minutes at most.
const MAX_REMEMBERED: usize = 1 << 20;

/// What authenticates requests.
#[derive(Debug)]
pub(super) struct Authenticator {
    store: Store,
    rules: AuthenticationRules,
    seen: Mutex<Seen>,
    pacing: Mutex<Pacing>,
    failures: Mutex<Failures>,
    metrics: Arc<Metrics>,
}

/// Why nobody is authenticated.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallerError {
    #[error(transparent)]
    Authentication(#[from] AuthenticationError),
    #[error("too many requests: {0}")]
    Busy(SeenError),
    #[error("too many requests of one caller")]
    TooFast,
    #[error(transparent)]
    Failures(#[from] Wait),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl CallerError {
    pub(super) fn respond(&self, format: Format) -> Response {
        match self {
            Self::Authentication(error) => answer::refusal(&error.response(), format),
            Self::Busy(_) => {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                answer::failure(status, "temporarily_unavailable", format)
            }
            Self::TooFast => {
                let status = StatusCode::TOO_MANY_REQUESTS;
                answer::failure(status, "temporarily_unavailable", format)
            }
            Self::Failures(Wait(secs)) => {
                let status = StatusCode::TOO_MANY_REQUESTS;
                let mut response = answer::failure(status, "temporarily_unavailable", format);
                let headers = response.headers_mut();
                headers.insert(header::RETRY_AFTER, header::HeaderValue::from(*secs));
                response
            }
            Self::Store(error) => answer::store_failure(error, format),
        }
    }

    /// Whether the fault is ours.
    pub(super) fn is_ours(&self) -> bool {
        match self {
            Self::Authentication(_) | Self::TooFast | Self::Failures(_) => false,
            Self::Busy(_) | Self::Store(_) => true,
        }
    }
}

/// A client that proved who it is.
#[derive(Debug)]
pub(super) struct AuthenticatedClient {
    pub(super) client: Client,
    pub(super) assertion: Option<(ClientAssertion, PopKey)>,
}

/// One request, however often it is decided anew because something has changed meanwhile.
#[derive(Debug)]
pub(super) struct Attempt {
    /// What it is decided by.
    pub(super) snapshot: Arc<Snapshot>,
    /// Its assertion is remembered, and it has used its share up.
    is_counted: bool,
    /// Its `DPoP` proof is remembered.
    pub(super) proof_is_counted: bool,
}

impl Attempt {
    pub(super) fn first(snapshot: Arc<Snapshot>) -> Self {
        Self {
            snapshot,
            is_counted: false,
            proof_is_counted: false,
        }
    }
}

/// An identifier that was used before.
#[derive(Debug)]
pub(super) struct Replayed;

/// More than one where one is allowed.
#[derive(Debug)]
pub(crate) struct Several;

impl Authenticator {
    pub(super) fn new(store: Store, rules: AuthenticationRules, metrics: Arc<Metrics>) -> Self {
        Self {
            store,
            rules,
            seen: Mutex::new(Seen::new(MAX_REMEMBERED)),
            pacing: Mutex::default(),
            failures: Mutex::new(Failures::new(Patience::CLIENTS)),
            metrics,
        }
    }

    /// Who asks, if it is a client. `claimed` gets the name it gives itself, for the log.
    pub(super) async fn client(
        &self,
        parts: &Parts,
        request: &TokenRequest,
        claimed: &mut Option<String>,
        now: UnixTime,
    ) -> Result<AuthenticatedClient, CallerError> {
        let authenticated = self.authenticate(parts, request, claimed, now).await?;
        authenticated.client()
    }

    /// The same by a snapshot, where one who proves who it is may be known already: what is decided then must be checked before it counts.
    pub(super) async fn client_by(
        &self,
        (parts, request): (&Parts, &TokenRequest),
        attempt: &mut Attempt,
        claimed: &mut Option<String>,
        now: UnixTime,
    ) -> Result<AuthenticatedClient, CallerError> {
        let credentials = credentials(parts, request, claimed)?;
        let client_id = credentials.client_id();
        let network = self.admit(parts, client_id, now)?;
        let known = attempt.snapshot.registered(client_id);
        let known = known.map(|known| Principal::from(&*known));
        let proved =
            (known.clone()).map(|known| credentials.authenticate(Some(known), &self.rules, now));
        let proved = match proved {
            Some(Ok(authenticated)) => Ok(authenticated),
            // Whoever fails is looked up whether known or not, so that the time does not tell who has been here before.
            Some(Err(error)) => {
                let found = self.look_up(Some(&attempt.snapshot), client_id).await?;
                if authentication_of(found.as_ref()) == authentication_of(known.as_ref()) {
                    Err(error)
                } else {
                    credentials.authenticate(found, &self.rules, now)
                }
            }
            None => {
                let found = self.look_up(Some(&attempt.snapshot), client_id).await?;
                credentials.authenticate(found, &self.rules, now)
            }
        };
        let authenticated = self.judge(proved, (client_id, network), now)?;
        if !attempt.is_counted {
            self.count(&authenticated, client_id, now).await?;
            attempt.is_counted = true;
        }
        check_name(request, client_id)?;
        authenticated.client()
    }

    /// Who asks, be it a client or a resource server.
    pub(super) async fn principal(
        &self,
        parts: &Parts,
        request: &TokenRequest,
        claimed: &mut Option<String>,
        now: UnixTime,
    ) -> Result<Principal, CallerError> {
        let authenticated = self.authenticate(parts, request, claimed, now).await?;
        Ok(authenticated.principal)
    }

    async fn authenticate(
        &self,
        parts: &Parts,
        request: &TokenRequest,
        claimed: &mut Option<String>,
        now: UnixTime,
    ) -> Result<Authenticated, CallerError> {
        let credentials = credentials(parts, request, claimed)?;
        let name = credentials.client_id();
        let network = self.admit(parts, name, now)?;
        let principal = self.look_up(None, name).await?;
        let proved = credentials.authenticate(principal, &self.rules, now);
        let authenticated = self.judge(proved, (name, network), now)?;
        self.count(&authenticated, name, now).await?;
        check_name(request, name)?;
        Ok(authenticated)
    }

    /// Whether this name may be tried now by whoever asks; where they ask from.
    fn admit(&self, parts: &Parts, name: &str, now: UnixTime) -> Result<Network, CallerError> {
        let network = network_of(parts);
        self.failures().admit(name, network, now).map_err(|wait| {
            self.metrics.authentication_delayed(metrics::Caller::Client);
            CallerError::from(wait)
        })?;
        Ok(network)
    }

    /// Remembers whether it was right.
    fn judge(
        &self,
        proved: Result<Authenticated, AuthenticationError>,
        (name, network): (&str, Network),
        now: UnixTime,
    ) -> Result<Authenticated, CallerError> {
        if proved.is_ok() {
            self.failures().handle_success(name, network);
        } else {
            self.failures().handle_failure(name, network, now);
            self.metrics.authentication_failed(metrics::Caller::Client);
        }
        Ok(proved?)
    }

    /// What somebody who proved who it is uses up: its assertion, and its share of requests.
    async fn count(
        &self,
        authenticated: &Authenticated,
        client_id: &str,
        now: UnixTime,
    ) -> Result<(), CallerError> {
        if let Some((assertion, _)) = &authenticated.assertion {
            self.remember(
                (Kind::Assertion, &assertion.client_id, &assertion.identifier),
                assertion.expires_at,
                now,
            )
            .await?
            .map_err(|Replayed| AuthenticationError::Replayed)?;
        }
        // Only who proved who it is uses its own share up.
        let mut pacing = self.pacing.lock().unwrap_or_else(PoisonError::into_inner);
        if !pacing.admit(client_id, now) {
            return Err(CallerError::TooFast);
        }
        Ok(())
    }

    fn failures(&self) -> MutexGuard<'_, Failures> {
        // Numbers and times: a panic elsewhere leaves them right enough.
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn look_up(
        &self,
        snapshot: Option<&Snapshot>,
        client_id: &str,
    ) -> Result<Option<Principal>, StoreError> {
        let found = self.store.look_up(snapshot, client_id).await?;
        Ok(found.map(|found| Principal::from(&*found)))
    }

    /// The outer error is ours (no room, no database), the inner one the client's. Our own memory bounds what one process takes; the database knows
    /// what others took, and this one before it was started.
    pub(super) async fn remember(
        &self,
        identifier: (Kind, &str, &str),
        expires_at: UnixTime,
        now: UnixTime,
    ) -> Result<Result<(), Replayed>, CallerError> {
        // A panic elsewhere leaves at worst a mark without expiry in it: still right, if not tidy.
        let remembered = self
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remember(identifier, expires_at, now);
        let mark = match remembered {
            Ok(mark) => mark,
            Err(SeenError::Replayed) => return Ok(Err(Replayed)),
            Err(error @ SeenError::Full) => return Err(CallerError::Busy(error)),
        };
        let is_new = self.store.see(&mark, expires_at, now).await?;
        Ok(if is_new { Ok(()) } else { Err(Replayed) })
    }
}

impl Authenticated {
    fn client(self) -> Result<AuthenticatedClient, CallerError> {
        match self.principal {
            Principal::Client(client) => Ok(AuthenticatedClient {
                client,
                assertion: self.assertion,
            }),
            Principal::ResourceServer(_) => Err(AuthenticationError::UnknownClient.into()),
        }
    }
}

/// `claimed` gets the name that they claim.
fn credentials(
    parts: &Parts,
    request: &TokenRequest,
    claimed: &mut Option<String>,
) -> Result<Credentials, CallerError> {
    let authorization = only(&parts.headers, header::AUTHORIZATION.as_str())
        .map_err(|Several| AuthenticationError::Several)?;
    let certificates = parts.extensions.get::<PeerCertificates>();
    let credentials = Credentials::parse(authorization, request, certificates)?;
    let named = ClientId::parse(credentials.client_id()).ok();
    *claimed = named.map(|named| named.as_str().to_owned());
    Ok(credentials)
}

fn check_name(request: &TokenRequest, client_id: &str) -> Result<(), CallerError> {
    match request.client_id.as_deref() {
        Some(named) if named != client_id => Err(AuthenticationError::ClientIdMismatch.into()),
        Some(_) | None => Ok(()),
    }
}

/// What it authenticates by, to be compared.
fn authentication_of(principal: Option<&Principal>) -> Option<(&'static str, Vec<u8>)> {
    let authentication = principal.and_then(Principal::authentication)?;
    Some(authentication.to_columns())
}

/// The value of a header that may stand once.
pub(crate) fn only<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a [u8]>, Several> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value.map(header::HeaderValue::as_bytes)),
        (_, Some(_)) => Err(Several),
    }
}
