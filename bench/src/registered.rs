//! Clients in a site's database, and what they are let in by.

use crate::site::Site;
use symbolon_ace_proto::{Jwk, PopAlgorithm, PopSigner, client_secret};
use symbolon_auth_server::store::{Client, ClientAuthentication, Policy, Store, Subject};

/// What the clients of a site may do: they are one group.
const GROUP: &str = "devices";

/// How clients introduce themselves to the token endpoint.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Method {
    /// `client_secret_basic`; tokens are bound to a symmetric key that the server makes.
    Secret,
    /// `private_key_jwt` with Ed25519; tokens are bound to the same key.
    Key,
}

/// A client that is registered.
#[derive(Debug)]
pub(crate) struct Registered {
    pub(crate) client_id: String,
    pub(crate) authentication: Authentication,
}

/// What it introduces itself by.
#[derive(Debug)]
pub(crate) enum Authentication {
    /// The value of its `Authorization` header.
    Basic(String),
    /// Signs its assertions.
    Signer(Box<PopSigner>),
}

/// Clients of one group, and the number of the rule that lets them subscribe.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) clients: Vec<Registered>,
    pub(crate) subscribing: i64,
}

impl Fleet {
    /// Registers so many with a site that does not run. Each may publish below its own name and subscribe to what is for all.
    pub(crate) fn register(site: &Site, count: usize, method: Method) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let store = Store::open(&site.database()).await?;
            let fleet = Self::register_in(&store, &site.audience, count, method).await;
            store.close().await;
            fleet
        })
    }

    async fn register_in(
        store: &Store,
        audience: &str,
        count: usize,
        method: Method,
    ) -> anyhow::Result<Self> {
        let mut clients = Vec::new();
        for number in 0..count {
            let (client, registered) = client(number, method)?;
            store.add_client(&client, &[]).await?;
            clients.push(registered);
        }
        store.add_group(GROUP).await?;
        let names: Vec<String> = (clients.iter())
            .map(|client| client.client_id.clone())
            .collect();
        store.change_members(GROUP, &names, &[]).await?;
        let rule = |filter: &str| Policy {
            subject: Subject::Group(GROUP.to_owned()),
            ..Policy::allow("", audience, filter)
        };
        let publishing = Policy {
            subscribe: false,
            ..rule("bench/${client_id}/#")
        };
        store.add_policy(&publishing).await?;
        let subscribing = Policy {
            publish: false,
            ..rule("bench/all/#")
        };
        Ok(Self {
            clients,
            subscribing: store.add_policy(&subscribing).await?,
        })
    }
}

fn client(number: usize, method: Method) -> anyhow::Result<(Client, Registered)> {
    let client_id = format!("device{number:05}");
    let (authentication, registered, pop_algorithm) = match method {
        Method::Secret => {
            // Nothing that is measured is kept, and the secret is as long as a real one.
            let secret = format!("{number:043}");
            let header = client_secret::basic(&client_id, &secret).to_string();
            (
                ClientAuthentication::from_secret(&secret),
                Authentication::Basic(header),
                PopAlgorithm::Hs256,
            )
        }
        Method::Key => {
            let signer = PopSigner::generate(PopAlgorithm::EdDsa)?;
            let jwk: Jwk = signer.verifying_key().to_jwk();
            (
                ClientAuthentication::Key(Box::new(jwk)),
                Authentication::Signer(Box::new(signer)),
                PopAlgorithm::EdDsa,
            )
        }
    };
    let client = Client {
        client_id: client_id.clone(),
        authentication,
        pop_algorithm,
        refresh_tokens: false,
    };
    Ok((
        client,
        Registered {
            client_id,
            authentication: registered,
        },
    ))
}
