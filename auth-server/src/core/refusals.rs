//! Which refusals are recorded one by one: whoever sends nothing but wrong requests must not fill the audit log until its oldest records go.

use symbolon_ace_proto::UnixTime;

/// How many refusals of callers who proved who they are are recorded each second.
const KNOWN_PER_SECOND: u64 = 100;
/// How many of callers who did not.
const UNKNOWN_PER_SECOND: u64 = 10;

/// How many refusals may still be recorded, and how many were not.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    known: Budget,
    unknown: Budget,
}

#[derive(Debug, Default)]
struct Budget {
    second: UnixTime,
    recorded: u64,
    left_out: u64,
}

impl Refusals {
    /// Whether a refusal is to be recorded, and how many before it of its kind were not.
    pub(crate) fn handle_refusal(&mut self, is_known: bool, now: UnixTime) -> Option<u64> {
        let (budget, most) = if is_known {
            (&mut self.known, KNOWN_PER_SECOND)
        } else {
            (&mut self.unknown, UNKNOWN_PER_SECOND)
        };
        if budget.second != now {
            budget.second = now;
            budget.recorded = 0;
        }
        if budget.recorded >= most {
            budget.left_out += 1;
            return None;
        }
        budget.recorded += 1;
        Some(std::mem::take(&mut budget.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_the_bound_refusals_are_counted_and_told_with_the_next() {
        let mut refusals = Refusals::default();
        let now = UnixTime(7);
        for _ in 0..UNKNOWN_PER_SECOND {
            assert_eq!(refusals.handle_refusal(false, now), Some(0));
        }
        for _ in 0..5 {
            assert_eq!(refusals.handle_refusal(false, now), None);
        }
        // Strangers take nothing from those who are known.
        assert_eq!(refusals.handle_refusal(true, now), Some(0));
        assert_eq!(refusals.handle_refusal(false, UnixTime(8)), Some(5));
        assert_eq!(refusals.handle_refusal(false, UnixTime(8)), Some(0));
    }
}
