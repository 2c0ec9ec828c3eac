//! Chance that can be had again: all that is drawn follows from a seed.

/// splitmix64.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

/// Spreads a number over all 64 bits.
pub(crate) const fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number from `least` to `most`.
    pub(crate) fn from(&mut self, least: usize, most: usize) -> usize {
        let choices = u64::try_from(most - least).expect("a usize") + 1;
        least + usize::try_from(self.next() % choices).expect("no more than `most`")
    }

    /// As [`from`](Self::from), for what is a `u64`.
    pub(crate) fn long(&mut self, least: u64, most: u64) -> u64 {
        least + self.next() % (most - least + 1)
    }

    /// True once in so many times.
    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        self.next().is_multiple_of(times)
    }

    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.from(0, of.len() - 1)]
    }
}
