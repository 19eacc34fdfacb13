//! An admitted connection: read, hand over, write. One task, one poll: packets are decoded where they were read.

use super::{arrival::Place, shard::ShardHandle};
use crate::core::{
    counters::Count,
    reauthentication::AuthCircumstances,
    session::{ConnectionKey, Farewell},
    shard::Shard,
};
use std::{
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};
use symbolon_ace_proto::RsNonce;
use symbolon_mqtt_proto::{Decoder, ProtocolVersion, Sender};
use symbolon_tls::Channel;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::timeout,
};

/// Reads of one connection in one turn: then the others have theirs.
const READS_PER_TURN: usize = 4;
/// How long a closing connection is read from, so that our last packet is not lost to a reset.
const LINGER: Duration = Duration::from_secs(1);
/// How much is read and thrown away meanwhile, bytes.
const LINGER_BYTES: usize = 256 * 1024;

/// See the module.
pub(crate) struct Connection {
    shard: Rc<ShardHandle>,
    at: ConnectionKey,
    /// Once it is over: what is still to be written.
    farewell: Option<Farewell>,
    channel: Channel,
    decoder: Decoder,
    /// The beginning of a packet whose end is still to come. Empty most of the time, and then it owns no memory.
    partial: Vec<u8>,
    /// Whole packets may be in `partial`: the client was paused before their turn came, or they came behind those of its admission.
    unhandled: bool,
    needs_flush: bool,
}

impl Connection {
    /// `unread` came behind the packets of the admission.
    pub(crate) fn new(
        shard: Rc<ShardHandle>,
        at: ConnectionKey,
        channel: Channel,
        version: ProtocolVersion,
        unread: Vec<u8>,
    ) -> Self {
        let decoder = Decoder {
            version,
            sender: Sender::Client,
            maximum_packet_size: shard.limits().packet_size,
        };
        Self {
            shard,
            at,
            farewell: None,
            channel,
            decoder,
            unhandled: !unread.is_empty(),
            partial: unread,
            needs_flush: false,
        }
    }

    /// Serves the client until it or we end it, and keeps its place among the connections for so long.
    #[expect(
        clippy::manual_async_fn,
        reason = "an async function keeps its arguments twice, and every idle client would pay for that"
    )]
    pub(crate) fn run(mut self, place: Place) -> impl Future<Output = ()> {
        async move {
            let outcome = std::future::poll_fn(|context| self.poll_serve(context)).await;
            // On the heap: in this future the end would be part of every connection's task, from its first moment on.
            Box::pin(self.end(outcome)).await;
            drop(place);
        }
    }

    async fn end(self, outcome: io::Result<()>) {
        if let Err(error) = &outcome {
            tracing::debug!(%error, "connection lost");
        }
        self.shard
            .with_core(|core, now| core.handle_closed(self.at, now));
        self.shard.forget_waker(self.at);
        let dismissed = self.farewell.is_some_and(|farewell| farewell.dismissed);
        if outcome.is_ok() && dismissed {
            linger(self.channel).await;
        } else {
            close(self.channel).await;
        }
    }

    /// Ready once the connection is over and everything that was to be written is.
    fn poll_serve(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shard.keep_waker(self.at, context.waker());
        for _ in 0..READS_PER_TURN {
            let written = self.poll_write(context)?;
            if self.farewell.is_some() {
                // Nothing is read any more: what could not be written yet still must be.
                return written.map(Ok);
            }
            let (may_read, waits_for_others) = {
                let core = self.shard.core();
                (core.may_read(self.at.session), core.is_congested())
            };
            if waits_for_others {
                self.shard.wait_for_room(self.at.session);
                return Poll::Pending;
            }
            if !may_read {
                return Poll::Pending;
            }
            if std::mem::take(&mut self.unhandled) {
                let kept = std::mem::take(&mut self.partial);
                self.handle_bytes(&kept);
                continue;
            }
            match self.poll_read(context)? {
                Poll::Ready(0) => return Poll::Ready(Ok(())),
                Poll::Ready(_) => {}
                Poll::Pending => {
                    // What the timers or other clients put into the outbox meanwhile wakes us again.
                    return Poll::Pending;
                }
            }
        }
        context.waker().wake_by_ref();
        let _more_than_a_turn = self.poll_write(context)?;
        Poll::Pending
    }

    /// Reads once, into the shard's buffer, and hands over what is whole. How many bytes came; 0 is the end.
    fn poll_read(&mut self, context: &mut Context<'_>) -> io::Result<Poll<usize>> {
        let shard = Rc::clone(&self.shard);
        let mut scratch = shard.scratch();
        let kept = std::mem::take(&mut self.partial);
        // The unfinished packet goes in front, so that packets are always contiguous.
        scratch.reserve_for(kept.len());
        let buffer = scratch.bytes();
        buffer[..kept.len()].copy_from_slice(&kept);
        let mut target = ReadBuf::new(&mut buffer[kept.len()..]);
        let polled = Pin::new(&mut self.channel).poll_read(context, &mut target);
        let count = target.filled().len();
        match polled {
            Poll::Pending => {
                self.partial = kept;
                Ok(Poll::Pending)
            }
            Poll::Ready(Err(error)) => Err(error),
            Poll::Ready(Ok(())) => {
                if count > 0 {
                    shard.core_mut().counters.add(Count::BytesReceived, count);
                    self.handle_bytes(&scratch.bytes()[..kept.len() + count]);
                }
                Ok(Poll::Ready(count))
            }
        }
    }

    fn handle_bytes(&mut self, mut bytes: &[u8]) {
        let (at, decoder) = (self.at, self.decoder);
        let keys = self.shard.keys();
        let paused = self.shard.with_core(|core, now| {
            while let Some(session) = core.live(at) {
                if session.link.pace.is_paused() {
                    return !bytes.is_empty();
                }
                match decoder.decode(bytes) {
                    Ok(Some((packet, size))) => {
                        let with = AuthCircumstances {
                            keys: &keys,
                            fresh_nonce: &fresh_nonce,
                        };
                        core.handle_packet(at, &packet, with, now);
                        bytes = &bytes[size..];
                    }
                    Ok(None) => break,
                    Err(error) => core.handle_malformed(at.session, error, now),
                }
            }
            false
        });
        self.unhandled = paused;
        self.partial = bytes.to_vec();
    }

    /// Writes what waits, as far as the socket takes it. Ready when nothing waits any more.
    fn poll_write(&mut self, context: &mut Context<'_>) -> io::Result<Poll<()>> {
        let shard = Rc::clone(&self.shard);
        let mut core = shard.core_mut();
        if self.farewell.is_none() && core.live(self.at).is_none() {
            self.farewell = Some(core.take_farewell(self.at));
        }
        let core = &mut *core;
        while self.fill(core) {
            let outbox = match &mut self.farewell {
                Some(farewell) => &mut farewell.outbox,
                None => &mut core.session_mut(self.at.session).link.outbox,
            };
            match Pin::new(&mut self.channel).poll_write(context, outbox.front()) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => {
                    outbox.advance(count);
                    core.counters.add(Count::BytesSent, count);
                    self.needs_flush = true;
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(Poll::Pending),
            }
        }
        if self.needs_flush {
            match Pin::new(&mut self.channel).poll_flush(context) {
                Poll::Ready(outcome) => outcome?,
                Poll::Pending => return Ok(Poll::Pending),
            }
            self.needs_flush = false;
        }
        Ok(Poll::Ready(()))
    }

    /// Whether there is something to write; an empty outbox is filled with what waits.
    fn fill(&self, core: &mut Shard) -> bool {
        if let Some(farewell) = &self.farewell {
            return !farewell.outbox.is_empty();
        }
        let session = core.session_mut(self.at.session);
        session.link.dirty = false;
        if !session.link.outbox.is_empty() {
            return true;
        }
        if !session.has_more() {
            return false;
        }
        self.shard.fill_outbox(core, self.at.session);
        let link = &mut core.session_mut(self.at.session).link;
        link.dirty = false;
        !link.outbox.is_empty()
    }
}

/// Tells a client why it is not let in.
pub(crate) async fn turn_away(mut channel: Channel, mut refused: Farewell) {
    let write = async {
        while !refused.outbox.is_empty() {
            let count = channel.write(refused.outbox.front()).await?;
            refused.outbox.advance(count.max(1));
        }
        channel.flush().await
    };
    match timeout(LINGER, write).await {
        Ok(Ok(())) => linger(channel).await,
        Ok(Err(error)) => tracing::trace!(%error, "connection lost while closing"),
        Err(_) => tracing::trace!("the client does not read why it is refused"),
    }
}

/// Eight random bytes for a challenge (RFC 9431 §2.2.4.2.2). `None` where the system has none to give.
pub(crate) fn fresh_nonce() -> Option<RsNonce> {
    let mut nonce = [0; 8];
    aws_lc_rs::rand::fill(&mut nonce).ok()?;
    Some(RsNonce(nonce))
}

/// Closes our side of a connection that the client has left: TLS says goodbye too, as far as that needs no waiting.
async fn close(mut channel: Channel) {
    let shutdown = std::future::poll_fn(|context| {
        // Not waited for: nobody is there any more.
        Poll::Ready(Pin::new(&mut channel).poll_shutdown(context))
    });
    if let Poll::Ready(Err(error)) = shutdown.await {
        tracing::trace!(%error, "connection lost while closing");
    }
}

/// Closes our side and reads the rest, within limits: closing a socket with unread bytes resets it, and our last packet could be lost.
pub(crate) async fn linger(mut channel: Channel) {
    let finish = async {
        channel.shutdown().await?;
        let mut rest = vec![0; 4096];
        let mut read = 0;
        while read < LINGER_BYTES {
            let mut target = ReadBuf::new(&mut rest);
            std::future::poll_fn(|context| Pin::new(&mut channel).poll_read(context, &mut target))
                .await?;
            if target.filled().is_empty() {
                break;
            }
            read += target.filled().len();
        }
        io::Result::Ok(())
    };
    if let Ok(Err(error)) = timeout(LINGER, finish).await {
        tracing::trace!(%error, "connection lost while closing");
    }
}
