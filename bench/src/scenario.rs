//! What is measured. A scenario is data: another one is another line.

use symbolon_mqtt_proto::Qos;

/// One thing that is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    /// What `--only` finds it by, and the table calls it.
    pub(crate) name: &'static str,
    pub(crate) over_tls: bool,
    pub(crate) load: Load,
}

/// What the clients do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Load {
    /// As many messages as the windows allow.
    Traffic(Traffic),
    /// So many messages each second, over ten publishers, each with a subscriber of its own.
    Paced { qos: Qos, per_sec: u32 },
    /// CONNECT, CONNACK, DISCONNECT; so many at once.
    Connecting { at_once: usize },
    /// So many that say nothing.
    Idle { clients: usize },
    /// So many messages that wait for a client that is away, and then go to it.
    Durable { messages: u64 },
}

/// Who sends to whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traffic {
    pub(crate) publishers: usize,
    pub(crate) subscribers: usize,
    pub(crate) qos: Qos,
    /// Messages that one publisher may have under way: sent, and not yet delivered and acknowledged.
    pub(crate) window: u64,
}

/// One number that a scenario gives.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Figure {
    DeliveriesPerCpuSec,
    ConnectionsPerCpuSec,
    QueuedPerCpuSec,
    DrainedPerCpuSec,
    KibPerConnection,
    MedianMicros,
    Percentile99Micros,
}

impl Figure {
    /// With its unit.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::DeliveriesPerCpuSec => "deliveries/CPU s",
            Self::ConnectionsPerCpuSec => "connections/CPU s",
            Self::QueuedPerCpuSec => "queued/CPU s",
            Self::DrainedPerCpuSec => "drained/CPU s",
            Self::KibPerConnection => "KiB/connection",
            Self::MedianMicros => "p50 µs",
            Self::Percentile99Micros => "p99 µs",
        }
    }

    /// How many times better `value` is than `than`.
    pub(crate) fn ratio(self, value: f64, than: f64) -> f64 {
        match self {
            Self::DeliveriesPerCpuSec
            | Self::ConnectionsPerCpuSec
            | Self::QueuedPerCpuSec
            | Self::DrainedPerCpuSec => value / than,
            Self::KibPerConnection | Self::MedianMicros | Self::Percentile99Micros => than / value,
        }
    }
}

const fn traffic(publishers: usize, subscribers: usize, qos: Qos, window: u64) -> Load {
    Load::Traffic(Traffic {
        publishers,
        subscribers,
        qos,
        window,
    })
}

const fn tcp(name: &'static str, load: Load) -> Scenario {
    Scenario {
        name,
        over_tls: false,
        load,
    }
}

const fn tls(name: &'static str, load: Load) -> Scenario {
    Scenario {
        name,
        over_tls: true,
        load,
    }
}

/// All of them, in the order of the table.
pub(crate) const SCENARIOS: [Scenario; 17] = [
    tcp("1→1 QoS 0", traffic(1, 1, Qos::AtMostOnce, 1_000)),
    tcp("1→1 QoS 1", traffic(1, 1, Qos::AtLeastOnce, 100)),
    tcp("1→1 QoS 2", traffic(1, 1, Qos::ExactlyOnce, 100)),
    tcp("1→500 QoS 0", traffic(1, 500, Qos::AtMostOnce, 20)),
    tcp("200→1 QoS 0", traffic(200, 1, Qos::AtMostOnce, 10)),
    tcp("100→100 QoS 0", traffic(100, 100, Qos::AtMostOnce, 50)),
    tcp("100→100 QoS 1", traffic(100, 100, Qos::AtLeastOnce, 20)),
    // One message at a time: what it costs to be woken for each, which windows hide.
    tcp("single 1→1 QoS 0", traffic(1, 1, Qos::AtMostOnce, 1)),
    tcp("single 1→1 QoS 1", traffic(1, 1, Qos::AtLeastOnce, 1)),
    tls("1→1 QoS 0 TLS", traffic(1, 1, Qos::AtMostOnce, 1_000)),
    tls("100→100 QoS 1 TLS", traffic(100, 100, Qos::AtLeastOnce, 20)),
    tcp("connections TCP", Load::Connecting { at_once: 32 }),
    tls("connections TLS", Load::Connecting { at_once: 32 }),
    tcp("idle TCP", Load::Idle { clients: 5_000 }),
    tls("idle TLS", Load::Idle { clients: 5_000 }),
    tcp("durable queue", Load::Durable { messages: 200_000 }),
    tcp(
        "2 000 msg/s QoS 1",
        Load::Paced {
            qos: Qos::AtLeastOnce,
            per_sec: 2_000,
        },
    ),
];
