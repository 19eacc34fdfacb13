//! AS Request Creation Hints (RFC 9200 §5.3), as RFC 9431 §2.4.1 carries them in a CONNACK.

use crate::Scope;

/// The name of the User Property.
pub const USER_PROPERTY: &str = "ace_as_hint";

/// Where a client without a valid token should ask for one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AsHint {
    /// `AS`: the absolute URI of the token endpoint; mandatory here (RFC 9431 §2.4.1).
    pub authorization_server: String,
    /// `audience`.
    pub audience: Option<String>,
    /// `scope`.
    pub scope: Option<Scope>,
}

impl AsHint {
    /// As the JSON object of the User Property's value.
    pub fn to_json(&self) -> String {
        todo!()
    }

    /// From the User Property's value; unknown members are ignored.
    pub fn from_json(json: &str) -> Result<Self, serde_json::Error> {
        let _ = json;
        todo!()
    }
}
