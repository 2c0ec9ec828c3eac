//! A table from keys to values, in hash partitions side by side: the result of keyed operators.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash};

use foldhash::fast::SeedableRandomState;
use hashbrown::{HashTable, hash_table};

use crate::run::outside::has_named_calls;
use crate::unwind::{Draining, Kept};

/// How many partitions a table has. That many jobs can merge two tables at the same time.
pub(crate) const PARTITIONS: usize = 64;

/// A table from keys to values: the result of the keyed operators.
///
/// The table consists of partitions by hash, side by side, so that it can be merged in parallel. This makes no
/// difference to [`get`](Self::get) and iteration. The order of iteration is unspecified. Two tables are equal if they
/// have the same entries. Hash keys are random, so that no input can make lookups slow on purpose.
///
/// ```
/// use millstream::Table;
///
/// let mut lengths = Table::new();
/// for word in ["one", "two", "three"] {
///     *lengths.get_or_insert_with(word.len(), || 0) += 1;
/// }
/// assert_eq!(lengths.get(&3), Some(&2));
/// assert_eq!(lengths.sorted(), [(3, 2), (5, 1)]);
/// ```
#[derive(Clone)]
pub struct Table<K, V> {
    partitions: Box<Partitions<K, V>>,
    hasher: SeedableRandomState,
}

/// One partition of a table.
pub(crate) type Entries<K, V> = HashTable<Entry<K, V>>;
/// All partitions. The compiler knows their number, so it checks no index.
type Partitions<K, V> = [Entries<K, V>; PARTITIONS];

/// A key and its value, with the key's hash. With the stored hash, growing a table reads no key again, and merging
/// reads only keys with equal hashes.
#[derive(Clone, Debug)]
pub(crate) struct Entry<K, V> {
    hash: u64,
    key: K,
    value: V,
}

/// What hashes the keys of one table, or of several that are merged. Its seed is random, but where schedules are explored: there all that
/// depends on it must be as before.
pub(crate) fn hasher() -> SeedableRandomState {
    if has_named_calls() { SeedableRandomState::fixed() } else { SeedableRandomState::random() }
}

impl<K, V> Table<K, V> {
    /// Makes an empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::with_hasher(hasher())
    }

    pub(crate) fn with_hasher(hasher: SeedableRandomState) -> Self {
        Self { partitions: Box::new(std::array::from_fn(|_| HashTable::new())), hasher }
    }

    /// How many entries there are. Cost: one step for each of 64 partitions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.partitions.iter().map(HashTable::len).sum()
    }

    /// Whether there are no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.partitions.iter().all(HashTable::is_empty)
    }

    /// The entries, in no particular order.
    #[must_use]
    pub fn iter(&self) -> Iter<'_, K, V> {
        Iter { partitions: self.partitions.iter(), entries: hash_table::Iter::default(), left: self.len() }
    }
}

impl<K: Hash + Eq, V> Table<K, V> {
    /// The value of a key, if there is one.
    #[must_use]
    pub fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let hash = self.hasher.hash_one(key);
        let found = self.partitions[partition(hash)].find(hash, |entry| entry.key.borrow() == key);
        found.map(|entry| &entry.value)
    }

    /// The value of a key. If the key is not there, it is put in with what `value` makes.
    #[inline]
    pub fn get_or_insert_with(&mut self, key: K, value: impl FnOnce() -> V) -> &mut V {
        let hash = self.hasher.hash_one(&key);
        value_of(&mut self.partitions[partition(hash)], hash, key, value)
    }

    /// Opens the table for a loop over many items.
    #[inline]
    pub(crate) fn open(&mut self) -> OpenTable<'_, K, V> {
        OpenTable { partitions: &mut self.partitions, hasher: self.hasher.clone() }
    }

    /// Turns the table into a hash map with the same entries. It moves each entry once.
    #[must_use]
    pub fn into_map(self) -> std::collections::HashMap<K, V> {
        self.into_iter().collect()
    }

    /// The entries, sorted by key.
    #[must_use]
    pub fn sorted(self) -> Vec<(K, V)>
    where
        K: Ord,
    {
        let mut entries: Vec<(K, V)> = self.into_iter().collect();
        entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        entries
    }

    /// Takes out one partition.
    pub(crate) fn take_partition(&mut self, partition: usize) -> Entries<K, V> {
        std::mem::replace(&mut self.partitions[partition], HashTable::new())
    }

    /// Puts in one partition, which must come from a table with the same hash keys.
    pub(crate) fn put_partition(&mut self, partition: usize, entries: Entries<K, V>) {
        self.partitions[partition] = entries;
    }

    /// Merges two partitions with the same number. For a key in both, `add` adds one value to the other; which of the
    /// two is added to is unspecified.
    pub(crate) fn merge_partitions(into: Entries<K, V>, from: Entries<K, V>, add: impl Fn(&mut V, V)) -> Entries<K, V> {
        let (into, from) = if from.len() > into.len() { (from, into) } else { (into, from) };
        let mut into = Kept::new(into); // the keys' own code may panic
        for entry in Draining::of(from.into_iter()) {
            let same = |known: &Entry<K, V>| known.hash == entry.hash && known.key == entry.key;
            match into.entry(entry.hash, same, |known| known.hash) {
                hash_table::Entry::Occupied(mut known) => add(&mut known.get_mut().value, entry.value),
                hash_table::Entry::Vacant(place) => drop(place.insert(entry)),
            }
        }
        into.into_inner()
    }
}

/// The same entries with other values. Hash keys stay, and no key is read.
pub(crate) fn map_entries<K, V, W>(entries: Entries<K, V>, map: impl Fn(V) -> W) -> Entries<K, W> {
    let mut mapped = HashTable::with_capacity(entries.len());
    for Entry { hash, key, value } in Draining::of(entries.into_iter()) {
        let key = Kept::new(key); // `map` may panic
        let value = map(value);
        mapped.insert_unique(hash, Entry { hash, key: key.into_inner(), value }, |known| known.hash);
    }
    mapped
}

/// The value of a key in the partition of its hash. If the key is not there, it is put in with what `value` makes.
#[inline]
pub(crate) fn value_of<K: Eq, V>(entries: &mut Entries<K, V>, hash: u64, key: K, value: impl FnOnce() -> V) -> &mut V {
    match entries.find_entry(hash, |known| known.key == key) {
        Ok(known) => &mut known.into_mut().value,
        Err(absent) => insert_new(absent.into_table(), Entry { hash, key, value: value() }),
    }
}

/// The partition of a hash. It uses other bits of the hash than the table inside the partition does.
#[inline]
pub(crate) fn partition(hash: u64) -> usize {
    (hash >> 48) as usize % PARTITIONS
}

/// A table for a loop over many items: what the loop needs of it fits into registers. In a [`Table`] it would be read
/// from memory again for each item, as the compiler cannot tell that the loop does not write there.
pub(crate) struct OpenTable<'a, K, V> {
    partitions: &'a mut Partitions<K, V>,
    hasher: SeedableRandomState,
}

impl<K: Hash + Eq, V> OpenTable<'_, K, V> {
    /// The value of a key, or the key's hash if the key is not there: [`insert_new`](Self::insert_new) needs it.
    ///
    /// It is always inlined. A call would cost as much as the hash does.
    #[inline(always)]
    pub(crate) fn find(&mut self, key: &K) -> Result<&mut V, u64> {
        let hash = self.hasher.hash_one(key);
        let found = self.partitions[partition(hash)].find_mut(hash, |known| known.key == *key);
        found.map(|entry| &mut entry.value).ok_or(hash)
    }

    /// Puts in a key that is not there, with the hash that [`find`](Self::find) gave.
    #[inline]
    pub(crate) fn insert_new(&mut self, hash: u64, key: K, value: V) {
        insert_new(&mut self.partitions[partition(hash)], Entry { hash, key, value });
    }
}

/// Puts in an entry whose key is not there. It is kept out of loops over items, and is given no more than the partition:
/// for a pointer to the whole table, the loop would have to keep the table in memory.
#[inline(never)]
fn insert_new<K, V>(entries: &mut Entries<K, V>, entry: Entry<K, V>) -> &mut V {
    &mut entries.insert_unique(entry.hash, entry, |known| known.hash).into_mut().value
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Hash + Eq, V: PartialEq> PartialEq for Table<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().all(|(key, value)| other.get(key) == Some(value))
    }
}

impl<K: Hash + Eq, V: Eq> Eq for Table<K, V> {}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Table<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: Hash + Eq, V> FromIterator<(K, V)> for Table<K, V> {
    /// Makes a table of the entries. If a key comes several times, its last value stays.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut table = Self::new();
        for (key, value) in entries {
            let mut value = Some(value);
            let known = table.get_or_insert_with(key, || value.take().expect("called once"));
            if let Some(value) = value {
                *known = value;
            }
        }
        table
    }
}

/// The entries of a [`Table`], borrowed.
#[derive(Clone)]
pub struct Iter<'a, K, V> {
    partitions: std::slice::Iter<'a, Entries<K, V>>,
    entries: hash_table::Iter<'a, Entry<K, V>>,
    left: usize,
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<(&'a K, &'a V)> {
        loop {
            if let Some(Entry { key, value, .. }) = self.entries.next() {
                self.left -= 1;
                return Some((key, value));
            }
            self.entries = self.partitions.next()?.iter();
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<K, V> ExactSizeIterator for Iter<'_, K, V> {}

impl<K, V> fmt::Debug for Iter<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").field("left", &self.left).finish()
    }
}

impl<'a, K, V> IntoIterator for &'a Table<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Iter<'a, K, V> {
        self.iter()
    }
}

/// The entries of a [`Table`], owned.
pub struct IntoIter<K, V> {
    partitions: std::vec::IntoIter<Entries<K, V>>,
    entries: hash_table::IntoIter<Entry<K, V>>,
    left: usize,
}

impl<K, V> Iterator for IntoIter<K, V> {
    type Item = (K, V);

    fn next(&mut self) -> Option<(K, V)> {
        loop {
            if let Some(Entry { key, value, .. }) = self.entries.next() {
                self.left -= 1;
                return Some((key, value));
            }
            self.entries = self.partitions.next()?.into_iter();
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<K, V> ExactSizeIterator for IntoIter<K, V> {}

impl<K, V> fmt::Debug for IntoIter<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntoIter").field("left", &self.left).finish()
    }
}

impl<K, V> IntoIterator for Table<K, V> {
    type Item = (K, V);
    type IntoIter = IntoIter<K, V>;

    fn into_iter(self) -> IntoIter<K, V> {
        let left = self.len();
        let entries = HashTable::new().into_iter();
        let partitions: Box<[_]> = self.partitions;
        IntoIter { partitions: partitions.into_vec().into_iter(), entries, left }
    }
}
