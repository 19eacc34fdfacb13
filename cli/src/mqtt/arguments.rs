//! The flags that `pub` and `sub` have in common, named and meant as mosquitto's clients do.

use super::{parse_qos, property::PropertyArgs, refused::RefusedArgs};
use std::path::PathBuf;
use symbolon_client::Mode;
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
        group = "device",
        help_heading = "Token"
    )]
    pub(super) profile: Option<PathBuf>,
    /// How to say who we are (default: the profile's, else exporter, and v311 with -V mqttv311)
    #[arg(
        long,
        value_enum,
        value_name = "MODE",
        requires = "device",
        help_heading = "Token"
    )]
    pub(super) auth: Option<AuthName>,
    /// Ask for less than the profile's scope: pub:FILTER, sub:FILTER, or an AIF array as JSON
    #[arg(
        long,
        value_name = "pub:FILTER",
        requires = "device",
        help_heading = "Token"
    )]
    pub(super) scope: Vec<String>,
    #[command(flatten)]
    pub(super) registered: RegisteredArgs,

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
        conflicts_with = "device",
        allow_hyphen_values = true
    )]
    pub(super) user_name: Option<String>,
    /// Password; not together with a profile
    #[arg(
        short = 'P',
        long = "pw",
        conflicts_with = "device",
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
    /// MQTT version: 5, 311, mqttv5 or mqttv311 (default: mqttv5, and mqttv311 with --auth v311)
    #[arg(short = 'V', long, value_parser = parse_version)]
    pub(super) protocol_version: Option<ProtocolVersion>,
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

/// Who we are to an authorization server that the broker names, in place of a profile.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct RegisteredArgs {
    /// Without a profile: our name at the authorization server, which the broker is asked for
    #[arg(
        long,
        value_name = "NAME",
        group = "device",
        conflicts_with = "profile",
        requires = "credential",
        help_heading = "Token"
    )]
    pub(super) client_id: Option<String>,
    /// The private key that we authenticate and prove possession with, a JWK (Ed25519 or P-256)
    #[arg(
        long,
        value_name = "FILE",
        group = "credential",
        requires = "client_id",
        help_heading = "Token"
    )]
    pub(super) client_key: Option<PathBuf>,
    /// The secret that we authenticate with; possession is proved with a key that comes with each token
    #[arg(
        long,
        value_name = "FILE",
        group = "credential",
        requires = "client_id",
        help_heading = "Token"
    )]
    pub(super) client_secret_file: Option<PathBuf>,
    /// Trust the authorization server of this token endpoint, should the broker name it, and remember that
    #[arg(long, value_name = "URL", help_heading = "Token")]
    pub(super) trust_as: Option<String>,
}

/// `--auth`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum AuthName {
    /// Not at all: for public topics
    Anon,
    /// Token and proof over the TLS exporter value in CONNECT: one round trip less
    Exporter,
    /// Token in CONNECT, proof over the broker's challenge
    Challenge,
    /// Token at authz-info first, then a raw public key in the TLS handshake
    Rpk,
    /// A pre-shared key in the TLS handshake, the token as its identity
    PskToken,
    /// Token at authz-info first, then a pre-shared key that is named by its kid
    PskKid,
    /// MQTT 3.1.1: token and proof as user name and password
    V311,
}

impl From<AuthName> for Mode {
    fn from(name: AuthName) -> Self {
        match name {
            AuthName::Anon => Self::Anon,
            AuthName::Exporter => Self::Exporter,
            AuthName::Challenge => Self::Challenge,
            AuthName::Rpk => Self::Rpk,
            AuthName::PskToken => Self::PskToken,
            AuthName::PskKid => Self::PskKid,
            AuthName::V311 => Self::V311,
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
