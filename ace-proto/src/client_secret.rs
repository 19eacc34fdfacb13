//! Client authentication by a shared secret, `client_secret_basic` (RFC 6749 §2.3.1).

use base64::{Engine, prelude::BASE64_STANDARD};
use zeroize::Zeroizing;

use crate::form::encoded;

/// The value of the `Authorization` header: both parts are form-encoded first. Wiped when dropped.
pub fn basic(client_id: &str, secret: &str) -> Zeroizing<String> {
    let secret = Zeroizing::new(encoded(secret));
    let pair = Zeroizing::new(format!("{}:{}", encoded(client_id), *secret));
    let pair = Zeroizing::new(BASE64_STANDARD.encode(pair.as_bytes()));
    Zeroizing::new(format!("Basic {}", *pair))
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 6749 §2.3.1, Appendix B.
    #[test]
    fn both_parts_are_form_encoded_first() {
        let header = basic("sensor 1/ä", "s+cret:1");
        assert_eq!(*header, "Basic c2Vuc29yKzElMkYlQzMlQTQ6cyUyQmNyZXQlM0Ex");
    }
}
