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
    connection::{Message, Outgoing},
};
use symbolon_mqtt_proto::{
    PublishProperties, Qos, ReasonCode, RetainHandling, Subscription, TopicFilter,
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
        let printer = Printer::new(&self.printer)?;
        let mut signals = Signals::listen()?;
        let mut subscriber = Subscriber {
            arguments: &self,
            target,
            subscriptions,
            printer,
            received: 0,
        };
        tokio::select! {
            ended = subscriber.run() => ended,
            // As with Ctrl-C in mosquitto_sub: no failure, and the Will is for those who vanish.
            _ = signals.next() => Ok(()),
        }
    }

    fn subscriptions(&self, target: &Target) -> anyhow::Result<Vec<Subscription>> {
        let mut topics = self.topic.clone();
        topics.extend(target.url_topic.clone());
        if topics.is_empty() {
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
