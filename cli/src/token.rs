//! `symbolon token`: ask for one, take one apart, revoke one.

mod issued;

use crate::{
    administration::Place,
    allow,
    client::jwa_name,
    clock,
    config::{self, DirectoryArg},
    exit::usage,
    output::{self, OutputArgs},
    profile_file,
};
use anyhow::Context as _;
use serde_json::Value;
use std::{
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
};
use symbolon_ace_proto::{KeySet, Scope, TokenError, UnixTime, Validation, jwt};
use symbolon_client::token::Token;

/// The longest token that MQTT can carry, bytes (a length of 16 bits stands before it).
const MAX_TOKEN_BYTES: u64 = 65_535;

/// `symbolon token ...`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum TokenCommand {
    /// Ask the authorization server for a token and print it
    Get {
        /// The device's profile
        #[arg(
            long,
            value_name = "FILE",
            env = "SYMBOLON_PROFILE",
            hide_env_values = true
        )]
        profile: PathBuf,
        /// Ask for less than the profile's scope: pub:FILTER, sub:FILTER, or an AIF array as JSON
        #[arg(long, value_name = "pub:FILTER")]
        scope: Vec<String>,
        /// Print more than the token: a table for people, or JSON
        #[arg(short = 'o', long = "output", value_name = "FORMAT")]
        format: Option<output::Format>,
    },
    /// Take a token apart and say whether it is valid; ends with code 1 if it is not
    Show {
        /// The token, or - to read it from standard input
        token: String,
        /// Check the signature with the key of this configuration's authorization server
        #[arg(long, value_name = "DIR", env = "SYMBOLON_DIR", hide_env_values = true)]
        dir: Option<PathBuf>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// List the tokens that were issued and have not expired
    List {
        /// Of this device alone
        #[arg(long, value_name = "NAME")]
        client: Option<String>,
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Revoke a token, or all tokens of a device
    Revoke {
        /// The token or its identifier, or - to read it from standard input
        #[arg(required_unless_present = "client", conflicts_with = "client")]
        token: Option<String>,
        /// All tokens of this device, refresh tokens too
        #[arg(long, value_name = "NAME")]
        client: Option<String>,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(serde::Serialize)]
struct ShownGrant {
    access_token: String,
    size_bytes: usize,
    expires_at: u64,
    expires_in: u64,
    pop: &'static str,
    scope: Option<Value>,
    broker_certificate_pinned: bool,
}

#[derive(serde::Serialize)]
struct ShownToken {
    size_bytes: usize,
    header: Value,
    claims: Value,
    scope: Option<Value>,
    /// Whether the signature was checked, and was right.
    verified: bool,
    /// None: nothing speaks against it, but the signature was not checked.
    valid: Option<bool>,
    reason: String,
}

impl TokenCommand {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Get {
                profile,
                scope,
                format,
            } => crate::runtime::block_on(get(&profile, &scope, format))?,
            Self::Show { token, dir, output } => show(&token, dir, output),
            Self::List {
                client,
                place,
                output,
            } => crate::runtime::block_on(issued::list(client, &place, output))?,
            Self::Revoke {
                token,
                client,
                place,
            } => crate::runtime::block_on(issued::revoke(token, client, &place))?,
        }
    }
}

async fn get(
    profile: &Path,
    scope: &[String],
    format: Option<output::Format>,
) -> anyhow::Result<()> {
    let profile = profile_file::read(profile)?;
    let scope = allow::scope(scope).map_err(usage)?;
    let token = symbolon_client::token::obtain(&profile, scope.as_ref())
        .await
        .with_context(|| profile.token_endpoint.clone())?;
    let shown = ShownGrant::new(token, clock::now())?;
    match format {
        None => {
            let mut out = std::io::stdout().lock();
            writeln!(out, "{}", shown.access_token)?;
            out.flush()?;
            Ok(())
        }
        Some(output::Format::Json) => output::print_json(&shown),
        Some(output::Format::Table) => output::print_pairs(&[
            ("token", shown.access_token),
            ("size", format!("{} bytes", shown.size_bytes)),
            ("expires", expiry(UnixTime(shown.expires_at), clock::now())),
            ("proof key", shown.pop.to_owned()),
            (
                "scope",
                shown
                    .scope
                    .map_or_else(String::new, |scope| scope.to_string()),
            ),
        ]),
    }
}

impl ShownGrant {
    fn new(token: Token, now: UnixTime) -> anyhow::Result<Self> {
        let scope = token.scope.as_ref().map(scope_value).transpose()?;
        Ok(Self {
            size_bytes: token.text.len(),
            expires_at: token.expires_at.0,
            expires_in: now.secs_until(token.expires_at),
            pop: jwa_name(token.signer.algorithm()),
            scope,
            broker_certificate_pinned: token.broker.is_some(),
            access_token: token.text,
        })
    }
}

fn show(argument: &str, dir: Option<PathBuf>, output: OutputArgs) -> anyhow::Result<()> {
    let text = token_text(argument)?;
    let (header, claims) = jwt::take_apart(&text).context("cannot take it apart")?;
    let now = clock::now();
    let verdict = match dir {
        Some(dir) => verify(&text, &DirectoryArg { dir }, now)?,
        None => judge_unverified(&claims, now),
    };
    let scope = claims
        .get("scope")
        .and_then(Value::as_str)
        .and_then(|scope| Scope::from_base64url(scope).ok());
    let shown = ShownToken {
        size_bytes: text.len(),
        scope: scope.as_ref().map(scope_value).transpose()?,
        verified: verdict.verified,
        valid: verdict.valid,
        reason: verdict.reason,
        header,
        claims,
    };
    if output.is_json() {
        output::print_json(&shown)?;
    } else {
        print(&shown, now)?;
    }
    match shown.valid {
        Some(false) => Err(anyhow::anyhow!("not valid: {}", shown.reason)),
        Some(true) | None => Ok(()),
    }
}

fn token_text(argument: &str) -> anyhow::Result<String> {
    if argument != "-" {
        return Ok(argument.trim().to_owned());
    }
    let mut text = String::new();
    std::io::stdin()
        .take(MAX_TOKEN_BYTES + 2)
        .read_to_string(&mut text)
        .context("standard input")?;
    Ok(text.trim().to_owned())
}

struct Verdict {
    verified: bool,
    valid: Option<bool>,
    reason: String,
}

/// Judges as the broker of this configuration would.
fn verify(text: &str, directory: &DirectoryArg, now: UnixTime) -> anyhow::Result<Verdict> {
    let opened = config::open(&directory.dir, &[])?;
    let server = config::authorization_server(&opened)?;
    let audience = crate::registry::audience(&opened.settings, None)?;
    let published = server
        .signing_key
        .published(server.token_lifetime_secs, now);
    let keys = KeySet::from_keys(published.into_iter().map(|(key, _)| key).collect());
    let validation = Validation {
        keys: &keys,
        issuer: &server.issuer,
        audience: &audience,
        now,
        leeway_secs: 0,
        lifetimes: symbolon_ace_proto::Lifetimes::default(),
    };
    Ok(match jwt::verify(text, &validation) {
        Ok(_) => Verdict {
            verified: true,
            valid: Some(true),
            reason: "signature, issuer, audience, time and scope are right".into(),
        },
        Err(error) => Verdict {
            verified: !is_about_protection(&error),
            valid: Some(false),
            reason: error.to_string(),
        },
    })
}

/// Whether the signature was not even reached or is wrong; all other errors come after it.
fn is_about_protection(error: &TokenError) -> bool {
    matches!(
        error,
        TokenError::NotAToken
            | TokenError::AlgorithmNotAllowed
            | TokenError::UnknownCriticalHeader
            | TokenError::UnknownKey
            | TokenError::BadSignature
    )
}

fn judge_unverified(claims: &Value, now: UnixTime) -> Verdict {
    let time = |name: &str| claims.get(name).and_then(Value::as_u64).map(UnixTime);
    let (valid, reason) = match (time("exp"), time("nbf")) {
        (Some(expires_at), _) if expires_at <= now => (Some(false), "token has expired"),
        (_, Some(not_before)) if not_before > now => (Some(false), "token is not yet valid"),
        (Some(_), _) => (
            None,
            "signature not checked; name the server's directory with --dir",
        ),
        (None, _) => (Some(false), "token claim exp is missing or malformed"),
    };
    Verdict {
        verified: false,
        valid,
        reason: reason.to_owned(),
    }
}

fn print(shown: &ShownToken, now: UnixTime) -> anyhow::Result<()> {
    let text = |value: Option<&Value>| match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_))) => {
            other.to_string()
        }
    };
    let claim = |name: &str| text(shown.claims.get(name));
    let time = |name: &str| match shown.claims.get(name).and_then(Value::as_u64) {
        Some(secs) => expiry(UnixTime(secs), now),
        None => "-".to_owned(),
    };
    let valid = match shown.valid {
        Some(true) => "yes".to_owned(),
        Some(false) => format!("no: {}", shown.reason),
        None => format!("unknown: {}", shown.reason),
    };
    let scope = match &shown.scope {
        Some(scope) => scope.to_string(),
        None => claim("scope"),
    };
    output::print_pairs(&[
        ("valid", valid),
        ("size", format!("{} bytes", shown.size_bytes)),
        ("algorithm", text(shown.header.get("alg"))),
        ("key", text(shown.header.get("kid"))),
        ("issuer", claim("iss")),
        ("subject", claim("sub")),
        ("audience", claim("aud")),
        ("issued", time("iat")),
        ("expires", time("exp")),
        ("scope", scope),
        ("proof key", confirmation(&shown.claims)),
    ])
}

/// How the token names its proof-of-possession key (RFC 7800 §3).
fn confirmation(claims: &Value) -> String {
    let Some(cnf) = claims.get("cnf").and_then(Value::as_object) else {
        return "none: this token cannot be used with RFC 9431".into();
    };
    let member = |name: &str| {
        let jwk = cnf.get("jwk")?;
        jwk.get(name)?.as_str()
    };
    if cnf.contains_key("jwk") {
        let kind = member("crv").or(member("kty")).unwrap_or("unknown");
        return format!("public key, {kind}");
    }
    if cnf.contains_key("jwe") {
        return "symmetric key, encrypted for the broker".into();
    }
    let names: Vec<&str> = cnf.keys().map(String::as_str).collect();
    names.join(", ")
}

fn expiry(time: UnixTime, now: UnixTime) -> String {
    format!("{} ({})", clock::local(time), clock::distance(time, now))
}

fn scope_value(scope: &Scope) -> anyhow::Result<Value> {
    Ok(serde_json::from_str(&scope.to_json())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unverified_token_is_never_called_valid() {
        let claims = serde_json::json!({"exp": 200});
        assert_eq!(judge_unverified(&claims, UnixTime(100)).valid, None);
        assert_eq!(judge_unverified(&claims, UnixTime(200)).valid, Some(false));
        assert_eq!(
            judge_unverified(&serde_json::json!({}), UnixTime(0)).valid,
            Some(false)
        );
    }

    #[test]
    fn the_kind_of_the_proof_key_is_told() {
        let claims = serde_json::json!({"cnf": {"jwk": {"kty": "OKP", "crv": "Ed25519"}}});
        assert_eq!(confirmation(&claims), "public key, Ed25519");
    }
}
