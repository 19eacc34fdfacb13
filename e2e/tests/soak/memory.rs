//! What a process holds in memory, and how many files it may have open.

use std::{fs, io, process};

/// What `/proc/PID/status` says, KiB.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    /// All that is resident.
    pub(crate) resident: u64,
    /// What the process has allocated. The rest is the kernel's cache of files: the program itself, and of the store what was written.
    pub(crate) own: u64,
}

impl Memory {
    /// Of the process `id`, which must run.
    pub(crate) fn of(id: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.unwrap().trim_end_matches(" kB").trim();
            number.parse().unwrap()
        };
        Self {
            resident: kib("VmRSS:"),
            own: kib("RssAnon:"),
        }
    }

    /// What is above `before` for each of `count`, bytes.
    pub(crate) fn above(self, before: Self, count: usize) -> u64 {
        self.own.saturating_sub(before.own) * 1024 / count as u64
    }
}

impl std::fmt::Display for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { resident, own } = self;
        write!(f, "{own} KiB its own, {resident} KiB resident")
    }
}

/// Lets this process, and what it starts from now on, have `wanted` files open at once.
///
/// # Panics
/// Where the hard limit is lower, or the program `prlimit` is not there.
pub(crate) fn allow_files(wanted: u64) {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let mut bounds = line.unwrap().split_whitespace().map(|bound| {
        // The other thing it can say is `unlimited`.
        bound.parse().unwrap_or(u64::MAX)
    });
    let (soft, hard) = (bounds.next().unwrap(), bounds.next().unwrap());
    assert!(
        hard >= wanted,
        "{wanted} open files are needed, and the hard limit is {hard}: raise it (`ulimit -Hn {wanted}` as root), or ask for fewer connections"
    );
    if soft < wanted {
        raise(wanted).unwrap_or_else(|error| panic!("prlimit (util-linux) does not run: {error}"));
    }
}

fn raise(wanted: u64) -> io::Result<()> {
    let raised = process::Command::new("prlimit")
        .arg(format!("--pid={}", process::id()))
        .arg(format!("--nofile={wanted}:"))
        .status()?;
    assert!(
        raised.success(),
        "prlimit cannot raise the limit of open files to {wanted}"
    );
    Ok(())
}
