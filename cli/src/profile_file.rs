//! Device profiles in their files.

use crate::{exit::usage, private_file};
use std::path::Path;
use symbolon_client::Profile;

/// Reads a profile; it holds a secret, so others must not be able to read it.
pub(crate) fn read(path: &Path) -> anyhow::Result<Profile> {
    private_file::read_secret(path)
        .and_then(|text| Profile::from_json(&text).map_err(|error| error.to_string()))
        .map_err(|error| usage(format!("profile {}: {error}", path.display())))
}

/// As the text of its file.
pub(crate) fn to_text(profile: &Profile) -> String {
    profile.to_json_pretty() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_profile_is_refused_without_quoting_a_secret() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p.json");
        private_file::write_secret(&path, r#"{"client_auth": "hunter2"}"#, false).unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
        assert!(error.contains("p.json"), "{error}");
    }
}
