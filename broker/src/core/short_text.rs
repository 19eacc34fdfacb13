//! Text that stands in place when it is short.

/// Bytes of a text, in place up to `N` bytes, on the heap beyond: a look-up that ends here does not go to fetch one more cache line.
#[derive(Clone, Debug)]
pub(super) enum ShortText<const N: usize> {
    /// The first `length` of `bytes`.
    InPlace { length: u8, bytes: [u8; N] },
    /// Longer than `N`.
    Heap(Box<[u8]>),
}

impl<const N: usize> ShortText<N> {
    #[inline]
    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::InPlace { length, bytes } => &bytes[..usize::from(*length).min(N)],
            Self::Heap(bytes) => bytes,
        }
    }

    /// Bytes on the heap.
    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::InPlace { .. } => 0,
            Self::Heap(bytes) => bytes.len(),
        }
    }
}

impl<const N: usize> From<&[u8]> for ShortText<N> {
    fn from(text: &[u8]) -> Self {
        match u8::try_from(text.len()) {
            Ok(length) if text.len() <= N => {
                let mut bytes = [0; N];
                bytes[..text.len()].copy_from_slice(text);
                Self::InPlace { length, bytes }
            }
            Ok(_) | Err(_) => Self::Heap(text.into()),
        }
    }
}

impl<const N: usize> Default for ShortText<N> {
    fn default() -> Self {
        Self::InPlace {
            length: 0,
            bytes: [0; N],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_length_comes_back_as_it_was() {
        let text: Vec<u8> = (0..=255).cycle().take(1000).collect();
        for length in 0..text.len() {
            let text = &text[..length];
            assert_eq!(ShortText::<22>::from(text).as_bytes(), text);
            assert_eq!(
                ShortText::<22>::from(text).heap_bytes() > 0,
                text.len() > 22
            );
        }
        assert!(ShortText::<22>::default().as_bytes().is_empty());
    }

    #[test]
    fn a_label_takes_three_words() {
        assert_eq!(size_of::<ShortText<22>>(), 24);
    }
}
