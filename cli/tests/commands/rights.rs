//! `symbolon group`, `owner`, `why`, `audit`, `key`, and policies that deny, on a real directory.

use crate::program::Site;
use serde_json::json;

fn site() -> Site {
    let site = Site::new();
    site.run("client add meter --allow pub:a/#").success();
    site.run("client add gauge --allow pub:g").success();
    site
}

#[test]
fn a_group_shares_policies_and_a_deny_wins() {
    let site = site();
    site.run("group add meters meter gauge").success();
    let members = site.run("group members meters -o json").json();
    assert_eq!(members, json!(["gauge", "meter"]));
    let added = site
        .run("policy add --group meters --allow sub:set/${group}/${client_id} --deny pub:a/secret -o json")
        .json();
    assert_eq!(added[0]["group"], "meters");
    assert_eq!(added[0]["client_id"], json!(null));
    assert_eq!(added[1]["effect"], "deny");
    let (allow, deny) = (&added[0]["id"], &added[1]["id"]);

    let told = site
        .run("policy test meter set/meters/meter --sub")
        .success();
    assert_eq!(
        told,
        format!("meter may subscribe to set/meters/meter: policy {allow} allows it\n")
    );
    let refused = site.run("policy test meter a/secret --pub");
    assert!(refused.stdout.contains(&format!("policy {deny} denies it")));
    let said = refused.failure(1);
    assert!(said.contains("meter may not publish to a/secret"), "{said}");
    let why = site.run("why meter a/secret").success();
    assert!(why.contains("overruled by the deny"), "{why}");
    assert!(why.contains("no policy allows it"), "{why}");
    let json = site.run("why meter a/secret -o json").json();
    assert_eq!(json[0]["decided_by"], *deny);
    assert_eq!(json[1]["allowed"], false);

    site.run("group remove meters gauge").success();
    assert_eq!(
        site.run("group members meters -o json").json(),
        json!(["meter"])
    );
    site.run("group remove meters").success();
    site.run("policy test meter a/secret --pub").success();
    assert_eq!(site.run("group list -o json").json(), json!([]));
}

#[test]
fn a_deny_that_leaves_no_filter_is_told_when_it_is_added() {
    let site = site();
    let added = site.run("policy add meter --deny pub:a/secret/#");
    assert_eq!(added.code, 0);
    assert!(
        added
            .stderr
            .contains("gets nothing of it unless it asks for less"),
        "{added:?}"
    );
    let added = site.run("policy add gauge --deny pub:other/#");
    assert_eq!(added.stderr, "");
}

#[test]
fn a_policy_holds_from_when_until_when() {
    let site = site();
    site.run("policy add meter --allow pub:b --from 1h --until 2030-01-01T00:00:00Z")
        .success();
    site.run("policy test meter b").failure(1);
    site.run("policy test meter b --at 2h").success();
    site.run("policy test meter b --at 2030-01-01T00:00:00Z")
        .failure(1);
    for words in [
        "policy add meter --allow pub:b --from yesterday",
        "policy add meter",
        "policy add --allow pub:b",
        "policy add meter --group g --allow pub:b",
        "policy add meter --deny pub:b --token-lifetime-secs 5",
        "policy test meter a/# --pub",
    ] {
        site.run(words).failure(2);
    }
    site.run("policy test meter a/# --sub").failure(1);
}

#[test]
fn an_owner_grants_what_they_own() {
    let site = site();
    site.run("owner add anna --tree site/1/#").success();
    site.run("policy add meter --allow pub:site/1/${client_id} --owner anna")
        .success();
    let said = site
        .run("policy add meter --allow pub:site/2/x --owner anna")
        .failure(1);
    assert!(said.contains("does not own all of"), "{said}");
    let owners = site.run("owner list -o json").json();
    assert_eq!(owners[0]["trees"][0]["filter"], "site/1/#");
    let gone = site.run("owner remove anna").success();
    assert!(gone.contains("removed policy"), "{gone}");
    site.run("policy test meter site/1/meter").failure(1);
}

#[test]
fn a_file_is_tried_and_then_applied() {
    let site = site();
    let file = site.beside("rights.toml");
    let words = format!("policy apply {}", file.display());
    let text = r#"
        [group.meters]
        members = ["meter", "gauge"]
        [[group.meters.rule]]
        allow = ["pub:m/${client_id}"]
        [client.meter]
    "#;
    std::fs::write(&file, text).unwrap();
    let tried = site.run(&format!("{words} --dry-run")).success();
    for line in [
        "+ group meters",
        "+ gauge in group meters",
        "+ group meters: allow pub m/${client_id}",
        "! meter loses pub a/#",
        "nothing was changed",
    ] {
        assert!(tried.contains(line), "{line}: {tried}");
    }
    site.run("policy test meter a/x").success();
    let json = site.run(&format!("{words} -o json")).json();
    assert_eq!(json["losses"][0]["scope"], json!([["a/#", ["pub"]]]));
    site.run("policy test meter a/x").failure(1);
    site.run("policy test gauge m/gauge").success();
    assert!(site.run(&words).success().contains("nothing to change"));
    std::fs::write(&file, "[group.meters]\nmembers = [\"ghost\"]").unwrap();
    site.run(&words).failure(1);
    std::fs::write(&file, "[group.meters]\nmembrs = []").unwrap();
    let said = site.run(&words).failure(2);
    assert!(said.contains("membrs"), "{said}");
}

#[test]
fn another_brokers_file_is_shown_and_then_taken_over() {
    let site = site();
    let file = site.beside("acl");
    std::fs::write(
        &file,
        "topic public\nuser meter\ntopic read set\nuser new.one\ntopic write n\npattern read x/%u\nuser a b\n",
    )
    .unwrap();
    let words = format!("import mosquitto-acl {}", file.display());
    let tried = site.run(&format!("{words} --dry-run")).success();
    for line in [
        "+ client new.one\n",
        "+ group imported: meter new.one\n",
        "+ client meter: allow sub:set at ",
        "+ group imported: allow sub:x/${client_id} at ",
        "! line 1: not carried over",
        "! line 7: not carried over",
    ] {
        assert!(tried.contains(line), "{line}: {tried}");
    }
    assert_eq!(
        site.run("client list -o json")
            .json()
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let shown = site.run(&format!("{words} -o json")).json();
    assert_eq!(shown["new_clients"], json!(["new.one"]));
    // What was there before stays.
    site.run("policy test meter a/x").success();
    site.run("policy test meter set --sub").success();
    site.run("policy test new.one x/new.one --sub").success();
    let profile = std::fs::read(site.path().join("clients/new.one.json")).unwrap();
    let profile: serde_json::Value = serde_json::from_slice(&profile).unwrap();
    assert_eq!(
        profile["scope"],
        json!([["n", ["pub"]], ["x/new.one", ["sub"]]])
    );
    let again = site.run(&format!("{words} -o json")).json();
    assert_eq!(again["new_clients"], json!([]));
    let policies = site.run("policy list -o json").json();
    assert_eq!(policies.as_array().unwrap().len(), 5);

    std::fs::write(&file, "{allow").unwrap();
    let words = format!("import emqx-acl {}", file.display());
    assert!(site.run(&words).failure(2).contains("line 1"));
    let words = format!("import mosquitto-dynsec {}", file.display());
    assert!(site.run(&words).failure(2).contains("line 1"));
    site.run(&format!("import hivemq {}", file.display()))
        .failure(2);
}

#[cfg(unix)]
#[test]
fn who_would_lose_something_is_told_with_the_tokens_that_are_out() {
    use crate::program::{Server, symbolon};
    let site = site();
    let _server = Server::start("as", &site, &[]);
    let profile = site.path().join("clients/meter.json");
    symbolon(&["token", "get", "--profile", profile.to_str().unwrap()]).success();
    let file = site.beside("rights.toml");
    std::fs::write(&file, "[client.meter]\n[client.gauge]\n").unwrap();
    let words = format!("policy apply {} --dry-run", file.display());
    let tried = site.run(&words).success();
    assert!(tried.contains("; tokens out: 1, until "), "{tried}");
    let tried = site.run(&format!("{words} -o json")).json();
    let tokens = |index: usize| tried["losses"][index]["tokens"].as_u64();
    assert_eq!((tokens(0), tokens(1)), (Some(0), Some(1)));
}

#[test]
fn every_change_is_in_the_audit_log_and_the_log_is_checked() {
    let site = site();
    site.run("policy add meter --allow pub:b").success();
    let records = site.run("audit list -o json").json();
    let last = records.as_array().unwrap().last().unwrap();
    assert_eq!(last["action"], "policy.add");
    assert!(last["actor"].as_str().unwrap().starts_with("cli uid="));
    let mark = site.run("audit verify -o json").json();
    assert_eq!(mark["records"], last["number"]);
    let words = format!("audit verify --mark {}", mark["mark"].as_str().unwrap());
    site.run("client remove gauge").success();
    assert!(site.run(&words).success().contains("is whole"));
    let other = format!("audit verify --mark 2:{}", "00".repeat(32));
    let said = site.run(&other).failure(1);
    assert!(said.contains("is not the one that was noted"), "{said}");
    site.run("audit verify --mark 2:00").failure(2);
    assert!(
        site.run("audit list --limit 1")
            .success()
            .contains("client.remove")
    );
}

#[test]
fn keys_rotate_and_stay_over_a_restart() {
    let site = site();
    let before = site.run("key list -o json").json();
    assert_eq!(before[0]["state"], "active");
    let told = site.run("key rotate --alg es256").success();
    assert!(told.contains("no server is running"), "{told}");
    let keys = site.run("key list -o json").json();
    assert_eq!(
        (&keys[0]["state"], &keys[1]["state"]),
        (&json!("active"), &json!("next"))
    );
    assert_eq!(keys[1]["alg"], "ES256");
    let said = site.run("key rotate").failure(2);
    assert!(said.contains("--now"), "{said}");
    site.run("key rotate --now").success();
    let keys = site.run("key list -o json").json();
    assert_eq!(keys[0]["state"], "retired");
    assert_eq!(keys[0]["kid"], before[0]["kid"]);
    assert_eq!(keys[1]["state"], "active");
    assert!(site.run("key list").success().contains("published until"));
    let active = keys[1]["kid"].as_str().unwrap();
    site.run(&format!("key revoke {active}")).failure(2);
    let kid = keys[0]["kid"].as_str().unwrap();
    site.run(&format!("key revoke {kid}")).success();
    assert_eq!(site.run("key list -o json").json()[0]["state"], "gone");
    site.check().success();
    let audit = site.run("audit list -o json").json();
    let rotations = audit.as_array().unwrap().iter();
    assert_eq!(
        rotations
            .filter(|record| record["action"] == "key.rotate")
            .count(),
        2
    );
    #[cfg(unix)]
    assert_eq!(
        crate::program::mode(&site.path().join("keys/signing.jwk")),
        0o600
    );
}

#[cfg(unix)]
#[test]
fn a_running_server_takes_a_new_key_over() {
    use crate::program::{Server, symbolon};
    let site = site();
    let server = Server::start("up", &site, &[]);
    let profile = site.path().join("clients/meter.json");
    let token = || {
        let arguments = ["token", "get", "--profile", profile.to_str().unwrap()];
        symbolon(&arguments).success().trim().to_owned()
    };
    let before = token();
    let told = site.run("key rotate --now --alg es256").success();
    assert!(told.contains("as.signing_key"), "{told}");
    let after = token();
    for token in [&before, &after] {
        let shown = site.run(&format!("token show {token} -o json")).json();
        assert_eq!(shown["valid"], true, "{shown}");
    }
    drop(server);
    // Another process, and the key that signed before is still known.
    let shown = site.run(&format!("token show {before} -o json")).json();
    assert_eq!(shown["valid"], true, "{shown}");
}

#[test]
fn a_backup_brings_back_what_there_was() {
    let site = site();
    let backup = site.beside("backup");
    let words = format!("backup {}", backup.display());
    site.run(&words).success();
    let said = site.run(&words).failure(2);
    assert!(said.contains("exists"), "{said}");
    let key = site.run("key list -o json").json()[0]["kid"].clone();
    site.run("client remove meter").success();
    site.run("client add late --allow pub:x").success();
    site.run("key rotate --now").success();

    let words = format!("restore {}", backup.display());
    let told = site.run(&words).success();
    assert!(told.contains("what was there before is"), "{told}");
    let clients = site.run("client list -o json").json();
    let names: Vec<_> = clients.as_array().unwrap().iter().collect();
    assert_eq!((names.len(), &names[1]["client_id"]), (2, &json!("meter")));
    assert_eq!(site.run("key list -o json").json()[0]["kid"], key);
    site.run("audit verify").success();
    let last = site.run("audit list --limit 1 -o json").json();
    assert_eq!(last[0]["action"], "database.restore");
    site.check().success();
    #[cfg(unix)]
    for file in [
        site.path().join("symbolon.db"),
        backup.join("symbolon.db"),
        backup.join("signing.jwk"),
    ] {
        assert_eq!(crate::program::mode(&file), 0o600, "{file:?}");
    }
}

#[test]
fn what_is_no_backup_changes_nothing() {
    let site = site();
    let backup = site.beside("backup");
    site.run(&format!("backup {}", backup.display())).success();
    let database = backup.join("symbolon.db");
    let mut bytes = std::fs::read(&database).unwrap();
    for byte in &mut bytes[4096..] {
        *byte = !*byte;
    }
    std::fs::write(&database, bytes).unwrap();
    let words = format!("restore {}", backup.display());
    site.run(&words).failure(1);
    assert_eq!(
        site.run("client list -o json")
            .json()
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert!(!site.path().join("symbolon.db.restoring").exists());
    let nowhere = site.beside("nowhere");
    site.run(&format!("restore {}", nowhere.display()))
        .failure(2);
}

#[cfg(unix)]
#[test]
fn nothing_is_restored_under_a_running_server() {
    use crate::program::Server;
    let site = site();
    let _server = Server::start("as", &site, &[]);
    let backup = site.beside("backup");
    site.run(&format!("backup {}", backup.display())).success();
    let said = site
        .run(&format!("restore {}", backup.display()))
        .failure(2);
    assert!(said.contains("a server is running"), "{said}");
}
