//! One connection: bytes on their way, and how far the broker is with it.

use super::client::Rights;
use crate::core::{
    admission::Admitted,
    session::{ConnectionKey, Farewell},
};
use std::collections::VecDeque;

pub(super) type WireId = u64;
pub(super) type MessageId = usize;

/// Whether the broker must have the session that a CONNECT asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Presence {
    Must,
    May,
    MustNot,
}

/// How far the broker is with a connection.
#[derive(Debug)]
pub(super) enum BrokerEnd {
    /// CONNECT is awaited.
    Door,
    /// Admitted, and on its way to its home shard.
    Arriving(Box<Admitted>),
    Open {
        shard: usize,
        at: ConnectionKey,
    },
    /// The session is over or goes on elsewhere; this is still to be written.
    Leaving {
        shard: usize,
        at: ConnectionKey,
        farewell: Farewell,
    },
    TurnedAway(Farewell),
    Closed,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) client: usize,
    pub(super) up: VecDeque<u8>,
    pub(super) down: VecDeque<u8>,
    pub(super) end: BrokerEnd,
    /// What the broker read and could not use yet.
    pub(super) partial: Vec<u8>,
    /// The client sends nothing more.
    pub(super) client_closed: bool,
    /// Nothing goes through any more; either end learns of it by and by.
    pub(super) is_cut: bool,
    /// The client's token, as the door will see it.
    pub(super) rights: Rights,
    pub(super) clean_start: bool,
    pub(super) expiry_secs: u32,
    /// What the CONNACK must say.
    pub(super) presence: Presence,
    /// The broker has this session.
    pub(super) was_admitted: bool,
    pub(super) connack_seen: bool,
    pub(super) will: Option<MessageId>,
    pub(super) will_delay_secs: u32,
    /// The broker read a DISCONNECT that gives up the Will.
    pub(super) said_goodbye: bool,
    /// The broker's end of the session's connection was noted.
    pub(super) end_noted: bool,
}

impl Wire {
    /// A client has connected, and the broker has read nothing yet.
    pub(super) fn new(client: usize, rights: Rights, clean_start: bool) -> Self {
        Self {
            client,
            up: VecDeque::new(),
            down: VecDeque::new(),
            end: BrokerEnd::Door,
            partial: Vec::new(),
            client_closed: false,
            is_cut: false,
            rights,
            clean_start,
            expiry_secs: 0,
            presence: Presence::May,
            was_admitted: false,
            connack_seen: false,
            will: None,
            will_delay_secs: 0,
            said_goodbye: false,
            end_noted: false,
        }
    }

    /// Nothing will ever come of it any more.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.end, BrokerEnd::Closed)
    }

    /// A random part of what is on its way is lost.
    pub(super) fn cut(&mut self, up: usize, down: usize) {
        self.is_cut = true;
        self.up.truncate(up);
        self.down.truncate(down);
    }
}
