//! How long changes take, and how many fail.

use super::{Store, StoreError};
use prometheus_client::metrics::{counter::Counter, family::Family, histogram::Histogram};
use tokio::time::Instant;

type Label = [(&'static str, &'static str); 1];

/// Counted at the two points that every change goes through.
#[derive(Clone)]
pub(crate) struct DatabaseTimes {
    pub(crate) seconds: Family<Label, Histogram>,
    pub(crate) errors: Family<Label, Counter>,
}

impl Default for DatabaseTimes {
    fn default() -> Self {
        let new: fn() -> Histogram = || Histogram::new(crate::metrics::SECONDS);
        let times = Self {
            seconds: Family::new_with_constructor(new),
            errors: Family::default(),
        };
        for operation in ["begin", "commit"] {
            // Once touched, it is there with 0.
            drop(times.errors.get_or_create(&[("operation", operation)]));
        }
        times
    }
}

impl DatabaseTimes {
    /// Counts what came of `operation`, which began then.
    pub(super) fn observe<T, E>(
        &self,
        operation: &'static str,
        begin: Instant,
        result: Result<T, E>,
    ) -> Result<T, E> {
        let label = [("operation", operation)];
        let seconds = begin.elapsed().as_secs_f64();
        self.seconds.get_or_create(&label).observe(seconds);
        if result.is_err() {
            self.errors.get_or_create(&label).inc();
        }
        result
    }
}

impl Store {
    /// Counted since it was opened.
    pub(crate) fn times(&self) -> &DatabaseTimes {
        self.database.times()
    }

    /// Asks the database something, to see whether it answers.
    pub(crate) async fn ping(&self) -> Result<(), StoreError> {
        self.database.ping().await
    }
}
