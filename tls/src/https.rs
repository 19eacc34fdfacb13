//! One HTTPS request at a time, HTTP/1.1, trusting exactly the CAs we are told to trust: for token endpoints and key sets. No redirects,
//! no proxies, no cookies: a request here may carry credentials for one server.

use crate::{Connector, HandshakeError, SetupError};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    Request, Uri,
    body::Bytes,
    client::conn::http1,
    header::{self, HeaderName, HeaderValue},
};
use hyper_util::rt::TokioIo;
use std::time::Duration;

pub use hyper::Method;

/// The largest answer taken, bytes.
pub const BODY_LIMIT: usize = 256 * 1024;
/// How long one request may take, from looking the name up to the last byte of the answer.
pub const TIME_LIMIT: Duration = Duration::from_secs(30);

/// Makes requests, each on a connection of its own. Cheap to clone.
#[derive(Clone, Debug)]
pub struct HttpsClient {
    connector: Connector,
    body_limit: usize,
}

/// What is asked. It has no `Debug`: headers and body hold secrets.
pub struct HttpsRequest {
    /// The method.
    pub method: Method,
    /// An absolute `https` URL, without user information.
    pub url: String,
    /// Header fields, names in lower case. `host` is set from the URL.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// An answer, whatever its status.
pub struct HttpsResponse {
    /// The status code.
    pub status: u16,
    /// The body, whole.
    pub body: Bytes,
}

/// Why there is no answer. One line each, for people.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpsError {
    /// Not an `https` URL with a host, or one with user information.
    #[error("not an https URL with a host")]
    Url,
    /// A header value that HTTP cannot carry; of which header.
    #[error("the value of {0} cannot stand in a header")]
    Header(&'static str),
    /// No connection, or TLS failed.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// The server breaks HTTP, or the connection broke.
    #[error("not HTTP: {0}")]
    Http(#[from] hyper::Error),
    /// The answer is larger than is taken.
    #[error("the answer is too long")]
    TooLong,
    /// The answer broke off.
    #[error("the answer is incomplete")]
    Incomplete,
    /// Longer than [`TIME_LIMIT`].
    #[error("no answer within {} seconds", TIME_LIMIT.as_secs())]
    Timeout,
}

impl HttpsClient {
    /// Trusts the CAs in the PEM text and no others.
    pub fn new(ca_pem: &str) -> Result<Self, SetupError> {
        let connector = Connector::for_http(ca_pem, TIME_LIMIT)?;
        Ok(Self {
            connector,
            body_limit: BODY_LIMIT,
        })
    }

    /// Shows this certificate (PEM, leaf first) with its private key (PEM) where a server asks for one.
    pub fn showing_certificate(self, chain_pem: &str, key_pem: &str) -> Result<Self, SetupError> {
        let connector = self.connector.showing_certificate(chain_pem, key_pem)?;
        Ok(Self { connector, ..self })
    }

    /// Takes answers of up to so many bytes, in place of [`BODY_LIMIT`].
    #[must_use]
    pub fn with_body_limit(self, body_limit: usize) -> Self {
        Self { body_limit, ..self }
    }

    /// Asks, and takes the whole answer.
    pub async fn send(&self, request: HttpsRequest) -> Result<HttpsResponse, HttpsError> {
        tokio::time::timeout(TIME_LIMIT, self.exchange(request))
            .await
            .map_err(|_elapsed| HttpsError::Timeout)?
    }

    async fn exchange(&self, request: HttpsRequest) -> Result<HttpsResponse, HttpsError> {
        let uri: Uri = request.url.parse().map_err(|_invalid| HttpsError::Url)?;
        let host = uri.host().filter(|_| uri.scheme_str() == Some("https"));
        // An IPv6 address stands in brackets in a URL, and without them everywhere else.
        let host = host
            .ok_or(HttpsError::Url)?
            .trim_start_matches('[')
            .trim_end_matches(']');
        let request = http_request(&uri, request)?;
        let channel = self
            .connector
            .connect_host(host, uri.port_u16().unwrap_or(443))
            .await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(channel)).await?;
        let exchange = async move {
            let response = sender.send_request(request).await?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), self.body_limit)
                .collect()
                .await;
            let body = body.map_err(|error| {
                if error.is::<LengthLimitError>() {
                    HttpsError::TooLong
                } else {
                    HttpsError::Incomplete
                }
            })?;
            Ok(HttpsResponse {
                status,
                body: body.to_bytes(),
            })
        };
        // The connection ends once the exchange has dropped its sender; what it says of its end, the exchange has been told.
        let (response, _end) = tokio::join!(exchange, connection);
        response
    }
}

fn http_request(uri: &Uri, asked: HttpsRequest) -> Result<Request<Full<Bytes>>, HttpsError> {
    let authority = uri.authority().ok_or(HttpsError::Url)?.as_str();
    if authority.contains('@') {
        return Err(HttpsError::Url);
    }
    let mut request = Request::new(Full::new(Bytes::from(asked.body)));
    *request.method_mut() = asked.method;
    *request.uri_mut() = uri
        .path_and_query()
        .map_or_else(Uri::default, |target| Uri::from(target.clone()));
    let host = HeaderValue::from_str(authority).map_err(|_invalid| HttpsError::Url)?;
    request.headers_mut().insert(header::HOST, host);
    request
        .headers_mut()
        .insert(header::CONNECTION, HeaderValue::from_static("close"));
    for (name, value) in asked.headers {
        let mut value =
            HeaderValue::from_str(&value).map_err(|_invalid| HttpsError::Header(name))?;
        value.set_sensitive(true);
        request
            .headers_mut()
            .insert(HeaderName::from_static(name), value);
    }
    Ok(request)
}
