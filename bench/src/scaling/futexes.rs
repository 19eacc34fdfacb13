//! How often the shards of a broker go to the kernel for a lock: `futex` calls, counted by strace. Other threads of the process are left out: those
//! of the authorization server have timers of their own.

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// How long strace may take to attach, and to end.
const LIMIT: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(20);

/// Their threads' names begin so.
const SHARD: &str = "shard-";

/// At work.
#[derive(Debug)]
pub(super) struct Watch {
    strace: Child,
    directory: tempfile::TempDir,
}

impl Watch {
    /// Attaches to the shards of a process; nothing where there is no strace.
    pub(super) fn attach(process: u32) -> anyhow::Result<Option<Self>> {
        let directory = tempfile::tempdir()?;
        let shards = shards(process)?;
        let mut command = Command::new("strace");
        command.args(["-c", "-e", "trace=futex"]);
        for shard in &shards {
            command.arg("-p").arg(shard.file_name().context("a task")?);
        }
        let spawned = command
            .arg("-o")
            .arg(directory.path().join("calls"))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(strace) = spawned else {
            return Ok(None);
        };
        let watch = Self { strace, directory };
        let began = Instant::now();
        for shard in &shards {
            while !is_traced(shard)? {
                ensure!(began.elapsed() < LIMIT, "strace does not attach");
                sleep(LOOK);
            }
        }
        Ok(Some(watch))
    }

    /// How many calls there were.
    pub(super) fn finish(mut self) -> anyhow::Result<u64> {
        let strace = Pid::from_child(&self.strace);
        kill_process(strace, Signal::INT)?;
        let began = Instant::now();
        while self.strace.try_wait()?.is_none() {
            ensure!(began.elapsed() < LIMIT, "strace does not end");
            sleep(LOOK);
        }
        let written = fs::read_to_string(self.directory.path().join("calls"))?;
        calls(&written)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // One that has ended cannot be ended again, which is as well.
        if self.strace.kill().is_ok() {
            self.strace.wait().ok();
        }
    }
}

/// The threads that are shards, as directories in `/proc`.
fn shards(process: u32) -> anyhow::Result<Vec<PathBuf>> {
    let tasks = Path::new("/proc").join(process.to_string()).join("task");
    let mut shards = Vec::new();
    for task in fs::read_dir(tasks)? {
        let task = task?.path();
        if fs::read_to_string(task.join("comm"))?.starts_with(SHARD) {
            shards.push(task);
        }
    }
    ensure!(!shards.is_empty(), "no thread is a shard");
    Ok(shards)
}

fn is_traced(task: &Path) -> anyhow::Result<bool> {
    let status = fs::read_to_string(task.join("status"))?;
    let mut lines = status.lines();
    let tracer = lines.find_map(|line| line.strip_prefix("TracerPid:"));
    Ok(tracer.context("no tracer")?.trim() != "0")
}

/// The fourth column of strace's table; there is no line for what was never called.
fn calls(table: &str) -> anyhow::Result<u64> {
    let line = table
        .lines()
        .find(|line| line.trim_end().ends_with("futex"));
    let Some(line) = line else {
        return Ok(0);
    };
    let calls = line.split_whitespace().nth(3);
    Ok(calls.context("another table than strace's")?.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_read_from_the_table_and_none_are_none() {
        let table = "% time     seconds  usecs/call     calls    errors syscall\n\
                     ------ ----------- ----------- --------- --------- ----------------\n\
                     100.00    0.001234          12       321         7 futex\n\
                     ------ ----------- ----------- --------- --------- ----------------\n\
                     100.00    0.001234          12       321         7 total\n";
        assert_eq!(calls(table).unwrap(), 321);
        assert_eq!(calls("").unwrap(), 0);
    }
}
