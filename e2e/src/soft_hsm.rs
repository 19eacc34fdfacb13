//! A hardware token in software, `SoftHSM`, in a directory of its own.

use crate::program::Command;
use std::{
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// Where Debian has the module.
const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
/// The variable that says where the tokens are.
pub const VARIABLE: &str = "SOFTHSM2_CONF";
/// The label of the token.
pub const LABEL: &str = "symbolon";
/// Its PIN.
pub const PIN: &str = "73194652";

/// A token; removed when dropped.
#[derive(Debug)]
pub struct SoftHsm {
    directory: TempDir,
}

impl SoftHsm {
    /// Makes one.
    ///
    /// # Panics
    /// Where there is no `SoftHSM`: `./check` installs it.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let tokens = directory.path().join("tokens");
        fs::create_dir(&tokens).expect("a directory can be made");
        let configuration = format!(
            "directories.tokendir = {}\nlog.level = ERROR\n",
            tokens.display()
        );
        fs::write(directory.path().join("softhsm2.conf"), configuration)
            .expect("a file can be written");
        let hsm = Self { directory };
        Command::new("softhsm2-util")
            .env(VARIABLE, &hsm.configuration())
            .words("--init-token --free --so-pin 12345678 --label")
            .arg(LABEL)
            .words("--pin")
            .arg(PIN)
            .run()
            .success();
        hsm
    }

    /// The value of [`VARIABLE`].
    ///
    /// # Panics
    /// Where temporary files are at a path that is not UTF-8.
    pub fn configuration(&self) -> String {
        let path = self.directory.path().join("softhsm2.conf");
        path.to_str().expect("a path in UTF-8").to_owned()
    }

    /// The module.
    pub fn module(&self) -> &'static str {
        MODULE
    }

    /// Takes the token away.
    ///
    /// # Panics
    /// Where it is away already.
    pub fn take_away(&self) {
        fs::rename(self.tokens(), self.away()).expect("it is there");
        fs::create_dir(self.tokens()).expect("a directory can be made");
    }

    /// Brings it back.
    ///
    /// # Panics
    /// Where it is not away.
    pub fn bring_back(&self) {
        fs::remove_dir_all(self.tokens()).expect("a directory can be removed");
        fs::rename(self.away(), self.tokens()).expect("it is away");
    }

    fn tokens(&self) -> PathBuf {
        self.directory.path().join("tokens")
    }

    fn away(&self) -> PathBuf {
        self.directory.path().join("away")
    }

    /// The section of the configuration that names it, with the PIN in a file beside the configuration.
    ///
    /// # Panics
    /// Where the file cannot be written.
    pub fn configure(&self, site: &Path, pin: &str) {
        let pin_file = site.join("token.pin");
        write_private(&pin_file, pin);
        let file = site.join("symbolon.toml");
        let text = fs::read_to_string(&file).expect("init made it");
        let section = format!("[as.pkcs11]\nmodule = \"{MODULE}\"\npin_file = \"token.pin\"\n");
        fs::write(&file, format!("{text}\n{section}")).expect("it can be written");
    }
}

impl Default for SoftHsm {
    fn default() -> Self {
        Self::new()
    }
}

/// Writes a file that only its owner may read.
///
/// # Panics
/// Where it cannot be written.
pub fn write_private(path: &Path, content: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(path, content).expect("a file can be written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("it is ours");
}
