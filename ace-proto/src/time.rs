//! Time as tokens count it.

/// Seconds since 1970-01-01T00:00:00Z, leap seconds ignored (RFC 7519 §2, `NumericDate`).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct UnixTime(pub u64);

impl UnixTime {
    /// This much later, seconds; saturating.
    #[must_use]
    pub fn plus_secs(self, secs: u64) -> Self {
        Self(self.0.saturating_add(secs))
    }

    /// Seconds from `self` to `later`; 0 where `later` is earlier.
    pub fn secs_until(self, later: Self) -> u64 {
        later.0.saturating_sub(self.0)
    }
}
