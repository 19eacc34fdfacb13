//! `NumericDate` (RFC 7519 §2): seconds, possibly with a fraction.

use std::fmt;

use serde::{Deserialize, Deserializer, de, de::Visitor};

use crate::UnixTime;

/// A date as JSON writes it. A fraction is cut off; a negative number is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct NumericDate(pub(crate) UnixTime);

impl NumericDate {
    /// From a number with a fraction; `None` for a negative one and for what is no number.
    pub(crate) fn from_float(secs: f64) -> Option<Self> {
        if secs.is_sign_negative() || !secs.is_finite() {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the fraction is to be cut off, the sign is checked above, and too large a number saturates"
        )]
        let whole = secs as u64;
        Some(Self(UnixTime(whole)))
    }
}

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_u64(DateVisitor)
    }
}

struct DateVisitor;

impl Visitor<'_> for DateVisitor {
    type Value = NumericDate;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("seconds since 1970-01-01T00:00:00Z")
    }

    fn visit_u64<E: de::Error>(self, secs: u64) -> Result<NumericDate, E> {
        Ok(NumericDate(UnixTime(secs)))
    }

    fn visit_f64<E: de::Error>(self, secs: f64) -> Result<NumericDate, E> {
        NumericDate::from_float(secs).ok_or_else(|| E::custom("a date before 1970"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Option<u64> {
        let date = serde_json::from_str::<NumericDate>(json).ok();
        date.map(|date| date.0.0)
    }

    // RFC 7519 §2
    #[test]
    fn a_fraction_is_cut_off() {
        assert_eq!(read("1443944944"), Some(1_443_944_944));
        assert_eq!(read("1443944944.9"), Some(1_443_944_944));
        assert_eq!(read("1.443944944e9"), Some(1_443_944_944));
        assert_eq!(read("0.5"), Some(0));
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for json in ["-1", "-0.5", "\"1\"", "null", "true", "[]", "1e999"] {
            assert_eq!(read(json), None, "{json}");
        }
    }

    #[test]
    fn a_date_beyond_reach_is_the_last_one() {
        assert_eq!(read("1e30"), Some(u64::MAX));
    }
}
