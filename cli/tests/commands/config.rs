//! `symbolon config check`.

use crate::program::{Site, symbolon, symbolon_with};

#[test]
fn what_init_writes_is_right() {
    let site = Site::new();
    assert!(site.check().success().ends_with("symbolon.toml: ok\n"));
}

#[test]
fn an_unknown_key_is_told_with_line_column_and_suggestion() {
    let site = Site::new();
    site.edit("listen = ", "lisen = ");
    let said = site.check().failure(2);
    assert!(
        said.contains("symbolon.toml:5:1: unknown key `lisen` in [as]"),
        "{said}"
    );
    assert!(said.contains("did you mean `listen`?"), "{said}");
    assert!(said.contains("^^^^^\n"), "{said}");
}

#[test]
fn all_complaints_come_at_once() {
    let site = Site::new();
    site.edit("audience = \"mqtts://localhost\"\n", "");
    site.edit("issuer = \"https", "issuer = \"http");
    site.edit("public_topics = []", "public_topics = [\"a\", \"b/#/c\"]");
    let said = site.check().failure(2);
    assert!(
        said.contains("missing key `audience` in [broker]"),
        "{said}"
    );
    assert!(said.contains("expected an https URL"), "{said}");
    assert!(said.contains("'#' must be a whole level"), "{said}");
}

#[test]
fn text_that_is_no_toml_is_told_with_its_place() {
    let site = Site::new();
    site.edit("[broker]", "[broker");
    let said = site.check().failure(2);
    assert!(said.contains("symbolon.toml:13:8"), "{said}");
}

#[test]
fn a_plaintext_listener_outside_loopback_must_be_meant() {
    let site = Site::new();
    site.edit("transport = \"tls\"", "transport = \"tcp\"");
    site.check().success();
    site.edit(
        "[[broker.listener]]\naddress = \"127.0.0.1",
        "[[broker.listener]]\naddress = \"0.0.0.0",
    );
    let said = site.check().failure(2);
    assert!(said.contains("insecure = true"), "{said}");
    site.edit(
        "transport = \"tcp\"",
        "transport = \"tcp\"\ninsecure = true",
    );
    site.check().success();
}

#[cfg(unix)]
#[test]
fn a_secret_that_others_may_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    for name in [
        "keys/signing.jwk",
        "keys/content.jwk",
        "certificates/server.key",
        "symbolon.db",
    ] {
        let site = Site::new();
        let file = site.path().join(name);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        let said = site.check().failure(2);
        assert!(said.contains("chmod 600"), "{name}: {said}");
        assert!(said.contains("mode 0640"), "{name}: {said}");
    }
}

#[test]
fn a_key_that_is_broken_is_refused_and_not_shown() {
    let site = Site::new();
    let file = site.path().join("keys/signing.jwk");
    std::fs::write(&file, "hunter2").unwrap();
    let said = site.check().failure(2);
    assert!(said.contains("signing.jwk"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn a_certificate_that_does_not_fit_its_key_is_refused() {
    let site = Site::new();
    let other = Site::new();
    let certificate = "certificates/server.pem";
    std::fs::copy(
        other.path().join(certificate),
        site.path().join(certificate),
    )
    .unwrap();
    let said = site.check().failure(2);
    assert!(said.contains("server.pem"), "{said}");
}

#[test]
fn the_command_line_goes_before_the_environment_and_that_before_the_file() {
    let site = Site::new();
    let path = site.path();
    let path = path.to_str().unwrap();
    let wrong = [("SYMBOLON_AS_LISTEN", "nowhere")];
    let said = symbolon_with(&wrong, &["config", "check", path]).failure(2);
    assert!(
        said.contains("environment variable SYMBOLON_AS_LISTEN"),
        "{said}"
    );
    let zero = [("SYMBOLON_AS_TOKEN_LIFETIME_SECS", "0")];
    let said = symbolon_with(&zero, &["config", "check", path]).failure(2);
    assert!(said.contains("must live for 1 second"), "{said}");
    let set = ["config", "check", path, "--set", "as.token_lifetime_secs=5"];
    symbolon_with(&zero, &set).success();
}

#[test]
fn a_key_that_does_not_exist_cannot_be_set() {
    let site = Site::new();
    let path = site.path();
    let set = [
        "config",
        "check",
        path.to_str().unwrap(),
        "--set",
        "as.lisen=x",
    ];
    let said = symbolon(&set).failure(2);
    assert!(said.contains("did you mean `listen`?"), "{said}");
}

#[test]
fn a_file_that_is_not_there_is_a_usage_error_with_advice() {
    let said = symbolon(&["config", "check", "/nonexistent/symbolon.toml"]).failure(2);
    assert!(said.contains("symbolon init"), "{said}");
}

#[test]
fn a_configuration_without_any_server_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("symbolon.toml");
    std::fs::write(&file, "[log]\nlevel = \"info\"\n").unwrap();
    let said = symbolon(&["config".as_ref(), "check".as_ref(), file.as_os_str()]).failure(2);
    assert!(said.contains("neither [as] nor [broker]"), "{said}");
}

const FURTHER: &str = r#"
[[broker.authorization_server]]
issuer = "https://as.partner.example"
jwks_uri = ""
mac_key = "keys/mac.jwk"

[broker.management]"#;

/// A symmetric JWK of 32 bytes, for its owner alone.
fn write_key(site: &Site, name: &str, digit: &str) {
    let file = site.path().join(name);
    let key = format!(r#"{{"kty":"oct","kid":"k","k":"{}A"}}"#, digit.repeat(42));
    std::fs::write(&file, key).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}

#[test]
fn a_further_authorization_server_takes_audience_and_ca_of_the_broker() {
    let site = Site::new();
    site.edit("\n[broker.management]", FURTHER);
    let said = site.check().failure(2);
    assert!(said.contains("mac.jwk"), "{said}");
    write_key(&site, "keys/mac.jwk", "A");
    site.check().success();
    site.edit("issuer = \"https://as.partner.example\"\n", "");
    let said = site.check().failure(2);
    let missing = "missing key `issuer` in [broker.authorization_server]";
    assert!(said.contains(missing), "{said}");
}

#[test]
fn an_authorization_server_needs_something_that_vouches_for_its_tokens() {
    let site = Site::new();
    site.edit("\n[broker.management]", FURTHER);
    site.edit("mac_key = \"keys/mac.jwk\"\n", "");
    let said = site.check().failure(2);
    assert!(said.contains("nothing vouches for tokens"), "{said}");
    site.edit("jwks_uri = \"\"\n", "");
    site.check().success();
}

// RFC 8725 §3.1: one key, one algorithm.
#[test]
fn one_key_is_not_shared_for_two_purposes() {
    let site = Site::new();
    site.edit("\n[broker.management]", FURTHER);
    site.edit(
        "mac_key = \"keys/mac.jwk\"\n",
        "mac_key = \"keys/mac.jwk\"\nderivation_key = \"keys/derivation.jwk\"\n",
    );
    write_key(&site, "keys/mac.jwk", "A");
    write_key(&site, "keys/derivation.jwk", "A");
    let said = site.check().failure(2);
    assert!(said.contains("must not be the same key"), "{said}");
    write_key(&site, "keys/derivation.jwk", "B");
    site.check().success();
}

#[test]
fn without_a_content_key_the_broker_goes_on() {
    let site = Site::new();
    site.edit("content_key = \"keys/content.jwk\"\n", "");
    site.check().success();
}

#[test]
fn the_url_of_a_database_is_checked_and_its_password_never_shown() {
    use std::os::unix::fs::PermissionsExt as _;
    let site = Site::new();
    let mut before = "database = \"symbolon.db\"".to_owned();
    for (url, more, why) in [
        ("postgres://as:guessme@localhost", "", "names no database"),
        (
            "postgres://as:guessme@localhost/d?sslmod=x",
            "",
            "\"sslmod\"",
        ),
        (
            "postgres://as:guessme@localhost/d",
            "database_password_file = \"x\"",
            "stands in the URL and in",
        ),
        (
            "postgres://as@localhost/d",
            "database_password_file = \"x\"",
            "No such file",
        ),
        (
            "as.sqlite",
            "database_password_file = \"x\"",
            "has no password",
        ),
        ("postgres://as:guessme@localhost/d", "", "chmod 600"),
    ] {
        let after = format!("database = \"{url}\"\n{more}");
        site.edit(&before, &after);
        before = after;
        let said = site.check().failure(2);
        assert!(said.contains("as.database"), "{said}");
        assert!(said.contains(why), "{said}");
        assert!(!said.contains("guessme"), "{said}");
    }
    std::fs::write(site.path().join("x"), "guessme\n").unwrap();
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(site.path().join("x"), private.clone()).unwrap();
    let after = "database = \"postgres://as@db.example/d\"\ndatabase_password_file = \"x\"";
    site.edit(&before, after);
    site.check().success();
    // In the URL it makes the file a secret, and that is enough.
    site.edit(after, "database = \"postgres://as:guessme@db.example/d\"");
    std::fs::set_permissions(site.path().join("symbolon.toml"), private).unwrap();
    site.check().success();
}
