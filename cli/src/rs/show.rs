//! How resource servers are shown. Never a key.

use crate::output::{self, OutputArgs};
use symbolon_auth_server::admin::model::ResourceServer;

/// One resource server.
pub(super) fn one(shown: ResourceServer, output: OutputArgs) -> anyhow::Result<()> {
    if output.is_json() {
        return output::print_json(&shown);
    }
    let text = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let yes = |yes: bool| if yes { "yes" } else { "-" }.to_owned();
    output::print_pairs(&[
        ("audience", shown.audience),
        ("tokens", shown.format),
        ("protection", shown.protection),
        ("HS256 keys", shown.symmetric_keys),
        ("lifetime", shown.lifetime),
        ("content key", text(shown.content_key)),
        ("MAC key", text(shown.mac_key)),
        ("derivation key", yes(shown.derivation_key)),
        ("known by", text(shown.rs_cnf.map(|cnf| cnf.to_string()))),
        ("asks as", text(shown.client_id)),
        ("asks by", text(shown.client_auth)),
    ])
}

/// All of them.
pub(super) fn list(shown: Vec<ResourceServer>, output: OutputArgs) -> anyhow::Result<()> {
    if output.is_json() {
        return output::print_json(&shown);
    }
    let rows: Vec<Vec<String>> = shown
        .into_iter()
        .map(|server| {
            vec![
                server.audience,
                server.format,
                server.protection,
                server.symmetric_keys,
                server.lifetime,
                server.client_id.unwrap_or_else(|| "-".to_owned()),
            ]
        })
        .collect();
    output::print_table(
        &[
            "AUDIENCE",
            "TOKENS",
            "PROTECTION",
            "HS256 KEYS",
            "LIFETIME",
            "ASKS AS",
        ],
        &rows,
    )
}
