//! JSON objects read strictly: an object is never an array, a member never stands twice, `null` is not "absent".

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::value::RawValue;

/// The most members accepted in one object whose members are all kept.
const MAX_MEMBERS: usize = 128;

/// A `T` that stands as a JSON object: serde would read a struct from an array too.
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }
}

/// For `#[serde(default, deserialize_with)]`: a member that is there has a value of its type; `null` is refused like any other wrong type.
pub(crate) fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// As JSON text.
pub(crate) fn to_json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value)
        .expect("what this crate writes has texts for member names, and nothing in it can fail")
}

/// The members of one object, each to be taken by name. Names are unique (RFC 7515 §4, RFC 7519 §4).
pub(crate) struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// A member is malformed: which one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct BadMember(pub(crate) &'static str);

impl<'a> Members<'a> {
    /// Takes an object apart.
    pub(crate) fn parse(json: &'a [u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json)
    }

    /// The member, if it is there.
    pub(crate) fn take<T: Deserialize<'a>>(
        &self,
        name: &'static str,
    ) -> Result<Option<T>, BadMember> {
        let member = self.0.iter().find(|(key, _)| key == name);
        member
            .map(|(_, value)| T::deserialize(*value).map_err(|_| BadMember(name)))
            .transpose()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor(PhantomData))
    }
}

struct MembersVisitor<'a>(PhantomData<&'a ()>);

/// A text: borrowed unless it is written with escapes.
#[derive(Deserialize)]
pub(crate) struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Text<'_> {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Visitor<'de> for MembersVisitor<'a> {
    type Value = Members<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members: Vec<(Cow<'a, str>, &'a RawValue)> = Vec::new();
        while let Some((Text(name), value)) = map.next_entry::<Text<'a>, &'a RawValue>()? {
            if members.len() == MAX_MEMBERS {
                return Err(de::Error::custom("too many members"));
            }
            if members.iter().any(|(known, _)| *known == name) {
                return Err(de::Error::custom("a member stands twice"));
            }
            members.push((name, value));
        }
        Ok(Members(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Pair {
        #[serde(default, deserialize_with = "present")]
        a: Option<u8>,
    }

    #[test]
    fn an_array_is_not_taken_for_an_object() {
        assert!(serde_json::from_str::<Pair>("[1]").is_ok());
        assert!(serde_json::from_str::<Object<Pair>>("[1]").is_err());
        assert!(Members::parse(b"[1]").is_err());
    }

    #[test]
    fn null_is_not_absence() {
        assert!(serde_json::from_str::<Object<Pair>>(r#"{"a":null}"#).is_err());
        let absent = serde_json::from_str::<Object<Pair>>("{}").unwrap();
        assert_eq!(absent.0.a, None);
    }

    // RFC 7519 §4
    #[test]
    fn a_member_that_stands_twice_is_refused_however_it_is_written() {
        assert!(Members::parse(br#"{"exp":1,"exp":1}"#).is_err());
        assert!(Members::parse(br#"{"exp":1,"\u0065xp":2}"#).is_err());
        assert!(serde_json::from_str::<Object<Pair>>(r#"{"a":1,"\u0061":1}"#).is_err());
    }

    #[test]
    fn more_members_than_the_limit_are_refused() {
        let members = |count: usize| {
            let all: Vec<String> = (0..count).map(|i| format!("\"m{i}\":0")).collect();
            format!("{{{}}}", all.join(","))
        };
        assert!(Members::parse(members(MAX_MEMBERS).as_bytes()).is_ok());
        assert!(Members::parse(members(MAX_MEMBERS + 1).as_bytes()).is_err());
    }

    #[test]
    fn a_malformed_member_is_named() {
        let members = Members::parse(br#"{"exp":"x"}"#).unwrap();
        assert_eq!(members.take::<u64>("exp"), Err(BadMember("exp")));
        assert_eq!(members.take::<u64>("nbf"), Ok(None));
    }
}
