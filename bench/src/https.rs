//! Requests over connections that are kept: HTTP/1.1 over TLS, one request at a time on each, all on one poll.

use crate::wire::{SCRATCH_BYTES, Socket, secure::ClientTls};
use anyhow::{Context as _, bail, ensure};
use mio::{Events, Poll, Token};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// How long a server may let us wait.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);
const EVENTS: usize = 256;
/// Where the headers of an answer end.
const END_OF_HEADERS: &[u8] = b"\r\n\r\n";

/// An answer that is whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) head: &'a str,
    pub(crate) body: &'a [u8],
    /// All of it, headers too.
    pub(crate) bytes: usize,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Pool {
    poll: Poll,
    events: Events,
    scratch: Vec<u8>,
    connections: Vec<Connection>,
}

#[derive(Debug)]
struct Connection {
    socket: Socket,
    incoming: Vec<u8>,
}

impl Pool {
    /// Opens so many connections and waits until all are there.
    pub(crate) fn connect(
        address: SocketAddr,
        tls: &ClientTls,
        count: usize,
    ) -> anyhow::Result<Self> {
        let mut pool = Self {
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS),
            scratch: vec![0; SCRATCH_BYTES],
            connections: Vec::new(),
        };
        for place in 0..count {
            let secure = Some(tls.begin()?);
            let socket = Socket::connect(address, secure, pool.poll.registry(), Token(place))?;
            let incoming = Vec::new();
            pool.connections.push(Connection { socket, incoming });
        }
        let began = Instant::now();
        while !pool.connections.iter().all(|one| one.socket.is_open()) {
            ensure!(began.elapsed() < LIMIT, "not all connections are made");
            pool.turn(LIMIT, |_, _| bail!("an answer to nothing"))?;
        }
        for connection in &pool.connections {
            connection.socket.set_nodelay()?;
        }
        Ok(pool)
    }

    pub(crate) fn len(&self) -> usize {
        self.connections.len()
    }

    /// Sends a request, where the one before has its answer.
    pub(crate) fn send(&mut self, place: usize, request: &[u8]) -> anyhow::Result<()> {
        let socket = &mut self.connections[place].socket;
        socket.out.extend_from_slice(request);
        Ok(socket.flush()?)
    }

    /// Waits at most for `wait`, and gives each answer to `handle` with the place of its connection.
    pub(crate) fn turn(
        &mut self,
        wait: Duration,
        mut handle: impl FnMut(usize, Answer<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        if let Err(error) = self.poll.poll(&mut self.events, Some(wait))
            && error.kind() != std::io::ErrorKind::Interrupted
        {
            return Err(error.into());
        }
        for event in &self.events {
            let place = event.token().0;
            let connection = &mut self.connections[place];
            if event.is_writable() {
                connection.socket.flush()?;
            }
            if !event.is_readable() && !event.is_read_closed() {
                continue;
            }
            let incoming = &mut connection.incoming;
            connection.socket.read_into(&mut self.scratch, incoming)?;
            if let Some(answer) = Answer::parse(incoming)? {
                ensure!(answer.bytes == incoming.len(), "more than one answer");
                handle(place, answer)?;
                incoming.clear();
            }
            ensure!(!connection.socket.has_ended, "the server has closed");
        }
        Ok(())
    }

    /// One request, and head and body of its answer, which must have this status.
    pub(crate) fn ask(&mut self, request: &[u8], status: u16) -> anyhow::Result<(String, Vec<u8>)> {
        self.send(0, request)?;
        let (mut answered, began) = (None, Instant::now());
        while answered.is_none() {
            ensure!(began.elapsed() < LIMIT, "no answer");
            self.turn(LIMIT, |_, answer| {
                let text = String::from_utf8_lossy(answer.body);
                ensure!(answer.status == status, "status {}: {text}", answer.status);
                answered = Some((answer.head.to_owned(), answer.body.to_vec()));
                Ok(())
            })?;
        }
        answered.context("an answer")
    }
}

impl<'a> Answer<'a> {
    /// The answer at the start of `bytes`, once it is whole. Its length must stand in `Content-Length`.
    fn parse(bytes: &'a [u8]) -> anyhow::Result<Option<Self>> {
        let mut windows = bytes.windows(END_OF_HEADERS.len());
        let Some(end) = windows.position(|four| four == END_OF_HEADERS) else {
            return Ok(None);
        };
        let head = std::str::from_utf8(&bytes[..end])?;
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let mut length = None;
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                length = Some(value.trim().parse::<usize>()?);
            }
        }
        let start = end + END_OF_HEADERS.len();
        let length = length.context("an answer without Content-Length")?;
        let Some(body) = bytes.get(start..start + length) else {
            return Ok(None);
        };
        Ok(Some(Self {
            status: status.context("no status")?.parse()?,
            head,
            body,
            bytes: start + length,
        }))
    }
}

/// A POST of a form. `authorization` is the value of that header.
pub(crate) fn post(path: &str, authorization: Option<&str>, form: &str) -> Vec<u8> {
    let authorization =
        authorization.map_or_else(String::new, |value| format!("authorization: {value}\r\n"));
    let length = form.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\n{authorization}\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {length}\r\n\r\n{form}"
    )
    .into_bytes()
}

/// A POST of JSON, with these further headers, each with its end of line.
pub(crate) fn post_json(path: &str, headers: &str, body: &serde_json::Value) -> Vec<u8> {
    let body = body.to_string();
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\n{headers}\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_last_byte_is_there() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        for end in 0..bytes.len() {
            assert!(Answer::parse(&bytes[..end]).unwrap().is_none());
        }
        let answer = Answer::parse(bytes).unwrap().unwrap();
        assert_eq!(
            (answer.status, answer.body, answer.bytes),
            (200, &b"abc"[..], bytes.len())
        );
        assert!(Answer::parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
