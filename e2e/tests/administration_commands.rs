//! The commands that administer, on the machine of the authorization server and from another one: the same words, the same output.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
};
use symbolon_e2e::{Command, System, program::Finished};

const GENERAL: i32 = 1;
const USAGE: i32 = 2;
const REFUSED_BY_AUTHORIZATION_SERVER: i32 = 3;
const UNREACHABLE: i32 = 5;

const PASSWORD: &str = "correct horse battery staple";

/// The servers with the API switched on, an administrator `root` and an auditor `eve`.
struct Site {
    system: System,
}

impl Site {
    fn start() -> Self {
        let system = System::initialized();
        let config = &system.init().config;
        let text = fs::read_to_string(config).unwrap() + "\n[as.admin]\n";
        fs::write(config, text).unwrap();
        let site = Self { system };
        site.secret("password", PASSWORD, 0o600);
        for (name, role) in [("root", "administrator"), ("eve", "auditor")] {
            let words = format!("account add {name} --role {role} --password-file {{password}}");
            site.here(&words).success();
        }
        let Self { mut system } = site;
        system.up(&[]);
        Self { system }
    }

    fn secret(&self, name: &str, content: &str, mode: u32) -> PathBuf {
        let path = self.system.scratch(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    /// The words, each `{file}` a file of the test's own.
    fn command(&self, words: &str) -> Command {
        let words = words.split_whitespace().map(|word| {
            let file = word
                .strip_prefix('{')
                .and_then(|word| word.strip_suffix('}'));
            file.map_or_else(
                || word.to_owned(),
                |file| self.system.scratch(file).display().to_string(),
            )
        });
        words.fold(Command::symbolon(), Command::arg)
    }

    fn here(&self, words: &str) -> Finished {
        let command = self.command(words).arg("--dir").arg(self.system.site());
        command.run()
    }

    /// Over HTTPS, by this account, in a directory that knows nothing of the server.
    fn there_as(&self, account: &str, words: &str) -> Finished {
        self.there(words)
            .words(&format!("--account {account}"))
            .run()
    }

    fn there(&self, words: &str) -> Command {
        let init = self.system.init();
        let password = self.system.scratch("password");
        let command = self.command(words).words("--dir").arg(self.elsewhere());
        let command = command.words("--server").arg(&init.issuer);
        let command = command.words("--ca").arg(&init.ca);
        command.env("SYMBOLON_ADMIN_PASSWORD_FILE", password.to_str().unwrap())
    }

    fn elsewhere(&self) -> PathBuf {
        self.system.scratch("elsewhere")
    }
}

/// How it ended, with whatever differs between two runs made alike: the name they are about, numbers, hashes and the directory.
fn alike(site: &Site, finished: &Finished, name: &str) -> String {
    let Finished { stdout, stderr, .. } = finished;
    let directories = [site.system.site(), site.elsewhere()];
    let text = format!("{stdout}\n{stderr}");
    let text = directories.iter().fold(text, |text, directory| {
        text.replace(directory.to_str().unwrap(), "DIR")
    });
    let text = text.replace(name, "NAME");
    let words = text.split_whitespace().map(|word| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        // A secret, a key, its name: little else is so long and of these characters alone.
        let inner = word.trim_matches(['"', ',']);
        if inner.len() >= 22 && inner.bytes().all(plain) {
            word.replace(inner, "RANDOM")
        } else {
            word.replace(|digit: char| digit.is_ascii_digit(), "")
        }
    });
    words.collect::<Vec<String>>().join(" ")
}

/// What stands for `NAME` here, and there.
const HERE: &str = "inside";
const THERE: &str = "remote";

/// `NAME` is another one here and there.
const CHANGES: &[&str] = &[
    "client add NAME --allow pub:rooms/NAME/# --broker mqtts://localhost:1 --audience mqtts://localhost",
    "client add NAME --allow pub:rooms/NAME/# --broker mqtts://localhost:1 --profile {other} --audience mqtts://localhost",
    "client add NAME-json --allow pub:a --auth secret --pop hs256 --broker mqtts://localhost:1 --profile {NAME-json} -o json",
    "client add NAME-own --allow sub:x --certificate-name dns:NAME.example --refresh-tokens",
    "client add NAME-cert --allow sub:x --client-certificate {certificate} -o json",
    "client add ../NAME --allow sub:x",
    "policy add NAME --allow sub:x --until 2099-01-01T00:00:00Z --token-lifetime-secs 60",
    "policy add NAME --deny pub:rooms/NAME/secret/#",
    "policy add stranger --allow sub:x -o json",
    "policy add NAME --allow sub:x --audience nowhere",
    "policy test NAME rooms/NAME/open",
    "policy test NAME rooms/NAME/secret/1",
    "policy test NAME rooms/# --sub -o json",
    "policy test NAME rooms/#",
    "why NAME rooms/NAME/secret/1",
    "why NAME rooms/NAME/1 -o json",
    "why stranger rooms/1",
    "group add NAME-g",
    "group add NAME-g NAME NAME-own",
    "group add NAME-g stranger",
    "group members NAME-g",
    "group members NAME-none",
    "policy add --group NAME-g --allow sub:y/${group}",
    "policy list NAME",
    "policy list --group NAME-g -o json",
    "group remove NAME-g NAME-own",
    "group remove NAME-g",
    "group remove NAME-g",
    "owner add NAME-o --tree owned/NAME/#",
    "owner add NAME-o",
    "owner add NAME-o --tree a/#/b",
    "policy add NAME --owner NAME-o --allow pub:owned/NAME/1",
    "policy add NAME --owner NAME-o --allow pub:other",
    "owner remove NAME-o --tree owned/NAME/#",
    "owner remove NAME-o",
    "rs add NAME-rs --content-key {NAME-content} --any-certificate",
    "rs add NAME-rs",
    "rs set NAME-rs --certificate {certificate} -o json",
    "rs set NAME-rs --client-id asks",
    "rs set NAME-rs --introspection-secret {NAME-introspection}",
    "rs set NAME-none --lifetime exi",
    "rs show NAME-rs",
    "rs show NAME-none",
    "rs group add NAME-all NAME-rs",
    "rs set NAME-rs --lifetime exi",
    "rs group remove NAME-all",
    "rs set NAME-rs --lifetime exi",
    "rs remove NAME-rs",
    "policy apply {NAME-apply} --dry-run",
    "policy apply {NAME-apply} -o json",
    "policy apply {NAME-apply}",
    "policy apply {none}",
    "import mosquitto-acl {NAME-acl} --broker mqtts://localhost:1 --group NAME-imported --dry-run",
    "import mosquitto-acl {NAME-acl} --broker mqtts://localhost:1 --group NAME-imported",
    "token revoke --client NAME",
    "token revoke nonsense",
    "account add NAME --role auditor --password-file {password}",
    "account add NAME --role auditor --password-file {password}",
    "account add NAME-short --role auditor --password-file {short}",
    "account add NAME-o --role owner --owner NAME-none --password-file {password}",
    "account password NAME --password-file {password}",
    "account certificate NAME {NAME-pem}",
    "account remove NAME",
    "account remove NAME",
    "client remove NAME",
    "client remove NAME",
];

#[test]
fn every_change_is_made_alike_here_and_from_elsewhere() {
    let site = Site::start();
    let certificate = site.system.site().join("certificates/server.pem");
    fs::copy(certificate, site.system.scratch("certificate")).unwrap();
    site.secret("short", "short", 0o600);
    // No two accounts have the same.
    for (name, pem) in [(HERE, "server.pem"), (THERE, "ca.pem")] {
        let pem = site.system.site().join("certificates").join(pem);
        fs::copy(pem, site.system.scratch(&format!("{name}-pem"))).unwrap();

        let file = format!("[client.{name}]\n[[client.{name}.rule]]\nallow = [\"pub:b\"]\n");
        site.secret(&format!("{name}-apply"), &file, 0o644);
        let file = format!("user {name}-imported\ntopic write c/#\npattern read d/%c\n");
        site.secret(&format!("{name}-acl"), &file, 0o644);
    }
    for words in CHANGES {
        let here = site.here(&words.replace("NAME", HERE));
        let there = site.there_as("root", &words.replace("NAME", THERE));
        let (here, there) = (alike(&site, &here, HERE), alike(&site, &there, THERE));
        assert_eq!(there, here, "{words}");
    }
}

/// What the server knows, after `CHANGES` had their turn in another test; here a little of everything.
const QUESTIONS: &[&str] = &[
    "client list",
    "client list -o json",
    "client show meter",
    "client show meter -o json",
    "policy list",
    "policy list -o json",
    "policy list meter",
    "group list",
    "group list -o json",
    "group members meters -o json",
    "owner list",
    "owner list -o json",
    "rs list",
    "rs list -o json",
    "rs show mqtts://localhost -o json",
    "rs group list",
    "rs group list -o json",
    "token list -o json",
    "token list --client meter -o json",
    "account list",
    "account list -o json",
    "audit list --limit 5",
    "audit list --from 1 --limit 2000 -o json",
    "audit verify",
    "audit verify -o json",
];

#[test]
fn every_question_has_one_answer_here_and_from_elsewhere_for_an_auditor_too() {
    let site = Site::start();
    let meter = site.system.device("meter", "--allow pub:rooms/#");
    for words in [
        "group add meters meter",
        "owner add acme --tree acme/#",
        "rs group add all mqtts://localhost",
    ] {
        site.here(words).success();
    }
    let token = site.system.scratch("token");
    let got = Command::symbolon().words("token get --profile").arg(&meter);
    fs::write(&token, got.run().success()).unwrap();
    // The first login is a record of the audit log.
    for account in ["root", "eve"] {
        site.there_as(account, "group list").success();
    }
    for words in QUESTIONS {
        let here = site.here(words).success();
        assert!(!here.is_empty(), "{words}");
        for account in ["root", "eve"] {
            assert_eq!(site.there_as(account, words).success(), here, "{words}");
        }
    }
    // Its layout is the server's own.
    let document = |printed: Finished| {
        let document: serde_json::Value = serde_json::from_str(&printed.success()).unwrap();
        assert_eq!(document["openapi"], "3.1.0");
        document
    };
    let here = document(site.here("openapi"));
    assert_eq!(document(site.there("openapi").run()), here);
    let token = fs::read_to_string(token).unwrap();
    let revoke = format!("token revoke {}", token.trim());
    let said = site.there_as("eve", &revoke);
    said.failure(REFUSED_BY_AUTHORIZATION_SERVER);
    let said = site.there_as("root", &revoke).success();
    assert_eq!(said, "revoked 1 token\n");
    let said = site.here(&revoke).failure(GENERAL);
    assert!(said.contains("no such token is good"), "{said}");
}

#[test]
fn a_device_registered_from_elsewhere_publishes() {
    let site = Site::start();
    let broker = site.system.init().broker.clone();
    let words = format!("client add meter --allow pub:rooms/# --broker {broker}");
    site.there_as("root", &words).success();
    let profile = site.elsewhere().join("clients/meter.json");
    let words = "-t rooms/1 -m warm -q 1";
    site.system
        .as_device("pub", &profile, words)
        .run()
        .success();
}

#[test]
fn an_auditor_changes_nothing_and_is_told_so() {
    let site = Site::start();
    for words in [
        "client add meter --allow pub:a --broker mqtts://localhost:1",
        "client remove meter",
        "group add g",
        "rs set mqtts://localhost --lifetime exi",
        "account remove root",
        "token revoke --client meter",
    ] {
        let said = site.there_as("eve", words);
        let said = said.failure(REFUSED_BY_AUTHORIZATION_SERVER);
        assert_eq!(
            said, "symbolon: the account has no right to this\n",
            "{words}"
        );
    }
    assert_eq!(site.here("client list -o json").success().trim(), "[]");
}

#[test]
fn an_owner_grants_within_their_trees_alone() {
    let site = Site::start();
    site.system.device("meter", "--allow pub:rooms/#");
    site.here("owner add acme --tree acme/#").success();
    let account = "account add ann --role owner --owner acme --password-file {password}";
    site.here(account).success();
    let grant = |filter: &str| {
        let words =
            format!("policy add meter --owner acme --audience mqtts://localhost --allow {filter}");
        site.there_as("ann", &words)
    };
    grant("pub:acme/1").success();
    grant("pub:rooms/1").failure(REFUSED_BY_AUTHORIZATION_SERVER);
    let seen = site.there_as("ann", "policy list -o json").success();
    let seen: serde_json::Value = serde_json::from_str(&seen).unwrap();
    assert_eq!(seen.as_array().unwrap().len(), 1, "{seen}");
    assert_eq!(seen[0]["owner"], "acme");
    let said = site.there_as("ann", "client list");
    said.failure(REFUSED_BY_AUTHORIZATION_SERVER);
}

#[test]
fn who_cannot_say_who_they_are_is_refused_before_anything_is_told() {
    let site = Site::start();
    let as_root = |command: Command| command.words("--account root");
    let file = |name: &str| site.system.scratch(name).display().to_string();
    let variable = "SYMBOLON_ADMIN_PASSWORD_FILE";

    site.secret("wrong", "another horse battery staple", 0o600);
    let wrong = as_root(site.there("client list")).env(variable, &file("wrong"));
    let said = wrong.run().failure(REFUSED_BY_AUTHORIZATION_SERVER);
    assert!(said.contains("wrong password"), "{said}");
    assert!(!said.contains("horse"), "{said}");
    let said = site.there_as("nobody", "client list");
    said.failure(REFUSED_BY_AUTHORIZATION_SERVER);

    site.secret("open", PASSWORD, 0o644);
    let open = as_root(site.there("client list")).env(variable, &file("open"));
    let said = open.run().failure(USAGE);
    assert!(said.contains("0644") || said.contains("644"), "{said}");
    let said = site.there("client list").run().failure(USAGE);
    assert!(said.contains("--account"), "{said}");
}

#[test]
fn a_server_of_an_unknown_ca_is_told_no_password() {
    let site = Site::start();
    let other = System::initialized();
    let init = site.system.init();
    let password = site.system.scratch("password");
    let command = |ca: PathBuf, server: &str| {
        Command::symbolon()
            .words("client list --account root --ca")
            .arg(ca)
            .words("--server")
            .arg(server)
            .env("SYMBOLON_ADMIN_PASSWORD_FILE", password.to_str().unwrap())
    };
    let unknown = command(other.init().ca.clone(), &init.issuer).run();
    let said = unknown.failure(UNREACHABLE);
    assert!(said.contains(&init.issuer), "{said}");
    let nobody = command(init.ca.clone(), "https://localhost:1").run();
    nobody.failure(UNREACHABLE);
    let plain = command(init.ca.clone(), "http://localhost:1").run();
    plain.failure(USAGE);
    let no_ca =
        Command::symbolon().words("client list --account root --server https://localhost:1 --dir");
    let said = no_ca.arg(site.system.scratch("none")).run().failure(USAGE);
    assert!(said.contains("--ca"), "{said}");
}

#[test]
fn an_account_may_log_in_with_its_certificate() {
    let site = Site::start();
    let certificates = site.system.site().join("certificates");
    let certificate = certificates.join("server.pem").display().to_string();
    let key = certificates.join("server.key").display().to_string();
    let words = format!("account add robot --role administrator --certificate {certificate}");
    site.here(&words).success();
    let words = format!("group add g --account-certificate {certificate} --account-key {key}");
    site.there(&words).run().success();
    let log = site.here("audit list --limit 1").success();
    assert!(log.contains("account robot"), "{log}");
}

#[test]
fn the_configuration_may_name_the_ca_and_the_environment_the_rest() {
    let site = Site::start();
    let password = site.system.scratch("password");
    let command = site.command("account list").words("--dir");
    let listed = command
        .arg(site.system.site())
        .env("SYMBOLON_ADMIN_URL", &site.system.init().issuer)
        .env("SYMBOLON_ADMIN_ACCOUNT", "root")
        .env("SYMBOLON_ADMIN_PASSWORD_FILE", password.to_str().unwrap())
        .run();
    assert!(listed.success().contains("eve"));
}

#[test]
fn a_server_that_does_not_offer_the_api_is_told_as_such() {
    let system = System::start();
    let password = system.scratch("password");
    fs::write(&password, PASSWORD).unwrap();
    fs::set_permissions(&password, Permissions::from_mode(0o600)).unwrap();
    let command = Command::symbolon().words("client list --account root --ca");
    let command = command.arg(&system.init().ca).words("--server");
    let asked = command
        .arg(&system.init().issuer)
        .env("SYMBOLON_ADMIN_PASSWORD_FILE", password.to_str().unwrap())
        .run();
    let said = asked.failure(GENERAL);
    assert!(said.contains("administration API"), "{said}");
}
