//! One POST over HTTPS, to a server whose certificate a given CA issued. No redirects, no proxies, no cookies: a request here carries
//! credentials for one server.

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{Request, Uri, body::Bytes, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use std::{sync::Arc, time::Duration};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// From looking the name up to the last byte of the answer.
pub const TIMEOUT: Duration = Duration::from_secs(30);
/// The longest answer taken, bytes.
pub(crate) const MAX_ANSWER: usize = 64 * 1024;

/// What is asked. Headers and body hold secrets.
pub(crate) struct Post {
    pub(crate) url: String,
    pub(crate) ca_pem: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

/// What is answered.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpsError {
    #[error("is not an https URL with a host")]
    Url,
    #[error("no usable CA certificate in the PEM text")]
    Ca,
    #[error("{0}")]
    Unreachable(String),
    #[error("no answer within {} seconds", TIMEOUT.as_secs())]
    Timeout,
    #[error("not HTTP: {0}")]
    Http(String),
    #[error("longer than {MAX_ANSWER} bytes")]
    TooLong,
}

/// Asks, within [`TIMEOUT`].
pub(crate) async fn post(post: Post) -> Result<Response, HttpsError> {
    tokio::time::timeout(TIMEOUT, post_unbounded(post))
        .await
        .map_err(|_elapsed| HttpsError::Timeout)?
}

async fn post_unbounded(post: Post) -> Result<Response, HttpsError> {
    let uri: Uri = post.url.parse().map_err(|_invalid| HttpsError::Url)?;
    let request = request(&uri, post.headers, post.body)?;
    let stream = connect(&uri, &post.ca_pem).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| HttpsError::Http(error.to_string()))?;
    let exchange = async move {
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| HttpsError::Http(error.to_string()))?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), MAX_ANSWER)
            .collect()
            .await
            .map_err(|error| {
                if error.is::<LengthLimitError>() {
                    HttpsError::TooLong
                } else {
                    HttpsError::Http(error.to_string())
                }
            })?;
        Ok(Response {
            status,
            body: body.to_bytes(),
        })
    };
    // The connection ends once the exchange has dropped its sender. What it has to say about its end was told to the exchange, if
    // that was before the end of the answer.
    let (response, _end) = tokio::join!(exchange, connection);
    response
}

fn request(
    uri: &Uri,
    headers: Vec<(&'static str, String)>,
    body: String,
) -> Result<Request<Full<Bytes>>, HttpsError> {
    let authority = uri.authority().ok_or(HttpsError::Url)?;
    if authority.as_str().contains('@') {
        return Err(HttpsError::Url);
    }
    let target = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::post(target)
        .header(header::HOST, authority.as_str())
        .header(header::CONNECTION, "close");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    request
        .body(Full::new(body.into()))
        .map_err(|_invalid| HttpsError::Url)
}

async fn connect(uri: &Uri, ca_pem: &str) -> Result<TlsStream<TcpStream>, HttpsError> {
    if uri.scheme_str() != Some("https") {
        return Err(HttpsError::Url);
    }
    let host = uri.host().ok_or(HttpsError::Url)?;
    // An IPv6 address stands in brackets in a URL, and without them everywhere else.
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(host.to_owned()).map_err(|_invalid| HttpsError::Url)?;
    let connector = TlsConnector::from(tls(ca_pem)?);
    let unreachable = |error: std::io::Error| HttpsError::Unreachable(error.to_string());
    let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(443)))
        .await
        .map_err(unreachable)?;
    stream.set_nodelay(true).map_err(unreachable)?;
    connector.connect(name, stream).await.map_err(unreachable)
}

fn tls(ca_pem: &str) -> Result<Arc<ClientConfig>, HttpsError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
        let certificate = certificate.map_err(|_error| HttpsError::Ca)?;
        roots.add(certificate).map_err(|_error| HttpsError::Ca)?;
    }
    if roots.is_empty() {
        return Err(HttpsError::Ca);
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_error| HttpsError::Ca)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests;
