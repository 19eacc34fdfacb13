//! What a PUBLISH pays for its authorization.

use criterion::{Criterion, criterion_group, criterion_main};
use std::{hint::black_box, sync::Arc};
use symbolon_ace_proto::{Claims, Confirmation, Scope, ScopeEntry, UnixTime};
use symbolon_broker::core::grant::{Grant, PublicTopics};
use symbolon_mqtt_proto::{TopicFilter, TopicName};

fn grant(filters: &[String]) -> Grant {
    let entry = |text: &String| ScopeEntry {
        filter: TopicFilter::parse(text).expect("a filter"),
        publish: true,
        subscribe: true,
    };
    let claims = Claims {
        issuer: "https://as.example".into(),
        subject: None,
        client_id: Some("sensor".into()),
        audience: vec!["mqtts://broker.example".into()],
        expires_at: UnixTime(u64::MAX),
        not_before: None,
        issued_at: None,
        token_identifier: None,
        scope: Scope::from_entries(filters.iter().map(entry).collect()),
        expires_in_secs: None,
        client_nonce: None,
        confirmation: Confirmation::KeyIdentifier(vec![1]),
    };
    Grant::compile(&claims, [0; 32], Arc::new(PublicTopics::default()))
}

/// Twenty filters that begin alike, as those of one site do.
fn alike() -> Vec<String> {
    let exact = (0..8).map(|i| format!("site/hall3/press{i:02}/temperature"));
    let below = (8..12).map(|i| format!("site/hall3/press{i:02}/#"));
    let plus = (12..16).map(|i| format!("site/hall3/press{i:02}/+/set"));
    let mixed = (16..20).map(|i| format!("site/+/press{i:02}/+/log/#"));
    exact.chain(below).chain(plus).chain(mixed).collect()
}

/// Twenty filters that have nothing in common.
fn unlike() -> Vec<String> {
    let name = |i: usize| ["alpha", "bravo", "delta", "gamma", "kappa"][i % 5];
    (0..20)
        .map(|i| match i % 4 {
            0 => format!("{}{i}/line/temperature/now", name(i)),
            1 => format!("{}{i}/line/#", name(i)),
            2 => format!("{}{i}/+/temperature/+", name(i)),
            _ => format!("+/{}{i}/+/temperature", name(i)),
        })
        .collect()
}

/// What is asked, of which scope, and whether it is permitted.
const CASES: [(&str, Scope20, &str, bool); 13] = [
    (
        "first",
        Scope20::Alike,
        "site/hall3/press00/temperature",
        true,
    ),
    (
        "last exact",
        Scope20::Alike,
        "site/hall3/press07/temperature",
        true,
    ),
    ("#", Scope20::Alike, "site/hall3/press11/temperature", true),
    ("+", Scope20::Alike, "site/hall3/press15/setpoint/set", true),
    (
        "last, + and #",
        Scope20::Alike,
        "site/hall4/press19/motor/log/a",
        true,
    ),
    (
        "miss at the end",
        Scope20::Alike,
        "site/hall3/press07/temperaturX",
        false,
    ),
    (
        "miss in the middle",
        Scope20::Alike,
        "site/hall3/drill07/temperature",
        false,
    ),
    (
        "miss at the start",
        Scope20::Alike,
        "plant/hall3/press7/temperature",
        false,
    ),
    (
        "unlike: first",
        Scope20::Unlike,
        "alpha0/line/temperature/now",
        true,
    ),
    (
        "unlike: #",
        Scope20::Unlike,
        "kappa9/line/temperature/now/a",
        true,
    ),
    (
        "unlike: +",
        Scope20::Unlike,
        "kappa14/line7/temperature/now",
        true,
    ),
    (
        "unlike: last, two +",
        Scope20::Unlike,
        "site/kappa19/x/temperature",
        true,
    ),
    (
        "unlike: miss",
        Scope20::Unlike,
        "zulu/line/temperature/nowhere",
        false,
    ),
];

/// A scope of twenty filters.
#[derive(Clone, Copy)]
enum Scope20 {
    Alike,
    Unlike,
}

fn checks(c: &mut Criterion) {
    let mut group = c.benchmark_group("grant check, scope of 20 filters");
    let alike = grant(&alike());
    let unlike = grant(&unlike());
    let cases = CASES.map(|(name, scope, topic, permitted)| {
        let grant = match scope {
            Scope20::Alike => &alike,
            Scope20::Unlike => &unlike,
        };
        let topic = TopicName::parse(topic).expect("a topic");
        assert_eq!(grant.permits_publish(topic), permitted, "{name}");
        (name, grant, topic)
    });
    for (name, grant, topic) in cases {
        group.bench_function(name, |b| {
            b.iter(|| black_box(grant).permits_publish(black_box(topic)));
        });
    }
    // In no order, so that the processor cannot learn one topic by heart.
    let mut i = 0_usize;
    group.bench_function("all in turn", |b| {
        b.iter(|| {
            i = i
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let (_, grant, topic) = cases[(i >> 40) % cases.len()];
            black_box(grant).permits_publish(black_box(topic))
        });
    });
    group.finish();
}

fn others(c: &mut Criterion) {
    let alike = alike();
    let compiled = grant(&alike);
    let filter = TopicFilter::parse("site/hall4/press19/+/log/a").expect("a filter");
    c.bench_function(
        "grant check of a subscription, the last of 20 filters",
        |b| {
            b.iter(|| black_box(&compiled).permits_subscribe(black_box(&filter)));
        },
    );
    c.bench_function("grant compile, 20 filters", |b| {
        b.iter(|| grant(black_box(&alike)));
    });
}

criterion_group!(benches, checks, others);
criterion_main!(benches);
