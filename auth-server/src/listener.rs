//! Accepts connections and drives HTTP/1.1 over TLS on each. Whatever happens on one connection, the listener goes on.

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{future::Future, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// The most connections at a time; further ones wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 1024;
/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a request line and its headers may take; an idle connection is closed after it too.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest life of a connection, whatever it does.
const CONNECTION_LIFETIME: Duration = Duration::from_mins(5);
/// How long running requests may go on after shutdown, or after [`CONNECTION_LIFETIME`].
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(10);
/// Rest after the system refused to accept, mostly because it is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The most bytes of request line and headers.
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// The most header lines.
const MAX_HEADERS: usize = 64;

/// Serves `router` until `shutdown` is done and running requests had their time.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    router: Router,
    shutdown: impl Future<Output = ()>,
) {
    let acceptor = TlsAcceptor::from(tls);
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let (stop, stopped) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(finished) = connections.join_next() => log_panic(&finished),
            (stream, peer, permit) = accept(&listener, &permits) => {
                let connection = Connection {
                    acceptor: acceptor.clone(),
                    router: router.clone(),
                    stopped: stopped.clone(),
                };
                connections.spawn(async move {
                    if let Err(error) = connection.drive(stream).await {
                        tracing::debug!(%peer, error, "connection ended");
                    }
                    drop(permit);
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
    if timeout(SHUTDOWN_LIMIT, all_done).await.is_err() {
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
    acceptor: TlsAcceptor,
    router: Router,
    stopped: watch::Receiver<()>,
}

impl Connection {
    /// The error is for the log: nobody else can do anything about it.
    async fn drive(self, stream: TcpStream) -> Result<(), String> {
        // Answers are small and written in one piece: waiting to fill a segment only costs time.
        stream
            .set_nodelay(true)
            .map_err(|error| error.to_string())?;
        let stream = timeout(HANDSHAKE_TIMEOUT, self.acceptor.accept(stream))
            .await
            .map_err(|_| "handshake took too long".to_owned())?
            .map_err(|error| error.to_string())?;
        serve_requests(stream, self.router, self.stopped).await
    }
}

async fn serve_requests(
    stream: TlsStream<TcpStream>,
    router: Router,
    mut stopped: watch::Receiver<()>,
) -> Result<(), String> {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEADER_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    tokio::select! {
        done = connection.as_mut() => return done.map_err(|error| error.to_string()),
        _ = stopped.changed() => {}
        () = sleep(CONNECTION_LIFETIME) => {}
    }
    connection.as_mut().graceful_shutdown();
    match timeout(SHUTDOWN_LIMIT, connection).await {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(_) => Err("cut after its time was up".to_owned()),
    }
}
