//! `cnonce` (RFC 9200 §5.3.1): a nonce in each hint, which must come back in the token. So a broker knows that the token was made for it,
//! lately, without keeping a nonce: each is a time with a MAC.

use aws_lc_rs::hmac;
use symbolon_ace_proto::UnixTime;

/// How long a token may take to come back with the nonce, seconds.
const FRESH_FOR_SECS: u64 = 300;
/// Of the time, bytes.
const TIME_BYTES: usize = 8;
/// Of the MAC, cut, bytes.
const MAC_BYTES: usize = 16;

/// Makes nonces and knows them again. `Debug` does not show the key.
#[derive(Debug)]
pub(crate) struct ClientNonces(Option<hmac::Key>);

impl ClientNonces {
    /// With this secret. Without one, since the system has no random numbers, no nonce is made and none is fresh.
    pub(crate) fn new(secret: Option<[u8; 32]>) -> Self {
        Self(secret.map(|secret| hmac::Key::new(hmac::HMAC_SHA256, &secret)))
    }

    /// One for a hint.
    pub(crate) fn make(&self, now: UnixTime) -> Option<Vec<u8>> {
        let time = now.0.to_be_bytes();
        let mac = hmac::sign(self.0.as_ref()?, &time);
        Some([&time, &mac.as_ref()[..MAC_BYTES]].concat())
    }

    /// Whether it is one of ours, and not too old.
    pub(crate) fn is_fresh(&self, nonce: &[u8], now: UnixTime) -> bool {
        let Some((time, _)) = nonce.split_first_chunk::<TIME_BYTES>() else {
            return false;
        };
        let made = UnixTime(u64::from_be_bytes(*time));
        let ours = self.make(made).is_some_and(|own| {
            aws_lc_rs::constant_time::verify_slices_are_equal(&own, nonce).is_ok()
        });
        ours && made <= now && made.secs_until(now) <= FRESH_FOR_SECS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime(1_800_000_000);

    #[test]
    fn a_nonce_is_fresh_for_its_time_at_the_broker_that_made_it() {
        let nonces = ClientNonces::new(Some([1; 32]));
        let nonce = nonces.make(NOW).unwrap();
        assert!(nonces.is_fresh(&nonce, NOW));
        assert!(nonces.is_fresh(&nonce, NOW.plus_secs(300)));
        assert!(!nonces.is_fresh(&nonce, NOW.plus_secs(301)));
        assert!(!nonces.is_fresh(&nonce, UnixTime(NOW.0 - 1)));
        assert!(!ClientNonces::new(Some([2; 32])).is_fresh(&nonce, NOW));
        assert!(!ClientNonces::new(None).is_fresh(&nonce, NOW));
        for place in 0..nonce.len() {
            let mut changed = nonce.clone();
            changed[place] ^= 1;
            assert!(!nonces.is_fresh(&changed, NOW), "{place}");
        }
        assert!(!nonces.is_fresh(&nonce[..23], NOW));
        assert!(!nonces.is_fresh(&[], NOW));
    }
}
