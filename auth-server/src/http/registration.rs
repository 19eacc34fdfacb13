//! Clients that register themselves (RFC 7591), and manage what they registered (RFC 7592).

mod answering;

use super::{
    Endpoints, Shared,
    answer::{JSON, media_type},
    auditing::Refused,
    body::{self, BodyError},
    caller::{Several, only},
};
use crate::{
    core::{
        minting,
        registration::{self, Metadata, MetadataError, Replacement},
    },
    issuer::Endpoint,
    issuing::now,
    listener::PeerAddress,
    store::{
        Client, ClientAuthentication, NewName, NewRegistration, Registration, SUFFIX_CHARACTERS,
        Secret, Store, StoreError, Update, sha256_of,
    },
};
use answering::{Answered, Told};
use axum::{
    extract::{Path, Request, State},
    http::{StatusCode, header, request::Parts},
    response::Response,
};
use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, PoisonError},
};
use subtle::ConstantTimeEq;
use symbolon_ace_proto::{PopError, Scope, UnixTime};

/// Our member for the audience that a client registered for; none is registered.
const AUDIENCE: &str = "symbolon_audience";
/// Our member for where that resource server is.
const BROKER: &str = "symbolon_broker";
/// What random names are made of.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Why a client is not registered, or not told or changed.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    /// RFC 6750 §3: without an error code.
    #[error("there is no bearer token")]
    NoToken,
    /// Unknown, expired, used up, or another's: one answer.
    #[error("the token is not good, or not for this")]
    WrongToken,
    #[error("too many wrong tokens from this address")]
    Throttled,
    #[error("the body must be application/json")]
    MediaType,
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// What it would get is not there any more, or is there already.
    #[error("what the initial access token is for cannot be had: {0}")]
    NotToBeHad(StoreError),
    #[error(transparent)]
    Store(StoreError),
    #[error("cannot make a secret: {0}")]
    Secret(#[from] PopError),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Exists(..)
            | StoreError::NotFound(..)
            | StoreError::Invalid(..)
            | StoreError::TooManyPolicies(_)
            | StoreError::TooManyGroups(_)
            | StoreError::NotOwned(..) => Self::NotToBeHad(error),
            StoreError::Newer | StoreError::Database(_) | StoreError::Unavailable(_) => {
                Self::Store(error)
            }
        }
    }
}

impl Refusal {
    fn is_ours(&self) -> bool {
        match self {
            Self::Store(_) | Self::Secret(_) => true,
            Self::NoToken
            | Self::WrongToken
            | Self::Throttled
            | Self::MediaType
            | Self::Body(_)
            | Self::Metadata(_)
            | Self::NotToBeHad(_) => false,
        }
    }
}

/// Answers `POST /register`.
pub(super) async fn register(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let mut registered = None;
    let answered = async {
        let initial = shared.endpoints.bearer(&parts)?;
        if media_type(parts.headers.get(header::CONTENT_TYPE)).as_deref() != Some(JSON) {
            return Err(Refusal::MediaType);
        }
        let body = body::read(body).await?;
        let endpoints = &shared.endpoints;
        endpoints
            .register(&parts, &initial, &body, &mut registered)
            .await
    };
    let answered = answered.await;
    shared
        .endpoints
        .close_registration("client.register", registered.as_deref(), answered)
        .await
}

/// Answers `GET`, `PUT` and `DELETE /register/{client_id}`.
pub(super) async fn manage(
    State(shared): State<Arc<Shared>>,
    Path(client_id): Path<String>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let endpoints = &shared.endpoints;
    let mut known = None;
    let answered = async {
        let managed = endpoints.managed(&parts, client_id).await?;
        known = Some(managed.client.client_id.clone());
        match parts.method.as_str() {
            "PUT" => {
                if media_type(parts.headers.get(header::CONTENT_TYPE)).as_deref() != Some(JSON) {
                    return Err(Refusal::MediaType);
                }
                let body = body::read(body).await?;
                endpoints.update(managed, &body).await
            }
            "DELETE" => endpoints.remove(&managed).await,
            // The router lets none but these three in.
            _ => endpoints.show(managed).await,
        }
    };
    let answered = answered.await;
    endpoints
        .close_registration("client.manage", known.as_deref(), answered)
        .await
}

/// A registered client that showed its registration access token.
struct Managed {
    client: Client,
    registration: Registration,
    /// As it was shown.
    token: Vec<u8>,
}

impl Endpoints {
    /// Logs how a request ended, and answers it.
    async fn close_registration(
        &self,
        action: &str,
        client_id: Option<&str>,
        answered: Result<Answered, Refusal>,
    ) -> Response {
        let refusal = match answered {
            Ok(answer) => {
                let client_id = client_id.unwrap_or("-");
                tracing::info!(client_id, action, "registration");
                return answer.respond();
            }
            Err(refusal) => refusal,
        };
        let why = refusal.to_string();
        if refusal.is_ours() {
            tracing::error!(action, error = why, "no registration");
        } else {
            tracing::info!(action, reason = why, "registration refused");
            let refused = Refused {
                client_id,
                is_known: client_id.is_some(),
                action,
                object: client_id.unwrap_or("-"),
                why: &why,
            };
            self.audit(refused).await;
        }
        refusal.respond()
    }

    /// The bearer token of a request (RFC 6750 §2.1), unless its address has shown too many wrong ones.
    fn bearer(&self, parts: &Parts) -> Result<Vec<u8>, Refusal> {
        let mut throttle = self.throttle.lock().unwrap_or_else(PoisonError::into_inner);
        if !throttle.may_try(address(parts), now()) {
            return Err(Refusal::Throttled);
        }
        let header = only(&parts.headers, header::AUTHORIZATION.as_str());
        let header = header.map_err(|Several| Refusal::WrongToken)?;
        let header = header.ok_or(Refusal::NoToken)?;
        let (scheme, token) = header.split_at_checked(7).ok_or(Refusal::NoToken)?;
        if !scheme.eq_ignore_ascii_case(b"bearer ") {
            return Err(Refusal::NoToken);
        }
        Ok(token.trim_ascii().to_vec())
    }

    fn wrong_token(&self, parts: &Parts) -> Refusal {
        let mut throttle = self.throttle.lock().unwrap_or_else(PoisonError::into_inner);
        throttle.handle_wrong(address(parts), now());
        Refusal::WrongToken
    }

    async fn register(
        &self,
        parts: &Parts,
        initial: &[u8],
        body: &[u8],
        registered: &mut Option<String>,
    ) -> Result<Answered, Refusal> {
        let now = now();
        let initial = sha256_of(initial);
        let Some(admission) = self.store.admission(&initial, now).await? else {
            return Err(self.wrong_token(parts));
        };
        let mut metadata = registration::parse(body, admission.refresh_tokens)?;
        let members = &mut metadata.members;
        members.insert(AUDIENCE.to_owned(), admission.audience.as_str().into());
        if let Some(broker) = &admission.broker {
            members.insert(BROKER.to_owned(), broker.as_str().into());
        }
        let token = Secret::generate()?;
        let (client, secret) = client_of(name_of(&admission.name)?, &metadata, None)?;
        let kept = serde_json::Value::Object(metadata.members.clone()).to_string();
        let new = NewRegistration {
            initial,
            client: &client,
            sha256: sha256_of(token.as_str().as_bytes()),
            metadata: &kept,
        };
        if !self.store.register(&new, now).await? {
            return Err(self.wrong_token(parts));
        }
        *registered = Some(client.client_id.clone());
        let told = Told {
            uri: self.registration_uri(&client.client_id),
            scope: self.scope_of(&client.client_id, &metadata, now).await?,
            client_id: client.client_id,
            registered_at: now,
            token: token.as_str().to_owned(),
            secret,
            members: metadata.members,
        };
        Ok(Answered::Registration(StatusCode::CREATED, told))
    }

    /// Whose registration access token it is. A client that there is not, or that an administrator registered: as if the token were wrong
    /// (RFC 7592 §2.1).
    async fn managed(&self, parts: &Parts, client_id: String) -> Result<Managed, Refusal> {
        let token = self.bearer(parts)?;
        let registration = self.store.registration(&client_id).await?;
        let client = self.store.client(&client_id).await?;
        let sha256 = sha256_of(&token);
        let known = registration.as_ref().map_or([0; 32], |one| one.sha256);
        let right = bool::from(known.ct_eq(&sha256));
        match (client, registration) {
            (Some(client), Some(registration)) if right => Ok(Managed {
                client,
                registration,
                token,
            }),
            (_, _) => Err(self.wrong_token(parts)),
        }
    }

    async fn show(&self, managed: Managed) -> Result<Answered, Refusal> {
        let members = managed.members()?;
        let told = self.told(managed, members, None, None).await?;
        Ok(Answered::Registration(StatusCode::OK, told))
    }

    /// RFC 7592 §2.2. The registration access token is another from then on; so is the secret, unless the client sends its own along.
    async fn update(&self, managed: Managed, body: &[u8]) -> Result<Answered, Refusal> {
        let before = managed.members()?;
        let client_id = managed.client.client_id.clone();
        let may_refresh = managed.registration.refresh_tokens;
        let Replacement {
            mut metadata,
            client_secret,
        } = registration::parse_replacement(body, &client_id, may_refresh)?;
        for name in [AUDIENCE, BROKER] {
            if let Some(value) = before.get(name) {
                metadata.members.insert(name.to_owned(), value.clone());
            }
        }
        if let Some(secret) = &client_secret
            && !is_secret_of(&managed.client, secret)
        {
            return Err(MetadataError::ClientSecret.into());
        }
        let (client, secret) = client_of(client_id.clone(), &metadata, client_secret)?;
        let token = Secret::generate()?;
        let kept = serde_json::Value::Object(metadata.members.clone()).to_string();
        let update = Update {
            client: &client,
            before: managed.registration.sha256,
            sha256: sha256_of(token.as_str().as_bytes()),
            metadata: &kept,
        };
        let store = self.store.as_client(&client_id);
        if !store.update_registration(&update).await? {
            return Err(Refusal::WrongToken);
        }
        let token = Some(token.as_str().to_owned());
        let told = self.told(managed, metadata.members, token, secret).await?;
        Ok(Answered::Registration(StatusCode::OK, told))
    }

    /// RFC 7592 §2.3.
    async fn remove(&self, managed: &Managed) -> Result<Answered, Refusal> {
        let client_id = &managed.client.client_id;
        let store: Store = self.store.as_client(client_id);
        match store.remove_client(client_id, now()).await {
            // Somebody else was faster: it is gone either way.
            Ok(()) | Err(StoreError::NotFound(..)) => {}
            Err(error) => return Err(Refusal::Store(error)),
        }
        self.tell_changes();
        Ok(Answered::Removed)
    }

    async fn told(
        &self,
        managed: Managed,
        members: serde_json::Map<String, serde_json::Value>,
        token: Option<String>,
        secret: Option<String>,
    ) -> Result<Told, Refusal> {
        let client_id = managed.client.client_id;
        let audience = members.get(AUDIENCE).and_then(|audience| audience.as_str());
        let scope = self
            .store
            .scope_of(&client_id, audience.unwrap_or_default(), now());
        Ok(Told {
            uri: self.registration_uri(&client_id),
            scope: scope.await?,
            client_id,
            registered_at: managed.registration.registered_at,
            // What was shown is text: it had the digest of one.
            token: token.unwrap_or_else(|| String::from_utf8_lossy(&managed.token).into_owned()),
            secret,
            members,
        })
    }

    async fn scope_of(
        &self,
        client_id: &str,
        metadata: &Metadata,
        now: UnixTime,
    ) -> Result<Scope, StoreError> {
        let audience = metadata.members.get(AUDIENCE);
        let audience = audience.and_then(|audience| audience.as_str());
        self.store
            .scope_of(client_id, audience.unwrap_or_default(), now)
            .await
    }

    fn registration_uri(&self, client_id: &str) -> String {
        let endpoint = self.issuer.url(Endpoint::Registration);
        format!("{endpoint}/{}", answering::path_segment(client_id))
    }
}

impl Managed {
    fn members(&self) -> Result<serde_json::Map<String, serde_json::Value>, Refusal> {
        serde_json::from_str(&self.registration.metadata).map_err(|_| {
            let corrupt = "a stored registration is corrupt".to_owned();
            Refusal::Store(StoreError::Database(corrupt))
        })
    }
}

/// The client that there shall be, and the secret that it is told: its own where it sent one, otherwise a new one, if it has one at all.
fn client_of(
    client_id: String,
    metadata: &Metadata,
    own: Option<String>,
) -> Result<(Client, Option<String>), PopError> {
    let (authentication, secret) = if let Some(authentication) = &metadata.authentication {
        (authentication.clone(), None)
    } else {
        let secret = match own {
            Some(secret) => secret,
            None => Secret::generate()?.as_str().to_owned(),
        };
        (ClientAuthentication::from_secret(&secret), Some(secret))
    };
    let client = Client {
        client_id,
        authentication,
        pop_algorithm: metadata.pop_algorithm,
        refresh_tokens: metadata.refresh_tokens,
    };
    Ok((client, secret))
}

fn is_secret_of(client: &Client, secret: &str) -> bool {
    match &client.authentication {
        ClientAuthentication::Secret { sha256 } => {
            bool::from(sha256.ct_eq(&sha256_of(secret.as_bytes())))
        }
        ClientAuthentication::Key(_)
        | ClientAuthentication::Certificate { .. }
        | ClientAuthentication::RawPublicKey(_)
        | ClientAuthentication::CertificateName(_) => false,
    }
}

fn name_of(name: &NewName) -> Result<String, PopError> {
    match name {
        NewName::Exactly(name) => Ok(name.clone()),
        NewName::Beginning(prefix) => {
            let random = minting::random::<SUFFIX_CHARACTERS>()?;
            let suffix = random
                .iter()
                .map(|byte| char::from(ALPHABET[usize::from(byte & 31)]));
            Ok(prefix.chars().chain(suffix).collect())
        }
    }
}

/// Where a request comes from. Without a listener, as in tests, all come from one place.
fn address(parts: &Parts) -> IpAddr {
    let peer = parts.extensions.get::<PeerAddress>();
    peer.map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.0)
}
