//! The flags that `pub` and `sub` have in common, named and meant as mosquitto's clients do.

use super::{parse_qos, property::PropertyArgs, refused::RefusedArgs};
use std::path::PathBuf;
use symbolon_client::connection::Proof;
use symbolon_mqtt_proto::{ProtocolVersion, Qos};

/// How long connecting may take in all, seconds, unless `--connect-timeout` says otherwise.
const CONNECT_TIMEOUT_SECS: u64 = 10;

/// The flags. No `Debug`: a password may be among them.
#[derive(Clone, clap::Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of mosquitto's"
)]
pub(crate) struct ConnectArgs {
    /// The device's profile: broker, CA, keys and scope; a token is asked for and renewed in time
    #[arg(
        long,
        value_name = "FILE",
        env = "SYMBOLON_PROFILE",
        hide_env_values = true,
        help_heading = "Token"
    )]
    pub(super) profile: Option<PathBuf>,
    /// How to prove possession of the token's key
    #[arg(
        long,
        value_enum,
        value_name = "HOW",
        requires = "profile",
        help_heading = "Token"
    )]
    pub(super) proof: Option<ProofName>,
    /// Ask for less than the profile's scope: pub:FILTER, sub:FILTER, or an AIF array as JSON
    #[arg(
        long,
        value_name = "pub:FILTER",
        requires = "profile",
        help_heading = "Token"
    )]
    pub(super) scope: Vec<String>,

    /// The broker (default: the profile's, else localhost)
    #[arg(short = 'h', long, allow_hyphen_values = true)]
    pub(super) host: Option<String>,
    /// Its port (default: the profile's, else 8883 with TLS and 1883 without)
    #[arg(short = 'p', long, value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) port: Option<u16>,
    /// All at once, such as `mqtts://name:password@host:port/topic`; only host is needed
    #[arg(short = 'L', long, conflicts_with_all = ["host", "port"])]
    pub(super) url: Option<String>,
    /// User Name; not together with a profile
    #[arg(
        short = 'u',
        long = "username",
        conflicts_with = "profile",
        allow_hyphen_values = true
    )]
    pub(super) user_name: Option<String>,
    /// Password; not together with a profile
    #[arg(
        short = 'P',
        long = "pw",
        conflicts_with = "profile",
        allow_hyphen_values = true
    )]
    pub(super) password: Option<String>,

    /// Client Identifier (default: the profile's `client_id`, else the broker assigns one)
    #[arg(
        short = 'i',
        long,
        conflicts_with = "id_prefix",
        allow_hyphen_values = true
    )]
    pub(super) id: Option<String>,
    /// Client Identifier is this and the process number
    #[arg(short = 'I', long, allow_hyphen_values = true)]
    pub(super) id_prefix: Option<String>,
    /// Keep Alive, seconds
    #[arg(short = 'k', long, default_value_t = 60)]
    pub(super) keepalive: u16,
    /// Go on with an earlier session and keep this one; needs -i, -I or a profile
    #[arg(short = 'c', long)]
    pub(super) disable_clean_session: bool,
    /// Session Expiry Interval, seconds; -1 for never (default: -1 with -c, else 0)
    #[arg(short = 'x', value_name = "SECS", value_parser = parse_session_expiry, allow_hyphen_values = true)]
    pub(super) session_expiry_interval_secs: Option<u32>,
    /// MQTT version: 5, 311, mqttv5 or mqttv311
    #[arg(short = 'V', long, value_parser = parse_version, default_value = "mqttv5")]
    pub(super) protocol_version: ProtocolVersion,
    /// Quality of Service: 0, 1 or 2
    #[arg(short = 'q', long, value_parser = parse_qos, default_value = "0")]
    pub(crate) qos: Qos,

    /// CA certificates to trust, PEM (default: the profile's)
    #[arg(long, value_name = "FILE", help_heading = "TLS")]
    pub(super) cafile: Option<PathBuf>,
    /// A directory of CA certificates to trust, *.crt and *.pem
    #[arg(long, value_name = "DIR", help_heading = "TLS")]
    pub(super) capath: Option<PathBuf>,
    /// Trust the CA certificates of the operating system
    #[arg(long, help_heading = "TLS")]
    pub(super) tls_use_os_certs: bool,
    /// The application protocol; only mqtt is spoken
    #[arg(long, value_name = "PROTOCOL", value_parser = ["mqtt"], help_heading = "TLS")]
    pub(super) tls_alpn: Option<String>,

    /// Will: what the broker publishes should we vanish
    #[arg(
        long,
        value_name = "TOPIC",
        help_heading = "Will",
        allow_hyphen_values = true
    )]
    pub(super) will_topic: Option<String>,
    /// Its payload
    #[arg(
        long,
        value_name = "TEXT",
        requires = "will_topic",
        help_heading = "Will",
        allow_hyphen_values = true
    )]
    pub(super) will_payload: Option<String>,
    /// Its Quality of Service
    #[arg(long, value_name = "QOS", requires = "will_topic", value_parser = parse_qos, help_heading = "Will")]
    pub(super) will_qos: Option<Qos>,
    /// It is retained
    #[arg(long, requires = "will_topic", help_heading = "Will")]
    pub(super) will_retain: bool,

    #[command(flatten)]
    pub(super) properties: PropertyArgs,
    /// How long connecting may take, seconds
    #[arg(long, value_name = "SECS", default_value_t = CONNECT_TIMEOUT_SECS, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(super) connect_timeout: u64,
    /// Tell each step on standard error
    #[arg(short = 'd', long)]
    pub(crate) debug: bool,
    /// No error messages
    #[arg(long)]
    pub(crate) quiet: bool,
    /// Send small packets at once: always so
    #[arg(long)]
    pub(super) nodelay: bool,
    /// Print this help
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
    #[command(flatten)]
    pub(super) refused: RefusedArgs,
}

/// `--proof`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum ProofName {
    /// Over the TLS exporter value, within CONNECT: one round trip less
    Exporter,
    /// Over the broker's challenge, MQTT 5.0 only
    Challenge,
}

impl From<ProofName> for Proof {
    fn from(name: ProofName) -> Self {
        match name {
            ProofName::Exporter => Self::Exporter,
            ProofName::Challenge => Self::Challenge,
        }
    }
}

fn parse_version(text: &str) -> Result<ProtocolVersion, String> {
    match text {
        "5" | "mqttv5" => Ok(ProtocolVersion::V5),
        "311" | "mqttv311" => Ok(ProtocolVersion::V311),
        "31" | "mqttv31" => Err("MQTT 3.1 is not supported: use 311 or 5".into()),
        _ => Err("expected 5, 311, mqttv5 or mqttv311".into()),
    }
}

fn parse_session_expiry(text: &str) -> Result<u32, String> {
    match text {
        "-1" | "∞" => Ok(u32::MAX),
        _ => text
            .parse()
            .map_err(|_| "expected seconds, or -1 for never".into()),
    }
}
