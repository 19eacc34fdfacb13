//! Runs `symbolon` and looks at what it said.

use std::{
    ffi::OsStr,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

/// What a run ended with.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs `symbolon` to its end, with an environment that says nothing.
pub(crate) fn symbolon<S: AsRef<OsStr>>(arguments: &[S]) -> Ended {
    symbolon_with(&[], arguments)
}

/// The same, with variables.
pub(crate) fn symbolon_with<S: AsRef<OsStr>>(variables: &[(&str, &str)], arguments: &[S]) -> Ended {
    let mut command = command();
    command.args(arguments).envs(variables.iter().copied());
    Ended::from(command.output().unwrap())
}

/// `symbolon` with no variable of ours set and nothing to read.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_symbolon"));
    command.stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SYMBOLON_") {
            command.env_remove(name);
        }
    }
    command
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ended {
    /// What it printed, if it went well.
    pub(crate) fn success(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.stdout
    }

    /// What it complained of, if it ended with this code.
    pub(crate) fn failure(self, code: i32) -> String {
        assert_eq!(self.code, code, "{self:?}");
        self.stderr
    }

    /// What it printed as JSON, if it went well.
    pub(crate) fn json(self) -> serde_json::Value {
        serde_json::from_str(&self.success()).unwrap()
    }
}

/// A directory that `symbolon init` has filled, with free ports; removed when dropped.
pub(crate) struct Site {
    pub(crate) made: serde_json::Value,
    directory: tempfile::TempDir,
}

impl Site {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("site");
        let mut arguments = vec!["init", path.to_str().unwrap()];
        arguments.extend(["--as-port", "0", "--broker-port", "0", "-o", "json"]);
        let made = symbolon(&arguments).json();
        Self { made, directory }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("site")
    }

    /// A path beside the site.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs `symbolon WORDS --dir SITE`; words are separated by spaces.
    pub(crate) fn run(&self, words: &str) -> Ended {
        let path = self.path();
        let mut arguments: Vec<&str> = words.split_whitespace().collect();
        arguments.extend(["--dir", path.to_str().unwrap()]);
        symbolon(&arguments)
    }

    /// Puts `new` in the place of `old` in the configuration.
    pub(crate) fn edit(&self, old: &str, new: &str) {
        let file = self.path().join("symbolon.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(old), "{old} is not in {text}");
        std::fs::write(&file, text.replacen(old, new, 1)).unwrap();
    }

    /// Runs `symbolon config check SITE`.
    pub(crate) fn check(&self) -> Ended {
        symbolon(&["config".as_ref(), "check".as_ref(), self.path().as_os_str()])
    }
}

/// A server at work, ended when dropped.
pub(crate) struct Server(pub(crate) Child);

impl Server {
    /// Runs `symbolon VERB SITE` until it is ready.
    pub(crate) fn start(verb: &str, site: &Site, variables: &[(&str, &str)]) -> Self {
        let mut command = command();
        command
            .arg(verb)
            .arg(site.path())
            .envs(variables.iter().copied());
        Self::start_with(command.stderr(Stdio::null()))
    }

    /// Runs this command until it is ready.
    pub(crate) fn start_with(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let server = Self(child);
        assert!(line.starts_with("ready "), "{line}");
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself: then there is nothing to end.
        if self.0.kill().is_ok() {
            self.0.wait().unwrap();
        }
    }
}

/// The rights of a file, as chmod writes them.
#[cfg(unix)]
pub(crate) fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}
