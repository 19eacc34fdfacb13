//! What the server counts; `docs/metrics.md` describes each, and a test sees to that.

use crate::store::DatabaseTimes;
use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use prometheus_client::{
    encoding::text,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};
use std::{fmt, sync::Arc};
use tokio::time::Instant;

/// What all metric names begin with.
const PREFIX: &str = "symbolon_as";
/// Upper ends of the classes of how long something took, seconds.
pub(crate) const SECONDS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
];

/// One label with its value.
type Label = (&'static str, &'static str);
type Counters<const N: usize> = Family<[Label; N], Counter>;

/// All of them.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Counters<2>,
    request_seconds: Family<[Label; 1], Histogram>,
    tokens_issued: Counters<1>,
    token_refusals: Counters<1>,
    authentication_failures: Counters<1>,
    authentication_delays: Counters<1>,
    /// Connections of HTTPS, those in their handshake too.
    pub(crate) connections: Gauge,
    /// Requests that wait for news of revoked tokens.
    pub(crate) waiting: Gauge,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics(..)")
    }
}

/// Who failed to prove who they are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Caller {
    /// A client or a resource server.
    Client,
    /// An account of the administration API.
    Account,
}

impl Caller {
    fn label(self) -> [Label; 1] {
        match self {
            Self::Client => [("caller", "client")],
            Self::Account => [("caller", "account")],
        }
    }
}

impl Metrics {
    pub(crate) fn new(times: &DatabaseTimes) -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        let requests = Counters::default();
        registry.register("requests", "Requests answered", requests.clone());
        let new: fn() -> Histogram = || Histogram::new(SECONDS);
        let request_seconds = Family::new_with_constructor(new);
        registry.register_with_unit(
            "request_duration",
            "How long requests took",
            Unit::Seconds,
            request_seconds.clone(),
        );
        let tokens_issued = Counters::default();
        registry.register("tokens_issued", "Tokens issued", tokens_issued.clone());
        let token_refusals = Counters::default();
        let help = "Token requests refused";
        registry.register("token_refusals", help, token_refusals.clone());
        let authentication_failures = Counters::default();
        let help = "Callers who did not prove who they are";
        registry.register(
            "authentication_failures",
            help,
            authentication_failures.clone(),
        );
        let authentication_delays = Counters::default();
        let help = "Callers told to wait after failures";
        registry.register("authentication_delays", help, authentication_delays.clone());
        let connections = Gauge::default();
        registry.register("connections", "Connections of HTTPS", connections.clone());
        let waiting = Gauge::default();
        let help = "Requests that wait for news of revoked tokens";
        registry.register("waiting_requests", help, waiting.clone());
        registry.register_with_unit(
            "database_duration",
            "How long it took to begin and to commit a change",
            Unit::Seconds,
            times.seconds.clone(),
        );
        let help = "Changes that could not begin or be committed";
        registry.register("database_errors", help, times.errors.clone());
        for caller in [Caller::Client, Caller::Account] {
            // Once touched, it is there with 0.
            drop(authentication_failures.get_or_create(&caller.label()));
            drop(authentication_delays.get_or_create(&caller.label()));
        }
        for format in ["jwt", "cwt", "reference"] {
            drop(tokens_issued.get_or_create(&[("format", format)]));
        }
        Self {
            registry,
            requests,
            request_seconds,
            tokens_issued,
            token_refusals,
            authentication_failures,
            authentication_delays,
            connections,
            waiting,
        }
    }

    /// In the text format of `OpenMetrics`.
    pub(crate) fn text(&self) -> Result<String, fmt::Error> {
        let mut body = String::new();
        text::encode(&mut body, &self.registry)?;
        Ok(body)
    }

    pub(crate) fn token_issued(&self, format: &'static str) {
        self.tokens_issued
            .get_or_create(&[("format", format)])
            .inc();
    }

    pub(crate) fn token_refused(&self, error: &'static str) {
        self.token_refusals.get_or_create(&[("error", error)]).inc();
    }

    pub(crate) fn authentication_failed(&self, caller: Caller) {
        self.authentication_failures
            .get_or_create(&caller.label())
            .inc();
    }

    pub(crate) fn authentication_delayed(&self, caller: Caller) {
        self.authentication_delays
            .get_or_create(&caller.label())
            .inc();
    }
}

/// Something that counts in a gauge until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted(Gauge);

impl Counted {
    pub(crate) fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Counts what an endpoint answers.
#[derive(Clone, Debug)]
pub(crate) struct Counting {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) endpoint: &'static str,
}

/// Around an endpoint.
pub(crate) async fn count(
    State(counting): State<Counting>,
    request: Request,
    next: Next,
) -> Response {
    let Counting { metrics, endpoint } = counting;
    let begin = Instant::now();
    let response = next.run(request).await;
    let status = response.status();
    let outcome = if status.is_server_error() {
        "error"
    } else if status.is_client_error() {
        "refused"
    } else {
        "success"
    };
    let endpoint = ("endpoint", endpoint);
    let labels = [endpoint, ("outcome", outcome)];
    metrics.requests.get_or_create(&labels).inc();
    let seconds = begin.elapsed().as_secs_f64();
    metrics
        .request_seconds
        .get_or_create(&[endpoint])
        .observe(seconds);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_in_the_documentation() {
        let page = include_str!("../../docs/metrics.md");
        let metrics = Metrics::new(&DatabaseTimes::default());
        let text = metrics.text().unwrap();
        let named = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let mut count = 0;
        for line in named {
            let (name, kind) = line.split_once(' ').unwrap();
            let name = match kind {
                "counter" => format!("`{name}_total`"),
                _ => format!("`{name}`"),
            };
            assert!(page.contains(&name), "{name}");
            count += 1;
        }
        assert_eq!(count, 10);
    }
}
