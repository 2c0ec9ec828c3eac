//! What each actor has spent its time on, and which words it has lost time to.
//!
//! A loss counts as *busy* if the actor went on to a piece of work without having looked for some in vain in between.
//! Otherwise it counts as *idle*: an actor that has nothing to do loses nothing by it.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::panic::Location;

/// Where an access stands in the code.
pub(crate) type Place = &'static Location<'static>;

/// A hash map without a random seed, so that each run is as the one before.
pub(crate) type Map<K, V> = HashMap<K, V, BuildHasherDefault<Mix>>;

/// Mixes the bits of addresses. It is no defence against anybody.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 ^= self.0 >> 29;
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }
}

/// What a line cost at one place of the code.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Loss {
    pub(crate) misses: u64,
    /// Nanoseconds between two pieces of work.
    pub(crate) busy: u64,
    /// Nanoseconds while the actor had nothing to do.
    pub(crate) idle: u64,
    /// How many of all these nanoseconds it waited for others that came before.
    pub(crate) queued: u64,
}

/// Nanoseconds of one actor, and its accesses.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spent {
    /// In bodies of the load.
    pub(crate) work: u64,
    /// On lines and locks that others had, between pieces of work.
    pub(crate) stalled: u64,
    pub(crate) asleep: u64,
    /// In pauses, with nothing to do.
    pub(crate) spun: u64,
    /// In system calls.
    pub(crate) system: u64,
    /// Accesses to lines that another actor has touched as well, whether they missed or not.
    pub(crate) shared: u64,
}

#[derive(Clone, Copy, Debug)]
struct Fresh {
    line: usize,
    place: Place,
    nanos: u64,
    queued: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Books {
    pub(crate) spent: Vec<Spent>,
    /// By line and place. The place's address stands for the place.
    losses: Map<(usize, usize), (Place, Loss)>,
    /// For each actor: what it has lost since its last piece of work.
    fresh: Vec<Vec<Fresh>>,
    /// Locks taken, by place.
    locks: Map<usize, (Place, u64)>,
    pub(crate) wakes: u64,
    pub(crate) heavy_fences: u64,
    pub(crate) misses: u64,
}

impl Books {
    pub(super) fn new(actors: usize) -> Self {
        Self {
            spent: vec![Spent::default(); actors],
            losses: Map::default(),
            fresh: (0..actors).map(|_| Vec::new()).collect(),
            locks: Map::default(),
            wakes: 0,
            heavy_fences: 0,
            misses: 0,
        }
    }

    pub(super) fn lose(&mut self, who: usize, line: usize, place: Place, nanos: u64, queued: u64) {
        self.misses += 1;
        self.fresh[who].push(Fresh { line, place, nanos, queued });
    }

    /// The actor begins or ends a piece of work: what it has lost since the last one, it has lost between the two.
    pub(super) fn works(&mut self, who: usize) {
        self.settle(who, true);
    }

    /// The actor has nothing to do.
    pub(super) fn idles(&mut self, who: usize) {
        self.settle(who, false);
    }

    fn settle(&mut self, who: usize, busy: bool) {
        for Fresh { line, place, nanos, queued } in self.fresh[who].drain(..) {
            let loss =
                &mut self.losses.entry((line, std::ptr::from_ref(place).addr())).or_insert((place, Loss::default())).1;
            loss.misses += 1;
            loss.queued += queued;
            if busy {
                loss.busy += nanos;
                self.spent[who].stalled += nanos;
            } else {
                loss.idle += nanos;
            }
        }
    }

    pub(super) fn takes_lock(&mut self, place: Place) {
        self.locks.entry(std::ptr::from_ref(place).addr()).or_insert((place, 0)).1 += 1;
    }

    /// Settles what actors have lost since they last worked.
    pub(super) fn close(&mut self) {
        (0..self.fresh.len()).for_each(|who| self.idles(who));
    }

    /// All losses, by line and place.
    pub(crate) fn losses(&self) -> impl Iterator<Item = (usize, Place, Loss)> {
        self.losses.iter().map(|((line, _), (place, loss))| (*line, *place, *loss))
    }

    /// How often a lock was taken, by place, the most frequent first.
    pub(crate) fn locks(&self) -> Vec<(Place, u64)> {
        let mut locks: Vec<_> = self.locks.values().copied().collect();
        locks.sort_by_key(|(place, count)| (std::cmp::Reverse(*count), place.file(), place.line()));
        locks
    }
}
