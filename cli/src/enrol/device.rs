//! On the device: `symbolon enrol --as URL --ca FILE --token CODE`.

use crate::{
    client::PopName,
    exit::usage,
    mqtt::printable,
    output::{self, OutputArgs},
    private_file, profile_file,
};
use anyhow::Context as _;
use std::{
    io::Write as _,
    path::{Path, PathBuf},
};
use symbolon_client::enrolment::{self, Enrolment, EnrolmentMethod};

/// `symbolon enrol --as URL --ca FILE --token CODE`.
#[derive(Debug, clap::Args)]
pub(crate) struct DeviceArgs {
    /// The authorization server's issuer identifier, an https URL
    #[arg(long = "as", value_name = "URL", required = true)]
    issuer: Option<String>,
    /// The CA that authorization server and broker are checked against, PEM
    #[arg(long, value_name = "FILE", required = true)]
    ca: Option<PathBuf>,
    /// The one-time code
    #[arg(
        long,
        value_name = "CODE",
        required_unless_present = "token_file",
        conflicts_with = "token_file",
        allow_hyphen_values = true
    )]
    token: Option<String>,
    /// A file with the one-time code, so that other users of the machine do not see it
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Where the profile goes
    #[arg(long, value_name = "FILE", default_value = "profile.json")]
    profile: PathBuf,
    /// Replace a profile file that exists
    #[arg(long)]
    force: bool,
    /// How the device authenticates to the authorization server
    #[arg(long, value_enum, default_value_t = Method::Key)]
    auth: Method,
    /// The algorithm of its proof-of-possession key
    #[arg(long, value_enum, default_value_t = PopName::Ed25519)]
    pop: PopName,
    #[command(flatten)]
    output: OutputArgs,
}

/// `--auth`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Method {
    /// By a signed assertion (`private_key_jwt`)
    Key,
    /// By a raw public key in the TLS handshake (RFC 7250)
    Rpk,
}

#[derive(serde::Serialize)]
struct Enrolled<'a> {
    client_id: &'a str,
    profile: &'a Path,
    scope: &'a serde_json::Value,
}

impl DeviceArgs {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let (Some(issuer), Some(ca)) = (&self.issuer, &self.ca) else {
            return Err(usage("say --as URL and --ca FILE"));
        };
        if self.profile.exists() && !self.force {
            return Err(usage(format!(
                "{} exists; choose another with --profile, or replace it with --force",
                self.profile.display()
            )));
        }
        let ca = private_file::read_text(ca)
            .map_err(|error| usage(format!("{}: {error}", ca.display())))?;
        let code = self.code()?;
        // The code is good once: where the profile cannot be written, it must not be used.
        let mut file = beside(&self.profile)?;
        let enrolment = Enrolment {
            issuer,
            ca: &ca,
            code: &code,
            method: match self.auth {
                Method::Key => EnrolmentMethod::Assertion,
                Method::Rpk => EnrolmentMethod::RawPublicKey,
            },
            pop: self.pop.algorithm(),
        };
        let profile = enrolment::enrol(enrolment).await?;
        let failed = || {
            format!(
                "{} is registered, but its profile cannot be written to {}: remove it, and enrol it anew",
                printable(&profile.client_id),
                self.profile.display()
            )
        };
        file.write_all(profile_file::to_text(&profile).as_bytes())
            .with_context(failed)?;
        file.as_file().sync_all().with_context(failed)?;
        file.persist(&self.profile).with_context(failed)?;
        if self.output.is_json() {
            return output::print_json(&Enrolled {
                client_id: &profile.client_id,
                profile: &self.profile,
                scope: &profile.scope,
            });
        }
        println!(
            "enrolled as {}; the profile is {}",
            printable(&profile.client_id),
            self.profile.display()
        );
        Ok(())
    }

    fn code(&self) -> anyhow::Result<String> {
        let code = match (&self.token, &self.token_file) {
            (Some(code), None) => code.clone(),
            (None, Some(file)) => private_file::read_text(file)
                .map_err(|error| usage(format!("{}: {error}", file.display())))?,
            (Some(_), Some(_)) | (None, None) => {
                return Err(usage("say --token CODE or --token-file FILE"));
            }
        };
        let code = code.trim();
        if code.is_empty() || !code.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(usage("the code is empty, or none"));
        }
        Ok(code.to_owned())
    }
}

/// A file of mode 0600 that will take the place of this one.
pub(super) fn beside(path: &Path) -> anyhow::Result<tempfile::NamedTempFile> {
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    tempfile::NamedTempFile::new_in(directory.unwrap_or(Path::new(".")))
        .with_context(|| format!("cannot write {}", path.display()))
}
