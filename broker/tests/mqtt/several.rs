//! Several authorization servers, each with ways of its own to vouch for tokens.

use crate::{
    authority::{of_servers, serve_https},
    introspection::come,
    management::{await_metric, config, get, start},
    peer::{Running, V5, connect},
};
use hyper::StatusCode;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use symbolon_ace_proto::{
    Claims, Confirmation, KeySet, MacKey, PopAlgorithm, PopSigner, Scope, SigningKey, UnixTime,
    jwt::SigningAlgorithm,
};
use symbolon_broker::{AuthorizationServerConfig, Config, Limits, ReloadError, StoreConfig};
use symbolon_mqtt_proto::ReasonCode;

const AUDIENCE: &str = "mqtts://localhost";

/// An authorization server that is there while it is open.
struct Server {
    signer: SigningKey,
    open: Arc<AtomicBool>,
    fetched: Arc<AtomicUsize>,
    config: AuthorizationServerConfig,
}

impl Server {
    fn start(issuer: &str, open: bool) -> Self {
        let signer = SigningKey::generate(SigningAlgorithm::EdDsa).unwrap();
        let keys = KeySet::from_keys(vec![signer.to_public_jwk()]).to_json();
        let open = Arc::new(AtomicBool::new(open));
        let fetched = Arc::new(AtomicUsize::new(0));
        let (is_open, count) = (Arc::clone(&open), Arc::clone(&fetched));
        let https = serve_https(move |_, _, _| {
            count.fetch_add(1, Ordering::SeqCst);
            if is_open.load(Ordering::SeqCst) {
                (StatusCode::OK, keys.clone())
            } else {
                (StatusCode::SERVICE_UNAVAILABLE, String::new())
            }
        });
        let config = AuthorizationServerConfig {
            issuer: issuer.into(),
            ..https.server()
        };
        Self {
            signer,
            open,
            fetched,
            config,
        }
    }
}

fn claims(issuer: &str, pop: &PopSigner) -> Claims {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Claims {
        issuer: issuer.into(),
        subject: Some("device".into()),
        client_id: None,
        audience: vec![AUDIENCE.into()],
        expires_at: UnixTime(now.as_secs() + 600),
        expires_in_secs: None,
        not_before: None,
        issued_at: Some(UnixTime(now.as_secs())),
        token_identifier: None,
        scope: Scope::from_json(r#"[["t",["pub"]]]"#).unwrap(),
        confirmation: Confirmation::Key(Box::new(pop.verifying_key().to_jwk())),
        client_nonce: None,
    }
}

fn enter(running: &Running, name: &str, token: &[u8], pop: &PopSigner) -> ReasonCode {
    come(running.address, &connect(V5, name), token, pop).1
}

#[test]
fn one_authorization_server_that_is_away_keeps_nobody_of_another_out() {
    let pop = PopSigner::generate(PopAlgorithm::EdDsa).unwrap();
    let (here, away) = (
        Server::start("https://here.example", true),
        Server::start("https://away.example", false),
    );
    let both = config(Some(of_servers(vec![
        away.config.clone(),
        here.config.clone(),
    ])));
    let (running, management) = start(&both);
    await_metric(management, "key_fetches_total{outcome=\"success\"} 1");
    assert!(get(management, "/health/ready").starts_with("HTTP/1.1 200 "));
    let token = |server: &Server, issuer: &str| {
        let token = server.signer.sign(&claims(issuer, &pop));
        token.unwrap().into_bytes()
    };
    let (success, refused) = (ReasonCode::Success, ReasonCode::NotAuthorized);
    let of_here = token(&here, "https://here.example");
    let of_away = token(&away, "https://away.example");
    assert_eq!(enter(&running, "one", &of_here, &pop), success);
    assert_eq!(enter(&running, "two", &of_away, &pop), refused);
    away.open.store(true, Ordering::SeqCst);
    assert_eq!(enter(&running, "two", &of_away, &pop), success);
    // The one does not speak for the other.
    let forged = token(&here, "https://away.example");
    assert_eq!(enter(&running, "three", &forged, &pop), refused);
}

#[test]
fn a_reload_takes_authorization_servers_in_and_out_and_leaves_the_others_alone() {
    let pop = PopSigner::generate(PopAlgorithm::EdDsa).unwrap();
    let (first, second) = (
        Server::start("https://first.example", true),
        Server::start("https://second.example", true),
    );
    let one = config(Some(of_servers(vec![first.config.clone()])));
    let (running, management) = start(&one);
    await_metric(management, "key_fetches_total{outcome=\"success\"} 1");
    let of = |server: &Server, issuer: &str| {
        let token = server.signer.sign(&claims(issuer, &pop));
        token.unwrap().into_bytes()
    };
    let (success, refused) = (ReasonCode::Success, ReasonCode::NotAuthorized);
    let of_first = of(&first, "https://first.example");
    let of_second = of(&second, "https://second.example");
    assert_eq!(enter(&running, "a", &of_second, &pop), refused);
    let broker = running.broker.as_ref().unwrap();
    let with = |servers: Vec<AuthorizationServerConfig>| Config {
        authorization: Some(of_servers(servers)),
        ..one.clone()
    };
    // All or nothing: two of the same issuer contradict each other.
    let twice = with(vec![first.config.clone(), first.config.clone()]);
    assert!(matches!(broker.reload(&twice), Err(ReloadError::Config(_))));
    let both = with(vec![first.config.clone(), second.config.clone()]);
    broker.reload(&both).unwrap();
    assert_eq!(enter(&running, "a", &of_second, &pop), success);
    // The first is away now: its keys are there all the same.
    first.open.store(false, Ordering::SeqCst);
    assert_eq!(enter(&running, "b", &of_first, &pop), success);
    assert!(second.fetched.load(Ordering::SeqCst) >= 1);
    broker.reload(&with(vec![second.config.clone()])).unwrap();
    assert_eq!(enter(&running, "b", &of_first, &pop), refused);
    assert_eq!(enter(&running, "a", &of_second, &pop), success);
    // Whether there is a clock is not for a reload to say.
    let mut without_clock = both.clone();
    without_clock.authorization.as_mut().unwrap().clock = false;
    let restart = Err(ReloadError::NeedsRestart(vec!["clock"]));
    assert_eq!(broker.reload(&without_clock), restart);
}

// RFC 9200 §5.10.3: "MUST store the highest sequence number of an expired token".
#[test]
fn what_is_over_stays_over_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let pop = PopSigner::generate(PopAlgorithm::EdDsa).unwrap();
    let mac_key = MacKey::generate().unwrap();
    let mut authorization = of_servers(vec![AuthorizationServerConfig {
        issuer: "https://as.example".into(),
        jwks_uri: None,
        ca_pem: String::new(),
        audience: AUDIENCE.into(),
        content_keys: Vec::new(),
        mac_keys: vec![mac_key.clone()],
        derivation_keys: Vec::new(),
        token_endpoint: "https://as.example/token".into(),
        hint_scope: None,
        introspection: None,
        revocation_list: None,
    }]);
    authorization.clock = false;
    let config = Config {
        authorization: Some(authorization),
        public_topics: Vec::new(),
        ..Running::config(
            1,
            Limits::default(),
            Some(StoreConfig::at(directory.path().join("store"))),
        )
    };
    let token = |number: u64, secs: u64| {
        let claims = Claims {
            expires_in_secs: Some(secs),
            // Eight bytes that can be read are a number as good as any other.
            token_identifier: Some(format!("{AUDIENCE}{number:08}")),
            ..claims("https://as.example", &pop)
        };
        mac_key.mac_cwt(&claims).unwrap()
    };
    let (success, refused) = (ReasonCode::Success, ReasonCode::NotAuthorized);
    {
        let running = Running::start(&config);
        let (mut device, reason_code, _) =
            come(running.address, &connect(V5, "device"), &token(7, 1), &pop);
        assert_eq!(reason_code, success);
        assert_eq!(device.end(), Some(ReasonCode::NotAuthorized));
        assert_eq!(enter(&running, "device", &token(7, 1), &pop), refused);
        // It is stored within a second.
        std::thread::sleep(Duration::from_millis(1_500));
    }
    let running = Running::start(&config);
    assert_eq!(enter(&running, "device", &token(7, 600), &pop), refused);
    assert_eq!(enter(&running, "device", &token(6, 600), &pop), refused);
    assert_eq!(enter(&running, "device", &token(8, 600), &pop), success);
}
