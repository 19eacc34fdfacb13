//! From a host name to a live connection.

use super::{
    ConnectError, ConnectOptions, Credentials, channel,
    driver::{self, Driver},
    place::Place,
    source::{TokenSource, client_nonce},
    upload,
};
use crate::clock;
use crate::core::{
    connected::Connected,
    opening::{Authentication, Opening, Progress},
    renewal::TokenLife,
    session::Session,
};
use crate::{Mode, Profile, token, token::Ask, token::Token};
use std::sync::Arc;
use symbolon_ace_proto::AsHint;
use symbolon_mqtt_proto::{ProtocolVersion, ReasonCode};
use symbolon_tls::Channel;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
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
    let Some(credentials) = credentials else {
        let opening = Opening::new(options, Authentication::None, None, session)?;
        let (channel, machine) = within_limit(options, async {
            shake_hands(channel::anonymous(options, None).await?, opening).await
        })
        .await?;
        return Ok(Driver::new(channel, *machine, None));
    };
    let Credentials {
        profile,
        token,
        mode,
    } = credentials;
    mode.check(options.version, token.signer.algorithm())?;
    if options.ca_pem.is_none() {
        return Err(channel::NO_TLS);
    }
    let Some(profile) = profile.filter(|_| mode != Mode::Anon) else {
        let (channel, machine) = admitted(options, mode, (&token, None), session).await?;
        return Ok(Driver::new(channel, *machine, None));
    };
    let profile = Arc::new(profile);
    let mut place = Place::new(options, mode)?;
    let begun = enter(&place, &profile, token, session).await?;
    place.handle_connected(&begun.machine.agreed().client_identifier);
    let source = TokenSource {
        profile,
        place: Arc::new(place),
        token: begun.token,
        wants_nonce: begun.wants_nonce,
    };
    Ok(Driver::new(begun.channel, *begun.machine, Some(source)))
}

/// What came of entering a broker.
pub(super) struct Entered {
    pub(super) channel: Channel,
    pub(super) machine: Box<Connected>,
    /// The token that let us in.
    pub(super) token: Token,
    /// Tokens must bring back a nonce of the broker's hint here.
    pub(super) wants_nonce: bool,
}

/// Enters with a token; and where the broker does not take it since it brings back no nonce of its hint, once more with one that does (RFC
/// 9200 §5.3.1).
pub(super) async fn enter(
    place: &Place,
    profile: &Profile,
    token: Token,
    session: Session,
) -> Result<Entered, ConnectError> {
    let options = place.options()?;
    let life = Some(TokenLife::from(&token));
    let first = admitted(&options, place.mode(), (&token, life), session.clone()).await;
    let refusal = match first {
        Ok((channel, machine)) => {
            return Ok(Entered {
                channel,
                machine,
                token,
                wants_nonce: false,
            });
        }
        Err(refusal) => refusal,
    };
    let Some(nonce) = nonce_after(&refusal, place).await else {
        return Err(refusal);
    };
    let ask = Ask {
        scope: token.requested_scope.as_ref(),
        client_nonce: Some(&nonce),
        held: None,
    };
    let token = token::obtain_with(profile, ask)
        .await
        .map_err(ConnectError::NotRenewed)?;
    let life = Some(TokenLife::from(&token));
    let (channel, machine) = admitted(&options, place.mode(), (&token, life), session).await?;
    Ok(Entered {
        channel,
        machine,
        token,
        wants_nonce: true,
    })
}

/// The nonce that a refused token may have lacked. A refusal may bring it; where it cannot, the broker is asked.
async fn nonce_after(refusal: &ConnectError, place: &Place) -> Option<Vec<u8>> {
    if let ConnectError::Refused {
        hint: Some(hint), ..
    } = refusal
    {
        return hint.cnonce.clone();
    }
    // In 3.1.1 a refusal has no properties.
    let not_authorized = matches!(
        refusal,
        ConnectError::NotTaken {
            reason_code: ReasonCode::NotAuthorized,
            ..
        }
    ) || (place.version() == ProtocolVersion::V311
        && matches!(
            refusal,
            ConnectError::Refused {
                reason_code: ReasonCode::NotAuthorized,
                ..
            }
        ));
    // In the handshake nobody says why.
    let failed = matches!(refusal, ConnectError::Tls(_)) && place.mode() == Mode::PskToken;
    if !(not_authorized || failed) {
        return None;
    }
    nonce(place).await.ok()?
}

/// A nonce of the broker's hint, if it gives any.
pub(super) async fn nonce(place: &Place) -> Result<Option<Vec<u8>>, ConnectError> {
    let hint = discover(&place.visit()).await?;
    Ok(hint.and_then(|hint| hint.cnonce))
}

/// Gets in, in one attempt: TLS, and before it or after it whatever the mode asks for. `life` is that of a token that is to be renewed.
async fn admitted(
    options: &ConnectOptions<'_>,
    mode: Mode,
    (token, life): (&Token, Option<TokenLife>),
    session: Session,
) -> Result<(Channel, Box<Connected>), ConnectError> {
    if mode.publishes_first() {
        upload::publish(&super::place::visit(options), token).await?;
    }
    within_limit(options, async {
        let channel = channel::for_token(options, mode, token).await?;
        let authentication = authentication(mode, token, &channel)?;
        let opening = Opening::new(options, authentication, life, session)?;
        shake_hands(channel, opening).await
    })
    .await
}

fn authentication(
    mode: Mode,
    token: &Token,
    channel: &Channel,
) -> Result<Authentication, ConnectError> {
    let exporter = channel.exporter().ok_or(channel::NO_TLS)?;
    match mode {
        Mode::Anon | Mode::Rpk | Mode::PskToken | Mode::PskKid => Ok(Authentication::None),
        Mode::Exporter | Mode::V311 => Authentication::exporter(token, exporter.0),
        Mode::Challenge => Authentication::challenge(token, client_nonce()?),
    }
}

/// CONNECT without a token, to be refused and told where to ask for one.
pub(super) async fn discover(options: &ConnectOptions<'_>) -> Result<Option<AsHint>, ConnectError> {
    let session = Session::new(options.version);
    let opening = Opening::new(options, Authentication::Discover, None, session)?;
    let shaken = within_limit(options, async {
        shake_hands(channel::anonymous(options, None).await?, opening).await
    });
    match shaken.await {
        Ok((channel, machine)) => {
            let driver = Driver::new(channel, *machine, None);
            driver.leave(ReasonCode::Success, None).await?;
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

pub(super) async fn within_limit<T>(
    options: &ConnectOptions<'_>,
    work: impl Future<Output = Result<T, ConnectError>>,
) -> Result<T, ConnectError> {
    timeout(options.timeout, work)
        .await
        .map_err(|_elapsed| ConnectError::Timeout)?
}

/// CONNECT to CONNACK.
pub(super) async fn shake_hands(
    mut channel: Channel,
    mut opening: Opening,
) -> Result<(Channel, Box<Connected>), ConnectError> {
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
