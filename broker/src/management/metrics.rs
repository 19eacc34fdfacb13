//! The metrics by name; `docs/metrics.md` describes each, and a test sees to that.

use super::published;
use crate::{
    core::counters::{Count, Dropped, Limit, NoClient, Outcome, Reason},
    driver::shard::Common,
    store::commits::Commits,
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::{Registry, Unit},
};
use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};
use symbolon_mqtt_proto::{Qos, ReasonCode};

/// Labels of one number of a metric.
type Labels = Vec<(&'static str, String)>;

/// What all metric names begin with.
const PREFIX: &str = "symbolon_broker";

/// The metrics of a broker, read anew at each scrape.
pub(super) fn registry(common: Arc<Common>) -> Registry {
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(Metrics(common)));
    registry
}

#[derive(Debug)]
struct Metrics(Arc<Common>);

/// A counter's name, and what it counts.
type Described = (&'static str, &'static str);

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.gauges(&mut encoder)?;
        self.messages(&mut encoder)?;
        self.ends(&mut encoder)?;
        if let Some(commits) = &self.0.commits {
            self.store(&mut encoder, commits)?;
        }
        let limits = Limit::ALL.map(|(limit, name)| {
            let number = self.sum(Count::Limit(limit));
            (label("limit", name), number)
        });
        let described = ("limit_reached", "Times that a bound was reached");
        counter(&mut encoder, described, None, limits)?;
        let restarts = self.0.falls.restarts.load(Ordering::Relaxed);
        let described = (
            "shard_restarts",
            "Times that a shard panicked and began anew, without its clients",
        );
        counter(&mut encoder, described, None, [(Labels::new(), restarts)])?;
        let expiries = vec![(Labels::new(), self.sum(Count::TokenExpiries))];
        let described = (
            "token_expiries",
            "Clients disconnected because their token expired",
        );
        counter(&mut encoder, described, None, expiries)?;
        let outcomes = Outcome::ALL.map(|(outcome, name)| {
            let number = self.sum(Count::Reauthentications(outcome));
            (label("outcome", name), number)
        });
        let described = (
            "reauthentications",
            "Attempts to bring a new token into a session",
        );
        counter(&mut encoder, described, None, outcomes)?;
        let outcomes = Outcome::ALL.map(|(outcome, name)| {
            let number = self.sum(Count::AuthzInfo(outcome));
            (label("outcome", name), number)
        });
        let described = ("tokens_published", "Tokens published to authz-info");
        counter(&mut encoder, described, None, outcomes)?;
        let fetches = self.0.keys.fetches();
        let fetches = [
            (label("outcome", "success"), fetches.succeeded()),
            (label("outcome", "failure"), fetches.failed()),
        ];
        let described = (
            "key_fetches",
            "Fetches of the authorization server's key set",
        );
        counter(&mut encoder, described, None, fetches)?;
        let questions = self.0.keys.questions();
        let questions = [
            (label("outcome", "success"), questions.succeeded()),
            (label("outcome", "failure"), questions.failed()),
        ];
        let described = (
            "introspections",
            "Questions to the authorization server what a token says",
        );
        counter(&mut encoder, described, None, questions)?;
        let [succeeded, failed] = self.0.revocations.counts();
        let answers = [
            (label("outcome", "success"), succeeded),
            (label("outcome", "failure"), failed),
        ];
        let described = (
            "revocation_lists",
            "Questions to the authorization server which tokens are revoked",
        );
        counter(&mut encoder, described, None, answers)
    }
}

impl Metrics {
    fn sum(&self, what: Count) -> u64 {
        published::sum(&self.0.published, what)
    }

    /// Every shard keeps all retained messages.
    fn most(&self, what: Count) -> u64 {
        published::most(&self.0.published, what)
    }

    fn gauges(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let gauges = [
            (
                "connections",
                "Connections, with those not admitted yet",
                self.0.connections.load(Ordering::Relaxed) as u64,
            ),
            (
                "handshakes",
                "Connections on their way to an admitted CONNECT",
                self.sum(Count::Handshakes),
            ),
            ("clients", "Clients connected", self.sum(Count::Clients)),
            (
                "subscriptions",
                "Subscriptions of all clients",
                self.sum(Count::Subscriptions),
            ),
            (
                "sessions",
                "Sessions, connected or away",
                self.sum(Count::Sessions),
            ),
            (
                "wills",
                "Wills that wait",
                self.0.rules.load().admission.quotas.wills.taken() as u64,
            ),
            (
                "held_answers",
                "Acknowledgements that wait for the store",
                self.sum(Count::HeldAnswers),
            ),
            (
                "retained_messages",
                "Retained messages",
                self.most(Count::RetainedMessages),
            ),
            (
                "retained_messages_bytes",
                "Bytes of the retained messages",
                self.most(Count::RetainedBytes),
            ),
            (
                "stored_tokens",
                "Tokens published to authz-info that are kept",
                self.0.rules.load().admission.tokens.stored.count() as u64,
            ),
            (
                "stored_tokens_bytes",
                "Bytes that the stored tokens count for",
                self.0.rules.load().admission.tokens.stored.bytes() as u64,
            ),
        ];
        gauges
            .into_iter()
            .try_for_each(|described| gauge(encoder, described))
    }

    /// The store, where there is one.
    fn store(&self, encoder: &mut DescriptorEncoder<'_>, commits: &Commits) -> fmt::Result {
        let gauges = [
            (
                "store_used_bytes",
                "Bytes in use in the store",
                commits.used_bytes(),
            ),
            (
                "store_max_bytes",
                "Bytes that the store should hold at most",
                commits.max_bytes(),
            ),
            (
                "store_full",
                "1 while the store takes nothing new, else 0",
                u64::from(commits.is_full()),
            ),
            (
                "store_unwritten_entries",
                "Changes that wait to be written to the store",
                self.sum(Count::Unwritten),
            ),
        ];
        gauges
            .into_iter()
            .try_for_each(|described| gauge(encoder, described))?;
        let counters = [
            (("store_commits", "Commits of the store"), commits.commits()),
            (
                ("store_entries", "Changes written to the store"),
                commits.entries(),
            ),
            (
                (
                    "store_failed_commits",
                    "Commits that failed and were tried again",
                ),
                commits.failures(),
            ),
        ];
        counters.into_iter().try_for_each(|(described, number)| {
            counter(encoder, described, None, [(Labels::new(), number)])
        })
    }

    fn messages(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let by_qos = |count: fn(Qos) -> Count| {
            [
                (Qos::AtMostOnce, "0"),
                (Qos::AtLeastOnce, "1"),
                (Qos::ExactlyOnce, "2"),
            ]
            .map(|(qos, name)| (label("qos", name), self.sum(count(qos))))
        };
        let described = ("messages_received", "PUBLISH packets that clients sent");
        counter(encoder, described, None, by_qos(Count::Received))?;
        let described = ("messages_sent", "PUBLISH packets for clients");
        counter(encoder, described, None, by_qos(Count::Sent))?;
        let dropped = Dropped::ALL.map(|(dropped, name)| {
            let number = self.sum(Count::Dropped(dropped));
            (label("reason", name), number)
        });
        let described = ("messages_dropped", "Messages that a subscriber did not get");
        counter(encoder, described, None, dropped)?;
        let bytes = Some(Unit::Bytes);
        let number = [(Labels::new(), self.sum(Count::BytesReceived))];
        let described = ("received", "Bytes of MQTT that clients sent");
        counter(encoder, described, bytes.as_ref(), number)?;
        let number = [(Labels::new(), self.sum(Count::BytesSent))];
        let described = ("sent", "Bytes of MQTT for clients");
        counter(encoder, described, bytes.as_ref(), number)
    }

    /// What was refused, and what ended.
    fn ends(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let no_client = NoClient::ALL.map(|(no_client, name)| {
            let number = self.sum(Count::NoClient(no_client));
            (label("reason", name), number)
        });
        let refused = self.by_code(Reason::Refused, Some(("reason", "refused")));
        let described = (
            "connections_refused",
            "Connections of which no client came, by reason",
        );
        let numbers = no_client.into_iter().chain(refused);
        counter(encoder, described, None, numbers)?;
        let lost = (label("by", "network"), self.sum(Count::ConnectionsLost));
        let by_broker = self.by_code(Reason::BrokerDisconnect, Some(("by", "broker")));
        let by_client = self.by_code(Reason::ClientDisconnect, Some(("by", "client")));
        let described = (
            "disconnects",
            "Clients whose connection ended, by whom and why",
        );
        let numbers = by_broker.chain(by_client).chain([lost]);
        counter(encoder, described, None, numbers)?;
        let described = ("publishes_refused", "PUBLISH packets that were refused");
        counter(
            encoder,
            described,
            None,
            self.by_code(Reason::Publish, None),
        )?;
        let described = (
            "subscriptions_refused",
            "Topic Filters of SUBSCRIBE packets that were refused",
        );
        counter(
            encoder,
            described,
            None,
            self.by_code(Reason::Subscribe, None),
        )
    }

    /// The numbers of those reason codes that occurred.
    fn by_code(
        &self,
        reason: Reason,
        first: Option<(&'static str, &'static str)>,
    ) -> impl Iterator<Item = (Labels, u64)> {
        let codes = (0..=u8::MAX).filter_map(ReasonCode::from_u8);
        codes.filter_map(move |code| {
            let number = self.sum(Count::Reason(reason, code));
            let first = first.map(|(name, value)| (name, value.to_owned()));
            let code = ("reason_code", format!("0x{:02X}", code as u8));
            (number > 0).then(|| (first.into_iter().chain([code]).collect(), number))
        })
    }
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help, number): (&str, &str, u64),
) -> fmt::Result {
    let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    ConstGauge::new(number).encode(metric)
}

fn label(name: &'static str, value: &str) -> Labels {
    vec![(name, value.to_owned())]
}

fn counter(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help): Described,
    unit: Option<&Unit>,
    numbers: impl IntoIterator<Item = (Labels, u64)>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, unit, MetricType::Counter)?;
    for (labels, number) in numbers {
        let counter = ConstCounter::new(number);
        if labels.is_empty() {
            // Without labels it is the only number.
            return counter.encode(metric);
        }
        counter.encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}
