//! Accepts connections and drives HTTP/1.1 over TLS on each. Whatever happens on one connection, the listener goes on.

use crate::{
    core::network::Network,
    metrics::Counted,
    tls::{PeerCertificates, ServerTls},
};
use arc_swap::ArcSwap;
use axum::{Extension, Router, http::request::Parts};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use prometheus_client::metrics::gauge::Gauge;
use std::{
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};

/// Where a request comes from.
pub(crate) fn network_of(parts: &Parts) -> Network {
    let address = parts.extensions.get::<PeerAddress>();
    // Only requests of this process have none.
    let nowhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    Network::of(address.map_or(nowhere, |PeerAddress(address)| *address))
}

/// What connections may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The most connections at a time; further ones wait in the kernel's queue. With the other files of a process it should stay under
    /// the usual 1024 file descriptors.
    connections: usize,
    /// How long a TLS handshake may take.
    handshake: Duration,
    /// How long a request line and its headers may take; an idle connection is closed after it too.
    headers: Duration,
    /// The longest life of a connection, whatever it does.
    lifetime: Duration,
    /// How long running requests may go on after shutdown, or after `lifetime`.
    shutdown: Duration,
}

impl Limits {
    /// Those of an administration listener.
    pub(crate) const ADMINISTRATION: Self = Self {
        connections: 64,
        ..Self::SERVER
    };
    /// Those of a running server.
    pub(crate) const SERVER: Self = Self {
        connections: 512,
        handshake: Duration::from_secs(10),
        headers: Duration::from_secs(10),
        lifetime: Duration::from_mins(5),
        shutdown: Duration::from_secs(10),
    };
}

/// Rest after the system refused to accept, mostly because it is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The most bytes of request line and headers.
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// The most header lines.
const MAX_HEADERS: usize = 64;

/// The address at the other end of a connection, for the endpoints.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeerAddress(pub(crate) IpAddr);

/// What a listener serves.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) router: Router,
    /// How many connections there are.
    pub(crate) connections: Gauge,
}

/// Serves a router until `shutdown` is done and running requests had their time.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Arc<ArcSwap<ServerTls>>,
    served: Served,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) {
    let Served {
        router,
        connections: count,
    } = served;
    let permits = Arc::new(Semaphore::new(limits.connections));
    let (stop, stopped) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(finished) = connections.join_next() => log_panic(&finished),
            (stream, peer, permit) = accept(&listener, &permits) => {
                let connection = Connection {
                    // The certificate may have been replaced since the last connection.
                    tls: tls.load_full(),
                    peer,
                    router: router.clone(),
                    limits,
                    stopped: stopped.clone(),
                };
                let counted = Counted::new(&count);
                connections.spawn(async move {
                    if let Err(error) = connection.drive(stream).await {
                        tracing::debug!(%peer, error, "connection ended");
                    }
                    drop((permit, counted));
                });
            }
        }
    }
    // No more accepts; a client that connects now is told so at once.
    drop(listener);
    drop(stopped);
    stop.send_replace(());
    let all_done = async {
        while let Some(finished) = connections.join_next().await {
            log_panic(&finished);
        }
    };
    if timeout(limits.shutdown, all_done).await.is_err() {
        tracing::warn!(connections = connections.len(), "cut at shutdown");
    }
}

/// Waits for room and a connection; errors of one connection, or of the system for the moment, are waited out.
async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    let permit = Arc::clone(permits)
        .acquire_owned()
        .await
        .expect("nobody closes the semaphore");
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer, permit),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    [
        io::ErrorKind::ConnectionAborted,
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::Interrupted,
    ]
    .contains(&error.kind())
}

fn log_panic(finished: &Result<(), tokio::task::JoinError>) {
    if let Err(error) = finished {
        tracing::error!(%error, "a connection failed by our fault");
    }
}

struct Connection {
    tls: Arc<ServerTls>,
    peer: SocketAddr,
    router: Router,
    limits: Limits,
    stopped: watch::Receiver<()>,
}

impl Connection {
    /// The error is for the log: nobody else can do anything about it.
    async fn drive(self, stream: TcpStream) -> Result<(), String> {
        // Answers are small and written in one piece: waiting to fill a segment only costs time.
        stream
            .set_nodelay(true)
            .map_err(|error| error.to_string())?;
        let stream = timeout(self.limits.handshake, self.shake_hands(stream))
            .await
            .map_err(|_| "handshake took too long".to_owned())?
            .map_err(|error| error.to_string())?;
        self.serve_requests(stream).await
    }

    async fn shake_hands(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
        let config = self.tls.choose(&hello.client_hello());
        hello.into_stream(config).await
    }

    async fn serve_requests(mut self, stream: TlsStream<TcpStream>) -> Result<(), String> {
        self.router = self.router.layer(Extension(PeerAddress(self.peer.ip())));
        // For the endpoints: whoever authenticates by a certificate, or shows one for its key.
        let shown = PeerCertificates::shown(stream.get_ref().1.peer_certificates());
        if let Some(certificates) = shown {
            self.router = self.router.layer(Extension(certificates));
        }
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.headers)
            .max_buf_size(MAX_HEADER_BYTES)
            .max_headers(MAX_HEADERS)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(self.router));
        let mut connection = pin!(connection);
        tokio::select! {
            done = connection.as_mut() => return done.map_err(|error| error.to_string()),
            _ = self.stopped.changed() => {}
            () = sleep(self.limits.lifetime) => {}
        }
        connection.as_mut().graceful_shutdown();
        match timeout(self.limits.shutdown, connection).await {
            Ok(done) => done.map_err(|error| error.to_string()),
            Err(_) => Err("cut after its time was up".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        sync::{Notify, oneshot},
        task::JoinHandle,
        time::Instant,
    };
    use tokio_rustls::{TlsConnector, client};

    const SHORT: Duration = Duration::from_secs(1);
    const LONG: Duration = Duration::from_mins(1);
    const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

    /// All limits out of the way.
    const FREE: Limits = Limits {
        connections: 100,
        handshake: LONG,
        headers: LONG,
        lifetime: LONG,
        shutdown: LONG,
    };

    struct Server {
        address: SocketAddr,
        connector: TlsConnector,
        stop: oneshot::Sender<()>,
        task: JoinHandle<()>,
    }

    impl Server {
        async fn start(limits: Limits, router: Router) -> Self {
            let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
            let key = certified.signing_key.serialize_pem();
            let tls = crate::tls::server_config(&certified.cert.pem(), &key).unwrap();
            let mut roots = RootCertStore::empty();
            roots.add(certified.cert.der().clone()).unwrap();
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let config = ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let (stop, stopped) = oneshot::channel();
            let tls = Arc::new(ArcSwap::new(tls));
            let connections = Gauge::default();
            let served = Served {
                router,
                connections,
            };
            let task = tokio::spawn(serve(listener, tls, served, limits, async {
                stopped.await.unwrap();
            }));
            Self {
                address,
                connector: TlsConnector::from(Arc::new(config)),
                stop,
                task,
            }
        }

        async fn connect(&self) -> client::TlsStream<TcpStream> {
            let stream = TcpStream::connect(self.address).await.unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            self.connector.connect(name, stream).await.unwrap()
        }
    }

    fn hello() -> Router {
        Router::new().route("/", get(async || "hello"))
    }

    /// Tells when a request is there, and answers so much later.
    fn takes(time: Duration) -> (Router, Arc<Notify>) {
        let arrived = Arc::new(Notify::new());
        let told = Arc::clone(&arrived);
        let handler = async move || {
            told.notify_one();
            sleep(time).await;
        };
        (Router::new().route("/", get(handler)), arrived)
    }

    async fn is_answered(stream: &mut client::TlsStream<TcpStream>) -> bool {
        stream.write_all(GET).await.unwrap();
        let mut buffer = [0; 1024];
        let length = stream.read(&mut buffer).await.unwrap();
        buffer[..length].starts_with(b"HTTP/1.1 200")
    }

    /// Waits for the peer to close, whichever way.
    async fn is_closed(stream: &mut (impl AsyncReadExt + Unpin)) {
        let mut buffer = Vec::new();
        // An error closes as well as an end does.
        drop(stream.read_to_end(&mut buffer).await);
    }

    #[tokio::test]
    async fn a_handshake_that_takes_too_long_is_cut() {
        let limits = Limits {
            handshake: SHORT,
            ..FREE
        };
        let server = Server::start(limits, hello()).await;
        let mut silent = TcpStream::connect(server.address).await.unwrap();
        let before = Instant::now();
        is_closed(&mut silent).await;
        assert!(before.elapsed() >= SHORT);
        assert!(is_answered(&mut server.connect().await).await);
    }

    #[tokio::test]
    async fn slow_headers_and_idle_connections_are_cut() {
        let limits = Limits {
            headers: SHORT,
            ..FREE
        };
        let server = Server::start(limits, hello()).await;
        let mut slow = server.connect().await;
        slow.write_all(&GET[..20]).await.unwrap();
        is_closed(&mut slow).await;
        let mut idle = server.connect().await;
        assert!(is_answered(&mut idle).await);
        is_closed(&mut idle).await;
    }

    #[tokio::test]
    async fn a_connection_has_a_longest_life() {
        let limits = Limits {
            lifetime: SHORT,
            ..FREE
        };
        let server = Server::start(limits, hello()).await;
        let mut idle = server.connect().await;
        assert!(is_answered(&mut idle).await);
        is_closed(&mut idle).await;
    }

    #[tokio::test]
    async fn past_the_limit_a_connection_waits_for_another_to_end() {
        let limits = Limits {
            connections: 1,
            ..FREE
        };
        let server = Server::start(limits, hello()).await;
        let mut first = server.connect().await;
        assert!(is_answered(&mut first).await);
        let mut second = pin!(server.connect());
        assert!(timeout(SHORT, second.as_mut()).await.is_err());
        assert!(is_answered(&mut first).await);
        drop(first);
        assert!(is_answered(&mut second.await).await);
    }

    #[tokio::test]
    async fn at_shutdown_running_requests_finish_and_idle_ones_end() {
        let (router, arrived) = takes(SHORT);
        let server = Server::start(FREE, router).await;
        let mut idle = server.connect().await;
        let mut running = server.connect().await;
        running.write_all(GET).await.unwrap();
        arrived.notified().await;
        server.stop.send(()).unwrap();
        let mut answer = Vec::new();
        running.read_to_end(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200"));
        is_closed(&mut idle).await;
        server.task.await.unwrap();
        assert!(TcpStream::connect(server.address).await.is_err());
    }

    #[tokio::test]
    async fn shutdown_does_not_wait_for_ever() {
        let (router, arrived) = takes(LONG);
        let limits = Limits {
            shutdown: SHORT,
            ..FREE
        };
        let server = Server::start(limits, router).await;
        let mut running = server.connect().await;
        running.write_all(GET).await.unwrap();
        arrived.notified().await;
        let before = Instant::now();
        server.stop.send(()).unwrap();
        server.task.await.unwrap();
        assert!(before.elapsed() < LONG / 2);
        is_closed(&mut running).await;
    }

    #[tokio::test]
    async fn a_panic_of_one_request_stops_nothing_else() {
        async fn fails() -> &'static str {
            panic!("by the test")
        }
        let router = hello().route("/panic", get(fails));
        let server = Server::start(FREE, router).await;
        let mut broken = server.connect().await;
        let request = b"GET /panic HTTP/1.1\r\nhost: localhost\r\n\r\n";
        broken.write_all(request).await.unwrap();
        is_closed(&mut broken).await;
        assert!(is_answered(&mut server.connect().await).await);
    }

    #[tokio::test]
    async fn garbage_instead_of_a_handshake_stops_nothing_else() {
        let server = Server::start(FREE, hello()).await;
        for garbage in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            &[0; 100],
            &[0xff; 100],
            b"\x16\x03\x01\xff\xff",
        ] {
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            stream.write_all(garbage).await.unwrap();
            stream.shutdown().await.unwrap();
            is_closed(&mut stream).await;
        }
        assert!(is_answered(&mut server.connect().await).await);
    }
}
