//! Many tokens that are revoked at once: more than a broker that follows the list can be told one by one.

use std::{
    fs,
    time::{Duration, Instant},
};
use symbolon_client::{ConnectOptions, Connection, Mode, Profile, connection::Credentials, token};
use symbolon_e2e::{Command, System};

/// More updates than the authorization server keeps for one who asks (128).
const CLIENTS: usize = 200;
/// Far more than it should take, so that a busy machine does not matter here; less than a broker waits for news (20 seconds).
const SOON: Duration = Duration::from_secs(15);
const ROOMS: &str = "--auth secret --pop hs256 --allow pub:rooms/# --allow sub:rooms/#";

fn manage(system: &System, words: &str) -> String {
    let command = Command::symbolon().words(words);
    command.arg("--dir").arg(system.site()).run().success()
}

/// Connects so many times, each time with another token of the same device.
async fn connected(profile: &Profile) -> Vec<Connection> {
    let mut connections = Vec::new();
    for number in 0..CLIENTS {
        let token = token::obtain(profile, None).await.expect("a token");
        let options = ConnectOptions {
            client_identifier: format!("meter{number}"),
            keep_alive_secs: 0,
            ..ConnectOptions::for_profile(profile).expect("the profile names a broker")
        };
        let credentials = Credentials {
            profile: None,
            token,
            mode: Mode::Exporter,
        };
        let connection = Connection::connect(options, Some(credentials)).await;
        connections.push(connection.expect("it is let in"));
    }
    connections
}

// RFC 9770 §7, §9.2.3
#[tokio::test]
async fn everybody_who_loses_a_right_is_sent_away_however_many_they_are() {
    let system = System::start();
    let device = system.device("meter", ROOMS);
    let profile = fs::read_to_string(device).expect("client add wrote it");
    let profile = Profile::from_json(&profile).expect("it is a profile");
    let connections = connected(&profile).await;

    let policies = manage(&system, "policy list meter -o json");
    let policies: serde_json::Value = serde_json::from_str(&policies).expect("JSON");
    let id = &policies[0]["id"];
    manage(&system, &format!("policy remove {id}"));
    let since = Instant::now();
    for mut connection in connections {
        let left = SOON.saturating_sub(since.elapsed());
        let ended = tokio::time::timeout(left, connection.next()).await;
        let error = ended
            .expect("it is sent away in time")
            .expect_err("nothing else comes")
            .to_string();
        assert!(error.contains("revoked"), "{error}");
    }
    println!("{CLIENTS} were sent away in {:?}", since.elapsed());
}
