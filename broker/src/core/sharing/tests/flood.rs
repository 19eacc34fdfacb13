//! Clients that publish faster than another shard takes it.

use super::*;

/// More than any window.
const FLOOD: usize = 100_000;
/// What a window is in messages of one byte, at the least and at the most.
const WINDOW_MESSAGES: std::ops::RangeInclusive<usize> = 1_000..=4_096;

/// Publishes as long as the shard may read; how many messages that were.
fn flood(cluster: &mut Cluster, publisher: Client) -> usize {
    let may_read = |cluster: &Cluster| !cluster.shards[publisher.shard].is_congested();
    (0..FLOOD)
        .take_while(|_| {
            let reads = may_read(cluster);
            if reads {
                cluster.publish_with(publisher, "x", Delivery::AtMostOnce, after(0));
            }
            reads
        })
        .count()
}

fn received(cluster: &mut Cluster, client: Client) -> usize {
    let seen = cluster.sent(client);
    let messages = seen.iter().filter(|one| matches!(one, Seen::Message(_)));
    messages.count()
}

#[test]
fn a_flood_is_held_back_until_the_other_shard_has_taken_it_and_nothing_is_lost() {
    let mut cluster = Cluster::new(2, false);
    let publisher = cluster.connect(0, "publisher", 0, 10);
    let subscriber = cluster.connect(1, "subscriber", 0, 10);
    cluster.ask(subscriber, "t/+");
    cluster.settle();
    cluster.sent(subscriber);
    for _ in 0..3 {
        let count = flood(&mut cluster, publisher);
        assert!(WINDOW_MESSAGES.contains(&count), "{count}");
        let batch = cluster.shards[0].poll_outbound(1);
        assert!(
            cluster.shards[0].is_congested(),
            "what is on its way has not been taken"
        );
        cluster.shards[1].handle_batch(0, &batch, after(0));
        cluster.settle();
        assert!(!cluster.shards[0].is_congested());
        assert_eq!(received(&mut cluster, subscriber), count);
    }
}

#[test]
fn two_shards_that_flood_each_other_go_on_once_each_has_taken_the_others() {
    let mut cluster = Cluster::new(2, false);
    let clients = [0, 1].map(|shard| {
        let client = cluster.connect(shard, &format!("c{shard}"), 0, 10);
        cluster.ask(client, "t/+");
        client
    });
    cluster.settle();
    for client in clients {
        cluster.sent(client);
    }
    for _ in 0..3 {
        let published: usize = clients
            .map(|client| flood(&mut cluster, client))
            .iter()
            .sum();
        assert!(cluster.shards.iter().all(Shard::is_congested));
        cluster.settle();
        assert!(!cluster.shards.iter().any(Shard::is_congested));
        for client in clients {
            assert_eq!(received(&mut cluster, client), published);
        }
    }
}

#[test]
fn a_trickle_never_meets_the_window() {
    let mut cluster = Cluster::new(2, false);
    let publisher = cluster.connect(0, "publisher", 0, 10);
    let subscriber = cluster.connect(1, "subscriber", 0, 10);
    cluster.ask(subscriber, "t/+");
    cluster.settle();
    for _ in 0..3 * WINDOW_MESSAGES.end() {
        assert!(!cluster.shards[0].is_congested());
        cluster.publish_with(publisher, "x", Delivery::AtMostOnce, after(0));
        cluster.exchange(after(0));
    }
}
