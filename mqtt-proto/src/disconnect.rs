//! DISCONNECT (§3.14).

use crate::{ReasonCode, UserProperties};

/// The last packet of either end (§3.14). In 3.1.1 only a Client sends it, and it carries nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Disconnect<'a> {
    /// Why.
    pub reason_code: ReasonCode,
    /// Session Expiry Interval, seconds; from a Client only.
    pub session_expiry_interval_secs: Option<u32>,
    /// Reason String.
    pub reason_string: Option<&'a str>,
    /// Server Reference; from a Server only.
    pub server_reference: Option<&'a str>,
    /// User Properties.
    pub user_properties: UserProperties<'a>,
}

impl<'a> Disconnect<'a> {
    /// A DISCONNECT with a reason and nothing else.
    pub fn new(reason_code: ReasonCode, reason_string: Option<&'a str>) -> Self {
        Self {
            reason_code,
            session_expiry_interval_secs: None,
            reason_string,
            server_reference: None,
            user_properties: UserProperties::default(),
        }
    }
}
