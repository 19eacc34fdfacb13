//! From numbers to the values of `$SYS`, with Mosquitto's names and forms where the meaning is the same. `docs/metrics.md` lists them.

use super::system::SystemValue;
use std::{collections::BTreeMap, time::Duration};

/// What was counted up to one moment, over all shards.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) uptime_secs: u64,
    pub(crate) clients: u64,
    /// Connected or away.
    pub(crate) sessions: u64,
    pub(crate) session_expiries: u64,
    pub(crate) packets_received: u64,
    pub(crate) packets_sent: u64,
    pub(crate) publishes_received: u64,
    pub(crate) publishes_sent: u64,
    pub(crate) publishes_dropped: u64,
    pub(crate) payload_received: u64,
    pub(crate) payload_sent: u64,
    pub(crate) bytes_received: u64,
    pub(crate) bytes_sent: u64,
    /// With the shared ones.
    pub(crate) subscriptions: u64,
    pub(crate) shared_subscriptions: u64,
    pub(crate) retained_messages: u64,
}

/// What all topics begin with.
const PREFIX: &str = "$SYS/broker/";
/// The averages, over so many minutes.
const MINUTES: [(f64, &str); 3] = [(1.0, "1min"), (5.0, "5min"), (15.0, "15min")];

/// The values as they were made last.
#[derive(Debug, Default)]
pub(crate) struct Board {
    shown: BTreeMap<String, String>,
    most_clients: u64,
    loads: BTreeMap<&'static str, Load>,
}

/// A number for each minute, as moving averages.
#[derive(Debug, Default)]
struct Load {
    total: u64,
    averages: [f64; MINUTES.len()],
}

impl Board {
    /// So many clients are connected now.
    pub(crate) fn note_clients(&mut self, clients: u64) {
        self.most_clients = self.most_clients.max(clients);
    }

    /// What is new or has changed; `elapsed` since the call before.
    pub(crate) fn update(&mut self, figures: &Figures, elapsed: Duration) -> Vec<SystemValue> {
        self.note_clients(figures.clients);
        let mut values = self.numbers(figures);
        for (name, total) in loads(figures) {
            let load = self.loads.entry(name).or_default();
            load.update(total, elapsed);
            for ((_, minutes), average) in MINUTES.iter().zip(load.averages) {
                values.push((format!("load/{name}/{minutes}"), format!("{average:.2}")));
            }
        }
        let mut changed = Vec::new();
        for (name, payload) in values {
            let topic = format!("{PREFIX}{name}");
            if self.shown.get(&topic) != Some(&payload) {
                self.shown.insert(topic.clone(), payload.clone());
                changed.push(SystemValue { topic, payload });
            }
        }
        changed
    }

    /// Takes all values away.
    pub(crate) fn clear(&mut self) -> Vec<SystemValue> {
        let shown = std::mem::take(&mut self.shown).into_keys();
        let payload = String::new;
        shown
            .map(|topic| SystemValue {
                topic,
                payload: payload(),
            })
            .collect()
    }

    fn numbers(&self, figures: &Figures) -> Vec<(String, String)> {
        let numbers = [
            ("clients/total", figures.sessions),
            ("clients/connected", figures.clients),
            (
                "clients/disconnected",
                figures.sessions.saturating_sub(figures.clients),
            ),
            ("clients/maximum", self.most_clients),
            ("clients/expired", figures.session_expiries),
            ("messages/received", figures.packets_received),
            ("messages/sent", figures.packets_sent),
            ("publish/messages/received", figures.publishes_received),
            ("publish/messages/sent", figures.publishes_sent),
            ("publish/messages/dropped", figures.publishes_dropped),
            ("publish/bytes/received", figures.payload_received),
            ("publish/bytes/sent", figures.payload_sent),
            ("bytes/received", figures.bytes_received),
            ("bytes/sent", figures.bytes_sent),
            (
                "subscriptions/count",
                (figures.subscriptions).saturating_sub(figures.shared_subscriptions),
            ),
            ("shared_subscriptions/count", figures.shared_subscriptions),
            ("retained messages/count", figures.retained_messages),
        ];
        let version = concat!("symbolon version ", env!("CARGO_PKG_VERSION"));
        let uptime = format!("{} seconds", figures.uptime_secs);
        let texts = [
            ("version".into(), version.into()),
            ("uptime".into(), uptime),
        ];
        let numbers = numbers.map(|(name, number)| (name.into(), number.to_string()));
        texts.into_iter().chain(numbers).collect()
    }
}

fn loads(figures: &Figures) -> [(&'static str, u64); 7] {
    [
        ("messages/received", figures.packets_received),
        ("messages/sent", figures.packets_sent),
        ("publish/received", figures.publishes_received),
        ("publish/sent", figures.publishes_sent),
        ("publish/dropped", figures.publishes_dropped),
        ("bytes/received", figures.bytes_received),
        ("bytes/sent", figures.bytes_sent),
    ]
}

impl Load {
    /// Each average moves towards the number for each minute of this interval, the more the longer the interval is beside it.
    fn update(&mut self, total: u64, elapsed: Duration) {
        let elapsed_minutes = elapsed.as_secs_f64() / 60.0;
        if elapsed_minutes <= 0.0 {
            return;
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "two decimals are shown, of 53 bits"
        )]
        let more = total.saturating_sub(self.total) as f64;
        self.total = total;
        let rate = more / elapsed_minutes;
        for ((minutes, _), average) in MINUTES.iter().zip(&mut self.averages) {
            let stays = (-elapsed_minutes / minutes).exp();
            *average = rate + stays * (*average - rate);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn value<'v>(values: &'v [SystemValue], name: &str) -> Option<&'v str> {
        let topic = format!("{PREFIX}{name}");
        let found = values.iter().find(|value| value.topic == topic);
        found.map(|value| value.payload.as_str())
    }

    #[test]
    fn only_what_changed_is_published_again() {
        let mut board = Board::default();
        let mut figures = Figures::default();
        let first = board.update(&figures, Duration::ZERO);
        assert_eq!(value(&first, "uptime"), Some("0 seconds"));
        assert_eq!(value(&first, "load/bytes/sent/15min"), Some("0.00"));
        assert_eq!(first.len(), 2 + 17 + 7 * 3);
        figures.uptime_secs = 1;
        let second = board.update(&figures, SECOND);
        assert_eq!(second.len(), 1);
        assert_eq!(value(&second, "uptime"), Some("1 seconds"));
        // What is taken away is published anew when it comes back.
        assert_eq!(board.clear().len(), first.len());
        assert_eq!(board.update(&figures, SECOND).len(), first.len());
    }

    #[test]
    fn the_most_clients_stay_when_they_leave() {
        let mut board = Board::default();
        board.note_clients(7);
        let figures = Figures {
            clients: 2,
            sessions: 5,
            ..Figures::default()
        };
        let values = board.update(&figures, SECOND);
        assert_eq!(value(&values, "clients/maximum"), Some("7"));
        assert_eq!(value(&values, "clients/connected"), Some("2"));
        assert_eq!(value(&values, "clients/disconnected"), Some("3"));
        assert_eq!(value(&values, "clients/total"), Some("5"));
    }

    #[test]
    fn an_average_comes_close_to_a_steady_rate_sooner_the_shorter_it_is() {
        let mut load = Load::default();
        for second in 1..=60 {
            load.update(second * 10, SECOND);
        }
        let [one, five, fifteen] = load.averages;
        // 600 a minute: after one minute 1 - 1/e of it.
        assert!((one - 600.0 * 0.632).abs() < 1.0, "{one}");
        assert!((five - 600.0 * 0.181).abs() < 1.0, "{five}");
        assert!((fifteen - 600.0 * 0.0645).abs() < 1.0, "{fifteen}");
        let mut in_one = Load::default();
        in_one.update(600, Duration::from_mins(1));
        assert!((in_one.averages[0] - one).abs() < 1e-6);
    }
}
