//! Makes the values of `$SYS` out of what all shards published, on one shard.

use super::shard::{Common, ShardHandle};
use crate::{
    core::{
        counters::{Count, Dropped},
        figures::{Board, Figures},
    },
    management::published::{most, sum},
};
use std::{
    rc::Rc,
    time::{Duration, Instant},
};
use symbolon_mqtt_proto::Qos;
use tokio::time::sleep;

/// How often it is looked whether values are due, and how many clients there are.
const GLANCE: Duration = Duration::from_secs(1);

/// Publishes the values each interval, until the shard ends.
pub(super) async fn publish(shard: Rc<ShardHandle>) {
    let mut board = Board::default();
    let mut last: Option<Instant> = None;
    loop {
        let interval_secs = shard.common.rules.load().sys_interval_secs;
        let interval = Duration::from_secs(interval_secs.into());
        let elapsed = last.map(|last| last.elapsed());
        let figures = shard.common.figures();
        board.note_clients(figures.clients);
        let values = if interval.is_zero() {
            last = None;
            board.clear()
        } else if elapsed.is_none_or(|elapsed| elapsed + GLANCE / 2 >= interval) {
            last = Some(Instant::now());
            board.update(&figures, elapsed.unwrap_or_default())
        } else {
            Vec::new()
        };
        if !values.is_empty() {
            shard.with_core(|core, now| core.handle_system_values(&values, now));
        }
        sleep(GLANCE).await;
    }
}

impl Common {
    fn figures(&self) -> Figures {
        let sum = |what| sum(&self.published, what);
        let of_qos = |count: fn(Qos) -> Count| {
            let all = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];
            all.into_iter().map(|qos| sum(count(qos))).sum::<u64>()
        };
        let publishes_received = of_qos(Count::Received);
        let publishes_sent = of_qos(Count::Sent);
        let dropped = Dropped::ALL.iter();
        Figures {
            uptime_secs: self.started.elapsed().as_secs(),
            clients: sum(Count::Clients),
            sessions: sum(Count::Sessions),
            session_expiries: sum(Count::SessionExpiries),
            packets_received: publishes_received + sum(Count::OtherReceived),
            packets_sent: publishes_sent + sum(Count::OtherSent),
            publishes_received,
            publishes_sent,
            publishes_dropped: dropped.map(|(why, _)| sum(Count::Dropped(*why))).sum(),
            payload_received: sum(Count::PayloadReceived),
            payload_sent: sum(Count::PayloadSent),
            bytes_received: sum(Count::BytesReceived),
            bytes_sent: sum(Count::BytesSent),
            subscriptions: sum(Count::Subscriptions),
            shared_subscriptions: sum(Count::SharedSubscriptions),
            retained_messages: most(&self.published, Count::RetainedMessages),
        }
    }
}
