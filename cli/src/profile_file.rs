//! Device profiles in their files.

use crate::{exit::usage, private_file};
use std::path::Path;
use symbolon_client::Profile;

/// Reads a profile; it holds a secret, so others must not be able to read it.
pub(crate) fn read(path: &Path) -> anyhow::Result<Profile> {
    let text = private_file::read_secret(path)
        .map_err(|error| usage(format!("profile {}: {error}", path.display())))?;
    parse(&text).map_err(|error| usage(format!("profile {}: {error}", path.display())))
}

/// As the text of its file.
pub(crate) fn to_text(profile: &Profile) -> anyhow::Result<String> {
    let mut text = serde_json::to_string_pretty(profile)?;
    text.push('\n');
    Ok(text)
}

// The parser's own words may quote a value, and a value may be a secret: only names and the place are told.
fn parse(text: &str) -> Result<Profile, String> {
    serde_json::from_str(text).map_err(|error| {
        let message = error.to_string();
        let place = format!("line {} column {}", error.line(), error.column());
        match message.starts_with("missing field") {
            true => message,
            false => format!("not a device profile (docs/profile.md), see {place}"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_profile_is_refused_without_quoting_a_secret() {
        let error = parse(r#"{"client_id": "a", "client_auth": "hunter2"}"#).unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn a_missing_member_is_named() {
        let error = parse("{}").unwrap_err();
        assert!(error.contains("client_id"), "{error}");
    }
}
