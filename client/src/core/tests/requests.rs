//! SUBSCRIBE and UNSUBSCRIBE.

use super::*;
use crate::connection::Acknowledgement;
use std::num::NonZeroU32;
use symbolon_mqtt_proto::{
    RetainHandling, SubAck, Subscription, TopicFilter, UnsubAck, UserProperties,
};

fn filter(text: &str) -> TopicFilter {
    TopicFilter::parse(text).unwrap()
}

fn subscription(text: &str) -> Subscription {
    Subscription {
        share_name: None,
        filter: filter(text),
        maximum_qos: Qos::AtLeastOnce,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::Send,
    }
}

fn suback(identifier: u16, reason_codes: Vec<ReasonCode>) -> Packet<'static> {
    Packet::SubAck(SubAck {
        packet_identifier: id(identifier),
        reason_string: Some("so it is"),
        user_properties: UserProperties::default(),
        reason_codes,
    })
}

fn unsuback(identifier: u16, reason_codes: Vec<ReasonCode>) -> Packet<'static> {
    Packet::UnsubAck(UnsubAck {
        packet_identifier: id(identifier),
        reason_string: None,
        user_properties: UserProperties::default(),
        reason_codes,
    })
}

impl Rig {
    fn subscribe(&mut self, filters: &[&str]) -> Result<(), ConnectError> {
        let subscriptions = filters.iter().map(|text| subscription(text)).collect();
        self.machine
            .handle_subscribe(subscriptions, self.clocks.now)
    }

    fn unsubscribe(&mut self, text: &str) -> Result<(), ConnectError> {
        let filters = vec![(None, filter(text))];
        self.machine.handle_unsubscribe(filters, self.clocks.now)
    }
}

#[test]
fn suback_is_the_answer_and_messages_before_it_are_kept() {
    let mut rig = Rig::new(V5);
    rig.subscribe(&["a", "b"]).unwrap();
    let sent = rig.sent();
    let [Packet::Subscribe(subscribe)] = &packets(V5, &sent)[..] else {
        panic!("one SUBSCRIBE")
    };
    assert_eq!(
        subscribe.subscriptions,
        [subscription("a"), subscription("b")]
    );
    assert_eq!(rig.machine.poll_answer(), None);
    rig.broker_sends(&publish("a", Delivery::AtMostOnce))
        .unwrap();
    let codes = vec![ReasonCode::GrantedQos1, ReasonCode::NotAuthorized];
    rig.broker_sends(&suback(1, codes.clone())).unwrap();
    let answer = Acknowledgement {
        reason_codes: codes,
        reason_string: Some("so it is".to_owned()),
    };
    assert_eq!(rig.machine.poll_answer(), Some(answer));
    assert_eq!(rig.machine.poll_answer(), None);
    assert!(matches!(rig.event(), Some(Event::Message(_))));
}

#[test]
fn unsuback_is_the_answer_and_has_no_codes_in_3_1_1() {
    for (version, codes) in [(V5, vec![ReasonCode::Success]), (V311, Vec::new())] {
        let mut rig = Rig::new(version);
        rig.unsubscribe("a").unwrap();
        rig.broker_sends(&unsuback(1, codes.clone())).unwrap();
        let answer = rig.machine.poll_answer().unwrap();
        assert_eq!(answer.reason_codes, codes);
    }
}

#[test]
fn an_answer_that_does_not_fit_ends_the_connection() {
    let two = vec![ReasonCode::Success, ReasonCode::Success];
    for wrong in [
        suback(1, two.clone()),
        unsuback(1, vec![ReasonCode::Success]),
        suback(2, vec![ReasonCode::Success]),
    ] {
        let mut rig = Rig::new(V5);
        rig.subscribe(&["a"]).unwrap();
        let result = rig.broker_sends(&wrong);
        assert!(
            matches!(result, Err(ConnectError::Protocol(_))),
            "{wrong:?}"
        );
    }
}

// [MQTT-2.2.1-3]
#[test]
fn requests_and_messages_do_not_share_a_packet_identifier() {
    let mut rig = Rig::new(V5);
    rig.publish("a", Qos::AtLeastOnce).unwrap();
    rig.subscribe(&["a"]).unwrap();
    rig.publish("a", Qos::AtLeastOnce).unwrap();
    let sent = rig.sent();
    let [
        Packet::Publish(first),
        Packet::Subscribe(second),
        Packet::Publish(third),
    ] = &packets(V5, &sent)[..]
    else {
        panic!("PUBLISH, SUBSCRIBE, PUBLISH")
    };
    let identifiers = [
        first.delivery.packet_identifier(),
        Some(second.packet_identifier),
        third.delivery.packet_identifier(),
    ];
    let identifiers = identifiers.map(|identifier| identifier.unwrap().get());
    assert_eq!(identifiers, [1, 2, 3]);
}

#[test]
fn the_answer_to_an_abandoned_request_goes_to_nobody() {
    let mut rig = Rig::new(V5);
    rig.subscribe(&["a"]).unwrap();
    rig.unsubscribe("b").unwrap();
    rig.broker_sends(&suback(1, vec![ReasonCode::Success]))
        .unwrap();
    assert_eq!(rig.machine.poll_answer(), None);
    rig.broker_sends(&unsuback(2, vec![ReasonCode::Success]))
        .unwrap();
    assert!(rig.machine.poll_answer().is_some());
}

#[test]
fn a_request_that_is_never_answered_times_out() {
    let mut options = options(V5);
    options.keep_alive_secs = 0;
    let mut rig = Rig::with(&options, ConnAckProperties::default());
    rig.subscribe(&["a"]).unwrap();
    let by = rig.machine.poll_timeout().unwrap();
    assert_eq!(by - rig.clocks.now, options.timeout);
    assert!(matches!(
        rig.machine.handle_timeout(by),
        Err(ConnectError::Timeout)
    ));
}

// [MQTT-3.2.2-15]
#[test]
fn a_request_larger_than_the_broker_takes_is_not_sent() {
    let properties = ConnAckProperties {
        maximum_packet_size: NonZeroU32::new(20),
        ..ConnAckProperties::default()
    };
    let mut rig = Rig::with(&options(V5), properties);
    let long = "t".repeat(20);
    let refused = rig.subscribe(&[&long]);
    assert!(matches!(refused, Err(ConnectError::NotSent(_))));
    assert!(rig.sent().is_empty());
    rig.subscribe(&["a"]).unwrap();
}
