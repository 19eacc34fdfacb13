//! What a connection pays to find its stored token among 100,000.

use criterion::{Criterion, criterion_group, criterion_main};
use std::{hint::black_box, sync::Arc};
use symbolon_ace_proto::{Claims, Confirmation, PopKey, Scope, SymmetricKey, UnixTime};
use symbolon_broker::core::{
    grant::{Grant, PublicTopics},
    stored_tokens::{Capacity, StoredToken, StoredTokens, Thumbprint},
};

const TOKENS: u32 = 100_000;
const NOW: UnixTime = UnixTime(1_800_000_000);
/// The defaults of the broker.
const CAPACITY: Capacity = Capacity {
    tokens: 100_000,
    bytes: 256 * 1024 * 1024,
};

/// Whose tokens they are.
const ISSUER: &str = "https://as.example";

fn name(number: u32) -> String {
    format!("client-{number}")
}

fn token(number: u32) -> StoredToken {
    let mut bytes = [0x5a; 32];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    let key = PopKey::Hs256(SymmetricKey::from_bytes(&bytes));
    let scope = r#"[["site/hall/press/+/set",["sub"]],["site/hall/press/temperature",["pub"]]]"#;
    let claims = Claims {
        issuer: ISSUER.into(),
        subject: Some(name(number)),
        client_id: None,
        audience: vec!["mqtts://broker.example".into()],
        expires_at: NOW.plus_secs(3_600),
        expires_in_secs: None,
        not_before: None,
        issued_at: Some(NOW),
        token_identifier: None,
        scope: Scope::from_json(scope).expect("a scope"),
        confirmation: Confirmation::KeyIdentifier(vec![1]),
        client_nonce: None,
    };
    let grant = Grant::compile(&claims, key.thumbprint(), Arc::new(PublicTopics::default()));
    StoredToken {
        key_identifier: Some(name(number).into_bytes().into()),
        ..StoredToken::new(grant, key, 700)
    }
}

fn lookups(criterion: &mut Criterion) {
    let stored = StoredTokens::default();
    let mut thumbprints: Vec<Thumbprint> = Vec::new();
    for number in 0..TOKENS {
        let token = token(number);
        thumbprints.push(token.key.thumbprint());
        stored.insert(token, CAPACITY, NOW).expect("there is room");
    }
    assert!(stored.bytes() <= CAPACITY.bytes);
    println!("{TOKENS} tokens count for {} bytes", stored.bytes());
    let names: Vec<String> = (0..TOKENS).map(name).collect();
    // A step that visits all in an order that no cache foresees.
    let mut at = 0;
    let mut next = move || {
        at = (at + 61_803) % TOKENS as usize;
        at
    };
    criterion.bench_function("stored_tokens/by_key", |bencher| {
        bencher.iter(|| black_box(stored.by_key(ISSUER, &thumbprints[next()], NOW)).is_some());
    });
    criterion.bench_function("stored_tokens/by_name", |bencher| {
        bencher.iter(|| black_box(stored.by_name(ISSUER, &names[next()], NOW)).is_some());
    });
    criterion.bench_function("stored_tokens/by_key_identifier", |bencher| {
        bencher.iter(|| {
            black_box(stored.by_key_identifier(ISSUER, names[next()].as_bytes(), NOW)).is_some()
        });
    });
    criterion.bench_function("stored_tokens/not_there", |bencher| {
        bencher.iter(|| black_box(stored.by_name(ISSUER, "nobody", NOW)).is_none());
    });
}

criterion_group!(benches, lookups);
criterion_main!(benches);
