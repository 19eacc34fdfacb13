//! Pings.

use super::*;

const PINGREQ: &[u8] = &[0xc0, 0];
const PINGRESP: Packet<'static> = Packet::PingResp;

impl Rig {
    /// Lets the clock run to the machine's timeout.
    fn run_to_timeout(&mut self) -> Result<u64, ConnectError> {
        let timeout = self.machine.poll_timeout().unwrap();
        let secs = timeout.saturating_duration_since(self.clocks.now).as_secs();
        self.wait(secs);
        self.machine.handle_timeout(self.clocks.now)?;
        Ok(secs)
    }
}

// [MQTT-3.1.2-20]
#[test]
fn a_ping_follows_keep_alive_after_the_last_packet_sent() {
    let mut rig = Rig::new(V5);
    rig.wait(50);
    rig.publish("a", Qos::AtMostOnce).unwrap();
    rig.sent();
    // What comes in does not count.
    rig.wait(10);
    rig.broker_sends(&publish("a", Delivery::AtMostOnce))
        .unwrap();
    assert_eq!(rig.run_to_timeout().unwrap(), 50);
    assert_eq!(rig.sent(), PINGREQ);
    rig.broker_sends(&PINGRESP).unwrap();
    assert_eq!(rig.run_to_timeout().unwrap(), 60);
    assert_eq!(rig.sent(), PINGREQ);
}

// [MQTT-3.2.2-21]
#[test]
fn the_brokers_keep_alive_takes_the_place_of_ours() {
    let properties = ConnAckProperties {
        server_keep_alive_secs: Some(7),
        ..ConnAckProperties::default()
    };
    let mut rig = Rig::with(&options(V5), properties);
    assert_eq!(rig.run_to_timeout().unwrap(), 7);
    assert_eq!(rig.sent(), PINGREQ);
}

#[test]
fn a_broker_that_answers_no_ping_is_lost() {
    let mut rig = Rig::new(V5);
    rig.run_to_timeout().unwrap();
    assert_eq!(rig.sent(), PINGREQ);
    assert!(matches!(rig.run_to_timeout(), Err(ConnectError::Lost(_))));
    let waited = rig.clocks.unix.0 - BEGIN.0;
    assert_eq!(waited, 60 + 30);
}

#[test]
fn a_broker_that_still_sends_may_answer_late() {
    let mut rig = Rig::new(V5);
    rig.run_to_timeout().unwrap();
    rig.wait(20);
    // A part of a large packet.
    rig.machine.handle_bytes(&[0x30], rig.clocks).unwrap();
    assert_eq!(rig.run_to_timeout().unwrap_err().to_string(), {
        "connection lost: the broker does not answer pings"
    });
    assert_eq!(rig.clocks.unix.0 - BEGIN.0, 60 + 20 + 30);
}

#[test]
fn a_short_keep_alive_still_leaves_the_broker_some_seconds() {
    let properties = ConnAckProperties {
        server_keep_alive_secs: Some(1),
        ..ConnAckProperties::default()
    };
    let mut rig = Rig::with(&options(V5), properties);
    rig.run_to_timeout().unwrap();
    assert!(rig.run_to_timeout().is_err());
    assert_eq!(rig.clocks.unix.0 - BEGIN.0, 1 + 5);
}

// §3.1.2.10
#[test]
fn a_keep_alive_of_0_never_pings() {
    for version in [V5, V311] {
        let mut options = options(version);
        options.keep_alive_secs = 0;
        let rig = Rig::with(&options, ConnAckProperties::default());
        assert_eq!(rig.machine.poll_timeout(), None);
    }
}
