//! Secrets that systemd hands to a service (`LoadCredential=` and the like): read-only files in a directory that only the service may enter.
//!
//! Wherever the configuration names a file, `credential:NAME` names one of these.

use std::{
    env,
    path::{Component, Path, PathBuf},
};

/// Where systemd says that they are.
const VARIABLE: &str = "CREDENTIALS_DIRECTORY";
const PREFIX: &str = "credential:";

/// The file of a credential; `None` where the path names none.
pub(crate) fn path(named: &Path) -> Option<PathBuf> {
    let name = named.to_str()?.strip_prefix(PREFIX)?;
    // Where there are none the path stays as it is, and whoever reads it is told why.
    Some(match directory() {
        Some(directory) if is_plain(name) => directory.join(name),
        Some(_) | None => named.to_owned(),
    })
}

/// Why a path that names a credential leads nowhere; `None` for all other paths.
pub(crate) fn why_missing(path: &Path) -> Option<String> {
    let name = path.to_str()?.strip_prefix(PREFIX)?;
    Some(if is_plain(name) {
        format!(
            "there are no credentials here: systemd sets {VARIABLE} for a service that has them"
        )
    } else {
        "names no credential: a name has no slash in it".to_owned()
    })
}

/// Whether it is one, or would be: then it can be read and not written, and the bits of its group are systemd's own doing.
pub(crate) fn is_one(path: &Path) -> bool {
    let is_in = |directory: PathBuf| path.parent() == Some(&directory);
    directory().is_some_and(is_in) || why_missing(path).is_some()
}

fn directory() -> Option<PathBuf> {
    let directory = PathBuf::from(env::var_os(VARIABLE)?);
    directory.is_absolute().then_some(directory)
}

fn is_plain(name: &str) -> bool {
    let mut components = Path::new(name).components();
    let first = components.next();
    matches!(first, Some(Component::Normal(first)) if first == name) && components.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_of_a_file_in_that_directory_and_leads_nowhere_else() {
        assert!(is_plain("signing.jwk"));
        for name in ["", ".", "..", "../shadow", "a/b", "/etc/shadow", "a/"] {
            assert!(!is_plain(name), "{name}");
            let told = why_missing(Path::new(&format!("credential:{name}")));
            assert!(told.unwrap().contains("no slash"), "{name}");
        }
        assert_eq!(why_missing(Path::new("keys/signing.jwk")), None);
        assert_eq!(path(Path::new("keys/signing.jwk")), None);
    }
}
