//! A running authorization server, and a client that may send anything.

use base64::{Engine, engine::general_purpose::STANDARD};
use rcgen::KeyPair;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName},
};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use symbolon_ace_proto::{
    Claims, KeySet, PopAlgorithm, PopSigner, Scope, SigningKey, SymmetricKey, TokenRequest,
    UnixTime, Validation,
    client_assertion::{self, ASSERTION_TYPE},
    dpop,
    jwe::ContentKey,
    jwt::{self, SigningAlgorithm},
};
use symbolon_auth_server::{
    AdminConfig, AuthServer, Config, ManagementConfig, Reloader,
    store::{Client, ClientAuthentication, Location, Policy, ResourceServer, ServerAccess, Store},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

pub(crate) const ISSUER: &str = "https://as.example.com";
pub(crate) const TOKEN_ENDPOINT: &str = "https://as.example.com/token";
pub(crate) const AUDIENCE: &str = "broker";
pub(crate) const SECRET: &str = "8Yv1u4ZqYh0cZ6d3wJmM2w2kq9m5b7tQ0rXJ1nA4dEc";
pub(crate) const CONTENT_KEY: [u8; 32] = [7; 32];
pub(crate) const LIFETIME: u64 = 3600;
pub(crate) const JSON: &str = "application/json";
pub(crate) const ACE_JSON: &str = "application/ace+json";
pub(crate) const CBOR: &str = "application/ace+cbor";
/// What the resource server of [`AUDIENCE`] calls itself where it asks.
pub(crate) const RESOURCE_SERVER: &str = "broker-1";
pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

/// Longer than any limit of the server that a test reaches.
const PATIENCE: Duration = Duration::from_mins(1);

/// A server with one resource server, [`AUDIENCE`], and no clients.
pub(crate) struct Server {
    pub(crate) store: Store,
    pub(crate) database: Location,
    pub(crate) address: SocketAddr,
    pub(crate) reloader: Reloader,
    /// Where health and metrics are.
    pub(crate) management: SocketAddr,
    connector: TlsConnector,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
    roots: RootCertStore,
    directory: Arc<TempDir>,
}

/// A database without a server.
pub(crate) struct Place {
    _directory: TempDir,
    pub(crate) location: Location,
}

impl Place {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let location = crate::place::new(directory.path());
        Self {
            _directory: directory,
            location,
        }
    }

    /// The store, as a process of its own has it.
    pub(crate) async fn open(&self) -> Store {
        Store::open_at(&self.location).await.unwrap()
    }
}

/// An HTTP answer.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    /// As text.
    pub(crate) body: String,
    /// As it came.
    pub(crate) bytes: Vec<u8>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_as(ISSUER).await
    }

    pub(crate) async fn start_as(issuer: &str) -> Self {
        Self::start_new(|config| issuer.clone_into(&mut config.issuer)).await
    }

    /// One that believes this CA about clients.
    pub(crate) async fn start_believing(client_ca_pem: &str) -> Self {
        let pem = client_ca_pem.to_owned();
        Self::start_new(|config| config.client_ca_pem = Some(pem)).await
    }

    /// One where nobody may register.
    pub(crate) async fn start_without_registration() -> Self {
        Self::start_new(|config| config.registration = false).await
    }

    /// Another on the same database.
    pub(crate) async fn start_beside(&self) -> Self {
        let place = (Arc::clone(&self.directory), self.database.clone());
        Self::start_in(place, |_| {}).await
    }

    async fn start_new(change: impl FnOnce(&mut Config)) -> Self {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let database = crate::place::new(directory.path());
        Self::start_in((directory, database), change).await
    }

    /// One whose administration API is not served.
    pub(crate) async fn start_without_admin() -> Self {
        Self::start_new(|config| config.admin = None).await
    }

    pub(crate) async fn start_in(
        (directory, database): (Arc<TempDir>, Location),
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let store = Store::open_at(&database).await.unwrap();
        store
            .put_resource_server(&resource_server(AUDIENCE))
            .await
            .unwrap();
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let mut config = Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            issuer: ISSUER.to_owned(),
            certificate_chain_pem: certified.cert.pem(),
            private_key_pem: certified.signing_key.serialize_pem(),
            client_ca_pem: None,
            database: database.clone(),
            signing_key: SigningKey::generate(SigningAlgorithm::EdDsa)
                .unwrap()
                .into(),
            token_lifetime_secs: LIFETIME,
            registration: true,
            admin: Some(AdminConfig::default()),
            management: Some(ManagementConfig {
                address: "127.0.0.1:0".parse().unwrap(),
                insecure: false,
            }),
        };
        change(&mut config);
        let server = AuthServer::bind(config).await.unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certified.cert.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        let (stop, stopped) = oneshot::channel::<()>();
        Self {
            store,
            database,
            address: server.local_addr(),
            reloader: server.reloader(),
            management: server.management_addr().unwrap(),
            connector: TlsConnector::from(Arc::new(config)),
            stop: Some(stop),
            task: tokio::spawn(server.serve(async {
                drop(stopped.await);
            })),
            roots,
            directory,
        }
    }

    /// From now on requests come with this certificate, leaf first.
    pub(crate) fn show(&mut self, chain: Vec<CertificateDer<'static>>, key: &KeyPair) {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots.clone())
            .with_client_auth_cert(chain, key)
            .unwrap();
        self.connector = TlsConnector::from(Arc::new(config));
    }

    /// From now on requests come with this raw public key.
    pub(crate) fn show_raw_key(&mut self, key: &KeyPair) {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let private = provider.key_provider.load_private_key(private).unwrap();
        let public = private.public_key().unwrap();
        let public = CertificateDer::from(public.as_ref().to_vec());
        let certified = rustls::sign::CertifiedKey::new(vec![public], private);
        let resolver = rustls::client::AlwaysResolvesClientRawPublicKeys::new(Arc::new(certified));
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(self.roots.clone())
            .with_client_cert_resolver(Arc::new(resolver));
        self.connector = TlsConnector::from(Arc::new(config));
    }

    /// Stops it, and fails if it had stopped before.
    pub(crate) async fn stop(mut self) {
        assert!(!self.task.is_finished(), "the server stopped by itself");
        drop(self.stop.take());
        self.task.await.unwrap();
    }

    pub(crate) async fn add(&self, client_id: &str, how: Registration<'_>) {
        self.add_at(client_id, how, &[AUDIENCE]).await;
    }

    /// The same at other audiences.
    pub(crate) async fn add_at(&self, client_id: &str, how: Registration<'_>, audiences: &[&str]) {
        let policy = |audience: &str, filter: &str, publish, subscribe| Policy {
            publish,
            subscribe,
            ..Policy::allow(client_id, audience, filter)
        };
        let client = Client {
            client_id: client_id.to_owned(),
            authentication: match how.key {
                None => ClientAuthentication::from_secret(SECRET),
                Some(key) => ClientAuthentication::Key(Box::new(key.verifying_key().to_jwk())),
            },
            pop_algorithm: how.pop_algorithm,
            refresh_tokens: how.refresh_tokens,
        };
        let both = |audience: &&str| {
            [
                policy(audience, "devices/${client_id}/#", true, true),
                policy(audience, "news/+", false, true),
            ]
        };
        let policies: Vec<Policy> = audiences.iter().flat_map(both).collect();
        self.store.add_client(&client, &policies).await.unwrap();
    }

    pub(crate) async fn connect(&self) -> TlsStream<TcpStream> {
        self.try_connect().await.unwrap()
    }

    /// Fails where the server presents another certificate than at its start.
    pub(crate) async fn try_connect(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        self.connector.connect(name, stream).await
    }

    /// Sends bytes as they are and reads until the server closes; `None` where it closes without an answer.
    pub(crate) async fn send_raw(&self, request: &[u8]) -> Option<Answer> {
        let mut stream = self.connect().await;
        // The server may refuse and close before all is sent.
        let sent = stream.write_all(request).await;
        if sent.is_ok() {
            drop(stream.flush().await);
        }
        read_answer(&mut stream).await
    }

    pub(crate) async fn send(&self, start: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.send_raw(&request(start, headers, body))
            .await
            .expect("an answer")
    }

    /// The same from another address of this machine.
    pub(crate) async fn send_from(
        &self,
        from: &str,
        start: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
        let stream = socket.connect(self.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = self.connector.connect(name, stream).await.unwrap();
        let request = request(start, headers, body);
        stream.write_all(&request).await.unwrap();
        read_answer(&mut stream).await.expect("an answer")
    }

    /// A token request in JSON.
    pub(crate) async fn ask(&self, headers: &[(&str, &str)], body: &Value) -> Answer {
        let headers = [&[("content-type", JSON)], headers].concat();
        self.send("POST /token", &headers, body.to_string().as_bytes())
            .await
    }

    /// A token request in CBOR, answered in CBOR.
    pub(crate) async fn ask_in_cbor(&self, client_id: &str, request: &TokenRequest) -> Answer {
        let authorization = basic(client_id, SECRET);
        let headers = [("content-type", CBOR), ("authorization", &*authorization)];
        let body = request.to_cbor().unwrap();
        self.send("POST /token", &headers, &body).await
    }

    /// A question in a form, by the resource server of [`asking`] or whoever else has [`SECRET`].
    pub(crate) async fn question(&self, path: &str, who: &str, token: &str) -> Answer {
        let authorization = basic(who, SECRET);
        let headers = [("content-type", FORM), ("authorization", &*authorization)];
        let body = format!("token={token}");
        self.send(&format!("POST {path}"), &headers, body.as_bytes())
            .await
    }

    /// Whether [`RESOURCE_SERVER`] is told that this token is active.
    pub(crate) async fn is_active(&self, token: &str) -> bool {
        let answer = self.question("/introspect", RESOURCE_SERVER, token).await;
        let json = answer.granted();
        let active = json["active"].as_bool().unwrap();
        // RFC 7662 §2.2
        assert!(active || json == json!({ "active": false }), "{json}");
        active
    }

    pub(crate) async fn key_set(&self) -> KeySet {
        let answer = self.send("GET /jwks.json", &[], b"").await;
        assert_eq!(answer.status, 200);
        KeySet::from_json(answer.body.as_bytes()).unwrap()
    }

    /// Verifies the token in an answer, as a broker does.
    pub(crate) async fn verify(&self, answer: &Answer) -> Claims {
        let keys = self.key_set().await;
        let json = answer.granted();
        let validation = Validation {
            keys: &keys,
            issuer: ISSUER,
            audience: AUDIENCE,
            now: now(),
            leeway_secs: 0,
            lifetimes: symbolon_ace_proto::Lifetimes::default(),
        };
        jwt::verify(json["access_token"].as_str().unwrap(), &validation).unwrap()
    }
}

/// How a test client is registered: with this key, or with [`SECRET`].
#[derive(Clone, Copy)]
pub(crate) struct Registration<'a> {
    pub(crate) key: Option<&'a PopSigner>,
    pub(crate) pop_algorithm: PopAlgorithm,
    pub(crate) refresh_tokens: bool,
}

pub(crate) fn with_secret(pop_algorithm: PopAlgorithm) -> Registration<'static> {
    Registration {
        key: None,
        pop_algorithm,
        refresh_tokens: false,
    }
}

pub(crate) fn with_key(key: &PopSigner) -> Registration<'_> {
    Registration {
        key: Some(key),
        pop_algorithm: key.algorithm(),
        refresh_tokens: false,
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter().filter(|(known, _)| known == name);
        all.next().map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a JSON body")
    }

    // RFC 6749 §5.1
    fn must_not_be_stored(&self) -> bool {
        self.header("cache-control") == Some("no-store")
            && self.header("pragma") == Some("no-cache")
    }

    /// The body of a granted request.
    #[track_caller]
    pub(crate) fn granted(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        assert!(!self.body.contains("access_token") || self.must_not_be_stored());
        self.json()
    }

    /// Asserts a refusal of RFC 6749 §5.2, in the form §5.2 gives it.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, code: &str) -> String {
        assert_eq!(self.status, status, "{}", self.body);
        assert!(self.must_not_be_stored());
        let json = self.json();
        assert_eq!(json["error"], code, "{}", self.body);
        let description = json["error_description"].as_str().unwrap_or_default();
        let plain = |byte: u8| matches!(byte, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        assert!(description.bytes().all(plain), "{description:?}");
        description.to_owned()
    }
}

fn request(start: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let lines = [("connection", "close"), ("host", "localhost")];
    let lines = lines.iter().chain(headers);
    let lines: Vec<String> = lines
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    let request = format!(
        "{start} HTTP/1.1\r\n{}\r\ncontent-length: {}\r\n\r\n",
        lines.join("\r\n"),
        body.len()
    );
    [request.as_bytes(), body].concat()
}

async fn read_answer(stream: &mut TlsStream<TcpStream>) -> Option<Answer> {
    let mut bytes = Vec::new();
    // A reset after the answer is as good an end as a clean one.
    let read = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    drop(read.expect("the server closes in time"));
    parse_answer(&bytes)
}

pub(crate) fn parse_answer(bytes: &[u8]) -> Option<Answer> {
    if bytes.is_empty() {
        return None;
    }
    let end = bytes.windows(4).position(|part| part == b"\r\n\r\n");
    let (head, body) = bytes.split_at(end.unwrap());
    let head = str::from_utf8(head).unwrap();
    let body = &body[4..];
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap();
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.to_ascii_lowercase(), value.to_owned())
    });
    Some(Answer {
        status: status.parse().unwrap(),
        headers: headers.filter(|(name, _)| name != "date").collect(),
        body: String::from_utf8_lossy(body).into_owned(),
        bytes: body.to_vec(),
    })
}

pub(crate) fn resource_server(audience: &str) -> ResourceServer {
    let content_key = ContentKey {
        kid: "content-1".to_owned(),
        key: SymmetricKey::from_bytes(&CONTENT_KEY),
    };
    ResourceServer {
        rs_cnf: Some(json!({ "x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dgw" })),
        ..ResourceServer::new(audience, content_key)
    }
}

/// One that may ask, under the name [`RESOURCE_SERVER`].
pub(crate) fn asking(audience: &str, name: &str) -> ResourceServer {
    ResourceServer {
        access: Some(ServerAccess {
            client_id: name.to_owned(),
            authentication: ClientAuthentication::from_secret(SECRET),
        }),
        ..resource_server(audience)
    }
}

pub(crate) fn basic(client_id: &str, secret: &str) -> String {
    let joined = format!("{client_id}:{secret}");
    format!("Basic {}", STANDARD.encode(joined))
}

pub(crate) fn assertion(client_id: &str, key: &PopSigner) -> String {
    client_assertion::make(client_id, ISSUER, key, now()).unwrap()
}

/// The body of a request by `private_key_jwt`.
pub(crate) fn by_assertion(assertion: &str) -> Value {
    json!({ "client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion })
}

pub(crate) fn proof(key: &PopSigner) -> String {
    dpop::make("POST", TOKEN_ENDPOINT, key, now()).unwrap()
}

pub(crate) fn req_cnf(key: &PopSigner) -> Value {
    json!({ "jwk": key.verifying_key().to_jwk() })
}

pub(crate) fn key(algorithm: PopAlgorithm) -> PopSigner {
    PopSigner::generate(algorithm).unwrap()
}

pub(crate) fn scope(json: &str) -> Scope {
    Scope::from_json(json).unwrap()
}

/// `body` with one more member.
pub(crate) fn and(mut body: Value, name: &str, value: impl Into<Value>) -> Value {
    body[name] = value.into();
    body
}

pub(crate) fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    UnixTime(since.as_secs())
}
