//! `-F`: the output format of `mosquitto_sub`. A format is checked when it is read, so that a mistake is told before a message is lost.

mod json;

use chrono::{DateTime, Local};
use std::fmt::Write as _;
use symbolon_client::connection::Message;

pub(super) use json::JsonError;

/// The most that a width or a maximum may be: a mistyped one must not eat the memory.
const MAX_WIDTH: usize = 10_000;

/// A format, understood.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Format {
    pieces: Vec<Piece>,
    pretty: bool,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Piece {
    Text(Vec<u8>),
    Field(Field, Layout),
    /// What chrono makes of `%` and this.
    Time(String),
    Nanoseconds,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Field {
    /// Always empty: we tell the broker that we take none (MQTT 5.0 §3.1.2.11.5).
    TopicAlias,
    ContentType,
    CorrelationData,
    MessageExpiryInterval,
    PayloadFormatIndicator,
    PayloadLength,
    PacketIdentifier,
    UserProperties,
    Payload,
    Qos,
    ResponseTopic,
    Retain,
    SubscriptionIdentifiers,
    Topic,
    HexLower,
    HexUpper,
    Iso8601,
    Unix,
    Json,
    JsonWithJsonPayload,
}

/// Flags, width and maximum, as in printf.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Layout {
    left: bool,
    zero: bool,
    width: usize,
    maximum: Option<usize>,
}

impl Format {
    /// Understands `-F`. The error says what is wrong.
    pub(super) fn parse(text: &str, pretty: bool) -> Result<Self, String> {
        let mut parser = Parser {
            rest: text.chars().peekable(),
            pieces: Vec::new(),
        };
        while let Some(character) = parser.rest.next() {
            match character {
                '%' => parser.field()?,
                '@' => parser.time()?,
                '\\' => parser.escape()?,
                _ => {
                    let mut bytes = [0; 4];
                    parser.text(character.encode_utf8(&mut bytes).as_bytes());
                }
            }
        }
        Ok(Self {
            pieces: parser.pieces,
            pretty,
        })
    }

    /// Writes a message. Fails only for `%J` with a payload that is no JSON.
    pub(super) fn write(
        &self,
        message: &Message,
        now: DateTime<Local>,
        out: &mut Vec<u8>,
    ) -> Result<(), JsonError> {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Time(format) => write_text(out, &now.format(format).to_string()),
                Piece::Nanoseconds => write_text(
                    out,
                    &format!("{:09}", now.timestamp_subsec_nanos() % 1_000_000_000),
                ),
                Piece::Field(field, layout) => {
                    let value = field.value(message, now, self.pretty)?;
                    layout.write(&value, field.is_text(), out);
                }
            }
        }
        Ok(())
    }
}

struct Parser<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    pieces: Vec<Piece>,
}

impl Parser<'_> {
    fn text(&mut self, bytes: &[u8]) {
        match self.pieces.last_mut() {
            Some(Piece::Text(text)) => text.extend_from_slice(bytes),
            Some(Piece::Field(..) | Piece::Time(_) | Piece::Nanoseconds) | None => {
                self.pieces.push(Piece::Text(bytes.to_vec()));
            }
        }
    }

    fn field(&mut self) -> Result<(), String> {
        let layout = self.layout()?;
        let character = self.rest.next().ok_or("it ends within a % sequence")?;
        if character == '%' {
            self.text(b"%");
            return Ok(());
        }
        let field = Field::named(character)?;
        self.pieces.push(Piece::Field(field, layout));
        Ok(())
    }

    fn layout(&mut self) -> Result<Layout, String> {
        let mut layout = Layout::default();
        while let Some(flag) = self.rest.next_if(|flag| matches!(flag, '0' | '-')) {
            layout.left |= flag == '-';
            layout.zero |= flag == '0';
        }
        layout.width = self.number()?.unwrap_or(0);
        if self.rest.next_if_eq(&'.').is_some() {
            let maximum = self.number()?;
            layout.maximum = Some(maximum.ok_or("a number must follow the point in a % sequence")?);
        }
        Ok(layout)
    }

    fn number(&mut self) -> Result<Option<usize>, String> {
        let mut digits = String::new();
        while let Some(digit) = self.rest.next_if(char::is_ascii_digit) {
            digits.push(digit);
        }
        if digits.is_empty() {
            return Ok(None);
        }
        digits
            .parse()
            .ok()
            .filter(|number| *number <= MAX_WIDTH)
            .map(Some)
            .ok_or_else(|| format!("a width may be at most {MAX_WIDTH}"))
    }

    fn time(&mut self) -> Result<(), String> {
        let character = self.rest.next().ok_or("it ends within an @ sequence")?;
        match character {
            '@' => self.text(b"@"),
            'N' => self.pieces.push(Piece::Nanoseconds),
            _ => {
                let format = format!("%{character}");
                let known = chrono::format::StrftimeItems::new(&format)
                    .all(|item| item != chrono::format::Item::Error);
                if !known {
                    return Err(format!("@{character} is not known"));
                }
                self.pieces.push(Piece::Time(format));
            }
        }
        Ok(())
    }

    fn escape(&mut self) -> Result<(), String> {
        let character = self.rest.next().ok_or("it ends within a \\ sequence")?;
        let byte = match character {
            '\\' => b'\\',
            '0' => 0,
            'a' => 7,
            'e' => 27,
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            'v' => 11,
            _ => return Err(format!("\\{character} is not known")),
        };
        self.text(&[byte]);
        Ok(())
    }
}

impl Field {
    fn named(character: char) -> Result<Self, String> {
        Ok(match character {
            'A' => Self::TopicAlias,
            'C' => Self::ContentType,
            'D' => Self::CorrelationData,
            'E' => Self::MessageExpiryInterval,
            'F' => Self::PayloadFormatIndicator,
            'l' => Self::PayloadLength,
            'm' => Self::PacketIdentifier,
            'P' => Self::UserProperties,
            'p' => Self::Payload,
            'q' => Self::Qos,
            'R' => Self::ResponseTopic,
            'r' => Self::Retain,
            'S' => Self::SubscriptionIdentifiers,
            't' => Self::Topic,
            'x' => Self::HexLower,
            'X' => Self::HexUpper,
            'I' => Self::Iso8601,
            'U' => Self::Unix,
            'j' => Self::Json,
            'J' => Self::JsonWithJsonPayload,
            _ => return Err(format!("%{character} is not known")),
        })
    }

    /// Numbers may be padded with zeros, texts may be cut.
    fn is_text(self) -> bool {
        match self {
            Self::ContentType | Self::Iso8601 | Self::ResponseTopic | Self::Topic => true,
            Self::TopicAlias
            | Self::CorrelationData
            | Self::MessageExpiryInterval
            | Self::PayloadFormatIndicator
            | Self::SubscriptionIdentifiers
            | Self::PayloadLength
            | Self::PacketIdentifier
            | Self::UserProperties
            | Self::Payload
            | Self::Qos
            | Self::Retain
            | Self::HexLower
            | Self::HexUpper
            | Self::Unix
            | Self::Json
            | Self::JsonWithJsonPayload => false,
        }
    }

    fn value(
        self,
        message: &Message,
        now: DateTime<Local>,
        pretty: bool,
    ) -> Result<Vec<u8>, JsonError> {
        let text = |text: &Option<String>| text.clone().unwrap_or_default().into_bytes();
        let number = |number: Option<u32>| {
            number.map_or_else(Vec::new, |number| number.to_string().into_bytes())
        };
        Ok(match self {
            Self::TopicAlias => Vec::new(),
            Self::MessageExpiryInterval => number(message.message_expiry_interval_secs),
            Self::PayloadFormatIndicator => number(message.payload_is_utf8.map(u32::from)),
            Self::SubscriptionIdentifiers => subscription_identifiers(message).into_bytes(),
            Self::ContentType => text(&message.content_type),
            Self::CorrelationData => message.correlation_data.clone().unwrap_or_default(),
            Self::PayloadLength => message.payload.len().to_string().into_bytes(),
            Self::PacketIdentifier => message
                .packet_identifier
                .unwrap_or_default()
                .to_string()
                .into_bytes(),
            Self::UserProperties => user_properties(message).into_bytes(),
            Self::Payload => message.payload.clone(),
            Self::Qos => (message.qos as u8).to_string().into_bytes(),
            Self::ResponseTopic => text(&message.response_topic),
            Self::Retain => u8::from(message.retain).to_string().into_bytes(),
            Self::Topic => message.topic.clone().into_bytes(),
            Self::HexLower => hex(&message.payload, false).into_bytes(),
            Self::HexUpper => hex(&message.payload, true).into_bytes(),
            Self::Iso8601 => now.format("%Y-%m-%dT%H:%M:%S%z").to_string().into_bytes(),
            Self::Unix => now.format("%s.%9f").to_string().into_bytes(),
            Self::Json => json::with_text(message, now, pretty).into_bytes(),
            Self::JsonWithJsonPayload => json::with_json(message, now, pretty)?.into_bytes(),
        })
    }
}

impl Layout {
    fn write(self, value: &[u8], is_text: bool, out: &mut Vec<u8>) {
        let cut = match std::str::from_utf8(value) {
            Ok(text) if is_text => {
                let end = self
                    .maximum
                    .and_then(|maximum| text.char_indices().nth(maximum));
                &value[..end.map_or(value.len(), |(index, _)| index)]
            }
            Ok(_) | Err(_) => value,
        };
        let length = std::str::from_utf8(cut).map_or(cut.len(), |text| text.chars().count());
        let padding = self.width.saturating_sub(length);
        let pad = if self.zero && !self.left && !is_text {
            b'0'
        } else {
            b' '
        };
        if !self.left {
            out.extend(std::iter::repeat_n(pad, padding));
        }
        out.extend_from_slice(cut);
        if self.left {
            out.extend(std::iter::repeat_n(b' ', padding));
        }
    }
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

fn user_properties(message: &Message) -> String {
    let pairs: Vec<String> = message
        .user_properties
        .iter()
        .map(|(name, value)| format!("{name}:{value}"))
        .collect();
    pairs.join(" ")
}

fn subscription_identifiers(message: &Message) -> String {
    let identifiers: Vec<String> = message
        .subscription_identifiers
        .iter()
        .map(u32::to_string)
        .collect();
    identifiers.join(" ")
}

fn hex(bytes: &[u8], upper: bool) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let written = if upper {
            write!(text, "{byte:02X}")
        } else {
            write!(text, "{byte:02x}")
        };
        written.expect("a String takes all that is written");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone as _;
    use symbolon_mqtt_proto::Qos;

    fn message(payload: &[u8]) -> Message {
        Message {
            topic: "a/b".into(),
            payload: payload.to_vec(),
            qos: Qos::AtLeastOnce,
            retain: true,
            duplicate: false,
            packet_identifier: Some(7),
            payload_is_utf8: Some(true),
            message_expiry_interval_secs: Some(60),
            subscription_identifiers: vec![],
            response_topic: None,
            correlation_data: None,
            content_type: Some("text/plain".into()),
            user_properties: vec![("k".into(), "v".into())],
        }
    }

    fn formatted(format: &str, payload: &[u8]) -> String {
        let now = Local.timestamp_opt(1_470_818_943, 786_368_637).unwrap();
        let mut out = Vec::new();
        Format::parse(format, false)
            .unwrap()
            .write(&message(payload), now, &mut out)
            .unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn parameters_stand_for_the_message() {
        assert_eq!(formatted("%t %p %q %r %m %l", b"hi"), "a/b hi 1 1 7 2");
        assert_eq!(formatted("%E|%F|%S|%A|", b""), "60|1|||");
        assert_eq!(
            formatted("%x|%X|%P|%C|%%", b"\xab"),
            "ab|AB|k:v|text/plain|%"
        );
    }

    #[test]
    fn width_and_maximum_work_as_in_printf() {
        assert_eq!(
            formatted("[%5t][%-5t][%.1t][%5.2t]", b""),
            "[  a/b][a/b  ][a][   a/]"
        );
        assert_eq!(formatted("%04l|%-4l|%0-4l|", b"hi"), "0002|2   |2   |");
    }

    #[test]
    fn times_and_escapes_are_replaced() {
        assert_eq!(formatted("@s.@N", b""), "1470818943.786368637");
        assert_eq!(formatted("%U", b""), "1470818943.786368637");
        assert_eq!(formatted(r"\t\n\\@@\0", b""), "\t\n\\@\0");
    }

    #[test]
    fn a_format_with_a_mistake_is_refused() {
        for format in ["%", "%z", "@", "@!", r"\", r"\q", "%5", "%.t", "%99999t"] {
            assert!(Format::parse(format, false).is_err(), "{format}");
        }
    }

    #[test]
    fn json_has_the_members_of_mosquitto_in_its_order() {
        let text = formatted("%j", b"21\"5");
        let start = text.find(r#""topic""#).unwrap();
        assert_eq!(
            &text[start..],
            r#""topic":"a/b","qos":1,"retain":1,"payloadlen":4,"mid":7,"properties":{"payload-format-indicator":1,"message-expiry-interval":60,"content-type":"text/plain","user-properties":{"k":"v"}},"payload":"21\"5"}"#
        );
    }

    #[test]
    fn a_json_payload_stands_unquoted_and_others_are_refused() {
        assert!(formatted("%J", br#"{"t": 1}"#).ends_with(r#""payload":{"t": 1}}"#));
        let mut out = Vec::new();
        let format = Format::parse("%J", false).unwrap();
        assert!(
            format
                .write(&message(b"{"), Local::now(), &mut out)
                .is_err()
        );
    }
}
