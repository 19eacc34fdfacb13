//! A broker under callgrind, which counts what its shard does. The start is left out: it gathers randomness, which takes 400 million
//! instructions under callgrind, and a different number each time.

use anyhow::{Context as _, bail, ensure};
use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// How long it may take to end.
const END_LIMIT: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(20);
/// The name of the thread that is waited for.
const THREAD: &str = "shard-0";
/// It waits for its sockets if it is found asleep so many times, one after the other, with this pause between.
const ASLEEP: usize = 3;
const PAUSE: Duration = Duration::from_micros(100);
/// What is counted: this function, and all that it calls.
const SHARD: &str = "symbolon_broker::driver::lives::run";
/// Where callgrind writes how much there was of all.
const TOTAL: &str = "summary: ";

/// See the module.
#[derive(Debug)]
pub(super) struct Counted {
    child: Child,
    address: SocketAddr,
    directory: tempfile::TempDir,
}

impl Counted {
    /// Starts it and waits until it says where it listens.
    pub(super) fn start(program: &Path) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let mut child = Command::new("valgrind")
            .args(["--tool=callgrind", "--quiet"])
            .arg(format!("--toggle-collect={SHARD}"))
            .arg(format!(
                "--callgrind-out-file={}",
                out(&directory).display()
            ))
            .arg(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("valgrind does not run: apt-get install valgrind")?;
        let said = child.stdout.take().context("it was piped")?;
        let mut line = String::new();
        BufReader::new(said).read_line(&mut line)?;
        let address = line.trim().parse();
        // From here on it is ended whatever happens.
        let counted = Self {
            child,
            address: address.unwrap_or(SocketAddr::from(([0; 4], 0))),
            directory,
        };
        let program = program.display();
        ensure!(counted.address.port() > 0, "{program} does not serve");
        Ok(counted)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The shard's thread, in `/proc`.
    pub(super) fn shard(&self) -> anyhow::Result<Shard> {
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let task = task?.path();
            if fs::read_to_string(task.join("comm"))?.trim() == THREAD {
                return Ok(Shard(task.join("stat")));
            }
        }
        bail!("no thread is called {THREAD}")
    }

    /// Ends it: instructions of its shard, from beginning to end.
    pub(super) fn finish(mut self) -> anyhow::Result<u64> {
        drop(self.child.stdin.take());
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if began.elapsed() > END_LIMIT {
                bail!("it does not end");
            }
            sleep(LOOK);
        };
        ensure!(status.success(), "it has ended badly: {status}");
        let written = fs::read_to_string(out(&self.directory))?;
        let total = written.lines().find_map(|line| line.strip_prefix(TOTAL));
        let total: u64 = total.context("callgrind says no sum")?.trim().parse()?;
        ensure!(total > 0, "nothing was counted: is there no {SHARD}?");
        Ok(total)
    }
}

/// The thread of a shard.
#[derive(Debug)]
pub(super) struct Shard(PathBuf);

impl Shard {
    /// Returns once it has nothing to do: whoever sends earlier spares it from waiting, and it takes less than when it is left in peace.
    pub(super) fn wait_until_idle(&self) -> anyhow::Result<()> {
        let (mut asleep, began) = (0, Instant::now());
        while asleep < ASLEEP {
            let stat = fs::read_to_string(&self.0)?;
            let (_, state) = stat.rsplit_once(')').context("no thread's name")?;
            asleep = if state.trim_start().starts_with('S') {
                asleep + 1
            } else {
                0
            };
            ensure!(began.elapsed() < END_LIMIT, "it is always busy");
            sleep(PAUSE);
        }
        Ok(())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        // It is our child; what it would still say is of no use.
        if self.child.kill().is_ok() {
            self.child.wait().ok();
        }
    }
}

fn out(directory: &tempfile::TempDir) -> PathBuf {
    directory.path().join("callgrind.out")
}
