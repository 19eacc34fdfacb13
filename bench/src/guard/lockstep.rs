//! One publisher and one subscriber: so many messages in one write, and the next when all have come and the broker waits for
//! them.

use super::callgrind::Counted;
use crate::{
    load::{
        admission::Hello,
        packets::{self, Stamp, Template},
    },
    wire::split,
};
use anyhow::ensure;
use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};
use symbolon_mqtt_proto::Qos;

const TOPIC: &str = "bench/guarded";
/// How long an answer may take: callgrind is slow.
const LIMIT: Duration = Duration::from_mins(1);
/// One read, bytes.
const READ_BYTES: usize = 16 * 1024;

/// A client whose socket blocks.
struct Client {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Client {
    /// Connects and is let in.
    fn admitted(address: SocketAddr, client_identifier: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LIMIT))?;
        let mut client = Self {
            stream,
            unread: Vec::new(),
        };
        let connect = Hello::brief(client_identifier.into()).connect(None, None)?;
        client.stream.write_all(&connect)?;
        client.expect(packets::CONNACK)?;
        Ok(client)
    }

    /// The body of the next packet, which is of this type.
    fn expect(&mut self, kind: u8) -> anyhow::Result<Vec<u8>> {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            if let Some(frame) = split(&self.unread)? {
                let (first, body, size) = (frame.first, frame.body.to_vec(), frame.bytes.len());
                ensure!(first >> 4 == kind, "a packet of type {}", first >> 4);
                self.unread.drain(..size);
                return Ok(body);
            }
            let count = self.stream.read(&mut buffer)?;
            ensure!(count > 0, "the broker has closed the connection");
            self.unread.extend_from_slice(&buffer[..count]);
        }
    }
}

/// Carries `turns` times `window` messages.
pub(super) fn run(broker: &Counted, window: u64, turns: u64) -> anyhow::Result<()> {
    let address = broker.address();
    let mut subscriber = Client::admitted(address, "subscriber")?;
    let subscribe = packets::subscribe(TOPIC, Qos::AtMostOnce)?;
    subscriber.stream.write_all(&subscribe)?;
    subscriber.expect(packets::SUBACK)?;
    let mut publisher = Client::admitted(address, "publisher")?;
    let mut template = Template::new(TOPIC, Qos::AtMostOnce)?;
    let (mut bytes, shard) = (Vec::new(), broker.shard()?);
    for turn in 0..turns {
        bytes.clear();
        let sequences = turn * window..(turn + 1) * window;
        for sequence in sequences.clone() {
            let stamp = Stamp {
                publisher: 0,
                sequence,
                due_ns: 0,
            };
            template.append(stamp, &mut bytes);
        }
        shard.wait_until_idle()?;
        publisher.stream.write_all(&bytes)?;
        for sequence in sequences {
            let body = subscriber.expect(packets::PUBLISH)?;
            let came = Stamp::read(&body).map(|stamp| stamp.sequence);
            ensure!(came == Some(sequence), "lost, doubled or out of order");
        }
    }
    Ok(())
}
