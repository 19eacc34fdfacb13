//! The directory of a store: made for its owner alone, locked while it is in use, renamed when it is damaged.

use crate::pages::Damage;
use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

/// LMDB's file.
pub(crate) const DATA_FILE: &str = "data.mdb";
/// LMDB's table of readers.
const READERS_FILE: &str = "lock.mdb";
/// Ours: whoever holds its lock has the store open.
const LOCK_FILE: &str = "in-use";
/// How names of what was set aside within the directory begin.
const SET_ASIDE_PREFIX: &str = "damaged-";
/// How many names are tried for what is set aside, should several stores be damaged in one second.
const SET_ASIDE_NAMES: u32 = 100;

/// Why a directory cannot hold the store.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// Another process, or another place in this one, has the store open.
    #[error("the store {} is in use by process {holder}", path.display())]
    InUse {
        /// Which directory.
        path: PathBuf,
        /// The process, as it wrote itself down; `?` where it did not.
        holder: String,
    },
    /// It holds other things than a store, which shall not be renamed with it.
    #[error("{} is no store: it also holds {name:?}", path.display())]
    Foreign {
        /// Which directory.
        path: PathBuf,
        /// What.
        name: String,
    },
    /// There is no store.
    #[error("there is no store at {}", .0.display())]
    Missing(PathBuf),
    /// The system says no.
    #[error("{}: {source}", path.display())]
    Io {
        /// At which file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A damaged store was set aside.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SetAside {
    /// Where it is now.
    pub path: PathBuf,
    /// What is wrong with it.
    pub damage: Damage,
}

/// A directory that nobody else has open. The lock ends with the value, or with the process.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    lock: File,
}

impl Directory {
    /// Makes it if need be, with mode 0700, and locks it.
    pub(crate) fn lock(path: &Path) -> Result<Self, DirectoryError> {
        make_private(path).map_err(at(path))?;
        refuse_foreign(path)?;
        let lock_path = path.join(LOCK_FILE);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut lock = options
            .mode(0o600)
            .open(&lock_path)
            .map_err(at(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(path, &mut lock)),
            Err(TryLockError::Error(error)) => return Err(at(&lock_path)(error)),
        }
        // For the message alone that another process then gives: a full disk must not keep a store from being opened.
        let _written = lock
            .set_len(0)
            .and_then(|()| write!(lock, "{}", std::process::id()));
        Ok(Self {
            path: path.to_owned(),
            lock,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// LMDB's file; `None` where there is none yet.
    pub(crate) fn data(&self) -> Result<Option<File>, DirectoryError> {
        data_in(&self.path)
    }

    /// Renames it, or where that cannot be, because something is mounted on it, what is in it; then makes a new one.
    pub(crate) fn set_aside(
        self,
        damage: Damage,
        now_unix_secs: u64,
    ) -> Result<(Self, SetAside), DirectoryError> {
        let name = self.path.file_name().unwrap_or_default();
        let name = name.to_string_lossy();
        let beside = |n| self.path.with_file_name(format!("{name}.damaged-{n}"));
        let within = |n| self.path.join(format!("{SET_ASIDE_PREFIX}{n}"));
        let free = |path: &dyn Fn(String) -> PathBuf| {
            let names = (0..SET_ASIDE_NAMES).map(|index| match index {
                0 => now_unix_secs.to_string(),
                _ => format!("{now_unix_secs}-{index}"),
            });
            names.map(path).find(|path| !path.exists())
        };
        let (Some(beside), Some(within)) = (free(&beside), free(&within)) else {
            let source = io::Error::from(io::ErrorKind::AlreadyExists);
            return Err(at(&self.path)(source));
        };
        let path = if fs::rename(&self.path, &beside).is_ok() {
            beside
        } else {
            self.move_files(&within).map_err(at(&within))?;
            within
        };
        let original = self.path.clone();
        drop(self);
        Ok((Self::lock(&original)?, SetAside { path, damage }))
    }

    fn move_files(&self, to: &Path) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(to)?;
        for name in [DATA_FILE, READERS_FILE] {
            match fs::rename(self.path.join(name), to.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Makes the names in it, and its own, survive a power loss.
    pub(crate) fn sync(&self) -> Result<(), DirectoryError> {
        let parent = self.path.parent().filter(|path| *path != Path::new(""));
        for path in [Some(self.path.as_path()), parent].into_iter().flatten() {
            File::open(path)
                .and_then(|directory| directory.sync_all())
                .map_err(at(path))?;
        }
        Ok(())
    }
}

impl Drop for Directory {
    // Closing it is not enough while a child that is just being started still has a copy of it.
    fn drop(&mut self) {
        let _unlocked = self.lock.unlock();
    }
}

/// LMDB's file in a directory; `None` where there is none.
pub(crate) fn data_in(directory: &Path) -> Result<Option<File>, DirectoryError> {
    let path = directory.join(DATA_FILE);
    match File::open(&path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at(&path)(error)),
    }
}

fn make_private(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let mode = fs::metadata(path)?.permissions().mode();
            let of_owner = mode & 0o700;
            if mode & 0o777 == of_owner {
                return Ok(());
            }
            fs::set_permissions(path, Permissions::from_mode(of_owner))
        }
        Err(error) => Err(error),
    }
}

fn refuse_foreign(path: &Path) -> Result<(), DirectoryError> {
    for entry in fs::read_dir(path).map_err(at(path))? {
        let name = entry.map_err(at(path))?.file_name();
        let name = name.to_string_lossy();
        let ours = [DATA_FILE, READERS_FILE, LOCK_FILE, "lost+found"].contains(&&*name)
            || name.starts_with(SET_ASIDE_PREFIX);
        if !ours {
            return Err(DirectoryError::Foreign {
                path: path.to_owned(),
                name: name.into_owned(),
            });
        }
    }
    Ok(())
}

fn in_use(path: &Path, lock: &mut File) -> DirectoryError {
    let mut holder = String::new();
    let read = lock.take(20).read_to_string(&mut holder);
    if read.is_err() || holder.is_empty() {
        holder = "?".into();
    }
    DirectoryError::InUse {
        path: path.to_owned(),
        holder,
    }
}

pub(crate) fn at(path: &Path) -> impl Fn(io::Error) -> DirectoryError + '_ {
    |source| DirectoryError::Io {
        path: path.to_owned(),
        source,
    }
}
