//! Several authorization servers on one database: what one has said counts at the other, and goes on counting when the one is killed.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use symbolon_e2e::{Command, Running, System, program::wait_for};
use symbolon_test_postgres::Cluster;
use symbolon_tls::https::{HttpsClient, HttpsRequest, Method};

/// How long a server may take to say `ready`.
const READY_LIMIT: Duration = Duration::from_secs(30);
/// How long both servers are asked, and how long the one that is left.
const TOGETHER: Duration = Duration::from_secs(3);
const ALONE: Duration = Duration::from_secs(1);
/// Clients that ask at once.
const CLIENTS: usize = 4;

/// What a client heard of a token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Heard {
    /// It was given out.
    Granted,
    /// It was revoked.
    Revoked,
    /// That it is revoked was asked for, and nobody answered.
    Unknown,
}

/// A server of its own, in a directory of its own, as on another machine.
struct Server {
    running: Running,
    url: String,
}

impl Server {
    fn start(directory: &Path, database: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let mut running = Command::symbolon()
            .arg("as")
            .arg(directory)
            .env("SYMBOLON_AS_LISTEN", &format!("127.0.0.1:{port}"))
            .env("SYMBOLON_AS_DATABASE", database)
            .start();
        let ready = wait_for(READY_LIMIT, || {
            let ready = running
                .stdout()
                .lines()
                .any(|line| line.starts_with("ready"));
            (ready || running.ended().is_some()).then_some(ready)
        });
        assert_eq!(ready, Some(true), "{}", running.stderr());
        let url = format!("https://localhost:{port}");
        Self { running, url }
    }

    /// Without a chance to write anything down.
    fn kill(mut self) {
        let id = self.running.id().to_string();
        let killed = process::Command::new("kill").args(["-9", &id]).status();
        assert!(killed.unwrap().success());
        wait_for(READY_LIMIT, || self.running.ended()).unwrap();
    }
}

/// A client by name and secret.
#[derive(Clone)]
struct Client {
    https: Arc<HttpsClient>,
    authorization: String,
}

impl Client {
    fn new(https: &Arc<HttpsClient>, name: &str, secret: &str) -> Self {
        let pair = format!("{name}:{secret}");
        Self {
            https: Arc::clone(https),
            authorization: format!("Basic {}", base64(pair.as_bytes())),
        }
    }

    /// The status and the body; nothing where nobody answers.
    async fn post(&self, url: String, form: &str) -> Option<(u16, serde_json::Value)> {
        let request = HttpsRequest {
            method: Method::POST,
            url,
            headers: vec![
                ("authorization", self.authorization.clone()),
                (
                    "content-type",
                    "application/x-www-form-urlencoded".to_owned(),
                ),
            ],
            body: form.to_owned().into(),
        };
        let response = self.https.send(request).await.ok()?;
        let body = serde_json::from_slice(&response.body).unwrap_or_default();
        Some((response.status, body))
    }

    async fn token(&self, url: &str) -> Option<String> {
        let (status, body) = self
            .post(format!("{url}/token"), "grant_type=client_credentials")
            .await?;
        match status {
            200 => Some(body["access_token"].as_str().unwrap().to_owned()),
            // Too many at once, or not now.
            429 | 503 => None,
            other => panic!("{other}: {body}"),
        }
    }
}

/// With padding (RFC 4648 §4).
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut word = [0; 3];
        word[..chunk.len()].copy_from_slice(chunk);
        let word = u32::from_be_bytes([0, word[0], word[1], word[2]]);
        for index in 0..4 {
            let place = (word >> (18 - 6 * index)) & 63;
            text.push(if index <= chunk.len() {
                char::from(ALPHABET[place as usize])
            } else {
                '='
            });
        }
    }
    text
}

/// A copy of a site, for a server of its own.
fn copy_of(site: &Path, to: PathBuf) -> PathBuf {
    let copied = process::Command::new("cp")
        .arg("-a")
        .arg(site)
        .arg(&to)
        .status();
    assert!(copied.unwrap().success());
    to
}

fn manage(system: &System, database: &str, words: &str) -> Command {
    let command = Command::symbolon()
        .words(words)
        .arg("--dir")
        .arg(system.site());
    command.env("SYMBOLON_AS_DATABASE", database)
}

/// Asks both for tokens and has some revoked, each time by the other, until `stop`.
async fn ask(
    client: Client,
    urls: [String; 2],
    heard: Arc<Mutex<Vec<(String, Heard)>>>,
    stop: Arc<AtomicBool>,
) {
    let mut round = 0;
    while !stop.load(Ordering::Relaxed) {
        round += 1;
        let (here, there) = (&urls[round % 2], &urls[(round + 1) % 2]);
        let Some(token) = client.token(here).await else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        let mut known = Heard::Granted;
        if round % 3 == 0 {
            let form = format!("token={token}");
            let answer = client.post(format!("{there}/revoke"), &form).await;
            known = match answer {
                Some((200, _)) => Heard::Revoked,
                Some(_) | None => Heard::Unknown,
            };
        }
        heard.lock().unwrap().push((token, known));
    }
}

/// Registers the clients; their secrets.
fn registered(system: &System, database: &str) -> Vec<String> {
    let mut secrets = Vec::new();
    for number in 0..CLIENTS {
        let profile = system.scratch(&format!("c{number}.json"));
        manage(
            system,
            database,
            &format!("client add c{number} --auth secret --pop hs256 --allow pub:x/#"),
        )
        .arg("--profile")
        .arg(&profile)
        .run()
        .success();
        let text = fs::read_to_string(profile).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let secret = json["client_auth"]["secret"].as_str().unwrap();
        secrets.push(secret.to_owned());
    }
    secrets
}

fn nothing_is_lost(system: &System, database: &str) {
    let secrets = registered(system, database);
    let other = copy_of(&system.site(), system.scratch("other"));
    let first = Server::start(&system.site(), database);
    let second = Server::start(&other, database);
    let ca = fs::read_to_string(&system.init().ca).unwrap();
    let https = Arc::new(HttpsClient::new(&ca).unwrap());
    let broker = fs::read_to_string(system.site().join("keys/broker.secret")).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let urls = [first.url.clone(), second.url.clone()];
        let mut asking = tokio::task::JoinSet::new();
        for (number, secret) in secrets.iter().enumerate() {
            let client = Client::new(&https, &format!("c{number}"), secret);
            asking.spawn(ask(
                client,
                urls.clone(),
                Arc::clone(&heard),
                Arc::clone(&stop),
            ));
        }
        tokio::time::sleep(TOGETHER).await;
        let before = heard.lock().unwrap().len();
        first.kill();
        tokio::time::sleep(ALONE).await;
        stop.store(true, Ordering::Relaxed);
        while let Some(done) = asking.join_next().await {
            done.unwrap();
        }
        let heard = heard.lock().unwrap().clone();
        assert!(
            before > 20 && heard.len() > before,
            "{before} of {}",
            heard.len()
        );
        let asker = Client::new(&https, "symbolon-broker", broker.trim());
        let began = Instant::now();
        let mut revoked = 0;
        for (token, known) in &heard {
            let form = format!("token={token}");
            let answer = asker.post(format!("{}/introspect", second.url), &form);
            let (status, body) = answer.await.unwrap();
            assert_eq!(status, 200, "{body}");
            match known {
                Heard::Granted => assert_eq!(body["active"], true, "{body}"),
                Heard::Revoked => assert_eq!(body["active"], false, "{body}"),
                Heard::Unknown => {}
            }
            revoked += usize::from(*known == Heard::Revoked);
        }
        println!(
            "{} tokens, {revoked} revoked, asked about in {:?}",
            heard.len(),
            began.elapsed()
        );
    });
}

#[test]
fn nothing_that_one_of_two_servers_on_one_file_has_said_is_lost_when_it_is_killed() {
    let system = System::initialized();
    let database = system.site().join("symbolon.db");
    assert!(database.exists());
    nothing_is_lost(&system, &database.display().to_string());
}

#[test]
fn nothing_that_one_of_two_servers_on_postgresql_has_said_is_lost_when_it_is_killed() {
    let system = System::initialized();
    // From the file that `init` made into PostgreSQL, as an operator moves.
    let copy = system.scratch("backup");
    let backup = Command::symbolon().arg("backup").arg(&copy);
    backup.arg("--dir").arg(system.site()).run().success();
    let url = Cluster::shared().create_database().unwrap();
    let restore = || {
        let restore = Command::symbolon().arg("restore").arg(&copy);
        let restore = restore.arg("--dir").arg(system.site());
        restore.env("SYMBOLON_AS_DATABASE", &url)
    };
    restore().run().success();
    // And not over what is there.
    let refused = restore().run().failure(2);
    assert!(refused.contains("is not empty"), "{refused}");
    nothing_is_lost(&system, &url);
    // And back into a file.
    let back = system.scratch("back");
    let backup = Command::symbolon().arg("backup").arg(&back);
    let backup = backup.arg("--dir").arg(system.site());
    backup.env("SYMBOLON_AS_DATABASE", &url).run().success();
    let restore = Command::symbolon().arg("restore").arg(&back);
    restore.arg("--dir").arg(system.site()).run().success();
    let list = Command::symbolon()
        .words("client list --dir")
        .arg(system.site());
    assert!(list.run().success().contains("c3"));
}
