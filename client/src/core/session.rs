//! What outlives a network connection (MQTT 5.0 §4.1): messages that are not fully acknowledged, either way.

use super::{backlog::Backlog, event::Event, publishing::Publishing};
use symbolon_mqtt_proto::{ProtocolVersion, delivery::Incoming};

/// The client's Session State: hand it to [`crate::Connection::resume`], and what was in flight is sent again (MQTT 5.0 §4.4). Clone it
/// to be able to try more than once.
#[derive(Clone, Debug)]
pub struct Session {
    pub(super) version: ProtocolVersion,
    pub(super) publishing: Publishing,
    /// QoS 2 messages that the application has acknowledged and the broker has not yet released.
    pub(super) incoming: Incoming,
}

impl Session {
    /// A new one, with nothing in flight.
    pub(crate) fn new(version: ProtocolVersion) -> Self {
        Self {
            version,
            publishing: Publishing::default(),
            incoming: Incoming::default(),
        }
    }

    /// The version it was begun in; messages in flight are kept in its encoding.
    pub(crate) fn version(&self) -> ProtocolVersion {
        self.version
    }

    /// The broker has no such session: ours must go too (MQTT 5.0 §3.2.2.1.1), and the application learns what that means for its messages.
    pub(super) fn forget(&mut self, backlog: &mut Backlog) {
        for event in self.publishing.forget() {
            backlog.push(event);
        }
        self.incoming = Incoming::default();
    }
}

impl Event {
    pub(super) fn published(
        identifier: u64,
        reason_code: symbolon_mqtt_proto::ReasonCode,
        reason_string: Option<&str>,
    ) -> Self {
        Self::Published {
            identifier,
            reason_code,
            reason_string: reason_string.map(str::to_owned),
        }
    }
}
