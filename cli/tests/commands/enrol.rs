//! `symbolon enrol`, at both ends.

use crate::program::{Ended, Server, Site, symbolon};
use std::{fmt::Write as _, path::Path, time::Instant};

/// `symbolon enrol` on a device, with more words.
fn enrol(site: &Site, code: &str, profile: &Path, more: &[&str]) -> Ended {
    let issuer = site.made["issuer"].as_str().unwrap();
    let ca = site.made["ca"].as_str().unwrap();
    let profile = profile.to_str().unwrap();
    let mut words = vec!["enrol", "--as", issuer, "--ca", ca, "--token", code];
    words.extend(["--profile", profile]);
    words.extend(more);
    symbolon(&words)
}

fn code_for(site: &Site, words: &str) -> String {
    let made = site.run(&format!("enrol token {words} -o json")).json();
    made["token"].as_str().unwrap().to_owned()
}

fn token(profile: &Path) -> Ended {
    symbolon(&["token", "get", "--profile", profile.to_str().unwrap()])
}

#[test]
fn a_device_enrols_with_a_code_and_gets_tokens() {
    let site = Site::new();
    let _server = Server::start("as", &site, &[]);
    for (name, more) in [
        ("plain", &[][..]),
        ("raw", &["--auth", "rpk"]),
        ("raw-p256", &["--auth", "rpk", "--pop", "es256"]),
        ("shared", &["--pop", "hs256"]),
        ("raw-shared", &["--auth", "rpk", "--pop", "hs256"]),
    ] {
        let code = code_for(&site, &format!("{name} --allow pub:rooms/${{client_id}}/#"));
        let profile = site.beside(&format!("{name}.json"));
        let said = enrol(&site, &code, &profile, more).success();
        assert!(said.contains(name), "{said}");
        assert!(!said.contains(&code), "{said}");
        token(&profile).success();
        let text = std::fs::read_to_string(&profile).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        for member in ["issuer", "token_endpoint", "broker", "audience"] {
            assert_eq!(json[member], site.made[member], "{member}");
        }
        let filter = format!("rooms/{name}/#");
        assert_eq!(json["scope"], serde_json::json!([[filter, ["pub"]]]));
        #[cfg(unix)]
        assert_eq!(crate::program::mode(&profile), 0o600);
        // Good once.
        let again = site.beside("again.json");
        enrol(&site, &code, &again, more).failure(3);
        assert!(!again.exists());
    }
    let listed = site.run("client list -o json").json();
    assert_eq!(listed.as_array().unwrap().len(), 5);
}

#[test]
fn of_two_devices_with_one_code_one_is_enrolled() {
    let site = Site::new();
    let _server = Server::start("as", &site, &[]);
    let code = code_for(&site, "meter --allow pub:a");
    let codes = std::thread::scope(|scope| {
        let devices = ["one", "other"].map(|name| {
            let (site, code) = (&site, &code);
            scope.spawn(move || enrol(site, code, &site.beside(name), &[]).code)
        });
        devices.map(|device| device.join().unwrap())
    });
    let mut sorted = codes;
    sorted.sort_unstable();
    assert_eq!(sorted, [0, 3]);
    let written = ["one", "other"].map(|name| site.beside(name).exists());
    assert_eq!(written, codes.map(|code| code == 0));
    token(&site.beside(if codes[0] == 0 { "one" } else { "other" })).success();
}

#[test]
fn a_code_is_not_used_up_where_the_profile_cannot_be_written() {
    let site = Site::new();
    let _server = Server::start("as", &site, &[]);
    let code = code_for(&site, "meter --allow pub:a");
    let nowhere = Path::new("/nonexistent/profile.json");
    enrol(&site, &code, nowhere, &[]).failure(1);
    let profile = site.beside("profile.json");
    std::fs::write(&profile, "mine").unwrap();
    let said = enrol(&site, &code, &profile, &[]).failure(2);
    assert!(said.contains("--force"), "{said}");
    assert_eq!(std::fs::read_to_string(&profile).unwrap(), "mine");
    enrol(&site, &code, &profile, &["--force"]).success();
    token(&profile).success();
}

#[test]
fn many_devices_of_one_kind_come_with_one_token() {
    let site = Site::new();
    let _server = Server::start("as", &site, &[]);
    site.run("group add meters").success();
    let code = code_for(&site, "--beginning meter- --uses 2 --group meters");
    for number in 0..2 {
        let profile = site.beside(&format!("{number}.json"));
        let enrolled = enrol(&site, &code, &profile, &["-o", "json"]).json();
        let name = enrolled["client_id"].as_str().unwrap();
        assert!(name.starts_with("meter-"), "{name}");
    }
    enrol(&site, &code, &site.beside("2.json"), &[]).failure(3);
    let members = site.run("group members meters -o json").json();
    assert_eq!(members.as_array().unwrap().len(), 2);
}

#[test]
fn codes_are_listed_without_themselves_and_removed() {
    let site = Site::new();
    let code = code_for(&site, "meter --allow pub:a --allow sub:b --valid-for 1h");
    let listed = site.run("enrol list -o json");
    assert!(!listed.stdout.contains(&code));
    let listed = listed.json();
    assert_eq!(listed[0]["name"], "meter");
    assert_eq!(listed[0]["allow"], serde_json::json!(["pub:a", "sub:b"]));
    assert_eq!(listed[0]["uses_left"], 1);
    assert!(site.run("enrol list").success().contains("pub:a sub:b"));
    let id = listed[0]["id"].as_str().unwrap();
    site.run(&format!("enrol remove {id}")).success();
    site.run(&format!("enrol remove {id}")).failure(1);
    assert_eq!(site.run("enrol list -o json").json(), serde_json::json!([]));
    let _server = Server::start("as", &site, &[]);
    enrol(&site, &code, &site.beside("p.json"), &[]).failure(3);
}

#[test]
fn a_code_that_cannot_be_is_refused() {
    let site = Site::new();
    for words in [
        "enrol token meter",
        "enrol token",
        "enrol token me+ter --allow pub:a",
        "enrol token meter --beginning m --allow pub:a",
        "enrol token meter --uses 2 --allow pub:a",
        "enrol token meter --allow write:a",
    ] {
        site.run(words).failure(2);
    }
    site.run("enrol token meter --allow pub:a --valid-for 0s")
        .failure(1);
    site.run("enrol token meter --group ghosts").failure(1);
    symbolon(&["enrol"]).failure(2);
}

#[test]
fn a_file_becomes_a_code_a_line_or_none_at_all() {
    let site = Site::new();
    let (file, out) = (site.beside("devices.csv"), site.beside("codes.csv"));
    let words = format!("enrol csv {} --out {}", file.display(), out.display());
    site.run("client add there --allow pub:a").success();
    std::fs::write(
        &file,
        "name,allow\ngood,pub:a\nba/d,pub:a\nthere,pub:a\ngood,pub:b\nwrong,write:a\n",
    )
    .unwrap();
    let said = site.run(&words).failure(2);
    for place in ["devices.csv:3:", "devices.csv:5:", "devices.csv:6:"] {
        assert!(said.contains(place), "{said}");
    }
    std::fs::write(
        &file,
        "name,allow,group\nnew,pub:a\nthere,pub:a\nother,,ghosts\nnone\n",
    )
    .unwrap();
    let said = site.run(&words).failure(2);
    for place in ["devices.csv:3:", "devices.csv:4:", "devices.csv:5:"] {
        assert!(said.contains(place), "{said}");
    }
    assert!(!out.exists());
    assert_eq!(site.run("enrol list -o json").json(), serde_json::json!([]));
    std::fs::write(
        &file,
        "name,allow,token_lifetime_secs\na,pub:x/${client_id},60\nb,,\n",
    )
    .unwrap();
    site.run(&format!("{words} --allow sub:news")).success();
    #[cfg(unix)]
    assert_eq!(crate::program::mode(&out), 0o600);
    let text = std::fs::read_to_string(&out).unwrap();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(lines[0], ["name", "token", "issuer", "expires_at"]);
    assert_eq!((lines[1][0], lines[2][0], lines.len()), ("a", "b", 3));
    let said = site.run(&words).failure(2);
    assert!(said.contains("--force"), "{said}");
    let _server = Server::start("as", &site, &[]);
    let profile = site.beside("a.json");
    enrol(&site, lines[1][1], &profile, &[]).success();
    token(&profile).success();
    let policies = site.run("policy list a -o json").json();
    assert_eq!(policies[1]["filter"], "x/${client_id}");
    assert_eq!(policies[1]["token_lifetime_secs"], 60);
}

#[test]
fn ten_thousand_codes_are_made_in_seconds() {
    let site = Site::new();
    let (file, out) = (site.beside("devices.csv"), site.beside("codes.csv"));
    let mut text = "name\n".to_owned();
    for number in 0..10_000 {
        writeln!(text, "meter-{number}").unwrap();
    }
    std::fs::write(&file, text).unwrap();
    let words = format!("enrol csv {} --out {}", file.display(), out.display());
    let before = Instant::now();
    site.run(&format!("{words} --allow pub:meters/${{client_id}}/#"))
        .success();
    let took = before.elapsed();
    println!("10 000 codes: {took:?}");
    assert!(took.as_secs() < 60, "{took:?}");
    let text = std::fs::read_to_string(&out).unwrap();
    assert_eq!(text.lines().count(), 10_001);
}

#[test]
fn a_device_may_be_registered_with_a_raw_public_key() {
    let site = Site::new();
    let _server = Server::start("as", &site, &[]);
    for pop in ["ed25519", "es256", "hs256"] {
        site.run(&format!(
            "client add {pop} --allow pub:a --auth rpk --pop {pop}"
        ))
        .success();
        let profile = site.path().join(format!("clients/{pop}.json"));
        token(&profile).success();
        let shown = site.run(&format!("client show {pop} -o json")).json();
        assert_eq!(shown["client_auth"], "symbolon_rpk");
    }
}

#[test]
fn where_nobody_may_register_a_device_is_told_so() {
    let site = Site::new();
    let code = code_for(&site, "meter --allow pub:a");
    let closed = [("SYMBOLON_AS_REGISTRATION", "false")];
    let _server = Server::start("as", &site, &closed);
    let said = enrol(&site, &code, &site.beside("p.json"), &[]).failure(3);
    assert!(said.contains("lets nobody register"), "{said}");
}
