//! Asks the authorization server what a token by reference says (RFC 7662, RFC 9200 §5.9), within bounds. What it says is remembered in
//! `core::introspected`, where admission looks.

use crate::{
    config::{AuthorizationServerConfig, IntrospectionConfig},
    core::introspected::{Answer, Introspected, Reference, Verdict},
    credential::Credential,
};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use symbolon_ace_proto::{
    IntrospectionRequest, IntrospectionResponse, MalformedMessage, UnixTime, client_assertion,
};
use symbolon_tls::https::{HttpsClient, HttpsError, HttpsRequest, Method};
use tokio::{sync::Semaphore, time::timeout};

/// Questions that the authorization server is asked at once; the others wait.
const IN_FLIGHT_AT_MOST: usize = 32;
/// How long one question may take, with the wait for its turn.
const TIME_LIMIT: Duration = Duration::from_secs(5);
/// Questions that wait for their turn or their answer; further ones are not asked.
const WAITING_AT_MOST: usize = 1_024;

/// Asks one authorization server.
pub(crate) struct Introspector {
    client: HttpsClient,
    config: IntrospectionConfig,
    credential: Credential,
    issuer: String,
    introspected: Arc<Introspected>,
    in_flight: Semaphore,
    waiting: Semaphore,
}

/// How often it was asked, over all authorization servers that there were.
#[derive(Debug, Default)]
pub(crate) struct Questions {
    succeeded: AtomicU64,
    failed: AtomicU64,
}

/// Why the authorization server has said nothing.
#[derive(Debug, thiserror::Error)]
enum IntrospectionError {
    #[error(transparent)]
    Https(#[from] HttpsError),
    #[error("the authorization server answers with status {0}")]
    Status(u16),
    #[error("the answer is malformed: {0}")]
    Answer(#[from] MalformedMessage),
    #[error("the broker cannot authenticate: {0}")]
    Credential(#[from] client_assertion::AssertionError),
    #[error("no answer within {} seconds", TIME_LIMIT.as_secs())]
    Timeout,
    #[error("too many questions wait for it")]
    TooMany,
}

impl Introspector {
    /// Of this authorization server, if it is to be asked.
    pub(crate) fn new(
        config: &AuthorizationServerConfig,
        client: HttpsClient,
        introspected: &Arc<Introspected>,
    ) -> Result<Option<Self>, String> {
        let Some(introspection) = &config.introspection else {
            return Ok(None);
        };
        Ok(Some(Self {
            client,
            credential: Credential::new(
                &introspection.client_id,
                &config.issuer,
                &introspection.credential,
            )?,
            config: introspection.clone(),
            issuer: config.issuer.clone(),
            introspected: Arc::clone(introspected),
            in_flight: Semaphore::new(IN_FLIGHT_AT_MOST),
            waiting: Semaphore::new(WAITING_AT_MOST),
        }))
    }

    /// Asks, unless it has said so lately, and remembers the answer; whether the token is active. Without an answer nothing is remembered: the
    /// token is refused, and the next client that brings it asks anew.
    pub(crate) async fn ask(
        &self,
        reference: &Reference,
        now: UnixTime,
        count: &Questions,
    ) -> bool {
        match self.introspected.find(&self.issuer, reference, now) {
            Some(Verdict::Active(_)) => return true,
            Some(Verdict::Inactive) => return false,
            None => {}
        }
        match self.answer(reference, now).await {
            Ok(answer) => {
                count.succeeded.fetch_add(1, Ordering::Relaxed);
                let until = now.plus_secs(self.config.cache_secs.max(1));
                let verdict = match answer {
                    IntrospectionResponse::Inactive => Verdict::Inactive,
                    IntrospectionResponse::Active(token) => Verdict::Active(Arc::new(Answer {
                        token: *token,
                        asked_at: now,
                        until,
                    })),
                };
                let is_active = matches!(verdict, Verdict::Active(_));
                let token = (self.issuer.as_str(), reference);
                self.introspected.remember(token, verdict, until);
                is_active
            }
            Err(error) => {
                count.failed.fetch_add(1, Ordering::Relaxed);
                let endpoint = &self.config.endpoint;
                tracing::warn!(%endpoint, %error, "cannot ask the authorization server what a token says");
                false
            }
        }
    }

    async fn answer(
        &self,
        reference: &Reference,
        now: UnixTime,
    ) -> Result<IntrospectionResponse, IntrospectionError> {
        let _waits = self
            .waiting
            .try_acquire()
            .map_err(|_| IntrospectionError::TooMany)?;
        let exchange = async {
            let Ok(_turn) = self.in_flight.acquire().await else {
                return Err(IntrospectionError::TooMany);
            };
            let response = self.client.send(self.request(reference, now)?).await?;
            if response.status != 200 {
                return Err(IntrospectionError::Status(response.status));
            }
            Ok(IntrospectionResponse::from_json(&response.body)?)
        };
        timeout(TIME_LIMIT, exchange)
            .await
            .unwrap_or(Err(IntrospectionError::Timeout))
    }

    fn request(
        &self,
        reference: &Reference,
        now: UnixTime,
    ) -> Result<HttpsRequest, IntrospectionError> {
        let question = IntrospectionRequest {
            token: reference.as_bytes().to_vec(),
            token_type_hint: None,
        };
        let mut headers = vec![
            (
                "content-type",
                "application/x-www-form-urlencoded".to_owned(),
            ),
            (
                "accept",
                "application/ace+json, application/json".to_owned(),
            ),
        ];
        let introduction = self.credential.introduce(now)?;
        headers.extend(introduction.authorization_header());
        let parameters = introduction.parameters.iter();
        let parameters: Vec<_> = parameters
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        Ok(HttpsRequest {
            method: Method::POST,
            url: self.config.endpoint.clone(),
            headers,
            body: question.to_form(&parameters)?.into(),
        })
    }
}

impl Questions {
    pub(crate) fn succeeded(&self) -> u64 {
        self.succeeded.load(Ordering::Relaxed)
    }

    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}

/// It holds the broker's secret.
impl fmt::Debug for Introspector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Introspector")
            .field("endpoint", &self.config.endpoint)
            .finish_non_exhaustive()
    }
}
