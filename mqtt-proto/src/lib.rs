//! MQTT 5.0 and 3.1.1: packets for both ends, topics, and the delivery states of QoS 1 and 2. Without IO: bytes and values in,
//! values and bytes out.
//!
//! | module | holds |
//! |---|---|
//! | [`packet`] | [`Packet`], one variant for each of the fifteen packet types, and [`Decoder`] |
//! | one file per packet | what the packet carries, its decoding and encoding |
//! | [`property`] | the properties of MQTT 5.0 (§2.2.2) |
//! | [`reason_code`] | [`ReasonCode`] (§2.4) |
//! | [`topic`] | [`TopicName`], [`TopicFilter`]: matching, subset, `$share` (§4.7, §4.8) |
//! | [`delivery`] | packet identifiers and acknowledgements in flight (§4.3, §4.9) |
//!
//! Section numbers are those of MQTT 5.0 unless 3.1.1 is named. One packet model serves both versions: [`ProtocolVersion`] is a value,
//! and what 3.1.1 lacks is left at its default there.

pub mod ack;
pub mod auth;
pub mod connack;
pub mod connect;
pub mod delivery;
pub mod disconnect;
pub mod error;
pub mod packet;
pub mod property;
pub mod publish;
mod reader;
pub mod reason_code;
mod redacted;
pub mod subscribe;
pub mod topic;
pub mod unsubscribe;
mod writer;

pub use ack::Ack;
pub use auth::Auth;
pub use connack::ConnAck;
pub use connect::{Connect, Will};
pub use disconnect::Disconnect;
pub use error::{DecodeError, EncodeError};
pub use packet::{Decoder, Packet, PacketIdentifier, PacketType, ProtocolVersion, Qos, Sender};
pub use property::UserProperties;
pub use publish::{Delivery, Publish, PublishProperties};
pub use reason_code::ReasonCode;
pub use subscribe::{RetainHandling, SubAck, Subscribe, Subscription};
pub use topic::{ShareName, TopicError, TopicFilter, TopicName};
pub use unsubscribe::{UnsubAck, Unsubscribe};
