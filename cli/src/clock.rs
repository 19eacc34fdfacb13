//! The clock, read here and nowhere else, and how a time is shown to a person.

use chrono::{DateTime, Local};
use std::time::{SystemTime, UNIX_EPOCH};
use symbolon_ace_proto::UnixTime;

/// Now, as tokens count it. A clock before 1970 reads as 1970.
pub(crate) fn now() -> UnixTime {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    UnixTime(since.as_secs())
}

/// Date and time where the reader is.
pub(crate) fn local(time: UnixTime) -> String {
    i64::try_from(time.0)
        .ok()
        .and_then(|secs| DateTime::from_timestamp(secs, 0))
        .map_or_else(
            || format!("{} s after 1970", time.0),
            |utc| {
                utc.with_timezone(&Local)
                    .format("%Y-%m-%d %H:%M:%S %z")
                    .to_string()
            },
        )
}

/// How far off a time is: `in 59 min`, `3 s ago`.
pub(crate) fn distance(time: UnixTime, now: UnixTime) -> String {
    if time > now {
        format!("in {}", duration(now.secs_until(time)))
    } else {
        format!("{} ago", duration(time.secs_until(now)))
    }
}

/// Seconds in the largest unit that leaves two digits or more.
pub(crate) fn duration(secs: u64) -> String {
    match secs {
        0..=119 => format!("{secs} s"),
        120..=7_199 => format!("{} min", secs / 60),
        7_200..=172_799 => format!("{} h", secs / 3_600),
        _ => format!("{} days", secs / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_says_its_direction() {
        assert_eq!(distance(UnixTime(160), UnixTime(100)), "in 60 s");
        assert_eq!(distance(UnixTime(97), UnixTime(100)), "3 s ago");
        assert_eq!(duration(3600), "60 min");
    }
}
