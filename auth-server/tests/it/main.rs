//! The authorization server from outside: over real TLS sockets, and its database as another process sees it.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod audit;
mod harness;
mod log;
mod malformed;
mod metadata;
mod reload;
mod rules;
mod store;
mod token;
