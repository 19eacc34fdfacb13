//! The authorization server from outside: over real TLS sockets, and its database as another process sees it.

mod harness;
mod malformed;
mod metadata;
mod store;
mod token;
