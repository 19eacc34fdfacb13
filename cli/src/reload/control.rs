//! The control socket: a Unix domain socket in the site's directory, for its owner alone. A request is one JSON line, the answer some.

use super::report::{Report, Request};
use crate::serve::Which;
use anyhow::{Context as _, bail};
use std::{
    fs, io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    time::timeout,
};

/// The longest request, bytes.
const REQUEST_BYTES: u64 = 1024;
/// How long a request, and taking the answer, may take each.
const PEER_LIMIT: Duration = Duration::from_secs(5);

/// Listening; the file is removed when dropped.
#[derive(Debug)]
pub(crate) struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode: whether the file is still ours.
    file: (u64, u64),
    owner: u32,
}

/// Where servers of this kind listen.
pub(crate) fn path_in(directory: &Path, which: Which) -> PathBuf {
    directory.join(format!("symbolon-{}.sock", which.command()))
}

impl ControlSocket {
    /// Listens. The file of a server that has gone is replaced; that of one at work, or of something else, is not.
    pub(crate) fn bind(directory: &Path, which: Which) -> anyhow::Result<Self> {
        let path = path_in(directory, which);
        refuse_unless_stale(&path)?;
        // Made where nobody else can enter, and moved into place with its rights: at no moment may others connect.
        let nursery = tempfile::Builder::new()
            .prefix(".symbolon-")
            .tempdir_in(directory)?;
        let made = nursery.path().join("s");
        let listener = UnixListener::bind(&made)?;
        fs::set_permissions(&made, fs::Permissions::from_mode(0o600))?;
        fs::rename(&made, &path)?;
        let metadata = fs::symlink_metadata(&path)?;
        Ok(Self {
            listener,
            path,
            file: (metadata.dev(), metadata.ino()),
            owner: metadata.uid(),
        })
    }

    /// The next peer that may ask. Cancel safe.
    pub(crate) async fn accept(&self) -> Peer {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) if self.may_ask(&stream) => return Peer(stream),
                Ok(_) => tracing::warn!("control socket: refused another user"),
                Err(error) => {
                    tracing::warn!(%error, "control socket: cannot accept");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    // The file's mode says so already; some systems do not look at it.
    fn may_ask(&self, stream: &UnixStream) -> bool {
        stream
            .peer_cred()
            .is_ok_and(|peer| peer.uid() == self.owner || peer.uid() == 0)
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.file);
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, "control socket: cannot remove the file");
        }
    }
}

/// Somebody who asks.
#[derive(Debug)]
pub(crate) struct Peer(UnixStream);

impl Peer {
    /// What is asked.
    pub(crate) async fn request(&mut self) -> io::Result<Result<Request, String>> {
        let mut line = String::new();
        let mut bounded = BufReader::new((&mut self.0).take(REQUEST_BYTES));
        let read = timeout(PEER_LIMIT, bounded.read_line(&mut line)).await;
        read.map_err(|_elapsed| io::Error::from(io::ErrorKind::TimedOut))??;
        Ok(serde_json::from_str(&line)
            .map_err(|_| "the only request is {\"command\":\"reload\"}".to_owned()))
    }

    /// Answers, and hangs up.
    pub(crate) async fn answer(mut self, report: &Report) -> io::Result<()> {
        let mut text = Vec::new();
        for line in report.to_lines() {
            serde_json::to_writer(&mut text, &line)?;
            text.push(b'\n');
        }
        let written = timeout(PEER_LIMIT, async {
            self.0.write_all(&text).await?;
            self.0.shutdown().await
        });
        written
            .await
            .map_err(|_elapsed| io::Error::from(io::ErrorKind::TimedOut))?
    }
}

fn refuse_unless_stale(path: &Path) -> anyhow::Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        metadata => metadata?,
    };
    if !metadata.file_type().is_socket() {
        bail!("{} is there, and is no socket", path.display());
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => bail!("another server listens at {}", path.display()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(error).with_context(|| format!("{} is in the way", path.display())),
    }
}
