//! `symbolon pub`: `mosquitto_pub` with a token.

mod source;

use crate::{
    exit::{Refused, usage},
    mqtt::{arguments::ConnectArgs, describe, target::Target},
};
use anyhow::Context as _;
use source::{Source, SourceArgs};
use std::time::Duration;
use symbolon_client::{Connection, Event, connection::Outgoing};
use symbolon_mqtt_proto::{Qos, ReasonCode, TopicFilter, TopicName};

/// Under this there is no subscription to end.
const NOWHERE: &str = "symbolon/pub";

/// `symbolon pub`.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct PublishArgs {
    /// The topic to publish to
    #[arg(short = 't', long, allow_hyphen_values = true)]
    topic: Option<String>,
    #[command(flatten)]
    source: SourceArgs,
    /// The message is retained
    #[arg(short = 'r', long)]
    retain: bool,
    /// Publish the message this many times, with -f, -m, -n or -s
    #[arg(long, value_name = "TIMES", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..), conflicts_with = "stdin_line")]
    repeat: u64,
    /// Seconds between the repetitions, such as 0.5
    #[arg(long, value_name = "SECS", default_value = "0", value_parser = parse_delay, conflicts_with = "stdin_line")]
    repeat_delay: Duration,
    /// How many `QoS` 1 and 2 messages may be under way at once
    #[arg(short = 'M', value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    max_inflight: u16,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

impl PublishArgs {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        crate::runtime::block_on(self.run_async())?
    }

    async fn run_async(self) -> anyhow::Result<()> {
        let target = Target::new(&self.connect)?;
        let topic = self.topic.clone().or_else(|| target.url_topic.clone());
        let topic = topic.ok_or_else(|| usage("no topic: name one with -t"))?;
        TopicName::parse(&topic).map_err(|error| usage(format!("-t {topic}: {error}")))?;
        let source = self.source.open()?;
        let mut publisher = Publisher {
            connection: target.connect().await?,
            target: &target,
            topic: &topic,
            qos: self.connect.qos,
            retain: self.retain,
            under_way: 0,
            refused: None,
        };
        match source {
            Source::One(payload) => {
                publisher
                    .repeat(&payload, self.repeat, self.repeat_delay)
                    .await?;
            }
            Source::Lines(mut lines) => {
                publisher
                    .publish_lines(&mut lines, usize::from(self.max_inflight))
                    .await?;
            }
        }
        publisher.finish().await
    }
}

/// Publishes and keeps count of what is not acknowledged.
struct Publisher<'a> {
    connection: Connection,
    target: &'a Target,
    topic: &'a str,
    qos: Qos,
    retain: bool,
    under_way: usize,
    /// The broker's first refusal.
    refused: Option<String>,
}

impl Publisher<'_> {
    async fn repeat(&mut self, payload: &[u8], times: u64, delay: Duration) -> anyhow::Result<()> {
        for round in 0..times {
            if round > 0 {
                self.wait(delay).await?;
            }
            self.publish(payload).await?;
            self.wait_until_under_way(0).await?;
        }
        Ok(())
    }

    async fn publish_lines(
        &mut self,
        lines: &mut source::Lines,
        max_under_way: usize,
    ) -> anyhow::Result<()> {
        loop {
            let line = tokio::select! {
                line = lines.next() => line,
                event = self.connection.next() => {
                    self.handle(event?);
                    continue;
                }
            };
            match line {
                None => return self.wait_until_under_way(0).await,
                Some(line) => {
                    self.wait_until_under_way(max_under_way - 1).await?;
                    self.publish(&line?).await?;
                }
            }
        }
    }

    async fn publish(&mut self, payload: &[u8]) -> anyhow::Result<()> {
        tracing::debug!(
            topic = self.topic,
            qos = self.qos as u8,
            retain = self.retain,
            size_bytes = payload.len(),
            "sending PUBLISH"
        );
        self.connection
            .publish(Outgoing {
                topic: self.topic,
                payload,
                qos: self.qos,
                retain: self.retain,
                properties: self.target.publish_properties.borrow()?,
            })
            .await?;
        if self.qos != Qos::AtMostOnce {
            self.under_way += 1;
        }
        Ok(())
    }

    async fn wait_until_under_way(&mut self, at_most: usize) -> anyhow::Result<()> {
        while self.under_way > at_most {
            let event = self.connection.next().await?;
            self.handle(event);
        }
        Ok(())
    }

    /// Pings and renews meanwhile.
    async fn wait(&mut self, delay: Duration) -> anyhow::Result<()> {
        let until = tokio::time::Instant::now() + delay;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(until) => return Ok(()),
                event = self.connection.next() => self.handle(event?),
            }
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Published {
                reason_code,
                reason_string,
                ..
            } => {
                self.under_way = self.under_way.saturating_sub(1);
                let answer = describe(reason_code, reason_string.as_deref());
                tracing::debug!(answer, "message done");
                if reason_code.is_failure() && self.refused.is_none() {
                    self.refused = Some(answer);
                }
            }
            Event::Renewed => tracing::debug!("token renewed"),
            Event::NotRenewed(error) => tracing::warn!(%error, "token not renewed yet"),
            Event::Reconnected { session_present } => {
                tracing::debug!(session_present, "token renewed on another connection");
            }
            Event::Forgotten { .. } => {
                self.under_way = self.under_way.saturating_sub(1);
                self.refused.get_or_insert_with(|| {
                    "it has lost the session, and nobody knows whether a message arrived".into()
                });
            }
            // A session that was gone on with may have messages for us: they are for `sub`.
            Event::Message(_) | _ => {}
        }
    }

    async fn finish(mut self) -> anyhow::Result<()> {
        if self.qos == Qos::AtMostOnce {
            self.wait_for_refusals().await?;
        }
        self.connection.disconnect(ReasonCode::Success).await?;
        match self.refused {
            None => Ok(()),
            Some(answer) => Err(Refused(format!(
                "the broker refuses the message to {}: {answer}",
                self.topic
            ))
            .into()),
        }
    }
}

impl Publisher<'_> {
    /// At `QoS` 0 a broker refuses by ending the connection, which we would not see if we were gone. Its answer to any request says that it
    /// has taken all that was sent before; the request is one that changes nothing.
    async fn wait_for_refusals(&mut self) -> anyhow::Result<()> {
        let mut random = [0; 8];
        aws_lc_rs::rand::fill(&mut random).context("no random numbers")?;
        let nowhere = format!("{NOWHERE}/{:016x}", u64::from_le_bytes(random));
        let filters = vec![(None, TopicFilter::parse(&nowhere)?)];
        let answer = self.connection.unsubscribe(filters).await;
        if self.target.is_v5() {
            answer?;
        } else {
            answer.context(
                "MQTT 3.1.1 cannot say why, but the broker may have refused the message",
            )?;
        }
        Ok(())
    }
}

fn parse_delay(text: &str) -> Result<Duration, String> {
    let secs: f64 = text.parse().map_err(|_| "expected seconds, such as 0.5")?;
    Duration::try_from_secs_f64(secs).map_err(|error| error.to_string())
}
