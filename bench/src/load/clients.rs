//! Many clients on one poll, from CONNECT to DISCONNECT.

use super::{
    Target,
    admission::{Credentials, Hello},
    packets,
};
use crate::wire::{Frame, SCRATCH_BYTES, Socket, secure::ClientTls};
use anyhow::{Context as _, bail};
use mio::{Events, Poll, Token};
use std::time::{Duration, Instant};
use symbolon_mqtt_proto::{Decoder, Packet, ProtocolVersion, Qos, ReasonCode, Sender};

/// How long the broker may let us wait for anything that it must say.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);
const EVENTS: usize = 1_024;
/// The token of what is no client.
pub(super) const TIMER: Token = Token(usize::MAX);
const DECODER: Decoder = Decoder {
    version: ProtocolVersion::V5,
    sender: Sender::Server,
    maximum_packet_size: u32::MAX,
};

/// How far a client is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// The connection is being made.
    Opening,
    AwaitConnAck,
    /// It is let in.
    In,
    /// The broker has said goodbye.
    SentAway,
}

/// One client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) socket: Socket,
    hello: Hello,
    stage: Stage,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Clients {
    pub(super) poll: Poll,
    events: Events,
    scratch: Vec<u8>,
    target: Target,
    by_place: Vec<Option<Client>>,
}

impl Hello {
    fn credentials_or<'a>(&'a self, target: &'a Target) -> Option<&'a Credentials> {
        (self.credentials.as_deref()).or(target.credentials.as_deref())
    }
}

impl Client {
    /// Sends the CONNECT as soon as the connection can carry it.
    fn advance(&mut self, target: &Target) -> anyhow::Result<()> {
        if self.stage == Stage::Opening && self.socket.is_open() {
            self.socket.set_nodelay()?;
            let exporter = self.socket.exporter();
            let connect = (self.hello).connect(self.hello.credentials_or(target), exporter)?;
            self.socket.out.extend_from_slice(&connect);
            self.stage = Stage::AwaitConnAck;
        }
        Ok(self.socket.flush()?)
    }
}

/// What a packet before admission means: whether the client is in.
fn greet(
    frame: Frame<'_>,
    credentials: Option<&Credentials>,
    out: &mut Vec<u8>,
) -> anyhow::Result<bool> {
    match DECODER.decode(frame.bytes)? {
        Some((Packet::ConnAck(connack), _)) if connack.reason_code == ReasonCode::Success => {
            Ok(true)
        }
        Some((Packet::Auth(auth), _)) => {
            let credentials = credentials.context("a challenge to nobody")?;
            out.extend_from_slice(&credentials.answer(&auth)?);
            Ok(false)
        }
        Some((other, _)) => bail!("refused: {other:?}"),
        None => bail!("not a packet"),
    }
}

impl Clients {
    pub(crate) fn new(target: &Target) -> anyhow::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS),
            scratch: vec![0; SCRATCH_BYTES],
            target: target.clone(),
            by_place: Vec::new(),
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.by_place.len()
    }

    /// A client that is there.
    pub(crate) fn get(&mut self, place: usize) -> anyhow::Result<&mut Client> {
        self.by_place[place].as_mut().context("the client is gone")
    }

    /// Begins to connect, in a place that is free.
    pub(crate) fn open(&mut self, place: usize, hello: Hello) -> anyhow::Result<()> {
        let secure = self.target.tls.as_ref().map(ClientTls::begin).transpose()?;
        let (address, registry) = (self.target.address, self.poll.registry());
        let socket = Socket::connect(address, secure, registry, Token(place))?;
        if self.by_place.len() <= place {
            self.by_place.resize_with(place + 1, || None);
        }
        self.by_place[place] = Some(Client {
            socket,
            hello,
            stage: Stage::Opening,
        });
        Ok(())
    }

    /// Waits at most for `wait`, and gives each packet of an admitted client to `handle`, with what goes back to that client; a CONNACK too,
    /// which says that it is admitted now. Whoever gets a DISCONNECT is gone after that. Whether the timer was due.
    pub(crate) fn turn(
        &mut self,
        wait: Duration,
        mut handle: impl FnMut(usize, Frame<'_>, &mut Vec<u8>) -> anyhow::Result<()>,
    ) -> anyhow::Result<bool> {
        if let Err(error) = self.poll.poll(&mut self.events, Some(wait))
            && error.kind() != std::io::ErrorKind::Interrupted
        {
            return Err(error.into());
        }
        let target = &self.target;
        let mut was_due = false;
        for event in &self.events {
            if event.token() == TIMER {
                was_due = true;
                continue;
            }
            let place = event.token().0;
            let Some(Some(client)) = self.by_place.get_mut(place) else {
                continue;
            };
            if event.is_writable() {
                client.advance(target)?;
            }
            if !event.is_readable() && !event.is_read_closed() {
                continue;
            }
            let stage = &mut client.stage;
            let credentials = client.hello.credentials_or(target);
            client.socket.read_all(&mut self.scratch, |frame, out| {
                if *stage == Stage::In {
                    if frame.first >> 4 == packets::DISCONNECT {
                        *stage = Stage::SentAway;
                    }
                    return handle(place, frame, out);
                }
                if greet(frame, credentials, out)? {
                    *stage = Stage::In;
                    handle(place, frame, out)?;
                }
                anyhow::Ok(())
            })?;
            if client.stage == Stage::SentAway {
                self.by_place[place] = None;
                continue;
            }
            client.advance(target)?;
            if client.socket.has_ended {
                bail!("the broker has closed the connection of {:?}", client.hello);
            }
        }
        Ok(was_due)
    }

    /// Lets clients in, at most `at_once` at the same time.
    pub(crate) fn admit(&mut self, hellos: Vec<Hello>, at_once: usize) -> anyhow::Result<()> {
        let (mut coming, total) = (0, hellos.len());
        let (mut admitted, began) = (0, Instant::now());
        let mut hellos = hellos.into_iter();
        while admitted < total {
            while coming < at_once
                && let Some(hello) = hellos.next()
            {
                self.open(self.len(), hello)?;
                coming += 1;
            }
            self.turn(LIMIT, |_, frame, _| {
                if frame.first >> 4 == packets::CONNACK {
                    admitted += 1;
                    coming -= 1;
                }
                Ok(())
            })?;
            if began.elapsed() > LIMIT * 3 {
                bail!("only {admitted} of {total} clients were let in");
            }
        }
        Ok(())
    }

    /// Subscribes each of the first clients to its filter, and waits until all are.
    pub(crate) fn subscribe(&mut self, filters: &[String], qos: Qos) -> anyhow::Result<()> {
        for (place, filter) in filters.iter().enumerate() {
            let socket = &mut self.get(place)?.socket;
            socket
                .out
                .extend_from_slice(&packets::subscribe(filter, qos)?);
            socket.flush()?;
        }
        let (mut subscribed, began) = (0, Instant::now());
        while subscribed < filters.len() {
            self.turn(LIMIT, |_, frame, _| {
                if frame.first >> 4 == packets::SUBACK {
                    let granted = frame.body.last().copied();
                    if granted != Some(qos as u8) {
                        bail!("SUBACK {granted:?}");
                    }
                    subscribed += 1;
                }
                Ok(())
            })?;
            if began.elapsed() > LIMIT {
                bail!("only {subscribed} of {} are subscribed", filters.len());
            }
        }
        Ok(())
    }

    /// Says goodbye for one client.
    pub(crate) fn leave(&mut self, place: usize) {
        if let Some(mut client) = self.by_place[place].take() {
            client.socket.out.extend_from_slice(&packets::GOODBYE);
            // The broker may be gone already: this was measured before.
            client.socket.flush().ok();
            client.socket.close();
        }
    }

    /// Says goodbye for all.
    pub(crate) fn leave_all(&mut self) {
        for place in 0..self.by_place.len() {
            self.leave(place);
        }
        self.by_place.clear();
    }
}
