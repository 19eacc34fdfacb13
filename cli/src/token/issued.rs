//! `symbolon token list` and `symbolon token revoke`: tokens that were issued, at the authorization server.

use super::expiry;
use crate::{
    administration::Place,
    clock,
    output::{self, OutputArgs},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use symbolon_ace_proto::{UnixTime, token};
use symbolon_auth_server::{
    admin::model::{Revocation, Token},
    store::Store,
};

/// Prints the tokens that have not expired.
pub(super) async fn list(
    client: Option<String>,
    place: &Place,
    output: OutputArgs,
) -> anyhow::Result<()> {
    let tokens = place.open().await?.tokens(client.as_deref()).await?;
    if output.is_json() {
        return output::print_json(&tokens);
    }
    let now = clock::now();
    let row = |token: &Token| {
        vec![
            token.identifier.clone(),
            token.client_id.clone(),
            token.audience.clone(),
            expiry(UnixTime(token.expires_at), now),
            token.revoked_at.map_or_else(
                || "-".to_owned(),
                |time| clock::distance(UnixTime(time), now),
            ),
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
    place: &Place,
) -> anyhow::Result<()> {
    let administration = place.open().await?;
    let revoked = match (token, client) {
        (_, Some(client)) => administration.revoke(&Revocation::Client(client)).await?,
        (Some(argument), None) => {
            let text = super::token_text(&argument)?;
            let sha256 = Store::token_sha256(&token::to_bytes(&text));
            let by_hash = Revocation::Hash(URL_SAFE_NO_PAD.encode(sha256));
            let by_identifier = Revocation::Identifier(text);
            match administration.revoke(&by_identifier).await? {
                0 => administration.revoke(&by_hash).await?,
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
