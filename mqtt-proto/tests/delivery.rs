//! Delivery states at QoS 1 and 2 (§4.3, §4.4, §4.6, §4.9), against a plain model.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use std::collections::HashSet;
use symbolon_mqtt_proto::delivery::{InUse, Incoming, NotFound, Outgoing, OutgoingState};
use symbolon_mqtt_proto::{PacketIdentifier, Qos};

fn id(value: u16) -> PacketIdentifier {
    PacketIdentifier::new(value).unwrap()
}

/// All in flight: identifier, state, message.
fn in_flight(outgoing: &Outgoing<u32>) -> Vec<(u16, OutgoingState, Option<u32>)> {
    outgoing
        .iter()
        .map(|(identifier, state, message)| (identifier.get(), state, message.copied()))
        .collect()
}

#[test]
fn qos_1_ends_with_puback() {
    // [MQTT-4.3.2-1] to [MQTT-4.3.2-3]
    let mut outgoing = Outgoing::new(10);
    let identifier = outgoing.handle_send(Qos::AtLeastOnce, 'm').unwrap();
    assert_eq!(identifier, id(1));
    assert_eq!(outgoing.len(), 1);
    assert_eq!(outgoing.handle_pubrec(identifier), Err(NotFound));
    assert_eq!(outgoing.handle_pubrec_failure(identifier), Err(NotFound));
    assert_eq!(outgoing.handle_pubcomp(identifier), Err(NotFound));
    assert_eq!(outgoing.handle_answer(identifier), Err(NotFound));
    assert_eq!(outgoing.handle_puback(identifier), Ok('m'));
    assert_eq!(outgoing.handle_puback(identifier), Err(NotFound));
    assert!(outgoing.is_empty());
}

#[test]
fn qos_2_gives_up_the_message_at_pubrec_and_ends_with_pubcomp() {
    // [MQTT-4.3.3-1] to [MQTT-4.3.3-7]
    let mut outgoing = Outgoing::new(10);
    let identifier = outgoing.handle_send(Qos::ExactlyOnce, 'm').unwrap();
    assert_eq!(outgoing.handle_puback(identifier), Err(NotFound));
    assert_eq!(outgoing.handle_pubcomp(identifier), Err(NotFound));
    assert_eq!(outgoing.handle_pubrec(identifier), Ok(Some('m')));
    let states: Vec<_> = outgoing.iter().map(|(_, state, _)| state).collect();
    assert_eq!(states, [OutgoingState::AwaitPubComp]);
    // Repeated: PUBREL is due again.
    assert_eq!(outgoing.handle_pubrec(identifier), Ok(None));
    assert_eq!(outgoing.handle_pubrec_failure(identifier), Err(NotFound));
    assert_eq!(outgoing.handle_puback(identifier), Err(NotFound));
    assert_eq!(outgoing.len(), 1);
    assert_eq!(outgoing.handle_pubcomp(identifier), Ok(()));
    assert_eq!(outgoing.handle_pubcomp(identifier), Err(NotFound));
    assert_eq!(outgoing.handle_pubrec(identifier), Err(NotFound));
    assert!(outgoing.is_empty());
}

#[test]
fn a_failed_pubrec_ends_qos_2() {
    // §4.3.3, Figure 4.3; §4.9
    let mut outgoing = Outgoing::new(1);
    let identifier = outgoing.handle_send(Qos::ExactlyOnce, 'm').unwrap();
    assert!(!outgoing.has_room());
    assert_eq!(outgoing.handle_pubrec_failure(identifier), Ok('m'));
    assert!(outgoing.has_room());
}

#[test]
fn qos_0_is_never_in_flight() {
    // §4.3.1
    let mut outgoing = Outgoing::new(1);
    assert_eq!(outgoing.handle_send(Qos::AtMostOnce, 'm'), Err('m'));
    assert!(outgoing.is_empty());
    assert_eq!(
        outgoing.restore_message(id(1), Qos::AtMostOnce, 'm'),
        Ok(())
    );
    assert!(outgoing.is_empty());
}

#[test]
fn no_more_than_the_receive_maximum_is_in_flight() {
    // [MQTT-3.3.4-7], [MQTT-3.3.4-9]
    let mut outgoing = Outgoing::new(2);
    let first = outgoing.handle_send(Qos::AtLeastOnce, 1).unwrap();
    let second = outgoing.handle_send(Qos::ExactlyOnce, 2).unwrap();
    assert_eq!(outgoing.handle_send(Qos::AtLeastOnce, 3), Err(3));
    // PUBREC alone makes no room (§4.9).
    assert!(outgoing.handle_pubrec(second).is_ok());
    assert!(!outgoing.has_room());
    assert!(outgoing.handle_puback(first).is_ok());
    assert!(outgoing.has_room());
    outgoing.set_receive_maximum(1);
    assert!(!outgoing.has_room());
}

#[test]
fn identifiers_go_round_from_65535_to_1() {
    // §2.2.1
    let mut outgoing = Outgoing::new(3);
    for turn in 0..200_000_u32 {
        let identifier = outgoing.handle_send(Qos::AtLeastOnce, turn).unwrap();
        assert_eq!(u32::from(identifier.get()), turn % 65_535 + 1);
        assert_eq!(outgoing.handle_puback(identifier), Ok(turn));
    }
}

#[test]
fn all_65535_identifiers_are_in_flight_at_once() {
    let mut outgoing = Outgoing::new(u16::MAX);
    for turn in 0..70_000_u32 {
        // Not from 1 on: the window wraps.
        if turn < 4_465 {
            let identifier = outgoing.handle_send(Qos::AtLeastOnce, turn).unwrap();
            assert_eq!(outgoing.handle_puback(identifier), Ok(turn));
        } else {
            assert!(outgoing.handle_send(Qos::AtLeastOnce, turn).is_ok());
        }
    }
    assert_eq!(outgoing.len(), 65_535);
    assert_eq!(outgoing.handle_send(Qos::AtLeastOnce, 0), Err(0));
    assert_eq!(outgoing.handle_request(), None);
    let unique: HashSet<_> = outgoing.iter().map(|(identifier, ..)| identifier).collect();
    assert_eq!(unique.len(), 65_535);
    // Out of order, from the middle.
    for (turn, (identifier, ..)) in in_flight(&outgoing).into_iter().enumerate() {
        if turn % 2 == 1 {
            assert!(outgoing.handle_puback(id(identifier)).is_ok());
        }
    }
    assert_eq!(outgoing.len(), 32_768);
    for (identifier, ..) in in_flight(&outgoing).into_iter().rev() {
        assert!(outgoing.handle_puback(id(identifier)).is_ok());
    }
    assert!(outgoing.is_empty() && outgoing.has_room());
}

#[test]
fn a_message_that_is_never_acknowledged_stops_the_turn_before_its_identifier_comes_again() {
    // [MQTT-2.2.1-3]
    let mut outgoing = Outgoing::new(10);
    let stuck = outgoing.handle_send(Qos::ExactlyOnce, 0).unwrap();
    let mut sent = 0;
    while outgoing.has_room() {
        sent += 1;
        let identifier = outgoing.handle_send(Qos::AtLeastOnce, sent).unwrap();
        assert_ne!(identifier, stuck);
        assert_eq!(outgoing.handle_puback(identifier), Ok(sent));
    }
    assert_eq!(sent, 65_534);
    assert_eq!(outgoing.handle_pubrec(stuck), Ok(Some(0)));
    assert!(!outgoing.has_room());
    assert_eq!(outgoing.handle_pubcomp(stuck), Ok(()));
    assert_eq!(outgoing.handle_send(Qos::AtLeastOnce, 7), Ok(id(1)));
}

#[test]
fn requests_share_the_identifiers_and_not_the_receive_maximum() {
    // [MQTT-2.2.1-3], §4.9
    let mut outgoing = Outgoing::new(1);
    let request = outgoing.handle_request().unwrap();
    let message = outgoing.handle_send(Qos::AtLeastOnce, 'm').unwrap();
    assert_ne!(request, message);
    assert_eq!(outgoing.len(), 1);
    assert_eq!(outgoing.handle_puback(request), Err(NotFound));
    assert_eq!(outgoing.handle_pubrec(request), Err(NotFound));
    assert_eq!(outgoing.handle_answer(message), Err(NotFound));
    assert_eq!(outgoing.handle_answer(request), Ok(()));
    assert_eq!(outgoing.handle_answer(request), Err(NotFound));
    assert_eq!(outgoing.iter().count(), 1);
}

#[test]
fn a_resumed_session_sends_all_again_in_order_within_the_new_receive_maximum() {
    // [MQTT-4.4.0-1], [MQTT-4.6.0-1], §4.9
    let mut outgoing = Outgoing::new(10);
    for message in 0..5_u32 {
        let qos = if message == 1 {
            Qos::ExactlyOnce
        } else {
            Qos::AtLeastOnce
        };
        outgoing.handle_send(qos, message).unwrap();
    }
    outgoing.handle_pubrec(id(2)).unwrap();
    outgoing.handle_puback(id(3)).unwrap();
    let lost = outgoing.handle_request().unwrap();

    outgoing.handle_reconnect(2);
    assert_eq!(outgoing.handle_answer(lost), Err(NotFound));
    let first = (id(1), OutgoingState::AwaitPubAck, Some(&0));
    assert_eq!(outgoing.poll_resend(), Some(first));
    let second = (id(2), OutgoingState::AwaitPubComp, None);
    assert_eq!(outgoing.poll_resend(), Some(second));
    assert_eq!(outgoing.poll_resend(), None);
    // A request may go out meanwhile, a new message may not overtake.
    let request = outgoing.handle_request().unwrap();
    assert_eq!(outgoing.handle_pubcomp(id(2)), Ok(()));
    assert!(!outgoing.has_room());
    let third = (id(4), OutgoingState::AwaitPubAck, Some(&3));
    assert_eq!(outgoing.poll_resend(), Some(third));
    assert_eq!(outgoing.poll_resend(), None);
    assert_eq!(outgoing.handle_puback(id(1)), Ok(0));
    // Acknowledged before it was sent again: it is done all the same.
    assert_eq!(outgoing.handle_puback(id(5)), Ok(4));
    assert_eq!(outgoing.poll_resend(), None);
    assert!(outgoing.has_room());
    assert_eq!(outgoing.handle_answer(request), Ok(()));
    assert_eq!(outgoing.handle_send(Qos::AtLeastOnce, 9), Ok(id(8)));
    assert!(!outgoing.has_room());
}

#[test]
fn a_stored_session_is_restored() {
    // §4.1
    let mut outgoing = Outgoing::new(10);
    outgoing
        .restore_message(id(65_534), Qos::AtLeastOnce, 1)
        .unwrap();
    outgoing.restore_release(id(65_535)).unwrap();
    outgoing
        .restore_message(id(2), Qos::ExactlyOnce, 2)
        .unwrap();
    // In use, and behind what was restored last.
    assert_eq!(outgoing.restore_release(id(65_534)), Err(InUse));
    assert_eq!(outgoing.restore_release(id(65_535)), Err(InUse));
    assert_eq!(
        outgoing.restore_message(id(2), Qos::AtLeastOnce, 9),
        Err(InUse)
    );
    let expected = [
        (65_534, OutgoingState::AwaitPubAck, Some(1)),
        (65_535, OutgoingState::AwaitPubComp, None),
        (2, OutgoingState::AwaitPubRec, Some(2)),
    ];
    assert_eq!(in_flight(&outgoing), expected);
    outgoing.handle_reconnect(10);
    let mut again = Vec::new();
    while let Some((identifier, ..)) = outgoing.poll_resend() {
        again.push(identifier.get());
    }
    assert_eq!(again, [65_534, 65_535, 2]);
    assert_eq!(outgoing.handle_send(Qos::AtLeastOnce, 3), Ok(id(3)));
    assert_eq!(outgoing.handle_puback(id(65_534)), Ok(1));
    assert_eq!(outgoing.handle_pubcomp(id(65_535)), Ok(()));
    assert_eq!(outgoing.handle_pubrec(id(2)), Ok(Some(2)));
}

#[test]
fn qos_2_is_passed_on_once() {
    // [MQTT-4.3.3-8] to [MQTT-4.3.3-13]
    let mut incoming = Incoming::default();
    assert!(incoming.handle_publish(id(7)));
    assert!(!incoming.handle_publish(id(7)));
    assert!(incoming.handle_publish(id(3)));
    assert_eq!(incoming.iter().collect::<Vec<_>>(), [id(3), id(7)]);
    assert!(incoming.handle_pubrel(id(7)));
    assert!(!incoming.handle_pubrel(id(7)));
    assert!(incoming.handle_publish(id(7)));
    assert_eq!(incoming.len(), 2);
    assert!(incoming.handle_pubrel(id(3)) && incoming.handle_pubrel(id(7)));
    assert!(incoming.is_empty());
}

/// What may happen to [`Outgoing`].
#[derive(Clone, Debug)]
enum Step {
    Send(Qos),
    Request,
    Answer(Index),
    PubAck(Index),
    PubRec(Index),
    PubRecFailure(Index),
    PubComp(Index),
    /// An identifier out of the blue.
    Stranger(PacketIdentifier),
    Reconnect(u16),
    Resend,
}

fn steps() -> impl Strategy<Value = Step> {
    let at = any::<Index>;
    prop_oneof![
        6 => prop_oneof![Just(Qos::AtLeastOnce), Just(Qos::ExactlyOnce)].prop_map(Step::Send),
        1 => Just(Step::Request),
        1 => at().prop_map(Step::Answer),
        3 => at().prop_map(Step::PubAck),
        3 => at().prop_map(Step::PubRec),
        1 => at().prop_map(Step::PubRecFailure),
        3 => at().prop_map(Step::PubComp),
        1 => any::<PacketIdentifier>().prop_map(Step::Stranger),
        1 => (1..8_u16).prop_map(Step::Reconnect),
        3 => Just(Step::Resend),
    ]
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Message(OutgoingState),
    Request,
}

/// The same by linear search.
#[derive(Default)]
struct Model {
    entries: Vec<(PacketIdentifier, Kind, u32, bool)>,
    receive_maximum: usize,
}

impl Model {
    fn messages(&self) -> usize {
        self.entries
            .iter()
            .filter(|entry| entry.1 != Kind::Request)
            .count()
    }

    fn due(&self) -> Option<usize> {
        self.entries
            .iter()
            .position(|entry| entry.1 != Kind::Request && !entry.3)
    }

    fn carried(&self) -> usize {
        self.entries
            .iter()
            .filter(|entry| entry.1 != Kind::Request && entry.3)
            .count()
    }

    fn has_room(&self) -> bool {
        self.due().is_none() && self.messages() < self.receive_maximum
    }

    fn pick(&self, at: Index) -> PacketIdentifier {
        if self.entries.is_empty() {
            return id(999);
        }
        at.get(&self.entries).0
    }

    /// Ends the entry if it is of this kind.
    fn finish(&mut self, identifier: PacketIdentifier, kind: Kind) -> Result<u32, NotFound> {
        let at = self
            .entries
            .iter()
            .position(|entry| entry.0 == identifier && entry.1 == kind)
            .ok_or(NotFound)?;
        Ok(self.entries.remove(at).2)
    }

    fn give_up(&mut self, identifier: PacketIdentifier) -> Result<Option<u32>, NotFound> {
        let entry = self
            .entries
            .iter_mut()
            .find(|entry| entry.0 == identifier)
            .ok_or(NotFound)?;
        match entry.1 {
            Kind::Message(OutgoingState::AwaitPubRec) => {
                entry.1 = Kind::Message(OutgoingState::AwaitPubComp);
                Ok(Some(entry.2))
            }
            Kind::Message(OutgoingState::AwaitPubComp) => Ok(None),
            Kind::Message(OutgoingState::AwaitPubAck) | Kind::Request => Err(NotFound),
        }
    }

    fn reconnect(&mut self, receive_maximum: u16) {
        self.receive_maximum = receive_maximum.into();
        self.entries.retain(|entry| entry.1 != Kind::Request);
        for entry in &mut self.entries {
            entry.3 = false;
        }
    }

    fn resend(&mut self) -> Option<(PacketIdentifier, OutgoingState)> {
        if self.carried() >= self.receive_maximum {
            return None;
        }
        let at = self.due()?;
        let entry = &mut self.entries[at];
        entry.3 = true;
        match entry.1 {
            Kind::Message(state) => Some((entry.0, state)),
            Kind::Request => None,
        }
    }

    fn send(&mut self, outgoing: &mut Outgoing<u32>, qos: Qos, message: u32) {
        let room = self.has_room();
        match outgoing.handle_send(qos, message) {
            Ok(identifier) => {
                assert!(room);
                assert!(self.entries.iter().all(|entry| entry.0 != identifier));
                let state = match qos {
                    Qos::ExactlyOnce => OutgoingState::AwaitPubRec,
                    Qos::AtMostOnce | Qos::AtLeastOnce => OutgoingState::AwaitPubAck,
                };
                self.entries
                    .push((identifier, Kind::Message(state), message, true));
            }
            Err(back) => {
                assert!(!room);
                assert_eq!(back, message);
            }
        }
    }

    /// Does the step to both, and compares the outcome.
    fn step(&mut self, outgoing: &mut Outgoing<u32>, step: &Step, message: u32) {
        use OutgoingState::{AwaitPubAck, AwaitPubComp, AwaitPubRec};
        match *step {
            Step::Send(qos) => self.send(outgoing, qos, message),
            Step::Request => {
                let identifier = outgoing.handle_request().unwrap();
                assert!(self.entries.iter().all(|entry| entry.0 != identifier));
                self.entries.push((identifier, Kind::Request, 0, true));
            }
            Step::Answer(at) => {
                let identifier = self.pick(at);
                let expected = self.finish(identifier, Kind::Request).map(drop);
                assert_eq!(outgoing.handle_answer(identifier), expected);
            }
            Step::PubAck(at) => {
                let identifier = self.pick(at);
                let expected = self.finish(identifier, Kind::Message(AwaitPubAck));
                assert_eq!(outgoing.handle_puback(identifier), expected);
            }
            Step::PubRec(at) => {
                let identifier = self.pick(at);
                assert_eq!(outgoing.handle_pubrec(identifier), self.give_up(identifier));
            }
            Step::PubRecFailure(at) => {
                let identifier = self.pick(at);
                let expected = self.finish(identifier, Kind::Message(AwaitPubRec));
                assert_eq!(outgoing.handle_pubrec_failure(identifier), expected);
            }
            Step::PubComp(at) => {
                let identifier = self.pick(at);
                let expected = self.finish(identifier, Kind::Message(AwaitPubComp));
                assert_eq!(outgoing.handle_pubcomp(identifier), expected.map(drop));
            }
            Step::Stranger(identifier) => {
                let expected = self.finish(identifier, Kind::Message(AwaitPubAck));
                assert_eq!(outgoing.handle_puback(identifier), expected);
            }
            Step::Reconnect(receive_maximum) => {
                self.reconnect(receive_maximum);
                outgoing.handle_reconnect(receive_maximum);
            }
            Step::Resend => {
                let sent = outgoing.poll_resend();
                let sent = sent.map(|(identifier, state, _)| (identifier, state));
                assert_eq!(sent, self.resend());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn outgoing_does_what_a_plain_list_does(
        receive_maximum in 1..40_u16,
        // Near the wrap, too.
        start in prop_oneof![Just(0_u32), 65_480..65_535_u32],
        steps in vec(steps(), 0..300),
    ) {
        let mut outgoing = Outgoing::new(receive_maximum);
        for turn in 0..start {
            let identifier = outgoing.handle_send(Qos::AtLeastOnce, turn).unwrap();
            outgoing.handle_puback(identifier).unwrap();
        }
        let mut model = Model { entries: Vec::new(), receive_maximum: receive_maximum.into() };
        for (message, step) in (0..).zip(&steps) {
            model.step(&mut outgoing, step, message);
            prop_assert_eq!(outgoing.len(), model.messages());
            prop_assert_eq!(outgoing.is_empty(), model.messages() == 0);
            let expected: Vec<_> = model.entries.iter().filter_map(|(identifier, kind, message, _)| {
                match kind {
                    Kind::Message(OutgoingState::AwaitPubComp) =>
                        Some((identifier.get(), OutgoingState::AwaitPubComp, None)),
                    Kind::Message(state) => Some((identifier.get(), *state, Some(*message))),
                    Kind::Request => None,
                }
            }).collect();
            prop_assert_eq!(in_flight(&outgoing), expected);
        }
    }

    #[test]
    fn incoming_does_what_a_set_does(steps in vec((any::<bool>(), 1..30_u16), 0..200)) {
        let mut incoming = Incoming::default();
        let mut model = std::collections::BTreeSet::new();
        for (is_publish, identifier) in steps {
            if is_publish {
                prop_assert_eq!(incoming.handle_publish(id(identifier)), model.insert(identifier));
            } else {
                prop_assert_eq!(incoming.handle_pubrel(id(identifier)), model.remove(&identifier));
            }
            prop_assert_eq!(incoming.len(), model.len());
            let all: Vec<_> = incoming.iter().map(PacketIdentifier::get).collect();
            prop_assert!(all.iter().eq(model.iter()));
        }
    }
}
