//! From a host name to a live connection.

use super::{ConnectError, ConnectOptions, Credentials, Proof, driver, driver::Driver};
use crate::clock;
use crate::core::{
    opening::{Authentication, Opening, Progress},
    renewal::TokenLife,
    session::Session,
};
use aws_lc_rs::digest::{SHA256, digest};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use symbolon_ace_proto::AsHint;
use symbolon_mqtt_proto::ReasonCode;
use symbolon_tls::{Channel, Connector};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};

/// Bytes read at once: one TLS record.
const READ: usize = 16 * 1024;

/// Opens a connection, within the time that `options` gives.
pub(super) async fn open(
    options: &ConnectOptions<'_>,
    credentials: Option<Credentials>,
    session: Session,
) -> Result<Driver, ConnectError> {
    if session.version() != options.version {
        return Err(ConnectError::Options(
            "a session goes on in the MQTT version it was begun in",
        ));
    }
    within_limit(options, async {
        let channel = channel(options).await?;
        let (authentication, renewal) = authentication(credentials, &channel)?;
        let life = renewal.as_ref().map(|renewal| renewal.life);
        let opening = Opening::new(options, authentication, life, session)?;
        let (channel, machine) = shake_hands(channel, opening).await?;
        let source = renewal.map(|renewal| renewal.source);
        Ok(Driver::new(channel, *machine, source))
    })
    .await
}

/// CONNECT without a token, to be refused and told where to ask for one.
pub(super) async fn discover(options: &ConnectOptions<'_>) -> Result<Option<AsHint>, ConnectError> {
    let session = Session::new(options.version);
    let opening = Opening::new(options, Authentication::Discover, None, session)?;
    let shaken = within_limit(options, async {
        shake_hands(channel(options).await?, opening).await
    });
    match shaken.await {
        Ok((channel, machine)) => {
            let driver = Driver::new(channel, *machine, None);
            driver.disconnect(ReasonCode::Success).await?;
            Ok(None)
        }
        Err(ConnectError::Refused {
            hint: Some(hint), ..
        }) => Ok(Some(*hint)),
        Err(ConnectError::Refused {
            reason_code: ReasonCode::NotAuthorized,
            ..
        }) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn within_limit<T>(
    options: &ConnectOptions<'_>,
    work: impl Future<Output = Result<T, ConnectError>>,
) -> Result<T, ConnectError> {
    timeout(options.timeout, work)
        .await
        .map_err(|_elapsed| ConnectError::Timeout)?
}

/// What a connection needs to renew its token.
struct Renewal {
    life: TokenLife,
    source: driver::TokenSource,
}

fn authentication(
    credentials: Option<Credentials>,
    channel: &Channel,
) -> Result<(Authentication, Option<Renewal>), ConnectError> {
    let Some(Credentials {
        profile,
        token,
        proof,
    }) = credentials
    else {
        return Ok((Authentication::None, None));
    };
    let Some(exporter) = channel.exporter() else {
        return Err(ConnectError::Options("a token is sent over TLS only"));
    };
    check_broker(channel, token.broker_certificate_sha256)?;
    let renewal = profile.map(|profile| Renewal {
        life: TokenLife::from(&token),
        source: driver::TokenSource {
            profile: Arc::new(profile),
            scope: token.requested_scope.clone(),
        },
    });
    let authentication = match proof {
        Proof::Exporter => Authentication::exporter(token, exporter.0),
        Proof::Challenge => Authentication::challenge(token, driver::client_nonce()?),
    };
    Ok((authentication, renewal))
}

/// Nothing is proved to a broker that the AS does not vouch for (RFC 9431 §2.2.1).
pub(super) fn check_broker(
    channel: &Channel,
    certificate_sha256: Option<[u8; 32]>,
) -> Result<(), ConnectError> {
    let Some(expected) = certificate_sha256 else {
        return Ok(());
    };
    let presented = channel.server_certificates().first();
    let presented = presented.map(|certificate| digest(&SHA256, certificate));
    match presented {
        Some(presented) if presented.as_ref() == expected => Ok(()),
        Some(_) | None => Err(ConnectError::WrongBroker),
    }
}

async fn channel(options: &ConnectOptions<'_>) -> Result<Channel, ConnectError> {
    // Before anything is sent: a CA that cannot be read is no network trouble.
    let connector = match &options.ca_pem {
        Some(ca_pem) => Some(Connector::new(ca_pem, options.timeout)?),
        None => None,
    };
    let stream = tcp(options).await?;
    if let Some(connector) = connector {
        return Ok(connector.connect_stream(stream, &options.host).await?);
    }
    stream.set_nodelay(true).map_err(driver::lost)?;
    Ok(Channel::plain(stream))
}

/// The first address of the host that answers. Each has its share of the time that is left, so that a dead one does not take it all.
async fn tcp(options: &ConnectOptions<'_>) -> Result<TcpStream, ConnectError> {
    let deadline = Instant::now() + options.timeout;
    let unreachable = |why: &dyn ToString| {
        let address = format!("{}:{}", options.host, options.port);
        ConnectError::Unreachable(address, why.to_string())
    };
    let addresses = tokio::net::lookup_host((options.host.as_str(), options.port))
        .await
        .map_err(|error| unreachable(&error))?;
    let addresses: Vec<SocketAddr> = addresses.collect();
    let mut failure = unreachable(&"the name has no address");
    for (index, address) in addresses.iter().enumerate() {
        let left: Duration = deadline.saturating_duration_since(Instant::now());
        let share = u32::try_from(addresses.len() - index).map_or(left, |share| left / share);
        match timeout_at(Instant::now() + share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failure = unreachable(&error),
            Err(_elapsed) => failure = unreachable(&"no answer"),
        }
    }
    Err(failure)
}

/// CONNECT to CONNACK.
async fn shake_hands(
    mut channel: Channel,
    mut opening: Opening,
) -> Result<(Channel, Box<crate::core::connected::Connected>), ConnectError> {
    let mut bytes = vec![0; READ];
    loop {
        let pending = opening.outbox().pending();
        let count = pending.len();
        channel.write_all(pending).await.map_err(driver::lost)?;
        channel.flush().await.map_err(driver::lost)?;
        opening.outbox().handle_written(count);
        let count = channel.read(&mut bytes).await.map_err(driver::lost)?;
        if count == 0 {
            return Err(driver::closed());
        }
        match opening.handle_bytes(&bytes[..count], clock::clocks())? {
            Progress::Opening(further) => opening = *further,
            Progress::Connected(connected) => return Ok((channel, connected)),
        }
    }
}
