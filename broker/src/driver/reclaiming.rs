//! Memory that a peak took goes back to the system once it is over.

use super::shard::Common;
use crate::{core::counters::Count, management::published::sum};
use std::{sync::Arc, time::Duration};
use symbolon_mqtt_proto::Qos;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

/// How often it is looked whether a peak is over.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// It is over when less than one part in so many goes on of what went on at its highest.
const CALM: u64 = 20;
/// Less than this in one look is no peak: messages and bytes received.
const PEAK_FROM: u64 = 100_000;
/// So many clients fewer than at the most are the end of a peak too.
const CLIENTS_FEWER: u64 = 1_000;
/// Where it never becomes calm, freed memory is given back this often.
const AT_LEAST_EVERY: Duration = Duration::from_hours(1);

/// What went on since memory was given back last.
struct Activity {
    total: u64,
    highest: u64,
    most_clients: u64,
    given_back: Instant,
}

/// Watches until shutdown. Giving back takes milliseconds in which shards may have to wait, so it is done when little is going on.
pub(crate) async fn run(common: Arc<Common>, mut shutdown: watch::Receiver<bool>) {
    let mut activity = Activity {
        total: activity_of(&common),
        highest: 0,
        most_clients: 0,
        given_back: Instant::now(),
    };
    loop {
        tokio::select! {
            () = sleep(LOOK_EVERY) => {}
            ended = shutdown.changed() => {
                if ended.is_err() || *shutdown.borrow() {
                    return;
                }
            }
        }
        let clients = sum(&common.published, Count::Clients);
        if activity.is_time(activity_of(&common), clients) {
            let gave = symbolon_reclaim::give_back_freed_memory();
            tracing::debug!(gave, "freed memory given back");
        }
    }
}

impl Activity {
    fn is_time(&mut self, total: u64, clients: u64) -> bool {
        let now_going_on = total.saturating_sub(self.total);
        self.total = total;
        let was_busy = self.highest >= PEAK_FROM;
        let is_calm = now_going_on <= self.highest / CALM;
        self.highest = self.highest.max(now_going_on);
        let is_late = self.given_back.elapsed() >= AT_LEAST_EVERY;
        self.most_clients = self.most_clients.max(clients);
        let many_left = self.most_clients - clients >= CLIENTS_FEWER;
        let is_time = (was_busy && (is_calm || is_late)) || (many_left && is_calm);
        if is_time {
            self.highest = 0;
            self.most_clients = clients;
            self.given_back = Instant::now();
        }
        is_time
    }
}

/// Grows with everything that takes memory: messages in and out, connections come and gone.
fn activity_of(common: &Common) -> u64 {
    let each = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce]
        .into_iter()
        .flat_map(|qos| [Count::Received(qos), Count::Sent(qos)])
        .chain([Count::BytesReceived]);
    each.map(|what| sum(&common.published, what)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new() -> Activity {
        Activity {
            total: 0,
            highest: 0,
            most_clients: 0,
            given_back: Instant::now(),
        }
    }

    #[test]
    fn memory_is_given_back_once_after_a_peak() {
        let mut activity = new();
        assert!(!activity.is_time(0, 0));
        assert!(!activity.is_time(100_000, 0));
        assert!(!activity.is_time(150_000, 0));
        assert!(activity.is_time(151_000, 0));
        assert!(!activity.is_time(151_000, 0));
    }

    #[test]
    fn memory_is_given_back_when_many_clients_have_left() {
        let mut activity = new();
        assert!(!activity.is_time(0, 5_000));
        assert!(!activity.is_time(0, 4_500));
        assert!(activity.is_time(0, 3_000));
        assert!(!activity.is_time(0, 3_000));
    }

    #[test]
    fn nothing_is_given_back_while_as_much_goes_on_as_before() {
        let mut activity = new();
        for step in 1..100 {
            assert!(!activity.is_time(step * 1_000_000, 0));
        }
    }
}
