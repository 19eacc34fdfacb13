//! What is in flight at QoS 1 and 2 (§4.3), for either end: [`Outgoing`] as sender, [`Incoming`] as receiver. The message type is the
//! caller's own.

use crate::{PacketIdentifier, Qos};

/// Messages sent at QoS 1 and 2 and not yet fully acknowledged, in the order they were sent (§4.6), within the receiver's Receive
/// Maximum (§4.9).
#[derive(Clone, Debug)]
pub struct Outgoing<M> {
    _message: std::marker::PhantomData<M>,
}

/// How far an outgoing message has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OutgoingState {
    /// QoS 1: PUBLISH sent, waiting for PUBACK.
    AwaitPubAck,
    /// QoS 2: PUBLISH sent, waiting for PUBREC.
    AwaitPubRec,
    /// QoS 2: PUBREL sent, waiting for PUBCOMP; the message itself is given up.
    AwaitPubComp,
}

/// Why an acknowledgement is refused: the peer names a Packet Identifier that is not in the state it claims.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no message with this packet identifier waits for this acknowledgement")]
pub struct NotFound;

impl<M> Outgoing<M> {
    /// Nothing in flight; at most `receive_maximum` at once.
    pub fn new(receive_maximum: u16) -> Self {
        let _ = receive_maximum;
        todo!()
    }

    /// The peer's Receive Maximum, as told at a new connection.
    pub fn set_receive_maximum(&mut self, receive_maximum: u16) {
        let _ = receive_maximum;
        todo!()
    }

    /// Whether one more may be sent now.
    pub fn has_room(&self) -> bool {
        todo!()
    }

    /// How many are in flight.
    pub fn len(&self) -> usize {
        todo!()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        todo!()
    }

    /// Takes a message into flight and gives its Packet Identifier; hands it back where there is no room. `qos` is 1 or 2.
    pub fn handle_send(&mut self, qos: Qos, message: M) -> Result<PacketIdentifier, M> {
        let _ = (qos, message);
        todo!()
    }

    /// PUBACK came (any Reason Code): the message is done.
    pub fn handle_puback(&mut self, identifier: PacketIdentifier) -> Result<M, NotFound> {
        let _ = identifier;
        todo!()
    }

    /// PUBREC came with a code below 0x80: the message is given up, PUBREL is due. A repeated PUBREC is answered with `Ok(None)`: PUBREL is
    /// due again.
    pub fn handle_pubrec(&mut self, identifier: PacketIdentifier) -> Result<Option<M>, NotFound> {
        let _ = identifier;
        todo!()
    }

    /// PUBREC came with a failure: the message is done.
    pub fn handle_pubrec_failure(&mut self, identifier: PacketIdentifier) -> Result<M, NotFound> {
        let _ = identifier;
        todo!()
    }

    /// PUBCOMP came: done.
    pub fn handle_pubcomp(&mut self, identifier: PacketIdentifier) -> Result<(), NotFound> {
        let _ = identifier;
        todo!()
    }

    /// All in flight in the order first sent, for redelivery on a resumed session (§4.4). The message is `None` in `AwaitPubComp`.
    pub fn iter(&self) -> impl Iterator<Item = (PacketIdentifier, OutgoingState, Option<&M>)> {
        std::iter::empty()
    }
}

/// Packet Identifiers of QoS 2 messages received and not yet released (§4.3.3).
#[derive(Clone, Debug, Default)]
pub struct Incoming {}

impl Incoming {
    /// PUBLISH at QoS 2 came: true if it is new and must be passed on, false if it is a repetition.
    pub fn handle_publish(&mut self, identifier: PacketIdentifier) -> bool {
        let _ = identifier;
        todo!()
    }

    /// PUBREL came: whether the identifier was known (else PUBCOMP says 0x92).
    pub fn handle_pubrel(&mut self, identifier: PacketIdentifier) -> bool {
        let _ = identifier;
        todo!()
    }

    /// How many are not yet released.
    pub fn len(&self) -> usize {
        todo!()
    }

    /// Whether all are released.
    pub fn is_empty(&self) -> bool {
        todo!()
    }
}
