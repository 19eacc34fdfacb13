//! A moment on the command line: a date, or so long from now.

use crate::clock;
use chrono::DateTime;
use std::str::FromStr;
use symbolon_ace_proto::UnixTime;

/// `2026-12-01T00:00:00Z`, or `30s`, `15m`, `12h`, `30d` from now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Moment(pub(crate) UnixTime);

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse(text, clock::now()).map(Self)
    }
}

fn parse(text: &str, now: UnixTime) -> Result<UnixTime, String> {
    let units = [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400)];
    for (unit, secs) in units {
        let count = text.strip_suffix(unit).map(str::parse::<u32>);
        if let Some(Ok(count)) = count {
            return Ok(now.plus_secs(u64::from(count) * secs));
        }
    }
    let date = DateTime::parse_from_rfc3339(text).map_err(|_| {
        "expected a date like 2026-12-01T00:00:00Z, or 30s, 15m, 12h, 30d from now".to_owned()
    })?;
    let secs = u64::try_from(date.timestamp()).map_err(|_| "before 1970".to_owned())?;
    Ok(UnixTime(secs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_date_or_so_long_from_now() {
        let now = UnixTime(1_000);
        for (text, moment) in [
            ("30s", 1_030),
            ("15m", 1_900),
            ("2h", 8_200),
            ("1d", 87_400),
            ("1970-01-01T01:00:00+00:00", 3_600),
            ("1970-01-01T01:00:00+01:00", 0),
        ] {
            assert_eq!(parse(text, now), Ok(UnixTime(moment)), "{text}");
        }
        for text in ["", "5", "m", "-5m", "tomorrow", "1969-01-01T00:00:00Z"] {
            assert!(parse(text, now).is_err(), "{text}");
        }
    }
}
