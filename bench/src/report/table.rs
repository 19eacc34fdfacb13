//! A table in Markdown.

use super::Measured;
use std::fmt::Write as _;

/// Each broker's medians; behind them, in brackets, how many times better than the first broker's.
pub(crate) fn markdown(measured: &Measured, brokers: &[&str]) -> String {
    let mut text = String::from("| scenario | figure |");
    for broker in brokers {
        // Writing to a text does not fail.
        write!(text, " {broker} |").ok();
    }
    text.push_str("\n|---|---|");
    text.push_str(&"---:|".repeat(brokers.len()));
    text.push('\n');
    for row in &measured.rows {
        write!(text, "| {} | {} |", row.0, row.1.name()).ok();
        for broker in brokers {
            text.push(' ');
            text.push_str(&cell(measured, *row, broker, brokers[0]));
            text.push_str(" |");
        }
        text.push('\n');
    }
    text
}

fn cell(measured: &Measured, row: super::Row, broker: &str, first: &str) -> String {
    let Some(value) = measured.median(row, broker) else {
        return "–".into();
    };
    let number = if value < 100.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    };
    match measured.ratio(row, broker, first) {
        Some(ratio) if broker != first => format!("{number} ({ratio:.2})"),
        Some(_) | None => number,
    }
}
