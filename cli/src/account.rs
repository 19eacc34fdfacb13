//! `symbolon account`: who may administer the authorization server over HTTPS. `symbolon openapi`: what they may ask.

use crate::{
    administration::{Place, new_password, password_in},
    certificate_file,
    output::{self, OutputArgs},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use std::{
    io::Write as _,
    path::{Path, PathBuf},
};
use symbolon_auth_server::admin::{
    self,
    model::{Account, AccountCertificate, NewAccount, Role, SecretText},
};

/// `symbolon account ...`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum AccountCommand {
    /// Make an account; its password is asked for on the terminal
    Add(AddArgs),
    /// List the accounts
    List {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Remove an account and end its sessions
    Remove {
        /// Its name
        name: String,
        #[command(flatten)]
        place: Place,
    },
    /// Give an account another password, asked for on the terminal, and end its sessions
    Password {
        /// Its name
        name: String,
        /// The password is the first line of this file, which nobody else may read
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
        #[command(flatten)]
        place: Place,
    },
    /// Give an account another certificate and end its sessions
    Certificate {
        /// Its name
        name: String,
        /// The certificate (PEM)
        certificate: PathBuf,
        #[command(flatten)]
        place: Place,
    },
}

/// `symbolon account add`.
#[derive(Debug, clap::Args)]
pub(crate) struct AddArgs {
    /// Its name
    name: String,
    /// What it may do: everything; see everything and change nothing; or see and change what one resource owner grants
    #[arg(long, value_parser = PossibleValuesParser::new(["administrator", "auditor", "owner"])
        .try_map(|name| Role::from_name(&name).ok_or("unknown")))]
    role: Role,
    /// The resource owner that an account of the role `owner` acts for
    #[arg(long, value_name = "NAME", required_if_eq("role", "owner"))]
    owner: Option<String>,
    /// It logs in with this certificate (PEM); no password is asked for
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// The password is the first line of this file, which nobody else may read
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    output: OutputArgs,
}

/// `symbolon openapi`.
#[derive(Debug, clap::Args)]
pub(crate) struct OpenApiArgs {
    #[command(flatten)]
    place: Place,
}

impl AccountCommand {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        crate::runtime::block_on(self.run_async())?
    }

    async fn run_async(self) -> anyhow::Result<()> {
        match self {
            Self::Add(arguments) => arguments.run().await,
            Self::List { place, output } => list(&place.open().await?.accounts().await?, output),
            Self::Remove { name, place } => {
                place.open().await?.remove_account(&name).await?;
                println!("removed account {name}");
                Ok(())
            }
            Self::Password {
                name,
                password_file,
                place,
            } => {
                let administration = place.open().await?;
                let password = password(&name, password_file)?;
                administration.set_password(&name, password).await?;
                println!("account {name} has another password");
                Ok(())
            }
            Self::Certificate {
                name,
                certificate,
                place,
            } => {
                let certificate = AccountCertificate {
                    certificate_sha256: thumbprint(&certificate)?,
                };
                let administration = place.open().await?;
                administration.set_certificate(&name, &certificate).await?;
                println!("account {name} has another certificate");
                Ok(())
            }
        }
    }
}

impl AddArgs {
    async fn run(self) -> anyhow::Result<()> {
        let certificate_sha256 = self.certificate.as_deref().map(thumbprint).transpose()?;
        let administration = self.place.open().await?;
        let password = match (&certificate_sha256, self.password_file) {
            (Some(_), None) => None,
            (_, file) => Some(password(&self.name, file)?),
        };
        let new = NewAccount {
            name: self.name,
            role: self.role,
            owner: self.owner,
            password,
            certificate_sha256,
        };
        let made = administration.add_account(&new).await?;
        if self.output.is_json() {
            return output::print_json(&made);
        }
        println!("made account {}, {}", made.name, role(&made));
        Ok(())
    }
}

impl OpenApiArgs {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let document = crate::runtime::block_on(async {
            match self.place.open_to_everybody()? {
                Some(elsewhere) => anyhow::Ok(elsewhere.openapi().await?.get().to_owned()),
                None => Ok(admin::openapi_json()),
            }
        })??;
        let mut out = std::io::stdout().lock();
        writeln!(out, "{document}")?;
        Ok(out.flush()?)
    }
}

fn list(accounts: &[Account], output: OutputArgs) -> anyhow::Result<()> {
    if output.is_json() {
        return output::print_json(&accounts);
    }
    let rows: Vec<Vec<String>> = accounts
        .iter()
        .map(|account| {
            vec![
                account.name.clone(),
                role(account),
                if account.password { "yes" } else { "-" }.to_owned(),
                account
                    .certificate_sha256
                    .clone()
                    .unwrap_or_else(|| "-".to_owned()),
            ]
        })
        .collect();
    output::print_table(&["ACCOUNT", "ROLE", "PASSWORD", "CERTIFICATE"], &rows)
}

/// The role, with the owner that it is for.
fn role(account: &Account) -> String {
    match &account.owner {
        Some(owner) => format!("{} {owner}", account.role.as_str()),
        None => account.role.as_str().to_owned(),
    }
}

fn thumbprint(certificate: &Path) -> anyhow::Result<String> {
    Ok(URL_SAFE_NO_PAD.encode(certificate_file::sha256(certificate)?))
}

/// An account's password to be: of a file, or asked for.
fn password(name: &str, file: Option<PathBuf>) -> anyhow::Result<SecretText> {
    let password = match file {
        Some(file) => password_in(&file)?,
        None => new_password(name)?,
    };
    Ok(SecretText(password))
}
