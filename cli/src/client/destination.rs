//! For which broker a device is registered, and how it gets there.

use crate::{administration::Administration, broker_address, exit::usage, private_file};
use std::path::PathBuf;

/// What is said of it on the command line.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct DestinationArgs {
    /// The broker it is for, if not this configuration's
    #[arg(long, value_name = "TEXT")]
    pub(crate) audience: Option<String>,
    /// That broker's address, as mqtts://HOST:PORT
    #[arg(long, value_name = "URL")]
    pub(crate) broker: Option<String>,
    /// The issuer that devices get tokens from (default: this configuration's, or the one that the server of --server publishes)
    #[arg(long, value_name = "URL")]
    pub(crate) issuer: Option<String>,
    /// The CA that devices trust (PEM; default: `profile.ca` of the configuration, or the one of --ca)
    #[arg(long, value_name = "FILE")]
    pub(crate) device_ca: Option<PathBuf>,
}

/// For which broker, and how a device gets there.
#[derive(Clone, Debug)]
pub(crate) struct Destination {
    pub(super) audience: String,
    pub(super) broker: String,
    pub(super) issuer: String,
    pub(super) ca: String,
}

impl Destination {
    /// What is given, and for the rest what the configuration says, or the server.
    pub(crate) async fn choose(
        administration: &Administration,
        given: DestinationArgs,
    ) -> anyhow::Result<Self> {
        let configured = administration.settings();
        let broker = given
            .broker
            .or_else(|| configured.and_then(|settings| settings.profile.broker.clone()));
        let broker = broker.ok_or_else(|| match configured {
            Some(_) => usage("profile.broker is not set: say where with --broker"),
            None => usage("say where the broker is, with --broker"),
        })?;
        broker_address::parse(&broker).map_err(usage)?;
        let ca = match given.device_ca {
            Some(file) => private_file::read_text(&file)
                .map_err(|error| usage(format!("{}: {error}", file.display())))?,
            None => administration.device_ca()?,
        };
        let issuer = match given.issuer {
            Some(issuer) => issuer,
            None => administration.issuer().await?,
        };
        Ok(Self {
            audience: administration.audience(given.audience).await?,
            broker,
            issuer,
            ca,
        })
    }

    /// The broker's name in tokens.
    pub(crate) fn audience(&self) -> &str {
        &self.audience
    }
}
