//! The right to have one more batch in flight, as a list of free places and a flag that says that the source sleeps.
//!
//! A source owns a fixed number of places, one for each batch in flight. A worker puts a place back when the batch is
//! done. Only the holder of the source's turn takes places, and it takes all that are there at once. So no place is
//! taken twice: a list that is only ever emptied has no ABA problem.
//!
//! If no place is free, the holder sets the flag and goes. The worker that puts the next place back clears the flag,
//! and must start the source again. If nobody wants more from a source, it is stopped. If it sleeps then, the stopper
//! must start it once more, so that it notes its end.
//!
//! The race: a place is put back, or the source is stopped, while the source goes to sleep. Then nobody would start it.
//! But the flags and the list share one word. So the source sees the place or the stop and does not sleep, or the other
//! thread sees the flag.
//!
//! # State
//! ```text
//!  63       62        61 ..... 32 31 ....... 0    (0)      --put--> (i)          --put--> (j -> i) ...
//! +--------+---------+-----------+------------+    (i ...)  --take_all--> (0)
//! | asleep | stopped |  unused   | first + 1  |    (0)      --sleep--> (asleep)   --put--> (i), the putter starts it
//! +--------+---------+-----------+------------+    (asleep) --stop--> (stopped), the stopper starts it
//!                                                  (i ...), (stopped) --sleep--> refused
//!                                                  (stopped) --sleep_to_hear--> (stopped, asleep)
//! ```
//! # Edges
//! | edge | writer | reader | makes visible | model |
//! |---|---|---|---|---|
//! | `credit.put` | `put`: CAS, AcqRel | `take_all`: swap | the place as the batch left it; for a putter that sees the flag, the source as its last holder left it | `loom_credit_is_never_lost` |
//! | `credit.take` | `put`: CAS | `take_all`: swap, Acquire | the place as the batch left it | `loom_credit_is_never_lost` |
//! | `credit.sleep` | `sleep`: CAS, Release | `put`: CAS | the source as its last holder left it | `loom_credit_is_never_lost` |
//! | `credit.hear` | `sleep_to_hear`: CAS, Release | `put`: CAS | the same | `loom_credit_end_hears_the_last_place` |
//! | `credit.rouse` | `sleep`: CAS | `rouse`: CAS, Acquire | the same | `loom_credit_is_roused_once` |
//! | `credit.stop` | `sleep`: CAS | `stop`: RMW, Acquire, sees the flag | the same | `loom_credit_stop_is_never_lost` |

use std::ops::Range;

use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::sync::two_parts::TwoParts;
use crate::sync::{add_unless, edge, read_part, take_from, unwatched, write_part};

const ASLEEP: u64 = 1 << 63;
const STOPPED: u64 = 1 << 62;
const FIRST: u64 = u32::MAX as u64;

/// The free places of a source; see the module.
#[derive(Debug)]
pub(crate) struct Credits {
    word: AtomicU64,
    /// For each place, the one after it in its list, plus one.
    next: TwoParts<AtomicU32>,
}

/// Where a source's issue job was when its credits changed.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IssueJob {
    /// It slept. The caller must queue it.
    Slept,
    /// A thread runs it, or it is in a queue.
    Awake,
}

impl IssueJob {
    fn of(word: u64) -> Self {
        if word & ASLEEP != 0 { Self::Slept } else { Self::Awake }
    }
}

/// Whether the holder of a source's turn has given it up.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SourceTurn {
    GivenUp,
    /// A place has just come, or a stop.
    Kept,
}

impl Credits {
    /// `places` places, of which the first `open` are free; the others wait until they are opened.
    pub(crate) fn new(places: u32, open: u32) -> Self {
        let next = TwoParts::new(places as usize, open as usize);
        let mut credits = Self { word: AtomicU64::new(0), next };
        credits.reset();
        credits
    }

    /// The places of the first part are free, and the source is awake.
    pub(crate) fn reset(&mut self) {
        let open = self.open_len();
        let first = self.link_all(0..open, None);
        self.word.store(first.map_or(0, |first| u64::from(first) + 1), Ordering::Relaxed);
    }

    /// How many places are free at first.
    fn open_len(&self) -> u32 {
        u32::try_from(self.next.first_len()).expect("made from a u32")
    }

    /// Links places one after the other, and `after` behind them. Returns the first. The caller owns them.
    fn link_all(&self, places: Range<u32>, after: Option<u32>) -> Option<u32> {
        places.rev().fold(after, |after, place| {
            self.link(place, after);
            Some(place)
        })
    }

    /// Opens the places that were not free at first, once in a run: links them in front of `free`. Holder of the turn
    /// only.
    pub(crate) fn open_others(&self, free: Option<u32>) -> Option<u32> {
        self.link_all(self.open_len()..self.len(), free)
    }

    /// How many places there are.
    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.next.len()).expect("made from a u32")
    }

    /// Puts a place back.
    pub(crate) fn put(&self, place: u32) -> IssueJob {
        self.add(); // a place that wakes the source is not as good as another one: what the source does comes behind it
        unwatched(|| {
            let mut word = self.word.load(Ordering::Relaxed);
            loop {
                self.set_next(place, first(word));
                let new = (word & STOPPED) | (u64::from(place) + 1);
                // AcqRel: releases the place. If it sees the flag, acquires the source's state.
                let order = edge!("credit.put", AcqRel);
                match self.word.compare_exchange_weak(word, new, order, Ordering::Relaxed) {
                    Ok(_) => return IssueJob::of(word),
                    Err(now) => word = now,
                }
            }
        })
    }

    /// Takes all free places, and returns the first. [`after`](Self::after) gives the others. Holder of the turn only.
    pub(crate) fn take_all(&self) -> Option<u32> {
        take_from(&self.word, || self.count());
        // Relaxed: a hint. If there is none now, there is nothing to take.
        if first(unwatched(|| self.word.load(Ordering::Relaxed))) == 0 {
            return None;
        }
        // Acquire: the places are as their batches left them.
        let word = unwatched(|| self.word.fetch_and(STOPPED, edge!("credit.take", Acquire)));
        debug_assert!(word & ASLEEP == 0, "the holder of the turn is awake");
        first(word).checked_sub(1)
    }

    /// The place after `place` in the list that the caller owns.
    pub(crate) fn after(&self, place: u32) -> Option<u32> {
        self.next[place as usize].load(Ordering::Relaxed).checked_sub(1)
    }

    /// Links `place` in front of `after` in a list that the caller owns.
    pub(crate) fn link(&self, place: u32, after: Option<u32>) {
        self.set_next(place, after.map_or(0, |after| after + 1));
    }

    /// Whether there is a free place now: a hint.
    pub(crate) fn any(&self) -> bool {
        first(self.word.load(Ordering::Relaxed)) != 0
    }

    /// Nobody wants more from the source.
    pub(crate) fn stop(&self) -> IssueJob {
        // Acquire: if it sees the flag, the source is as its last holder left it.
        let order = edge!("credit.stop", Acquire);
        write_part(&self.word, STOPPED);
        self.add();
        unwatched(|| {
            let mut word = self.word.load(Ordering::Relaxed);
            loop {
                match self.word.compare_exchange_weak(word, (word & !ASLEEP) | STOPPED, order, Ordering::Relaxed) {
                    Ok(_) => return IssueJob::of(word),
                    Err(now) => word = now,
                }
            }
        })
    }

    /// Takes the turn of a source that sleeps. If it slept, the caller has it.
    pub(crate) fn rouse(&self) -> IssueJob {
        let mut word = self.word.load(Ordering::Relaxed);
        while word & ASLEEP != 0 {
            // Acquire: the source is as its last holder left it.
            let order = edge!("credit.rouse", Acquire);
            match self.word.compare_exchange_weak(word, word & !ASLEEP, order, Ordering::Relaxed) {
                Ok(_) => return IssueJob::Slept,
                Err(now) => word = now,
            }
        }
        IssueJob::Awake
    }

    /// Whether the source was stopped. A hint until [`sleep`](Self::sleep) says so.
    pub(crate) fn is_stopped(&self) -> bool {
        read_part(&self.word, STOPPED); // places that come back say nothing of it
        unwatched(|| self.word.load(Ordering::Relaxed)) & STOPPED != 0
    }

    /// Gives the turn up for lack of places.
    pub(crate) fn sleep(&self) -> SourceTurn {
        take_from(&self.word, || self.count());
        // Release: the source's state goes to the thread that starts it again.
        match unwatched(|| self.word.compare_exchange(0, ASLEEP, edge!("credit.sleep", Release), Ordering::Relaxed)) {
            Ok(_) => SourceTurn::GivenUp,
            Err(_) => SourceTurn::Kept,
        }
    }

    /// Gives the turn up until a place comes back, though the source has ended or was stopped. So it hears what has been
    /// done.
    pub(crate) fn sleep_to_hear(&self) -> SourceTurn {
        let word = self.word.load(Ordering::Relaxed) & STOPPED;
        // Release: as in `sleep`.
        match self.word.compare_exchange(word, word | ASLEEP, edge!("credit.hear", Release), Ordering::Relaxed) {
            Ok(_) => SourceTurn::GivenUp,
            Err(_) => SourceTurn::Kept,
        }
    }

    /// Something is added, which makes no difference to others that add, unless the source sleeps.
    fn add(&self) {
        add_unless(&self.word, || self.word.load(Ordering::Relaxed) & ASLEEP != 0);
    }

    /// How many places are free.
    fn count(&self) -> u32 {
        let first = first(self.word.load(Ordering::Relaxed)).checked_sub(1);
        u32::try_from(std::iter::successors(first, |place| self.after(*place)).count()).expect("no more than places")
    }

    fn set_next(&self, place: u32, first: u32) {
        // Relaxed: the CAS in `put` publishes it, or it is private to the holder of the turn.
        self.next[place as usize].store(first, Ordering::Relaxed);
    }
}

/// The first place of the list in a word, plus one.
fn first(word: u64) -> u32 {
    u32::try_from(word & FIRST).expect("masked")
}
