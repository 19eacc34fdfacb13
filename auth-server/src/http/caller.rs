//! Who asks: authenticates a request to any endpoint.

use super::answer::{self, Format};
use crate::{
    core::{
        authenticate::{
            Authenticated, AuthenticationError, AuthenticationRules, Credentials, Principal,
        },
        pacing::Pacing,
        policy::ClientId,
        replay::{Kind, Seen, SeenError},
    },
    store::{Client, ResourceServer, Store, StoreError},
    tls::PeerCertificates,
};
use axum::{
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::Response,
};
use std::sync::{Mutex, PoisonError};
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
            Self::Store(error) => answer::store_failure(error, format),
        }
    }

    /// Whether the fault is ours.
    pub(super) fn is_ours(&self) -> bool {
        match self {
            Self::Authentication(_) | Self::TooFast => false,
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

/// An identifier that was used before.
#[derive(Debug)]
pub(super) struct Replayed;

/// More than one where one is allowed.
#[derive(Debug)]
pub(crate) struct Several;

impl Authenticator {
    pub(super) fn new(store: Store, rules: AuthenticationRules) -> Self {
        Self {
            store,
            rules,
            seen: Mutex::new(Seen::new(MAX_REMEMBERED)),
            pacing: Mutex::default(),
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
        match authenticated.principal {
            Principal::Client(client) => Ok(AuthenticatedClient {
                client,
                assertion: authenticated.assertion,
            }),
            Principal::ResourceServer(_) => Err(AuthenticationError::UnknownClient.into()),
        }
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
        let authorization = only(&parts.headers, header::AUTHORIZATION.as_str())
            .map_err(|Several| AuthenticationError::Several)?;
        let certificates = parts.extensions.get::<PeerCertificates>();
        let credentials = Credentials::parse(authorization, request, certificates)?;
        let named = ClientId::parse(credentials.client_id()).ok();
        *claimed = named.map(|named| named.as_str().to_owned());
        let principal = self.registered(credentials.client_id()).await?;
        let authenticated = credentials.authenticate(principal, &self.rules, now)?;
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
        if !pacing.admit(credentials.client_id(), now) {
            return Err(CallerError::TooFast);
        }
        let named = request.client_id.as_deref();
        if named.is_some_and(|named| named != credentials.client_id()) {
            return Err(AuthenticationError::ClientIdMismatch.into());
        }
        Ok(authenticated)
    }

    /// Both are looked up for any name, so that the time tells nothing.
    async fn registered(&self, client_id: &str) -> Result<Option<Principal>, StoreError> {
        let client = self.store.client(client_id).await?.map(Principal::Client);
        let server: Option<ResourceServer> = self.store.resource_server_of(client_id).await?;
        Ok(client.or(server.map(|server| Principal::ResourceServer(Box::new(server)))))
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

/// The value of a header that may stand once.
pub(crate) fn only<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a [u8]>, Several> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value.map(header::HeaderValue::as_bytes)),
        (_, Some(_)) => Err(Several),
    }
}
