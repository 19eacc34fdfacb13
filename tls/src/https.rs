//! One HTTPS request at a time, HTTP/1.1, trusting exactly the CAs we are told to trust: for token endpoints and key sets.

use crate::{Connector, HandshakeError, SetupError};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, body::Bytes, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::time::timeout;

pub use hyper::{
    Method, StatusCode, Uri, header::HeaderMap, header::HeaderName, header::HeaderValue,
};

/// The largest answer taken, bytes.
pub const BODY_LIMIT: usize = 256 * 1024;
/// How long connecting and the handshake may take.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// How long one request may take in all.
const TIME_LIMIT: Duration = Duration::from_secs(20);
/// How long a connection may linger once its answer is here.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// Makes requests, each on a connection of its own. Cheap to clone.
#[derive(Clone, Debug)]
pub struct HttpsClient {
    connector: Connector,
}

/// An answer, whatever its status.
#[derive(Debug)]
pub struct HttpsResponse {
    /// The status.
    pub status: StatusCode,
    /// The body, whole.
    pub body: Bytes,
}

/// Why there is no answer. One line each, for people.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpsError {
    /// Not an `https` URL with a host.
    #[error("{0:?} is not an https URL")]
    Url(String),
    /// The name has no address.
    #[error("cannot resolve {0}: {1}")]
    Resolve(String, std::io::Error),
    /// No connection, or TLS failed.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// The server breaks HTTP or the connection.
    #[error("HTTP failed: {0}")]
    Http(#[from] hyper::Error),
    /// The answer is larger than [`BODY_LIMIT`], or breaks off.
    #[error("the answer is too large or incomplete")]
    Body,
    /// It took too long.
    #[error("timed out")]
    Timeout,
}

impl HttpsClient {
    /// Trusts the CAs in the PEM text and no others.
    pub fn new(ca_pem: &str) -> Result<Self, SetupError> {
        Ok(Self {
            connector: Connector::for_http(ca_pem, HANDSHAKE_LIMIT)?,
        })
    }

    /// Makes a request and takes the whole answer. `Host` is set here.
    pub async fn request(
        &self,
        method: Method,
        url: &str,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<HttpsResponse, HttpsError> {
        timeout(TIME_LIMIT, self.exchange(method, url, headers, body))
            .await
            .map_err(|_elapsed| HttpsError::Timeout)?
    }

    async fn exchange(
        &self,
        method: Method,
        url: &str,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<HttpsResponse, HttpsError> {
        let uri: Uri = url.parse().map_err(|_| HttpsError::Url(url.into()))?;
        let (Some("https"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(HttpsError::Url(url.into()));
        };
        // An IPv6 address stands in brackets in a URL, and without them everywhere else.
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        let channel = self
            .connector
            .connect_host(host, authority.port_u16().unwrap_or(443))
            .await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(channel)).await?;
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = method;
        *request.headers_mut() = headers;
        let host =
            HeaderValue::from_str(authority.as_str()).map_err(|_| HttpsError::Url(url.into()))?;
        request.headers_mut().insert(header::HOST, host);
        *request.uri_mut() = uri
            .path_and_query()
            .map_or_else(|| Uri::from_static("/"), |path| path.clone().into());
        let answer = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), BODY_LIMIT)
                .collect()
                .await
                .map_err(|_| HttpsError::Body)?;
            drop(sender);
            Ok(HttpsResponse {
                status,
                body: body.to_bytes(),
            })
        };
        let mut connection = std::pin::pin!(connection);
        let mut answer = std::pin::pin!(answer);
        tokio::select! {
            biased;
            answer = &mut answer => answer,
            ended = &mut connection => match ended {
                // The server closes behind its answer, which is read already.
                Ok(()) => timeout(CLOSE_LIMIT, answer).await.map_err(|_elapsed| HttpsError::Timeout)?,
                Err(error) => Err(error.into()),
            },
        }
    }
}
