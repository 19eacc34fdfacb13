//! How resource servers are shown. Never a key.

use crate::output::{self, OutputArgs};
use symbolon_auth_server::store::ResourceServer;

#[derive(serde::Serialize)]
struct Shown {
    audience: String,
    format: &'static str,
    protection: &'static str,
    symmetric_keys: &'static str,
    lifetime: &'static str,
    /// The names of the keys that are shared with it.
    content_key: Option<String>,
    mac_key: Option<String>,
    derivation_key: bool,
    rs_cnf: Option<serde_json::Value>,
    client_id: Option<String>,
    client_auth: Option<&'static str>,
}

impl From<&ResourceServer> for Shown {
    fn from(server: &ResourceServer) -> Self {
        let access = server.access.as_ref();
        Self {
            audience: server.audience.clone(),
            format: server.tokens.format.as_str(),
            protection: server.tokens.protection.as_str(),
            symmetric_keys: server.tokens.symmetric_keys.as_str(),
            lifetime: server.tokens.lifetime.as_str(),
            content_key: server.content_key.as_ref().map(|key| key.kid.clone()),
            mac_key: server.mac_key.as_ref().map(|key| key.kid().to_owned()),
            derivation_key: server.derivation_key.is_some(),
            rs_cnf: server.rs_cnf.clone(),
            client_id: access.map(|access| access.client_id.clone()),
            client_auth: access.map(|access| access.authentication.method_name()),
        }
    }
}

/// One resource server.
pub(super) fn one(server: &ResourceServer, output: OutputArgs) -> anyhow::Result<()> {
    let shown = Shown::from(server);
    if output.is_json() {
        return output::print_json(&shown);
    }
    let text = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let yes = |yes: bool| if yes { "yes" } else { "-" }.to_owned();
    output::print_pairs(&[
        ("audience", shown.audience),
        ("tokens", shown.format.to_owned()),
        ("protection", shown.protection.to_owned()),
        ("HS256 keys", shown.symmetric_keys.to_owned()),
        ("lifetime", shown.lifetime.to_owned()),
        ("content key", text(shown.content_key)),
        ("MAC key", text(shown.mac_key)),
        ("derivation key", yes(shown.derivation_key)),
        ("known by", text(shown.rs_cnf.map(|cnf| cnf.to_string()))),
        ("asks as", text(shown.client_id)),
        ("asks by", text(shown.client_auth.map(str::to_owned))),
    ])
}

/// All of them.
pub(super) fn list(servers: &[ResourceServer], output: OutputArgs) -> anyhow::Result<()> {
    let shown: Vec<Shown> = servers.iter().map(Shown::from).collect();
    if output.is_json() {
        return output::print_json(&shown);
    }
    let rows: Vec<Vec<String>> = shown
        .into_iter()
        .map(|server| {
            vec![
                server.audience,
                server.format.to_owned(),
                server.protection.to_owned(),
                server.symmetric_keys.to_owned(),
                server.lifetime.to_owned(),
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
