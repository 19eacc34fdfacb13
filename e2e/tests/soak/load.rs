//! Publishers and subscribers at full load: each sends as fast as the broker takes it.

use crate::client::{Broker, Client, LIMIT, Session, encode, publish};
use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
    time::Duration,
};
use symbolon_mqtt_proto::{
    Ack, Delivery, Packet, PacketIdentifier, Qos, ReasonCode, delivery::Outgoing,
};
use tokio::{
    task::{JoinSet, yield_now},
    time::{sleep, timeout},
};

/// Publishers and subscribers at each QoS.
const PAIRS: usize = 4;
/// Messages that a publisher has in flight at QoS 1 and 2.
const WINDOW: u16 = 100;
/// Messages that a publisher writes at once at QoS 0.
const BURST: usize = 100;
const PAYLOAD: [u8; 100] = [b'x'; 100];
const RETAINED_TOPICS: usize = 2_000;
const RETAINED_PAYLOAD: [u8; 1_024] = [b'r'; 1_024];
/// Members of the one group.
const MEMBERS: usize = 4;
/// Clients whose sessions outlive their connections, which come and go.
const TRAVELLERS: usize = 20;
/// How long a traveller stays, and is away.
const VISIT: Duration = Duration::from_millis(300);

/// What is shared by all who take part.
#[derive(Clone)]
pub(crate) struct Load {
    broker: Broker,
    /// Publishers end.
    stop: Rc<Cell<bool>>,
    /// Messages acknowledged to publishers above QoS 0, and delivered, at each QoS.
    pub(crate) counts: Rc<Counts>,
    parts: Rc<RefCell<JoinSet<io::Result<()>>>>,
}

/// What was counted.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) published: [Cell<u64>; 3],
    pub(crate) delivered: [Cell<u64>; 3],
    pub(crate) visits: Cell<u64>,
}

fn count(cell: &Cell<u64>) {
    cell.set(cell.get() + 1);
}

fn delivery(qos: Qos, identifier: PacketIdentifier) -> Delivery {
    match qos {
        Qos::AtMostOnce => Delivery::AtMostOnce,
        Qos::AtLeastOnce => Delivery::AtLeastOnce(identifier),
        Qos::ExactlyOnce => Delivery::ExactlyOnce(identifier),
    }
}

impl Load {
    /// Nobody yet.
    pub(crate) fn new(broker: Broker) -> Self {
        Self {
            broker,
            stop: Rc::default(),
            counts: Rc::default(),
            parts: Rc::default(),
        }
    }

    /// Starts everyone; subscribers first.
    pub(crate) async fn start(&self) {
        for pair in 0..PAIRS {
            for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
                let topic = format!("load/{}/{pair}", qos as u8);
                let name = format!("subscriber-{}-{pair}", qos as u8);
                self.start_subscriber(&name, &topic).await;
                self.publisher(topic, qos);
            }
        }
        for member in 0..MEMBERS {
            self.start_subscriber(&format!("member-{member}"), "$share/group/shared/#")
                .await;
        }
        self.publisher("shared/1".into(), Qos::AtLeastOnce);
        self.publisher("shared/2".into(), Qos::ExactlyOnce);
        for traveller in 0..TRAVELLERS {
            let load = self.clone();
            self.part(async move { load.travel(traveller).await });
        }
        self.publisher("travel/1".into(), Qos::AtLeastOnce);
        self.publisher("travel/2".into(), Qos::ExactlyOnce);
        let load = self.clone();
        self.part(async move { load.retain().await });
    }

    /// Ends everyone, and waits for that.
    pub(crate) async fn stop(&self) {
        self.stop.set(true);
        let mut parts = self.parts.take();
        let ended = async {
            while let Some(part) = parts.join_next().await {
                part.expect("it did not panic").expect("the broker stays");
            }
        };
        timeout(LIMIT, ended).await.expect("all end in time");
    }

    fn part(&self, part: impl Future<Output = io::Result<()>> + 'static) {
        self.parts.borrow_mut().spawn_local(part);
    }

    fn publisher(&self, topic: String, qos: Qos) {
        let load = self.clone();
        self.part(async move {
            let name = format!("publisher {topic}");
            let client = load.broker.connect(&name, Session::Brief).await?;
            match qos {
                Qos::AtMostOnce => load.flood(client, &topic).await,
                Qos::AtLeastOnce | Qos::ExactlyOnce => {
                    let message = |_| (topic.clone(), false, PAYLOAD.as_slice());
                    load.publish(client, qos, message).await
                }
            }
        });
    }

    /// Publishes at QoS 0 until the end.
    async fn flood(&self, mut client: Client, topic: &str) -> io::Result<()> {
        let mut burst = Vec::new();
        for _ in 0..BURST {
            encode(
                &publish(topic, Delivery::AtMostOnce, false, &PAYLOAD),
                &mut burst,
            );
        }
        while !self.stop.get() {
            client.write(&burst).await?;
            let published = &self.counts.published[0];
            published.set(published.get() + BURST as u64);
            yield_now().await;
        }
        client.leave(true).await
    }

    /// Publishes what `message` says, in turn, until the end and until all is acknowledged.
    async fn publish<'m>(
        &self,
        mut client: Client,
        qos: Qos,
        mut message: impl FnMut(usize) -> (String, bool, &'m [u8]),
    ) -> io::Result<()> {
        let mut outgoing = Outgoing::new(WINDOW);
        let mut number = 0;
        loop {
            let mut burst = Vec::new();
            while outgoing.has_room() && !self.stop.get() {
                let identifier = outgoing.handle_send(qos, ()).expect("there is room");
                let (topic, retain, payload) = message(number);
                let packet = publish(&topic, delivery(qos, identifier), retain, payload);
                encode(&packet, &mut burst);
                number += 1;
            }
            client.write(&burst).await?;
            if outgoing.is_empty() {
                return client.leave(true).await;
            }
            let turn = client.turn(|packet, answers| {
                if let Packet::PubRec(ack) = packet {
                    outgoing.handle_pubrec(ack.packet_identifier).unwrap();
                    let release = Ack::new(ack.packet_identifier, ReasonCode::Success);
                    encode(&Packet::PubRel(release), answers);
                    return;
                }
                if let Packet::PubAck(ack) = packet {
                    outgoing.handle_puback(ack.packet_identifier).unwrap();
                } else if let Packet::PubComp(ack) = packet {
                    outgoing.handle_pubcomp(ack.packet_identifier).unwrap();
                } else {
                    panic!("an acknowledgement expected, {packet:?} came");
                }
                count(&self.counts.published[qos as usize]);
            });
            timeout(LIMIT, turn).await??;
        }
    }

    /// Sets retained messages, one topic after the other, and deletes them all at the end.
    async fn retain(&self) -> io::Result<()> {
        let client = self.broker.connect("retainer", Session::Brief).await?;
        let topic = |number| format!("retained/{}", number % RETAINED_TOPICS);
        let set = |number| (topic(number), true, RETAINED_PAYLOAD.as_slice());
        self.publish(client, Qos::AtLeastOnce, set).await?;
        let ends = Self {
            stop: Rc::default(),
            ..self.clone()
        };
        let client = self.broker.connect("retainer", Session::Brief).await?;
        let delete = |number| {
            if number + 1 >= RETAINED_TOPICS {
                ends.stop.set(true);
            }
            (topic(number), true, [].as_slice())
        };
        ends.publish(client, Qos::AtLeastOnce, delete).await
    }

    async fn start_subscriber(&self, name: &str, filter: &str) {
        let load = self.clone();
        let client = load.broker.connect(name, Session::Brief).await;
        let mut client = client.expect("the broker lets it in");
        let subscribed = client.subscribe(filter, |packet, answers| load.take(packet, answers));
        subscribed.await.expect("the broker stays");
        self.part(async move {
            // Until the publishers are done and nothing comes any more.
            loop {
                let turn = client.turn(|packet, answers| load.take(packet, answers));
                match timeout(VISIT, turn).await {
                    Ok(outcome) => outcome?,
                    Err(_) if load.stop.get() => return client.leave(true).await,
                    Err(_) => {}
                }
            }
        });
    }

    /// Takes and acknowledges what comes.
    fn take(&self, packet: &Packet<'_>, answers: &mut Vec<u8>) {
        let answer = if let Packet::Publish(publish) = packet {
            let qos = publish.delivery.qos();
            count(&self.counts.delivered[qos as usize]);
            match publish.delivery {
                Delivery::AtMostOnce => return,
                Delivery::AtLeastOnce(identifier) => {
                    Packet::PubAck(Ack::new(identifier, ReasonCode::Success))
                }
                Delivery::ExactlyOnce(identifier) => {
                    Packet::PubRec(Ack::new(identifier, ReasonCode::Success))
                }
            }
        } else if let Packet::PubRel(ack) = packet {
            Packet::PubComp(Ack::new(ack.packet_identifier, ReasonCode::Success))
        } else {
            assert!(
                matches!(packet, Packet::SubAck(_)),
                "unexpected: {packet:?}"
            );
            return;
        };
        encode(&answer, answers);
    }

    /// Comes, takes what has waited and what there is, and goes again; every other time without a word.
    async fn travel(&self, number: usize) -> io::Result<()> {
        let name = format!("traveller-{number}");
        let mut rounds = 0;
        while !self.stop.get() {
            let mut client = self.broker.connect(&name, Session::Kept).await?;
            let take = |packet: &Packet<'_>, answers: &mut Vec<u8>| self.take(packet, answers);
            if rounds == 0 {
                client.subscribe("travel/#", take).await?;
                client.subscribe("retained/#", take).await?;
            }
            let visit = async {
                loop {
                    client
                        .turn(|packet, answers| self.take(packet, answers))
                        .await?;
                }
            };
            if let Ok(outcome) = timeout(VISIT, visit).await {
                let lost: io::Result<()> = outcome;
                return lost;
            }
            count(&self.counts.visits);
            if rounds % 2 == 0 {
                client.leave(false).await?;
            }
            rounds += 1;
            sleep(VISIT).await;
        }
        // The session ends, and with it what waits in it.
        let client = self.broker.connect(&name, Session::Kept).await?;
        client.leave(true).await
    }
}
