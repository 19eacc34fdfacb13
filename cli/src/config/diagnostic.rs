//! What is wrong, where, and what was probably meant.

use std::{fmt, ops::Range, path::PathBuf};

/// The most complaints shown at once.
const MAX_SHOWN: usize = 20;

/// One complaint.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Diagnostic {
    /// What is wrong.
    pub(crate) message: String,
    /// Where in the text, bytes; none where no place in the file is to blame.
    pub(crate) span: Option<Range<usize>>,
    /// What to do.
    pub(crate) help: Option<String>,
}

/// A configuration that cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) struct ConfigError {
    file: PathBuf,
    text: String,
    diagnostics: Vec<Diagnostic>,
}

impl Diagnostic {
    /// A complaint without a place.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            span: None,
            help: None,
        }
    }

    /// With a place.
    #[must_use]
    pub(crate) fn at(mut self, span: Option<Range<usize>>) -> Self {
        self.span = span;
        self
    }

    /// With advice.
    #[must_use]
    pub(crate) fn help(mut self, help: Option<String>) -> Self {
        self.help = help;
        self
    }
}

impl ConfigError {
    /// Complaints about a text, in its order.
    pub(crate) fn new(
        file: impl Into<PathBuf>,
        text: impl Into<String>,
        mut diagnostics: Vec<Diagnostic>,
    ) -> Self {
        diagnostics.sort_by_key(|diagnostic| {
            diagnostic
                .span
                .as_ref()
                .map_or(usize::MAX, |span| span.start)
        });
        Self {
            file: file.into(),
            text: text.into(),
            diagnostics,
        }
    }

    /// One complaint that has no place in a file.
    pub(crate) fn outside(file: impl Into<PathBuf>, diagnostic: Diagnostic) -> Self {
        Self::new(file, "", vec![diagnostic])
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.diagnostics.iter().take(MAX_SHOWN).enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write_diagnostic(f, &self.file.display().to_string(), &self.text, diagnostic)?;
        }
        match self.diagnostics.len().saturating_sub(MAX_SHOWN) {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

fn write_diagnostic(
    f: &mut fmt::Formatter<'_>,
    file: &str,
    text: &str,
    diagnostic: &Diagnostic,
) -> fmt::Result {
    let Some(span) = &diagnostic.span else {
        write!(f, "{file}: {}", diagnostic.message)?;
        return write_help(f, "", diagnostic.help.as_deref());
    };
    let (line_number, column, line) = place(text, span.start);
    write!(f, "{file}:{line_number}:{column}: {}", diagnostic.message)?;
    let margin = " ".repeat(line_number.to_string().len());
    let before = line.chars().take(column - 1).map(blank).collect::<String>();
    let inside = text.get(span.clone()).unwrap_or_default();
    let width = inside.lines().next().unwrap_or_default().chars().count();
    let room = line.chars().count().saturating_sub(column - 1);
    let caret = "^".repeat(width.min(room).max(1));
    write!(
        f,
        "\n{margin} |\n{line_number} | {line}\n{margin} | {before}{caret}"
    )?;
    write_help(
        f,
        &format!("\n{margin} = help: "),
        diagnostic.help.as_deref(),
    )
}

fn write_help(f: &mut fmt::Formatter<'_>, before: &str, help: Option<&str>) -> fmt::Result {
    match help {
        None => Ok(()),
        Some(help) if before.is_empty() => write!(f, "; {help}"),
        Some(help) => write!(f, "{before}{help}"),
    }
}

// Tabs stay tabs, so that the caret stands under its word however wide a tab is.
fn blank(character: char) -> char {
    if character == '\t' { '\t' } else { ' ' }
}

/// Line and column, from 1, of a byte offset, and the line's text. Columns count characters.
fn place(text: &str, offset: usize) -> (usize, usize, &str) {
    let offset = text.floor_char_boundary(offset.min(text.len()));
    let before = &text[..offset];
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[start..].lines().next().unwrap_or_default();
    let line_number = before.matches('\n').count() + 1;
    let column = text[start..offset].chars().count() + 1;
    (line_number, column, line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_shows_line_column_source_and_caret() {
        let text = "[as]\nlisen = \"x\"\n";
        let diagnostic = Diagnostic::new("unknown key `lisen`")
            .at(Some(5..10))
            .help(Some("did you mean `listen`?".into()));
        let error = ConfigError::new("a.toml", text, vec![diagnostic]);
        assert_eq!(
            error.to_string(),
            "a.toml:2:1: unknown key `lisen`\n  |\n2 | lisen = \"x\"\n  | ^^^^^\n  = help: did you mean `listen`?"
        );
    }

    #[test]
    fn a_complaint_at_the_end_of_the_text_still_has_a_place() {
        let error = ConfigError::new(
            "a.toml",
            "x = ",
            vec![Diagnostic::new("value missing").at(Some(4..4))],
        );
        assert!(error.to_string().starts_with("a.toml:1:5: value missing"));
    }

    #[test]
    fn columns_count_characters_not_bytes() {
        assert_eq!(place("é = 1", 3).1, 3);
    }
}
