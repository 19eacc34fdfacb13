//! The floor: reads, finds where packets end, copies each PUBLISH to who subscribed to its topic, acknowledges, writes. It checks nothing,
//! bounds nothing and remembers nothing, so what a broker takes beyond it is what the broker does.

use crate::{
    load::packets,
    wire::{Frame, SCRATCH_BYTES, Socket, secure::ServerTls},
};
use anyhow::Context as _;
use mio::{Events, Interest, Poll, Token, net::TcpListener};
use std::{collections::HashMap, io::ErrorKind, net::SocketAddr, path::PathBuf};

/// `symbolon-bench relay`.
#[derive(Debug, clap::Args)]
pub(crate) struct RelayArgs {
    /// Where it listens
    #[arg(long)]
    tcp: SocketAddr,
    /// Where it listens for TLS
    #[arg(long)]
    tls: SocketAddr,
    /// The certificate chain, PEM
    #[arg(long)]
    certificate: PathBuf,
    /// Its private key, PEM
    #[arg(long)]
    key: PathBuf,
}

const EVENTS: usize = 1_024;
const TCP: Token = Token(usize::MAX);
const TLS: Token = Token(usize::MAX - 1);
/// Ends a filter that takes whatever there is.
const ANY_LEVEL: &[u8] = b"+";
/// A CONNACK that says success, with no properties.
const ADMITTED: [u8; 5] = [packets::CONNACK << 4, 3, 0, 0, 0];
const PONG: [u8; 2] = [packets::PINGRESP << 4, 0];

#[derive(Debug)]
struct Relay {
    poll: Poll,
    tcp: TcpListener,
    tls: TcpListener,
    server: ServerTls,
    clients: Clients,
}

#[derive(Debug, Default)]
struct Clients {
    sockets: Vec<Option<Socket>>,
    free: Vec<usize>,
    by_topic: HashMap<Vec<u8>, Vec<usize>>,
    /// Who gets whatever there is.
    of_all: Vec<usize>,
    /// Who has something to be written.
    dirty: Vec<usize>,
}

impl RelayArgs {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        crate::process::allow_files(crate::compare::OPEN_FILES)?;
        let poll = Poll::new()?;
        let listen = |token, address| {
            let mut listener = TcpListener::bind(address)?;
            let interest = Interest::READABLE;
            poll.registry().register(&mut listener, token, interest)?;
            anyhow::Ok(listener)
        };
        let (tcp, tls) = (listen(TCP, self.tcp)?, listen(TLS, self.tls)?);
        let mut relay = Relay {
            poll,
            tcp,
            tls,
            server: ServerTls::with(&self.certificate, &self.key)?,
            clients: Clients::default(),
        };
        let mut events = Events::with_capacity(EVENTS);
        let mut scratch = vec![0; SCRATCH_BYTES];
        loop {
            relay.poll.poll(&mut events, None)?;
            for event in &events {
                match event.token() {
                    TCP | TLS => relay.accept(event.token() == TLS)?,
                    Token(place) => relay.clients.serve(place, &mut scratch),
                }
            }
            relay.clients.write();
        }
    }
}

impl Relay {
    fn accept(&mut self, over_tls: bool) -> anyhow::Result<()> {
        let listener = if over_tls { &self.tls } else { &self.tcp };
        loop {
            let stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            stream.set_nodelay(true)?;
            let secure = over_tls.then(|| self.server.begin()).transpose()?;
            let sockets = &mut self.clients.sockets;
            let place = self.clients.free.pop().unwrap_or_else(|| {
                sockets.push(None);
                sockets.len() - 1
            });
            let registry = self.poll.registry();
            sockets[place] = Some(Socket::new(stream, secure, registry, Token(place))?);
        }
    }
}

impl Clients {
    fn serve(&mut self, place: usize, scratch: &mut [u8]) {
        let Some(mut socket) = self.sockets[place].take() else {
            return;
        };
        let outcome = socket.read_all(scratch, |frame, out| self.handle(place, frame, out));
        if outcome.is_ok() && !socket.has_ended {
            self.sockets[place] = Some(socket);
            return;
        }
        for subscribers in self.by_topic.values_mut().chain([&mut self.of_all]) {
            subscribers.retain(|subscriber| *subscriber != place);
        }
        self.by_topic
            .retain(|_, subscribers| !subscribers.is_empty());
        self.free.push(place);
    }

    fn handle(&mut self, place: usize, frame: Frame<'_>, out: &mut Vec<u8>) -> anyhow::Result<()> {
        match frame.first >> 4 {
            packets::CONNECT => out.extend_from_slice(&ADMITTED),
            packets::PUBLISH => {
                packets::acknowledge(frame.first, frame.body, out)?;
                self.copy(packets::text(frame.body)?.0, frame.bytes);
            }
            packets::PUBREC => packets::answer(packets::PUBREL, frame.body, out),
            packets::PUBREL => packets::answer(packets::PUBCOMP, frame.body, out),
            packets::PINGREQ => out.extend_from_slice(&PONG),
            packets::SUBSCRIBE => {
                let (identifier, rest) = frame.body.split_at_checked(2).context("too short")?;
                // An empty property section.
                let (filter, options) = packets::text(rest.get(1..).context("too short")?)?;
                out.extend_from_slice(&[packets::SUBACK << 4, 4, identifier[0], identifier[1]]);
                out.extend_from_slice(&[0, options.first().context("no options")? & 3]);
                if filter.ends_with(ANY_LEVEL) {
                    self.of_all.push(place);
                } else {
                    let subscribers = self.by_topic.entry(filter.to_vec());
                    subscribers.or_default().push(place);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn copy(&mut self, topic: &[u8], packet: &[u8]) {
        let subscribers = self.by_topic.get(topic).into_iter().flatten();
        for place in subscribers.chain(&self.of_all) {
            if let Some(Some(socket)) = self.sockets.get_mut(*place) {
                if !socket.is_blocked() {
                    self.dirty.push(*place);
                }
                socket.out.extend_from_slice(packet);
            }
        }
    }

    fn write(&mut self) {
        for place in self.dirty.drain(..) {
            if let Some(Some(socket)) = self.sockets.get_mut(place) {
                // One that is gone says so when it is read from.
                socket.flush().ok();
            }
        }
    }
}
