//! What `symbolon init` makes, in a temporary directory, and the clients that are registered there.

use anyhow::{Context as _, ensure};
use std::{
    env, fs,
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    process::Command,
};

/// An authorization server and a broker, set up.
pub(crate) struct Site {
    pub(crate) program: PathBuf,
    pub(crate) issuer: String,
    pub(crate) audience: String,
    /// Where the authorization server listens.
    pub(crate) authorization_server: SocketAddr,
    /// Where the broker listens, over TLS.
    pub(crate) broker: SocketAddr,
    directory: tempfile::TempDir,
}

/// A certificate chain, its key and the CA, PEM files: the same for all servers.
#[derive(Clone, Debug)]
pub(crate) struct Certificates {
    pub(crate) ca: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Site {
    /// Where the program is: `SYMBOLON_PROGRAM`, or beside this one.
    pub(crate) fn make() -> anyhow::Result<Self> {
        let beside = env::current_exe()?.with_file_name("symbolon");
        let program = env::var_os("SYMBOLON_PROGRAM").map_or(beside, PathBuf::from);
        let directory = tempfile::tempdir()?;
        let made = Command::new(&program)
            .arg("init")
            .arg(directory.path().join("site"))
            .args(["--as-port", "0", "--broker-port", "0", "-o", "json"])
            .output()
            .with_context(|| {
                let program = program.display();
                format!("{program} does not run: cargo build --release -p symbolon-cli")
            })?;
        ensure!(made.status.success(), "`symbolon init` fails: {made:?}");
        let made: serde_json::Value = serde_json::from_slice(&made.stdout)?;
        let text = |name: &str| made[name].as_str().map(str::to_owned).context("a text");
        let (issuer, broker) = (text("issuer")?, text("broker")?);
        Ok(Self {
            program,
            authorization_server: address_in(&issuer)?,
            broker: address_in(&broker)?,
            issuer,
            audience: text("audience")?,
            directory,
        })
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("site")
    }

    /// Keeps the database as it is now, for [`Site::forget_tokens`].
    pub(crate) fn keep_database(&self) -> anyhow::Result<()> {
        fs::copy(self.database(), self.kept())?;
        Ok(())
    }

    /// Puts the database back that was kept; nobody has it open.
    pub(crate) fn forget_tokens(&self) -> anyhow::Result<()> {
        for beside in ["-wal", "-shm"] {
            let mut name = self.database().into_os_string();
            name.push(beside);
            match fs::remove_file(&name) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
                Ok(()) | Err(_) => {}
            }
        }
        fs::copy(self.kept(), self.database())?;
        Ok(())
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path().join("symbolon.db")
    }

    fn kept(&self) -> PathBuf {
        self.directory.path().join("kept.db")
    }

    pub(crate) fn certificates(&self) -> Certificates {
        let file = |name: &str| self.path().join("certificates").join(name);
        Certificates {
            ca: file("ca.pem"),
            certificate: file("server.pem"),
            key: file("server.key"),
        }
    }
}

/// On the loopback interface, at the port that stands in this URL.
fn address_in(url: &str) -> anyhow::Result<SocketAddr> {
    let (_, rest) = url.split_once("://").context("no URL")?;
    let authority = rest.split('/').next().context("no authority")?;
    let (_, port) = authority.rsplit_once(':').context("no port")?;
    Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse()?)))
}

/// An address on the loopback interface that nobody listens on.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
