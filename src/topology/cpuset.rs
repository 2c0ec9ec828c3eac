//! A set of CPU numbers, of any size.

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
    words: Vec<u64>, // without trailing zeros
}

/// Highest CPU number that a list may name: far above any machine, far below what would exhaust memory.
const MAX_CPU: usize = 1 << 20;

impl CpuSet {
    /// The empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a CPU.
    ///
    /// # Panics
    /// If `cpu` is 2^20 or more.
    pub fn insert(&mut self, cpu: usize) {
        assert!(cpu < MAX_CPU, "CPU {cpu}: at most {MAX_CPU} are supported");
        if self.words.len() <= cpu / 64 {
            self.words.resize(cpu / 64 + 1, 0);
        }
        self.words[cpu / 64] |= 1 << (cpu % 64);
    }

    /// Whether `cpu` is in the set.
    #[must_use]
    pub fn contains(&self, cpu: usize) -> bool {
        self.words.get(cpu / 64).is_some_and(|word| word & (1 << (cpu % 64)) != 0)
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

    /// The CPUs in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.iter().filter(|cpu| other.contains(*cpu)).collect()
    }

    /// The CPUs in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.words
            .iter()
            .enumerate()
            .flat_map(|(i, &word)| (0..64).filter(move |bit| word & (1_u64 << bit) != 0).map(move |bit| i * 64 + bit))
    }
}

impl FromIterator<usize> for CpuSet {
    fn from_iter<I: IntoIterator<Item = usize>>(cpus: I) -> Self {
        let mut set = Self::new();
        cpus.into_iter().for_each(|cpu| set.insert(cpu));
        set
    }
}

/// A text that is not a list of CPUs such as `0-3,8`.
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

    /// Reads the kernel's list format: numbers and ranges, separated by commas; empty is the empty set.
    fn from_str(text: &str) -> Result<Self, ParseCpuSetError> {
        let wrong = || ParseCpuSetError(text.trim().chars().take(80).collect());
        let number = |digits: &str| digits.trim().parse().ok().filter(|cpu| *cpu < MAX_CPU).ok_or_else(wrong);
        let mut set = Self::new();
        for part in text.trim().split(',').filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last): (usize, usize) = (number(first)?, number(last)?);
            if first > last {
                return Err(wrong());
            }
            (first..=last).for_each(|cpu| set.insert(cpu));
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
