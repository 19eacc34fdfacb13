//! What was measured, and its medians. The first broker is the one that the others are compared with.

pub(crate) mod chart;
pub(crate) mod lines;
pub(crate) mod table;

use crate::scenario::Figure;
use std::collections::BTreeMap;

/// One line of the table.
pub(crate) type Row = (&'static str, Figure);

/// All numbers of all rounds.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    /// In the order in which they were first measured.
    rows: Vec<Row>,
    values: BTreeMap<(&'static str, Figure, String), Vec<f64>>,
}

impl Measured {
    /// What one run has given.
    pub(crate) fn add(&mut self, scenario: &'static str, broker: &str, figures: &[(Figure, f64)]) {
        for (figure, value) in figures {
            if !self.rows.contains(&(scenario, *figure)) {
                self.rows.push((scenario, *figure));
            }
            let key = (scenario, *figure, broker.to_owned());
            self.values.entry(key).or_default().push(*value);
        }
    }

    /// The median of the rounds.
    fn median(&self, (scenario, figure): Row, broker: &str) -> Option<f64> {
        let key = (scenario, figure, broker.to_owned());
        median(self.values.get(&key)?)
    }

    /// How many times better the median of `broker` is than that of the broker compared with.
    fn ratio(&self, row: Row, broker: &str, compared_with: &str) -> Option<f64> {
        let (value, than) = (self.median(row, broker)?, self.median(row, compared_with)?);
        Some(row.1.ratio(value, than))
    }
}

/// The one in the middle, or between the two there; of nothing there is none.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get((values.len() - 1) / 2)?;
    Some(f64::midpoint(lower, upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_above_one_is_better_whether_more_is_better_or_less() {
        let mut measured = Measured::default();
        for (broker, deliveries, memory) in [("a", 10.0, 8.0), ("b", 30.0, 2.0)] {
            for off in [-1.0, 0.0, 1.0] {
                let figure = Figure::DeliveriesPerCpuSec;
                measured.add("s", broker, &[(figure, deliveries + off)]);
            }
            measured.add("s", broker, &[(Figure::KibPerConnection, memory)]);
        }
        let ratio = |figure| measured.ratio(("s", figure), "b", "a");
        assert_eq!(ratio(Figure::DeliveriesPerCpuSec), Some(3.0));
        assert_eq!(ratio(Figure::KibPerConnection), Some(4.0));
        assert_eq!(ratio(Figure::MedianMicros), None);
    }
}
