//! oidc-provider, of npm: in `target/beside`, where it is put the first time.

use super::{Asking, Issuer, Running};
use crate::{
    registered::{Authentication, Method},
    serving::Serving,
    site::free_address,
    tokens::Sites,
    wire::secure::ClientTls,
};
use anyhow::{Context as _, bail, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What is pinned, and the server.
const FILES: [(&str, &str); 3] = [
    ("package.json", include_str!("../../../beside/package.json")),
    (
        "package-lock.json",
        include_str!("../../../beside/package-lock.json"),
    ),
    (SERVER, include_str!("../../../beside/oidc-provider.mjs")),
];
const SERVER: &str = "oidc-provider.mjs";
/// The algorithm of its tokens: the same as Symbolon's, with the same key.
const ALGORITHM: &str = "EdDSA";

pub(super) struct OidcProvider {
    directory: PathBuf,
}

impl OidcProvider {
    /// Puts it there where it is not.
    pub(super) fn find(directory: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(directory)?;
        for (name, content) in FILES {
            fs::write(directory.join(name), content)?;
        }
        if !directory.join("node_modules/oidc-provider").is_dir() {
            let status = Command::new("npm")
                .args(["ci", "--no-fund", "--no-audit"])
                .current_dir(directory)
                .status()
                .context("npm does not run")?;
            ensure!(status.success(), "`npm ci` fails");
        }
        Ok(Self {
            directory: directory.to_owned(),
        })
    }
}

impl Issuer for OidcProvider {
    fn name(&self) -> &'static str {
        "oidc-provider"
    }

    fn takes(&self, method: Method) -> bool {
        method == Method::Secret
    }

    fn start<'s>(&self, sites: &'s Sites, method: Method) -> anyhow::Result<Running<'s>> {
        let (site, fleet) = sites.of(method);
        let address = free_address()?;
        let directory = tempfile::tempdir()?;
        let clients: Result<Vec<_>, _> = (fleet.clients.iter())
            .map(|client| pair(&client.authentication))
            .collect();
        let certificates = site.certificates();
        let key = fs::read_to_string(site.path().join("keys/signing.jwk"))?;
        let settings = serde_json::json!({
            "port": address.port(),
            "certificate": certificates.certificate,
            "key": certificates.key,
            "algorithm": ALGORITHM,
            "signing_key": serde_json::from_str::<serde_json::Value>(&key)?,
            "clients": clients?,
        });
        let file = directory.path().join("settings.json");
        fs::write(&file, settings.to_string())?;
        let mut command = Command::new(self.directory.join("node_modules/node/bin/node"));
        command
            .env("NODE_ENV", "production")
            .arg(self.directory.join(SERVER))
            .arg(&file);
        Ok(Running {
            serving: Serving::start(self.name(), command, &[address])?,
            address,
            tls: ClientTls::trusting(&certificates.ca)?,
            asking: Asking {
                form: "grant_type=client_credentials&scope=bench",
                ..Asking::of(site, &fleet.clients)
            },
            _directory: Some(directory),
        })
    }
}

/// Client identifier and secret, as the header has them.
pub(super) fn pair(authentication: &Authentication) -> anyhow::Result<(String, String)> {
    let Authentication::Basic(header) = authentication else {
        bail!("these clients have secrets");
    };
    let encoded = header.strip_prefix("Basic ").context("Basic")?;
    let pair = String::from_utf8(BASE64_STANDARD.decode(encoded)?)?;
    let (client_id, secret) = pair.split_once(':').context("a pair")?;
    Ok((client_id.to_owned(), secret.to_owned()))
}
