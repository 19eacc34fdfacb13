//! `symbolon rs`: resource servers, and what kind of tokens each gets.

mod group;
mod rotate;
mod show;

use crate::{
    certificate_file,
    config::DirectoryArg,
    exit::usage,
    output::OutputArgs,
    private_file, registry,
    shared_key::{self, Purpose},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use std::path::{Path, PathBuf};
use symbolon_ace_proto::{Jwk, MacKey, PopKey};
use symbolon_auth_server::store::{
    ClientAuthentication, Lifetime, Protection, ResourceServer, Rotation, ServerAccess, Store,
    StoreError, SymmetricKeys, TokenFormat, TokenKind,
};

/// `symbolon rs ...`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum ResourceServerCommand {
    /// List the resource servers
    List {
        #[command(flatten)]
        directory: DirectoryArg,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show a resource server; never a key
    Show {
        /// Its audience
        audience: String,
        #[command(flatten)]
        directory: DirectoryArg,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Register a resource server: a broker
    Add(Box<PutArgs>),
    /// Change what is said of a resource server; what is not said stays
    Set(Box<PutArgs>),
    /// Remove a resource server and its policies; its tokens run out in their time
    Remove {
        /// Its audience
        audience: String,
        #[command(flatten)]
        directory: DirectoryArg,
    },
    /// Let a key that is shared with a resource server take turns with a new one. Its broker gets to know it at once, it is used after a while,
    /// and the one before it stays good until the last token has run out
    Rotate(rotate::RotateArgs),
    /// List the keys that are shared with a resource server, by name, and what they do
    Keys(rotate::KeysArgs),
    /// Audiences that stand for several resource servers
    #[command(subcommand)]
    Group(group::GroupCommand),
}

/// `symbolon rs add` and `symbolon rs set`.
#[derive(Debug, clap::Args)]
pub(crate) struct PutArgs {
    /// Its audience: the name in its tokens
    audience: String,
    #[command(flatten)]
    directory: DirectoryArg,
    /// The form of its tokens (default for a new one: jwt)
    #[arg(long = "format", value_parser = PossibleValuesParser::new(["jwt", "cwt", "reference"])
        .try_map(|name| TokenFormat::from_name(&name).ok_or("unknown")))]
    token_format: Option<TokenFormat>,
    /// What protects them: the server's signature, or a MAC with the key of --mac-key (default for a new one: sign)
    #[arg(long, value_parser = PossibleValuesParser::new(["sign", "mac"])
        .try_map(|name| Protection::from_name(&name).ok_or("unknown")))]
    protection: Option<Protection>,
    /// How HS256 keys get there: in the token under --content-key, or derived with --derivation-key (default for a new one: encrypted)
    #[arg(long, value_parser = PossibleValuesParser::new(["encrypted", "derived"])
        .try_map(|name| SymmetricKeys::from_name(&name).ok_or("unknown")))]
    symmetric_keys: Option<SymmetricKeys>,
    /// How tokens say when they end: a time of day, or seconds from first sight, for a server without a clock (default for a new one: exp)
    #[arg(long, value_parser = PossibleValuesParser::new(["exp", "exi"])
        .try_map(|name| Lifetime::from_name(&name).ok_or("unknown")))]
    lifetime: Option<Lifetime>,
    /// The content key shared with it, a symmetric JWK; made where there is no such file
    #[arg(long, value_name = "FILE")]
    content_key: Option<PathBuf>,
    /// The MAC key shared with it, a symmetric JWK; made where there is no such file
    #[arg(long, value_name = "FILE")]
    mac_key: Option<PathBuf>,
    /// The derivation key shared with it, a symmetric JWK; made where there is no such file
    #[arg(long, value_name = "FILE")]
    derivation_key: Option<PathBuf>,
    /// Its TLS certificate (PEM), by whose thumbprint clients know it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["public_key", "any_certificate"])]
    certificate: Option<PathBuf>,
    /// Its raw public key (JWK), by which clients know it
    #[arg(long, value_name = "FILE", conflicts_with = "any_certificate")]
    public_key: Option<PathBuf>,
    /// Clients are not told how to know it: any certificate that they trust will do
    #[arg(long)]
    any_certificate: bool,
    /// Its identifier where it asks about tokens (default: its audience, where that can be one)
    #[arg(long, value_name = "NAME")]
    client_id: Option<String>,
    /// It asks with the secret in this file; made where there is no such file
    #[arg(long, value_name = "FILE", group = "introspection")]
    introspection_secret: Option<PathBuf>,
    /// It asks with assertions of the private key to this public one (JWK)
    #[arg(long, value_name = "FILE", group = "introspection")]
    introspection_key: Option<PathBuf>,
    /// It asks with this certificate (PEM)
    #[arg(long, value_name = "FILE", group = "introspection")]
    introspection_certificate: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

impl ResourceServerCommand {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        crate::runtime::block_on(self.run_async())?
    }

    async fn run_async(self) -> anyhow::Result<()> {
        match self {
            Self::List { directory, output } => {
                let store = registry::open(&directory.settings()?).await?;
                show::list(&store.resource_servers().await?, output)
            }
            Self::Show {
                audience,
                directory,
                output,
            } => {
                let store = registry::open(&directory.settings()?).await?;
                show::one(&existing(&store, &audience).await?, output)
            }
            Self::Add(arguments) => arguments.add().await,
            Self::Set(arguments) => arguments.set().await,
            Self::Remove {
                audience,
                directory,
            } => {
                let store = registry::open(&directory.settings()?).await?;
                store.remove_resource_server(&audience).await?;
                println!("removed {audience}");
                Ok(())
            }
            Self::Rotate(arguments) => arguments.run().await,
            Self::Keys(arguments) => arguments.run().await,
            Self::Group(command) => command.run().await,
        }
    }
}

async fn existing(store: &Store, audience: &str) -> Result<ResourceServer, StoreError> {
    let server = store.resource_server(audience).await?;
    server.ok_or_else(|| StoreError::NotFound("resource server", audience.to_owned()))
}

impl PutArgs {
    async fn add(self) -> anyhow::Result<()> {
        let store = registry::open(&self.directory.settings()?).await?;
        if store.resource_server(&self.audience).await?.is_some() {
            return Err(StoreError::Exists("resource server", self.audience).into());
        }
        let new = ResourceServer {
            audience: self.audience.clone(),
            tokens: TokenKind::default(),
            content_key: None,
            mac_key: None,
            derivation_key: None,
            rs_cnf: None,
            access: None,
            rotation: Rotation::default(),
        };
        self.put(&store, new).await
    }

    async fn set(self) -> anyhow::Result<()> {
        let store = registry::open(&self.directory.settings()?).await?;
        let before = existing(&store, &self.audience).await?;
        self.put(&store, before).await
    }

    async fn put(self, store: &Store, before: ResourceServer) -> anyhow::Result<()> {
        let output = self.output;
        let server = self.changed(before)?;
        store.put_resource_server(&server).await?;
        show::one(&server, output)
    }

    fn changed(self, mut server: ResourceServer) -> anyhow::Result<ResourceServer> {
        let kind = &mut server.tokens;
        kind.format = self.token_format.unwrap_or(kind.format);
        kind.protection = self.protection.unwrap_or(kind.protection);
        kind.symmetric_keys = self.symmetric_keys.unwrap_or(kind.symmetric_keys);
        kind.lifetime = self.lifetime.unwrap_or(kind.lifetime);
        if let Some(file) = &self.content_key {
            server.content_key = Some(Purpose::Content.read_or_make(file)?);
        }
        if let Some(file) = &self.mac_key {
            let key = Purpose::Mac.read_or_make(file)?;
            server.mac_key = Some(MacKey::new(&key.kid, key.key)?);
        }
        if let Some(file) = &self.derivation_key {
            server.derivation_key = Some(Purpose::Derivation.read_or_make(file)?.key);
        }
        if let Some(file) = &self.certificate {
            let thumbprint = URL_SAFE_NO_PAD.encode(certificate_file::sha256(file)?);
            server.rs_cnf = Some(serde_json::json!({ "x5t#S256": thumbprint }));
        }
        if let Some(file) = &self.public_key {
            server.rs_cnf = Some(serde_json::json!({ "jwk": public_key(file)? }));
        }
        if self.any_certificate {
            server.rs_cnf = None;
        }
        self.change_access(&mut server)?;
        Ok(server)
    }

    fn change_access(self, server: &mut ResourceServer) -> anyhow::Result<()> {
        let authentication = match (
            &self.introspection_secret,
            &self.introspection_key,
            &self.introspection_certificate,
        ) {
            (Some(file), _, _) => Some(ClientAuthentication::from_secret(&shared_key::secret(
                file,
            )?)),
            (_, Some(file), _) => Some(ClientAuthentication::Key(Box::new(public_key(file)?))),
            (_, _, Some(file)) => Some(ClientAuthentication::Certificate {
                sha256: certificate_file::sha256(file)?,
            }),
            (None, None, None) => None,
        };
        let before = server.access.take();
        let (known_id, known) = before
            .map(|access| (access.client_id, access.authentication))
            .unzip();
        let client_id = self.client_id.or(known_id);
        server.access = match (authentication.or(known), client_id) {
            (Some(authentication), client_id) => Some(ServerAccess {
                client_id: client_id.unwrap_or_else(|| server.audience.clone()),
                authentication,
            }),
            (None, Some(_)) => {
                return Err(usage(
                    "--client-id needs --introspection-secret, --introspection-key or --introspection-certificate",
                ));
            }
            (None, None) => None,
        };
        Ok(())
    }
}

/// The public key in a JWK file, a private part left out.
fn public_key(file: &Path) -> anyhow::Result<Jwk> {
    let refused = |why: &str| usage(format!("{}: {why}", file.display()));
    let text = private_file::read_text(file).map_err(|error| refused(&error))?;
    let jwk = Jwk::from_json(text.as_bytes()).map_err(|_| refused("is not a JWK"))?;
    let key = PopKey::from_jwk(&jwk).map_err(|_| refused("is not a key for Ed25519 or P-256"))?;
    Ok(key.to_jwk())
}
