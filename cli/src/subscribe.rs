//! `symbolon sub`: `mosquitto_sub` with a token.

mod format;
mod printer;

use crate::{
    exit::{Refused, TimedOut, usage},
    mqtt::{
        arguments::ConnectArgs,
        describe,
        target::{self, Target},
    },
    serve::Signals,
};
use printer::{Printer, PrinterArgs};
use std::time::Duration;
use symbolon_client::{
    Connection, Event,
    connection::{Message, Outgoing, Session},
};
use symbolon_mqtt_proto::{
    PublishProperties, Qos, ReasonCode, RetainHandling, ShareName, Subscription, TopicFilter,
};
use tokio::time::Instant;

/// The first pause before connecting again.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause before connecting again.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// `symbolon sub`.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of mosquitto's"
)]
pub(crate) struct SubscribeArgs {
    /// A topic filter to subscribe to; may be repeated
    #[arg(short = 't', long, value_name = "FILTER", allow_hyphen_values = true)]
    topic: Vec<String>,
    /// End after this many messages
    #[arg(short = 'C', value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End with code 27 after this many seconds, counted from the first connection
    #[arg(short = 'W', value_name = "SECS", value_parser = clap::value_parser!(u64).range(1..))]
    timeout_secs: Option<u64>,
    /// End once the broker has answered the subscriptions
    #[arg(short = 'E')]
    exit_after_subscribing: bool,
    /// Unsubscribe from a filter; may be repeated
    #[arg(short = 'U', long, value_name = "FILTER", allow_hyphen_values = true)]
    unsubscribe: Vec<String>,
    /// Keep RETAIN as the publisher set it; MQTT 5.0 only
    #[arg(long)]
    retain_as_published: bool,
    /// Clear each retained message received
    #[arg(long)]
    remove_retained: bool,
    /// Only retained messages, and end at the first that is not
    #[arg(long, conflicts_with = "no_retained")]
    retained_only: bool,
    #[command(flatten)]
    printer: PrinterArgs,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

impl SubscribeArgs {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        crate::runtime::block_on(self.run_async())?
    }

    async fn run_async(self) -> anyhow::Result<()> {
        let target = Target::new(&self.connect)?;
        let subscriptions = self.subscriptions(&target)?;
        let unsubscriptions = self.unsubscriptions()?;
        let printer = Printer::new(&self.printer)?;
        let mut signals = Signals::listen()?;
        let mut subscriber = Subscriber {
            arguments: &self,
            target,
            subscriptions,
            unsubscriptions,
            printer,
            received: 0,
            clearing: 0,
        };
        tokio::select! {
            ended = subscriber.run() => ended,
            // As with Ctrl-C in mosquitto_sub: no failure, and the Will is for those who vanish.
            _ = signals.next() => Ok(()),
        }
    }

    fn unsubscriptions(&self) -> anyhow::Result<Vec<(Option<ShareName>, TopicFilter)>> {
        self.unsubscribe
            .iter()
            .map(|filter| {
                TopicFilter::parse_shared(filter)
                    .map_err(|error| usage(format!("-U {filter}: {error}")))
            })
            .collect()
    }

    fn subscriptions(&self, target: &Target) -> anyhow::Result<Vec<Subscription>> {
        let mut topics = self.topic.clone();
        topics.extend(target.url_topic.clone());
        if topics.is_empty() && self.unsubscribe.is_empty() {
            return Err(usage("no topic filter: name one with -t"));
        }
        if self.retain_as_published && !target.is_v5() {
            return Err(usage("--retain-as-published needs MQTT 5.0: -V mqttv5"));
        }
        topics
            .iter()
            .map(|topic| {
                let (share_name, filter) = TopicFilter::parse_shared(topic)
                    .map_err(|error| usage(format!("-t {topic}: {error}")))?;
                Ok(Subscription {
                    share_name,
                    filter,
                    maximum_qos: self.connect.qos,
                    no_local: false,
                    retain_as_published: self.retain_as_published,
                    retain_handling: RetainHandling::Send,
                })
            })
            .collect()
    }
}

/// Subscribes, prints, and connects again when the connection is lost.
struct Subscriber<'a> {
    arguments: &'a SubscribeArgs,
    target: Target,
    subscriptions: Vec<Subscription>,
    unsubscriptions: Vec<(Option<ShareName>, TopicFilter)>,
    printer: Printer,
    received: u64,
    /// How many messages that clear a retained one are not acknowledged.
    clearing: usize,
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    GoOn,
    Done,
}

impl Subscriber<'_> {
    async fn run(&mut self) -> anyhow::Result<()> {
        let mut connection = self.target.connect().await?;
        let deadline = self
            .arguments
            .timeout_secs
            .map(|secs| Instant::now() + Duration::from_secs(secs));
        let mut pause = FIRST_PAUSE;
        loop {
            let before = self.received;
            match self.serve(&mut connection, deadline).await {
                Err(error) if target::is_worth_retrying(&error) && !error.is::<TimedOut>() => {
                    tracing::warn!(error = crate::exit::one_line(&error), "connecting again");
                }
                Err(error) => {
                    // The broker need not wait for us; the first failure is the one to tell.
                    connection.disconnect(ReasonCode::Success).await.ok();
                    return Err(error);
                }
                Ok(()) => return Ok(connection.disconnect(ReasonCode::Success).await?),
            }
            if self.received > before {
                pause = FIRST_PAUSE;
            }
            self.clearing = 0;
            let session = self.target.session_after(connection);
            connection = self.connect_again(session, &mut pause, deadline).await?;
        }
    }

    async fn connect_again(
        &self,
        session: Option<Session>,
        pause: &mut Duration,
        deadline: Option<Instant>,
    ) -> anyhow::Result<Connection> {
        loop {
            sleep_or_time_out(*pause, deadline).await?;
            *pause = (*pause * 2).min(LONGEST_PAUSE);
            match self.target.connect_again(session.clone()).await {
                Err(error) if target::is_worth_retrying(&error) => {
                    tracing::warn!(error = crate::exit::one_line(&error), "connecting again");
                }
                connected => return connected,
            }
        }
    }

    /// One connection, until all is done or it is lost.
    async fn serve(
        &mut self,
        connection: &mut Connection,
        deadline: Option<Instant>,
    ) -> anyhow::Result<()> {
        self.subscribe(connection).await?;
        self.unsubscribe(connection).await?;
        let mut step = if self.arguments.exit_after_subscribing {
            Step::Done
        } else {
            Step::GoOn
        };
        while step == Step::GoOn || self.clearing > 0 {
            tokio::select! {
                event = connection.next() => {
                    if self.handle(event?, connection).await? == Step::Done {
                        step = Step::Done;
                    }
                }
                () = until(deadline) => return Err(TimedOut(" waiting for messages (-W)").into()),
            }
        }
        // The last message printed is one that the broker need not send again.
        connection.acknowledge().await?;
        Ok(())
    }

    async fn subscribe(&self, connection: &mut Connection) -> anyhow::Result<()> {
        if self.subscriptions.is_empty() {
            return Ok(());
        }
        let answer = connection.subscribe(self.subscriptions.clone()).await?;
        let mut refusal = None;
        for (subscription, code) in self.subscriptions.iter().zip(&answer.reason_codes) {
            let filter = subscription.filter.as_str();
            let words = describe(*code, answer.reason_string.as_deref());
            tracing::debug!(filter, answer = words, "received SUBACK");
            if code.is_failure() {
                let line = format!("the broker refuses the subscription to {filter}: {words}");
                if self.subscriptions.len() > 1 && !self.arguments.connect.quiet {
                    eprintln!("symbolon: {line}");
                }
                refusal.get_or_insert(line);
            }
        }
        match refusal {
            Some(line) if answer.reason_codes.iter().all(|code| code.is_failure()) => {
                Err(Refused(line).into())
            }
            Some(_) | None => Ok(()),
        }
    }

    async fn unsubscribe(&self, connection: &mut Connection) -> anyhow::Result<()> {
        if self.unsubscriptions.is_empty() {
            return Ok(());
        }
        let answer = connection.unsubscribe(self.unsubscriptions.clone()).await?;
        for ((_, filter), code) in self.unsubscriptions.iter().zip(&answer.reason_codes) {
            let words = describe(*code, answer.reason_string.as_deref());
            tracing::debug!(
                filter = filter.as_str(),
                answer = words,
                "received UNSUBACK"
            );
            if code.is_failure() {
                let line = format!(
                    "the broker refuses to unsubscribe from {}: {words}",
                    filter.as_str()
                );
                return Err(Refused(line).into());
            }
        }
        Ok(())
    }

    async fn handle(&mut self, event: Event, connection: &mut Connection) -> anyhow::Result<Step> {
        match event {
            Event::Message(message) => self.receive(&message, connection).await,
            Event::Renewed => {
                tracing::debug!("token renewed");
                Ok(Step::GoOn)
            }
            Event::Published {
                reason_code,
                reason_string,
                ..
            } => {
                self.clearing = self.clearing.saturating_sub(1);
                if reason_code.is_failure() {
                    let words = describe(reason_code, reason_string.as_deref());
                    let line = format!("the broker refuses to clear a retained message: {words}");
                    return Err(Refused(line).into());
                }
                Ok(Step::GoOn)
            }
            Event::NotRenewed(error) => {
                tracing::warn!(%error, "token not renewed yet");
                Ok(Step::GoOn)
            }
            Event::Reconnected { session_present } => {
                tracing::debug!(session_present, "token renewed on another connection");
                if !session_present {
                    self.subscribe(connection).await?;
                }
                Ok(Step::GoOn)
            }
            Event::Forgotten { .. } | _ => Ok(Step::GoOn),
        }
    }

    async fn receive(
        &mut self,
        message: &Message,
        connection: &mut Connection,
    ) -> anyhow::Result<Step> {
        tracing::debug!(
            topic = message.topic,
            qos = message.qos as u8,
            retain = message.retain,
            size_bytes = message.payload.len(),
            "received PUBLISH"
        );
        if self.arguments.retained_only && !message.retain {
            return Ok(Step::Done);
        }
        if self.printer.is_filtered_out(message) {
            return Ok(Step::GoOn);
        }
        if self.arguments.remove_retained && message.retain {
            self.clearing += 1;
            connection
                .publish(Outgoing {
                    topic: &message.topic,
                    payload: &[],
                    qos: Qos::AtLeastOnce,
                    retain: true,
                    properties: PublishProperties::default(),
                })
                .await?;
        }
        if !self.printer.wants(message)? {
            return Ok(Step::GoOn);
        }
        self.printer.print(message)?;
        self.received += 1;
        Ok(match self.arguments.count {
            Some(count) if self.received >= count => Step::Done,
            Some(_) | None => Step::GoOn,
        })
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

async fn sleep_or_time_out(pause: Duration, deadline: Option<Instant>) -> anyhow::Result<()> {
    tokio::select! {
        () = tokio::time::sleep(pause) => Ok(()),
        () = until(deadline) => Err(TimedOut(" (-W)").into()),
    }
}
