//! What came of a reload, and how it travels over the control socket: JSON lines, the outcome last.

use crate::{
    config::Change,
    exit::{NeedsRestart, usage},
};
use serde::{Deserialize, Serialize};
use std::io::Write as _;

/// What came of a reload.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Report {
    /// A line for each key that differs.
    pub(crate) changes: Vec<String>,
    pub(crate) outcome: Outcome,
}

/// How it ended.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "outcome", content = "message", rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// The changes hold.
    Changed,
    /// There was nothing to change.
    Unchanged,
    /// Nothing changed: these keys need a restart.
    NeedsRestart(String),
    /// Nothing changed: the configuration cannot be used; why.
    Refused(String),
}

/// One line of an answer.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Line {
    Change { change: String },
    Outcome(Outcome),
}

/// What may be asked.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Request {
    Reload {},
}

impl Report {
    /// Nothing changed, because of this.
    pub(crate) fn refused(why: impl Into<String>) -> Self {
        Self {
            changes: Vec::new(),
            outcome: Outcome::Refused(why.into()),
        }
    }

    /// These keys differ, and this is what came of it.
    pub(crate) fn of(changes: &[Change], outcome: Outcome) -> Self {
        Self {
            changes: changes.iter().map(Change::to_string).collect(),
            outcome,
        }
    }

    /// As it travels.
    pub(crate) fn to_lines(&self) -> Vec<Line> {
        let changes = self.changes.iter().cloned();
        changes
            .map(|change| Line::Change { change })
            .chain([Line::Outcome(self.outcome.clone())])
            .collect()
    }

    /// To whoever asked: a line for each change, then how it ended.
    pub(crate) fn print(self) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        for change in &self.changes {
            writeln!(out, "{change}")?;
        }
        let words = self.outcome.to_string();
        match self.outcome {
            Outcome::Changed | Outcome::Unchanged => Ok(writeln!(out, "{words}")?),
            Outcome::NeedsRestart(_) => Err(anyhow::Error::new(NeedsRestart(words))),
            Outcome::Refused(_) => Err(usage(words)),
        }
    }

    /// Into the log, as SIGHUP has no other place to answer.
    pub(crate) fn log(&self) {
        for change in &self.changes {
            tracing::info!("reload: {change}");
        }
        match &self.outcome {
            Outcome::Changed | Outcome::Unchanged => tracing::info!("reload: {}", self.outcome),
            Outcome::NeedsRestart(_) | Outcome::Refused(_) => {
                tracing::error!("reload: {}", self.outcome);
            }
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Changed => f.write_str("the configuration was reloaded"),
            Self::Unchanged => f.write_str("nothing changed"),
            Self::NeedsRestart(keys) => {
                write!(f, "nothing was changed: only a restart can change {keys}")
            }
            Self::Refused(why) => write!(f, "nothing was changed: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_survives_its_way() {
        let report = Report {
            changes: vec!["broker.public_topics: [] → [\"a\"]".into()],
            outcome: Outcome::NeedsRestart("broker.shards".into()),
        };
        for line in report.to_lines() {
            let text = serde_json::to_string(&line).unwrap();
            assert!(!text.contains('\n'), "{text}");
            assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), line);
        }
    }

    #[test]
    fn a_request_is_what_the_documentation_says() {
        let asked: Request = serde_json::from_str("{\"command\":\"reload\"}").unwrap();
        assert_eq!(asked, Request::Reload {});
        assert!(serde_json::from_str::<Request>("{\"command\":\"stop\"}").is_err());
    }
}
