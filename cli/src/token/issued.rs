//! `symbolon token list` and `symbolon token revoke`: tokens that were issued, at the authorization server.

use super::expiry;
use crate::{
    clock,
    config::DirectoryArg,
    output::{self, OutputArgs},
    registry,
};
use symbolon_ace_proto::token;
use symbolon_auth_server::store::{IssuedToken, Revocation, Store};

#[derive(serde::Serialize)]
struct Shown {
    identifier: String,
    client_id: String,
    audience: String,
    expires_at: u64,
    revoked_at: Option<u64>,
}

impl From<IssuedToken> for Shown {
    fn from(token: IssuedToken) -> Self {
        Self {
            identifier: token.identifier,
            client_id: token.client_id,
            audience: token.audience,
            expires_at: token.expires_at.0,
            revoked_at: token.revoked_at.map(|time| time.0),
        }
    }
}

/// Prints the tokens that have not expired.
pub(super) async fn list(
    client: Option<String>,
    directory: &DirectoryArg,
    output: OutputArgs,
) -> anyhow::Result<()> {
    let store = registry::open(&directory.settings()?).await?;
    let now = clock::now();
    let tokens = store.tokens(client.as_deref(), now).await?;
    if output.is_json() {
        let shown: Vec<Shown> = tokens.into_iter().map(Shown::from).collect();
        return output::print_json(&shown);
    }
    let row = |token: &IssuedToken| {
        vec![
            token.identifier.clone(),
            token.client_id.clone(),
            token.audience.clone(),
            expiry(token.expires_at, now),
            token
                .revoked_at
                .map_or_else(|| "-".to_owned(), |time| clock::distance(time, now)),
        ]
    };
    let rows: Vec<Vec<String>> = tokens.iter().map(row).collect();
    output::print_table(
        &["IDENTIFIER", "CLIENT", "AUDIENCE", "EXPIRES", "REVOKED"],
        &rows,
    )
}

/// Revokes one token, or all of a client.
pub(super) async fn revoke(
    token: Option<String>,
    client: Option<String>,
    directory: &DirectoryArg,
) -> anyhow::Result<()> {
    let store = registry::open(&directory.settings()?).await?;
    let now = clock::now();
    let revoked = match (token, client) {
        (_, Some(client)) => store.revoke(&Revocation::Client(client), now).await?,
        (Some(argument), None) => {
            let text = super::token_text(&argument)?;
            let by_identifier = Revocation::Identifier(text.clone());
            let sha256 = Store::token_sha256(&token::to_bytes(&text));
            match store.revoke(&by_identifier, now).await? {
                0 => store.revoke(&Revocation::Sha256(sha256), now).await?,
                revoked => revoked,
            }
        }
        (None, None) => 0,
    };
    match revoked {
        0 => anyhow::bail!("no such token is good: it is unknown, has expired or was revoked"),
        1 => println!("revoked 1 token"),
        many => println!("revoked {many} tokens"),
    }
    Ok(())
}
