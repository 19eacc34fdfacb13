//! The token endpoint (RFC 9200 §5.8, RFC 9431 §2.1).

mod issue;

use super::{
    Endpoints, Shared,
    answer::{self, ACE_JSON, FORM, Format, JSON, media_type},
    auditing::Refused,
    body,
    caller::{Attempt, AuthenticatedClient, CallerError, Replayed, Several, only},
};
use crate::{
    core::{
        policy::{self, Destination, PolicyError},
        possession::{self, Evidence, PossessionError, TokenKey},
        replay::Kind,
    },
    issuing::{SigningError, now},
    store::{Refresh, RefreshGrant, Snapshot, StoreError, sha256_of},
    tls::PeerCertificates,
};
use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::Response,
};
use issue::{Decided, Key};
use std::sync::Arc;
use symbolon_ace_proto::{
    CBOR_MEDIA_TYPE, Confirmation, ErrorCode, ErrorResponse, Jwk, MalformedMessage, PopError,
    PopKey, Scope, TokenRequest, TokenResponse, UnixTime,
    dpop::{self, DpopProof},
};

/// How often one request is decided: anew where rules, clients or resource servers have changed before its token was stored.
const MAX_ATTEMPTS: usize = 8;

/// Why a request gets no token.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("{0}")]
    Request(ErrorResponse),
    #[error("the grants are client_credentials and refresh_token")]
    GrantType,
    #[error("the refresh token is not good, or not for this")]
    RefreshToken,
    #[error("the refresh token was used before: all that came from it is revoked")]
    RefreshTokenReplayed,
    #[error(transparent)]
    Caller(#[from] CallerError),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error(transparent)]
    Possession(#[from] PossessionError),
    #[error("the client has as many tokens as it may have at a time")]
    TooManyTokens,
    #[error("what tokens are decided by changes too often")]
    Outdated,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot make or use a key: {0}")]
    Key(#[from] PopError),
    #[error("the answer has no form in CBOR: {0}")]
    Answer(#[from] MalformedMessage),
    #[error(transparent)]
    Signing(#[from] SigningError),
}

impl Refusal {
    fn respond(&self, format: Format) -> Response {
        let refused = |code, text: &str| answer::refusal(&ErrorResponse::new(code, text), format);
        match self {
            Self::Request(error) => answer::refusal(error, format),
            Self::GrantType => refused(ErrorCode::UnsupportedGrantType, &self.to_string()),
            // The same for all that is wrong with one: whoever tries a stolen one learns nothing.
            Self::RefreshToken | Self::RefreshTokenReplayed => {
                let text = Self::RefreshToken.to_string();
                refused(ErrorCode::InvalidGrant, &text)
            }
            Self::Caller(error) => error.respond(format),
            Self::Policy(error) => answer::refusal(&error.response(), format),
            Self::Possession(error) => answer::refusal(&error.response(), format),
            Self::TooManyTokens => {
                let status = StatusCode::TOO_MANY_REQUESTS;
                answer::failure(status, "temporarily_unavailable", format)
            }
            Self::Outdated => answer::not_now(answer::failure(
                StatusCode::SERVICE_UNAVAILABLE,
                "temporarily_unavailable",
                format,
            )),
            Self::Signing(SigningError::Hsm(_)) => {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                answer::failure(status, "temporarily_unavailable", format)
            }
            Self::Store(error) => answer::store_failure(error, format),
            Self::Key(_) | Self::Answer(_) | Self::Signing(SigningError::Key(_)) => {
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                answer::failure(status, "server_error", format)
            }
        }
    }

    /// Whether rules or resource servers that have changed could make it another answer.
    fn rests_on_rules(&self) -> bool {
        match self {
            Self::Policy(_) | Self::Possession(_) => true,
            Self::Request(_)
            | Self::GrantType
            | Self::RefreshToken
            | Self::RefreshTokenReplayed
            | Self::Caller(_)
            | Self::TooManyTokens
            | Self::Outdated
            | Self::Store(_)
            | Self::Key(_)
            | Self::Signing(_)
            | Self::Answer(_) => false,
        }
    }

    /// As OAuth calls it; what it has no word for, as the answer does.
    fn name(&self) -> &'static str {
        match self {
            Self::Request(error) => error.code.as_str(),
            Self::GrantType => ErrorCode::UnsupportedGrantType.as_str(),
            Self::RefreshToken | Self::RefreshTokenReplayed => ErrorCode::InvalidGrant.as_str(),
            Self::Caller(CallerError::Authentication(error)) => error.response().code.as_str(),
            Self::Policy(error) => error.response().code.as_str(),
            Self::Possession(error) => error.response().code.as_str(),
            Self::Caller(
                CallerError::Busy(_) | CallerError::TooFast | CallerError::Failures(_),
            )
            | Self::TooManyTokens
            | Self::Outdated
            | Self::Signing(SigningError::Hsm(_)) => "temporarily_unavailable",
            Self::Caller(CallerError::Store(_))
            | Self::Store(_)
            | Self::Key(_)
            | Self::Signing(SigningError::Key(_))
            | Self::Answer(_) => "server_error",
        }
    }

    fn is_ours(&self) -> bool {
        match self {
            Self::Store(_) | Self::Key(_) | Self::Answer(_) | Self::Signing(_) | Self::Outdated => {
                true
            }
            Self::Caller(error) => error.is_ours(),
            Self::Request(_)
            | Self::GrantType
            | Self::RefreshToken
            | Self::RefreshTokenReplayed
            | Self::Policy(_)
            | Self::Possession(_)
            | Self::TooManyTokens => false,
        }
    }
}

/// Answers `POST /token`.
pub(super) async fn handle(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let format = Format::asked(&parts.headers);
    let Some(parse) = parser_for(&parts.headers) else {
        let description =
            "send application/ace+cbor, application/ace+json, application/json or a form";
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
        Ok(request) => shared
            .endpoints
            .grant(&parts, &request, format, &mut log)
            .await
            .and_then(|response| encoded(&response, format)),
    };
    if let Err(refusal) = &answered {
        shared.endpoints.metrics.token_refused(refusal.name());
    }
    log.write(answered.as_ref().err());
    if let Err(refusal) = &answered
        && !refusal.is_ours()
    {
        let refused = Refused {
            client_id: log.client_id.as_deref(),
            is_known: !matches!(refusal, Refusal::Caller(_) | Refusal::Request(_)),
            action: "token.issue",
            object: log.audience.as_deref().unwrap_or("-"),
            why: &refusal.to_string(),
        };
        shared.endpoints.audit(refused).await;
    }
    match answered {
        Ok(body) => answer::no_store(StatusCode::OK, format, body),
        Err(refusal) => refusal.respond(format),
    }
}

fn encoded(response: &TokenResponse, format: Format) -> Result<Vec<u8>, Refusal> {
    Ok(if format.is_cbor() {
        response.to_cbor()?.to_vec()
    } else {
        response.to_json().into_bytes()
    })
}

type Parser = fn(&[u8]) -> Result<TokenRequest, ErrorResponse>;

fn parser_for(headers: &HeaderMap) -> Option<Parser> {
    match media_type(headers.get(header::CONTENT_TYPE))?.as_str() {
        ACE_JSON | JSON => Some(TokenRequest::from_json),
        FORM => Some(TokenRequest::from_form),
        CBOR_MEDIA_TYPE => Some(TokenRequest::from_cbor),
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
    fn write(&self, refusal: Option<&Refusal>) {
        let client_id = self.client_id.as_deref().unwrap_or("-");
        let audience = self.audience.as_deref().unwrap_or("-");
        match refusal {
            None => tracing::info!(client_id, audience, "token issued"),
            Some(refusal) if refusal.is_ours() => {
                tracing::error!(client_id, audience, error = %refusal, "no token");
            }
            Some(refusal) => {
                tracing::info!(client_id, audience, reason = %refusal, "token refused");
            }
        }
    }
}

/// A refresh token that is good, and its digest.
struct Refreshing {
    sha256: [u8; 32],
    grant: RefreshGrant,
}

/// RFC 6749 §6: with a refresh token not more than was granted at first.
fn asked_scope(
    request: &TokenRequest,
    refreshing: Option<&Refreshing>,
) -> Result<Option<Scope>, Refusal> {
    let asked = request.scope.clone();
    let Some(refreshing) = refreshing else {
        return Ok(asked);
    };
    let first = Scope::from_json(&refreshing.grant.scope).map_err(|_| Refusal::RefreshToken)?;
    Ok(Some(match asked {
        Some(asked) => asked.intersect(&first),
        None => first,
    }))
}

impl Endpoints {
    /// Decides by what is known, and anew where that turns out to be so no more.
    async fn grant(
        &self,
        parts: &Parts,
        request: &TokenRequest,
        format: Format,
        log: &mut Outcome,
    ) -> Result<TokenResponse, Refusal> {
        let mut attempt = Attempt::first(self.store.snapshot().await?);
        for _ in 0..MAX_ATTEMPTS {
            let decided = self
                .decide((parts, request), &mut attempt, format, log)
                .await;
            let is_final = match &decided {
                Err(Refusal::Outdated) => false,
                Err(refusal) if refusal.rests_on_rules() => {
                    self.store.is_current(&attempt.snapshot).await?
                }
                Ok(_) | Err(_) => true,
            };
            if is_final {
                return decided;
            }
            attempt.snapshot = self.store.snapshot().await?;
        }
        Err(Refusal::Outdated)
    }

    async fn decide(
        &self,
        (parts, request): (&Parts, &TokenRequest),
        attempt: &mut Attempt,
        format: Format,
        log: &mut Outcome,
    ) -> Result<TokenResponse, Refusal> {
        let now = now();
        let caller = self
            .authenticator
            .client_by((parts, request), attempt, &mut log.client_id, now)
            .await?;
        let refreshing = self.refreshing(request, &caller, now).await?;
        let asked = request.audience.as_deref();
        let audience = match &refreshing {
            Some(refreshing) => Some(refreshing.grant.audience.as_str()),
            None => asked,
        };
        let key = match refreshing {
            None => Some(self.key((parts, request), attempt, &caller, now).await?),
            Some(_) => None,
        };
        let snapshot = &attempt.snapshot;
        let servers = self.store.servers_for(snapshot, audience).await?;
        let destination = policy::choose_destination(audience, servers.to_vec())?;
        log.audience = Some(destination.audience.clone());
        let key = match (key, &refreshing) {
            (Some(key), _) => key,
            (None, Some(refreshing)) => Key::of_refresh_token(&refreshing.grant)?,
            (None, None) => return Err(Refusal::RefreshToken),
        };
        let key = key.bind(self, &caller.client, &destination, now).await?;
        // One reading for the whole token, whatever is changed meanwhile.
        let issuing = self.issuing.load_full();
        let asked = asked_scope(request, refreshing.as_ref())?;
        let client_id = &caller.client.client_id;
        let permitted = self
            .permitted(asked, (snapshot, client_id), &destination, now)
            .await?;
        let decided = Decided {
            client: &caller.client,
            destination,
            key,
            permitted,
            client_nonce: request.client_nonce.clone(),
            refreshing: refreshing.map(|refreshing| (refreshing.sha256, refreshing.grant)),
            snapshot: Arc::clone(snapshot),
        };
        self.issue(decided, &issuing, format, now).await
    }

    /// The refresh token that the request is made with, if that is what it asks for.
    async fn refreshing(
        &self,
        request: &TokenRequest,
        caller: &AuthenticatedClient,
        now: UnixTime,
    ) -> Result<Option<Refreshing>, Refusal> {
        match request.grant_type.as_deref() {
            None | Some("client_credentials") => return Ok(None),
            Some("refresh_token") => {}
            Some(_) => return Err(Refusal::GrantType),
        }
        let token = request.refresh_token.as_deref();
        let token = token.ok_or(Refusal::RefreshToken)?;
        let sha256 = sha256_of(token.as_bytes());
        let client_id = &caller.client.client_id;
        let grant = match self.store.refresh_token(&sha256, client_id, now).await? {
            Refresh::Grant(grant) => grant,
            Refresh::Unknown => return Err(Refusal::RefreshToken),
            Refresh::Replayed => {
                self.tell_changes();
                return Err(Refusal::RefreshTokenReplayed);
            }
        };
        // RFC 9200 §4: the same key and the same audience.
        let asked = request.audience.as_ref();
        if asked.is_some_and(|asked| *asked != grant.audience) {
            return Err(Refusal::RefreshToken);
        }
        if request.req_cnf.is_some() {
            return Err(PossessionError::KeyWithRefreshToken.into());
        }
        Ok(Some(Refreshing { sha256, grant }))
    }

    /// Which key is asked for, and whether the client may have it.
    async fn key(
        &self,
        (parts, request): (&Parts, &TokenRequest),
        attempt: &mut Attempt,
        caller: &AuthenticatedClient,
        now: UnixTime,
    ) -> Result<Key, Refusal> {
        let client_id = &caller.client.client_id;
        let dpop = self
            .verify_dpop(&parts.headers, attempt, client_id, now)
            .await?;
        let req_cnf = request.req_cnf.as_ref();
        if let Some(kid) = req_cnf.and_then(Confirmation::key_identifier) {
            return Ok(Key::Named(kid));
        }
        let certificate_key = parts
            .extensions
            .get::<PeerCertificates>()
            .and_then(PeerCertificates::public_key);
        let evidence = Evidence {
            req_cnf,
            assertion_key: caller.assertion.as_ref().map(|(_, key)| key),
            dpop_key: dpop.as_ref().map(|proof| &proof.key),
            certificate_key: certificate_key.as_ref(),
        };
        match possession::choose_key(caller.client.pop_algorithm, evidence)? {
            TokenKey::New => Ok(Key::Fresh),
            TokenKey::Client(key) => Ok(Key::Own(Box::new(labelled(&key, req_cnf)))),
        }
    }

    /// The scope that is granted: of a group what may be done at each member.
    async fn permitted(
        &self,
        mut scope: Option<Scope>,
        (snapshot, client_id): (&Snapshot, &str),
        destination: &Destination,
        now: UnixTime,
    ) -> Result<policy::Permitted, Refusal> {
        let mut lifetime_secs = self.issuing.load().token_lifetime_secs();
        let mut permitted = None;
        for audience in destination.members() {
            let rules = self.store.rules_for(snapshot, client_id, audience).await?;
            let here = policy::permit(scope.as_ref(), &rules, lifetime_secs, now)?;
            lifetime_secs = here.token_lifetime_secs;
            scope = Some(here.scope.clone());
            permitted = Some(here);
        }
        permitted.ok_or(Refusal::Policy(PolicyError::UnknownAudience))
    }

    async fn verify_dpop(
        &self,
        headers: &HeaderMap,
        attempt: &mut Attempt,
        client_id: &str,
        now: UnixTime,
    ) -> Result<Option<DpopProof>, Refusal> {
        let header = only(headers, "dpop").map_err(|Several| PossessionError::SeveralDpop)?;
        let Some(header) = header else {
            return Ok(None);
        };
        // Bytes outside ASCII are in no JWT: what they are replaced by fails like they would.
        let text = String::from_utf8_lossy(header);
        let url = self.issuer.token_endpoint();
        let proof = dpop::verify(&text, "POST", &url, now).map_err(PossessionError::Dpop)?;
        if !attempt.proof_is_counted {
            self.authenticator
                .remember(
                    (Kind::Dpop, client_id, &proof.identifier),
                    proof.issued_at.plus_secs(dpop::WINDOW_SECS),
                    now,
                )
                .await?
                .map_err(|Replayed| PossessionError::DpopReplayed)?;
            attempt.proof_is_counted = true;
        }
        Ok(Some(proof))
    }
}

/// The longest `kid` of a client that is kept, bytes: it stands in every token.
const MAX_KID_BYTES: usize = 64;

/// A client's key with the name that the client gave it.
fn labelled(key: &PopKey, req_cnf: Option<&Confirmation>) -> Jwk {
    let jwk = key.to_jwk();
    let named = match req_cnf {
        Some(Confirmation::Key(jwk)) => jwk.kid.as_deref(),
        Some(Confirmation::Encrypted(_) | Confirmation::KeyIdentifier(_)) | None => None,
    };
    match named.filter(|kid| kid.len() <= MAX_KID_BYTES) {
        Some(kid) => jwk.with_kid(kid),
        None => jwk,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{core::replay::SeenError, pkcs11::HsmError};

    #[test]
    fn failures_of_ours_say_so_and_no_more() {
        for (refusal, status) in [
            (CallerError::Busy(SeenError::Full).into(), 503),
            (Refusal::TooManyTokens, 429),
            (StoreError::Database("secret".to_owned()).into(), 500),
            (StoreError::Unavailable("secret".to_owned()).into(), 503),
            (PopError::Crypto.into(), 500),
            (SigningError::Hsm(HsmError::Silent).into(), 503),
        ] {
            let response = refusal.respond(Format::Json);
            assert_eq!(response.status(), status);
            let body = format!("{:?}", response.body());
            assert!(!body.contains("secret"));
        }
    }
}
