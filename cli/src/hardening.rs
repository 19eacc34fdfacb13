//! What a server asks of its operating system before it reads a key: no core dump, and as many open files as it may have.

/// Sees to both. A system that refuses is logged, never an error: the server works, with less.
#[cfg(unix)]
pub(crate) fn apply(allow_core_dumps: bool) {
    if !allow_core_dumps {
        forbid_core_dumps();
    }
    raise_open_files();
}

/// Elsewhere there is neither.
#[cfg(not(unix))]
pub(crate) fn apply(_allow_core_dumps: bool) {}

/// How many files, and with them connections, the process may have open; `None` is any number.
#[cfg(unix)]
pub(crate) fn open_files_at_most() -> Option<u64> {
    use rustix::process::{Resource, getrlimit};
    getrlimit(Resource::Nofile).current
}

/// Elsewhere the system does not say.
#[cfg(not(unix))]
pub(crate) fn open_files_at_most() -> Option<u64> {
    None
}

/// A core dump holds every key; and without one nobody but root attaches a debugger to the process (`PR_SET_DUMPABLE` of prctl(2)).
#[cfg(any(target_os = "linux", target_os = "android"))]
fn forbid_core_dumps() {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "cannot forbid core dumps");
    }
}

/// Elsewhere by a limit of 0 bytes.
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
fn forbid_core_dumps() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::warn!(%error, "cannot forbid core dumps");
    }
}

/// The soft limit is 1024 nearly everywhere, for the sake of `select(2)`, which nothing here uses.
#[cfg(unix)]
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}
