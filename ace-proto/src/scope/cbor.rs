//! AIF-MQTT as CBOR (RFC 9431 §2.3, RFC 9237 §3).

use super::{Scope, ScopeEntry, ScopeError};
use crate::cbor::{self, Value};

impl Scope {
    /// From the CBOR array, `[["topic1",["pub","sub"]]]`: what stands inside the byte string that is the `scope` of a CWT or of a CBOR
    /// message.
    pub fn from_cbor(bytes: &[u8]) -> Result<Self, ScopeError> {
        let scope = cbor::decode(bytes).map_err(|_| ScopeError::Structure)?;
        let entries = scope.as_array().ok_or(ScopeError::Structure)?;
        if entries.len() > Self::MAX_ENTRIES {
            return Err(ScopeError::TooLong);
        }
        entries
            .iter()
            .map(entry)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// As the CBOR array.
    pub fn to_cbor(&self) -> Vec<u8> {
        let entries = self.entries().iter().map(|entry| {
            let (filter, permissions) = entry.to_wire();
            let permissions = permissions.into_iter().map(Value::Text).collect();
            Value::Array(vec![Value::Text(filter), Value::Array(permissions)])
        });
        Value::Array(entries.collect()).encode()
    }

    /// From the value of a member `scope`: only a byte string can hold AIF (RFC 9200 §5.8.1).
    pub(crate) fn from_cbor_value(value: &Value<'_>) -> Result<Self, ScopeError> {
        Self::from_cbor(value.as_bytes().ok_or(ScopeError::Structure)?)
    }
}

fn entry(value: &Value<'_>) -> Result<ScopeEntry, ScopeError> {
    let Some([filter, permissions]) = value.as_array() else {
        return Err(ScopeError::Structure);
    };
    let filter = filter.as_text().ok_or(ScopeError::Structure)?;
    let permissions = permissions.as_array().ok_or(ScopeError::Structure)?;
    let texts: Option<Vec<&str>> = permissions.iter().map(Value::as_text).collect();
    ScopeEntry::from_wire(filter, texts.ok_or(ScopeError::Structure)?.into_iter())
}
