//! The token endpoint (RFC 9200 §5.8, RFC 9431 §2.1).

mod body;

use super::{
    Shared,
    answer::{self, ACE_JSON, Format, media_type},
};
use crate::{
    core::{
        authenticate::{AssertionRules, Authenticated, AuthenticationError, Credentials},
        grant::{self, Parties},
        policy::{self, ClientId, Permitted, PolicyError},
        possession::{self, Evidence, PossessionError, TokenKey},
        replay::{Kind, Seen, SeenError},
    },
    issuer::Issuer,
    issuing::{Issuing, now},
    store::{ResourceServer, Store, StoreError},
};
use arc_swap::ArcSwap;
use aws_lc_rs::error::Unspecified;
use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::Response,
};
use std::sync::{Arc, Mutex, PoisonError};
use symbolon_ace_proto::{
    Confirmation, ErrorCode, ErrorResponse, PROFILE, PopAlgorithm, PopError, PopSigner,
    TokenRequest, TokenResponse, UnixTime,
    dpop::{self, DpopProof},
};

/// The most assertions and proofs remembered against replay, about 100 bytes each. They live 5 minutes at most.
const MAX_REMEMBERED: usize = 1 << 20;
/// The longest token: two bytes of length, it and a proof of 64 bytes fill MQTT's Authentication Data (RFC 9431 §2.2.4.2.1).
const MAX_TOKEN_BYTES: usize = 65_535 - 2 - 64;

/// Everything that answers token requests.
#[derive(Debug)]
pub(crate) struct TokenEndpoint {
    store: Store,
    issuer: Issuer,
    url: String,
    issuing: Arc<ArcSwap<Issuing>>,
    rules: AssertionRules,
    seen: Mutex<Seen>,
}

/// Why a request gets no token.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("{0}")]
    Request(ErrorResponse),
    #[error("only the client_credentials grant is supported")]
    GrantType,
    #[error(transparent)]
    Authentication(#[from] AuthenticationError),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error(transparent)]
    Possession(#[from] PossessionError),
    #[error("too many requests: {0}")]
    Busy(SeenError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot make or use a key: {0}")]
    Key(#[from] PopError),
    #[error("the system's random source failed")]
    Random(#[from] Unspecified),
}

impl Refusal {
    fn respond(&self, format: Format) -> Response {
        match self {
            Self::Request(error) => answer::refusal(error, format),
            Self::GrantType => {
                let code = ErrorCode::UnsupportedGrantType;
                answer::refusal(&ErrorResponse::new(code, &self.to_string()), format)
            }
            Self::Authentication(error) => answer::refusal(&error.response(), format),
            Self::Policy(error) => answer::refusal(&error.response(), format),
            Self::Possession(error) => answer::refusal(&error.response(), format),
            Self::Busy(_) => {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                answer::failure(status, "temporarily_unavailable", format)
            }
            Self::Store(_) | Self::Key(_) | Self::Random(_) => {
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                answer::failure(status, "server_error", format)
            }
        }
    }
}

/// Answers `POST /token`.
pub(super) async fn handle(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let format = Format::asked(&parts.headers);
    let Some(parse) = parser_for(&parts.headers) else {
        let description = "send application/ace+json, application/json or a form";
        return answer::malformed(StatusCode::UNSUPPORTED_MEDIA_TYPE, description, format);
    };
    let body = match body::read(body).await {
        Ok(body) => body,
        Err(error) => return answer::malformed(error.status(), &error.to_string(), format),
    };
    let mut log = Outcome::default();
    let answered = match parse(&body) {
        // RFC 6749 §2.3.1: credentials must not stand in the URI, where logs keep them.
        _ if parts.uri.query().is_some() => Err(Refusal::Request(ErrorResponse::new(
            ErrorCode::InvalidRequest,
            "parameters belong into the body",
        ))),
        Err(error) => Err(Refusal::Request(error)),
        Ok(request) => shared.token.grant(&parts, &request, &mut log).await,
    };
    log.write(&answered);
    match answered {
        Ok(response) => answer::no_store(StatusCode::OK, format, response.to_json()),
        Err(refusal) => refusal.respond(format),
    }
}

type Parser = fn(&[u8]) -> Result<TokenRequest, ErrorResponse>;

fn parser_for(headers: &HeaderMap) -> Option<Parser> {
    match media_type(headers.get(header::CONTENT_TYPE))?.as_str() {
        ACE_JSON | "application/json" => Some(TokenRequest::from_json),
        "application/x-www-form-urlencoded" => Some(TokenRequest::from_form),
        _ => None,
    }
}

/// What the log says of a request: who, where and how it ended, and never a secret, token or key.
#[derive(Default)]
struct Outcome {
    client_id: Option<String>,
    audience: Option<String>,
}

impl Outcome {
    fn write(&self, answered: &Result<TokenResponse, Refusal>) {
        let client_id = self.client_id.as_deref().unwrap_or("-");
        let audience = self.audience.as_deref().unwrap_or("-");
        match answered {
            Ok(_) => tracing::info!(client_id, audience, "token issued"),
            Err(
                refusal @ (Refusal::Store(_)
                | Refusal::Key(_)
                | Refusal::Random(_)
                | Refusal::Busy(_)),
            ) => tracing::error!(client_id, audience, error = %refusal, "no token"),
            Err(refusal) => tracing::info!(client_id, audience, reason = %refusal, "token refused"),
        }
    }
}

impl TokenEndpoint {
    /// Tokens as `issuing` says, for what `store` allows.
    pub(crate) fn new(
        store: Store,
        issuer: Issuer,
        issuing: Arc<ArcSwap<Issuing>>,
        rules: AssertionRules,
    ) -> Self {
        Self {
            url: issuer.token_endpoint(),
            store,
            issuer,
            issuing,
            rules,
            seen: Mutex::new(Seen::new(MAX_REMEMBERED)),
        }
    }

    /// Whose it is.
    pub(crate) fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// The keys that verify its tokens, as a JWK Set.
    pub(super) fn jwks(&self) -> String {
        self.issuing.load().key_set(now()).to_json()
    }

    async fn grant(
        &self,
        parts: &Parts,
        request: &TokenRequest,
        log: &mut Outcome,
    ) -> Result<TokenResponse, Refusal> {
        let now = now();
        let authenticated = self.authenticate(&parts.headers, request, log, now).await?;
        let client = &authenticated.client;
        if request
            .grant_type
            .as_deref()
            .is_some_and(|kind| kind != "client_credentials")
        {
            return Err(Refusal::GrantType);
        }
        let dpop = self.verify_dpop(&parts.headers, &client.client_id, now)?;
        let key = possession::choose_key(
            client.pop_algorithm,
            Evidence {
                req_cnf: request.req_cnf.as_ref(),
                assertion_key: authenticated.assertion.as_ref().map(|(_, key)| key),
                dpop_key: dpop.as_ref().map(|proof| &proof.key),
            },
        )?;
        let asked = request.audience.as_deref();
        let servers = self.store.resource_servers_for(asked).await?;
        let server = policy::choose_server(asked, servers)?;
        log.audience = Some(server.audience.clone());
        let rules = self
            .store
            .rules(&client.client_id, &server.audience)
            .await?;
        // One reading for the whole token, whatever is changed meanwhile.
        let issuing = self.issuing.load_full();
        let lifetime_secs = issuing.token_lifetime_secs();
        let permitted = policy::permit(request.scope.as_ref(), &rules, lifetime_secs, now)?;
        let decided = Decided {
            client_id: &client.client_id,
            server,
            key,
            permitted,
        };
        self.issue(decided, &issuing, now)
    }

    async fn authenticate(
        &self,
        headers: &HeaderMap,
        request: &TokenRequest,
        log: &mut Outcome,
        now: UnixTime,
    ) -> Result<Authenticated, Refusal> {
        let authorization = only(headers, header::AUTHORIZATION.as_str())
            .map_err(|Several| AuthenticationError::Several)?;
        let credentials = Credentials::parse(authorization, request)?;
        let claimed = ClientId::parse(credentials.client_id()).ok();
        log.client_id = claimed.map(|claimed| claimed.as_str().to_owned());
        let client = self.store.client(credentials.client_id()).await?;
        let authenticated = credentials.authenticate(client, &self.rules, now)?;
        if let Some((assertion, _)) = &authenticated.assertion {
            self.remember(
                (Kind::Assertion, &assertion.client_id, &assertion.identifier),
                assertion.expires_at,
                now,
            )?
            .map_err(|Replayed| AuthenticationError::Replayed)?;
        }
        let named = request.client_id.as_ref();
        if named.is_some_and(|named| *named != authenticated.client.client_id) {
            return Err(AuthenticationError::ClientIdMismatch.into());
        }
        Ok(authenticated)
    }

    fn verify_dpop(
        &self,
        headers: &HeaderMap,
        client_id: &str,
        now: UnixTime,
    ) -> Result<Option<DpopProof>, Refusal> {
        let header = only(headers, "dpop").map_err(|Several| PossessionError::SeveralDpop)?;
        let Some(header) = header else {
            return Ok(None);
        };
        // Bytes outside ASCII are in no JWT: what they are replaced by fails like they would.
        let text = String::from_utf8_lossy(header);
        let proof = dpop::verify(&text, "POST", &self.url, now).map_err(PossessionError::Dpop)?;
        self.remember(
            (Kind::Dpop, client_id, &proof.identifier),
            proof.issued_at.plus_secs(dpop::WINDOW_SECS),
            now,
        )?
        .map_err(|Replayed| PossessionError::DpopReplayed)?;
        Ok(Some(proof))
    }

    /// The outer error is ours (no room), the inner one the client's.
    fn remember(
        &self,
        identifier: (Kind, &str, &str),
        expires_at: UnixTime,
        now: UnixTime,
    ) -> Result<Result<(), Replayed>, Refusal> {
        // A panic elsewhere leaves at worst a mark without expiry in it: still right, if not tidy.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.remember(identifier, expires_at, now) {
            Ok(()) => Ok(Ok(())),
            Err(SeenError::Replayed) => Ok(Err(Replayed)),
            Err(error @ SeenError::Full) => Err(Refusal::Busy(error)),
        }
    }

    fn issue(
        &self,
        decided: Decided<'_>,
        issuing: &Issuing,
        now: UnixTime,
    ) -> Result<TokenResponse, Refusal> {
        let Decided {
            server, permitted, ..
        } = decided;
        let parties = Parties {
            issuer: self.issuer.as_str(),
            client_id: decided.client_id,
            audience: &server.audience,
        };
        let (confirmation, cnf, rs_cnf) = match decided.key {
            TokenKey::Client(key) => {
                let confirmation = Confirmation::Key(Box::new(key.to_jwk()));
                (confirmation, None, server.rs_cnf)
            }
            TokenKey::New => {
                let jwk = PopSigner::generate(PopAlgorithm::Hs256)?
                    .verifying_key()
                    .to_jwk();
                let content_key = server.content_key.ok_or(PossessionError::Unsupported)?;
                let encrypted = content_key.encrypt(&jwk)?;
                let cnf = Confirmation::Key(Box::new(jwk));
                // RFC 9201 §3.2: rs_cnf must not be present with a symmetric key.
                (Confirmation::Encrypted(encrypted), Some(cnf), None)
            }
        };
        let claims = grant::claims(parties, &permitted, confirmation, random()?, now);
        let access_token = issuing.sign(&claims)?;
        if access_token.len() > MAX_TOKEN_BYTES {
            return Err(PolicyError::TooLarge.into());
        }
        Ok(TokenResponse {
            access_token,
            token_type: Some("PoP".to_owned()),
            expires_in_secs: Some(permitted.token_lifetime_secs),
            scope: Some(permitted.scope),
            cnf,
            refresh_token: None,
            rs_cnf,
            ace_profile: Some(PROFILE.to_owned()),
        })
    }
}

/// All that stands before a token is made.
struct Decided<'a> {
    client_id: &'a str,
    server: ResourceServer,
    key: TokenKey,
    permitted: Permitted,
}

/// An identifier that was used before.
struct Replayed;

/// More than one where one is allowed.
struct Several;

/// The value of a header that may stand once.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a [u8]>, Several> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value.map(header::HeaderValue::as_bytes)),
        (_, Some(_)) => Err(Several),
    }
}

fn random() -> Result<[u8; 16], Unspecified> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_ours_say_so_and_no_more() {
        for (refusal, status) in [
            (Refusal::Busy(SeenError::Full), 503),
            (StoreError::Database("secret".to_owned()).into(), 500),
            (PopError::Crypto.into(), 500),
            (Refusal::Random(Unspecified), 500),
        ] {
            let response = refusal.respond(Format::Json);
            assert_eq!(response.status(), status);
            let body = format!("{:?}", response.body());
            assert!(!body.contains("secret"));
        }
    }
}
