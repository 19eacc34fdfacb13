//! The store: one process writes, group by group.

use crate::{
    directory::{Directory, DirectoryError, SetAside, at},
    environment::{Database, Environment, is_fatal},
    pages::{
        Damage, ReadError, Visit,
        meta::{Meta, MetaError, TreeRecord},
        tree::Pages,
        walk,
    },
    sealed,
};
use heed::{MdbError, RwTxn};
use std::{
    fmt,
    fs::File,
    io,
    ops::Range,
    path::{Path, PathBuf},
};

/// The table that holds the version of the format.
pub(crate) const META_TABLE: &str = "meta";
/// The key of that version; its value is four bytes, big endian, for ever.
pub(crate) const FORMAT_KEY: &[u8] = b"format";
/// The longest key, bytes.
pub const KEY_BYTES_AT_MOST: usize = 511;
/// The least size of a store, bytes.
pub const BYTES_AT_LEAST: u64 = 1024 * 1024;
/// Address space beyond twice the limit, bytes: where pages in use leave no gap for a large value.
const MAP_SLACK_BYTES: u64 = 64 * 1024 * 1024;
/// Maps are a multiple of this, whatever the system's page size.
const MAP_STEP_BYTES: u64 = 64 * 1024;

/// What a commit survives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sync {
    /// The end of the process, however it ends: the system has the data, and writes it to the disk in its own time.
    ProcessCrash,
    /// A loss of power too: the data is on the disk before a write returns.
    PowerLoss,
}

/// How a store is opened.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'s> {
    /// Its directory, made with mode 0700 if it does not exist; the directory above must.
    pub directory: &'s Path,
    /// The names of its tables; a [`Table`] is a place among them. `meta` is taken.
    pub tables: &'s [&'s str],
    /// The version of what is written. A store with a higher one is refused.
    pub format: u32,
    /// How much it should hold, bytes. Beyond it [`Store::is_over_limit`]; a quarter more and only what deletes is written. Taken as
    /// [`BYTES_AT_LEAST`] where it is less.
    pub max_bytes: u64,
    /// What a commit survives.
    pub sync: Sync,
}

/// A table, by its place among [`Settings::tables`].
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Table(pub usize);

/// One change. Keys have 1 to [`KEY_BYTES_AT_MOST`] bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Write {
    /// The value at the key, in place of what was there.
    Put {
        /// Where.
        table: Table,
        /// At.
        key: Vec<u8>,
        /// What.
        value: Vec<u8>,
    },
    /// As `Put`, unless what is there is higher in these bytes of the value.
    PutUnlessLower {
        /// Where.
        table: Table,
        /// At.
        key: Vec<u8>,
        /// What.
        value: Vec<u8>,
        /// Which bytes are compared.
        compared: Range<usize>,
    },
    /// Deletes what is at the key, unless it is higher in these bytes than `than`.
    DeleteUnlessHigher {
        /// Where.
        table: Table,
        /// At.
        key: Vec<u8>,
        /// What it is compared with.
        than: Vec<u8>,
        /// Where in the value those bytes begin.
        from: usize,
    },
    /// Deletes what is at the key, if anything is.
    Delete {
        /// Where.
        table: Table,
        /// At.
        key: Vec<u8>,
    },
    /// Deletes every key that begins so.
    DeletePrefix {
        /// Where.
        table: Table,
        /// Not empty.
        prefix: Vec<u8>,
    },
}

/// Why a store cannot be opened. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its directory cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A newer program wrote it.
    #[error("the store {} has format version {found}, this program knows versions up to {known}: use a newer program", path.display())]
    Newer {
        /// Its directory.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The highest known.
        known: u32,
    },
    /// LMDB's file is of a version that this program does not know.
    #[error("the store {} has LMDB's file format {found}, this program knows 1: use the program that wrote it", path.display())]
    FileVersion {
        /// Its directory.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// It is damaged.
    #[error("the store {} is damaged: {damage}", path.display())]
    Damaged {
        /// Its directory.
        path: PathBuf,
        /// What is wrong.
        damage: Damage,
    },
    /// LMDB cannot open it.
    #[error("the store {} cannot be opened: {message}", path.display())]
    Lmdb {
        /// Its directory.
        path: PathBuf,
        /// Why.
        message: String,
    },
}

/// Why nothing of a group was written. The store can still be used, and the group can be tried again.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The store is full: what deletes can still be written.
    #[error("the store is full")]
    Full,
    /// The system could not write: no space on the disk, or worse.
    #[error("the store cannot be written: {0}")]
    Io(#[from] io::Error),
    /// A key is empty or too long, or a prefix is empty.
    #[error("a key of {0} bytes")]
    Key(usize),
    /// What was read for comparison, or what LMDB found on its way, is damaged.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// LMDB says no.
    #[error("the store cannot be written: {0}")]
    Lmdb(String),
}

/// A store that was opened.
#[derive(Debug)]
pub struct Opened {
    /// It.
    pub store: Store,
    /// The damaged one that was found in its place, if one was.
    pub set_aside: Option<SetAside>,
}

/// A store that this process alone writes.
pub struct Store {
    directory: Directory,
    tables: Vec<String>,
    format: u32,
    max_bytes: u64,
    sync: Sync,
    /// `None` after an error that LMDB does not go on after, until it is opened anew.
    environment: Option<Environment>,
    used_bytes: u64,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("directory", &self.directory.path())
            .field("used_bytes", &self.used_bytes)
            .finish_non_exhaustive()
    }
}

/// What a look into a file finds.
enum Look {
    /// No file, or one without tables: nothing was ever committed.
    Fresh,
    Sound,
    Damaged(Damage),
}

impl Store {
    /// Opens a store, or makes it. All of it is read first: a damaged one is renamed to `NAME.damaged-TIME`, and a new one is made.
    pub fn open(settings: &Settings<'_>, now_unix_secs: u64) -> Result<Opened, OpenError> {
        let directory = Directory::lock(settings.directory)?;
        match look(&directory, settings.format)? {
            Look::Fresh | Look::Sound => Ok(Opened {
                store: Self::open_sound(directory, settings)?,
                set_aside: None,
            }),
            Look::Damaged(damage) => {
                let (directory, set_aside) = directory.set_aside(damage, now_unix_secs)?;
                Ok(Opened {
                    store: Self::open_sound(directory, settings)?,
                    set_aside: Some(set_aside),
                })
            }
        }
    }

    /// Sets this store aside, because what it holds makes no sense to whoever reads it, and makes a new one.
    pub fn set_aside(self, why: &str, now_unix_secs: u64) -> Result<Opened, OpenError> {
        let Self {
            directory,
            tables,
            format,
            max_bytes,
            sync,
            environment,
            used_bytes: _,
        } = self;
        drop(environment);
        let (directory, set_aside) = directory.set_aside(Damage(why.into()), now_unix_secs)?;
        let path = directory.path().to_owned();
        let tables: Vec<&str> = tables.iter().map(String::as_str).collect();
        let settings = Settings {
            directory: &path,
            tables: &tables,
            format,
            max_bytes,
            sync,
        };
        Ok(Opened {
            store: Self::open_sound(directory, &settings)?,
            set_aside: Some(set_aside),
        })
    }

    fn open_sound(directory: Directory, settings: &Settings<'_>) -> Result<Self, OpenError> {
        let mut store = Self {
            directory,
            tables: settings
                .tables
                .iter()
                .map(|&name| name.to_owned())
                .collect(),
            format: settings.format,
            max_bytes: settings.max_bytes.max(BYTES_AT_LEAST),
            sync: settings.sync,
            environment: None,
            used_bytes: 0,
        };
        store.map().map_err(|error| OpenError::Lmdb {
            path: settings.directory.to_owned(),
            message: error.to_string(),
        })?;
        store.directory.sync()?;
        Ok(store)
    }

    /// Maps the file, and says its format in it.
    fn map(&mut self) -> heed::Result<()> {
        let names: Vec<&str> = (self.tables.iter().map(String::as_str))
            .chain([META_TABLE])
            .collect();
        let map = self.max_bytes.saturating_mul(2) + MAP_SLACK_BYTES;
        let map = map.next_multiple_of(MAP_STEP_BYTES);
        let format = sealed::seal(FORMAT_KEY, &self.format.to_be_bytes());
        let stamp = (self.sync, FORMAT_KEY, format.as_slice());
        let environment = Environment::open(self.directory.path(), map, &names, stamp)?;
        self.used_bytes = environment.used_bytes()?;
        self.environment = Some(environment);
        Ok(())
    }

    /// Writes all of it or nothing, in this order; when it returns `Ok`, it survives what [`Sync`] says.
    pub fn write(&mut self, writes: &[Write]) -> Result<(), WriteError> {
        let only_deletes = writes.iter().all(Write::deletes);
        if !only_deletes && self.used_bytes > self.hard_limit() {
            return Err(WriteError::Full);
        }
        match self.try_write(writes) {
            Err(WriteError::Full) => {
                // A reader that was killed may keep pages from being used again.
                if let Some(environment) = &self.environment {
                    environment.env.clear_stale_readers().map_err(lmdb)?;
                }
                self.try_write(writes)
            }
            other => other,
        }
    }

    fn try_write(&mut self, writes: &[Write]) -> Result<(), WriteError> {
        if self.environment.is_none() {
            self.map_anew()?;
        }
        let environment = self.environment.as_ref();
        let environment = environment.ok_or_else(|| WriteError::Lmdb("it is closed".into()))?;
        let written = commit(environment, writes);
        match written {
            Ok(()) => {
                self.used_bytes = environment.used_bytes().map_err(lmdb)?;
                Ok(())
            }
            Err(Failure::Lmdb(error)) => {
                if is_fatal(&error) {
                    self.environment = None;
                }
                Err(lmdb(error))
            }
            Err(Failure::Write(error)) => Err(error),
        }
    }

    /// After an error that LMDB does not go on after.
    fn map_anew(&mut self) -> Result<(), WriteError> {
        match look(&self.directory, self.format) {
            Ok(Look::Fresh | Look::Sound) => self.map().map_err(lmdb),
            Ok(Look::Damaged(damage)) => Err(WriteError::Damaged(damage.to_string())),
            Err(error) => Err(WriteError::Lmdb(error.to_string())),
        }
    }

    /// Calls `visit` with each key and value of a table, in the order of the keys.
    pub fn for_each<E: From<ReadError>>(&self, table: Table, visit: Visit<'_, E>) -> Result<(), E> {
        let file = self.directory.data().map_err(io::Error::other);
        let Some(file) = file.map_err(ReadError::Io)? else {
            return Ok(());
        };
        let meta = Meta::newest(&file).map_err(|error| match error {
            MetaError::Read(error) => error,
            MetaError::FileVersion(version) => Damage(format!("file format {version}")).into(),
        })?;
        let mut pages = Pages::new(&file, &meta)?;
        let names = walk::names(&mut pages, &meta)?;
        let wanted = self.tables.get(table.0).map(String::as_bytes);
        for (name, tree) in &names {
            if Some(name.as_slice()) == wanted {
                return each_sealed(&mut pages, tree, visit);
            }
        }
        Ok(())
    }

    /// Bytes in use. The file may be larger: pages that became free are used again and not given back.
    pub fn used_bytes(&self) -> u64 {
        self.used_bytes
    }

    /// What it should hold at most, bytes.
    pub fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// Whether it holds more than it should: time to take nothing new.
    pub fn is_over_limit(&self) -> bool {
        self.used_bytes > self.max_bytes
    }

    /// From here on only what deletes is written.
    fn hard_limit(&self) -> u64 {
        self.max_bytes.saturating_add(self.max_bytes / 4)
    }

    /// Brings everything to the disk.
    pub fn force_sync(&self) -> Result<(), WriteError> {
        match &self.environment {
            Some(environment) => environment.env.force_sync().map_err(lmdb),
            None => Err(WriteError::Lmdb("it is closed".into())),
        }
    }
}

impl Write {
    fn deletes(&self) -> bool {
        match self {
            Self::Put { .. } | Self::PutUnlessLower { .. } => false,
            Self::Delete { .. } | Self::DeleteUnlessHigher { .. } | Self::DeletePrefix { .. } => {
                true
            }
        }
    }

    fn table_and_key(&self) -> (Table, &[u8]) {
        match self {
            Self::Put { table, key, .. }
            | Self::PutUnlessLower { table, key, .. }
            | Self::DeleteUnlessHigher { table, key, .. }
            | Self::Delete { table, key } => (*table, key),
            Self::DeletePrefix { table, prefix } => (*table, prefix),
        }
    }
}

enum Failure {
    Lmdb(heed::Error),
    Write(WriteError),
}

impl From<heed::Error> for Failure {
    fn from(error: heed::Error) -> Self {
        Self::Lmdb(error)
    }
}

fn commit(environment: &Environment, writes: &[Write]) -> Result<(), Failure> {
    let mut transaction = environment.env.write_txn()?;
    for write in writes {
        apply(environment, &mut transaction, write)?;
    }
    Ok(transaction.commit()?)
}

fn apply(
    environment: &Environment,
    transaction: &mut RwTxn<'_>,
    write: &Write,
) -> Result<(), Failure> {
    let (table, key) = write.table_and_key();
    if key.is_empty() || key.len() > KEY_BYTES_AT_MOST {
        return Err(Failure::Write(WriteError::Key(key.len())));
    }
    let table = environment.tables.get(table.0);
    let table = table.ok_or_else(|| Failure::Write(WriteError::Lmdb("no such table".into())))?;
    match write {
        Write::Put { value, .. } => table.put(transaction, key, &sealed::seal(key, value))?,
        Write::PutUnlessLower {
            value, compared, ..
        } => {
            let ours = value.get(compared.clone()).unwrap_or_default();
            if !is_higher(table, transaction, key, (compared.start, ours))? {
                table.put(transaction, key, &sealed::seal(key, value))?;
            }
        }
        Write::DeleteUnlessHigher { than, from, .. } => {
            if !is_higher(table, transaction, key, (*from, than))? {
                table.delete(transaction, key)?;
            }
        }
        Write::Delete { .. } => {
            table.delete(transaction, key)?;
        }
        Write::DeletePrefix { prefix, .. } => delete_prefix(table, transaction, prefix)?,
    }
    Ok(())
}

/// Whether the value at `key` is higher than these bytes, from that place on.
fn is_higher(
    table: &Database,
    transaction: &RwTxn<'_>,
    key: &[u8],
    (from, than): (usize, &[u8]),
) -> Result<bool, Failure> {
    let Some(found) = table.get(transaction, key)? else {
        return Ok(false);
    };
    let found = sealed::open(key, found).and_then(|value| value.get(from..from + than.len()));
    let found = found.ok_or_else(|| WriteError::Damaged("a value has a wrong checksum".into()));
    Ok(found.map_err(Failure::Write)? > than)
}

/// Every key that begins so.
fn delete_prefix(
    table: &Database,
    transaction: &mut RwTxn<'_>,
    prefix: &[u8],
) -> Result<(), heed::Error> {
    let mut end = prefix.to_vec();
    // The first key after all that begin so: the prefix with its last byte that can be raised raised.
    while end.last() == Some(&u8::MAX) {
        end.pop();
    }
    let end = match end.last_mut() {
        Some(last) => {
            *last += 1;
            std::ops::Bound::Excluded(end.as_slice())
        }
        None => std::ops::Bound::Unbounded,
    };
    let range = (std::ops::Bound::Included(prefix), end);
    table.delete_range(transaction, &range)?;
    Ok(())
}

fn lmdb(error: heed::Error) -> WriteError {
    match error {
        heed::Error::Io(error) => WriteError::Io(error),
        heed::Error::Mdb(MdbError::MapFull | MdbError::TxnFull) => WriteError::Full,
        heed::Error::Mdb(
            error @ (MdbError::PageNotFound | MdbError::Corrupted | MdbError::Invalid),
        ) => WriteError::Damaged(error.to_string()),
        error @ (heed::Error::Mdb(_)
        | heed::Error::Encoding(_)
        | heed::Error::Decoding(_)
        | heed::Error::EnvAlreadyOpened) => WriteError::Lmdb(error.to_string()),
    }
}

/// Reads everything, without mapping it.
fn look(directory: &Directory, known: u32) -> Result<Look, OpenError> {
    let Some(file) = directory.data()? else {
        return Ok(Look::Fresh);
    };
    let path = directory.path();
    let meta = match Meta::newest(&file) {
        Ok(meta) => meta,
        Err(error) => return damaged_or(meta_error(error, path)),
    };
    match check(&file, &meta, path, known) {
        Ok(Checked { tables: 0, .. }) => Ok(Look::Fresh),
        Ok(_) => Ok(Look::Sound),
        Err(error) => damaged_or(error),
    }
}

fn damaged_or(error: OpenError) -> Result<Look, OpenError> {
    match error {
        OpenError::Damaged { damage, .. } => Ok(Look::Damaged(damage)),
        error @ (OpenError::Directory(_)
        | OpenError::Newer { .. }
        | OpenError::FileVersion { .. }
        | OpenError::Lmdb { .. }) => Err(error),
    }
}

pub(crate) fn meta_error(error: MetaError, path: &Path) -> OpenError {
    match error {
        MetaError::Read(error) => read_error(error, path),
        MetaError::FileVersion(found) => OpenError::FileVersion {
            path: path.to_owned(),
            found,
        },
    }
}

fn read_error(error: ReadError, path: &Path) -> OpenError {
    match error {
        ReadError::Damaged(damage) => OpenError::Damaged {
            path: path.to_owned(),
            damage,
        },
        ReadError::Io(error) => at(path)(error).into(),
    }
}

/// What a whole reading found.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) tables: usize,
    pub(crate) format: u32,
    pub(crate) names: walk::Names,
}

/// Reads the version of the format first, since of a newer one nothing else may be judged, then everything.
pub(crate) fn check(
    file: &File,
    meta: &Meta,
    path: &Path,
    known: u32,
) -> Result<Checked, OpenError> {
    let wrap = |error| read_error(error, path);
    let mut pages = Pages::new(file, meta).map_err(wrap)?;
    let names = walk::names(&mut pages, meta).map_err(wrap)?;
    if names.is_empty() {
        return Ok(Checked {
            tables: 0,
            format: known,
            names,
        });
    }
    let format = format_of(file, meta, &names).map_err(wrap)?;
    if format > known {
        return Err(OpenError::Newer {
            path: path.to_owned(),
            found: format,
            known,
        });
    }
    for (_, tree) in &names {
        let mut ignore = |_: &[u8], _: &[u8]| Ok::<(), ReadError>(());
        each_sealed(&mut pages, tree, &mut ignore).map_err(wrap)?;
    }
    Ok(Checked {
        tables: names.len(),
        format,
        names,
    })
}

fn format_of(file: &File, meta: &Meta, names: &walk::Names) -> Result<u32, ReadError> {
    let missing = || Damage("the version of its format is missing".into());
    let tree = names.iter().find(|(name, _)| name == META_TABLE.as_bytes());
    let (_, tree) = tree.ok_or_else(missing)?;
    let sealed = walk::first_value(file, meta, tree, FORMAT_KEY)?;
    let format = (sealed.as_deref())
        .and_then(|sealed| sealed::open(FORMAT_KEY, sealed))
        .and_then(|format| format.try_into().ok())
        .ok_or_else(missing)?;
    Ok(u32::from_be_bytes(format))
}

/// Calls `visit` with each key and value of a table whose checksum is right.
pub(crate) fn each_sealed<E: From<ReadError>>(
    pages: &mut Pages<'_>,
    tree: &TreeRecord,
    visit: Visit<'_, E>,
) -> Result<(), E> {
    walk::table(pages, tree, &mut |key, found| {
        let value = sealed::open(key, found);
        let value = value.ok_or_else(|| Damage("a value has a wrong checksum".into()));
        visit(key, value.map_err(ReadError::Damaged)?)
    })
}
