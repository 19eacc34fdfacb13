//! Where the program is, and running commands with a bound: what they print goes to files, so nothing ever waits for a reader.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{self, Child, ExitStatus, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How long a command may take that is to end by itself.
pub const COMMAND_LIMIT: Duration = Duration::from_mins(2);
/// How long a program may take to end once it was asked to.
pub const STOP_LIMIT: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Waits until `condition` gives something, at most `limit`.
pub fn wait_for<T>(limit: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = condition() {
            return Some(found);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// The program under test: `SYMBOLON_PROGRAM`, or built by cargo beside this test, once.
///
/// # Panics
/// Where it cannot be built.
pub fn symbolon() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| env::var_os("SYMBOLON_PROGRAM").map_or_else(build, PathBuf::from))
}

fn build() -> PathBuf {
    // This test lies in TARGET/debug/deps.
    let test = env::current_exe().expect("a running program has a path");
    let target = test
        .ancestors()
        .nth(3)
        .expect("it lies in TARGET/debug/deps");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = process::Command::new(cargo)
        .args([
            "build",
            "--quiet",
            "--package",
            "symbolon-cli",
            "--bin",
            "symbolon",
            "--target-dir",
        ])
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    assert!(
        built.expect("cargo can be run").success(),
        "symbolon does not build"
    );
    target.join("debug/symbolon")
}

/// A command to be run.
#[derive(Debug)]
pub struct Command {
    name: String,
    inner: process::Command,
}

/// A command that runs; killed when dropped.
#[derive(Debug)]
pub struct Running {
    name: String,
    child: Child,
    printed: TempDir,
}

/// A command that has ended.
#[derive(Debug)]
pub struct Finished {
    /// What was run.
    pub name: String,
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Command {
    /// Any program, by name or path.
    pub fn new(program: impl AsRef<Path>) -> Self {
        let program = program.as_ref();
        let name = program
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        Self {
            name,
            inner: process::Command::new(program),
        }
    }

    /// `symbolon`, with nothing of the caller's own settings.
    pub fn symbolon() -> Self {
        let mut command = Self::new(symbolon());
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with("SYMBOLON_") {
                command.inner.env_remove(name);
            }
        }
        command.inner.env_remove("RUST_LOG");
        command
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<std::ffi::OsStr>) -> Self {
        self.inner.arg(argument);
        self
    }

    /// The words of `arguments`, split at spaces.
    #[must_use]
    pub fn words(mut self, arguments: &str) -> Self {
        self.inner.args(arguments.split_whitespace());
        self
    }

    /// A variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.inner.env(name, value);
        self
    }

    /// Starts it, without input.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub fn start(mut self) -> Running {
        let printed = tempfile::tempdir().expect("a temporary directory can be made");
        let file = |name| fs::File::create(printed.path().join(name)).expect("so can a file in it");
        let started = self
            .inner
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn();
        let child = started.unwrap_or_else(|error| panic!("cannot start {}: {error}", self.name));
        Running {
            name: self.name,
            child,
            printed,
        }
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// Where it cannot be started or takes longer than [`COMMAND_LIMIT`].
    pub fn run(self) -> Finished {
        self.start().finish(COMMAND_LIMIT)
    }
}

impl Running {
    /// What it has printed until now.
    pub fn stdout(&self) -> String {
        self.printed("stdout")
    }

    /// What it has complained about until now.
    pub fn stderr(&self) -> String {
        self.printed("stderr")
    }

    fn printed(&self, name: &str) -> String {
        let octets = fs::read(self.printed.path().join(name)).unwrap_or_default();
        String::from_utf8_lossy(&octets).into_owned()
    }

    /// How it ended, if it has.
    ///
    /// # Panics
    /// Where the system does not say.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be asked after")
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// Where it takes longer than `limit`.
    pub fn finish(mut self, limit: Duration) -> Finished {
        let status = wait_for(limit, || self.ended());
        let (stdout, stderr) = (self.stdout(), self.stderr());
        let name = self.name.clone();
        let status =
            status.unwrap_or_else(|| panic!("{name} did not end in {limit:?}\n{stdout}\n{stderr}"));
        Finished {
            name,
            status,
            stdout,
            stderr,
        }
    }

    /// Its process identifier.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, by SIGTERM.
    ///
    /// # Panics
    /// Where no signal can be sent.
    pub fn terminate(&self) {
        // The shell's own `kill`: the program of that name is not everywhere.
        let killed = process::Command::new("sh")
            .args(["-c", "kill -TERM \"$0\"", &self.child.id().to_string()])
            .status();
        assert!(
            killed.is_ok_and(|status| status.success()),
            "cannot signal {}",
            self.name
        );
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already ended and waited for, or else it must go with the test: there is nothing to do about an error in either case.
        if self.child.kill().is_ok() {
            self.child.wait().ok();
        }
    }
}

impl Finished {
    /// What it printed; it must have exited with 0.
    ///
    /// # Panics
    /// Where it did not.
    #[track_caller]
    pub fn success(self) -> String {
        assert!(self.status.success(), "{self}");
        self.stdout
    }

    /// What it complained about; it must have exited with this code.
    ///
    /// # Panics
    /// Where it did not.
    #[track_caller]
    pub fn failure(self, code: i32) -> String {
        assert_eq!(self.status.code(), Some(code), "{self}");
        self.stderr
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, status, .. } = self;
        write!(
            f,
            "{name}: {status}\n--- stdout\n{}\n--- stderr\n{}",
            self.stdout, self.stderr
        )
    }
}
