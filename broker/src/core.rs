//! What the broker decides, without IO: values and a clock reading in, values out.
//!
//! | file | decides |
//! |---|---|
//! | `admission.rs`, `refusal.rs` | who may come in: CONNECT, proof of possession; and what who may not is told |
//! | `judging.rs`, `authority.rs`, `spans.rs` | whether a token counts: whose it is, its key, how long |
//! | `grant.rs` | what a token allows |
//! | `shard.rs` | the whole: what comes from the driver, timers, other shards |
//! | `connecting.rs` | sessions: begun, taken over, resumed, ended; Wills |
//! | `inbound.rs` | what each packet of a connected client does |
//! | `publishing.rs`, `forwarding.rs`, `aliases.rs` | the path of a PUBLISH, in and out |
//! | `subscribing.rs`, `interest.rs` | SUBSCRIBE, and what other shards must know of it |
//! | `groups.rs`, `sharing.rs`, `tickets.rs` | Shared Subscriptions: whose turn it is, and who gets what a lost member had |
//! | `router.rs`, `subscriptions.rs` | topic → subscribers |
//! | `retaining.rs`, `retained.rs` | retained messages |
//! | `journal.rs`, `holding.rs`, `restoring.rs` | what must outlive the process; the answers that wait for it; and how it comes back |
//! | `falling.rs`, `replaying.rs` | how a shard goes on whose thread panicked |
//! | `bounds.rs`, `quota.rs`, `pacing.rs` | bounds of topics, of sessions and Wills, of a client's rate |
//! | `outbound.rs` | how much other shards may have of what this one sends them |
//! | `shrinking.rs` | tables that a peak made large, made small again |
//! | `counters.rs` | what was counted |
//! | `system.rs`, `figures.rs` | `$SYS`: what the broker says of itself |
//! | `reauthentication.rs` | a new token in a living session |
//! | `freshness.rs` | nonces that a token must bring back |
//! | `introspected.rs`, `introspecting.rs` | what authorization servers said of tokens by reference; sessions that they are asked about again |
//! | `known.rs` | whom the identity of a pre-shared key means |
//! | `authz_info.rs`, `stored_tokens.rs` | tokens that are published, and kept until their clients connect |
//! | `reloading.rs` | other limits and public topics while clients are connected |
//! | `session.rs`, `outbox.rs`, `message.rs`, `wheel.rs` | what the others are made of |

pub(crate) mod admission;
mod aliases;
pub(crate) mod authority;
mod authz_info;
mod bounds;
pub(crate) mod connecting;
pub(crate) mod counters;
pub(crate) mod falling;
pub(crate) mod figures;
mod forwarding;
pub(crate) mod freshness;
pub mod grant;
mod groups;
pub mod hash_seed;
mod holding;
mod inbound;
mod interest;
pub(crate) mod introspected;
mod introspecting;
pub(crate) mod journal;
mod judging;
mod known;
mod level_tree;
pub(crate) mod message;
mod outbound;
mod outbox;
mod pacing;
pub mod publishers;
mod publishing;
pub(crate) mod quota;
pub(crate) mod reauthentication;
pub(crate) mod refusal;
pub(crate) mod reloading;
pub(crate) mod replaying;
mod restoring;
pub mod retained;
pub(crate) mod retaining;
pub mod revoked;
pub(crate) mod router;
pub(crate) mod session;
pub(crate) mod shard;
mod sharing;
mod short_text;
mod shrinking;
pub(crate) mod spans;
mod split_index;
pub mod stored_tokens;
mod subscribing;
pub mod subscriptions;
pub(crate) mod system;
mod tickets;
pub mod wheel;
mod wills;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
