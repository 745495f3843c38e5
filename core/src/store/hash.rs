//! A hash of short names. The standard one withstands whoever chooses names to make maps slow, for ten times the time;
//! but names of rows are numbers of ours and filters of the application, and with a seed of this process nobody outside
//! can foresee what collides.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Odd, with as many ones as zeros.
const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;

#[derive(Debug, Clone)]
pub(super) struct Seed(u64);

impl Default for Seed {
    fn default() -> Seed {
        Seed(RandomState::new().hash_one(FACTOR))
    }
}

impl BuildHasher for Seed {
    type Hasher = Sum;

    fn build_hasher(&self) -> Sum {
        Sum(self.0)
    }
}

#[derive(Debug)]
pub(super) struct Sum(u64);

impl Sum {
    /// Both halves of the product, so that every bit reaches the upper ones and the lower.
    fn add(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * u128::from(FACTOR);
        self.0 = (product as u64) ^ ((product >> 64) as u64);
    }
}

impl Hasher for Sum {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.add(u64::from_le_bytes(*word)));
        self.add(rest.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)));
    }

    fn write_usize(&mut self, number: usize) {
        self.add(number as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
