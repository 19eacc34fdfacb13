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
    /// `cnonce`: to be copied into the token request, so that the token comes back with it (RFC 9200 §5.3.1); bytes, base64url in JSON.
    #[serde(default, with = "nonce_text", skip_serializing_if = "Option::is_none")]
    pub cnonce: Option<Vec<u8>>,
}

/// Bytes as base64url.
mod nonce_text {
    use crate::base64url;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[expect(clippy::ref_option, reason = "serde hands the field over like this")]
    pub(super) fn serialize<S: Serializer>(
        nonce: &Option<Vec<u8>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&base64url::encode(nonce.as_deref().unwrap_or_default()))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<u8>>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let nonce = base64url::decode(&text).ok_or_else(|| D::Error::custom("cnonce"))?;
        Ok(Some(nonce))
    }
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
