//! What is SQLite's own: the file, how it is opened, its settings.

use super::{ACQUIRE_TIMEOUT, Engine, MAX_CONNECTIONS, StoreError};
use crate::store::schema;
use sqlx::{
    AnyPool, ConnectOptions, Connection, Executor, SqliteConnection, Transaction,
    any::{AnyConnectOptions, AnyPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use std::{fs, io, path::Path, time::Duration};
use tokio::time::sleep;

/// How long a statement waits for another process's write.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How often the switch to the write-ahead log is tried: it fails, and does not wait, while another process does the same to a new file.
const MAX_WAL_ATTEMPTS: u32 = 100;
/// Rest between two attempts.
const WAL_PAUSE: Duration = Duration::from_millis(50);

/// What every connection is told. What the command line reported as done must survive a power loss; writes are rare.
const DURABLE: &str =
    "PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 5000; PRAGMA synchronous = FULL";
/// The same, and a commit does not wait for the disk. Tokens go to random places of large tables: 64 MiB of them are kept at hand, and up to
/// 32 MiB (8 192 pages) are written ahead before they are put in their places, so that a page that many tokens change is put there once.
const RELAXED: &str =
    "PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 5000; PRAGMA synchronous = NORMAL;
     PRAGMA cache_size = -65536; PRAGMA wal_autocheckpoint = 8192";

/// Makes the file where there is none, brings its schema up to date; the connections to it, and those that do not wait for the disk.
pub(super) async fn open(path: &Path) -> Result<(AnyPool, AnyPool), StoreError> {
    prepare_file(path).map_err(|error| unusable(path, &error.to_string()))?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(true)
        .disable_statement_logging();
    let mut connection = connect_with_wal(&options).await?;
    schema::migrate(&mut connection).await?;
    connection.close().await?;
    sqlx::any::install_default_drivers();
    let url: AnyConnectOptions = url_of(path)?.parse()?;
    let url = url.disable_statement_logging();
    let pool = |connections, settings: &'static str| {
        AnyPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .test_before_acquire(false)
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    connection.execute(settings).await?;
                    Ok(())
                })
            })
            .connect_lazy_with(url.clone())
    };
    Ok((pool(MAX_CONNECTIONS, DURABLE), pool(1, RELAXED)))
}

/// Whatever is in the path, `?` and `%` too, is the path. The file must be there.
fn url_of(path: &Path) -> Result<String, StoreError> {
    // A URL knows neither relative paths nor what `..` means behind a link.
    let whole = fs::canonicalize(path).map_err(|error| unusable(path, &error.to_string()))?;
    let text = whole
        .to_str()
        .ok_or_else(|| unusable(path, "the path is not UTF-8"))?;
    let escaped = text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    });
    Ok(format!("sqlite://{}", escaped.collect::<String>()))
}

pub(super) async fn begin_to_write(
    pool: &AnyPool,
) -> Result<Transaction<'static, Engine>, StoreError> {
    // IMMEDIATE: a transaction that reads first and then wants to write would fail, not wait, if another wrote meanwhile.
    Ok(pool.begin_with("BEGIN IMMEDIATE").await?)
}

pub(super) fn unusable(path: &Path, why: &str) -> StoreError {
    StoreError::Database(format!("{}: {why}", path.display()))
}

/// Makes the file where there is none. SQLite gives its `-wal` and `-shm` files the mode of the database file.
pub(super) fn prepare_file(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    let created = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match created {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let mode = fs::metadata(path)?.permissions().mode();
            if mode & 0o077 != 0 {
                tracing::warn!(path = %path.display(), "others on this machine may read the database");
            }
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// The first connection puts the file into WAL mode, where it stays for all that follow.
async fn connect_with_wal(options: &SqliteConnectOptions) -> Result<SqliteConnection, StoreError> {
    let options = options.clone().journal_mode(SqliteJournalMode::Wal);
    for _ in 1..MAX_WAL_ATTEMPTS {
        match options.connect().await {
            Err(error) if is_busy(&error) => sleep(WAL_PAUSE).await,
            other => return Ok(other?),
        }
    }
    Ok(options.connect().await?)
}

fn is_busy(error: &sqlx::Error) -> bool {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| is_busy_code(&code))
}

/// `SQLITE_BUSY`, with whatever extension in the higher bits: at most four digits, where PostgreSQL's codes have five.
pub(super) fn is_busy_code(code: &str) -> bool {
    code.len() < 5 && code.parse::<u32>().is_ok_and(|code| code & 0xff == 5)
}
