//! A set of CPU numbers.

use std::fmt;

/// A set of logical CPUs, by the operating system's numbers.
///
/// ```
/// use millstream::CpuSet;
///
/// let set: CpuSet = "0-2,8".parse()?;
/// assert_eq!(set.iter().collect::<Vec<_>>(), [0, 1, 2, 8]);
/// assert_eq!(set.to_string(), "0-2,8");
/// # Ok::<(), millstream::ParseCpuSetError>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct CpuSet {
    words: Vec<u64>, // the last one is not zero
}

/// Bits of a word.
const BITS: usize = u64::BITS as usize;

impl CpuSet {
    /// The number of CPUs that a set can hold: the numbers of CPUs are below this. It is four times the largest number
    /// that a Linux kernel can be built for.
    pub const MAX: usize = 1 << 15;

    /// The empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a CPU.
    ///
    /// # Panics
    /// If `cpu` is [`MAX`](Self::MAX) or more.
    pub fn insert(&mut self, cpu: usize) {
        self.insert_range(cpu, cpu);
    }

    /// Adds the CPUs from `first` to `last`, word by word.
    fn insert_range(&mut self, first: usize, last: usize) {
        assert!(last < Self::MAX, "CPU {last}: at most {} are supported", Self::MAX);
        if self.words.len() <= last / BITS {
            self.words.resize(last / BITS + 1, 0);
        }
        for word in first / BITS..=last / BITS {
            let from = if word == first / BITS { first % BITS } else { 0 };
            let to = if word == last / BITS { last % BITS } else { BITS - 1 };
            self.words[word] |= (u64::MAX << from) & (u64::MAX >> (BITS - 1 - to));
        }
    }

    /// Takes a CPU out, if it is in the set.
    pub fn remove(&mut self, cpu: usize) {
        if let Some(word) = self.words.get_mut(cpu / BITS) {
            *word &= !(1 << (cpu % BITS));
            self.trim();
        }
    }

    /// Whether `cpu` is in the set.
    #[must_use]
    pub fn contains(&self, cpu: usize) -> bool {
        self.words.get(cpu / BITS).is_some_and(|word| word & (1 << (cpu % BITS)) != 0)
    }

    /// How many CPUs are in the set.
    #[must_use]
    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether no CPU is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The lowest CPU of the set.
    #[must_use]
    pub fn first(&self) -> Option<usize> {
        self.iter().next()
    }

    /// Whether all CPUs of this set are in the other one.
    #[must_use]
    pub fn is_subset(&self, other: &Self) -> bool {
        let word_of = |index| other.words.get(index).copied().unwrap_or(0);
        self.words.iter().enumerate().all(|(index, word)| word & !word_of(index) == 0)
    }

    /// The CPUs in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let words = self.words.iter().zip(&other.words).map(|(one, other)| one & other);
        Self::from_words(words.collect())
    }

    /// The CPUs in either set or in both.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let (long, short) = if self.words.len() > other.words.len() { (self, other) } else { (other, self) };
        let mut words = long.words.clone();
        words.iter_mut().zip(&short.words).for_each(|(word, other)| *word |= other);
        Self { words }
    }

    /// The CPUs of this set that are not in the other one.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let mut words = self.words.clone();
        words.iter_mut().zip(&other.words).for_each(|(word, other)| *word &= !other);
        Self::from_words(words)
    }

    /// The CPUs in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(index, &word)| Bits(word).map(move |bit| index * BITS + bit))
    }

    /// Reads the kernel's mask format: hexadecimal digits in groups of 32 bits, the highest group first.
    pub(super) fn from_mask(text: &str) -> Option<Self> {
        const GROUP: usize = 8; // digits
        let groups: Vec<&str> = text.trim().trim_start_matches("0x").split(',').collect();
        let mut set = Self::new();
        for (place, group) in groups.iter().rev().enumerate() {
            let alone = groups.len() == 1;
            if group.is_empty() || (group.len() > GROUP && !alone) {
                return None;
            }
            for (digit, byte) in group.bytes().rev().enumerate() {
                let bits = char::from(byte).to_digit(16)?;
                let low = (place * GROUP + digit) * 4;
                for bit in (0..4).filter(|bit| bits & (1 << bit) != 0) {
                    if low + bit >= Self::MAX {
                        return None;
                    }
                    set.insert(low + bit);
                }
            }
        }
        Some(set)
    }

    fn from_words(words: Vec<u64>) -> Self {
        let mut set = Self { words };
        set.trim();
        set
    }

    fn trim(&mut self) {
        while self.words.last() == Some(&0) {
            self.words.pop();
        }
    }
}

/// The bits of a word that are set, the lowest first.
struct Bits(u64);

impl Iterator for Bits {
    type Item = usize;
    fn next(&mut self) -> Option<usize> {
        let bit = self.0.trailing_zeros() as usize;
        self.0 &= self.0.checked_sub(1)?;
        Some(bit)
    }
}

impl FromIterator<usize> for CpuSet {
    fn from_iter<I: IntoIterator<Item = usize>>(cpus: I) -> Self {
        let mut set = Self::new();
        cpus.into_iter().for_each(|cpu| set.insert(cpu));
        set
    }
}

/// The error for a text that is not a list of CPUs such as `0-3,8`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseCpuSetError(String);

impl fmt::Display for ParseCpuSetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' is not a list of CPUs such as 0-3,8", self.0)
    }
}

impl std::error::Error for ParseCpuSetError {}

impl std::str::FromStr for CpuSet {
    type Err = ParseCpuSetError;

    /// Reads the kernel's list format: numbers and ranges, separated by commas. An empty text is the empty set.
    fn from_str(text: &str) -> Result<Self, ParseCpuSetError> {
        let wrong = || ParseCpuSetError(text.trim().chars().take(80).collect());
        let number = |digits: &str| digits.trim().parse().ok().filter(|cpu| *cpu < Self::MAX).ok_or_else(wrong);
        let mut set = Self::new();
        for part in text.trim().split(',').filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last): (usize, usize) = (number(first)?, number(last)?);
            if first > last {
                return Err(wrong());
            }
            set.insert_range(first, last);
        }
        Ok(set)
    }
}

impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cpus = self.iter().peekable();
        let mut comma = "";
        while let Some(first) = cpus.next() {
            let mut last = first;
            while cpus.next_if_eq(&(last + 1)).is_some() {
                last += 1;
            }
            write!(f, "{comma}{first}")?;
            if last > first {
                write!(f, "-{last}")?;
            }
            comma = ",";
        }
        Ok(())
    }
}

impl fmt::Debug for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CpuSet({self})")
    }
}
