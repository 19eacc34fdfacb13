//! AS Request Creation Hints (RFC 9200 §5.3), as RFC 9431 §2.4.1 carries them in a CONNACK.

mod cbor;

use serde::{Deserialize, Deserializer, Serialize};

use crate::{
    Scope,
    json_object::{Object, present, to_json},
};

/// The name of the User Property.
pub const USER_PROPERTY: &str = "ace_as_hint";

/// Where a client without a valid token should ask for one.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
pub struct AsHint {
    /// `AS`: the absolute URI of the token endpoint; mandatory here (RFC 9431 §2.4.1), never empty.
    #[serde(rename = "AS", deserialize_with = "not_empty")]
    pub authorization_server: String,
    /// `audience`.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub audience: Option<String>,
    /// `scope`.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub scope: Option<Scope>,
}

impl AsHint {
    /// As the JSON object of the User Property's value.
    pub fn to_json(&self) -> String {
        to_json(self)
    }

    /// From the User Property's value; unknown members are ignored.
    pub fn from_json(json: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str::<Object<Self>>(json).map(|object| object.0)
    }
}

fn not_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Err(serde::de::Error::custom("AS is empty"));
    }
    Ok(text)
}
