//! `symbolon store`: a look into a broker's store.

use crate::{
    clock, config,
    exit::usage,
    output::{self, OutputArgs},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use std::{
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};
use symbolon_broker::store::{Census, Exported, ExportedMessage, Inspection};

/// `symbolon store ...`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum StoreCommand {
    /// Read everything in a store and count it; ends with code 1 if it is damaged
    Check {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Print everything in a store, a JSON object a line, payloads in base64
    Export {
        #[command(flatten)]
        place: Place,
    },
}

/// Where the store is.
#[derive(Debug, clap::Args)]
pub(crate) struct Place {
    /// The directory that `symbolon init` made, a configuration file, or the store's own directory
    #[arg(
        value_name = "DIR",
        env = "SYMBOLON_DIR",
        hide_env_values = true,
        default_value = "."
    )]
    directory: PathBuf,
}

/// What `check` prints.
#[derive(Debug, serde::Serialize)]
struct Shown {
    path: PathBuf,
    format: u32,
    sessions: usize,
    subscriptions: usize,
    messages: usize,
    retained: usize,
    expired: usize,
    used_bytes: u64,
}

impl StoreCommand {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Check { place, output } => check(&place.store()?, output),
            Self::Export { place } => export(&place.store()?),
        }
    }
}

impl Place {
    /// The store's directory: where the configuration says, or this one if there is none.
    fn store(&self) -> anyhow::Result<PathBuf> {
        if !config::file_in(&self.directory).exists() {
            return Ok(self.directory.clone());
        }
        let opened = config::open(&self.directory, &[])?;
        let broker = opened.settings.broker.as_ref();
        let store = broker.and_then(|broker| broker.store.clone());
        let store = store.ok_or_else(|| {
            let file = opened.settings.file.display();
            usage(format!("{file}: there is no section [broker.store]"))
        })?;
        Ok(store.path)
    }
}

fn check(path: &Path, output: OutputArgs) -> anyhow::Result<()> {
    let inspection = Inspection::open(path, clock::now())?;
    let Census {
        format,
        sessions,
        subscriptions,
        messages,
        retained,
        expired,
        used_bytes,
    } = inspection.census();
    let shown = Shown {
        path: path.to_owned(),
        format,
        sessions,
        subscriptions,
        messages,
        retained,
        expired,
        used_bytes,
    };
    if output.is_json() {
        return output::print_json(&shown);
    }
    output::print_pairs(&[
        ("store", format!("{}: ok", path.display())),
        ("format", format.to_string()),
        ("sessions", sessions.to_string()),
        ("subscriptions", subscriptions.to_string()),
        ("messages", messages.to_string()),
        ("retained", retained.to_string()),
        ("expired", expired.to_string()),
        ("bytes used", used_bytes.to_string()),
    ])
}

fn export(path: &Path) -> anyhow::Result<()> {
    let inspection = Inspection::open(path, clock::now())?;
    let mut out = BufWriter::new(io::stdout().lock());
    inspection.for_each(|record| {
        serde_json::to_writer(&mut out, &to_json(&record))?;
        writeln!(out).map_err(anyhow::Error::from)
    })?;
    out.flush()?;
    Ok(())
}

fn to_json(record: &Exported<'_>) -> Value {
    match record {
        Exported::Session {
            session,
            client_identifier,
            issuer,
            name,
            expiry_secs,
            away_since,
            will,
            received,
        } => json!({
            "kind": "session",
            "session": session,
            "client_identifier": client_identifier,
            "issuer": issuer,
            "name": name,
            "expiry_secs": expiry_secs,
            "away_since": away_since.map(|time| time.0),
            "will": will.as_ref().map(message_to_json),
            "received": received,
        }),
        Exported::Subscription {
            session,
            share_name,
            filter,
            maximum_qos,
            no_local,
            retain_as_published,
            subscription_identifier,
        } => json!({
            "kind": "subscription",
            "session": session,
            "share_name": share_name,
            "filter": filter,
            "maximum_qos": maximum_qos,
            "no_local": no_local,
            "retain_as_published": retain_as_published,
            "subscription_identifier": subscription_identifier,
        }),
        Exported::Message {
            session,
            place,
            qos,
            message,
        } => json!({
            "kind": "message",
            "session": session,
            "place": place,
            "qos": qos,
            "message": message.as_ref().map(message_to_json),
        }),
        Exported::Retained(message) => json!({
            "kind": "retained",
            "message": message_to_json(message),
        }),
    }
}

fn message_to_json(message: &ExportedMessage<'_>) -> Value {
    json!({
        "topic": message.topic,
        "payload": STANDARD.encode(message.payload),
        "expiry_secs": message.expiry_secs,
        "content_type": message.content_type,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_base64_and_what_is_not_there_is_null() {
        let message = ExportedMessage {
            topic: "a/b",
            payload: &[0xff, 0, 1],
            expiry_secs: Some(7),
            content_type: None,
        };
        let record = Exported::Message {
            session: 1,
            place: 2,
            qos: 2,
            message: Some(message),
        };
        assert_eq!(
            to_json(&record).to_string(),
            r#"{"kind":"message","message":{"content_type":null,"expiry_secs":7,"payload":"/wAB","topic":"a/b"},"place":2,"qos":2,"session":1}"#
        );
    }
}
