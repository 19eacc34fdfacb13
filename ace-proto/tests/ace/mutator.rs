//! Harm done to good inputs, by a seed: the same seed does the same harm. Shared by the crates whose decoders take what strangers send.

/// The most harms done to one input.
const MAX_HARMS: u64 = 8;
/// The most times that a piece is repeated.
const MAX_REPEATS: u64 = 300;
/// The longest input that is made, bytes.
const MAX_LENGTH: usize = 1 << 18;
/// What decoders have special thoughts about.
const ODD_BYTES: &[u8] =
    b"\0\x01\x18\x1f\x5f\x7f\x80\x9f\xbf\xd8\xf6\xff\"\\{}[],:.=+-_/&%#$ \n0e9";

/// Chance by a seed (`SplitMix64`).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Less than `bound`, which is not 0.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).expect("less than a length")
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.index(all.len())]
    }

    /// A piece of `length` bytes, possibly empty.
    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let (one, other) = (self.index(length + 1), self.index(length + 1));
        one.min(other)..one.max(other)
    }

    /// `good` with a few harms; pieces of `others` may be mixed in.
    fn harmed(&mut self, good: &[u8], others: &[Vec<u8>]) -> Vec<u8> {
        let mut harmed = good.to_vec();
        for _ in 0..=self.below(MAX_HARMS) {
            self.harm(&mut harmed, others);
            harmed.truncate(MAX_LENGTH);
        }
        harmed
    }

    fn harm(&mut self, bytes: &mut Vec<u8>, others: &[Vec<u8>]) {
        let kind = self.below(9);
        if bytes.is_empty() || kind == 0 {
            let at = self.index(bytes.len() + 1);
            return bytes.insert(at, *self.pick(ODD_BYTES));
        }
        let at = self.index(bytes.len());
        let piece = self.range(bytes.len());
        match kind {
            1 => bytes[at] ^= 1 << self.below(8),
            2 => bytes[at] = *self.pick(ODD_BYTES),
            3 => bytes[at] = self.below(256).to_le_bytes()[0],
            4 => drop(bytes.drain(piece)),
            5 => bytes.truncate(at),
            6 => {
                let copy = bytes[piece].to_vec();
                let times = usize::try_from(self.below(MAX_REPEATS)).expect("a small number");
                let room = MAX_LENGTH / copy.len().max(1);
                bytes.splice(at..at, copy.repeat(times.min(room)));
            }
            7 => {
                let other = self.pick(others);
                let other = other[self.range(other.len())].to_vec();
                bytes.splice(piece, other);
            }
            _ => bytes[piece].reverse(),
        }
    }
}

/// How many seeds are tried: `SYMBOLON_SEEDS`, or so many.
fn seeds(by_default: u64) -> u64 {
    let wanted = std::env::var("SYMBOLON_SEEDS").ok();
    wanted.map_or(by_default, |text| text.parse().expect("a number of seeds"))
}

/// Harmed inputs, each with its seed.
pub(crate) fn harmed(
    corpus: &[Vec<u8>],
    by_default: u64,
) -> impl Iterator<Item = (u64, Vec<u8>)> + '_ {
    (0..seeds(by_default)).map(|seed| {
        let mut chance = Chance(seed);
        let good = chance.pick(corpus).clone();
        (seed, chance.harmed(&good, corpus))
    })
}
