//! The text of the file, what the environment and the command line put over it, and where in the text a key stands.

use super::{
    diagnostic::{ConfigError, Diagnostic},
    keys::{self, Kind},
    schema::File,
};
use crate::{credential, private_file};
use serde::Deserialize as _;
use std::{
    ffi::OsString,
    ops::Range,
    path::{Path, PathBuf},
};
use toml::{
    Spanned, Table, Value,
    de::{DeTable, DeValue},
};

/// The sections whose keys may be set by the environment; other `SYMBOLON_` variables belong to single commands.
const VARIABLE_PREFIXES: [&str; 4] = [
    "SYMBOLON_AS_",
    "SYMBOLON_BROKER_",
    "SYMBOLON_PROFILE_",
    "SYMBOLON_LOG_",
];

/// A configuration file that has been read and whose keys all exist.
#[derive(Debug)]
pub(super) struct Document {
    file: PathBuf,
    text: String,
    overrides: Vec<Override>,
    /// The file with the overrides over it.
    pub(super) content: File,
}

/// A key set from outside the file.
#[derive(Clone, Debug)]
pub(crate) struct Override {
    origin: String,
    path: String,
    value: Value,
}

impl Document {
    /// Reads a file, checks that it is TOML and that its keys exist, and puts the overrides over it.
    pub(super) fn read(file: &Path, overrides: Vec<Override>) -> Result<Self, ConfigError> {
        let text = private_file::read_text(file).map_err(|error| {
            let help = "make one with: symbolon init DIR".to_owned();
            ConfigError::outside(
                file,
                Diagnostic::new(format!("cannot be read: {error}")).help(Some(help)),
            )
        })?;
        Self::parse(file, text, overrides)
    }

    fn parse(file: &Path, text: String, overrides: Vec<Override>) -> Result<Self, ConfigError> {
        let fail = |diagnostics| ConfigError::new(file, text.clone(), diagnostics);
        let table = DeTable::parse(&text).map_err(|error| fail(vec![from_toml(&error)]))?;
        let unknown = unknown_keys(table.get_ref(), "");
        if !unknown.is_empty() {
            return Err(fail(unknown));
        }
        let content: File = toml::from_str(&text).map_err(|error| fail(vec![from_toml(&error)]))?;
        let content = if overrides.is_empty() {
            content
        } else {
            overlay(&text, &overrides).map_err(|diagnostic| fail(vec![diagnostic]))?
        };
        Ok(Self {
            file: file.to_owned(),
            text,
            overrides,
            content,
        })
    }

    /// All keys with their values, as the file and the overrides set them.
    pub(super) fn effective(&self) -> Table {
        // It was parsed before.
        let mut table: Table = toml::from_str(&self.text).unwrap_or_default();
        for set in &self.overrides {
            insert(&mut table, &set.path, set.value.clone());
        }
        table
    }

    /// A path in the file, which is relative to the file's directory, or `credential:NAME`.
    pub(super) fn absolute(&self, path: &Path) -> PathBuf {
        credential::path(path).unwrap_or_else(|| self.directory().join(path))
    }

    /// The file.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// The file's directory.
    pub(super) fn directory(&self) -> &Path {
        match self.file.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            Some(_) | None => Path::new("."),
        }
    }

    /// A complaint about the value of a key, wherever it was set. `path` may have an index: `broker.listener[0].address`.
    pub(super) fn complaint(&self, path: &str, message: impl Into<String>) -> Diagnostic {
        let message = message.into();
        let whole = path.split('[').next().unwrap_or(path);
        match self.overrides.iter().rfind(|set| set.path == whole) {
            Some(set) => Diagnostic::new(format!("{} ({path}): {message}", set.origin)),
            None => Diagnostic::new(message).at(self.span(path)),
        }
    }

    /// Whether the environment or the command line says what a key is.
    pub(super) fn is_overridden(&self, path: &str) -> bool {
        self.overrides.iter().any(|set| set.path == path)
    }

    /// The complaints as an error, or nothing where there are none.
    pub(super) fn error(&self, diagnostics: Vec<Diagnostic>) -> Option<ConfigError> {
        (!diagnostics.is_empty())
            .then(|| ConfigError::new(&self.file, self.text.clone(), diagnostics))
    }

    /// Where the value of a key stands, or else the section it belongs into.
    fn span(&self, path: &str) -> Option<Range<usize>> {
        let table = DeTable::parse(&self.text).ok()?;
        let mut levels = path
            .split(['.', '['])
            .map(|level| level.trim_end_matches(']'));
        let first = table.get_ref().get(levels.next()?)?;
        let mut found = first;
        for level in levels {
            let next = match level.parse::<usize>() {
                Ok(index) => found.get_ref().get(index),
                Err(_) => found.get_ref().get(level),
            };
            match next {
                Some(next) => found = next,
                None => break,
            }
        }
        Some(found.span())
    }
}

/// Overrides from variables named `SYMBOLON_` + section + key.
pub(crate) fn from_environment(
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Vec<Override>, ConfigError> {
    let known: Vec<(String, &str, Kind)> = keys::KEYS
        .iter()
        .filter_map(|(path, kind)| Some((keys::variable(path)?, *path, *kind)))
        .collect();
    let mut overrides = Vec::new();
    for (name, value) in variables {
        let Some(name) = name.to_str() else { continue };
        if !VARIABLE_PREFIXES
            .iter()
            .any(|prefix| name.starts_with(prefix))
        {
            continue;
        }
        let Some((_, path, kind)) = known.iter().find(|(variable, ..)| variable == name) else {
            let names = known.iter().map(|(variable, ..)| variable.as_str());
            let help = keys::closest(name, names).map(|name| format!("did you mean {name}?"));
            return Err(ConfigError::outside(
                "environment",
                Diagnostic::new(format!("unknown variable {name}")).help(help),
            ));
        };
        let origin = format!("environment variable {name}");
        let text = value.to_str().ok_or_else(|| {
            ConfigError::outside(
                "environment",
                Diagnostic::new(format!("{name} is not UTF-8")),
            )
        })?;
        overrides.push(parse_override(origin, path, *kind, text)?);
    }
    // The environment has no order; a fixed one makes complaints repeatable.
    overrides.sort_by(|left, right| left.path.cmp(&right.path));
    Ok(overrides)
}

/// Overrides from `--set KEY=VALUE`.
pub(crate) fn from_command_line(set: &[String]) -> Result<Vec<Override>, ConfigError> {
    set.iter().map(|text| from_argument(text)).collect()
}

fn from_argument(text: &str) -> Result<Override, ConfigError> {
    let fail = |message: String, help| {
        ConfigError::outside("command line", Diagnostic::new(message).help(help))
    };
    let (path, value) = text
        .split_once('=')
        .ok_or_else(|| fail(format!("--set {text}: expected KEY=VALUE"), None))?;
    let kind = keys::kind(path)
        .filter(|_| keys::variable(path).is_some())
        .ok_or_else(|| {
            fail(
                format!("--set {path}: there is no such key"),
                keys::suggestion(path),
            )
        })?;
    parse_override(format!("--set {path}"), path, kind, value)
}

fn parse_override(
    origin: String,
    path: &str,
    kind: Kind,
    text: &str,
) -> Result<Override, ConfigError> {
    let fail = |message: &str| {
        let first_line = message.lines().next().unwrap_or_default();
        ConfigError::outside(origin.clone(), Diagnostic::new(first_line))
    };
    let value = match kind {
        Kind::Text => Value::String(text.to_owned()),
        Kind::Plain | Kind::Array => DeValue::parse(text)
            .and_then(|value| Value::deserialize(toml::de::ValueDeserializer::from(value)))
            .map_err(|error| fail(error.message()))?,
    };
    let mut table = Table::new();
    insert(&mut table, path, value.clone());
    File::deserialize(table).map_err(|error| fail(error.message()))?;
    Ok(Override {
        origin,
        path: path.to_owned(),
        value,
    })
}

fn overlay(text: &str, overrides: &[Override]) -> Result<File, Diagnostic> {
    let mut table: Table = toml::from_str(text).map_err(|error| from_toml(&error))?;
    for set in overrides {
        insert(&mut table, &set.path, set.value.clone());
    }
    File::deserialize(table).map_err(|error| Diagnostic::new(error.message()))
}

fn insert(table: &mut Table, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            table.insert(path.to_owned(), value);
        }
        Some((section, rest)) => {
            let entry = table
                .entry(section)
                .or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = entry {
                insert(inner, rest, value);
            }
        }
    }
}

fn unknown_keys(table: &DeTable<'_>, section: &str) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (key, value) in table {
        let path = if section.is_empty() {
            key.get_ref().to_string()
        } else {
            format!("{section}.{}", key.get_ref())
        };
        if keys::is_section(&path) {
            found.extend(unknown_keys_in(value, &path));
        } else if keys::kind(&path).is_none() {
            let message = match section {
                "" => format!("unknown section or key `{}`", key.get_ref()),
                _ => format!("unknown key `{}` in [{section}]", key.get_ref()),
            };
            found.push(
                Diagnostic::new(message)
                    .at(Some(key.span()))
                    .help(keys::suggestion(&path)),
            );
        }
    }
    found
}

fn unknown_keys_in(value: &Spanned<DeValue<'_>>, path: &str) -> Vec<Diagnostic> {
    if let Some(table) = value.get_ref().as_table() {
        return unknown_keys(table, path);
    }
    value
        .get_ref()
        .as_array()
        .into_iter()
        .flat_map(|array| array.iter())
        .filter_map(|element| element.get_ref().as_table())
        .flat_map(|table| unknown_keys(table, path))
        .collect()
}

/// serde names the wrong word and those it expects in backticks: enough for a suggestion.
fn from_toml(error: &toml::de::Error) -> Diagnostic {
    let message = error.message().trim().to_owned();
    let mut quoted = message.split('`').skip(1).step_by(2);
    let help = quoted
        .next()
        .filter(|_| message.starts_with("unknown variant"))
        .and_then(|word| keys::closest(word, quoted))
        .map(|word| format!("did you mean \"{word}\"?"));
    Diagnostic::new(message.replace('\n', "; "))
        .at(error.span())
        .help(help)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, overrides: Vec<Override>) -> Result<Document, ConfigError> {
        Document::parse(Path::new("t.toml"), text.to_owned(), overrides)
    }

    fn environment(pairs: &[(&str, &str)]) -> Result<Vec<Override>, ConfigError> {
        from_environment(
            pairs
                .iter()
                .map(|(name, value)| (OsString::from(name), OsString::from(value))),
        )
    }

    #[test]
    fn unknown_keys_are_refused_with_place_and_suggestion() {
        let error = parse(
            "[broker]\n\n[[broker.listener]]\nadress = \"127.0.0.1:1\"\n",
            vec![],
        )
        .unwrap_err()
        .to_string();
        assert!(
            error.starts_with("t.toml:4:1: unknown key `adress` in [broker.listener]"),
            "{error}"
        );
        assert!(error.contains("did you mean `address`?"), "{error}");
    }

    #[test]
    fn a_wrong_type_is_told_with_its_place() {
        let error = parse("[broker]\nshards = \"two\"\n", vec![])
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("t.toml:2:10: invalid type"), "{error}");
    }

    #[test]
    fn an_unknown_variant_gets_a_suggestion() {
        let error = parse("[[broker.listener]]\ntransport = \"tsl\"\n", vec![])
            .unwrap_err()
            .to_string();
        assert!(error.contains("did you mean \"tls\"?"), "{error}");
    }

    #[test]
    fn the_environment_overrides_the_file() {
        let set = environment(&[
            ("SYMBOLON_BROKER_SHARDS", "3"),
            ("SYMBOLON_BROKER_AUDIENCE", "5"),
            ("SYMBOLON_DIR", "x"),
        ])
        .unwrap();
        let document = parse("[broker]\nshards = 1\n", set).unwrap();
        let broker = document.content.broker.unwrap();
        assert_eq!(broker.shards, Some(3));
        assert_eq!(broker.audience.as_deref(), Some("5"));
    }

    #[test]
    fn the_command_line_overrides_the_environment() {
        let mut set = environment(&[("SYMBOLON_BROKER_SHARDS", "3")]).unwrap();
        set.extend(from_command_line(&["broker.shards=4".into()]).unwrap());
        let document = parse("", set).unwrap();
        assert_eq!(document.content.broker.unwrap().shards, Some(4));
    }

    #[test]
    fn an_unknown_variable_of_a_section_is_refused() {
        let error = environment(&[("SYMBOLON_AS_LISTN", "x")])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("did you mean SYMBOLON_AS_LISTEN?"),
            "{error}"
        );
    }

    #[test]
    fn a_wrong_override_is_told_with_its_origin() {
        let error = environment(&[("SYMBOLON_AS_LISTEN", "nowhere")])
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("environment variable SYMBOLON_AS_LISTEN: "),
            "{error}"
        );
    }

    #[test]
    fn listeners_can_be_set_as_a_whole() {
        let set = from_command_line(&[
            "broker.listener=[{address = \"127.0.0.1:0\", transport = \"tcp\"}]".into(),
        ])
        .unwrap();
        let document = parse("", set).unwrap();
        assert_eq!(document.content.broker.unwrap().listener.len(), 1);
    }
}
