//! What grows, in which steps, and what is measured as it does: data.

use super::holding::Kind;

/// There is so much of one thing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    /// Connections that say nothing, beside one publisher and one subscriber.
    Idle(u32),
    /// Connections that publish in turn, to one subscriber.
    Publishing(u32),
    /// Subscriptions that a few clients hold.
    Holding(Kind, u32),
    /// Topic Filters in the scope of the token of whoever publishes and subscribes.
    Scope(u32),
}

/// One figure, over what grows.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Curve {
    Idle,
    Publishing,
    /// Messages to ten of the subscriptions, in turn.
    Few(Kind),
    /// Messages to all of them, in turn, or to as many as [`TOPICS_AT_MOST`].
    Many(Kind),
    /// One SUBSCRIBE more.
    Subscribe(Kind),
    Scope,
    /// Resident bytes for each subscription.
    Memory(Kind),
}

/// The most topics that are published to in turn.
pub(crate) const TOPICS_AT_MOST: u32 = 100_000;
/// Topics in turn where it shall not matter how many there are.
pub(crate) const FEW_TOPICS: u32 = 10;

const CONNECTIONS: [u32; 4] = [10, 100, 1_000, 10_000];
const SUBSCRIPTIONS: [u32; 4] = [10, 1_000, 100_000, 1_000_000];
const FILTERS: [u32; 3] = [1, 5, 20];

/// All steps, in the order in which they are measured.
pub(crate) fn steps() -> Vec<Step> {
    let holding = |kind| SUBSCRIPTIONS.map(|count| Step::Holding(kind, count));
    let mut steps = Vec::from(CONNECTIONS.map(Step::Idle));
    steps.extend(CONNECTIONS.map(Step::Publishing));
    steps.extend([Kind::Exact, Kind::Wildcard].into_iter().flat_map(holding));
    steps.extend(FILTERS.map(Step::Scope));
    steps
}

/// The plots: what stands above, and what is drawn.
pub(crate) const PLOTS: [(&str, &[Curve]); 4] = [
    (
        "Connections: CPU ns for a message",
        &[Curve::Idle, Curve::Publishing],
    ),
    (
        "Subscriptions: CPU ns for a message",
        &[
            Curve::Few(Kind::Exact),
            Curve::Few(Kind::Wildcard),
            Curve::Many(Kind::Exact),
            Curve::Many(Kind::Wildcard),
        ],
    ),
    (
        "Subscriptions: CPU ns for a SUBSCRIBE",
        &[
            Curve::Subscribe(Kind::Exact),
            Curve::Subscribe(Kind::Wildcard),
        ],
    ),
    (
        "Topic Filters in the scope: CPU ns for a message",
        &[Curve::Scope],
    ),
];

impl Curve {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Idle => "a message beside idle connections",
            Self::Publishing => "a message, connections publish in turn",
            Self::Few(Kind::Exact) => "a message to ten of the exact subscriptions",
            Self::Few(Kind::Wildcard) => "a message to ten of the wildcard subscriptions",
            Self::Many(Kind::Exact) => "a message to any of the exact subscriptions",
            Self::Many(Kind::Wildcard) => "a message to any of the wildcard subscriptions",
            Self::Subscribe(Kind::Exact) => "SUBSCRIBE beside exact subscriptions",
            Self::Subscribe(Kind::Wildcard) => "SUBSCRIBE beside wildcard subscriptions",
            Self::Scope => "a message, Topic Filters in the scope",
            Self::Memory(Kind::Exact) => "an exact subscription",
            Self::Memory(Kind::Wildcard) => "a wildcard subscription",
        }
    }

    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Memory(_) => "bytes",
            Self::Idle
            | Self::Publishing
            | Self::Few(_)
            | Self::Many(_)
            | Self::Subscribe(_)
            | Self::Scope => "CPU ns",
        }
    }

    /// Whether it shall be the same however much there is.
    pub(crate) fn shall_be_flat(self) -> bool {
        !matches!(self, Self::Memory(_))
    }
}
