//! A checksum behind every value: LMDB has none, and a flipped bit within a value breaks no structure.

const BYTES: usize = size_of::<u32>();

/// The value with its checksum, which covers the key too.
pub(crate) fn seal(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(value.len() + BYTES);
    sealed.extend_from_slice(value);
    sealed.extend_from_slice(&checksum(key, value).to_be_bytes());
    sealed
}

/// The value, if its checksum is right.
pub(crate) fn open<'v>(key: &[u8], sealed: &'v [u8]) -> Option<&'v [u8]> {
    let (value, sum) = sealed.split_last_chunk::<BYTES>()?;
    (checksum(key, value) == u32::from_be_bytes(*sum)).then_some(value)
}

fn checksum(key: &[u8], value: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(value);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flipped_bit_anywhere_is_found() {
        let sealed = seal(b"key", b"value");
        assert_eq!(open(b"key", &sealed), Some(b"value".as_slice()));
        assert_eq!(open(b"kez", &sealed), None);
        for bit in 0..sealed.len() * 8 {
            let mut damaged = sealed.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(b"key", &damaged), None, "bit {bit}");
        }
    }

    #[test]
    fn what_is_shorter_than_a_checksum_is_no_value() {
        assert_eq!(open(b"key", b"abc"), None);
    }
}
