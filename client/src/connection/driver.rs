//! Moves bytes between a channel and the machine in `core`, and decides nothing.

use super::{Acknowledgement, ConnectError, Event, Outgoing, open::check_broker};
use crate::{
    Profile, clock,
    core::{connected::Connected, opening::Agreed},
    token::{self, Token, TokenRequestError},
};
use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use symbolon_ace_proto::{ClientNonce, Scope};
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
    /// Set once; what is left after it are events.
    fault: Option<ConnectError>,
    over: bool,
}

/// Where new tokens come from.
pub(super) struct TokenSource {
    pub(super) profile: Arc<Profile>,
    pub(super) scope: Option<Scope>,
}

type Obtaining = Pin<Box<dyn Future<Output = Result<Token, TokenRequestError>> + Send>>;

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
        while message.qos != Qos::AtMostOnce && !self.machine.has_room() {
            self.step_with_room().await?;
        }
        if self.machine.is_backlog_full() {
            return Err(ConnectError::Backlog);
        }
        let identifier = self.machine.handle_publish(message, clock::now())?;
        self.flush().await?;
        Ok(identifier)
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

    pub(super) async fn disconnect(mut self, reason_code: ReasonCode) -> Result<(), ConnectError> {
        self.machine.handle_disconnect(reason_code)?;
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
        Poll::Pending
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
            Ok(token) => {
                check_broker(&self.channel, token.broker_certificate_sha256)?;
                self.machine
                    .handle_token(token, client_nonce()?, clock::now())?;
            }
            Err(error) => self.machine.handle_no_token(error, clock::now())?,
        }
        Ok(true)
    }
}

impl TokenSource {
    fn obtain(&self) -> Obtaining {
        let (profile, scope) = (Arc::clone(&self.profile), self.scope.clone());
        Box::pin(async move { token::obtain(&profile, scope.as_ref()).await })
    }
}

pub(super) fn client_nonce() -> Result<ClientNonce, ConnectError> {
    let mut nonce = [0; 8];
    aws_lc_rs::rand::fill(&mut nonce)
        .map_err(|_unspecified| ConnectError::not_sent("the system gives no random bytes"))?;
    Ok(ClientNonce(nonce))
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
