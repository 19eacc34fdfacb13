//! `symbolon enrol`: one-time codes, and the devices that register themselves with them.

mod device;
mod table;

use crate::{
    allow::{self, Allowed},
    client::{Destination, check_name},
    clock,
    config::{DirectoryArg, Settings},
    exit::usage,
    moment::Moment,
    output::{self, OutputArgs},
    registry,
};
use symbolon_ace_proto::UnixTime;
use symbolon_auth_server::store::{
    Admission, Allowance, InitialAccessToken, NewInitialAccessToken, NewName, Policy, Secret,
};

/// How long a code is good where nothing is said, seconds: a day.
const VALID_FOR_SECS: u64 = 86_400;

/// `symbolon enrol`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct EnrolArgs {
    #[command(subcommand)]
    command: Option<EnrolCommand>,
    #[command(flatten)]
    device: device::DeviceArgs,
}

/// `symbolon enrol ...`, where the authorization server is.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum EnrolCommand {
    /// Make a one-time code for a device, or an initial access token for many
    Token(TokenArgs),
    /// Make a one-time code for each line of a CSV file, all or none
    Csv(table::CsvArgs),
    /// List the codes that have not expired
    List {
        #[command(flatten)]
        directory: DirectoryArg,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Remove a code; devices that came with it stay
    Remove {
        /// Its identifier
        id: String,
        #[command(flatten)]
        directory: DirectoryArg,
    },
}

/// `symbolon enrol token`.
#[derive(Debug, clap::Args)]
pub(crate) struct TokenArgs {
    /// The name that the device will have
    #[arg(required_unless_present = "beginning", conflicts_with = "beginning")]
    name: Option<String>,
    /// For any device: its name begins like this, and 16 random characters follow
    #[arg(long, value_name = "PREFIX")]
    beginning: Option<String>,
    /// How many devices may come with it
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 1,
        requires = "beginning"
    )]
    uses: u64,
    #[command(flatten)]
    directory: DirectoryArg,
    #[command(flatten)]
    rights: RightsArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// What devices may do that enrol, and where.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RightsArgs {
    /// What each may do: pub:FILTER, sub:FILTER or pubsub:FILTER; `${client_id}` in FILTER stands for its name
    #[arg(long, value_name = "pub:FILTER")]
    allow: Vec<Allowed>,
    /// A group that each joins
    #[arg(long, value_name = "NAME")]
    group: Vec<String>,
    /// Until when it is good: a date, or 30s, 15m, 12h, 30d from now (default: a day)
    #[arg(long, value_name = "MOMENT")]
    valid_for: Option<Moment>,
    /// The longest life of their tokens, seconds (default: the server's)
    #[arg(long, value_name = "SECS", value_parser = clap::value_parser!(u64).range(1..))]
    token_lifetime_secs: Option<u64>,
    /// They get refresh tokens
    #[arg(long)]
    refresh_tokens: bool,
    /// The broker they are for, if not this configuration's
    #[arg(long, value_name = "TEXT")]
    audience: Option<String>,
    /// That broker's address, as mqtts://HOST:PORT
    #[arg(long, value_name = "URL")]
    broker: Option<String>,
}

#[derive(serde::Serialize)]
struct Made<'a> {
    id: &'a str,
    /// The code itself.
    token: &'a str,
    name: String,
    uses: u64,
    expires_at: u64,
    issuer: &'a str,
}

#[derive(serde::Serialize)]
struct Shown {
    id: String,
    name: String,
    uses_left: u64,
    expires_at: u64,
    audience: String,
    allow: Vec<String>,
    groups: Vec<String>,
}

impl EnrolArgs {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        crate::runtime::block_on(async {
            match self.command {
                None => self.device.run().await,
                Some(EnrolCommand::Token(arguments)) => arguments.run().await,
                Some(EnrolCommand::Csv(arguments)) => arguments.run().await,
                Some(EnrolCommand::List { directory, output }) => {
                    list(&directory.settings()?, output).await
                }
                Some(EnrolCommand::Remove { id, directory }) => {
                    let store = registry::open(&directory.settings()?).await?;
                    store.remove_initial_access_token(&id).await?;
                    println!("removed {id}");
                    Ok(())
                }
            }
        })?
    }
}

impl TokenArgs {
    async fn run(self) -> anyhow::Result<()> {
        let name = match (self.name, self.beginning) {
            (Some(name), None) => {
                check_name(&name)?;
                if self.uses != 1 {
                    return Err(usage(
                        "--uses is for --beginning: one name is registered once",
                    ));
                }
                NewName::Exactly(name)
            }
            (None, Some(prefix)) => {
                check_name(&prefix)?;
                NewName::Beginning(prefix)
            }
            (Some(_), Some(_)) | (None, None) => {
                return Err(usage("say NAME, or --beginning PREFIX"));
            }
        };
        let settings = self.directory.settings()?;
        let rights = Rights::choose(&settings, self.rights)?;
        if rights.admission.allow.is_empty() && rights.admission.groups.is_empty() {
            return Err(usage("say what it allows, with --allow or --group"));
        }
        let secret = Secret::generate()?;
        let token = NewInitialAccessToken {
            secret: &secret,
            admission: Admission {
                name: name.clone(),
                ..rights.admission
            },
            uses: self.uses,
            expires_at: rights.expires_at,
        };
        let store = registry::open(&settings).await?;
        let ids = store
            .add_initial_access_tokens(&[token], clock::now())
            .await?;
        let made = Made {
            id: ids.first().map_or("", String::as_str),
            token: secret.as_str(),
            name: name.to_string(),
            uses: self.uses,
            expires_at: rights.expires_at.0,
            issuer: &rights.issuer,
        };
        if self.output.is_json() {
            return output::print_json(&made);
        }
        println!("{}", made.token);
        println!();
        println!("on the device:");
        println!(
            "  symbolon enrol --as {} --ca FILE --token {}",
            made.issuer, made.token
        );
        Ok(())
    }
}

/// What codes allow, whatever the names.
#[derive(Clone, Debug)]
struct Rights {
    /// With a name that is to be replaced.
    admission: Admission,
    expires_at: UnixTime,
    issuer: String,
}

impl Rights {
    fn choose(settings: &Settings, arguments: RightsArgs) -> anyhow::Result<Self> {
        let destination = Destination::choose(settings, arguments.audience, arguments.broker)?;
        let tomorrow = Moment(clock::now().plus_secs(VALID_FOR_SECS));
        Ok(Self {
            admission: Admission {
                name: NewName::Exactly(String::new()),
                audience: destination.audience,
                allow: allowances(&arguments.allow),
                groups: arguments.group,
                token_lifetime_secs: arguments.token_lifetime_secs,
                refresh_tokens: arguments.refresh_tokens,
                broker: Some(destination.broker),
            },
            expires_at: arguments.valid_for.unwrap_or(tomorrow).0,
            issuer: destination.issuer,
        })
    }
}

fn allowances(allowed: &[Allowed]) -> Vec<Allowance> {
    let policies = allow::policies(allowed, &Policy::allow("", "", ""));
    let allowances = policies.into_iter().map(|policy| Allowance {
        filter: policy.filter,
        publish: policy.publish,
        subscribe: policy.subscribe,
    });
    allowances.collect()
}

async fn list(settings: &Settings, output: OutputArgs) -> anyhow::Result<()> {
    let store = registry::open(settings).await?;
    let tokens = store.initial_access_tokens(None, clock::now()).await?;
    let shown: Vec<Shown> = tokens.into_iter().map(Shown::from).collect();
    if output.is_json() {
        return output::print_json(&shown);
    }
    let rows: Vec<Vec<String>> = shown
        .iter()
        .map(|token| {
            vec![
                token.id.clone(),
                token.name.clone(),
                token.uses_left.to_string(),
                date(token.expires_at),
                token.allow.join(" "),
                token.groups.join(" "),
            ]
        })
        .collect();
    let headings = ["ID", "NAME", "USES LEFT", "EXPIRES", "ALLOW", "GROUPS"];
    output::print_table(&headings, &rows)
}

impl From<InitialAccessToken> for Shown {
    fn from(token: InitialAccessToken) -> Self {
        let allow = token.admission.allow.iter().map(|entry| {
            let permission = match (entry.publish, entry.subscribe) {
                (true, true) => "pubsub",
                (true, false) => "pub",
                (false, _) => "sub",
            };
            format!("{permission}:{}", entry.filter)
        });
        Self {
            id: token.id,
            name: token.admission.name.to_string(),
            uses_left: token.uses_left,
            expires_at: token.expires_at.0,
            allow: allow.collect(),
            audience: token.admission.audience,
            groups: token.admission.groups,
        }
    }
}

/// For people, in UTC.
fn date(secs: u64) -> String {
    let secs = i64::try_from(secs).unwrap_or(i64::MAX);
    let date = chrono::DateTime::from_timestamp(secs, 0);
    date.map_or_else(String::new, |date| {
        date.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
    })
}
