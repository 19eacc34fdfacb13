//! What routing pays, from ten subscriptions to a million.

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::{hint::black_box, time::Duration};
use symbolon_broker::core::{
    hash_seed::HashSeed, retained::Retained, subscriptions::Subscriptions, wheel::Wheel,
};
use symbolon_mqtt_proto::{TopicFilter, TopicName};

const SIZES: [u32; 4] = [10, 1000, 100_000, 1_000_000];
/// Topics asked in turn: what they touch of a million subscriptions does not fit into any cache.
const ASKED: usize = 262_144;

type Map = Subscriptions<u32, u64>;

fn seed() -> HashSeed {
    HashSeed::from_words([1, 2, 3, 4])
}

fn filter(text: &str) -> TopicFilter {
    TopicFilter::parse(text).expect("a filter")
}

/// Spreads numbers, always the same way.
fn spread(i: u32) -> u32 {
    i.wrapping_mul(2_654_435_761)
}

fn device(i: u32, end: &str) -> String {
    format!("devices/{:08x}/{end}", spread(i))
}

fn map(size: u32, end: &str) -> Map {
    let mut map = Map::new(seed());
    for key in 0..size {
        map.insert(&filter(&device(key, end)), key, 0);
    }
    map
}

/// Topics of existing devices, in no order.
fn topics(size: u32, end: &str) -> Vec<String> {
    (0..ASKED)
        .map(|i| device(spread(u32::try_from(i).expect("small") ^ 0x55) % size, end))
        .collect()
}

fn matching(c: &mut Criterion) {
    let mut group = c.benchmark_group("match");
    for (kind, end, asked) in [
        ("exact", "status/cmd", "status/cmd"),
        ("wildcard", "+/cmd", "status/cmd"),
        ("wildcard, miss", "+/cmd", "status/other"),
    ] {
        for size in SIZES {
            let map = map(size, end);
            let texts = topics(size, asked);
            let topics: Vec<_> = texts
                .iter()
                .map(|text| TopicName::parse(text).expect("a topic"))
                .collect();
            let mut i = 0;
            group.bench_function(BenchmarkId::new(kind, size), |b| {
                b.iter(|| {
                    i = (i + 1) % ASKED;
                    let mut seen = 0;
                    map.for_each_match(topics[i], |key, value| seen += u64::from(key) + value);
                    seen
                });
            });
        }
    }
    group.finish();
}

fn changing(c: &mut Criterion) {
    let mut group = c.benchmark_group("remove and insert");
    for (kind, end) in [("exact", "status/cmd"), ("wildcard", "+/cmd")] {
        for size in SIZES {
            let mut map = map(size, end);
            let filters: Vec<_> = topics(size, end).iter().map(|text| filter(text)).collect();
            let mut i = 0;
            group.bench_function(BenchmarkId::new(kind, size), |b| {
                b.iter(|| {
                    i = (i + 1) % ASKED;
                    let key = spread(u32::try_from(i).expect("small") ^ 0x55) % size;
                    let value = map.remove(&filters[i], key);
                    map.insert(&filters[i], key, value.expect("it was there"))
                });
            });
        }
    }
    for size in [500, 100_000] {
        let mut map = Map::new(seed());
        let filter = filter("all/+");
        for key in 0..size {
            map.insert(&filter, key, 0);
        }
        let mut i = 0;
        group.bench_function(BenchmarkId::new("one filter", size), |b| {
            b.iter(|| {
                i += 1;
                let key = spread(i) % size;
                map.remove(&filter, key);
                map.insert(&filter, key, 0)
            });
        });
    }
    group.finish();

    let mut group = c.benchmark_group("build");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(5));
    for (kind, end) in [("exact", "status/cmd"), ("wildcard", "+/cmd")] {
        let filters: Vec<_> = (0..1_000_000).map(|i| filter(&device(i, end))).collect();
        group.throughput(Throughput::Elements(1_000_000));
        group.bench_function(BenchmarkId::new(kind, 1_000_000), |b| {
            b.iter_batched(
                || Map::new(seed()),
                |mut map| {
                    for (key, filter) in (0..).zip(&filters) {
                        map.insert(filter, key, 0);
                    }
                    map
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

fn fan_out(c: &mut Criterion) {
    let mut group = c.benchmark_group("fan-out");
    for size in [500, 100_000] {
        let mut map = Map::new(seed());
        for key in 0..size {
            map.insert(&filter("all/+"), key, 0);
        }
        let topic = TopicName::parse("all/news").expect("a topic");
        group.throughput(Throughput::Elements(u64::from(size)));
        group.bench_function(BenchmarkId::from_parameter(size), |b| {
            b.iter(|| {
                let mut seen = 0;
                map.for_each_match(topic, |key, _| seen += u64::from(black_box(key)));
                seen
            });
        });
    }
    group.finish();
}

fn retaining(c: &mut Criterion) {
    let mut group = c.benchmark_group("retained");
    for size in SIZES {
        let mut retained = Retained::new(seed());
        for key in 0..size {
            retained.insert(&device(key, "state"), key);
        }
        let texts = topics(size, "state");
        let filters: Vec<_> = topics(size, "+").iter().map(|text| filter(text)).collect();
        let mut i = 0;
        group.bench_function(BenchmarkId::new("replace", size), |b| {
            b.iter(|| {
                i = (i + 1) % ASKED;
                retained.insert(&texts[i], 7)
            });
        });
        group.bench_function(BenchmarkId::new("remove and insert", size), |b| {
            b.iter(|| {
                i = (i + 1) % ASKED;
                let message = retained.remove(&texts[i]);
                retained.insert(&texts[i], message.expect("it was there"))
            });
        });
        group.bench_function(BenchmarkId::new("match devices/ID/+", size), |b| {
            b.iter(|| {
                i = (i + 1) % ASKED;
                let mut seen = 0;
                retained.for_each_match(&filters[i], |_, message| seen += *message);
                seen
            });
        });
        for wide in ["#", "devices/+/state"] {
            let filter = filter(wide);
            group.bench_function(BenchmarkId::new(format!("match {wide}"), size), |b| {
                b.iter(|| {
                    let mut seen = 0_u32;
                    retained.for_each_match(&filter, |topic, message| {
                        seen = seen.wrapping_add(*message + u32::from(topic.as_bytes()[9]));
                    });
                    seen
                });
            });
        }
    }
    group.finish();
}

fn timing(c: &mut Criterion) {
    let mut group = c.benchmark_group("wheel");
    for size in SIZES {
        let mut wheel = Wheel::new(0);
        let mut now: u64 = 0;
        let after = |i: u32| u64::from(spread(i) % 300_000);
        let mut keys: Vec<_> = (0..size).map(|i| wheel.insert(after(i), i)).collect();
        let mut i = 0;
        group.bench_function(BenchmarkId::new("cancel and insert", size), |b| {
            b.iter(|| {
                i += 1;
                let place = (spread(i) % size) as usize;
                wheel.cancel(keys[place]);
                keys[place] = wheel.insert(now + after(i), i);
            });
        });
        let mut out = Vec::new();
        group.bench_function(BenchmarkId::new("advance 10 ms, all set anew", size), |b| {
            b.iter(|| {
                now += 10;
                wheel.advance(now, &mut out);
                for item in out.drain(..) {
                    wheel.insert(now + after(item), item);
                }
                wheel.next_deadline()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, matching, changing, fan_out, retaining, timing);
criterion_main!(benches);
