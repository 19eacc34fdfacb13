//! Who we are to the authorization server and to the broker: a profile, or flags in its place.

use super::arguments::{ConnectArgs, RegisteredArgs};
use crate::{allow, broker_address::bracketed, exit::usage, private_file, profile_file};
use std::path::Path;
use symbolon_ace_proto::{Jwk, PopSigner, Scope};
use symbolon_client::{
    Mode, Profile,
    profile::{ClientAuth, Pop},
};
use symbolon_mqtt_proto::ProtocolVersion;

/// A device that gets tokens.
pub(super) struct Device {
    pub(super) profile: Profile,
    /// Less than the profile's scope.
    pub(super) scope: Option<Scope>,
    /// `--auth`.
    auth: Option<Mode>,
    /// `--trust-as`.
    pub(super) trust_as: Option<String>,
}

impl Device {
    /// The one that the flags describe, if any.
    pub(super) fn of(arguments: &ConnectArgs) -> anyhow::Result<Option<Self>> {
        let registered = &arguments.registered;
        let profile = match (&arguments.profile, &registered.client_id) {
            (Some(file), _) => profile_file::read(file)?,
            (None, Some(client_id)) => unnamed(arguments, registered, client_id)?,
            (None, None) => return Ok(None),
        };
        Ok(Some(Self {
            profile,
            scope: allow::scope(&arguments.scope).map_err(usage)?,
            auth: arguments.auth.map(Mode::from),
            trust_as: registered.trust_as.clone(),
        }))
    }

    /// The mode that flags or profile ask for.
    pub(super) fn asked(&self) -> Option<Mode> {
        self.auth.or(self.profile.auth)
    }

    /// The mode, chosen where nobody asks for one.
    pub(super) fn mode(&self, version: ProtocolVersion) -> Mode {
        self.auth
            .unwrap_or_else(|| Mode::choose(&self.profile, version))
    }

    /// Says what cannot be before anything is sent.
    pub(super) fn check(&self, version: ProtocolVersion) -> anyhow::Result<()> {
        let mode = self.mode(version);
        let key = self.profile.pop_algorithm()?;
        mode.check(version, key)
            .map_err(|error| usage(format!("--auth {}: {error}", mode.as_str())))
    }
}

/// A profile without an authorization server, which the broker will name.
fn unnamed(
    arguments: &ConnectArgs,
    registered: &RegisteredArgs,
    client_id: &str,
) -> anyhow::Result<Profile> {
    let (client_auth, pop) = match (&registered.client_key, &registered.client_secret_file) {
        (Some(file), _) => key(file)?,
        (None, Some(file)) => secret(file)?,
        (None, None) => {
            return Err(usage(
                "--client-id needs --client-key or --client-secret-file",
            ));
        }
    };
    let host = arguments.host.as_deref().unwrap_or("localhost");
    Ok(Profile {
        client_id: client_id.to_owned(),
        issuer: String::new(),
        token_endpoint: String::new(),
        broker: format!("mqtts://{}", bracketed(host)),
        audience: String::new(),
        // That of --cafile and the like.
        ca: String::new(),
        client_auth,
        pop,
        scope: serde_json::json!([]),
        auth: None,
        encoding: None,
    })
}

fn read(file: &Path) -> anyhow::Result<String> {
    private_file::read_secret(file)
        .map(|text| text.trim().to_owned())
        .map_err(|error| usage(format!("{}: {error}", file.display())))
}

fn key(file: &Path) -> anyhow::Result<(ClientAuth, Pop)> {
    let wrong = || {
        usage(format!(
            "{}: is not the JWK of a private key of Ed25519 or P-256",
            file.display()
        ))
    };
    let jwk = Jwk::from_json(read(file)?.as_bytes()).map_err(|_| wrong())?;
    let signer = PopSigner::from_jwk(&jwk).map_err(|_| wrong())?;
    if jwk.is_symmetric() {
        return Err(wrong());
    }
    let pop = Pop {
        alg: signer.algorithm().as_str().to_owned(),
        jwk: Some(Box::new(jwk.clone())),
    };
    Ok((ClientAuth::Key { jwk: Box::new(jwk) }, pop))
}

fn secret(file: &Path) -> anyhow::Result<(ClientAuth, Pop)> {
    let secret = read(file)?;
    if secret.is_empty() {
        return Err(usage(format!("{}: is empty", file.display())));
    }
    let pop = Pop {
        alg: "HS256".to_owned(),
        jwk: None,
    };
    Ok((ClientAuth::Secret { secret }, pop))
}
