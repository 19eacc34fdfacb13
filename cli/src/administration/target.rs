//! Paths and queries below the API's own path.

use std::fmt::Write as _;

/// What a request is for: `/clients/sensor?limit=10`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Target {
    text: String,
    has_query: bool,
}

impl Target {
    /// The path of these segments, each with whatever characters it has.
    pub(super) fn of(segments: &[&str]) -> Self {
        let mut text = String::new();
        for segment in segments {
            text.push('/');
            encode(segment, &mut text);
        }
        Self {
            text,
            has_query: false,
        }
    }

    /// With one more parameter.
    pub(super) fn query(mut self, name: &str, value: &str) -> Self {
        self.text.push(if self.has_query { '&' } else { '?' });
        self.has_query = true;
        self.text.push_str(name);
        self.text.push('=');
        encode(value, &mut self.text);
        self
    }

    /// With one more parameter, where it has a value.
    pub(super) fn maybe(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }
}

/// All but unreserved characters (RFC 3986 §2.3) as `%XX`.
fn encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            into.push(char::from(byte));
        } else {
            write!(into, "%{byte:02X}").expect("a String takes all that is written to it");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_segment() {
        let target = Target::of(&["resource-servers", "mqtts://a/../b?c=d&e#f"]);
        assert_eq!(
            target.as_str(),
            "/resource-servers/mqtts%3A%2F%2Fa%2F..%2Fb%3Fc%3Dd%26e%23f"
        );
        let target = Target::of(&["policies"])
            .query("limit", "10")
            .maybe("group", None)
            .maybe("client", Some("ä b"));
        assert_eq!(target.as_str(), "/policies?limit=10&client=%C3%A4%20b");
    }
}
