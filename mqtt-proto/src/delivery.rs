//! What is in flight at QoS 1 and 2 (§4.3), for either end: [`Outgoing`] as sender, [`Incoming`] as receiver. The message type is the
//! caller's own.

use crate::{PacketIdentifier, Qos};
use std::collections::VecDeque;

/// How many Packet Identifiers there are (§2.2.1). They are given in turn, so this is also how far the newest may run ahead of the oldest
/// that is still in use.
const PACKET_IDENTIFIERS: u16 = u16::MAX;

/// Slots of messages that are done are kept until there are this many more of them than of others, so that clearing them out costs each
/// message a constant.
const SPARE_SLOTS: usize = 16;

/// With nothing in flight there is memory for at most so many messages.
const IDLE_CAPACITY: usize = 128;

/// Messages sent at QoS 1 and 2 and not yet fully acknowledged, in the order they were sent (§4.6), within the receiver's Receive
/// Maximum (§4.9).
///
/// Packet Identifiers are given in turn, 1 to 65,535 and again from 1. While the oldest message in flight stays unacknowledged and 65,534
/// identifiers were given after it, there is no room: a peer owes acknowledgements in order (§4.6), so only one that broke its promise waits.
#[derive(Clone, Debug)]
pub struct Outgoing<M> {
    /// In the order of their sequence numbers; neither the first nor the last is done.
    slots: VecDeque<Slot<M>>,
    /// The sequence number of the next Packet Identifier.
    next: u64,
    /// This connection has carried the messages before this one, and none behind.
    unsent: u64,
    /// Messages that count against the Receive Maximum.
    messages: usize,
    /// Those of them which this connection has carried.
    sent: usize,
    /// Slots of requests and messages; the others are done.
    live: usize,
    receive_maximum: usize,
}

#[derive(Clone, Debug)]
struct Slot<M> {
    /// Counts Packet Identifiers as if they never wrapped.
    sequence: u64,
    stage: Stage<M>,
}

#[derive(Clone, Debug)]
enum Stage<M> {
    AwaitPubAck(M),
    AwaitPubRec(M),
    AwaitPubComp,
    /// SUBSCRIBE or UNSUBSCRIBE.
    AwaitAnswer,
    Done,
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

/// Why a message cannot be put back into flight: its Packet Identifier does not follow on those restored before.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("this packet identifier is in use")]
pub struct InUse;

impl<M> Outgoing<M> {
    /// Nothing in flight; at most `receive_maximum` at once.
    pub fn new(receive_maximum: u16) -> Self {
        Self {
            slots: VecDeque::new(),
            next: 0,
            unsent: 0,
            messages: 0,
            sent: 0,
            live: 0,
            receive_maximum: receive_maximum.into(),
        }
    }

    /// The peer's Receive Maximum, as told at a new connection.
    pub fn set_receive_maximum(&mut self, receive_maximum: u16) {
        self.receive_maximum = receive_maximum.into();
    }

    /// The peer's Receive Maximum, at most 65,535.
    pub fn receive_maximum(&self) -> u16 {
        u16::try_from(self.receive_maximum).unwrap_or(u16::MAX)
    }

    /// Whether one more may be sent now.
    pub fn has_room(&self) -> bool {
        self.sent == self.messages && self.messages < self.receive_maximum && self.is_next_free()
    }

    /// How many are in flight.
    pub fn len(&self) -> usize {
        self.messages
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.messages == 0
    }

    /// Takes a message into flight and gives its Packet Identifier; hands it back where there is no room. `qos` is 1 or 2: at QoS 0 nothing
    /// is in flight, and the message is handed back.
    pub fn handle_send(&mut self, qos: Qos, message: M) -> Result<PacketIdentifier, M> {
        if !self.has_room() {
            return Err(message);
        }
        let stage = match qos {
            Qos::AtMostOnce => return Err(message),
            Qos::AtLeastOnce => Stage::AwaitPubAck(message),
            Qos::ExactlyOnce => Stage::AwaitPubRec(message),
        };
        self.messages += 1;
        self.sent += 1;
        self.unsent = self.next + 1;
        Ok(self.push(stage))
    }

    /// PUBACK came (any Reason Code): the message is done.
    pub fn handle_puback(&mut self, identifier: PacketIdentifier) -> Result<M, NotFound> {
        let index = self.find(identifier)?;
        self.finish(index, |stage| match stage {
            Stage::AwaitPubAck(message) => Ok(message),
            Stage::AwaitPubRec(_) | Stage::AwaitPubComp | Stage::AwaitAnswer | Stage::Done => {
                Err(stage)
            }
        })
    }

    /// PUBREC came with a code below 0x80: the message is given up, PUBREL is due. A repeated PUBREC is answered with `Ok(None)`: PUBREL is
    /// due again.
    pub fn handle_pubrec(&mut self, identifier: PacketIdentifier) -> Result<Option<M>, NotFound> {
        let index = self.find(identifier)?;
        let stage = &mut self.slots[index].stage;
        match std::mem::replace(stage, Stage::AwaitPubComp) {
            Stage::AwaitPubRec(message) => Ok(Some(message)),
            Stage::AwaitPubComp => Ok(None),
            other @ (Stage::AwaitPubAck(_) | Stage::AwaitAnswer | Stage::Done) => {
                *stage = other;
                Err(NotFound)
            }
        }
    }

    /// PUBREC came with a failure: the message is done.
    pub fn handle_pubrec_failure(&mut self, identifier: PacketIdentifier) -> Result<M, NotFound> {
        let index = self.find(identifier)?;
        self.finish(index, |stage| match stage {
            Stage::AwaitPubRec(message) => Ok(message),
            Stage::AwaitPubAck(_) | Stage::AwaitPubComp | Stage::AwaitAnswer | Stage::Done => {
                Err(stage)
            }
        })
    }

    /// PUBCOMP came: done.
    pub fn handle_pubcomp(&mut self, identifier: PacketIdentifier) -> Result<(), NotFound> {
        let index = self.find(identifier)?;
        self.finish(index, |stage| match stage {
            Stage::AwaitPubComp => Ok(()),
            Stage::AwaitPubAck(_) | Stage::AwaitPubRec(_) | Stage::AwaitAnswer | Stage::Done => {
                Err(stage)
            }
        })
    }

    /// All in flight in the order first sent, for redelivery on a resumed session (§4.4). The message is `None` in `AwaitPubComp`.
    ///
    /// A peer whose Receive Maximum shrank may not be sent all of them at once: [`Outgoing::handle_reconnect`] and
    /// [`Outgoing::poll_resend`] see to that.
    pub fn iter(&self) -> impl Iterator<Item = (PacketIdentifier, OutgoingState, Option<&M>)> {
        self.slots.iter().filter_map(Slot::outgoing)
    }

    /// A new connection resumes the session: all in flight is due again (§4.4), within the Receive Maximum the peer told now. Until
    /// [`Outgoing::poll_resend`] has given it all, nothing new may be sent. Requests of the old connection are forgotten.
    pub fn handle_reconnect(&mut self, receive_maximum: u16) {
        self.set_receive_maximum(receive_maximum);
        for slot in &mut self.slots {
            if matches!(slot.stage, Stage::AwaitAnswer) {
                slot.stage = Stage::Done;
            }
        }
        self.live = self.messages;
        self.clear_out();
        self.unsent = self.slots.front().map_or(self.next, |slot| slot.sequence);
        self.sent = 0;
    }

    /// The next message to send again on a resumed session, with DUP set (or PUBREL, in `AwaitPubComp`); `None` once there is no more, or
    /// until an acknowledgement makes room.
    pub fn poll_resend(&mut self) -> Option<(PacketIdentifier, OutgoingState, Option<&M>)> {
        if self.sent >= self.receive_maximum {
            return None;
        }
        let first = self.position(self.unsent);
        let due = self.slots.range(first..).find_map(|slot| {
            let outgoing = slot.outgoing()?;
            Some((slot.sequence, outgoing))
        });
        let (sequence, outgoing) = due?;
        self.unsent = sequence + 1;
        self.sent += 1;
        Some(outgoing)
    }

    /// Whether [`Outgoing::poll_resend`] has not given all yet.
    pub fn is_resending(&self) -> bool {
        self.sent < self.messages
    }

    /// Puts a message back into flight that waits for PUBACK or PUBREC, from where a session was stored: in the order of [`Outgoing::iter`],
    /// before anything is sent. [`Outgoing::handle_reconnect`] makes it due. At QoS 0 nothing is in flight, and nothing happens.
    pub fn restore_message(
        &mut self,
        identifier: PacketIdentifier,
        qos: Qos,
        message: M,
    ) -> Result<(), InUse> {
        match qos {
            Qos::AtMostOnce => Ok(()),
            Qos::AtLeastOnce => self.restore(identifier, Stage::AwaitPubAck(message)),
            Qos::ExactlyOnce => self.restore(identifier, Stage::AwaitPubRec(message)),
        }
    }

    /// The number of the next message in the order of sending; the Packet Identifier follows from it. It starts at 0 and never goes back.
    pub fn next_sequence(&self) -> u64 {
        self.next
    }

    /// The number that the message of this Packet Identifier was sent under.
    pub fn sequence(&self, identifier: PacketIdentifier) -> Result<u64, NotFound> {
        let index = self.find(identifier)?;
        Ok(self.slots[index].sequence)
    }

    /// The next message gets this number: those before it that were not given are passed over. One that is behind changes nothing.
    pub fn skip_to(&mut self, sequence: u64) {
        let all_sent = self.sent == self.messages;
        self.next = self.next.max(sequence);
        if all_sent {
            self.unsent = self.next;
        }
    }

    /// The Packet Identifier of the next message.
    pub fn next_identifier(&self) -> PacketIdentifier {
        identifier_of(self.next)
    }

    /// Gives up messages that wait for PUBACK or PUBREC and that `keep` refuses, as where the receiver may not have them any more. One that
    /// waits for PUBREC may have been received: PUBREL is due for it, so that the receiver forgets its Packet Identifier too. To be called
    /// between connections, or before anything is sent on a new one.
    pub fn retain(&mut self, mut keep: impl FnMut(u64, &M) -> bool) {
        for slot in &mut self.slots {
            let given_up = match &slot.stage {
                Stage::AwaitPubAck(message) if !keep(slot.sequence, message) => Stage::Done,
                Stage::AwaitPubRec(message) if !keep(slot.sequence, message) => Stage::AwaitPubComp,
                Stage::AwaitPubAck(_)
                | Stage::AwaitPubRec(_)
                | Stage::AwaitPubComp
                | Stage::AwaitAnswer
                | Stage::Done => continue,
            };
            if matches!(given_up, Stage::Done) {
                self.messages -= 1;
                self.live -= 1;
                if slot.sequence < self.unsent {
                    self.sent -= 1;
                }
            }
            slot.stage = given_up;
        }
        self.clear_out();
    }

    /// Like [`Outgoing::restore_message`], for what waits for PUBCOMP.
    pub fn restore_release(&mut self, identifier: PacketIdentifier) -> Result<(), InUse> {
        self.restore(identifier, Stage::AwaitPubComp)
    }

    /// A Client gives a Packet Identifier to a SUBSCRIBE or UNSUBSCRIBE, which share them with PUBLISH (§2.2.1) but do not count against the
    /// Receive Maximum. `None` while no identifier is free.
    pub fn handle_request(&mut self) -> Option<PacketIdentifier> {
        self.is_next_free().then(|| self.push(Stage::AwaitAnswer))
    }

    /// SUBACK or UNSUBACK came.
    pub fn handle_answer(&mut self, identifier: PacketIdentifier) -> Result<(), NotFound> {
        let index = self.find(identifier)?;
        let stage = &mut self.slots[index].stage;
        if !matches!(stage, Stage::AwaitAnswer) {
            return Err(NotFound);
        }
        *stage = Stage::Done;
        self.live -= 1;
        self.clear_out();
        Ok(())
    }

    /// Whether the next identifier in turn is not in use.
    fn is_next_free(&self) -> bool {
        self.slots
            .front()
            .is_none_or(|oldest| self.next - oldest.sequence < u64::from(PACKET_IDENTIFIERS))
    }

    fn push(&mut self, stage: Stage<M>) -> PacketIdentifier {
        let slot = Slot {
            sequence: self.next,
            stage,
        };
        let identifier = slot.identifier();
        self.slots.push_back(slot);
        self.live += 1;
        self.next += 1;
        identifier
    }

    fn restore(&mut self, identifier: PacketIdentifier, stage: Stage<M>) -> Result<(), InUse> {
        let count = u64::from(PACKET_IDENTIFIERS);
        let turn = u64::from(identifier.get()) - 1;
        let sequence = self.next + (turn + count - self.next % count) % count;
        if self
            .slots
            .front()
            .is_some_and(|oldest| sequence - oldest.sequence >= count)
        {
            return Err(InUse);
        }
        if self.sent == self.messages {
            self.sent += 1;
            self.unsent = sequence + 1;
        }
        self.next = sequence;
        self.messages += 1;
        self.push(stage);
        Ok(())
    }

    /// The index of the slot that has this identifier.
    fn find(&self, identifier: PacketIdentifier) -> Result<usize, NotFound> {
        let count = u64::from(PACKET_IDENTIFIERS);
        let turn = u64::from(identifier.get()) - 1;
        let back = match (self.next % count + count - turn) % count {
            0 => count,
            back => back,
        };
        let sequence = self.next.checked_sub(back).ok_or(NotFound)?;
        let index = self.position(sequence);
        match self.slots.get(index) {
            Some(slot) if slot.sequence == sequence => Ok(index),
            Some(_) | None => Err(NotFound),
        }
    }

    /// The index of the first slot that is not before `sequence`.
    fn position(&self, sequence: u64) -> usize {
        match self.slots.front() {
            // Acknowledgements come in order, so it is nearly always this one.
            Some(oldest) if oldest.sequence >= sequence => 0,
            Some(_) | None => self.slots.partition_point(|slot| slot.sequence < sequence),
        }
    }

    /// Ends the message at `index` if `take` accepts its stage.
    fn finish<T>(
        &mut self,
        index: usize,
        take: impl FnOnce(Stage<M>) -> Result<T, Stage<M>>,
    ) -> Result<T, NotFound> {
        let slot = &mut self.slots[index];
        match take(std::mem::replace(&mut slot.stage, Stage::Done)) {
            Ok(taken) => {
                if slot.sequence < self.unsent {
                    self.sent -= 1;
                }
                self.messages -= 1;
                self.live -= 1;
                self.clear_out();
                Ok(taken)
            }
            Err(stage) => {
                slot.stage = stage;
                Err(NotFound)
            }
        }
    }

    /// Gives up slots that are done: those in front at once, those between others once they are the greater part.
    fn clear_out(&mut self) {
        while let Some(Slot {
            stage: Stage::Done, ..
        }) = self.slots.front()
        {
            self.slots.pop_front();
        }
        if self.slots.len() > 2 * self.live + SPARE_SLOTS {
            self.slots.retain(|slot| !matches!(slot.stage, Stage::Done));
        }
        if self.slots.is_empty() && self.slots.capacity() > IDLE_CAPACITY {
            self.slots = VecDeque::new();
        }
    }
}

fn identifier_of(sequence: u64) -> PacketIdentifier {
    let turn = sequence % u64::from(PACKET_IDENTIFIERS);
    u16::try_from(turn + 1)
        .ok()
        .and_then(PacketIdentifier::new)
        .expect("a remainder below 65535, plus one, is from 1 to 65535")
}

impl<M> Slot<M> {
    fn identifier(&self) -> PacketIdentifier {
        identifier_of(self.sequence)
    }

    fn outgoing(&self) -> Option<(PacketIdentifier, OutgoingState, Option<&M>)> {
        let (state, message) = match &self.stage {
            Stage::AwaitPubAck(message) => (OutgoingState::AwaitPubAck, Some(message)),
            Stage::AwaitPubRec(message) => (OutgoingState::AwaitPubRec, Some(message)),
            Stage::AwaitPubComp => (OutgoingState::AwaitPubComp, None),
            Stage::AwaitAnswer | Stage::Done => return None,
        };
        Some((self.identifier(), state, message))
    }
}

/// Packet Identifiers of QoS 2 messages received and not yet released (§4.3.3): at most 65,535, in two bytes each.
#[derive(Clone, Debug, Default)]
pub struct Incoming {
    /// Ascending, so that a peer gains nothing by its choice of identifiers.
    identifiers: VecDeque<PacketIdentifier>,
}

impl Incoming {
    /// PUBLISH at QoS 2 came: true if it is new and must be passed on, false if it is a repetition.
    pub fn handle_publish(&mut self, identifier: PacketIdentifier) -> bool {
        match self.identifiers.binary_search(&identifier) {
            Ok(_) => false,
            Err(index) => {
                self.identifiers.insert(index, identifier);
                true
            }
        }
    }

    /// PUBREL came: whether the identifier was known (else PUBCOMP says 0x92).
    pub fn handle_pubrel(&mut self, identifier: PacketIdentifier) -> bool {
        match self.identifiers.binary_search(&identifier) {
            Ok(index) => self.identifiers.remove(index).is_some(),
            Err(_) => false,
        }
    }

    /// The identifiers, ascending; [`Incoming::handle_publish`] puts them back where a session was stored.
    pub fn iter(&self) -> impl Iterator<Item = PacketIdentifier> {
        self.identifiers.iter().copied()
    }

    /// How many are not yet released.
    pub fn len(&self) -> usize {
        self.identifiers.len()
    }

    /// Whether all are released.
    pub fn is_empty(&self) -> bool {
        self.identifiers.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::{Outgoing, SPARE_SLOTS};
    use crate::Qos;

    #[test]
    fn slots_of_messages_that_are_done_do_not_pile_up_behind_one_that_is_not() {
        let mut outgoing = Outgoing::new(10);
        outgoing
            .handle_send(Qos::AtLeastOnce, 0)
            .expect("there is room");
        let mut most = 0;
        for message in 1..60_000 {
            let identifier = outgoing
                .handle_send(Qos::AtLeastOnce, message)
                .expect("there is room");
            most = most.max(outgoing.slots.len());
            assert_eq!(outgoing.handle_puback(identifier), Ok(message));
            assert!(outgoing.slots.len() <= 2 * outgoing.live + SPARE_SLOTS);
        }
        // The limit is met, and one more is in flight then.
        assert_eq!(most, 2 + SPARE_SLOTS + 1);
    }
}
