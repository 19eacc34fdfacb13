//! `%j` and `%J`: a message as one JSON object.

use chrono::{DateTime, Local};
use serde::{Serialize, Serializer, ser::SerializeMap as _};
use serde_json::value::RawValue;
use symbolon_client::connection::Message;

/// The payload is no JSON.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("message payload is not valid JSON on topic {0}")]
pub(in super::super) struct JsonError(String);

#[derive(Serialize)]
struct JsonMessage<'a, P> {
    tst: String,
    topic: &'a str,
    qos: u8,
    retain: u8,
    payloadlen: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    mid: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    properties: Option<JsonProperties<'a>>,
    payload: P,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct JsonProperties<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_format_indicator: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_expiry_interval: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_topic: Option<&'a str>,
    #[serde(skip_serializing_if = "<[u32]>::is_empty")]
    subscription_identifier: &'a [u32],
    #[serde(skip_serializing_if = "UserProperties::is_empty")]
    user_properties: UserProperties<'a>,
}

/// One object, as mosquitto writes it; a name that comes twice stands in it twice.
struct UserProperties<'a>(&'a [(String, String)]);

impl UserProperties<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for UserProperties<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// The payload as text; what is not UTF-8 in it becomes U+FFFD.
pub(super) fn with_text(message: &Message, now: DateTime<Local>, pretty: bool) -> String {
    let payload = String::from_utf8_lossy(&message.payload);
    render(&envelope(message, now, payload), pretty)
}

/// The payload as the JSON that it is.
pub(super) fn with_json(
    message: &Message,
    now: DateTime<Local>,
    pretty: bool,
) -> Result<String, JsonError> {
    let payload: &RawValue =
        serde_json::from_slice(&message.payload).map_err(|_| JsonError(message.topic.clone()))?;
    Ok(render(&envelope(message, now, payload), pretty))
}

fn render(message: &impl Serialize, pretty: bool) -> String {
    let rendered = if pretty {
        serde_json::to_string_pretty(message)
    } else {
        serde_json::to_string(message)
    };
    rendered.expect("texts, numbers and JSON always serialize")
}

fn envelope<P>(message: &Message, now: DateTime<Local>, payload: P) -> JsonMessage<'_, P> {
    JsonMessage {
        tst: now.format("%Y-%m-%dT%H:%M:%S%.6f%z").to_string(),
        topic: &message.topic,
        qos: message.qos as u8,
        retain: message.retain.into(),
        payloadlen: message.payload.len(),
        mid: message.packet_identifier,
        properties: properties(message),
        payload,
    }
}

fn properties(message: &Message) -> Option<JsonProperties<'_>> {
    let properties = JsonProperties {
        payload_format_indicator: message.payload_is_utf8.map(u8::from),
        message_expiry_interval: message.message_expiry_interval_secs,
        subscription_identifier: &message.subscription_identifiers,
        content_type: message.content_type.as_deref(),
        correlation_data: message
            .correlation_data
            .as_deref()
            .map(|data| String::from_utf8_lossy(data).into_owned()),
        response_topic: message.response_topic.as_deref(),
        user_properties: UserProperties(&message.user_properties),
    };
    let is_empty = properties.payload_format_indicator.is_none()
        && properties.message_expiry_interval.is_none()
        && properties.subscription_identifier.is_empty()
        && properties.content_type.is_none()
        && properties.correlation_data.is_none()
        && properties.response_topic.is_none()
        && properties.user_properties.is_empty();
    (!is_empty).then_some(properties)
}
