//! AS Request Creation Hints as CBOR (RFC 9200 §5.3, Figure 2).

use super::AsHint;
use crate::{
    Scope,
    cbor::{self, MalformedMessage, Members, Value},
};

const AS: i64 = 1;
const AUDIENCE: i64 = 5;
const SCOPE: i64 = 9;
const CNONCE: i64 = 39;

impl AsHint {
    /// As a CBOR map.
    pub fn to_cbor(&self) -> Vec<u8> {
        let scope = self.scope.as_ref().map(Scope::to_cbor);
        let mut members = Members::default();
        members.push_text(AS, Some(&self.authorization_server));
        members.push_text(AUDIENCE, self.audience.as_deref());
        members.push_bytes(SCOPE, scope.as_deref());
        members.push_bytes(CNONCE, self.cnonce.as_deref());
        Value::Map(members).encode()
    }

    /// From a CBOR map; unknown members are ignored, and so is a scope that is a text, which is no AIF.
    pub fn from_cbor(bytes: &[u8]) -> Result<Self, MalformedMessage> {
        let members = cbor::decode_map(bytes)?;
        let authorization_server = members.text(AS, "AS")?.filter(|uri| !uri.is_empty());
        let scope = members.get(SCOPE).filter(|scope| scope.as_text().is_none());
        let parse = |scope| Scope::from_cbor_value(scope).ok();
        Ok(Self {
            authorization_server: authorization_server.ok_or(MalformedMessage("AS"))?,
            audience: members.text(AUDIENCE, "audience")?,
            scope: cbor::read(scope, "scope", parse)?,
            cnonce: members.bytes(CNONCE, "cnonce")?.map(<[u8]>::to_vec),
        })
    }
}
