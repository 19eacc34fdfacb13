//! The program `symbolon`: an authorization server, an MQTT broker and their clients, for RFC 9431.
//!
//! | module | holds |
//! |---|---|
//! | [`init`], [`certificates`] | `symbolon init` |
//! | [`serve`] | `symbolon up`, `as`, `broker` |
//! | [`reload`] | `symbolon reload`, and SIGHUP |
//! | [`service`] | what systemd is told |
//! | [`administration`] | the client of the administration API, which the commands below that administer go through |
//! | [`client`], [`group`], [`policy`], [`owner`] | who may do what |
//! | [`import`] | clients and policies from other brokers' files |
//! | [`audit`] | who did what |
//! | [`account`] | who may administer over HTTPS |
//! | [`signing_keys`] | `symbolon key` |
//! | [`backup`] | `symbolon backup`, `restore` |
//! | [`rs`], [`shared_key`], [`certificate_file`] | `symbolon rs`: resource servers |
//! | [`token`] | `symbolon token` |
//! | [`publish`], [`subscribe`], [`mqtt`] | `symbolon pub`, `sub`, with mosquitto's flags |
//! | [`store`] | `symbolon store` |
//! | [`demo`] | `symbolon demo` |
//! | [`config`] | `symbolon.toml`, environment and command line |
//! | [`credential`] | secrets that systemd hands over |
//! | [`exit`] | exit codes |

mod account;
mod administration;
mod allow;
mod audit;
mod backup;
mod broker_address;
mod certificate_file;
mod certificates;
mod client;
mod clock;
mod config;
mod credential;
mod demo;
mod exit;
mod group;
mod hardening;
mod import;
mod init;
mod logging;
mod moment;
mod mqtt;
mod output;
mod owner;
mod policy;
mod private_file;
mod profile_file;
mod publish;
mod registry;
mod reload;
mod rs;
mod runtime;
mod serve;
mod service;
mod shared_key;
mod signing_keys;
mod store;
mod subscribe;
mod token;

use clap::Parser as _;
use logging::LogArgs;
use std::process::ExitCode;

/// Authorization server, MQTT broker and clients for RFC 9431: a token says what a device may do, and a key proves that it is its own.
#[derive(clap::Parser)]
#[command(name = "symbolon", version, about, propagate_version = false)]
struct CommandLine {
    #[command(flatten)]
    logs: LogArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Make certificates, keys, configuration and database in a directory
    Init(init::InitArgs),
    /// Run authorization server and broker
    Up(serve::ServeArgs),
    /// Run the authorization server alone
    As(serve::ServeArgs),
    /// Run the broker alone
    Broker(serve::ServeArgs),
    /// Let a running server read its configuration again
    Reload(reload::ReloadArgs),
    /// Register devices and write their profiles
    #[command(subcommand)]
    Client(client::ClientCommand),
    /// What devices may do
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Devices that share policies
    #[command(subcommand)]
    Group(group::GroupCommand),
    /// Who owns which topics, and may grant within them
    #[command(subcommand)]
    Owner(owner::OwnerCommand),
    /// Say which policies decide what a device may do with a topic
    Why(policy::explain::WhyArgs),
    /// Take clients and policies over from another broker's file
    Import(import::ImportArgs),
    /// Who did what
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Who may administer the authorization server over HTTPS
    #[command(subcommand)]
    Account(account::AccountCommand),
    /// Print what describes the administration API to programs (`OpenAPI` 3.1, JSON)
    Openapi(account::OpenApiArgs),
    /// Copy the database and the signing keys into a new directory, also while servers run
    Backup(backup::BackupArgs),
    /// Put the database and the signing keys of a backup in the place of those there are
    Restore(backup::RestoreArgs),
    /// The keys that sign tokens
    #[command(subcommand)]
    Key(signing_keys::KeyCommand),
    /// Resource servers, and what kind of tokens each gets
    #[command(subcommand)]
    Rs(rs::ResourceServerCommand),
    /// Ask for a token, take one apart, revoke one
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Publish, with the flags of `mosquitto_pub`
    Pub(Box<publish::PublishArgs>),
    /// Subscribe and print, with the flags of `mosquitto_sub`
    Sub(Box<subscribe::SubscribeArgs>),
    /// See it all work, in some seconds and without leaving a trace
    Demo(demo::DemoArgs),
    /// Look into a broker's store
    #[command(subcommand)]
    Store(store::StoreCommand),
    /// Check a configuration
    #[command(subcommand)]
    Config(config::check::ConfigCommand),
}

fn main() -> ExitCode {
    let command_line = CommandLine::parse();
    let quiet = command_line.is_quiet();
    match command_line.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if exit::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            if !quiet {
                eprintln!("symbolon: {}", exit::one_line(&error));
            }
            ExitCode::from(exit::Exit::of(&error) as u8)
        }
    }
}

impl CommandLine {
    fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Up(arguments) => arguments.run(serve::Which::Both, &self.logs),
            Command::As(arguments) => arguments.run(serve::Which::AuthorizationServer, &self.logs),
            Command::Broker(arguments) => arguments.run(serve::Which::Broker, &self.logs),
            other @ (Command::Init(_)
            | Command::Reload(_)
            | Command::Client(_)
            | Command::Policy(_)
            | Command::Group(_)
            | Command::Owner(_)
            | Command::Why(_)
            | Command::Import(_)
            | Command::Audit(_)
            | Command::Account(_)
            | Command::Openapi(_)
            | Command::Key(_)
            | Command::Backup(_)
            | Command::Restore(_)
            | Command::Rs(_)
            | Command::Token(_)
            | Command::Pub(_)
            | Command::Sub(_)
            | Command::Demo(_)
            | Command::Store(_)
            | Command::Config(_)) => {
                let level = self.logs.log_level.as_deref();
                let level = level.unwrap_or(if other.is_debug() { "debug" } else { "warn" });
                logging::start(level, self.logs.log_format.unwrap_or_default())?;
                other.run_once()
            }
        }
    }

    fn is_quiet(&self) -> bool {
        match &self.command {
            Command::Pub(arguments) => arguments.connect.quiet,
            Command::Sub(arguments) => arguments.connect.quiet,
            Command::Init(_)
            | Command::Reload(_)
            | Command::Up(_)
            | Command::As(_)
            | Command::Broker(_)
            | Command::Client(_)
            | Command::Policy(_)
            | Command::Group(_)
            | Command::Owner(_)
            | Command::Why(_)
            | Command::Import(_)
            | Command::Audit(_)
            | Command::Account(_)
            | Command::Openapi(_)
            | Command::Key(_)
            | Command::Backup(_)
            | Command::Restore(_)
            | Command::Rs(_)
            | Command::Token(_)
            | Command::Demo(_)
            | Command::Store(_)
            | Command::Config(_) => false,
        }
    }
}

impl Command {
    /// All but the servers, which start logging in their own way.
    fn run_once(self) -> anyhow::Result<()> {
        match self {
            Self::Init(arguments) => arguments.run(),
            Self::Reload(arguments) => arguments.run(),
            Self::Client(command) => command.run(),
            Self::Policy(command) => command.run(),
            Self::Group(command) => command.run(),
            Self::Owner(command) => command.run(),
            Self::Why(arguments) => arguments.run(),
            Self::Import(arguments) => arguments.run(),
            Self::Audit(command) => command.run(),
            Self::Account(command) => command.run(),
            Self::Openapi(arguments) => arguments.run(),
            Self::Key(command) => command.run(),
            Self::Backup(arguments) => arguments.run(),
            Self::Restore(arguments) => arguments.run(),
            Self::Rs(command) => command.run(),
            Self::Token(command) => command.run(),
            Self::Pub(arguments) => arguments.run(),
            Self::Sub(arguments) => arguments.run(),
            Self::Demo(arguments) => arguments.run(),
            Self::Store(command) => command.run(),
            Self::Config(command) => command.run(),
            Self::Up(_) | Self::As(_) | Self::Broker(_) => Ok(()),
        }
    }

    fn is_debug(&self) -> bool {
        match self {
            Self::Pub(arguments) => arguments.connect.debug,
            Self::Sub(arguments) => arguments.connect.debug,
            Self::Init(_)
            | Self::Reload(_)
            | Self::Up(_)
            | Self::As(_)
            | Self::Broker(_)
            | Self::Client(_)
            | Self::Policy(_)
            | Self::Group(_)
            | Self::Owner(_)
            | Self::Why(_)
            | Self::Import(_)
            | Self::Audit(_)
            | Self::Account(_)
            | Self::Openapi(_)
            | Self::Key(_)
            | Self::Backup(_)
            | Self::Restore(_)
            | Self::Rs(_)
            | Self::Token(_)
            | Self::Demo(_)
            | Self::Store(_)
            | Self::Config(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        super::CommandLine::command().debug_assert();
    }
}
