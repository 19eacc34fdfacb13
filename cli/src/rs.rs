//! `symbolon rs`: resource servers, and what kind of tokens each gets.

mod group;
mod rotate;
mod show;

use crate::{
    administration::Place,
    certificate_file,
    exit::usage,
    output::OutputArgs,
    private_file,
    shared_key::{self, Purpose},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use symbolon_ace_proto::{Jwk, PopKey};
use symbolon_auth_server::{
    admin::model::{Authentication, PutResourceServer, ResourceServer, SharedKey},
    store::{ClientAuthentication, Lifetime, Protection, SymmetricKeys, TokenFormat},
};

/// `symbolon rs ...`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum ResourceServerCommand {
    /// List the resource servers
    List {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show a resource server; never a key
    Show {
        /// Its audience
        audience: String,
        #[command(flatten)]
        place: Place,
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
        place: Place,
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
    place: Place,
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
            Self::List { place, output } => {
                show::list(place.open().await?.resource_servers().await?, output)
            }
            Self::Show {
                audience,
                place,
                output,
            } => show::one(
                place.open().await?.resource_server(&audience).await?,
                output,
            ),
            Self::Add(arguments) => arguments.add().await,
            Self::Set(arguments) => arguments.set().await,
            Self::Remove { audience, place } => {
                let administration = place.open().await?;
                administration.remove_resource_server(&audience).await?;
                println!("removed {audience}");
                Ok(())
            }
            Self::Rotate(arguments) => arguments.run().await,
            Self::Keys(arguments) => arguments.run().await,
            Self::Group(command) => command.run().await,
        }
    }
}

impl PutArgs {
    async fn add(self) -> anyhow::Result<()> {
        let administration = self.place.open().await?;
        let known = administration.find_resource_server(&self.audience).await?;
        if known.is_some() {
            anyhow::bail!("resource server {:?} exists already", self.audience);
        }
        let put = self.to_put(None)?;
        let made = administration.put_resource_server(&self.audience, &put);
        show::one(made.await?, self.output)
    }

    async fn set(self) -> anyhow::Result<()> {
        let administration = self.place.open().await?;
        let before = administration.resource_server(&self.audience).await?;
        let put = self.to_put(Some(&before))?;
        let changed = administration.put_resource_server(&self.audience, &put);
        show::one(changed.await?, self.output)
    }

    /// What is said here, keys made where there are none.
    fn to_put(&self, before: Option<&ResourceServer>) -> anyhow::Result<PutResourceServer> {
        let shared = |purpose: Purpose, file: &Option<PathBuf>| {
            let file = file.as_deref();
            let key = file.map(|file| purpose.read_or_make(file)).transpose()?;
            anyhow::Ok(key.as_ref().map(SharedKey::from))
        };
        Ok(PutResourceServer {
            format: self.token_format.map(|kind| kind.as_str().to_owned()),
            protection: self.protection.map(|kind| kind.as_str().to_owned()),
            symmetric_keys: self.symmetric_keys.map(|kind| kind.as_str().to_owned()),
            lifetime: self.lifetime.map(|kind| kind.as_str().to_owned()),
            content_key: shared(Purpose::Content, &self.content_key)?,
            mac_key: shared(Purpose::Mac, &self.mac_key)?,
            derivation_key: shared(Purpose::Derivation, &self.derivation_key)?,
            rs_cnf: self.rs_cnf()?,
            client_id: self.client_id.clone(),
            authentication: self.authentication(before)?,
        })
    }

    /// How clients are to know it from now on, if that is said.
    fn rs_cnf(&self) -> anyhow::Result<Option<Value>> {
        if let Some(file) = &self.certificate {
            let thumbprint = URL_SAFE_NO_PAD.encode(certificate_file::sha256(file)?);
            return Ok(Some(json!({ "x5t#S256": thumbprint })));
        }
        if let Some(file) = &self.public_key {
            return Ok(Some(json!({ "jwk": public_key(file)? })));
        }
        Ok(self.any_certificate.then_some(Value::Null))
    }

    fn authentication(
        &self,
        before: Option<&ResourceServer>,
    ) -> anyhow::Result<Option<Authentication>> {
        let authentication = match (
            &self.introspection_secret,
            &self.introspection_key,
            &self.introspection_certificate,
        ) {
            (Some(file), _, _) => ClientAuthentication::from_secret(&shared_key::secret(file)?),
            (_, Some(file), _) => ClientAuthentication::Key(Box::new(public_key(file)?)),
            (_, _, Some(file)) => ClientAuthentication::Certificate {
                sha256: certificate_file::sha256(file)?,
            },
            (None, None, None) => {
                let has_one = before.is_some_and(|before| before.client_auth.is_some());
                if self.client_id.is_some() && !has_one {
                    return Err(usage(
                        "--client-id needs --introspection-secret, --introspection-key or --introspection-certificate",
                    ));
                }
                return Ok(None);
            }
        };
        Ok(Some(Authentication::from(&authentication)))
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
