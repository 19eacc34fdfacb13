//! Pings, so that the broker knows that we live and we know that it does (MQTT 5.0 §3.1.2.10, §3.12).

use crate::ConnectError;
use std::time::{Duration, Instant};

/// The shortest time the broker has for PINGRESP; the usual one is half the Keep Alive.
const MIN_PATIENCE: Duration = Duration::from_secs(5);

/// Counts from the last packet sent. Without a Keep Alive it never asks for anything.
#[derive(Debug)]
pub(super) struct KeepAlive {
    interval: Option<Duration>,
    sent_at: Instant,
    answer_by: Option<Instant>,
}

impl KeepAlive {
    /// `secs` is what holds for the connection, Server Keep Alive first; 0 is off.
    pub(super) fn new(secs: u16, now: Instant) -> Self {
        Self {
            interval: (secs > 0).then(|| Duration::from_secs(secs.into())),
            sent_at: now,
            answer_by: None,
        }
    }

    pub(super) fn handle_sent(&mut self, now: Instant) {
        self.sent_at = now;
    }

    /// Bytes came. While they come the broker lives, and its PINGRESP may stand behind them.
    pub(super) fn handle_received(&mut self, now: Instant) {
        let patience = self.patience();
        if let Some(answer_by) = &mut self.answer_by {
            *answer_by = now + patience;
        }
    }

    pub(super) fn handle_pingresp(&mut self) {
        self.answer_by = None;
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let interval = self.interval?;
        Some(self.answer_by.unwrap_or(self.sent_at + interval))
    }

    /// Whether PINGREQ is due. Fails once the broker has let a PINGREQ go unanswered.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<bool, ConnectError> {
        let Some(interval) = self.interval else {
            return Ok(false);
        };
        match self.answer_by {
            Some(answer_by) if answer_by <= now => Err(ConnectError::Lost(
                "the broker does not answer pings".to_owned(),
            )),
            None if self.sent_at + interval <= now => {
                self.answer_by = Some(now + self.patience());
                Ok(true)
            }
            Some(_) | None => Ok(false),
        }
    }

    fn patience(&self) -> Duration {
        self.interval.unwrap_or_default().max(2 * MIN_PATIENCE) / 2
    }
}
