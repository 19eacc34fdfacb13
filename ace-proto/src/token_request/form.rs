//! `application/x-www-form-urlencoded` (RFC 6749 Appendix B), strict: UTF-8 only, no half escapes, no name twice.

use std::collections::BTreeMap;

use super::invalid_request;
use crate::ErrorResponse;

/// The most parameters accepted.
const MAX_PARAMETERS: usize = 64;

/// The parameters by name.
pub(crate) fn parse(body: &[u8]) -> Result<BTreeMap<String, String>, ErrorResponse> {
    let mut form = BTreeMap::new();
    for pair in body.split(|byte| *byte == b'&') {
        if pair.is_empty() {
            continue;
        }
        if form.len() == MAX_PARAMETERS {
            return Err(invalid_request("too many parameters"));
        }
        let equals = pair.iter().position(|byte| *byte == b'=');
        let (name, value) = match equals {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &[][..]),
        };
        let decoded = decode(name).zip(decode(value));
        let (name, value) =
            decoded.ok_or_else(|| invalid_request("the body is not a form in UTF-8"))?;
        // RFC 6749 §3.2
        if form.insert(name, value).is_some() {
            return Err(invalid_request("a parameter is given twice"));
        }
    }
    Ok(form)
}

/// Takes `+` for a space and `%XX` for a byte.
fn decode(encoded: &[u8]) -> Option<String> {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        bytes.push(match first {
            b'+' => b' ',
            b'%' => {
                let (digits, behind) = rest.split_first_chunk::<2>()?;
                rest = behind;
                hex(digits[0])? << 4 | hex(digits[1])?
            }
            plain => *plain,
        });
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_plus_are_decoded() {
        let form = parse(b"a=%5B1%2c+2%5d&b=&c&%C3%A9=%c3%a9").unwrap();
        assert_eq!(form["a"], "[1, 2]");
        assert_eq!(form["b"], "");
        assert_eq!(form["c"], "");
        assert_eq!(form["é"], "é");
    }

    #[test]
    fn half_an_escape_is_refused() {
        for body in ["a=%", "a=%1", "a=%1g", "%zz=1", "a=%+1", "a=%ff"] {
            assert!(parse(body.as_bytes()).is_err(), "{body}");
        }
    }

    // RFC 6749 §3.2
    #[test]
    fn a_name_given_twice_is_refused() {
        assert!(parse(b"a=1&b=2&a=1").is_err());
        assert!(parse(b"a=1&%61=1").is_err());
    }

    #[test]
    fn more_parameters_than_the_limit_are_refused() {
        let body = |count: usize| {
            let all: Vec<String> = (0..count).map(|i| format!("p{i}=1")).collect();
            all.join("&")
        };
        assert!(parse(body(MAX_PARAMETERS).as_bytes()).is_ok());
        assert!(parse(body(MAX_PARAMETERS + 1).as_bytes()).is_err());
    }
}
