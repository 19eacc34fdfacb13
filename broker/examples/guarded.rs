//! The broker that `symbolon-bench guard` counts the instructions of: one shard, TCP on loopback, everything public, nothing stored. Says on its
//! standard output where it listens, and ends with its standard input.

use std::{
    io::{Read as _, Write as _, stdin, stdout},
    net::{Ipv4Addr, SocketAddr},
    process::ExitCode,
    time::Duration,
};
use symbolon_broker::{Broker, Config, Limits, ListenerConfig, Transport};
use symbolon_mqtt_proto::TopicFilter;

/// How long its clients may take to leave. Under callgrind everything takes fifty times as long.
const GOODBYE_LIMIT: Duration = Duration::from_mins(1);

fn config() -> Config {
    Config {
        listeners: vec![ListenerConfig {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            transport: Transport::Tcp { insecure: false },
        }],
        shards: 1,
        authorization: None,
        public_topics: vec![TopicFilter::parse("#").expect("`#` is a Topic Filter")],
        response_information: None,
        private_topics: Vec::new(),
        hide_topics: false,
        limits: Limits::default(),
        management: None,
        sys_interval_secs: 0,
        store: None,
    }
}

fn main() -> ExitCode {
    let broker = match Broker::start(&config()) {
        Ok(broker) => broker,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    for address in broker.local_addrs() {
        println!("{address}");
    }
    let told = stdout().flush();
    let ended = stdin().read_to_end(&mut Vec::new());
    if broker.shutdown(GOODBYE_LIMIT) && told.is_ok() && ended.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
