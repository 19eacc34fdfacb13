//! The authorization server from outside: over real TLS sockets, and its database as another process sees it.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod audit;
mod file;
mod harness;
mod introspection;
mod kinds;
mod log;
mod malformed;
mod metadata;
mod mutual_tls;
mod place;
mod raw_keys;
mod refresh;
mod registration;
mod reload;
mod revocation;
mod rights;
mod rules;
mod shared_keys;
mod store;
mod token;
