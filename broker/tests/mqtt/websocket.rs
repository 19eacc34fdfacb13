//! MQTT over WebSocket, on as many shards as it takes for connections to move while frames are half read.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};
use symbolon_broker::{Broker, Config, Limits, ListenerConfig, Transport};
use symbolon_mqtt_proto::TopicFilter;

const LIMIT: Duration = Duration::from_secs(10);
const BINARY: u8 = 0x82;
const REQUEST: &str = "GET /mqtt HTTP/1.1\r\nHost: broker\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Protocol: mqtt\r\n\r\n";

fn start(limits: Limits) -> (Broker, SocketAddr) {
    let config = Config {
        listeners: vec![ListenerConfig {
            address: "127.0.0.1:0".parse().unwrap(),
            transport: Transport::WebSocketTcp {
                insecure: false,
                origins: Vec::new(),
            },
        }],
        shards: 4,
        authorization: None,
        public_topics: vec![TopicFilter::parse("#").unwrap()],
        response_information: None,
        private_topics: Vec::new(),
        hide_topics: false,
        limits,
        management: None,
        sys_interval_secs: Config::SYS_INTERVAL_SECS,
        store: None,
    };
    let broker = Broker::start(&config).unwrap();
    let address = broker.local_addrs()[0];
    (broker, address)
}

fn dial(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn open(address: SocketAddr) -> TcpStream {
    let mut stream = dial(address);
    stream.write_all(REQUEST.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "));
    stream
}

/// A frame under the mask of zeroes, which changes nothing.
fn frame(payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    assert!(length < 126);
    [&[BINARY, 0x80 | length, 0, 0, 0, 0], payload].concat()
}

/// The payload of frames until there is this much of it, bytes.
fn hear(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut heard = Vec::new();
    while heard.len() < count {
        let mut first = [0; 2];
        stream.read_exact(&mut first).unwrap();
        assert_eq!(first[0], BINARY);
        let mut payload = vec![0; usize::from(first[1])];
        stream.read_exact(&mut payload).unwrap();
        heard.extend(payload);
    }
    heard
}

fn connect(name: u8) -> Vec<u8> {
    let mut packet = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01".to_vec();
    packet.push(name);
    packet
}

// [MQTT-6.0.0-2]
#[test]
fn a_frame_with_the_connect_and_half_of_the_next_packet_moves_to_the_clients_shard() {
    const CONNACK: [u8; 4] = [0x20, 2, 0, 0];
    const SUBSCRIBE: &[u8] = b"\x82\x06\x00\x07\x00\x01t\x00";
    const SUBACK: [u8; 5] = [0x90, 3, 0, 7, 0];
    let (broker, address) = start(Limits::default());
    // Their homes differ.
    for name in b'a'..=b'p' {
        let mut client = open(address);
        let (first, rest) = SUBSCRIBE.split_at(3);
        let mut bytes = frame(&[&connect(name), first].concat());
        let tail = frame(rest);
        bytes.extend(&tail[..4]);
        client.write_all(&bytes).unwrap();
        assert_eq!(hear(&mut client, 4), CONNACK);
        client.write_all(&tail[4..]).unwrap();
        assert_eq!(hear(&mut client, 5), SUBACK);
    }
    drop(broker);
}

#[test]
fn a_slow_request_is_cut() {
    let (broker, address) = start(Limits {
        handshake_timeout: Duration::from_millis(100),
        ..Limits::default()
    });
    let mut client = dial(address);
    client.write_all(&REQUEST.as_bytes()[..20]).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    drop(broker);
}
