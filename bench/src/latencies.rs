//! How long many things took: percentiles.

use std::{fmt, time::Duration};

/// Durations, each counted.
#[derive(Debug, Default)]
pub(crate) struct Latencies(Vec<Duration>);

impl Latencies {
    pub(crate) fn add(&mut self, took: Duration) {
        self.0.push(took);
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// The smallest that at least so many of a hundred do not exceed; nothing of nothing.
    fn percentile(sorted: &[Duration], percent: usize) -> Duration {
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().unwrap_or_default()
    }
}

impl fmt::Display for Latencies {
    /// Cells of a table: how many, p50, p90, p99 and the longest, milliseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        write!(f, "{}", sorted.len())?;
        for percent in [50, 90, 99, 100] {
            let millis = Self::percentile(&sorted, percent).as_secs_f64() * 1e3;
            write!(f, " | {millis:.2}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_those_that_were_measured() {
        let mut latencies = Latencies::default();
        for millis in (1..=200).rev() {
            latencies.add(Duration::from_millis(millis));
        }
        let shown = latencies.to_string();
        assert_eq!(shown, "200 | 100.00 | 180.00 | 198.00 | 200.00");
    }
}
