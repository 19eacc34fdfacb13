//! Glewlwyd, as Debian has it: on `SQLite`, with its OIDC plugin, set up by its own API.

use super::{Asking, Issuer, Running, oidc_provider::pair};
use crate::{
    https::{self, Pool},
    registered::Method,
    serving::Serving,
    site::{Certificates, free_address},
    tokens::Sites,
    wire::secure::ClientTls,
};
use anyhow::{Context as _, ensure};
use sqlx::{ConnectOptions as _, Connection as _, sqlite::SqliteConnectOptions};
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

/// Where Debian's package has its tables.
const TABLES: &str = "usr/share/dbconfig-common/data/glewlwyd/install/sqlite3";
const PROGRAM: &str = "usr/bin/glewlwyd";
const SCOPE: &str = "bench";

pub(super) struct Glewlwyd {
    /// What its files are below: `/`, or where the package was unpacked.
    root: PathBuf,
}

impl Glewlwyd {
    /// Unpacked in `beside/root`, or installed.
    pub(super) fn find(beside: &Path) -> Option<Self> {
        let mut roots = [beside.join("root"), PathBuf::from("/")].into_iter();
        let root = roots.find(|root| root.join(PROGRAM).exists() && root.join(TABLES).exists())?;
        Some(Self { root })
    }

    fn configure(
        &self,
        directory: &Path,
        port: u16,
        certificates: &Certificates,
    ) -> anyhow::Result<PathBuf> {
        let database = directory.join("glewlwyd.db");
        let tables = fs::read_to_string(self.root.join(TABLES))?;
        let options = SqliteConnectOptions::new()
            .filename(&database)
            .create_if_missing(true);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let mut connection = options.connect().await?;
            sqlx::raw_sql(sqlx::AssertSqlSafe(tables))
                .execute(&mut connection)
                .await?;
            connection.close().await
        })?;
        let modules = self.root.join("usr/lib/glewlwyd");
        let (modules, database) = (modules.display(), database.display());
        let (key, certificate, ca) = (
            certificates.key.display(),
            certificates.certificate.display(),
            certificates.ca.display(),
        );
        let text = format!(
            r#"port = {port}
bind_address = "127.0.0.1"
external_url = "https://localhost:{port}"
login_url = "login.html"
api_prefix = "api"
log_mode = "console"
log_level = "ERROR"
cookie_secure = 0
session_key = "SESSION"
login_api_enabled = true
admin_session_authentication = "cookie"
profile_session_authentication = "cookie"
admin_scope = "g_admin"
profile_scope = "g_profile"
user_module_path = "{modules}/user"
client_module_path = "{modules}/client"
user_auth_scheme_module_path = "{modules}/scheme"
plugin_module_path = "{modules}/plugin"
use_secure_connection = true
secure_connection_key_file = "{key}"
secure_connection_pem_file = "{certificate}"
secure_connection_ca_file = "{ca}"
hash_algorithm = "SHA256"
database = {{ type = "sqlite3" path = "{database}" }};
"#
        );
        let file = directory.join("glewlwyd.conf");
        fs::write(&file, text)?;
        Ok(file)
    }
}

impl Issuer for Glewlwyd {
    fn name(&self) -> &'static str {
        "Glewlwyd"
    }

    fn takes(&self, method: Method) -> bool {
        method == Method::Secret
    }

    fn start<'s>(&self, sites: &'s Sites, method: Method) -> anyhow::Result<Running<'s>> {
        let (site, fleet) = sites.of(method);
        let address = free_address()?;
        let directory = tempfile::tempdir()?;
        let certificates = site.certificates();
        let file = self.configure(directory.path(), address.port(), &certificates)?;
        let mut command = Command::new(self.root.join(PROGRAM));
        command.arg(format!("--config-file={}", file.display()));
        let serving = Serving::start(self.name(), command, &[address])?;
        let tls = ClientTls::trusting(&certificates.ca)?;
        let mut administrator = Administrator::enter(address, &tls)?;
        let keys = key_pair(directory.path())?;
        administrator.set_up(address.port(), &keys)?;
        for client in &fleet.clients {
            let (client_id, secret) = pair(&client.authentication)?;
            administrator.add_client(&client_id, &secret)?;
        }
        Ok(Running {
            serving,
            address,
            tls,
            asking: Asking {
                path: "/api/oidc/token",
                form: "grant_type=client_credentials&scope=bench",
                ..Asking::of(site, &fleet.clients)
            },
            _directory: Some(directory),
        })
    }
}

/// Ed25519, PEM: private and public.
fn key_pair(directory: &Path) -> anyhow::Result<[String; 2]> {
    let (private, public) = (directory.join("key.pem"), directory.join("public.pem"));
    let mut generate = Command::new("openssl");
    generate.args(["genpkey", "-algorithm", "ed25519", "-out"]);
    let mut publish = Command::new("openssl");
    publish.args(["pkey", "-pubout", "-in"]).arg(&private);
    for command in [generate.arg(&private), publish.arg("-out").arg(&public)] {
        let made = command.output().context("openssl does not run")?;
        ensure!(made.status.success(), "openssl fails");
    }
    Ok([fs::read_to_string(private)?, fs::read_to_string(public)?])
}

/// Who sets it up over HTTPS.
struct Administrator {
    pool: Pool,
    cookie: String,
}

impl Administrator {
    /// With the name and password that a new database has.
    fn enter(address: SocketAddr, tls: &ClientTls) -> anyhow::Result<Self> {
        let mut administrator = Self {
            pool: Pool::connect(address, tls, 1)?,
            cookie: String::new(),
        };
        let who = serde_json::json!({"username": "admin", "password": "password"});
        let head = administrator.post("auth/", &who)?;
        let cookie = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            (name.eq_ignore_ascii_case("set-cookie")).then_some(value)
        });
        let cookie = cookie.and_then(|cookie| cookie.split(';').next());
        cookie
            .context("no session")?
            .clone_into(&mut administrator.cookie);
        Ok(administrator)
    }

    fn post(&mut self, path: &str, body: &serde_json::Value) -> anyhow::Result<String> {
        let headers = format!("cookie: {}\r\n", self.cookie);
        let request = https::post_json(&format!("/api/{path}"), &headers, body);
        let (head, _) = self.pool.ask(&request, 200)?;
        Ok(head)
    }

    fn set_up(&mut self, port: u16, [key, certificate]: &[String; 2]) -> anyhow::Result<()> {
        let scope = serde_json::json!({
            "name": SCOPE, "display_name": SCOPE, "description": SCOPE, "password_required": false, "scheme": {},
        });
        self.post("scope/", &scope)?;
        let parameters = serde_json::json!({
            "iss": format!("https://localhost:{port}"),
            "jwt-type": "eddsa",
            "jwt-key-size": "256",
            "key": key,
            "cert": certificate,
            "access-token-duration": 3_600,
            "refresh-token-duration": 1_209_600,
            "code-duration": 600,
            "refresh-token-rolling": false,
            "auth-type-code-enabled": false,
            "auth-type-token-enabled": false,
            "auth-type-id-token-enabled": true,
            "auth-type-none-enabled": true,
            "auth-type-password-enabled": false,
            "auth-type-client-enabled": true,
            "auth-type-device-enabled": false,
            "auth-type-refresh-enabled": true,
            "allow-non-oidc": true,
            "scope": [],
            "subject-type": "public",
            "allowed-scope": ["openid", SCOPE],
        });
        let plugin = serde_json::json!({
            "module": "oidc", "name": "oidc", "display_name": "oidc", "order_rank": 0, "parameters": parameters,
        });
        self.post("mod/plugin/", &plugin)?;
        Ok(())
    }

    fn add_client(&mut self, client_id: &str, secret: &str) -> anyhow::Result<()> {
        let client = serde_json::json!({
            "client_id": client_id,
            "password": secret,
            "confidential": true,
            "enabled": true,
            "name": client_id,
            "scope": [SCOPE],
            "authorization_type": ["client_credentials"],
            "redirect_uri": ["https://localhost/"],
            "token_endpoint_auth_method": ["client_secret_basic"],
        });
        self.post("client/", &client)?;
        Ok(())
    }
}
