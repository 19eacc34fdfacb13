//! `symbolon enrol`: one-time codes, and the devices that register themselves with them.

mod device;
mod table;

use crate::{
    administration::{Administration, Place},
    allow::{self, Allowed},
    client::{Destination, DestinationArgs, check_name},
    clock,
    exit::usage,
    moment::Moment,
    output::{self, OutputArgs},
};
use symbolon_auth_server::admin::model::{
    Allow, ExpectedClient, InitialAccessToken, NewInitialAccessTokens,
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
        place: Place,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Remove a code; devices that came with it stay
    Remove {
        /// Its identifier
        id: String,
        #[command(flatten)]
        place: Place,
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
    place: Place,
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
    #[command(flatten)]
    destination: DestinationArgs,
}

#[derive(serde::Serialize)]
struct Made<'a> {
    id: &'a str,
    /// The code itself.
    token: &'a str,
    name: &'a str,
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
                Some(EnrolCommand::List { place, output }) => {
                    list(&place.open().await?, output).await
                }
                Some(EnrolCommand::Remove { id, place }) => {
                    let administration = place.open().await?;
                    administration.remove_initial_access_token(&id).await?;
                    println!("removed {id}");
                    Ok(())
                }
            }
        })?
    }
}

impl TokenArgs {
    async fn run(self) -> anyhow::Result<()> {
        let (clients, beginning) = match (self.name, self.beginning) {
            (Some(client_id), None) => {
                check_name(&client_id)?;
                if self.uses != 1 {
                    return Err(usage(
                        "--uses is for --beginning: one name is registered once",
                    ));
                }
                let client = ExpectedClient {
                    client_id,
                    ..ExpectedClient::default()
                };
                (vec![client], None)
            }
            (None, Some(prefix)) => {
                check_name(&prefix)?;
                (Vec::new(), Some(prefix))
            }
            (Some(_), Some(_)) | (None, None) => {
                return Err(usage("say NAME, or --beginning PREFIX"));
            }
        };
        if self.rights.allow.is_empty() && self.rights.group.is_empty() {
            return Err(usage("say what it allows, with --allow or --group"));
        }
        let administration = self.place.open().await?;
        let rights = Rights::choose(&administration, self.rights).await?;
        let asked = NewInitialAccessTokens {
            uses: beginning.is_some().then_some(self.uses),
            clients,
            beginning,
            ..rights.of_all
        };
        let made = administration.add_initial_access_tokens(&asked).await?;
        let [made] = made.tokens.as_slice() else {
            return Err(anyhow::anyhow!("one code was asked for, and not one came"));
        };
        let shown = Made {
            id: &made.id,
            token: made.token.as_str(),
            name: &made.name,
            uses: self.uses,
            expires_at: asked.expires_at,
            issuer: &rights.issuer,
        };
        if self.output.is_json() {
            return output::print_json(&shown);
        }
        println!("{}", shown.token);
        println!();
        println!("on the device:");
        println!(
            "  symbolon enrol --as {} --ca FILE --token {}",
            shown.issuer, shown.token
        );
        Ok(())
    }
}

/// What codes allow, whatever the names.
struct Rights {
    of_all: NewInitialAccessTokens,
    issuer: String,
}

impl Rights {
    async fn choose(
        administration: &Administration,
        arguments: RightsArgs,
    ) -> anyhow::Result<Self> {
        let destination = Destination::choose(administration, arguments.destination).await?;
        let tomorrow = Moment(clock::now().plus_secs(VALID_FOR_SECS));
        Ok(Self {
            of_all: NewInitialAccessTokens {
                audience: destination.audience,
                broker: Some(destination.broker),
                allow: allows(&arguments.allow),
                groups: arguments.group,
                token_lifetime_secs: arguments.token_lifetime_secs,
                refresh_tokens: arguments.refresh_tokens,
                expires_at: arguments.valid_for.unwrap_or(tomorrow).0.0,
                ..NewInitialAccessTokens::default()
            },
            issuer: destination.issuer,
        })
    }
}

fn allows(allowed: &[Allowed]) -> Vec<Allow> {
    let policies = allow::policies(allowed, &allow::anything_at(""));
    let allows = policies.into_iter().map(|policy| Allow {
        filter: policy.filter,
        permissions: policy.permissions,
    });
    allows.collect()
}

async fn list(administration: &Administration, output: OutputArgs) -> anyhow::Result<()> {
    let tokens = administration.initial_access_tokens().await?;
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
        let allow = token.allow.iter().map(|entry| {
            let permissions: Vec<&str> = entry
                .permissions
                .iter()
                .map(|permission| permission.as_str())
                .collect();
            format!("{}:{}", permissions.concat(), entry.filter)
        });
        Self {
            allow: allow.collect(),
            id: token.id,
            name: token.name,
            uses_left: token.uses_left,
            expires_at: token.expires_at,
            audience: token.audience,
            groups: token.groups,
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
