//! An MQTT connection that proves possession and renews its token in time.

mod channel;
mod driver;
mod error;
mod moving;
mod open;
mod options;
mod place;
pub(crate) mod raw_key;
mod source;
mod upload;
mod will;

pub use crate::core::{
    event::{Event, Message},
    session::Session,
};
pub use error::ConnectError;
pub use options::{ConnectOptions, Credentials};

use crate::clock;
use driver::Driver;
use std::fmt;
use symbolon_ace_proto::AsHint;
use symbolon_mqtt_proto::{
    PublishProperties, Qos, ReasonCode, ShareName, Subscription, TopicFilter,
};

/// A live connection.
///
/// Whatever must happen in the background (pings, renewing the token, acknowledgements) happens while one of the methods is awaited: an
/// application that has nothing to do awaits [`Connection::next`].
pub struct Connection {
    driver: Driver,
}

/// A message to publish. `Debug` shows no payload.
#[derive(Clone, Copy)]
pub struct Outgoing<'a> {
    /// Topic Name.
    pub topic: &'a str,
    /// Payload.
    pub payload: &'a [u8],
    /// QoS.
    pub qos: Qos,
    /// RETAIN.
    pub retain: bool,
    /// Properties, 5.0 only. A Topic Alias and Subscription Identifiers are not sent.
    pub properties: PublishProperties<'a>,
}

/// What SUBACK or UNSUBACK says (MQTT 5.0 §3.9, §3.11).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Acknowledgement {
    /// One for each Topic Filter, in order; none for UNSUBACK in 3.1.1.
    pub reason_codes: Vec<ReasonCode>,
    /// Why, where the broker said.
    pub reason_string: Option<String>,
}

impl Connection {
    /// Opens the channel, sends CONNECT, proves possession, waits for CONNACK.
    pub async fn connect(
        options: ConnectOptions<'_>,
        credentials: Option<Credentials>,
    ) -> Result<Self, ConnectError> {
        let session = Session::new(options.version);
        Self::resume(options, credentials, session).await
    }

    /// Like [`Connection::connect`], and goes on with the session of an earlier connection: if the broker has kept it, what was in flight
    /// is sent again; if not, an [`Event::Forgotten`] tells of each message that may be lost. Ask for it with `clean_start` off.
    pub async fn resume(
        options: ConnectOptions<'_>,
        credentials: Option<Credentials>,
        session: Session,
    ) -> Result<Self, ConnectError> {
        let driver = Box::pin(open::open(&options, credentials, session)).await?;
        Ok(Self { driver })
    }

    /// Asks the broker, without a token, where to ask for one (RFC 9431 §2.4.1); `None` if it does not say. 5.0 only.
    pub async fn discover(options: ConnectOptions<'_>) -> Result<Option<AsHint>, ConnectError> {
        open::discover(&options).await
    }

    /// Whether the broker went on with a session it had.
    pub fn session_present(&self) -> bool {
        self.driver.agreed().session_present
    }

    /// The Client Identifier, ours or the one the broker assigned.
    pub fn client_identifier(&self) -> &str {
        &self.driver.agreed().client_identifier
    }

    /// Sends a message; above QoS 0 an [`Event::Published`] with this identifier follows. Waits while the broker's Receive Maximum is
    /// reached (in 3.1.1, which has none, while 20 are in flight), and until the message is handed to the operating system. Events that come meanwhile are kept for [`Connection::next`].
    ///
    /// Cancel safe up to the moment the message is taken; cancelled after that, it is sent with the next call.
    pub async fn publish(&mut self, message: Outgoing<'_>) -> Result<u64, ConnectError> {
        self.driver.publish(&message).await
    }

    /// Subscribes and waits for the answer; messages that come meanwhile are kept for [`Connection::next`].
    pub async fn subscribe(
        &mut self,
        subscriptions: Vec<Subscription>,
    ) -> Result<Acknowledgement, ConnectError> {
        self.driver.keep_session().await?;
        let now = clock::now();
        self.driver.machine.handle_subscribe(subscriptions, now)?;
        self.driver.answer().await
    }

    /// Unsubscribes and waits for the answer; messages that come meanwhile are kept for [`Connection::next`].
    pub async fn unsubscribe(
        &mut self,
        filters: Vec<(Option<ShareName>, TopicFilter)>,
    ) -> Result<Acknowledgement, ConnectError> {
        self.driver.settle().await?;
        let now = clock::now();
        self.driver.machine.handle_unsubscribe(filters, now)?;
        self.driver.answer().await
    }

    /// The next event; pings and renews meanwhile. Cancel safe. After a failure the connection is over.
    pub async fn next(&mut self) -> Result<Event, ConnectError> {
        self.driver.next().await
    }

    /// Acknowledges the message that [`Connection::next`] gave last, without asking for another.
    pub async fn acknowledge(&mut self) -> Result<(), ConnectError> {
        self.driver.machine.acknowledge(clock::now());
        self.driver.flush().await
    }

    /// Says goodbye and closes; with [`ReasonCode::DisconnectWithWillMessage`] the Will is published. A message that was not
    /// acknowledged stays so.
    pub async fn disconnect(self, reason_code: ReasonCode) -> Result<(), ConnectError> {
        self.driver.disconnect(reason_code).await
    }

    /// Closes without goodbye, and keeps what [`Connection::resume`] needs.
    pub fn into_session(self) -> Session {
        self.driver.machine.into_session()
    }
}

impl Acknowledgement {
    pub(crate) fn new(reason_codes: Vec<ReasonCode>, reason_string: Option<&str>) -> Self {
        Self {
            reason_codes,
            reason_string: reason_string.map(str::to_owned),
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("agreed", self.driver.agreed())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Outgoing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing")
            .field("topic", &self.topic)
            .field("payload_bytes", &self.payload.len())
            .field("qos", &self.qos)
            .field("retain", &self.retain)
            .finish_non_exhaustive()
    }
}
