//! The channel to a broker: to the right one, or to none.

use super::{ConnectError, ConnectOptions, driver, raw_key};
use crate::{BrokerKey, Mode, token::Token};
use aws_lc_rs::digest::{SHA256, digest};
use std::{net::SocketAddr, time::Duration};
use symbolon_ace_proto::{PopKey, psk_identity::PskIdentity};
use symbolon_tls::{Channel, Connector, Peer, PreSharedKey};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};

/// Without a token, or before it is shown: the broker by its certificate, or by what the AS says of it.
pub(super) async fn anonymous(
    options: &ConnectOptions<'_>,
    broker: Option<&BrokerKey>,
) -> Result<Channel, ConnectError> {
    let channel = open(options, by_broker(options, broker)?).await?;
    check_broker(&channel, broker)?;
    Ok(channel)
}

/// The channel that a mode needs for this token. The broker is the right one, or there is no channel.
pub(super) async fn for_token(
    options: &ConnectOptions<'_>,
    mode: Mode,
    token: &Token,
) -> Result<Channel, ConnectError> {
    let connector = match mode {
        Mode::Anon | Mode::Exporter | Mode::Challenge | Mode::V311 => {
            return anonymous(options, token.broker.as_ref()).await;
        }
        Mode::Rpk => {
            let key = raw_key::pem(&token.signer)?;
            let connector = by_broker(options, token.broker.as_ref())?;
            connector.ok_or(NO_TLS)?.showing_raw_key(&key)?
        }
        Mode::PskToken => with_key(options, token.as_bytes(), token)?,
        Mode::PskKid => {
            let name = token.key_identifier.as_deref().ok_or(NO_NAME)?;
            with_key(options, &PskIdentity::of_key(name), token)?
        }
    };
    let channel = open(options, Some(connector)).await?;
    check_broker(&channel, token.broker.as_ref())?;
    Ok(channel)
}

pub(super) const NO_TLS: ConnectError = ConnectError::Options("a token is sent over TLS only");
const NO_NAME: ConnectError = ConnectError::Options(
    "the authorization server gives the key no name (kid), which psk-kid needs: take psk-token",
);

/// Nothing is proved to a broker that the AS does not vouch for (RFC 9431 §2.2.1).
pub(super) fn check_broker(
    channel: &Channel,
    broker: Option<&BrokerKey>,
) -> Result<(), ConnectError> {
    let is_right = match (broker, channel.peer()) {
        // It has shown that it holds the key of the token, which the AS has given to it alone.
        (_, Peer::PreSharedKey { .. }) | (None, _) => true,
        (Some(BrokerKey::Raw(expected)), Peer::RawPublicKey(shown)) => expected == shown,
        (Some(BrokerKey::Raw(_)), Peer::Anonymous)
        | (Some(BrokerKey::CertificateSha256(_)), Peer::RawPublicKey(_)) => false,
        (Some(BrokerKey::CertificateSha256(expected)), Peer::Anonymous) => {
            let leaf = channel.server_certificates().first();
            leaf.is_some_and(|leaf| digest(&SHA256, leaf).as_ref() == expected)
        }
    };
    if is_right {
        return Ok(());
    }
    Err(ConnectError::WrongBroker)
}

fn by_broker(
    options: &ConnectOptions<'_>,
    broker: Option<&BrokerKey>,
) -> Result<Option<Connector>, ConnectError> {
    Ok(match (broker, &options.ca_pem) {
        (Some(BrokerKey::Raw(key)), _) => {
            Some(Connector::expecting_raw_key(key.clone(), options.timeout)?)
        }
        (Some(BrokerKey::CertificateSha256(_)) | None, Some(ca_pem)) => {
            Some(Connector::new(ca_pem, options.timeout)?)
        }
        (Some(BrokerKey::CertificateSha256(_)) | None, None) => None,
    })
}

fn with_key(
    options: &ConnectOptions<'_>,
    identity: &[u8],
    token: &Token,
) -> Result<Connector, ConnectError> {
    let PopKey::Hs256(key) = token.signer.verifying_key() else {
        return Err(ConnectError::Options("a pre-shared key is a shared key"));
    };
    let key = PreSharedKey::new(key.as_bytes()).map_err(ConnectError::not_sent)?;
    Ok(Connector::with_pre_shared_key(
        identity,
        key,
        options.timeout,
    )?)
}

/// The connector is made before anything is sent: a CA that cannot be read is no network trouble.
async fn open(
    options: &ConnectOptions<'_>,
    connector: Option<Connector>,
) -> Result<Channel, ConnectError> {
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
