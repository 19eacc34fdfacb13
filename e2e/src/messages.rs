//! A subscriber that is to get something, and the publisher it gets it from.

use crate::program::{Command, Finished, wait_for};
use std::time::Duration;

/// How long a message may take, from the start of both programs.
const MESSAGE_LIMIT: Duration = Duration::from_secs(30);
const BETWEEN_MESSAGES: Duration = Duration::from_millis(200);

/// Publishes again and again until the subscriber, which must end by itself after what it waits for, has ended: so no one needs to know
/// when it has subscribed.
///
/// # Panics
/// Where a publish fails, or the subscriber does not end in time.
pub fn exchange(subscriber: Command, publisher: impl Fn() -> Command) -> Finished {
    let mut subscriber = subscriber.start();
    wait_for(MESSAGE_LIMIT, || {
        if subscriber.ended().is_none() {
            publisher().run().success();
            std::thread::sleep(BETWEEN_MESSAGES);
        }
        subscriber.ended()
    });
    subscriber.finish(Duration::ZERO)
}
