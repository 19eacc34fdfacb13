//! `as.database`: a file of SQLite, or PostgreSQL by URL. Its password stands in a file of its own, or in the URL.

use crate::private_file;
use std::path::{Path, PathBuf};
use symbolon_auth_server::store::Location;

/// Where the database is, and where the password to it.
#[derive(Clone, Debug)]
pub(crate) struct DatabaseSettings {
    location: Location,
    password_file: Option<PathBuf>,
    /// The configuration file, where the URL in it holds a password: then it is a secret too.
    holder: Option<PathBuf>,
}

impl DatabaseSettings {
    /// `file` is the configuration, where it and nothing else says where the database is. The error is for people, without the URL.
    pub(super) fn new(
        location: Location,
        password_file: Option<PathBuf>,
        file: Option<&Path>,
    ) -> Result<Self, String> {
        let in_url = match &location {
            Location::File(_) if password_file.is_some() => {
                return Err(
                    "a file of SQLite has no password: leave database_password_file out".into(),
                );
            }
            Location::File(_) => false,
            Location::Postgres(url) => url.has_password(),
        };
        if in_url && password_file.is_some() {
            return Err("the password stands in the URL and in database_password_file: leave it out of the URL".into());
        }
        let holder = file.filter(|_| in_url).map(Path::to_owned);
        Ok(Self {
            location,
            password_file,
            holder,
        })
    }

    /// The file, if it is one.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.location.file()
    }

    /// For people: never with a password.
    pub(crate) fn shown(&self) -> String {
        self.location.to_string()
    }

    /// With the password, wherever it stands, and nobody else may read what holds a secret. The error is for people.
    pub(crate) fn location(&self) -> Result<Location, String> {
        let refused = |path: &Path, error: String| format!("{}: {error}", path.display());
        match &self.location {
            Location::File(path) => {
                if path.exists() {
                    private_file::refuse_if_others_may_use(path)
                        .map_err(|error| refused(path, error))?;
                }
                Ok(self.location.clone())
            }
            Location::Postgres(url) => {
                if let Some(holder) = &self.holder {
                    private_file::refuse_if_others_may_use(holder).map_err(|error| {
                        refused(
                            holder,
                            format!("the URL of the database holds a password: {error}"),
                        )
                    })?;
                }
                let Some(path) = &self.password_file else {
                    return Ok(self.location.clone());
                };
                let password =
                    private_file::read_secret(path).map_err(|error| refused(path, error))?;
                let password = password.trim_end_matches(['\r', '\n']);
                if password.is_empty() {
                    return Err(refused(path, "is empty".into()));
                }
                let url = url.clone().with_password(password);
                Ok(Location::Postgres(url.map_err(|error| error.to_string())?))
            }
        }
    }
}
