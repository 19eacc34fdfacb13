//! How many values are written and deleted a second, in groups of 64.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use std::path::Path;
use symbolon_store_lmdb::{Settings, Store, Sync, Table, Write};

const GROUP: u64 = 64;
const VALUE_BYTES: usize = 150;
/// Groups that stand before one is deleted.
const STANDING: u64 = 1_000;

fn open(directory: &Path, sync: Sync) -> Store {
    let settings = Settings {
        directory: &directory.join("store"),
        tables: &["messages"],
        format: 1,
        max_bytes: 8 << 30,
        sync,
    };
    Store::open(&settings, 0).expect("a fresh directory").store
}

/// As messages of 64 clients: one more at the end of each.
fn keys(group: u64) -> impl Iterator<Item = Vec<u8>> {
    (0..GROUP).map(move |client| [client.to_be_bytes(), group.to_be_bytes()].concat())
}

fn puts(group: u64) -> Vec<Write> {
    let put = |key| Write::Put {
        table: Table(0),
        key,
        value: vec![7; VALUE_BYTES],
    };
    keys(group).map(put).collect()
}

fn deletes(group: u64) -> Vec<Write> {
    let delete = |key| Write::Delete {
        table: Table(0),
        key,
    };
    keys(group).map(delete).collect()
}

fn writes(criterion: &mut Criterion) {
    for (name, sync) in [
        ("process-crash", Sync::ProcessCrash),
        ("power-loss", Sync::PowerLoss),
    ] {
        let mut benches = criterion.benchmark_group(name);
        benches.throughput(Throughput::Elements(GROUP));
        let directory = tempfile::tempdir().expect("a directory");
        let mut store = open(directory.path(), sync);
        // Standing ones at first, so that puts and deletes meet a tree with some depth.
        for group in 0..STANDING {
            store.write(&puts(group)).expect("there is room");
        }
        let (mut next, mut oldest) = (STANDING, 0);
        benches.bench_function("put 64 and delete 64", |bencher| {
            bencher.iter(|| {
                store.write(&puts(next)).expect("there is room");
                store.write(&deletes(oldest)).expect("it can be deleted");
                next += 1;
                oldest += 1;
            });
        });
        benches.bench_function("put 64", |bencher| {
            bencher.iter_batched(
                || {
                    next += 1;
                    puts(next)
                },
                |group| store.write(&group).expect("there is room"),
                BatchSize::SmallInput,
            );
        });
    }
}

criterion_group!(benches, writes);
criterion_main!(benches);
