//! What may stand beside the endpoints.

use std::net::SocketAddr;

/// The administration API over HTTPS.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct AdminConfig {
    /// A listener of its own, with the same certificate; without it, the API is where the endpoints are.
    pub listen: Option<SocketAddr>,
}

/// Health and metrics over plain HTTP.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ManagementConfig {
    /// Where it listens.
    pub address: SocketAddr,
    /// It may be outside of loopback.
    pub insecure: bool,
}
