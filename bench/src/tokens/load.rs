//! Requests for tokens: on each connection the next follows the answer to the last.

use super::issuers::{Asking, Running};
use crate::{
    https::{self, LIMIT, Pool},
    latencies::Latencies,
    load::Span,
    process::Usage,
    registered::{Authentication, Registered},
};
use anyhow::ensure;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use symbolon_ace_proto::{
    UnixTime,
    client_assertion::{self, ASSERTION_TYPE},
    form,
};

/// What an answer with a token has in it.
const TOKEN: &[u8] = b"\"access_token\":";

/// What one measurement gives.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) tokens: u64,
    pub(super) elapsed: Duration,
    pub(super) cpu_secs: f64,
    pub(super) latencies: Latencies,
    /// Of the last answer, headers too.
    pub(super) answer_bytes: usize,
}

/// Asks for tokens over so many connections.
pub(super) fn run(
    running: &mut Running<'_>,
    connections: usize,
    span: Span,
) -> anyhow::Result<Run> {
    let pool = Pool::connect(running.address, &running.tls, connections)?;
    let mut load = Load {
        sent_at: vec![Instant::now(); pool.len()],
        pool,
        turns: 0,
    };
    for place in 0..connections {
        load.send(place, &running.asking)?;
    }
    load.go_on(&running.asking, span.warm_up)?;
    let usage = Usage::of(running.serving.id())?;
    let mut run = load.go_on(&running.asking, span.measured)?;
    run.cpu_secs = usage.cpu_secs_since(running.serving.id())?;
    Ok(run)
}

struct Load {
    pool: Pool,
    sent_at: Vec<Instant>,
    turns: usize,
}

impl Load {
    fn send(&mut self, place: usize, asking: &Asking<'_>) -> anyhow::Result<()> {
        let client = &asking.clients[self.turns % asking.clients.len()];
        self.turns += 1;
        let request = request(client, asking)?;
        self.sent_at[place] = Instant::now();
        self.pool.send(place, &request)
    }

    fn go_on(&mut self, asking: &Asking<'_>, duration: Duration) -> anyhow::Result<Run> {
        let began = Instant::now();
        let mut run = Run {
            tokens: 0,
            elapsed: Duration::ZERO,
            cpu_secs: 0.0,
            latencies: Latencies::default(),
            answer_bytes: 0,
        };
        let mut answered = Vec::new();
        while began.elapsed() < duration {
            self.pool.turn(LIMIT, |place, answer| {
                let has_token = answer.body.windows(TOKEN.len()).any(|part| part == TOKEN);
                let text = String::from_utf8_lossy(answer.body);
                ensure!(answer.status == 200, "status {}: {text}", answer.status);
                ensure!(has_token, "no token: {text}");
                run.answer_bytes = answer.bytes;
                answered.push(place);
                Ok(())
            })?;
            for place in answered.drain(..) {
                run.tokens += 1;
                run.latencies.add(self.sent_at[place].elapsed());
                self.send(place, asking)?;
            }
        }
        run.elapsed = began.elapsed();
        Ok(run)
    }
}

/// The next request of a client. An assertion is made anew each time: none is taken twice.
fn request(client: &Registered, asking: &Asking<'_>) -> anyhow::Result<Vec<u8>> {
    match &client.authentication {
        Authentication::Basic(header) => Ok(https::post(asking.path, Some(header), asking.form)),
        Authentication::Signer(signer) => {
            let now = UnixTime(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs());
            let assertion =
                client_assertion::make(&client.client_id, &asking.audience, signer, now)?;
            let introduction = form::encode([
                ("client_assertion_type", ASSERTION_TYPE),
                ("client_assertion", &*assertion),
            ]);
            let form = format!("{}&{introduction}", asking.form);
            Ok(https::post(asking.path, None, &form))
        }
    }
}
