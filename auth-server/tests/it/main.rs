//! The authorization server from outside: over real TLS sockets, and its database as another process sees it.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod admin;
mod admin_accounts;
mod admin_rights;
mod audit;
mod file;
mod harness;
mod introspection;
mod kinds;
mod lock_out;
mod log;
mod malformed;
mod management;
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
mod store;
mod token;
