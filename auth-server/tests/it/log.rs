//! What the log shows.

use crate::harness::{
    SECRET, Server, assertion, basic, by_assertion, key, proof, req_cnf, with_key, with_secret,
};
use serde_json::json;
use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};
use symbolon_ace_proto::PopAlgorithm;
use tracing_subscriber::fmt::MakeWriter;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn the_log_says_who_got_what_and_shows_no_secret_at_any_level() {
    let log = Log::default();
    // For the whole process, since the server's tasks run on several threads; other tests fill it too, and do not hurt.
    tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(log.clone())
        .init();
    let server = Server::start().await;
    let own = key(PopAlgorithm::EdDsa);
    server.add("log-hs", with_secret(PopAlgorithm::Hs256)).await;
    server.add("log-ed", with_key(&own)).await;

    let authorization = basic("log-hs", SECRET);
    let header = [("authorization", &*authorization)];
    let symmetric = server.ask(&header, &json!({})).await.granted();
    let wrong = basic("log-hs", "not-the-secret");
    let answer = server.ask(&[("authorization", &wrong)], &json!({})).await;
    answer.refused(401, "invalid_client");
    let odd = basic("log-odd%0Aline", SECRET);
    server.ask(&[("authorization", &odd)], &json!({})).await;
    let (signed, proved) = (assertion("log-ed", &own), proof(&own));
    let mut body = by_assertion(&signed);
    body["req_cnf"] = req_cnf(&own);
    let asymmetric = server.ask(&[("dpop", &proved)], &body).await.granted();
    server.stop().await;

    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for shown in [
        "token issued client_id=\"log-hs\" audience=\"broker\"",
        "token refused client_id=\"log-hs\" audience=\"-\" reason=wrong secret",
        "token issued client_id=\"log-ed\" audience=\"broker\"",
    ] {
        assert!(text.contains(shown), "{shown}");
    }
    // A name that could break the log's lines is not in it.
    assert!(!text.contains("log-odd"));
    let part_of_base64 = &authorization["Basic ".len() + 4..];
    for secret in [
        SECRET,
        part_of_base64,
        "not-the-secret",
        symmetric["cnf"]["jwk"]["k"].as_str().unwrap(),
        symmetric["access_token"].as_str().unwrap(),
        asymmetric["access_token"].as_str().unwrap(),
        &signed,
        &proved,
    ] {
        assert!(!text.contains(secret), "{secret}");
    }
}
