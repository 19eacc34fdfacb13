//! A small HTTPS server that stands for an authorization server.

use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use std::{convert::Infallible, sync::Arc};
use symbolon_broker::{AuthorizationConfig, AuthorizationServerConfig, TokensConfig};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{self, ServerConfig, pki_types::PrivatePkcs8KeyDer},
};

/// Where it is, and the certificate that it shows.
pub(crate) struct Served {
    pub(crate) port: u16,
    ca_pem: String,
}

impl Served {
    /// What a broker is told of it.
    pub(crate) fn authorization(self) -> AuthorizationConfig {
        of_servers(vec![self.server()])
    }

    /// The same, as one of several.
    pub(crate) fn server(self) -> AuthorizationServerConfig {
        AuthorizationServerConfig {
            issuer: "https://localhost".into(),
            jwks_uri: Some(format!("https://localhost:{}/jwks.json", self.port)),
            ca_pem: self.ca_pem,
            audience: "mqtts://localhost".into(),
            content_keys: Vec::new(),
            mac_keys: Vec::new(),
            derivation_keys: Vec::new(),
            token_endpoint: "https://localhost/token".into(),
            hint_scope: None,
            introspection: None,
            revocation_list: None,
        }
    }
}

/// What a broker with a clock is told of these.
pub(crate) fn of_servers(servers: Vec<AuthorizationServerConfig>) -> AuthorizationConfig {
    AuthorizationConfig {
        servers,
        tokens: TokensConfig::default(),
        clock: true,
    }
}

/// Answers each request by its path, its `Authorization` header and its body, on a thread that ends with the test's process.
pub(crate) fn serve_https(
    answer: impl Fn(&str, Option<&str>, &str) -> (StatusCode, String) + Send + Sync + 'static,
) -> Served {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let ca_pem = certified.cert.pem();
    let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key.into())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = Arc::new(answer);
    let serve = async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, answer) = (acceptor.clone(), Arc::clone(&answer));
            tokio::spawn(async move {
                let channel = acceptor.accept(stream).await.unwrap();
                let service = service_fn(move |request: Request<Incoming>| {
                    let answer = Arc::clone(&answer);
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body.collect().await.unwrap().to_bytes();
                        let header = head.headers.get("authorization");
                        let header = header.map(|value| value.to_str().unwrap());
                        let body = str::from_utf8(&body).unwrap();
                        let (status, text) = answer(head.uri.path(), header, body);
                        let mut response = Response::new(Full::new(Bytes::from(text)));
                        *response.status_mut() = status;
                        Ok::<_, Infallible>(response)
                    }
                });
                let connection = hyper::server::conn::http1::Builder::new();
                let served = connection.serve_connection(TokioIo::new(channel), service);
                // Whether the peer says goodbye is its own affair.
                drop(served.await);
            });
        }
    };
    std::thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(serve);
    });
    Served { port, ca_pem }
}
