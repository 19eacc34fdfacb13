//! Where the messages come from: `-m`, `-n`, `-f`, `-s` or `-l`.

use crate::{exit::usage, mqtt::MAX_PAYLOAD_BYTES};
use anyhow::Context as _;
use std::{
    fs::File,
    io::{self, BufRead as _, Read},
    path::{Path, PathBuf},
};
use tokio::sync::mpsc;

/// How many lines may wait between standard input and the connection.
const LINES_WAITING: usize = 16;

/// Exactly one of them.
#[derive(Clone, clap::Args)]
#[group(required = true, multiple = false)]
pub(super) struct SourceArgs {
    /// The message
    #[arg(short = 'm', long, value_name = "TEXT", allow_hyphen_values = true)]
    message: Option<String>,
    /// An empty message; with -r it clears the retained one
    #[arg(short = 'n', long)]
    null_message: bool,
    /// A file whose content is the message
    #[arg(short = 'f', long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Standard input, whole, is the message
    #[arg(short = 's', long)]
    stdin_file: bool,
    /// Each line of standard input is a message
    #[arg(short = 'l', long)]
    stdin_line: bool,
}

/// One message, or lines as they come.
pub(super) enum Source {
    /// One message.
    One(Vec<u8>),
    /// Lines.
    Lines(Lines),
}

/// The lines of standard input, read on a thread of their own, since reading them blocks.
pub(super) struct Lines(mpsc::Receiver<io::Result<Vec<u8>>>);

impl SourceArgs {
    /// Opens or reads it.
    pub(super) fn open(&self) -> anyhow::Result<Source> {
        if self.stdin_line {
            return Ok(Source::Lines(Lines::of_standard_input()));
        }
        if self.stdin_file {
            let payload = read_all(io::stdin().lock()).context("standard input")?;
            return Ok(Source::One(payload));
        }
        if let Some(file) = &self.file {
            return Ok(Source::One(read_file(file)?));
        }
        let message = self.message.clone().unwrap_or_default();
        Ok(Source::One(message.into_bytes()))
    }
}

impl Lines {
    fn of_standard_input() -> Self {
        let (sender, receiver) = mpsc::channel(LINES_WAITING);
        std::thread::spawn(move || {
            let mut input = io::stdin().lock();
            loop {
                let line = read_line(&mut input).transpose();
                let Some(line) = line else { break };
                let failed = line.is_err();
                if sender.blocking_send(line).is_err() || failed {
                    break;
                }
            }
        });
        Self(receiver)
    }

    /// The next line, without its end; `None` at the end of the input. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<io::Result<Vec<u8>>> {
        self.0.recv().await
    }
}

fn read_file(file: &Path) -> anyhow::Result<Vec<u8>> {
    let opened = File::open(file).map_err(|error| usage(format!("{}: {error}", file.display())))?;
    read_all(opened).with_context(|| file.display().to_string())
}

fn read_all(input: impl Read) -> anyhow::Result<Vec<u8>> {
    let mut payload = Vec::new();
    input
        .take(MAX_PAYLOAD_BYTES + 1)
        .read_to_end(&mut payload)?;
    if payload.len() as u64 > MAX_PAYLOAD_BYTES {
        return Err(usage(format!("longer than {MAX_PAYLOAD_BYTES} bytes")));
    }
    Ok(payload)
}

fn read_line(input: &mut impl io::BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let length = input.take(MAX_PAYLOAD_BYTES).read_until(b'\n', &mut line)?;
    if length == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    } else if length as u64 == MAX_PAYLOAD_BYTES {
        let message = format!("a line is longer than {MAX_PAYLOAD_BYTES} bytes");
        return Err(io::Error::other(message));
    }
    Ok(Some(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_a_message_and_the_last_needs_no_end() {
        let mut input = io::Cursor::new(b"one\ntwo\r\n\nlast");
        let mut lines = Vec::new();
        while let Some(line) = read_line(&mut input).unwrap() {
            lines.push(line);
        }
        assert_eq!(
            lines,
            [b"one".to_vec(), b"two".to_vec(), vec![], b"last".to_vec()]
        );
    }
}
