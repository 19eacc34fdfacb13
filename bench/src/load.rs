//! The load generator: one thread and one poll, so that on a small machine the broker has the other core.

pub(crate) mod admission;
pub(crate) mod clients;
mod connecting;
mod durable;
mod idle;
mod latency;
pub(crate) mod packets;
mod traffic;

use crate::{
    scenario::{Figure, Load, Scenario, Traffic},
    wire::secure::ClientTls,
};
use admission::Credentials;
use std::{net::SocketAddr, sync::Arc, time::Duration};

/// Where the broker is, how to get in, and which process it is.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) process: u32,
    pub(crate) address: SocketAddr,
    pub(crate) tls: Option<ClientTls>,
    pub(crate) credentials: Option<Arc<Credentials>>,
}

/// How long it is measured, and how long the load runs before that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
}

/// What was measured.
pub(crate) type Figures = Vec<(Figure, f64)>;

/// Publishers of a paced scenario.
const PAIRS: usize = 10;

/// Runs one scenario against one broker.
pub(crate) fn run(scenario: &Scenario, target: &Target, span: Span) -> anyhow::Result<Figures> {
    match scenario.load {
        Load::Traffic(traffic) => traffic::run(&traffic, target, span, None),
        Load::Paced { qos, per_sec } => {
            let traffic = Traffic {
                publishers: PAIRS,
                subscribers: PAIRS,
                qos,
                window: u64::MAX,
            };
            traffic::run(&traffic, target, span, Some(per_sec))
        }
        Load::Connecting { at_once } => connecting::run(at_once, target, span),
        Load::Idle { clients } => idle::run(clients, target, span),
        Load::Durable { messages } => durable::run(messages, target),
    }
}
