//! Where the database is: a file of SQLite, or PostgreSQL by URL.

use sqlx::any::AnyConnectOptions;
use std::{
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
};

/// What may stand behind `?` in the URL of a PostgreSQL database.
const PARAMETERS: [&str; 6] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "application_name",
];
/// How the connection may be secured, as libpq calls it.
const SSL_MODES: [&str; 6] = [
    "disable",
    "allow",
    "prefer",
    "require",
    "verify-ca",
    "verify-full",
];

/// Where the database is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Location {
    /// A file of SQLite; it is made where there is none.
    File(PathBuf),
    /// A database of PostgreSQL; it must be there, and our tables are made where there are none.
    Postgres(PostgresUrl),
}

/// The URL of a PostgreSQL database: `postgres://USER@HOST:PORT/NAME?sslmode=verify-full&sslrootcert=FILE`. Its password is never shown.
#[derive(Clone, Eq, PartialEq)]
pub struct PostgresUrl {
    /// With all that is known, the password too.
    url: String,
}

/// Why a URL does not lead to a PostgreSQL database. No message has the URL in it, which may hold a password.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LocationError {
    /// It is no URL.
    #[error("is no URL: write postgres://USER@HOST:PORT/NAME")]
    Malformed,
    /// A part is missing; which.
    #[error("the URL names no {0}: write postgres://USER@HOST:PORT/NAME")]
    Missing(&'static str),
    /// The port is not a number from 1 to 65535.
    #[error("the port is a number from 1 to 65535")]
    Port,
    /// A password among the parameters.
    #[error("a password does not stand behind the ?: name a file that holds it")]
    PasswordParameter,
    /// A parameter that means nothing here; which.
    #[error("the URL has an unknown parameter {0:?}")]
    Parameter(String),
    /// `sslmode` is none of those there are.
    #[error("sslmode is one of disable, allow, prefer, require, verify-ca, verify-full")]
    SslMode,
}

impl Location {
    /// A URL that begins with `postgres:` or `postgresql:`, else the path of a file.
    pub fn parse(text: &str) -> Result<Self, LocationError> {
        if is_postgres(text) {
            PostgresUrl::parse(text).map(Self::Postgres)
        } else {
            Ok(Self::File(text.into()))
        }
    }

    /// The file, if it is one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Postgres(_) => None,
        }
    }
}

impl From<&Path> for Location {
    fn from(path: &Path) -> Self {
        Self::File(path.to_owned())
    }
}

impl From<PathBuf> for Location {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Postgres(url) => url.fmt(f),
        }
    }
}

fn is_postgres(text: &str) -> bool {
    text.starts_with("postgres:") || text.starts_with("postgresql:")
}

impl PostgresUrl {
    /// Host, user and name must be there. Over a network the server's certificate is verified (`verify-full`) unless the URL says otherwise.
    pub fn parse(text: &str) -> Result<Self, LocationError> {
        let options: AnyConnectOptions = text.parse().map_err(|_| LocationError::Malformed)?;
        let mut url = options.database_url;
        if !is_postgres(text) || url.cannot_be_a_base() {
            return Err(LocationError::Malformed);
        }
        let mut host = url.host_str().unwrap_or_default().to_owned();
        let mut ssl_mode = None;
        for (name, value) in url.query_pairs() {
            match &*name {
                "password" => return Err(LocationError::PasswordParameter),
                "host" => host = value.into_owned(),
                "sslmode" if !SSL_MODES.contains(&&*value) => return Err(LocationError::SslMode),
                "sslmode" => ssl_mode = Some(value.into_owned()),
                other if PARAMETERS.contains(&other) => {}
                other => return Err(LocationError::Parameter(other.to_owned())),
            }
        }
        for (part, what) in [
            (&*host, "host"),
            (url.username(), "user"),
            (url.path().trim_start_matches('/'), "database"),
        ] {
            if part.is_empty() {
                return Err(LocationError::Missing(what));
            }
        }
        if url.port() == Some(0) {
            return Err(LocationError::Port);
        }
        if ssl_mode.is_none() {
            // libpq's `prefer` would take an answer without TLS from whoever gives one.
            let mode = if is_here(&host) {
                "prefer"
            } else {
                "verify-full"
            };
            url.query_pairs_mut().append_pair("sslmode", mode);
        }
        Ok(Self { url: url.into() })
    }

    /// Whether the URL itself holds the password.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.options()
            .is_ok_and(|options| options.database_url.password().is_some())
    }

    /// The same with this password.
    pub fn with_password(self, password: &str) -> Result<Self, LocationError> {
        let mut url = self.options()?.database_url;
        // The call escapes all but this one.
        url.set_password(Some(&password.replace('%', "%25")))
            .map_err(|()| LocationError::Missing("host"))?;
        Ok(Self { url: url.into() })
    }

    pub(super) fn options(&self) -> Result<AnyConnectOptions, LocationError> {
        self.url.parse().map_err(|_| LocationError::Malformed)
    }
}

/// On this machine: nobody else hears what is said.
fn is_here(host: &str) -> bool {
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let address = name.parse::<IpAddr>();
    name.starts_with('/')
        || name.to_ascii_lowercase().starts_with("%2f")
        || name == "localhost"
        || address.is_ok_and(|address| address.is_loopback())
}

impl fmt::Display for PostgresUrl {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(options) = self.options() else {
            return f.write_str("postgres:");
        };
        let mut url = options.database_url;
        // It has a host: the call cannot fail, and where it did, nothing is shown.
        if url.set_password(None).is_err() {
            return f.write_str("postgres:");
        }
        url.set_query(None);
        f.write_str(url.as_str())
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_file_and_a_url_is_postgresql() {
        let path = Location::parse("/var/lib/postgres:x").unwrap();
        assert_eq!(path.file(), Some(Path::new("/var/lib/postgres:x")));
        for url in ["postgres://u@localhost/d", "postgresql://u@db.example/d"] {
            assert_eq!(Location::parse(url).unwrap().file(), None);
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let url = PostgresUrl::parse("postgres://u:guess-me@localhost:5433/d").unwrap();
        assert!(url.has_password());
        let other = PostgresUrl::parse("postgres://u@localhost/d").unwrap();
        assert!(!other.has_password());
        let other = other.with_password("guess@me/#").unwrap();
        assert!(other.has_password());
        for url in [url, other] {
            let location = Location::Postgres(url);
            let shown = format!("{location} {location:?}");
            assert!(!shown.contains("guess"), "{shown}");
            assert!(shown.contains("postgres://u@localhost"), "{shown}");
        }
    }

    #[test]
    fn a_password_may_hold_any_character() {
        let url = PostgresUrl::parse("postgres://u@localhost/d").unwrap();
        let url = url.with_password("a:b/c?d#e%20 f").unwrap();
        assert_eq!(
            url.options().unwrap().database_url.password(),
            Some("a%3Ab%2Fc%3Fd%23e%2520%20f")
        );
    }

    #[test]
    fn over_a_network_the_server_is_verified_unless_the_url_says_otherwise() {
        let mode = |text: &str| {
            let url = PostgresUrl::parse(text).unwrap().url;
            url.rsplit("sslmode=").next().unwrap().to_owned()
        };
        assert_eq!(mode("postgres://u@db.example/d"), "verify-full");
        assert_eq!(mode("postgres://u@db.example/d?sslmode=require"), "require");
        assert_eq!(mode("postgres://u@10.0.0.1/d"), "verify-full");
        for here in ["localhost", "127.0.0.1", "[::1]", "%2Frun%2Fpostgresql"] {
            assert_eq!(mode(&format!("postgres://u@{here}/d")), "prefer", "{here}");
        }
        let socket = "postgres://u@localhost/d?host=/run/postgresql";
        assert_eq!(mode(socket), "prefer");
        let elsewhere = "postgres://u@localhost/d?host=db.example";
        assert_eq!(mode(elsewhere), "verify-full");
    }

    #[test]
    fn what_leads_nowhere_is_refused_with_the_reason() {
        for (url, why) in [
            ("postgres:", LocationError::Malformed),
            ("postgres://u@localhost:99999/d", LocationError::Malformed),
            ("postgres://u@localhost:0/d", LocationError::Port),
            ("postgres:///d", LocationError::Missing("host")),
            ("postgres://localhost/d", LocationError::Missing("user")),
            ("postgres://u@localhost", LocationError::Missing("database")),
            (
                "postgres://u@localhost/d?sslmode=yes",
                LocationError::SslMode,
            ),
            (
                "postgres://u@localhost/d?password=x",
                LocationError::PasswordParameter,
            ),
            (
                "postgres://u@localhost/d?sslmod=disable",
                LocationError::Parameter("sslmod".to_owned()),
            ),
        ] {
            assert_eq!(PostgresUrl::parse(url), Err(why), "{url}");
        }
    }
}
