//! Which messages are printed, and how.

use super::format::Format;
use crate::exit::usage;
use anyhow::Context as _;
use chrono::Local;
use std::io::{self, Write as _};
use symbolon_client::connection::Message;
use symbolon_mqtt_proto::{TopicFilter, TopicName};

/// The flags of printing.
#[derive(Clone, Debug, clap::Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of mosquitto's"
)]
pub(super) struct PrinterArgs {
    /// Print the topic before the payload
    #[arg(short = 'v', long)]
    verbose: bool,
    /// Print in this format, as of `mosquitto_sub`; see docs/commands.md
    #[arg(short = 'F', value_name = "FORMAT", allow_hyphen_values = true)]
    format: Option<String>,
    /// Print JSON (%j and %J) over several lines
    #[arg(long)]
    pretty: bool,
    /// No end of line after each message
    #[arg(short = 'N')]
    no_newline: bool,
    /// Do not print retained messages
    #[arg(short = 'R', id = "no_retained")]
    no_retained: bool,
    /// Do not print topics that match this filter; may be repeated
    #[arg(short = 'T', long, value_name = "FILTER", allow_hyphen_values = true)]
    filter_out: Vec<String>,
    /// Print only this share of the messages, percent, by chance
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent)]
    random_filter: Option<f64>,
}

/// Prints messages on standard output.
pub(super) struct Printer {
    style: Style,
    newline: bool,
    no_retained: bool,
    filter_out: Vec<TopicFilter>,
    random_filter: Option<f64>,
}

enum Style {
    Payload,
    TopicAndPayload,
    Formatted(Format),
}

impl Printer {
    /// Checks format and filters.
    pub(super) fn new(arguments: &PrinterArgs) -> anyhow::Result<Self> {
        let style = match &arguments.format {
            Some(format) => Style::Formatted(
                Format::parse(format, arguments.pretty)
                    .map_err(|error| usage(format!("-F {format}: {error}")))?,
            ),
            None if arguments.verbose => Style::TopicAndPayload,
            None => Style::Payload,
        };
        let filter_out = arguments
            .filter_out
            .iter()
            .map(|filter| {
                TopicFilter::parse(filter).map_err(|error| usage(format!("-T {filter}: {error}")))
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self {
            style,
            newline: !arguments.no_newline,
            no_retained: arguments.no_retained,
            filter_out,
            random_filter: arguments.random_filter,
        })
    }

    /// Whether `-T` keeps this message out of everything.
    pub(super) fn is_filtered_out(&self, message: &Message) -> bool {
        TopicName::parse(&message.topic)
            .is_ok_and(|topic| self.filter_out.iter().any(|filter| filter.matches(topic)))
    }

    /// Whether the message is one to print.
    pub(super) fn wants(&self, message: &Message) -> anyhow::Result<bool> {
        if message.retain && self.no_retained {
            return Ok(false);
        }
        match self.random_filter {
            None => Ok(true),
            Some(percent) => Ok(random_percent()? < percent),
        }
    }

    /// Prints it; whoever reads has it at once.
    pub(super) fn print(&self, message: &Message) -> anyhow::Result<()> {
        let mut bytes = Vec::with_capacity(message.payload.len() + 1);
        match &self.style {
            Style::Payload => bytes.extend_from_slice(&message.payload),
            Style::TopicAndPayload => {
                bytes.extend_from_slice(message.topic.as_bytes());
                bytes.push(b' ');
                bytes.extend_from_slice(&message.payload);
            }
            Style::Formatted(format) => {
                if let Err(error) = format.write(message, Local::now(), &mut bytes) {
                    eprintln!("symbolon: {error}");
                    return Ok(());
                }
            }
        }
        if self.newline {
            bytes.push(b'\n');
        }
        let mut out = io::stdout().lock();
        out.write_all(&bytes)?;
        out.flush()?;
        Ok(())
    }
}

fn random_percent() -> anyhow::Result<f64> {
    let mut bytes = [0; 4];
    aws_lc_rs::rand::fill(&mut bytes).context("no random numbers")?;
    Ok(f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX) * 100.0)
}

fn parse_percent(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|percent| (0.1..=100.0).contains(percent))
        .ok_or_else(|| "expected 0.1 to 100.0".into())
}
