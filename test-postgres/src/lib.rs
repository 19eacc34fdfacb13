//! A PostgreSQL server for tests: in a directory of its own, reached by a socket in it, ended with the process that started it, however that
//! ends.
//!
//! The programs are Debian's (`postgresql`), or those of the PATH. As root they run as `nobody`, since PostgreSQL refuses root.

use std::{
    env, fs,
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    thread::sleep,
    time::{Duration, Instant},
};

/// Whom the server runs as where we are root: Debian's `nobody` and `nogroup`.
const NOBODY: u32 = 65534;
/// Where Debian keeps the programs, one directory for each major version.
const DEBIAN: &str = "/usr/lib/postgresql";
/// How long a start or a stop may take.
const PATIENCE: Duration = Duration::from_mins(1);
/// Rest between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Starts and stops the server by the words it reads, and ends it when nobody can send one any more.
const KEEPER: &str = r#"
trap '' INT HUP TERM
programs=$1 directory=$2
start() {
  "$programs/postgres" -D "$directory/data" -k "$directory" -h '' -c max_connections=300 -c shared_buffers=32MB \
    -c fsync=off -c full_page_writes=off >>"$directory/log" 2>&1 </dev/null &
  server=$!
}
start
while read -r word; do
  case $word in
    stop) kill -INT "$server"; wait "$server" ;;
    kill) kill -QUIT "$server"; wait "$server" ;;
    start) start ;;
  esac
done
kill -QUIT "$server" 2>/dev/null
wait "$server"
rm -rf "$directory"
"#;

/// A server. It ends, and its directory goes, when this is dropped or the process ends.
#[derive(Debug)]
pub struct Cluster {
    programs: PathBuf,
    directory: PathBuf,
    keeper: Child,
    databases: AtomicU64,
}

impl Cluster {
    /// Starts one.
    pub fn start() -> io::Result<Self> {
        let programs = programs()?;
        let directory = tempfile::Builder::new().prefix("symbolon-pg-").tempdir()?;
        if is_root()? {
            chown(directory.path(), Some(NOBODY), Some(NOBODY))?;
        }
        // The keeper removes it from here on, since a static value is never dropped.
        let directory = directory.keep();
        let made = unprivileged(&programs.join("initdb"))?
            .args(["--username=symbolon", "--auth=trust", "--encoding=UTF8"])
            .args(["--locale=C", "--no-sync", "--no-instructions", "-D"])
            .arg(directory.join("data"))
            .current_dir(&directory)
            .output()?;
        if !made.status.success() {
            let why = String::from_utf8_lossy(&made.stderr).into_owned();
            fs::remove_dir_all(&directory)?;
            return Err(io::Error::other(format!("initdb: {why}")));
        }
        let keeper = unprivileged(Path::new("/bin/sh"))?
            .args(["-c", KEEPER, "keeper"])
            .args([&programs, &directory])
            .current_dir(&directory)
            .stdin(Stdio::piped())
            .spawn()?;
        let cluster = Self {
            programs,
            directory,
            keeper,
            databases: AtomicU64::new(0),
        };
        cluster.wait_until(true)?;
        Ok(cluster)
    }

    /// The one that all tests of a process share.
    ///
    /// # Panics
    /// Where there is none to be had: a test that needs it fails.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| match Self::start() {
            Ok(cluster) => cluster,
            Err(error) => panic!("no PostgreSQL for the tests: {error}"),
        })
    }

    /// Makes an empty database; its URL.
    pub fn create_database(&self) -> io::Result<String> {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("d{}_{number}", std::process::id());
        self.execute("postgres", &format!("CREATE DATABASE {name}"))?;
        let socket = self.directory.display();
        Ok(format!(
            "postgres://symbolon@localhost/{name}?host={socket}"
        ))
    }

    /// Executes statements as the superuser; what they answer, without decoration.
    pub fn execute(&self, database: &str, statements: &str) -> io::Result<String> {
        let done = Command::new(self.programs.join("psql"))
            .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"])
            .args(["-v", "ON_ERROR_STOP=1", "-U", "symbolon", "-d", database])
            .args(["-c", statements, "-h"])
            .arg(&self.directory)
            .output()?;
        if !done.status.success() {
            let why = String::from_utf8_lossy(&done.stderr).into_owned();
            return Err(io::Error::other(why));
        }
        Ok(String::from_utf8_lossy(&done.stdout).trim_end().to_owned())
    }

    /// Ends the server as an operator does: it cuts the connections off, and writes all down. It can be started again.
    pub fn stop(&mut self) -> io::Result<()> {
        self.tell("stop")?;
        self.wait_until(false)
    }

    /// Ends it at once, as a crash does.
    pub fn kill(&mut self) -> io::Result<()> {
        self.tell("kill")?;
        self.wait_until(false)
    }

    /// Starts it again.
    pub fn restart(&mut self) -> io::Result<()> {
        self.tell("start")?;
        self.wait_until(true)
    }

    fn tell(&mut self, word: &str) -> io::Result<()> {
        let stdin = self.keeper.stdin.as_mut();
        let stdin = stdin.ok_or_else(|| io::Error::other("the keeper hears nothing"))?;
        writeln!(stdin, "{word}")
    }

    fn wait_until(&self, running: bool) -> io::Result<()> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let ready = Command::new(self.programs.join("pg_isready"))
                .args(["--quiet", "-h"])
                .arg(&self.directory)
                .status()?;
            if ready.success() == running {
                return Ok(());
            }
            sleep(PAUSE);
        }
        let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
        Err(io::Error::other(format!("PostgreSQL does not obey: {log}")))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // It ends when it hears nothing more.
        drop(self.keeper.stdin.take());
        if let Err(error) = self.keeper.wait() {
            eprintln!("the PostgreSQL server of the tests: {error}");
        }
    }
}

/// The directory with `initdb` and `postgres`: of the PATH, or of the newest version in Debian's place.
fn programs() -> io::Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = env::split_paths(&path).collect();
    let mut versions: Vec<(u32, PathBuf)> = Vec::new();
    if let Ok(entries) = fs::read_dir(DEBIAN) {
        for entry in entries {
            let entry = entry?;
            if let Some(version) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            {
                versions.push((version, entry.path().join("bin")));
            }
        }
    }
    versions.sort();
    places.extend(versions.into_iter().rev().map(|(_, place)| place));
    let whole = |place: &PathBuf| {
        ["initdb", "postgres", "psql", "pg_isready"]
            .iter()
            .all(|program| place.join(program).is_file())
    };
    places.into_iter().find(whole).ok_or_else(|| {
        io::Error::other(
            "initdb and postgres are missing: ./check installs them (Debian's postgresql)",
        )
    })
}

fn is_root() -> io::Result<bool> {
    // Of what we make the owner is the user; no call for it is in the standard library.
    Ok(tempfile::tempfile()?.metadata()?.uid() == 0)
}

/// A program, as `nobody` where we are root.
fn unprivileged(program: &Path) -> io::Result<Command> {
    if !is_root()? {
        return Ok(Command::new(program));
    }
    let mut command = Command::new("setpriv");
    command
        .arg(format!("--reuid={NOBODY}"))
        .arg(format!("--regid={NOBODY}"))
        .args(["--clear-groups", "--"])
        .arg(program);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_starts_stops_starts_again_and_leaves_nothing_behind() -> io::Result<()> {
        let mut cluster = Cluster::start()?;
        let url = cluster.create_database()?;
        let name = url.split(['/', '?']).nth(3).unwrap_or_default().to_owned();
        cluster.execute(&name, "CREATE TABLE t (n INT); INSERT INTO t VALUES (7)")?;
        cluster.stop()?;
        assert!(cluster.execute(&name, "SELECT n FROM t").is_err());
        cluster.restart()?;
        assert_eq!(cluster.execute(&name, "SELECT n FROM t")?, "7");
        cluster.kill()?;
        cluster.restart()?;
        let directory = cluster.directory.clone();
        drop(cluster);
        assert!(!directory.exists());
        Ok(())
    }
}
