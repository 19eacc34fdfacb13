//! Files that hold a secret: mode 0600, and refused when others may read them.

use crate::credential;
use anyhow::Context as _;
use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::Path,
};

/// The most that a key, certificate or profile file may have, bytes.
pub(crate) const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Writes a new file that only its owner may read. Fails if there is one, unless `replace`.
pub(crate) fn write_secret(path: &Path, content: &str, replace: bool) -> anyhow::Result<()> {
    if replace && path.exists() {
        fs::remove_file(path).with_context(|| format!("cannot replace {}", path.display()))?;
    }
    write(path, content, true)
}

/// Puts a secret file in the place of another in one step: whoever reads it meanwhile gets the one or the other, whole.
pub(crate) fn swap_secret(path: &Path, content: &str) -> anyhow::Result<()> {
    if credential::is_one(path) {
        let path = path.display();
        anyhow::bail!(
            "{path} is a credential of systemd's: it is changed where systemd has it from"
        );
    }
    let failed = || format!("cannot replace {}", path.display());
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    // Temporary files have mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(directory).with_context(failed)?;
    file.write_all(content.as_bytes()).with_context(failed)?;
    file.as_file().sync_all().with_context(failed)?;
    give_to_the_owner_of(path, file.path()).with_context(failed)?;
    file.persist(path).with_context(failed)?;
    fs::File::open(directory)
        .and_then(|directory| directory.sync_all())
        .with_context(failed)
}

/// Gives a new file to whoever has the one that it takes the place of: a server that runs as another user than root reads it on.
pub(crate) fn give_to_the_owner_of(before: &Path, new: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    if before.exists() {
        use std::os::unix::fs::{MetadataExt as _, chown};
        let (before, now) = (fs::metadata(before)?, fs::metadata(new)?);
        if (before.uid(), before.gid()) != (now.uid(), now.gid()) {
            chown(new, Some(before.uid()), Some(before.gid()))?;
        }
    }
    #[cfg(not(unix))]
    let _ = (before, new);
    Ok(())
}

/// Writes a new file that everyone may read. Fails if there is one.
pub(crate) fn write_public(path: &Path, content: &str) -> anyhow::Result<()> {
    write(path, content, false)
}

/// Makes a directory that only its owner may enter; one that exists is left as it is.
pub(crate) fn make_private_directory(path: &Path) -> anyhow::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(path)
        .with_context(|| format!("cannot make the directory {}", path.display()))
}

/// Reads a file that must be nobody else's. The error is for people, without the path.
pub(crate) fn read_secret(path: &Path) -> Result<String, String> {
    let text = read_text(path)?;
    refuse_if_others_may_use(path)?;
    Ok(text)
}

/// Reads a text file of at most [`MAX_FILE_BYTES`]. The error is for people, without the path.
pub(crate) fn read_text(path: &Path) -> Result<String, String> {
    if let Some(why) = credential::why_missing(path) {
        return Err(why);
    }
    let metadata = fs::metadata(path).map_err(|error| error.to_string())?;
    if metadata.is_dir() {
        return Err("is a directory".into());
    }
    if metadata.len() > MAX_FILE_BYTES {
        return Err(format!("is larger than {MAX_FILE_BYTES} bytes"));
    }
    fs::read_to_string(path).map_err(|error| error.to_string())
}

/// On Unix: an error when group or world have any right on the file. Credentials of systemd's may be readable by their group: that is how
/// their access list shows, and nobody else enters their directory.
pub(crate) fn refuse_if_others_may_use(path: &Path) -> Result<(), String> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let metadata = fs::metadata(path).map_err(|error| error.to_string())?;
        let mode = metadata.permissions().mode() & 0o777;
        let forbidden = if credential::is_one(path) {
            0o037
        } else {
            0o077
        };
        if mode & forbidden != 0 {
            return Err(format!(
                "others may use it (mode {mode:04o}) and it holds a secret; run: chmod 600 {}",
                path.display()
            ));
        }
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

fn write(path: &Path, content: &str, secret: bool) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, if secret { 0o600 } else { 0o644 });
    #[cfg(not(unix))]
    let _ = secret;
    options
        .open(path)
        .and_then(|mut file| {
            file.write_all(content.as_bytes())?;
            file.sync_all()
        })
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_secret_file_is_its_owners_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        write_secret(&path, "secret", false).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(read_secret(&path).unwrap(), "secret");
    }

    #[test]
    fn a_secret_file_that_others_may_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        write_public(&path, "secret").unwrap();
        let error = read_secret(&path).unwrap_err();
        assert!(error.contains("mode 0644"), "{error}");
        assert!(error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn a_secret_file_that_takes_the_place_of_another_is_its_owners_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        write_secret(&path, "one", false).unwrap();
        swap_secret(&path, "two").unwrap();
        assert_eq!(read_secret(&path).unwrap(), "two");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        // Only root may give files away.
        if std::os::unix::fs::chown(&path, Some(12_345), None).is_ok() {
            use std::os::unix::fs::MetadataExt as _;
            swap_secret(&path, "three").unwrap();
            assert_eq!(fs::metadata(&path).unwrap().uid(), 12_345);
        }
    }

    #[test]
    fn a_file_is_not_overwritten_unless_told_so() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        write_secret(&path, "one", false).unwrap();
        assert!(write_secret(&path, "two", false).is_err());
        write_secret(&path, "two", true).unwrap();
        assert_eq!(read_secret(&path).unwrap(), "two");
    }
}
