//! The request that opens a WebSocket, and its answer (RFC 6455 §4.2).

use super::WebSocketPolicy;
use crate::{Channel, HandshakeError, UpgradeError};
use httparse::{Request, Status};
use std::{io, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};
use tungstenite::handshake::derive_accept_key;

/// The longest request, bytes.
const REQUEST_BYTES: usize = 8 * 1024;
/// The most header fields.
const HEADERS: usize = 64;
/// The length of a key: 16 bytes in base64 (RFC 6455 §4.1).
const KEY_CHARACTERS: usize = 24;
const PATHS: [&str; 2] = ["/mqtt", "/"];
const SUBPROTOCOL: &str = "mqtt";
/// How long, and how much of it, a refused client is read from, so that the answer is not lost to a reset.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 64 * 1024;

/// Reads the request and answers it.
pub(super) async fn serve(
    mut channel: Channel,
    policy: &WebSocketPolicy,
) -> Result<Channel, HandshakeError> {
    let mut bytes = Vec::new();
    match read_request(&mut channel, &mut bytes, policy).await {
        Ok((size, accept_key)) => {
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {accept_key}\r\nSec-WebSocket-Protocol: {SUBPROTOCOL}\r\n\r\n"
            );
            send(&mut channel, &answer)
                .await
                .map_err(HandshakeError::Io)?;
            let unread = bytes.split_off(size);
            Ok(channel.into_websocket(unread, policy.message_bytes))
        }
        Err(HandshakeError::Upgrade(error)) => {
            send(&mut channel, &refusal(error))
                .await
                .map_err(HandshakeError::Io)?;
            let finish = async {
                channel.shutdown().await?;
                tokio::io::copy(
                    &mut (&mut channel).take(LINGER_BYTES),
                    &mut tokio::io::sink(),
                )
                .await
            };
            // Told or not, it is refused.
            drop(timeout(LINGER, finish).await);
            Err(HandshakeError::Upgrade(error))
        }
        Err(error) => Err(error),
    }
}

/// The size of the request in `bytes`, and the value that accepts it.
async fn read_request(
    channel: &mut Channel,
    bytes: &mut Vec<u8>,
    policy: &WebSocketPolicy,
) -> Result<(usize, String), HandshakeError> {
    loop {
        let room = (REQUEST_BYTES - bytes.len()) as u64;
        if room == 0 {
            return Err(HandshakeError::Upgrade(UpgradeError::TooLarge));
        }
        let count = (&mut *channel).take(room).read_buf(bytes).await;
        if count.map_err(HandshakeError::Io)? == 0 {
            return Err(HandshakeError::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        if let Some(judged) = judge(bytes, policy).map_err(HandshakeError::Upgrade)? {
            return Ok(judged);
        }
    }
}

/// `None` where the end of the request is still to come.
fn judge(bytes: &[u8], policy: &WebSocketPolicy) -> Result<Option<(usize, String)>, UpgradeError> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut request = Request::new(&mut headers);
    let size = match request.parse(bytes) {
        Ok(Status::Complete(size)) => size,
        Ok(Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(UpgradeError::TooLarge),
        Err(_) => return Err(UpgradeError::Malformed),
    };
    let path = request.path.unwrap_or_default();
    let path = path.split_once('?').map_or(path, |(path, _query)| path);
    if request.version != Some(1) {
        return Err(UpgradeError::Malformed);
    }
    if !PATHS.contains(&path) {
        return Err(UpgradeError::Path);
    }
    if request.method != Some("GET") {
        return Err(UpgradeError::Method);
    }
    let key = judge_headers(&Headers(request.headers), policy)?;
    Ok(Some((size, derive_accept_key(key))))
}

fn judge_headers<'a>(
    headers: &Headers<'a>,
    policy: &WebSocketPolicy,
) -> Result<&'a [u8], UpgradeError> {
    let upgrades = headers.lists("upgrade", |word| word.eq_ignore_ascii_case("websocket"))
        && headers.lists("connection", |word| word.eq_ignore_ascii_case("upgrade"));
    if !upgrades || headers.one("sec-websocket-version")? != Some(b"13") {
        return Err(UpgradeError::NotWebSocket);
    }
    headers.one("host")?.ok_or(UpgradeError::Malformed)?;
    if let Some(origin) = headers.one("origin")? {
        let is_listed =
            |listed: &String| listed == "*" || listed.as_bytes().eq_ignore_ascii_case(origin);
        if !policy.origins.iter().any(is_listed) {
            return Err(UpgradeError::Origin);
        }
    }
    if !headers.lists("sec-websocket-protocol", |word| word == SUBPROTOCOL) {
        return Err(UpgradeError::Subprotocol);
    }
    match headers.one("sec-websocket-key")? {
        Some(key) if key.len() == KEY_CHARACTERS && key.ends_with(b"==") => Ok(key),
        Some(_) | None => Err(UpgradeError::Malformed),
    }
}

struct Headers<'a>(&'a [httparse::Header<'a>]);

impl<'a> Headers<'a> {
    fn all(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.0
            .iter()
            .filter(move |header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value)
    }

    /// A header that may stand there once.
    fn one(&self, name: &str) -> Result<Option<&'a [u8]>, UpgradeError> {
        let mut values = self.all(name);
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(UpgradeError::Malformed),
            (value, None) => Ok(value),
        }
    }

    /// Whether a header of words and commas has such a word.
    fn lists(&self, name: &str, is_it: impl Fn(&str) -> bool) -> bool {
        self.all(name)
            .filter_map(|value| str::from_utf8(value).ok())
            .flat_map(|value| value.split(','))
            .any(|word| is_it(word.trim()))
    }
}

async fn send(channel: &mut Channel, answer: &str) -> io::Result<()> {
    channel.write_all(answer.as_bytes()).await?;
    channel.flush().await
}

fn refusal(error: UpgradeError) -> String {
    let (status, more) = match error {
        UpgradeError::Malformed | UpgradeError::Subprotocol => ("400 Bad Request", ""),
        UpgradeError::Origin => ("403 Forbidden", ""),
        UpgradeError::Path => ("404 Not Found", ""),
        UpgradeError::Method => ("405 Method Not Allowed", "Allow: GET\r\n"),
        UpgradeError::NotWebSocket => (
            "426 Upgrade Required",
            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
        ),
        UpgradeError::TooLarge => ("431 Request Header Fields Too Large", ""),
    };
    let body = format!("{error}\n");
    format!(
        "HTTP/1.1 {status}\r\n{more}Connection: close\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}
