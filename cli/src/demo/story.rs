//! The steps. What goes well comes first; then what must be refused.

use super::{
    narrator::Narrator,
    stage::{PATIENCE, Stage, connect},
};
use crate::{clock, exit::one_line, mqtt::describe};
use anyhow::{Context as _, anyhow, bail};
use std::{future::Future, time::Duration};
use symbolon_ace_proto::PopSigner;
use symbolon_client::{
    ConnectError, Connection, Event, Mode, Profile,
    connection::Outgoing,
    token::{self, Token},
};
use symbolon_mqtt_proto::{
    PublishProperties, Qos, ReasonCode, RetainHandling, Subscription, TopicFilter,
};

/// What the sensor measures.
const READINGS: [&str; 3] = ["21.5", "21.7", "21.6"];
/// Where it publishes them.
const TOPIC: &str = "sensors/kitchen/temperature";
/// How often we look whether a token has run out.
const TICK: Duration = Duration::from_millis(50);

/// Tells it all. An error means that the story could not go on; steps that came out wrong the narrator has.
pub(super) async fn tell(stage: &Stage, narrator: &mut Narrator) -> anyhow::Result<()> {
    Narrator::say("What the tokens allow:");
    let (mut sensor, mut dashboard) = readings_flow(stage, narrator).await?;

    Narrator::say("What they do not allow:");
    let beyond = beyond_the_scope(&mut sensor).await;
    narrator.check("the sensor publishes to actuators/door", beyond);
    let eavesdrop = subscribe_beyond_the_scope(&mut dashboard).await;
    narrator.check("the dashboard subscribes to #", eavesdrop);
    let wrong_key = wrong_key(&stage.sensor).await;
    narrator.check(
        "a thief with the sensor's token, but not its key",
        wrong_key,
    );
    run_out(&stage.visitor, narrator).await?;
    let tokenless = tokenless(&stage.sensor).await;
    narrator.check("a client without a token", tokenless);
    let goodbyes = goodbye(sensor).await.and(goodbye(dashboard).await);
    narrator.check(
        "sensor and dashboard disconnect",
        goodbyes.map(|()| "in peace".into()),
    );
    Ok(())
}

async fn readings_flow(
    stage: &Stage,
    narrator: &mut Narrator,
) -> anyhow::Result<(Connection, Connection)> {
    let sensor = obtain(&stage.sensor).await;
    let sensor = narrator.need("the sensor asks for a token", sensor)?;
    let sensor = admitted(&stage.sensor, sensor, Mode::Exporter).await;
    let how = "its signature over the TLS exporter value, in CONNECT";
    let sensor = sensor.map(|connection| (connection, format!("admitted by {how}")));
    let mut sensor = narrator.need("the sensor connects", sensor)?;

    let dashboard = obtain(&stage.dashboard).await;
    let dashboard = narrator.need("the dashboard asks for a token", dashboard)?;
    let dashboard = admitted(&stage.dashboard, dashboard, Mode::Challenge).await;
    let how = "its MAC over the broker's challenge, in AUTH";
    let dashboard = dashboard.map(|connection| (connection, format!("admitted by {how}")));
    let mut dashboard = narrator.need("the dashboard connects", dashboard)?;

    let subscribed = subscribe(&mut dashboard, "sensors/#").await;
    let subscribed = subscribed.and_then(|code| {
        let words = describe(code, None);
        anyhow::ensure!(!code.is_failure(), "refused: {words}");
        Ok(((), words))
    });
    narrator.need("the dashboard subscribes to sensors/#", subscribed)?;
    for reading in READINGS {
        let flowed = one_reading(&mut sensor, &mut dashboard, reading).await;
        narrator.check("a reading", flowed);
    }
    Ok((sensor, dashboard))
}

async fn one_reading(
    sensor: &mut Connection,
    dashboard: &mut Connection,
    reading: &str,
) -> anyhow::Result<String> {
    let (code, _) = publish(sensor, TOPIC, reading).await?;
    if code.is_failure() {
        bail!("refused: {}", describe(code, None));
    }
    let event = within_patience(dashboard.next()).await??;
    let Event::Message(message) = event else {
        bail!("the dashboard got something else: {event:?}");
    };
    anyhow::ensure!(
        message.payload == reading.as_bytes(),
        "another message came"
    );
    Ok(format!(
        "{} = {reading} reached the dashboard",
        message.topic
    ))
}

async fn beyond_the_scope(sensor: &mut Connection) -> anyhow::Result<String> {
    let (code, reason) = publish(sensor, "actuators/door", "open").await?;
    expect_not_authorized(code, reason.as_deref())
}

async fn subscribe_beyond_the_scope(dashboard: &mut Connection) -> anyhow::Result<String> {
    let code = subscribe(dashboard, "#").await?;
    expect_not_authorized(code, None)
}

async fn wrong_key(sensor: &Profile) -> anyhow::Result<String> {
    let (token, _) = obtain(sensor).await?;
    let thief = PopSigner::generate(token.signer.algorithm())?;
    let stolen = Token {
        signer: thief,
        ..token
    };
    expect_refused(connect(sensor, Some((stolen, Mode::Exporter))).await?)
}

/// A token that runs out ends its connection, and opens none afterwards.
async fn run_out(visitor: &Profile, narrator: &mut Narrator) -> anyhow::Result<()> {
    let token = obtain(visitor).await;
    let token = narrator.need("a visitor asks for a token", token)?;
    let ends = token.expires_at;
    let second = Token {
        text: token.text.clone(),
        signer: PopSigner::from_jwk(&token.signer.to_jwk())?,
        expires_at: token.expires_at,
        obtained_at: token.obtained_at,
        scope: token.scope.clone(),
        requested_scope: token.requested_scope.clone(),
        broker: token.broker.clone(),
        raw: token.raw.clone(),
        key_identifier: None,
    };
    let mut connection = admitted(visitor, token, Mode::Challenge).await?;
    let cut = cut_off(&mut connection).await;
    narrator.check("the visitor stays until its token has run out", cut);
    while clock::now() < ends {
        tokio::time::sleep(TICK).await;
    }
    let refused = connect(visitor, Some((second, Mode::Exporter))).await;
    let refused = refused.and_then(expect_refused);
    narrator.check("the visitor comes back with the expired token", refused);
    Ok(())
}

async fn cut_off(connection: &mut Connection) -> anyhow::Result<String> {
    match within_patience(connection.next()).await? {
        Ok(event) => bail!("the broker sends {event:?} in place of DISCONNECT"),
        Err(error) => expect_refusal(error).map(|words| format!("disconnected, {words}")),
    }
}

async fn tokenless(profile: &Profile) -> anyhow::Result<String> {
    match connect(profile, None).await? {
        Ok(_) => bail!("it was let in"),
        Err(ConnectError::Refused {
            reason_code: ReasonCode::NotAuthorized,
            hint: Some(hint),
            ..
        }) => {
            if hint.authorization_server != profile.token_endpoint {
                bail!("the hint names {}", hint.authorization_server);
            }
            Ok(format!(
                "not authorized (0x87), and the hint where to ask: {}",
                hint.authorization_server
            ))
        }
        Err(error) => bail!("expected 0x87 and a hint, got: {error}"),
    }
}

async fn obtain(profile: &Profile) -> anyhow::Result<(Token, String)> {
    let token = within_patience(token::obtain(profile, None)).await??;
    let life = clock::now().secs_until(token.expires_at);
    let outcome = format!(
        "{} bytes, good for {}",
        token.text.len(),
        clock::duration(life)
    );
    Ok((token, outcome))
}

async fn admitted(profile: &Profile, token: Token, mode: Mode) -> anyhow::Result<Connection> {
    connect(profile, Some((token, mode)))
        .await?
        .context("not admitted")
}

async fn subscribe(connection: &mut Connection, filter: &str) -> anyhow::Result<ReasonCode> {
    let subscription = Subscription {
        share_name: None,
        filter: TopicFilter::parse(filter)?,
        maximum_qos: Qos::AtLeastOnce,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::Send,
    };
    let answer = within_patience(connection.subscribe(vec![subscription])).await??;
    answer
        .reason_codes
        .first()
        .copied()
        .context("SUBACK without a code")
}

async fn publish(
    connection: &mut Connection,
    topic: &str,
    payload: &str,
) -> anyhow::Result<(ReasonCode, Option<String>)> {
    let message = Outgoing {
        topic,
        payload: payload.as_bytes(),
        qos: Qos::AtLeastOnce,
        retain: false,
        properties: PublishProperties::default(),
    };
    within_patience(connection.publish(message)).await??;
    let event = within_patience(connection.next()).await??;
    let Event::Published {
        reason_code,
        reason_string,
        ..
    } = event
    else {
        bail!("expected PUBACK, got {event:?}");
    };
    Ok((reason_code, reason_string))
}

async fn goodbye(connection: Connection) -> anyhow::Result<()> {
    Ok(within_patience(connection.disconnect(ReasonCode::Success)).await??)
}

fn expect_refused(outcome: Result<Connection, ConnectError>) -> anyhow::Result<String> {
    match outcome {
        Ok(_) => bail!("it was let in"),
        Err(error) => expect_refusal(error),
    }
}

fn expect_refusal(error: ConnectError) -> anyhow::Result<String> {
    let ConnectError::Refused {
        reason_code,
        reason_string,
        ..
    } = error
    else {
        bail!("expected a refusal, got: {}", one_line(&error.into()));
    };
    expect_not_authorized(reason_code, reason_string.as_deref())
}

fn expect_not_authorized(code: ReasonCode, reason: Option<&str>) -> anyhow::Result<String> {
    let words = describe(code, reason);
    if code == ReasonCode::NotAuthorized {
        Ok(words)
    } else {
        Err(anyhow!("expected not authorized (0x87), got {words}"))
    }
}

async fn within_patience<F: Future>(future: F) -> anyhow::Result<F::Output> {
    tokio::time::timeout(PATIENCE, future)
        .await
        .map_err(|_| anyhow!("no answer within {} s", PATIENCE.as_secs()))
}
