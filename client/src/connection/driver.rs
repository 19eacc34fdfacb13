//! Moves bytes between a channel and the machine in `core`, and decides nothing.

use super::{
    Acknowledgement, ConnectError, Event, Outgoing,
    channel::check_broker,
    moving::{self, Moving},
    source::{Obtaining, TokenSource, Way, client_nonce},
};
use crate::{
    clock,
    core::{connected::Connected, opening::Agreed},
    token::Token,
};
use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use symbolon_mqtt_proto::{Qos, ReasonCode};
use symbolon_tls::Channel;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::{Sleep, sleep_until, timeout},
};

/// Bytes read at once: one TLS record.
const READ: usize = 16 * 1024;
/// How long saying goodbye may take.
const GOODBYE_LIMIT: Duration = Duration::from_secs(5);
/// How long the broker may then take to close.
const CLOSING_LIMIT: Duration = Duration::from_secs(2);

/// A channel, the machine that knows what its bytes mean, and a token on its way.
pub(super) struct Driver {
    pub(super) machine: Connected,
    channel: Channel,
    scratch: Box<[u8]>,
    flushed: bool,
    timer: Pin<Box<Sleep>>,
    source: Option<TokenSource>,
    obtaining: Option<Obtaining>,
    moving: Moving,
    tells_of_move: bool,
    /// Set once; what is left after it are events.
    fault: Option<ConnectError>,
    over: bool,
}

impl Driver {
    pub(super) fn new(channel: Channel, machine: Connected, source: Option<TokenSource>) -> Self {
        Self {
            machine,
            channel,
            scratch: vec![0; READ].into_boxed_slice(),
            flushed: true,
            timer: Box::pin(sleep_until(tokio::time::Instant::now())),
            source,
            obtaining: None,
            moving: Moving::No,
            tells_of_move: true,
            fault: None,
            over: false,
        }
    }

    pub(super) fn agreed(&self) -> &Agreed {
        self.machine.agreed()
    }

    pub(super) async fn next(&mut self) -> Result<Event, ConnectError> {
        loop {
            if let Some(event) = self.machine.poll_event(clock::now()) {
                return Ok(event);
            }
            self.step().await?;
        }
    }

    pub(super) async fn publish(&mut self, message: &Outgoing<'_>) -> Result<u64, ConnectError> {
        self.settle().await?;
        while message.qos != Qos::AtMostOnce && (!self.machine.has_room() || self.runs_dry()) {
            self.step_with_room().await?;
            self.settle().await?;
        }
        if self.machine.is_backlog_full() {
            return Err(ConnectError::Backlog);
        }
        let identifier = self.machine.handle_publish(message, clock::now())?;
        self.flush().await?;
        Ok(identifier)
    }

    /// Waits while the connection is being left for another: what is asked of the machine meanwhile would be lost.
    pub(super) async fn settle(&mut self) -> Result<(), ConnectError> {
        while self.moving.is_under_way() {
            self.step().await?;
        }
        Ok(())
    }

    /// Whether nothing more may get in flight: the connection is to be left, and its session ends with it.
    fn runs_dry(&self) -> bool {
        self.moving.is_due() && self.is_clean()
    }

    /// A session that ends with its connection is changed for one that outlives a change of connections, before there is a subscription to lose.
    pub(super) async fn keep_session(&mut self) -> Result<(), ConnectError> {
        self.settle().await?;
        // What is in flight would be lost with the session.
        while self.is_clean() && !self.machine.is_nothing_in_flight() {
            self.step_with_room().await?;
            self.settle().await?;
        }
        let is_clean = |source: &&mut TokenSource| source.place.is_clean();
        let Some(source) = self.source.as_mut().filter(is_clean) else {
            return Ok(());
        };
        Arc::make_mut(&mut source.place).keep_session();
        if !self.moving.is_due() {
            self.moving = Moving::Due(Box::new(source.token.copy()?));
        }
        self.tells_of_move = false;
        while !self.moving.is_over() {
            self.step().await?;
        }
        Ok(())
    }

    fn is_clean(&self) -> bool {
        (self.source.as_ref()).is_some_and(|source| source.place.is_clean())
    }

    /// Waits for SUBACK or UNSUBACK.
    pub(super) async fn answer(&mut self) -> Result<Acknowledgement, ConnectError> {
        loop {
            if let Some(answer) = self.machine.poll_answer() {
                return Ok(answer);
            }
            self.step_with_room().await?;
        }
    }

    /// Waits until all is handed to the operating system, or until too many events wait: then nothing is read, and a broker that waits for
    /// us to read may not read either. What is left is written with the next call.
    pub(super) async fn flush(&mut self) -> Result<(), ConnectError> {
        let unwritten =
            |driver: &mut Self| !driver.machine.outbox().pending().is_empty() || !driver.flushed;
        while unwritten(self) && !self.machine.is_backlog_full() {
            self.step().await?;
        }
        Ok(())
    }

    /// Says goodbye, and ends the session if it was made to last longer than the application wants.
    pub(super) async fn disconnect(mut self, reason_code: ReasonCode) -> Result<(), ConnectError> {
        self.settle().await?;
        let source = self.source.take();
        let expiry_secs = source
            .as_ref()
            .and_then(|source| source.place.final_expiry_secs());
        self.leave(reason_code, expiry_secs).await?;
        if let Some(source) = source
            && let Some(clearing) = source.place.clearing()
        {
            Box::pin(moving::clear(&clearing, source)).await?;
        }
        Ok(())
    }

    /// Says goodbye, and how long the session shall last if not as CONNECT had it.
    pub(super) async fn leave(
        mut self,
        reason_code: ReasonCode,
        session_expiry_interval_secs: Option<u32>,
    ) -> Result<(), ConnectError> {
        self.machine
            .handle_disconnect(reason_code, session_expiry_interval_secs)?;
        timeout(GOODBYE_LIMIT, self.say_goodbye())
            .await
            .map_err(|_elapsed| ConnectError::Timeout)?
            .map_err(lost)?;
        // Closing a socket with bytes unread resets it, and a reset may overtake what was sent. A broker that does not close in time has
        // had its time.
        let _closed = timeout(CLOSING_LIMIT, self.read_to_end()).await;
        Ok(())
    }

    async fn say_goodbye(&mut self) -> io::Result<()> {
        let pending = self.machine.outbox().pending();
        self.channel.write_all(pending).await?;
        self.channel.shutdown().await
    }

    async fn read_to_end(&mut self) {
        while matches!(self.channel.read(&mut self.scratch).await, Ok(count) if count > 0) {}
    }

    async fn step_with_room(&mut self) -> Result<(), ConnectError> {
        if self.machine.is_backlog_full() {
            return Err(ConnectError::Backlog);
        }
        self.step().await
    }

    /// Waits until something has happened: bytes came, all bytes are out, time has passed, a token came. Cancel safe.
    async fn step(&mut self) -> Result<(), ConnectError> {
        if self.over {
            return Err(ConnectError::Lost("the connection is over".to_owned()));
        }
        if self.fault.is_none() {
            match poll_fn(|cx| self.poll_step(cx)).await {
                Ok(()) => return Ok(()),
                Err(fault) => self.fault = Some(fault),
            }
            // Events that came before the end are told before it.
            return Ok(());
        }
        self.over = true;
        let fault = self.fault.take();
        Err(fault.unwrap_or_else(closed))
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        if self.moving.is_under_way() {
            return self.poll_moving(cx);
        }
        let written = self.poll_write(cx);
        if self.poll_read(cx)? {
            // Where writing fails, the broker's last word still counts: DISCONNECT says why.
            return Poll::Ready(Ok(()));
        }
        let written = written?;
        // After reading: a broker that has answered in time is not late because we were.
        let woken = self.poll_clock(cx)?;
        let renewed = self.poll_obtaining(cx)?;
        if written || woken || renewed {
            return Poll::Ready(Ok(()));
        }
        let is_dry = !self.runs_dry() || self.machine.is_nothing_in_flight();
        if self.moving.is_due() && self.flushed && is_dry && self.machine.may_be_left() {
            self.begin_to_move()?;
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    }

    /// The session that goes on is taken now: what comes on the old connection from here on is not acknowledged, and so comes again.
    fn begin_to_move(&mut self) -> Result<(), ConnectError> {
        let session = self.machine.session();
        self.machine.handle_disconnect(ReasonCode::Success, None)?;
        self.moving.begin(session, CLOSING_LIMIT);
        Ok(())
    }

    /// The old connection is left, then the new one takes its place.
    fn poll_moving(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        if self.moving.is_leaving() {
            ready!(self.poll_leaving(cx));
            let Some(source) = &self.source else {
                return Poll::Ready(Err(closed()));
            };
            self.moving.enter(source);
        }
        let entered = ready!(self.moving.poll_entered(cx))?;
        self.moving = Moving::No;
        self.channel = entered.channel;
        let left = std::mem::replace(&mut self.machine, *entered.machine);
        self.machine.take_over_events(left);
        self.flushed = true;
        if let Some(source) = &mut self.source {
            source.token = entered.token;
            source.wants_nonce |= entered.wants_nonce;
        }
        // Where there were no subscriptions yet, the application has lost nothing.
        if std::mem::replace(&mut self.tells_of_move, true) {
            self.machine.tell_reconnected();
        }
        Poll::Ready(Ok(()))
    }

    /// DISCONNECT goes out, and the broker closes: it shall have read it before we come again, or it would publish our Will. Whatever goes
    /// wrong, the connection is left.
    fn poll_leaving(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.moving.poll_limit(cx).is_ready() {
            return Poll::Ready(());
        }
        if ready!(self.poll_write_all(cx)).is_err() {
            return Poll::Ready(());
        }
        if ready!(Pin::new(&mut self.channel).poll_shutdown(cx)).is_err() {
            return Poll::Ready(());
        }
        loop {
            let mut buffer = ReadBuf::new(&mut self.scratch);
            match ready!(Pin::new(&mut self.channel).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {}
                Ok(()) | Err(_) => return Poll::Ready(()),
            }
        }
    }

    /// Whether the last byte was written now.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<bool, ConnectError> {
        match self.poll_write_all(cx) {
            Poll::Ready(Ok(progress)) => Ok(progress),
            Poll::Ready(Err(error)) => Err(lost(error)),
            Poll::Pending => Ok(false),
        }
    }

    fn poll_write_all(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        loop {
            let pending = self.machine.outbox().pending();
            if pending.is_empty() {
                break;
            }
            self.flushed = false;
            let count = ready!(Pin::new(&mut self.channel).poll_write(cx, pending))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.machine.outbox().handle_written(count);
        }
        if self.flushed {
            return Poll::Ready(Ok(false));
        }
        ready!(Pin::new(&mut self.channel).poll_flush(cx))?;
        self.flushed = true;
        Poll::Ready(Ok(true))
    }

    /// Whether bytes came.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Result<bool, ConnectError> {
        if self.machine.is_backlog_full() {
            return Ok(false);
        }
        let mut buffer = ReadBuf::new(&mut self.scratch);
        match Pin::new(&mut self.channel).poll_read(cx, &mut buffer) {
            Poll::Pending => Ok(false),
            Poll::Ready(Err(error)) => Err(lost(error)),
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => Err(closed()),
            Poll::Ready(Ok(())) => {
                if let Err(fault) = self.machine.handle_bytes(buffer.filled(), clock::clocks()) {
                    // Whether the broker hears why is no matter to us.
                    let _told = self.poll_write_all(cx);
                    return Err(fault);
                }
                Ok(true)
            }
        }
    }

    /// Whether the machine's time has come.
    fn poll_clock(&mut self, cx: &mut Context<'_>) -> Result<bool, ConnectError> {
        let Some(at) = self.machine.poll_timeout() else {
            return Ok(false);
        };
        let at = tokio::time::Instant::from_std(at);
        if self.timer.deadline() != at {
            self.timer.as_mut().reset(at);
        }
        if self.timer.as_mut().poll(cx).is_pending() {
            return Ok(false);
        }
        let now = clock::now();
        self.machine.handle_timeout(now)?;
        if let Some(source) = &self.source
            && self.machine.poll_renewal(now)
        {
            self.obtaining = Some(source.obtain());
        }
        Ok(true)
    }

    /// A new token came.
    fn handle_token(&mut self, token: Token) -> Result<(), ConnectError> {
        let Some(source) = &mut self.source else {
            return Ok(());
        };
        let now = clock::now();
        match source.way(&token) {
            Way::Reauthenticate => {
                check_broker(&self.channel, token.broker.as_ref())?;
                self.machine.handle_token(&token, client_nonce()?, now)?;
                source.token = token;
            }
            Way::Publish => {
                check_broker(&self.channel, token.broker.as_ref())?;
                self.machine.handle_token_to_publish(&token, now)?;
                source.token = token;
            }
            Way::Reconnect => self.moving = Moving::Due(Box::new(token)),
        }
        Ok(())
    }

    /// Whether a token came, or word that none comes.
    fn poll_obtaining(&mut self, cx: &mut Context<'_>) -> Result<bool, ConnectError> {
        let Some(obtaining) = &mut self.obtaining else {
            return Ok(false);
        };
        let Poll::Ready(obtained) = obtaining.as_mut().poll(cx) else {
            return Ok(false);
        };
        self.obtaining = None;
        match obtained {
            Ok(token) => self.handle_token(token)?,
            Err(error) => self.machine.handle_no_token(error, clock::now())?,
        }
        Ok(true)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in map_err")]
pub(super) fn lost(error: io::Error) -> ConnectError {
    // Many brokers close TCP without closing TLS first. Nothing hangs on it: MQTT has its own DISCONNECT.
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return closed();
    }
    ConnectError::Lost(error.to_string())
}

pub(super) fn closed() -> ConnectError {
    ConnectError::Lost("the broker closed the connection".to_owned())
}
