//! The life of a connection after CONNACK: what a packet, the clock or the application does to each of its parts.

use super::{
    backlog::Backlog,
    event::Event,
    fault::Fault,
    inbox::Inbox,
    keep_alive::KeepAlive,
    opening::{Agreed, Local, check_method, response_packet, said_goodbye},
    outbox::Outbox,
    publishing::check_size,
    receiving::Receiving,
    renewal::{Answer, Clocks, Renewal},
    session::Session,
};
use crate::{
    ConnectError,
    connection::{Acknowledgement, Outgoing},
    token::{Token, TokenRequestError},
};
use std::time::{Duration, Instant};
use symbolon_ace_proto::{AUTHENTICATION_METHOD, ClientNonce, ConnectData};
use symbolon_mqtt_proto::{
    Auth, Disconnect, Packet, PacketIdentifier, PacketType, ProtocolVersion, ReasonCode, ShareName,
    Subscribe, Subscription, TopicFilter, Unsubscribe, UserProperties,
};

/// A live connection.
#[derive(Debug)]
pub(crate) struct Connected {
    inbox: Inbox,
    state: State,
}

#[derive(Debug)]
struct State {
    agreed: Agreed,
    outbox: Outbox,
    session: Session,
    receiving: Receiving,
    backlog: Backlog,
    keep_alive: KeepAlive,
    renewal: Renewal,
    request: Request,
    answer_limit: Duration,
    /// [`Outbox::packets`] when the clock was last looked at.
    packets_sent: u64,
}

/// SUBSCRIBE or UNSUBSCRIBE of the application. One that it gave up waiting for is answered to nobody.
#[derive(Debug)]
enum Request {
    None,
    Await {
        packet_type: PacketType,
        identifier: PacketIdentifier,
        filters: usize,
        by: Instant,
    },
    Answered(Acknowledgement),
}

impl Connected {
    pub(super) fn new(
        (inbox, outbox): (Inbox, Outbox),
        local: &Local,
        agreed: Agreed,
        session: Session,
        clocks: Clocks,
    ) -> Result<Self, ConnectError> {
        let mut state = State {
            receiving: Receiving::new(local.receive_maximum),
            backlog: Backlog::new(local.backlog_bytes),
            keep_alive: KeepAlive::new(agreed.keep_alive_secs, clocks.now),
            renewal: local
                .renewal
                .map_or(Renewal::Never, |life| Renewal::schedule(life, clocks)),
            request: Request::None,
            answer_limit: local.answer_limit,
            packets_sent: outbox.packets(),
            agreed,
            outbox,
            session,
        };
        if !state.agreed.session_present {
            state.session.forget(&mut state.backlog);
        }
        let receive_maximum = state.agreed.receive_maximum;
        state
            .session
            .publishing
            .handle_connected(receive_maximum, &mut state.outbox);
        let mut connected = Self { inbox, state };
        // What came behind CONNACK.
        connected.handle_bytes(&[], clocks)?;
        Ok(connected)
    }

    pub(crate) fn agreed(&self) -> &Agreed {
        &self.state.agreed
    }

    pub(crate) fn outbox(&mut self) -> &mut Outbox {
        &mut self.state.outbox
    }

    /// What outlives the connection.
    pub(crate) fn into_session(self) -> Session {
        self.session()
    }

    /// Bytes came. After a failure the connection is over; what [`Connected::outbox`] holds may still be written.
    pub(crate) fn handle_bytes(
        &mut self,
        bytes: &[u8],
        clocks: Clocks,
    ) -> Result<(), ConnectError> {
        let Self { inbox, state } = self;
        state.keep_alive.handle_received(clocks.now);
        inbox.push(bytes);
        let handled = loop {
            match inbox.take_packet() {
                Ok(None) => break Ok(()),
                Ok(Some(packet)) => {
                    if let Err(fault) = state.handle_packet(packet, clocks) {
                        break Err(fault);
                    }
                }
                Err(error) => break Err(Fault::from(error)),
            }
        };
        // An acknowledgement may have made room.
        let handled = handled.and_then(|()| state.publish_token(clocks.now).map_err(Fault::from));
        state.note_sent(clocks.now);
        handled.map_err(|fault| state.tell(fault))
    }

    /// The clock has passed [`Connected::poll_timeout`].
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Result<(), ConnectError> {
        let state = &mut self.state;
        state.renewal.handle_timeout(now)?;
        if let Request::Await { by, .. } = state.request
            && by <= now
        {
            return Err(ConnectError::Timeout);
        }
        if state.keep_alive.handle_timeout(now)? {
            state
                .outbox
                .push(&Packet::PingReq)
                .expect("a PINGREQ is two bytes");
        }
        state.note_sent(now);
        Ok(())
    }

    /// When [`Connected::handle_timeout`] and [`Connected::poll_renewal`] want to be called next.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let answer = match self.state.request {
            Request::Await { by, .. } => Some(by),
            Request::None | Request::Answered(_) => None,
        };
        let timeouts = [
            self.state.keep_alive.poll_timeout(),
            self.state.renewal.poll_timeout(),
            answer,
        ];
        timeouts.into_iter().flatten().min()
    }

    /// The next event. The message handed out before is acknowledged by that.
    pub(crate) fn poll_event(&mut self, now: Instant) -> Option<Event> {
        self.acknowledge(now);
        let event = self.state.backlog.take();
        if let Some(Event::Message(message)) = &event {
            self.state.receiving.handle_taken(message);
        }
        event
    }

    /// Acknowledges the message handed out last.
    pub(crate) fn acknowledge(&mut self, now: Instant) {
        self.state.receiving.acknowledge(&mut self.state.outbox);
        self.state.note_sent(now);
    }

    /// Whether so many events wait that nothing more should be read.
    pub(crate) fn is_backlog_full(&self) -> bool {
        self.state.backlog.is_full()
    }

    /// Whether a message above QoS 0 may be sent now.
    pub(crate) fn has_room(&self) -> bool {
        self.state.session.publishing.has_room()
    }

    /// Sends a message; what its [`Event::Published`] will call it.
    pub(crate) fn handle_publish(
        &mut self,
        message: &Outgoing<'_>,
        now: Instant,
    ) -> Result<u64, ConnectError> {
        let State {
            session,
            agreed,
            outbox,
            ..
        } = &mut self.state;
        let identifier = session.publishing.handle_publish(message, agreed, outbox)?;
        self.state.note_sent(now);
        Ok(identifier)
    }

    pub(crate) fn handle_subscribe(
        &mut self,
        subscriptions: Vec<Subscription>,
        now: Instant,
    ) -> Result<(), ConnectError> {
        let filters = subscriptions.len();
        self.state
            .request(PacketType::SubAck, filters, now, |packet_identifier| {
                Packet::Subscribe(Subscribe {
                    packet_identifier,
                    subscription_identifier: None,
                    user_properties: UserProperties::default(),
                    subscriptions,
                })
            })
    }

    pub(crate) fn handle_unsubscribe(
        &mut self,
        filters: Vec<(Option<ShareName>, TopicFilter)>,
        now: Instant,
    ) -> Result<(), ConnectError> {
        let count = filters.len();
        self.state
            .request(PacketType::UnsubAck, count, now, |packet_identifier| {
                Packet::Unsubscribe(Unsubscribe {
                    packet_identifier,
                    user_properties: UserProperties::default(),
                    filters,
                })
            })
    }

    /// The answer to the last [`Connected::handle_subscribe`] or [`Connected::handle_unsubscribe`].
    pub(crate) fn poll_answer(&mut self) -> Option<Acknowledgement> {
        match std::mem::replace(&mut self.state.request, Request::None) {
            Request::Answered(answer) => Some(answer),
            request @ (Request::None | Request::Await { .. }) => {
                self.state.request = request;
                None
            }
        }
    }

    /// Whether a new token is to be got now; true once for each.
    pub(crate) fn poll_renewal(&mut self, now: Instant) -> bool {
        self.state.renewal.poll_due(now)
    }

    /// A new token came: it goes to the broker, and a challenge follows (RFC 9431 §4). `client_nonce` is new and random.
    pub(crate) fn handle_token(
        &mut self,
        token: &Token,
        client_nonce: ClientNonce,
        now: Instant,
    ) -> Result<(), ConnectError> {
        let state = &mut self.state;
        let data = ConnectData::Token(token.as_bytes())
            .encode()
            .map_err(ConnectError::not_sent)?;
        state.send(&Packet::Auth(Auth {
            reason_code: ReasonCode::ReAuthenticate,
            authentication_method: Some(AUTHENTICATION_METHOD),
            authentication_data: Some(&data),
            reason_string: None,
            user_properties: UserProperties::default(),
        }))?;
        let by = now + state.answer_limit;
        state.renewal.handle_token(token, client_nonce, by)?;
        state.note_sent(now);
        Ok(())
    }

    /// A new token came for the key that TLS knows us by: it is published on this connection as soon as there is room (RFC 9202 §4).
    pub(crate) fn handle_token_to_publish(
        &mut self,
        token: &Token,
        now: Instant,
    ) -> Result<(), ConnectError> {
        self.state.renewal.handle_token_to_publish(token);
        self.state.publish_token(now)?;
        self.state.note_sent(now);
        Ok(())
    }

    /// Whether nothing would be lost if the connection was left for another now: the application has asked for all messages, has none in hand
    /// and waits for no answer.
    pub(crate) fn may_be_left(&self) -> bool {
        let waits = matches!(self.state.request, Request::Await { .. });
        !waits && !self.state.backlog.has_message() && !self.state.receiving.is_in_hand()
    }

    /// Whether all our messages are done.
    pub(crate) fn is_nothing_in_flight(&self) -> bool {
        self.state.session.publishing.is_empty()
    }

    /// What a connection that was left had still to tell comes first.
    pub(crate) fn take_over_events(&mut self, mut left: Self) {
        let own = self.state.backlog.take_all();
        for event in left.state.backlog.take_all().into_iter().chain(own) {
            self.state.backlog.push(event);
        }
    }

    /// This connection has taken the place of another.
    pub(crate) fn tell_reconnected(&mut self) {
        let session_present = self.state.agreed.session_present;
        self.state
            .backlog
            .push(Event::Reconnected { session_present });
    }

    /// What the next connection goes on with.
    pub(crate) fn session(&self) -> Session {
        let mut session = self.state.session.clone();
        if let Some(packet_identifier) = self.state.renewal.published() {
            session.publishing.abandon(packet_identifier);
        }
        (self.state.receiving).forget_unacknowledged(&mut session.incoming);
        session
    }

    /// No token came.
    pub(crate) fn handle_no_token(
        &mut self,
        error: TokenRequestError,
        now: Instant,
    ) -> Result<(), ConnectError> {
        let event = self.state.renewal.handle_no_token(error, now)?;
        self.state.backlog.push(event);
        Ok(())
    }

    /// Says goodbye; with an interval, the session ends so many seconds later, whatever CONNECT said (5.0). In 3.1.1 it is silence where the
    /// Will is to be published (3.1.1 §3.14).
    pub(crate) fn handle_disconnect(
        &mut self,
        reason_code: ReasonCode,
        session_expiry_interval_secs: Option<u32>,
    ) -> Result<(), ConnectError> {
        if self.state.outbox.version() == ProtocolVersion::V311
            && reason_code != ReasonCode::Success
        {
            return Ok(());
        }
        self.state.send(&Packet::Disconnect(Disconnect {
            session_expiry_interval_secs,
            ..Disconnect::new(reason_code, None)
        }))
    }
}

impl State {
    fn handle_packet(&mut self, packet: Packet<'_>, clocks: Clocks) -> Result<(), Fault> {
        let Self {
            session,
            receiving,
            backlog,
            outbox,
            ..
        } = self;
        let event = match packet {
            Packet::Publish(publish) => {
                receiving.handle_publish(&publish, &mut session.incoming, backlog, outbox)?;
                None
            }
            Packet::PubRel(ack) => {
                receiving.handle_pubrel(&ack, &mut session.incoming, outbox)?;
                None
            }
            Packet::PubAck(ack) => {
                let published = session.publishing.handle_puback(&ack, outbox)?;
                Some(if self.renewal.published() == Some(ack.packet_identifier) {
                    self.renewal
                        .handle_taken(ack.reason_code, ack.reason_string, clocks)?
                } else {
                    published
                })
            }
            Packet::PubRec(ack) => session.publishing.handle_pubrec(&ack, outbox)?,
            Packet::PubComp(ack) => session.publishing.handle_pubcomp(&ack, outbox),
            Packet::SubAck(suback) => {
                let answer = Acknowledgement::new(suback.reason_codes, suback.reason_string);
                self.handle_answer(PacketType::SubAck, suback.packet_identifier, answer)?;
                None
            }
            Packet::UnsubAck(unsuback) => {
                let answer = Acknowledgement::new(unsuback.reason_codes, unsuback.reason_string);
                self.handle_answer(PacketType::UnsubAck, unsuback.packet_identifier, answer)?;
                None
            }
            Packet::PingResp => {
                self.keep_alive.handle_pingresp();
                None
            }
            Packet::Disconnect(disconnect) => return Err(said_goodbye(&disconnect).into()),
            Packet::Auth(auth) => self.handle_auth(&auth, clocks)?,
            Packet::Connect(_)
            | Packet::ConnAck(_)
            | Packet::Subscribe(_)
            | Packet::Unsubscribe(_)
            | Packet::PingReq => return Err(Fault::protocol("a packet that has no place here")),
        };
        if let Some(event) = event {
            self.backlog.push(event);
        }
        Ok(())
    }

    fn handle_answer(
        &mut self,
        answer_type: PacketType,
        identifier: PacketIdentifier,
        answer: Acknowledgement,
    ) -> Result<(), Fault> {
        self.session.publishing.handle_answer(identifier)?;
        match self.request {
            Request::Await {
                packet_type,
                identifier: awaited,
                filters,
                ..
            } if awaited == identifier => {
                // UNSUBACK of 3.1.1 has no codes.
                let bare = answer_type == PacketType::UnsubAck
                    && self.outbox.version() == ProtocolVersion::V311;
                if packet_type != answer_type || (!bare && answer.reason_codes.len() != filters) {
                    return Err(Fault::protocol("an answer that does not fit the request"));
                }
                self.request = Request::Answered(answer);
                Ok(())
            }
            Request::None | Request::Await { .. } | Request::Answered(_) => Ok(()),
        }
    }

    fn handle_auth(&mut self, auth: &Auth<'_>, clocks: Clocks) -> Result<Option<Event>, Fault> {
        // Some brokers leave all properties out where there is nothing to add.
        if auth.reason_code != ReasonCode::Success || auth.authentication_method.is_some() {
            check_method(auth.authentication_method)?;
        }
        match self.renewal.handle_auth(auth, clocks)? {
            Answer::Response(response) => {
                self.send(&Packet::Auth(response_packet(&response)))?;
                Ok(None)
            }
            Answer::Renewed => Ok(Some(Event::Renewed)),
        }
    }

    fn request<'a>(
        &mut self,
        answer_type: PacketType,
        filters: usize,
        now: Instant,
        packet: impl FnOnce(PacketIdentifier) -> Packet<'a>,
    ) -> Result<(), ConnectError> {
        let identifier = self.session.publishing.handle_request();
        let identifier =
            identifier.ok_or_else(|| ConnectError::not_sent("no packet identifier is free"))?;
        if let Err(error) = self.send(&packet(identifier)) {
            // Nobody will answer it.
            self.session
                .publishing
                .handle_answer(identifier)
                .map_err(Fault::into_error)?;
            return Err(error);
        }
        self.request = Request::Await {
            packet_type: answer_type,
            identifier,
            filters,
            by: now + self.answer_limit,
        };
        self.note_sent(now);
        Ok(())
    }

    /// Publishes the token that waits for it, if there is room.
    fn publish_token(&mut self, now: Instant) -> Result<(), ConnectError> {
        let Renewal::AwaitRoom { token, .. } = &self.renewal else {
            return Ok(());
        };
        if !self.session.publishing.has_room() {
            return Ok(());
        }
        let published =
            (self.session.publishing).handle_token(token, &self.agreed, &mut self.outbox);
        match published {
            Ok(Some(packet_identifier)) => {
                let by = now + self.answer_limit;
                self.renewal.handle_published(packet_identifier, by);
            }
            Ok(None) => {}
            Err(error) => {
                let event = self.renewal.handle_unpublishable(&error, now)?;
                self.backlog.push(event);
            }
        }
        Ok(())
    }

    /// Sends a packet that may be larger than the broker takes.
    fn send(&mut self, packet: &Packet<'_>) -> Result<(), ConnectError> {
        let length = packet
            .encoded_len(self.outbox.version())
            .map_err(ConnectError::not_sent)?;
        check_size(length, &self.agreed)?;
        self.outbox.push(packet).map_err(ConnectError::not_sent)
    }

    fn note_sent(&mut self, now: Instant) {
        if self.packets_sent != self.outbox.packets() {
            self.packets_sent = self.outbox.packets();
            self.keep_alive.handle_sent(now);
        }
    }

    /// Tells the broker what it did wrong (MQTT 5.0 §4.13), as far as we can still speak, and the application what happened.
    fn tell(&mut self, fault: Fault) -> ConnectError {
        if let Fault::Broken(reason_code, _) = fault
            && self.outbox.version() == ProtocolVersion::V5
        {
            let goodbye = Packet::Disconnect(Disconnect::new(reason_code, None));
            // One that cannot be said changes nothing: the connection ends either way.
            self.send(&goodbye).unwrap_or_default();
        }
        fault.into_error()
    }
}
