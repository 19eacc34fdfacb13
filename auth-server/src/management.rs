//! The management listener: health and metrics over plain HTTP.

use crate::{ManagementConfig, StartError, metrics::Metrics, store::Store};
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body, Bytes, Incoming},
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};

/// Connections at once; the kernel keeps the others.
const CONNECTIONS: usize = 8;
/// How long request line and headers may take.
const HEADER_LIMIT: Duration = Duration::from_secs(5);
/// The longest life of a connection, which serves one request.
const CONNECTION_LIMIT: Duration = Duration::from_secs(10);
/// The most bytes of request line and headers.
const HEADER_BYTES: usize = 8 * 1024;
/// The most header lines.
const HEADER_LINES: usize = 32;
/// Rest after a failing accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long the database may take to answer before it counts as away.
const DATABASE_LIMIT: Duration = Duration::from_secs(2);

const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// Listens; where, and with what.
pub(crate) async fn bind(
    config: ManagementConfig,
) -> Result<(SocketAddr, TcpListener), StartError> {
    let address = config.address;
    if !address.ip().is_loopback() && !config.insecure {
        return Err(StartError::Plaintext(address));
    }
    let refused = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let local_addr = listener.local_addr().map_err(refused)?;
    Ok((local_addr, listener))
}

/// What is told.
pub(crate) struct Management {
    pub(crate) store: Store,
    pub(crate) metrics: Arc<Metrics>,
}

impl Management {
    /// Serves until it is dropped.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener) {
        let permits = Arc::new(Semaphore::new(CONNECTIONS));
        while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let management = Arc::clone(&self);
                    tokio::spawn(async move {
                        management.drive(stream).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a management connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn drive(&self, stream: TcpStream) {
        let service = service_fn(async |request: Request<Incoming>| {
            Ok::<_, Infallible>(self.answer(&request).await)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_LIMIT)
            .max_buf_size(HEADER_BYTES)
            .max_headers(HEADER_LINES)
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service);
        match timeout(CONNECTION_LIMIT, connection).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "management connection failed"),
            Err(_) => tracing::debug!("management connection cut at its limit"),
        }
    }

    async fn answer(&self, request: &Request<impl Body>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        if !["/health/live", "/health/ready", "/metrics"].contains(&path) {
            return plain(StatusCode::NOT_FOUND, "not found");
        }
        if request.method() != Method::GET {
            let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET");
            refused
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET"));
            return refused;
        }
        if !request.body().is_end_stream() {
            return plain(StatusCode::PAYLOAD_TOO_LARGE, "no body is taken");
        }
        match path {
            "/health/live" => plain(StatusCode::OK, "alive"),
            "/health/ready" => self.ready().await,
            _ => self.metrics(),
        }
    }

    async fn ready(&self) -> Response<Full<Bytes>> {
        match timeout(DATABASE_LIMIT, self.store.ping()).await {
            Ok(Ok(())) => plain(StatusCode::OK, "ready"),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the database does not answer");
                plain(StatusCode::SERVICE_UNAVAILABLE, "the database fails")
            }
            Err(_) => plain(
                StatusCode::SERVICE_UNAVAILABLE,
                "the database does not answer",
            ),
        }
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        match self.metrics.text() {
            Ok(body) => response(StatusCode::OK, METRICS, body),
            Err(error) => {
                tracing::error!(%error, "the metrics cannot be written");
                plain(StatusCode::INTERNAL_SERVER_ERROR, "no metrics")
            }
        }
    }
}

fn plain(status: StatusCode, line: &str) -> Response<Full<Bytes>> {
    response(status, PLAIN, format!("{line}\n"))
}

fn response(status: StatusCode, content_type: HeaderValue, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
