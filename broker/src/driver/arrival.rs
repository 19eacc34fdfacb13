//! A connection until it is admitted: TLS, CONNECT, proof. Then it moves to the shard where its client is at home.

use super::{
    addresses::Visit,
    connection::{fresh_nonce, linger},
    known::{self, Proved},
    listener::{Entrance, websocket_message_bytes},
    shard::{ShardHandle, home_of},
};
use crate::core::{
    admission::{Admitted, AwaitProof, Circumstances, Step},
    connecting::append_refusal,
    counters::{Count, Limit, NoClient, Reason},
    quota,
    refusal::{Refusal, Undecided},
};
use std::{io, net::SocketAddr, rc::Rc, sync::Arc, time::Duration};
use symbolon_ace_proto::{AUTHENTICATION_METHOD, hint::USER_PROPERTY};
use symbolon_mqtt_proto::{
    Auth, Connect, DecodeError, Decoder, Packet, ProtocolVersion, ReasonCode, Sender,
    UserProperties, property::PropertyBuffer,
};
use symbolon_tls::{Channel, DetachedChannel, HandshakeError, UpgradeError};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::spawn_local,
    time::{sleep, timeout},
};

/// The largest CONNECT or AUTH taken from a client that is not admitted, bytes: a token, a Will and their properties.
pub(super) const UNADMITTED_PACKET_BYTES: u32 = 256 * 1024;
/// After a failing accept, as when file descriptors run out, the next try comes this much later.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// An admitted client on its way to its home shard.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) channel: DetachedChannel,
    pub(crate) newcomer: Newcomer,
}

/// An admitted client and what belongs to its connection.
#[derive(Debug)]
pub(crate) struct Newcomer {
    pub(crate) admitted: Box<Admitted>,
    /// We gave it its Client Identifier.
    pub(crate) assigned: bool,
    /// Bytes that came behind its last packet.
    pub(crate) unread: Vec<u8>,
    pub(crate) place: Place,
}

/// One of the connections that the limits count.
#[derive(Debug)]
pub(crate) struct Place {
    _connection: quota::Place,
    _visit: Visit,
}

impl Place {
    /// For a connection from `peer`, or the bound that it is beyond.
    fn take(shard: &ShardHandle, peer: SocketAddr) -> Result<Self, (NoClient, Limit)> {
        let (limits, common) = (shard.limits(), &shard.common);
        let visit = common
            .addresses
            .enter(peer.ip(), limits.connections_per_address)
            .ok_or((NoClient::AddressLimit, Limit::ConnectionsPerAddress))?;
        let connection = quota::Place::take(&common.connections, limits.connections)
            .ok_or((NoClient::Limit, Limit::Connections))?;
        Ok(Self {
            _connection: connection,
            _visit: visit,
        })
    }
}

/// Accepts connections for ever. At most `limits.handshakes` are on their way to admission at once; the kernel keeps the others.
pub(crate) fn accept(
    shard: Rc<ShardHandle>,
    socket: std::net::TcpListener,
    entrance: Entrance,
) -> io::Result<impl Future<Output = ()>> {
    let listener = TcpListener::from_std(socket)?;
    let mut permits = Permits::new(shard.limits().handshakes);
    Ok(async move {
        loop {
            permits.adjust(shard.limits().handshakes);
            if permits.free.available_permits() == 0 {
                shard.count(Count::Limit(Limit::Handshakes));
            }
            let Ok(permit) = Arc::clone(&permits.free).acquire_owned().await else {
                return;
            };
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let place = match Place::take(&shard, peer) {
                Ok(place) => place,
                Err((no_client, limit)) => {
                    shard.count(Count::NoClient(no_client));
                    shard.count(Count::Limit(limit));
                    tracing::debug!(%peer, ?limit, "connection refused at a limit");
                    continue;
                }
            };
            let (shard, entrance) = (Rc::clone(&shard), entrance.clone());
            shard.count(Count::Handshakes);
            spawn_local(async move {
                let arrived = arrive(&shard, stream, &entrance, place).await;
                shard.core_mut().counters.discount(Count::Handshakes);
                if let Err(error) = &arrived {
                    shard.count(error.count());
                    if let Some(limit) = error.limit() {
                        shard.count(Count::Limit(limit));
                    }
                }
                match arrived {
                    Ok(()) => {}
                    // An operator looks for denials; the rest is the noise of networks.
                    Err(ArrivalError::Refused(reason)) => {
                        tracing::info!(%peer, %reason, "client refused");
                    }
                    // The operator's own pages may be among them.
                    Err(ArrivalError::Handshake(HandshakeError::Upgrade(
                        error @ UpgradeError::Origin,
                    ))) => {
                        tracing::info!(%peer, %error, "WebSocket refused; the key is `origins` of [[broker.listener]]");
                    }
                    Err(error) => tracing::debug!(%peer, %error, "no client came of a connection"),
                }
                drop(permit);
            });
        }
    })
}

/// As many permits as connections may be on their way to admission.
struct Permits {
    free: Arc<Semaphore>,
    /// Those that there are, free or not.
    all: usize,
}

impl Permits {
    fn new(limit: usize) -> Self {
        let all = limit.min(Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(all)),
            all,
        }
    }

    /// Adds permits, or takes away those that are free: the rest follows as connections give theirs back.
    fn adjust(&mut self, limit: usize) {
        let limit = limit.min(Semaphore::MAX_PERMITS);
        if limit > self.all {
            self.free.add_permits(limit - self.all);
            self.all = limit;
        } else if limit < self.all {
            self.all -= self.free.forget_permits(self.all - limit);
        }
    }
}

/// Why no client came of a connection.
#[derive(Debug, thiserror::Error)]
enum ArrivalError {
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    #[error("connection lost: {0}")]
    Io(#[from] io::Error),
    #[error("no admitted CONNECT within the limit")]
    Timeout,
    #[error("refused: {0}")]
    Refused(Refusal),
    #[error("{0}")]
    Malformed(DecodeError),
    #[error("something else than CONNECT came first")]
    NotConnect,
    #[error("closed")]
    Closed,
    #[error("the client's shard takes no more connections")]
    Busy,
}

impl ArrivalError {
    /// Whether the client was told in a last packet or frame, which a reset must not overtake.
    fn was_told(&self) -> bool {
        match self {
            Self::Refused(_) | Self::Malformed(_) => true,
            // Against RFC 6455.
            Self::Io(error) => error.kind() == io::ErrorKind::InvalidData,
            Self::Handshake(_) | Self::Timeout | Self::NotConnect | Self::Closed | Self::Busy => {
                false
            }
        }
    }

    fn count(&self) -> Count {
        Count::NoClient(match self {
            Self::Refused(refusal) => return Count::Reason(Reason::Refused, refusal.reason_code()),
            Self::Handshake(HandshakeError::Timeout) => NoClient::HandshakeTimeout,
            Self::Timeout => NoClient::ConnectTimeout,
            Self::Malformed(_) => NoClient::Malformed,
            Self::NotConnect => NoClient::NotConnect,
            Self::Io(_) | Self::Closed | Self::Handshake(HandshakeError::Io(_)) => NoClient::Closed,
            Self::Handshake(_) => NoClient::Tls,
            Self::Busy => NoClient::Busy,
        })
    }
}

impl ArrivalError {
    /// The bound that it was due to.
    fn limit(&self) -> Option<Limit> {
        use symbolon_tls::HandshakeError;
        match self {
            Self::Handshake(HandshakeError::Timeout) => Some(Limit::HandshakeTimeout),
            Self::Timeout => Some(Limit::ConnectTimeout),
            Self::Malformed(DecodeError::TooLarge { .. }) => Some(Limit::PacketSize),
            Self::Handshake(_)
            | Self::Refused(_)
            | Self::Malformed(_)
            | Self::NotConnect
            | Self::Io(_)
            | Self::Closed
            | Self::Busy => None,
        }
    }
}

async fn arrive(
    shard: &Rc<ShardHandle>,
    stream: TcpStream,
    entrance: &Entrance,
    place: Place,
) -> Result<(), ArrivalError> {
    let channel = entrance.enter(stream).await?;
    let mut doorstep = Doorstep {
        shard,
        channel,
        buffer: Vec::new(),
        version: ProtocolVersion::V5,
        proved: Proved::default(),
    };
    let outcome = timeout(shard.limits().connect_timeout, doorstep.admit())
        .await
        .unwrap_or(Err(ArrivalError::Timeout));
    match outcome {
        Ok(mut admitted) => {
            let assigned = admitted.introduction.client_identifier.is_empty();
            if assigned {
                admitted.introduction.client_identifier = assigned_identifier()?;
            }
            let home = home_of(
                &shard.common.home,
                shard.common.arrivals.len(),
                &admitted.introduction.client_identifier,
            );
            let newcomer = Newcomer {
                admitted,
                assigned,
                unread: std::mem::take(&mut doorstep.buffer),
                place,
            };
            (doorstep.channel)
                .set_message_bytes(websocket_message_bytes(shard.limits().packet_size));
            if home == shard.index() {
                shard.admit(doorstep.channel, newcomer);
                return Ok(());
            }
            let channel = doorstep.channel.detach()?;
            shard.common.arrivals[home]
                .try_send(Arrival { channel, newcomer })
                .map_err(|_| ArrivalError::Busy)
        }
        Err(error) => {
            if error.was_told() {
                linger(doorstep.channel).await;
            }
            Err(error)
        }
    }
}

/// A client that is not admitted yet.
struct Doorstep<'a> {
    shard: &'a Rc<ShardHandle>,
    channel: Channel,
    buffer: Vec<u8>,
    version: ProtocolVersion,
    /// What TLS proved.
    proved: Proved,
}

impl Doorstep<'_> {
    /// CONNECT to admission, with every refusal told to the client.
    async fn admit(&mut self) -> Result<Box<Admitted>, ArrivalError> {
        match self.admit_or_refuse().await {
            Err(ArrivalError::Refused(refusal)) => {
                self.refuse(&refusal).await?;
                Err(ArrivalError::Refused(refusal))
            }
            Err(ArrivalError::Malformed(error)) => {
                self.send_connack(
                    error.reason_code(),
                    &error.to_string(),
                    UserProperties::default(),
                )
                .await?;
                Err(ArrivalError::Malformed(error))
            }
            outcome => outcome,
        }
    }

    async fn admit_or_refuse(&mut self) -> Result<Box<Admitted>, ArrivalError> {
        let size = self.read_packet().await?;
        let exporter = self.channel.exporter();
        let known = known::proved_key(&self.shard.common, self.channel.peer());
        self.proved = known.map_err(ArrivalError::Refused)?;
        let (mut keys_are_fresh, mut was_introspected) = (false, false);
        let step = loop {
            let decoded = self
                .decoder()
                .decode(&self.buffer[..size])
                .map_err(ArrivalError::Malformed)?;
            let Some((Packet::Connect(connect), _)) = decoded else {
                return Err(ArrivalError::NotConnect);
            };
            self.version = connect.version;
            let judged = self.judge(&connect, exporter.as_ref().map(|value| &value.0));
            let undecided = judged.as_ref().err().and_then(Refusal::undecided);
            match undecided {
                Some(Undecided::Keys(issuer)) if !keys_are_fresh => {
                    self.shard.common.keys.refresh(&issuer).await;
                    keys_are_fresh = true;
                }
                Some(Undecided::Introspection(reference)) if !was_introspected => {
                    let keys = &self.shard.common.keys;
                    let now = self.shard.common.time.now();
                    keys.introspect(&reference, None, now).await;
                    was_introspected = true;
                }
                Some(_) | None => break judged.map_err(ArrivalError::Refused)?,
            }
        };
        self.buffer.drain(..size);
        match step {
            Step::Admit(admitted) => Ok(admitted),
            Step::Challenge(await_proof) => self.challenge(*await_proof).await,
        }
    }

    fn judge(&self, connect: &Connect<'_>, exporter: Option<&[u8; 32]>) -> Result<Step, Refusal> {
        let keys = self.shard.keys();
        let at = Circumstances {
            keys: &keys,
            exporter,
            proved_key: self.proved.key,
            brought: self.proved.brought.as_ref(),
            fresh_nonce: &fresh_nonce,
            now: self.shard.common.time.now(),
            now_ms: self.shard.now().ms,
        };
        let rules = self.shard.common.rules.load();
        rules.admission.handle_connect(connect, at)
    }

    /// RFC 9431 §2.2.4.2.2: our nonce out, its proof in, and nothing else between.
    async fn challenge(&mut self, await_proof: AwaitProof) -> Result<Box<Admitted>, ArrivalError> {
        let mut out = Vec::new();
        let nonce = await_proof.rs_nonce();
        let auth = Auth {
            reason_code: ReasonCode::ContinueAuthentication,
            authentication_method: Some(AUTHENTICATION_METHOD),
            authentication_data: Some(&nonce.0),
            reason_string: None,
            user_properties: UserProperties::default(),
        };
        Packet::Auth(auth)
            .encode(await_proof.version(), &mut out)
            .map_err(|_| ArrivalError::Refused(Refusal::Method))?;
        self.send(&out).await?;
        let size = self.read_packet().await?;
        let decoded = self
            .decoder()
            .decode(&self.buffer[..size])
            .map_err(ArrivalError::Malformed)?;
        let judged = match decoded {
            Some((Packet::Auth(auth), _)) => {
                await_proof.handle_auth(&auth, self.shard.common.time.now())
            }
            Some((Packet::Disconnect(_), _)) => return Err(ArrivalError::Closed),
            Some(_) | None => Err(Refusal::UnexpectedPacket),
        };
        self.buffer.drain(..size);
        judged.map_err(ArrivalError::Refused)
    }

    fn decoder(&self) -> Decoder {
        let maximum_packet_size = self.shard.limits().packet_size.min(UNADMITTED_PACKET_BYTES);
        Decoder {
            version: self.version,
            sender: Sender::Client,
            maximum_packet_size,
        }
    }

    /// Reads until a whole packet stands in the buffer; its size in bytes.
    async fn read_packet(&mut self) -> Result<usize, ArrivalError> {
        loop {
            if !self.buffer.is_empty() {
                if let Some(version) = announced_version(&self.buffer) {
                    self.version = version;
                }
                if let Some((_, size)) = self
                    .decoder()
                    .decode(&self.buffer)
                    .map_err(ArrivalError::Malformed)?
                {
                    return Ok(size);
                }
            }
            let count = self.channel.read_buf(&mut self.buffer).await?;
            if count == 0 {
                return Err(ArrivalError::Closed);
            }
            let counters = &mut self.shard.core_mut().counters;
            counters.add(Count::BytesReceived, count);
        }
    }

    async fn refuse(&mut self, refusal: &Refusal) -> Result<(), ArrivalError> {
        let mut properties = PropertyBuffer::default();
        let admission = Arc::clone(&self.shard.common.rules.load().admission);
        let hint = (refusal.wants_hint()).then(|| admission.hint(self.shard.common.time.now()));
        if let Some(hint) = hint.flatten() {
            // RFC 9431 §2.4.1. A hint that does not fit is left out: the refusal stands without it.
            if properties.push_user_property(USER_PROPERTY, &hint).is_err() {
                tracing::warn!("the AS hint is too long for a user property");
            }
        }
        self.send_connack(
            refusal.reason_code(),
            &refusal.text(),
            properties.user_properties(),
        )
        .await
    }

    async fn send_connack(
        &mut self,
        reason_code: ReasonCode,
        text: &str,
        user_properties: UserProperties<'_>,
    ) -> Result<(), ArrivalError> {
        let mut out = Vec::new();
        append_refusal(&mut out, self.version, (reason_code, text), user_properties);
        if !out.is_empty() {
            self.send(&out).await?;
        }
        Ok(())
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), ArrivalError> {
        self.channel.write_all(bytes).await?;
        let count = bytes.len();
        (self.shard.core_mut().counters).add(Count::BytesSent, count);
        Ok(self.channel.flush().await?)
    }
}

/// The version that the beginning of a CONNECT announces, so that even a malformed one is answered in its own. Levels above 5 are
/// answered as 5.0 would be.
fn announced_version(bytes: &[u8]) -> Option<ProtocolVersion> {
    const NAME: &[u8] = b"\0\x04MQTT";
    let length_bytes = bytes.get(1..5).map_or(1, |length| {
        1 + length.iter().take_while(|byte| **byte & 0x80 != 0).count()
    });
    let rest = bytes.get(1 + length_bytes..)?.strip_prefix(NAME)?;
    let level = *rest.first()?;
    Some(if level < 5 {
        ProtocolVersion::V311
    } else {
        ProtocolVersion::V5
    })
}

/// MQTT 5.0 §3.1.3.1: a client without an identifier gets one.
fn assigned_identifier() -> io::Result<Box<str>> {
    use std::fmt::Write;
    let mut random = [0_u8; 16];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| io::Error::other("no random numbers"))?;
    let mut identifier = String::from("auto-");
    for byte in random {
        write!(identifier, "{byte:02x}").map_err(io::Error::other)?;
    }
    Ok(identifier.into())
}
