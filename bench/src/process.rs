//! What a process takes of the machine, by `/proc`, and how many files this one may have open.

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs;

/// What a process has taken until a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    cpu_secs: f64,
}

impl Usage {
    /// Of the process `id`, all threads.
    pub(crate) fn of(id: u32) -> anyhow::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).context("the broker is gone")?;
        // The program's name stands in brackets and may hold spaces: what follows begins with the third field.
        let (_, fields) = stat.rsplit_once(')').context("no process name")?;
        let ticks = |field: usize| {
            let text = fields.split_whitespace().nth(field - 3);
            text.and_then(|text| text.parse::<u32>().ok())
        };
        let (user, system) = (ticks(14), ticks(15));
        let ticks =
            f64::from(user.context("no user time")?) + f64::from(system.context("no system time")?);
        Ok(Self {
            cpu_secs: ticks / precise(rustix::param::clock_ticks_per_second()),
        })
    }

    /// CPU seconds from `self` until now.
    pub(crate) fn cpu_secs_since(self, id: u32) -> anyhow::Result<f64> {
        Ok(Self::of(id)?.cpu_secs - self.cpu_secs)
    }
}

/// CPU time that all threads of a process have taken until a moment, as the scheduler counts it: finer than the ticks of [`Usage`], which a
/// short measurement needs. A thread that has ended since is not in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FineUsage {
    cpu_ns: f64,
    /// Times that a thread has waited for something.
    pub(crate) waits: u64,
}

impl FineUsage {
    /// Of the process `id`.
    pub(crate) fn of(id: u32) -> anyhow::Result<Self> {
        let mut usage = Self {
            cpu_ns: 0.0,
            waits: 0,
        };
        for task in fs::read_dir(format!("/proc/{id}/task")).context("the broker is gone")? {
            let sched = fs::read_to_string(task?.path().join("sched"))
                .context("the kernel says nothing of its scheduler (CONFIG_SCHED_DEBUG)")?;
            let value = |name: &str| {
                let line = sched.lines().find_map(|line| line.strip_prefix(name));
                let value = line.and_then(|line| line.split_once(':'));
                Some(value?.1.trim().to_owned())
            };
            let millis = value("se.sum_exec_runtime").context("no CPU time")?;
            usage.cpu_ns += millis.parse::<f64>()? * 1e6;
            let waits = value("nr_voluntary_switches").context("no switches")?;
            usage.waits += waits.parse::<u64>()?;
        }
        Ok(usage)
    }

    /// CPU nanoseconds from `self` to `later`.
    pub(crate) fn cpu_ns_until(self, later: Self) -> f64 {
        later.cpu_ns - self.cpu_ns
    }
}

/// What is resident of the process `id`, KiB.
pub(crate) fn resident_kib(id: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).context("the broker is gone")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.context("no VmRSS")?.trim().trim_end_matches(" kB");
    Ok(number.trim().parse()?)
}

/// Lets this process, and what it starts, have `wanted` files open at once.
pub(crate) fn allow_files(wanted: u64) -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    let raised = Rlimit {
        current: Some(wanted),
        ..limit
    };
    setrlimit(Resource::Nofile, raised)
        .with_context(|| format!("{wanted} open files are needed: raise the hard limit"))
}

/// A count as a number to calculate with.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a measurement are far below 2^52"
)]
pub(crate) fn precise(count: u64) -> f64 {
    count as f64
}
