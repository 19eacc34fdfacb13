//! A process that is killed while it writes. The test's own program, started again, is that process.

use crate::site::{self, FORMAT, Site, put, settings};
use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};
use symbolon_store_lmdb::{ReadError, Reader, Store};

/// Where the process that writes finds its store; set for that process alone.
const DIRECTORY: &str = "STORE_LMDB_TEST_DIRECTORY";

/// The program again, for one test of it.
pub(crate) fn again(test: &str, directory: &Path) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args([
            test,
            "--exact",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

/// The directory, in the process that writes.
pub(crate) fn directory_of_writer() -> Option<String> {
    env::var(DIRECTORY).ok()
}

/// Says on standard output what may be relied upon.
pub(crate) fn acknowledge(what: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "ack {what}").unwrap();
    out.flush().unwrap();
}

/// The acknowledgements of a process.
pub(crate) fn acknowledgements(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    let out = BufReader::new(child.stdout.take().unwrap());
    // The harness writes its own words before the first one.
    out.lines().map_while(Result::ok).filter_map(|line| {
        let at = line.find("ack ")?;
        Some(line[at + 4..].to_owned())
    })
}

#[test]
#[ignore = "the process that is killed"]
fn writes_until_it_is_killed() {
    let Some(directory) = directory_of_writer() else {
        return;
    };
    let mut settings = settings(directory.as_ref());
    settings.max_bytes = 1 << 30;
    let mut store = Store::open(&settings, 0).unwrap().store;
    let first = site::all(&store).len() as u32;
    for number in first.. {
        // It is replaced all the time, so that pages become free and are used again.
        let changing = put(b"changing", &vec![number as u8; number as usize % 5_000]);
        let keys = put(&number.to_be_bytes(), &[number as u8; 150]);
        store.write(&[changing, keys]).unwrap();
        acknowledge(&number.to_string());
    }
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let site = Site::new();
    let mut acknowledged: Option<u32> = None;
    for round in 0_u64..12 {
        let mut child = again("crash::writes_until_it_is_killed", site.path())
            .spawn()
            .unwrap();
        let lines = acknowledgements(&mut child);
        let mut lines = lines.map(|line| line.parse::<u32>().unwrap());
        let first = lines.next().unwrap();
        std::thread::sleep(Duration::from_micros(1_700 * round));
        child.kill().unwrap();
        acknowledged = Some(lines.last().unwrap_or(first));
        child.wait().unwrap();
        let store = site.store();
        let records = site::all(&store);
        let numbers = records.iter().filter(|(key, _)| key.len() == 4);
        let numbers: Vec<u32> = numbers
            .map(|(key, value)| {
                let number = u32::from_be_bytes(key.as_slice().try_into().unwrap());
                assert_eq!(*value, [number as u8; 150]);
                number
            })
            .collect();
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(numbers.last() >= acknowledged.as_ref(), "{acknowledged:?}");
        let (_, changing) = records.iter().find(|(key, _)| key == b"changing").unwrap();
        let last = *numbers.last().unwrap();
        assert_eq!(
            *changing,
            vec![last as u8; last as usize % 5_000],
            "groups are whole"
        );
    }
    assert!(acknowledged > Some(12), "{acknowledged:?}");
}

#[test]
fn another_process_reads_one_moment_while_the_store_is_written() {
    let site = Site::new();
    let mut child = again("crash::writes_until_it_is_killed", site.path())
        .spawn()
        .unwrap();
    let mut lines = acknowledgements(&mut child);
    for _ in 0..20 {
        let known: usize = lines.next().unwrap().parse().unwrap();
        let reader = Reader::open(site.path(), FORMAT).unwrap();
        let read = || {
            let mut records = Vec::new();
            reader
                .for_each("things", &mut |key, value| {
                    records.push((key.to_vec(), value.len()));
                    Ok::<(), ReadError>(())
                })
                .unwrap();
            records
        };
        let first = read();
        assert!(first.len() > known, "{} of {known}", first.len());
        for _ in 0..50 {
            lines.next().unwrap();
        }
        assert_eq!(
            read(),
            first,
            "meanwhile it was written, and this moment stays"
        );
    }
    child.kill().unwrap();
    child.wait().unwrap();
}
