//! Which authorization server, and who asks.

use super::{
    Administration,
    remote::{Login, Remote},
};
use crate::{
    config::{self, DirectoryArg, Settings},
    exit::usage,
    private_file, registry,
};
use std::path::{Path, PathBuf};

/// Names the file of the account's password.
const PASSWORD_FILE: &str = "SYMBOLON_ADMIN_PASSWORD_FILE";
/// The heading in `--help`.
const HEADING: &str = "On another machine";

/// The authorization server of this machine, or one elsewhere.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Place {
    #[command(flatten)]
    directory: DirectoryArg,
    /// Administer the authorization server at this URL, over HTTPS, and not the one of DIR
    #[arg(
        long,
        value_name = "URL",
        env = "SYMBOLON_ADMIN_URL",
        hide_env_values = true,
        help_heading = HEADING
    )]
    server: Option<String>,
    /// The account there; its password is in the file that `SYMBOLON_ADMIN_PASSWORD_FILE` names, or asked for on the terminal
    #[arg(
        long,
        value_name = "NAME",
        env = "SYMBOLON_ADMIN_ACCOUNT",
        hide_env_values = true,
        help_heading = HEADING
    )]
    account: Option<String>,
    /// The certificate of the account (PEM), in place of its name and password
    #[arg(long, value_name = "FILE", requires = "account_key", help_heading = HEADING)]
    account_certificate: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, value_name = "FILE", requires = "account_certificate", help_heading = HEADING)]
    account_key: Option<PathBuf>,
    /// The CA that the server's certificate must come from (PEM; default: `profile.ca` of the configuration in DIR)
    #[arg(
        long,
        value_name = "FILE",
        env = "SYMBOLON_ADMIN_CA",
        hide_env_values = true,
        help_heading = HEADING
    )]
    ca: Option<PathBuf>,
}

impl Place {
    /// Opens the database of this machine, or finds out how to reach the server elsewhere.
    pub(crate) async fn open(&self) -> anyhow::Result<Administration> {
        let Some(url) = &self.server else {
            let settings = self.directory.settings()?;
            let store = registry::open(&settings).await?;
            return Ok(Administration::local(store, Some(settings)));
        };
        let remote = Remote::new(url, &self.ca_pem()?, self.login(url)?)?;
        Ok(Administration::remote(remote))
    }

    /// A server elsewhere, for what everybody may ask; none where it is this machine's.
    pub(crate) fn open_to_everybody(&self) -> anyhow::Result<Option<Administration>> {
        let Some(url) = &self.server else {
            return Ok(None);
        };
        let remote = Remote::new(url, &self.ca_pem()?, Login::Nobody)?;
        Ok(Some(Administration::remote(remote)))
    }

    /// Where `clients/` is.
    pub(crate) fn profiles(&self, administration: &Administration) -> PathBuf {
        let directory = match administration.settings() {
            Some(settings) => settings.directory.clone(),
            None => self.directory.dir.clone(),
        };
        directory.join("clients")
    }

    /// The CA that the server elsewhere is known by.
    pub(crate) fn ca_pem(&self) -> anyhow::Result<String> {
        match &self.ca {
            Some(file) => read(file),
            None => device_ca(&self.configured()?),
        }
    }

    /// The configuration in DIR, where a server elsewhere is asked and no CA was named.
    fn configured(&self) -> anyhow::Result<Settings> {
        if !config::file_in(&self.directory.dir).exists() {
            return Err(usage(
                "name the CA that the server's certificate must come from, with --ca",
            ));
        }
        Ok(self.directory.settings()?)
    }

    fn login(&self, url: &str) -> anyhow::Result<Login> {
        if let (Some(certificate), Some(key)) = (&self.account_certificate, &self.account_key) {
            let key_pem = private_file::read_secret(key)
                .map_err(|error| usage(format!("{}: {error}", key.display())))?;
            return Ok(Login::Certificate(read(certificate)?, key_pem));
        }
        let Some(account) = &self.account else {
            return Err(usage(
                "say who asks, with --account, or with --account-certificate and --account-key",
            ));
        };
        if account.contains(':') {
            return Err(usage("the name of an account has no colon"));
        }
        let password = match std::env::var_os(PASSWORD_FILE) {
            Some(file) => password_in(Path::new(&file))?,
            None => password_for(account, url)?,
        };
        Ok(Login::Password(account.clone(), password))
    }
}

/// The CA that devices are to trust, as the configuration names it.
pub(crate) fn device_ca(settings: &Settings) -> anyhow::Result<String> {
    let ca = settings.profile.ca.as_deref();
    let ca = ca.ok_or_else(|| usage("profile.ca is not set: devices need a CA to trust"))?;
    read(ca)
}

fn read(file: &Path) -> anyhow::Result<String> {
    private_file::read_text(file).map_err(|error| usage(format!("{}: {error}", file.display())))
}

/// The first line of a file that nobody else may read.
pub(crate) fn password_in(file: &Path) -> anyhow::Result<String> {
    let refused = |why: String| usage(format!("{}: {why}", file.display()));
    let text = private_file::read_secret(file).map_err(refused)?;
    match text.lines().next() {
        Some(password) if !password.is_empty() => Ok(password.to_owned()),
        Some(_) | None => Err(refused("is empty".to_owned())),
    }
}

/// Asks for the password that an account is to have, twice.
pub(crate) fn new_password(account: &str) -> anyhow::Result<String> {
    let ask = |prompt: String| {
        rpassword::prompt_password(prompt).map_err(|_| {
            usage("there is no terminal to ask for a password: name a file of it with --password-file")
        })
    };
    let password = ask(format!("new password of account {account}: "))?;
    if ask("the same again: ".to_owned())? != password {
        return Err(usage("the two passwords differ"));
    }
    Ok(password)
}

fn password_for(account: &str, url: &str) -> anyhow::Result<String> {
    rpassword::prompt_password(format!("password of {account} at {url}: ")).map_err(|_| {
        usage(format!(
            "there is no terminal to ask for the password of {account}: name a file of it in {PASSWORD_FILE}"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(directory: &tempfile::TempDir, text: &str) -> PathBuf {
        let path = directory.path().join("password");
        private_file::write_secret(&path, text, true).unwrap();
        path
    }

    #[test]
    fn a_password_is_the_first_line_of_its_file_spaces_and_all() {
        let directory = tempfile::tempdir().unwrap();
        for text in [" a b:c ", " a b:c \n", " a b:c \r\nmore\n"] {
            let path = written(&directory, text);
            assert_eq!(password_in(&path).unwrap(), " a b:c ");
        }
        for text in ["", "\n", "\nsecond"] {
            let path = written(&directory, text);
            let refused = password_in(&path).unwrap_err().to_string();
            assert!(refused.ends_with("is empty"), "{refused}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_password_that_others_may_read_is_refused_and_not_told() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let path = written(&directory, "hunter2");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let refused = password_in(&path).unwrap_err().to_string();
        assert!(!refused.contains("hunter2"), "{refused}");
    }
}
