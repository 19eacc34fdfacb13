//! `-D COMMAND IDENTIFIER VALUE`: MQTT 5.0 properties, as mosquitto's clients take them.

use crate::exit::usage;
use symbolon_mqtt_proto::{PublishProperties, TopicName, property::PropertyBuffer};

/// `-D`, each with its three or four words.
#[derive(Clone, Debug, Default)]
pub(crate) struct PropertyArgs {
    /// The words of each `-D`.
    pub(crate) given: Vec<Vec<String>>,
}

const ARGUMENT: &str = "property";

impl clap::FromArgMatches for PropertyArgs {
    fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
        let given = matches
            .get_occurrences::<String>(ARGUMENT)
            .map(|occurrences| occurrences.map(|words| words.cloned().collect()).collect())
            .unwrap_or_default();
        Ok(Self { given })
    }

    fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

// By hand, because the derive forgets which words belong to which `-D`.
impl clap::Args for PropertyArgs {
    fn augment_args(command: clap::Command) -> clap::Command {
        command.arg(
            clap::Arg::new(ARGUMENT)
                .short('D')
                .long("property")
                .num_args(3..=4)
                .action(clap::ArgAction::Append)
                .value_names(["COMMAND", "IDENTIFIER", "VALUE"])
                .help("An MQTT 5.0 property: COMMAND IDENTIFIER VALUE, or COMMAND user-property NAME VALUE"),
        )
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

/// The properties of a message or a Will.
#[derive(Clone, Debug, Default)]
pub(crate) struct MessageProperties {
    payload_is_utf8: Option<bool>,
    message_expiry_interval_secs: Option<u32>,
    response_topic: Option<String>,
    correlation_data: Option<Vec<u8>>,
    content_type: Option<String>,
    user_properties: PropertyBuffer,
}

/// All that `-D` said.
#[derive(Clone, Debug, Default)]
pub(crate) struct Properties {
    /// `-D publish`.
    pub(crate) publish: MessageProperties,
    /// `-D will`.
    pub(crate) will: MessageProperties,
    /// `-D will will-delay-interval`, seconds.
    pub(crate) will_delay_interval_secs: u32,
    /// `-D connect session-expiry-interval`, seconds.
    pub(crate) session_expiry_interval_secs: Option<u32>,
    /// `-D connect receive-maximum`.
    pub(crate) receive_maximum: Option<u16>,
    /// `-D connect maximum-packet-size`, bytes.
    pub(crate) maximum_packet_size: Option<u32>,
    /// `-D connect user-property`.
    pub(crate) connect_pairs: Vec<(String, String)>,
    /// Whether there is one for a Will.
    pub(crate) has_will: bool,
}

impl PropertyArgs {
    /// Understands each, or says which cannot be honoured.
    pub(crate) fn parse(&self) -> anyhow::Result<Properties> {
        let mut properties = Properties::default();
        for words in &self.given {
            properties
                .add(words)
                .map_err(|error| usage(format!("-D {}: {error}", words.join(" "))))?;
        }
        Ok(properties)
    }
}

impl Properties {
    fn add(&mut self, words: &[String]) -> Result<(), String> {
        let [command, identifier, values @ ..] = words else {
            return Err("expected COMMAND IDENTIFIER VALUE".into());
        };
        let expected = if identifier == "user-property" { 2 } else { 1 };
        if values.len() != expected {
            return Err(match expected {
                2 => "a user property needs a name and a value".into(),
                _ => "expected one value".into(),
            });
        }
        match (command.to_lowercase().as_str(), identifier.as_str()) {
            ("publish", _) => self.publish.add(identifier, values),
            ("will", "will-delay-interval") => {
                self.has_will = true;
                self.will_delay_interval_secs = number(&values[0])?;
                Ok(())
            }
            ("will", _) => {
                self.has_will = true;
                self.will.add(identifier, values)
            }
            ("connect", "session-expiry-interval") => {
                self.session_expiry_interval_secs = Some(number(&values[0])?);
                Ok(())
            }
            ("connect", "receive-maximum") => {
                self.receive_maximum = Some(nonzero(&values[0])?);
                Ok(())
            }
            ("connect", "maximum-packet-size") => {
                self.maximum_packet_size = Some(nonzero(&values[0])?);
                Ok(())
            }
            ("connect", "user-property") => {
                let pair = (values[0].clone(), values[1].clone());
                self.connect_pairs.push(pair);
                Ok(())
            }
            ("connect", "authentication-method" | "authentication-data") => {
                Err("authentication is what --profile and --auth are for".into())
            }
            (
                "connect" | "puback" | "pubrec" | "pubrel" | "pubcomp" | "subscribe"
                | "unsubscribe" | "disconnect" | "auth",
                _,
            ) => Err(format!("{command} {identifier} cannot be set")),
            _ => Err(format!("there is no packet {command:?}")),
        }
    }
}

impl MessageProperties {
    fn add(&mut self, identifier: &str, values: &[String]) -> Result<(), String> {
        let value = values[0].as_str();
        match identifier {
            "content-type" => self.content_type = Some(value.to_owned()),
            "correlation-data" => self.correlation_data = Some(value.as_bytes().to_vec()),
            "message-expiry-interval" => self.message_expiry_interval_secs = Some(number(value)?),
            "payload-format-indicator" => {
                self.payload_is_utf8 = Some(match value {
                    "0" => false,
                    "1" => true,
                    _ => return Err("expected 0 or 1".into()),
                });
            }
            "response-topic" => {
                TopicName::parse(value).map_err(|error| error.to_string())?;
                self.response_topic = Some(value.to_owned());
            }
            "user-property" => self
                .user_properties
                .push_user_property(value, &values[1])
                .map_err(|error| error.to_string())?,
            "topic-alias" => {
                return Err(
                    "topic aliases cannot be chosen: the broker says how many it takes".into(),
                );
            }
            _ => return Err(format!("there is no property {identifier:?} of a message")),
        }
        Ok(())
    }

    /// As they go into a packet.
    pub(crate) fn borrow(&self) -> anyhow::Result<PublishProperties<'_>> {
        let response_topic = self.response_topic.as_deref();
        Ok(PublishProperties {
            payload_is_utf8: self.payload_is_utf8,
            message_expiry_interval_secs: self.message_expiry_interval_secs,
            response_topic: response_topic.map(TopicName::parse).transpose()?,
            correlation_data: self.correlation_data.as_deref(),
            content_type: self.content_type.as_deref(),
            user_properties: self.user_properties.user_properties(),
            ..PublishProperties::default()
        })
    }
}

fn nonzero<N: std::str::FromStr + Default + PartialEq>(text: &str) -> Result<N, String> {
    text.parse()
        .ok()
        .filter(|number| *number != N::default())
        .ok_or_else(|| format!("{text:?} is not a number above 0 that fits"))
}

fn number(text: &str) -> Result<u32, String> {
    text.parse()
        .map_err(|_| format!("{text:?} is not a number from 0 to {}", u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(lines: &[&str]) -> Result<Properties, String> {
        let given = lines
            .iter()
            .map(|line| line.split(' ').map(str::to_owned).collect())
            .collect();
        PropertyArgs { given }
            .parse()
            .map_err(|error| error.to_string())
    }

    #[test]
    fn properties_of_a_message_and_of_a_will_are_kept_apart() {
        let properties = parse(&[
            "publish content-type text/plain",
            "will message-expiry-interval 5",
            "WILL will-delay-interval 7",
        ])
        .unwrap();
        assert_eq!(
            properties.publish.content_type.as_deref(),
            Some("text/plain")
        );
        assert_eq!(properties.will.message_expiry_interval_secs, Some(5));
        assert_eq!(properties.will_delay_interval_secs, 7);
    }

    #[test]
    fn a_property_that_cannot_be_honoured_is_refused() {
        for line in [
            "connect receive-maximum 0",
            "connect receive-maximum 65536",
            "connect topic-alias-maximum 5",
            "publish topic-alias 1",
            "publish nonsense 1",
            "subscribe user-property a b",
            "publish user-property a",
            "publish content-type a b",
            "publish response-topic a/#",
            "publish payload-format-indicator 2",
            "nothing content-type a",
        ] {
            assert!(parse(&[line]).is_err(), "{line}");
        }
    }
}
