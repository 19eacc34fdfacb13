//! Identifiers that are bytes in CBOR and text in JSON: `kid`, `cti` with `jti`.

use crate::base64url;

/// Of the text: base64url of the bytes; a text that is not base64url stands for its UTF-8 bytes.
pub fn to_bytes(text: &str) -> Vec<u8> {
    base64url::decode(text).unwrap_or_else(|| text.as_bytes().to_vec())
}

/// Of a token that has `exi`: its number among those of its resource server, 8 bytes behind the server's audience (RFC 9200 §5.10.3, which
/// leaves the width open). `None` where the identifier is another.
pub fn sequence_number(token_identifier: &str, audience: &str) -> Option<u64> {
    let bytes = to_bytes(token_identifier);
    let number = bytes.strip_prefix(audience.as_bytes())?;
    Some(u64::from_be_bytes(number.try_into().ok()?))
}

/// Of the bytes: such a text that [`to_bytes`] gives them back. Where the bytes are printable ASCII that is not base64url by itself they
/// are left as they are, so that the short names that people give stay readable.
pub(crate) fn to_text(bytes: &[u8]) -> String {
    match str::from_utf8(bytes) {
        Ok(text)
            if !text.is_empty()
                && bytes.iter().all(u8::is_ascii_graphic)
                && base64url::decode(text).is_none() =>
        {
            text.to_owned()
        }
        Ok(_) | Err(_) => base64url::encode(bytes),
    }
}

/// The name of a server's key as text. Such names are given by people more often than not, and other servers write them letter by letter:
/// what is printable stays as it is.
pub(crate) fn name_to_text(bytes: &[u8]) -> String {
    match str::from_utf8(bytes) {
        Ok(text) if bytes.iter().all(u8::is_ascii_graphic) => text.to_owned(),
        Ok(_) | Err(_) => base64url::encode(bytes),
    }
}

/// Whether the text is one for these bytes, read either way.
pub(crate) fn is_same(text: &str, bytes: &[u8]) -> bool {
    text.as_bytes() == bytes || base64url::decode(text).is_some_and(|own| own == bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_that_is_no_base64url_stays_as_it_is() {
        assert_eq!(to_text(b"as1"), "as1");
        assert_eq!(to_bytes("as1"), b"as1");
        assert_eq!(to_text(b"Symmetric256"), "U3ltbWV0cmljMjU2");
    }

    // RFC 9200 §5.10.3.
    #[test]
    fn a_sequence_number_stands_behind_the_audience() {
        let of = |audience: &str, number: &[u8]| to_text(&[audience.as_bytes(), number].concat());
        let number = 0x0102_0304_0506_0708_u64.to_be_bytes();
        let identifier = of("rs", &number);
        assert_eq!(
            sequence_number(&identifier, "rs"),
            Some(0x0102_0304_0506_0708)
        );
        assert_eq!(sequence_number(&identifier, "rt"), None);
        assert_eq!(sequence_number(&identifier, "r"), None);
        assert_eq!(sequence_number(&of("rs", &number[1..]), "rs"), None);
        assert_eq!(sequence_number("", "rs"), None);
        // Bytes that are all printable stand as they are in a text.
        assert_eq!(
            sequence_number(&of("mqtts://rs", b"12345678"), "mqtts://rs"),
            Some(u64::from_be_bytes(*b"12345678"))
        );
    }

    proptest! {
        #[test]
        fn bytes_come_back(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(to_bytes(&to_text(&bytes)), bytes.clone());
            prop_assert!(is_same(&to_text(&bytes), &bytes));
            prop_assert!(is_same(&name_to_text(&bytes), &bytes));
        }

        #[test]
        fn ascii_comes_back(text in "[ -~]{0,8}") {
            prop_assert_eq!(to_bytes(&to_text(text.as_bytes())), text.as_bytes());
        }
    }
}
