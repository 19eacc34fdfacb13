//! The drivers: sockets, threads, tasks, clocks and random numbers. They move bytes and decide nothing.
//!
//! | file | drives |
//! |---|---|
//! | `listener.rs` | sockets that listen, one for each shard |
//! | `addresses.rs` | connections of each address |
//! | `arrival.rs` | a connection until it is admitted: TLS, CONNECT, proof |
//! | `known.rs` | clients that the handshake proved, and their tokens |
//! | `reclaiming.rs` | gives memory back that a peak took |
//! | `lives.rs` | the lives of a shard: the first, and those after a panic |
//! | `restored.rs` | what was stored, dealt out to the shards |
//! | `shard.rs` | a shard's thread: its mailbox, its timers, its tasks |
//! | `time_of_day.rs` | the time of day, with a clock and without |
//! | `system.rs` | the values of `$SYS`, on one shard |
//! | `connection.rs` | an admitted connection |

pub(crate) mod addresses;
pub(crate) mod arrival;
pub(crate) mod connection;
pub(crate) mod known;
pub(crate) mod listener;
pub(crate) mod lives;
pub(crate) mod reclaiming;
pub(crate) mod restored;
pub(crate) mod shard;
mod system;
pub(crate) mod time_of_day;

/// What a thread of ours runs its tasks on.
pub(crate) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
}
