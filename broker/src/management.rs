//! The management listener: health and metrics over plain HTTP, on a thread of its own.

mod metrics;
pub(crate) mod published;

use crate::{StartError, config::ManagementConfig, driver::runtime, driver::shard::Common};
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body, Bytes, Incoming},
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::{encoding::text, registry::Registry};
use published::Published;
use std::{
    convert::Infallible,
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::TcpStream,
    sync::{Semaphore, watch},
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

const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// Listens; where, and with what.
pub(crate) fn bind(config: &ManagementConfig) -> Result<(SocketAddr, TcpListener), StartError> {
    let address = config.address;
    if !address.ip().is_loopback() && !config.insecure {
        return Err(StartError::Config(format!(
            "management listener {address}: outside loopback it needs insecure = true"
        )));
    }
    let listen = || {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok((listener.local_addr()?, listener))
    };
    listen().map_err(|source| StartError::Listen { address, source })
}

/// Serves until shutdown. Called on its own thread.
pub(crate) fn run(
    listener: TcpListener,
    common: Arc<Common>,
    shutdown: watch::Receiver<bool>,
) -> io::Result<()> {
    let runtime = runtime()?;
    let management = Arc::new(Management {
        registry: metrics::registry(Arc::clone(&common)),
        common,
    });
    runtime.block_on(management.serve(listener, shutdown))
}

struct Management {
    common: Arc<Common>,
    registry: Registry,
}

impl Management {
    async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        mut shutdown: watch::Receiver<bool>,
    ) -> io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let permits = Arc::new(Semaphore::new(CONNECTIONS));
        let accepting = async {
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
        };
        tokio::select! {
            () = accepting => {}
            // The sender lives as long as the Broker: its end means shutdown too.
            _ = shutdown.wait_for(|stop| *stop) => {}
        }
        Ok(())
    }

    async fn drive(&self, stream: TcpStream) {
        let service = service_fn(|request: Request<Incoming>| {
            std::future::ready(Ok::<_, Infallible>(self.answer(&request)))
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

    fn answer(&self, request: &Request<impl Body>) -> Response<Full<Bytes>> {
        let answer: fn(&Self) -> Response<Full<Bytes>> = match request.uri().path() {
            "/health/live" => |_| plain(StatusCode::OK, "alive"),
            "/health/ready" => Self::ready,
            "/metrics" => Self::metrics,
            _ => return plain(StatusCode::NOT_FOUND, "not found"),
        };
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
        answer(self)
    }

    fn ready(&self) -> Response<Full<Bytes>> {
        let needs_keys = !self.common.rules.load().admission.authorities.is_empty();
        if !self.common.published.iter().all(Published::is_accepting) {
            plain(
                StatusCode::SERVICE_UNAVAILABLE,
                "not every listener accepts connections",
            )
        } else if needs_keys && !self.common.keys.are_fetched() {
            plain(
                StatusCode::SERVICE_UNAVAILABLE,
                "the authorization server's keys have not been fetched yet",
            )
        } else {
            plain(StatusCode::OK, "ready")
        }
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        let mut body = String::new();
        match text::encode(&mut body, &self.registry) {
            Ok(()) => response(StatusCode::OK, METRICS, body),
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
