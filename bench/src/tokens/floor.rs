//! The floor: the HTTP and TLS of the authorization server on as many threads, which checks who asks and signs a token of the same claims.
//! What it knows of clients it has read before; it stores nothing, looks for no rules and writes no audit log.

use crate::wire::secure::ServerTls;
use anyhow::Context as _;
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use base64::{Engine as _, prelude::BASE64_STANDARD, prelude::BASE64_URL_SAFE_NO_PAD};
use http_body_util::BodyExt as _;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{
    collections::HashMap,
    fs::read_to_string,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};
use symbolon_ace_proto::{
    Claims, Confirmation, Jwk, PopAlgorithm, PopKey, PopSigner, Scope, ScopeEntry, SigningKey,
    TokenRequest, TokenResponse, UnixTime, client_assertion, jwe::ContentKey,
};
use symbolon_auth_server::store::{Client, ClientAuthentication, Store};
use symbolon_mqtt_proto::TopicFilter;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What the table calls it.
pub(super) const NAME: &str = "floor: signs, stores nothing";
/// As many as the authorization server has.
const THREADS: usize = 2;
const LIFETIME_SECS: u64 = 3_600;

/// `symbolon-bench signer`.
#[derive(Debug, clap::Args)]
pub(crate) struct SignerArgs {
    #[arg(long)]
    listen: SocketAddr,
    #[arg(long)]
    site: PathBuf,
    #[arg(long)]
    issuer: String,
    #[arg(long)]
    audience: String,
}

/// A client, and what it may do.
struct Known {
    authentication: ClientAuthentication,
    key: Option<PopKey>,
    scope: Scope,
}

struct Signer {
    issuer: String,
    audience: String,
    key: SigningKey,
    content_key: ContentKey,
    rs_cnf: Option<serde_json::Value>,
    clients: HashMap<String, Known>,
}

impl SignerArgs {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .enable_all()
            .build()?;
        runtime.block_on(self.serve())
    }

    async fn serve(&self) -> anyhow::Result<()> {
        let signer = Arc::new(self.signer().await?);
        let at = |name: &str| self.site.join("certificates").join(name);
        let tls = ServerTls::with(&at("server.pem"), &at("server.key"))?;
        let acceptor = TlsAcceptor::from(tls.config());
        let router = Router::new()
            .route("/token", post(handle))
            .with_state(signer);
        let listener = TcpListener::bind(self.listen).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            let (acceptor, router) = (acceptor.clone(), router.clone());
            tokio::spawn(async move {
                stream.set_nodelay(true)?;
                let stream = acceptor.accept(stream).await?;
                http1::Builder::new()
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
                    .await?;
                anyhow::Ok(())
            });
        }
    }

    async fn signer(&self) -> anyhow::Result<Signer> {
        let store = Store::open(&self.site.join("symbolon.db")).await?;
        let server = store.resource_server(&self.audience).await?;
        let server = server.context("no such resource server")?;
        let mut clients = HashMap::new();
        for client in store.clients().await? {
            let known = Known::of(&client)?;
            clients.insert(client.client_id, known);
        }
        store.close().await;
        Ok(Signer {
            issuer: self.issuer.clone(),
            audience: self.audience.clone(),
            key: signing_key(&self.site)?,
            content_key: server.content_key.context("no content key")?,
            rs_cnf: server.rs_cnf,
            clients,
        })
    }
}

fn signing_key(site: &Path) -> anyhow::Result<SigningKey> {
    let key = read_to_string(site.join("keys/signing.jwk"))?;
    Ok(SigningKey::from_jwk(&serde_json::from_str::<Jwk>(&key)?)?)
}

impl Known {
    /// With the rules of `registered`.
    fn of(client: &Client) -> anyhow::Result<Self> {
        let entry = |filter: &str, publish| {
            anyhow::Ok(ScopeEntry {
                filter: TopicFilter::parse(filter)?,
                publish,
                subscribe: !publish,
            })
        };
        let own = format!("bench/{}/#", client.client_id);
        let key = match &client.authentication {
            ClientAuthentication::Key(jwk) => Some(PopKey::from_jwk(jwk)?),
            ClientAuthentication::Secret { .. }
            | ClientAuthentication::Certificate { .. }
            | ClientAuthentication::CertificateName(_)
            | ClientAuthentication::RawPublicKey(_) => None,
        };
        Ok(Self {
            authentication: client.authentication.clone(),
            key,
            scope: Scope::from_entries(vec![entry(&own, true)?, entry("bench/all/#", false)?]),
        })
    }
}

async fn handle(State(signer): State<Arc<Signer>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    match answer(&signer, &parts.headers, body).await {
        Ok(json) => {
            let headers = [
                (header::CONTENT_TYPE, "application/json"),
                (header::CACHE_CONTROL, "no-store"),
                (header::PRAGMA, "no-cache"),
            ];
            (StatusCode::OK, headers, json).into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

async fn answer(signer: &Signer, headers: &HeaderMap, body: Body) -> anyhow::Result<String> {
    let body = body.collect().await?.to_bytes();
    let request =
        TokenRequest::from_form(&body).map_err(|_| anyhow::anyhow!("no token request"))?;
    let now = UnixTime(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs());
    let (client_id, known) = signer.authenticate(headers, &request, now)?;
    let own = known.key.as_ref().map(PopKey::to_jwk);
    let (confirmation, cnf) = match own {
        Some(jwk) => (Confirmation::Key(Box::new(jwk)), None),
        None => signer.fresh()?,
    };
    let claims = Claims {
        issuer: signer.issuer.clone(),
        subject: Some(client_id.clone()),
        client_id: Some(client_id),
        audience: vec![signer.audience.clone()],
        expires_at: now.plus_secs(LIFETIME_SECS),
        not_before: None,
        issued_at: Some(now),
        token_identifier: Some(random_text()?),
        scope: known.scope.clone(),
        expires_in_secs: None,
        client_nonce: None,
        confirmation,
    };
    let response = TokenResponse {
        access_token: signer.key.sign(&claims)?,
        token_type: Some("PoP".to_owned()),
        expires_in_secs: Some(LIFETIME_SECS),
        scope: Some(claims.scope),
        rs_cnf: signer.rs_cnf.clone().filter(|_| cnf.is_none()),
        cnf,
        refresh_token: None,
        ace_profile: Some(symbolon_ace_proto::PROFILE.to_owned()),
    };
    Ok(response.to_json())
}

impl Signer {
    fn authenticate(
        &self,
        headers: &HeaderMap,
        request: &TokenRequest,
        now: UnixTime,
    ) -> anyhow::Result<(String, &Known)> {
        if let Some(assertion) = &request.client_assertion {
            let client_id = client_assertion::claimed_client_id(assertion)?;
            let known = self.clients.get(&client_id).context("unknown")?;
            let key = known.key.as_ref().context("no key")?;
            client_assertion::verify(assertion, key, &[&self.issuer], now)?;
            return Ok((client_id, known));
        }
        let value = headers.get(header::AUTHORIZATION).context("nobody")?;
        let encoded = value.to_str()?.strip_prefix("Basic ").context("Basic")?;
        let pair = String::from_utf8(BASE64_STANDARD.decode(encoded)?)?;
        let (client_id, secret) = pair.split_once(':').context("no pair")?;
        let known = self.clients.get(client_id).context("unknown")?;
        match (
            &known.authentication,
            ClientAuthentication::from_secret(secret),
        ) {
            (
                ClientAuthentication::Secret { sha256 },
                ClientAuthentication::Secret { sha256: shown },
            ) if *sha256 == shown => Ok((client_id.to_owned(), known)),
            (_, _) => anyhow::bail!("another secret"),
        }
    }

    /// A symmetric key, in the token and for the client.
    fn fresh(&self) -> anyhow::Result<(Confirmation, Option<Confirmation>)> {
        let key = PopSigner::generate(PopAlgorithm::Hs256)?;
        let jwk = key.to_jwk().with_kid(&random_text()?);
        let encrypted = self.content_key.encrypt(&jwk)?;
        Ok((
            Confirmation::Encrypted(encrypted),
            Some(Confirmation::Key(Box::new(jwk))),
        ))
    }
}

fn random_text() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).context("no random numbers")?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}
