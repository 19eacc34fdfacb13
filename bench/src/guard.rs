//! The guard against regressions: how many instructions the broker takes for a PUBLISH, counted by callgrind, beside what a file says it took.
//!
//! The broker (`broker/examples/guarded.rs`) runs under callgrind, this program is its clients: a publisher sends so many messages in one
//! write and waits until the subscriber has them all. So each message is read, routed and written in the same company each time, and counts
//! hardly differ from run to run. Two runs that differ in nothing but how many messages there are: what the start takes, cancels out.

mod callgrind;
mod lockstep;

use crate::process::precise;
use anyhow::{Context as _, bail, ensure};
use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

/// What is counted: how many messages are sent at once, and how many times that is done in the shorter run.
const WINDOWS: [(u64, u64); 2] = [(1, 1_000), (64, 60)];
/// The longer run has so many times the messages.
const LONGER: u64 = 10;
/// What the figure of the file may be missed by, of a hundred.
const TOLERATED_PERCENT: f64 = 5.0;

/// `symbolon-bench guard`.
#[derive(Debug, clap::Args)]
pub(crate) struct GuardArgs {
    /// The broker: `broker/examples/guarded.rs`, built with the options that ./check gives
    #[arg(long)]
    program: PathBuf,
    /// What is expected
    #[arg(long, default_value = "bench/guard.txt")]
    file: PathBuf,
    /// How often it is counted; the medians count, and the spread is told
    #[arg(long, default_value_t = 1)]
    runs: usize,
    /// Write what was counted to the file
    #[arg(long)]
    update: bool,
}

/// Messages at once, and instructions for each message.
type Figure = (u64, f64);

impl GuardArgs {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        ensure!(self.runs > 0, "nothing is counted in no run");
        let text = fs::read_to_string(&self.file)
            .with_context(|| format!("cannot read {}", self.file.display()))?;
        let counted = WINDOWS.iter().map(|window| self.count(*window));
        let counted: Vec<Figure> = counted.collect::<Result<_, _>>()?;
        if self.update {
            return Ok(fs::write(&self.file, updated(&text, &counted))?);
        }
        let expected = parse(&text)?;
        for figure in &counted {
            judge(*figure, &expected, &self.file)?;
        }
        Ok(())
    }

    fn count(&self, (window, turns): (u64, u64)) -> anyhow::Result<Figure> {
        let mut counted = Vec::new();
        for _ in 0..self.runs {
            let shorter = instructions(&self.program, window, turns)?;
            let longer = instructions(&self.program, window, turns * LONGER)?;
            let difference = longer.checked_sub(shorter);
            let difference = difference.context("more messages took fewer instructions")?;
            counted.push(precise(difference) / precise(window * turns * (LONGER - 1)));
        }
        counted.sort_by(f64::total_cmp);
        let (least, most) = (counted[0], counted[self.runs - 1]);
        let median = counted[self.runs / 2];
        println!(
            "{window} at once: {median:.0} instructions for a PUBLISH ({} runs, {least:.1} to {most:.1})",
            self.runs
        );
        Ok((window, median))
    }
}

/// What a shard takes to start, to carry `turns` times `window` messages, and to end.
fn instructions(program: &Path, window: u64, turns: u64) -> anyhow::Result<u64> {
    let counted = callgrind::Counted::start(program)?;
    lockstep::run(&counted, window, turns)?;
    counted.finish()
}

/// The lines that are no comments.
fn parse(text: &str) -> anyhow::Result<Vec<Figure>> {
    let lines = text.lines().filter(|line| !is_comment(line));
    let figure = |line: &str| {
        let (window, instructions) = line.split_once(' ').context("two numbers in a line")?;
        anyhow::Ok((window.parse()?, instructions.trim().parse()?))
    };
    lines.map(figure).collect()
}

fn is_comment(line: &str) -> bool {
    line.is_empty() || line.starts_with('#')
}

/// The comments as they were, and these figures.
fn updated(text: &str, counted: &[Figure]) -> String {
    let mut updated = String::new();
    for line in text.lines().filter(|line| is_comment(line)) {
        updated.push_str(line);
        updated.push('\n');
    }
    for (window, instructions) in counted {
        // Writing to a text does not fail.
        writeln!(updated, "{window} {instructions:.0}").ok();
    }
    updated
}

fn judge((window, counted): Figure, expected: &[Figure], file: &Path) -> anyhow::Result<()> {
    let file = file.display();
    let figure = expected.iter().find(|figure| figure.0 == window);
    let (_, expected) = figure.with_context(|| format!("{file} says nothing of {window}"))?;
    let percent = (counted / expected - 1.0) * 100.0;
    if percent.abs() <= TOLERATED_PERCENT {
        return Ok(());
    }
    let what = if percent > 0.0 {
        "More work for each message: find it (callgrind_annotate), and take it away. Only where what it buys is worth it, and the commit says so"
    } else {
        "Less work for each message, which shall not be lost again"
    };
    bail!(
        "a PUBLISH, {window} at once, takes {counted:.0} instructions; {file} says {expected:.0}: {percent:+.1} %, and {TOLERATED_PERCENT} are \
         tolerated. {what}: write the new figure with `--update`. Another compiler moves it too: then say that in the commit."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# Why.\n\n1 1000\n64 500\n";

    fn judged(counted: f64) -> anyhow::Result<()> {
        judge((64, counted), &parse(FILE)?, Path::new("guard.txt"))
    }

    #[test]
    fn a_figure_within_five_per_cent_passes_and_another_says_what_to_do() {
        judged(524.0).unwrap();
        judged(476.0).unwrap();
        for (counted, says) in [(526.0, "take it away"), (474.0, "lost again")] {
            let error = judged(counted).unwrap_err().to_string();
            assert!(
                error.contains(says) && error.contains("--update"),
                "{error}"
            );
        }
    }

    #[test]
    fn what_the_file_says_nothing_of_does_not_pass() {
        let expected = parse(FILE).unwrap();
        assert!(judge((8, 500.0), &expected, Path::new("guard.txt")).is_err());
        assert!(parse("64\n").is_err());
        assert!(parse("64 many\n").is_err());
    }

    #[test]
    fn an_update_keeps_the_comments_and_is_read_back() {
        let counted = [(1, 990.0), (64, 510.0)];
        let text = updated(FILE, &counted);
        assert!(text.starts_with("# Why.\n"));
        assert_eq!(parse(&text).unwrap(), counted);
    }
}
