//! The L3 domains of an event count: who sleeps that may run anything, and how many search.
//!
//! A thread that wakes another one looks at its own domain first. Each domain has a list of its sleepers behind a lock,
//! and counts that are read without it. One bit for each domain tells whether anybody sleeps there. While all threads
//! are awake nobody writes these bits, however often threads begin and end to search.
//!
//! A thread that wakes goes from the sleepers to the searchers. One that looks for either must not come between: it
//! looks for sleepers first, and a thread counts as searching before it stops counting as sleeping. Only hints are read
//! in another order. A thread that falls asleep may be missed in between, but then it looks at all queues itself, or owes
//! that: it passes a fence after both counts.
//!
//! # Edges
//! | edge | writer | reader | makes visible | model |
//! |---|---|---|---|---|
//! | `event_count.woken` | a sleeper less, and the bit is taken away: RMWs, Release | `event_count.awake` | that the thread searches | `loom_steal_request_is_not_forgotten` |
//! | `event_count.awake` | the same | a look at the count, or at the bit: Acquire | the same | `loom_steal_request_is_not_forgotten` |

use std::sync::Arc;

use super::event_count::At;
use super::parker::Parker;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::sync::{CachePadded, Mutex, MutexGuard, edge};

#[derive(Debug)]
pub(super) struct Sleeper {
    pub(super) parker: Arc<Parker>,
    pub(super) at: At,
    /// It is a compensating thread, and needs a slot to be woken.
    pub(super) compensator: bool,
}

/// All domains; see the module.
#[derive(Debug)]
pub(super) struct Domains {
    each: Box<[Domain]>,
    /// A bit for each domain where a thread sleeps. It changes under the lock of the domain.
    have_sleepers: Box<[CachePadded<AtomicU64>]>,
}

/// The threads of one L3 domain that may run anything.
#[derive(Debug)]
struct Domain {
    /// How many search. This changes with every job that a thread had to look for.
    searching: CachePadded<AtomicUsize>,
    /// How many sleep, and how often a sleeper was taken out.
    asleep: CachePadded<AtomicU64>,
    sleepers: CachePadded<Mutex<Vec<Sleeper>>>,
}

/// Another thread has the list.
#[derive(Debug)]
pub(super) struct Busy;

/// One that sleeps, in the word of those that sleep. Below it stands how often one was taken out.
const SLEEPER: u64 = 1 << 48;
const BITS: usize = 64;

// Relaxed, all others: the fences of the event count order what the counts decide.
impl Domains {
    /// `threads` has the most threads of each domain that sleep at once.
    pub(super) fn new(threads: &[usize]) -> Self {
        let domain = |threads| Domain {
            searching: CachePadded::new(AtomicUsize::new(0)),
            asleep: CachePadded::new(AtomicU64::new(0)),
            sleepers: CachePadded::new(Mutex::new(Vec::with_capacity(threads))),
        };
        let words = threads.len().div_ceil(BITS);
        Self {
            each: threads.iter().map(|threads| domain(*threads)).collect(),
            have_sleepers: (0..words).map(|_| CachePadded::new(AtomicU64::new(0))).collect(),
        }
    }

    /// How many threads search in a domain.
    #[inline]
    pub(super) fn searching(&self, domain: usize) -> usize {
        self.each[domain].searching.load(Ordering::Relaxed)
    }

    /// How many threads search in any domain.
    pub(super) fn all_searching(&self) -> usize {
        (0..self.each.len()).map(|domain| self.searching(domain)).sum()
    }

    pub(super) fn begin_search(&self, domain: usize) {
        self.each[domain].searching.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether nobody searches in this domain any more.
    pub(super) fn end_search(&self, domain: usize) -> bool {
        self.each[domain].searching.fetch_sub(1, Ordering::Relaxed) == 1
    }

    /// How many threads sleep in a domain.
    #[inline]
    pub(super) fn asleep(&self, domain: usize) -> u64 {
        // Acquire: who does not see a thread asleep any more sees it search.
        self.each[domain].asleep.load(edge!("event_count.awake", Acquire)) / SLEEPER
    }

    /// How many threads sleep in any domain.
    pub(super) fn all_asleep(&self) -> u64 {
        if self.each.len() == 1 {
            return self.asleep(0);
        }
        let mut sum = 0;
        let _: Option<()> = self.with_sleepers(0, |domain| {
            sum += self.asleep(domain);
            None
        });
        sum
    }

    /// Whether more than so many threads sleep. The look begins at a domain.
    #[inline]
    pub(super) fn has_asleep(&self, first: usize, more_than: u64) -> bool {
        if self.each.len() == 1 {
            return self.asleep(0) > more_than;
        }
        let mut sum = 0;
        let found = self.with_sleepers(first, |domain| {
            sum += self.asleep(domain);
            (sum > more_than).then_some(())
        });
        found.is_some()
    }

    /// Whether any thread sleeps.
    #[inline]
    pub(super) fn has_sleepers(&self) -> bool {
        // Acquire: as below.
        self.have_sleepers.iter().any(|word| word.load(edge!("event_count.awake", Acquire)) != 0)
    }

    /// Goes through the domains where a thread sleeps, beginning at `first`, until `found` gives something.
    #[inline]
    pub(super) fn with_sleepers<R>(&self, first: usize, mut found: impl FnMut(usize) -> Option<R>) -> Option<R> {
        let words = self.have_sleepers.len();
        let (first_word, from_first) = (first / BITS, u64::MAX << (first % BITS));
        for round in 0..=words {
            let place = if first_word + round < words { first_word + round } else { first_word + round - words };
            let wanted = match round {
                0 => from_first,
                _ if round == words => !from_first,
                _ => u64::MAX,
            };
            if wanted == 0 {
                continue;
            }
            // Acquire: who does not see a thread asleep any more sees it search.
            let mut bits = self.have_sleepers[place].load(edge!("event_count.awake", Acquire)) & wanted;
            while bits != 0 {
                let domain = place * BITS + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                let found = found(domain);
                if found.is_some() {
                    return found;
                }
            }
        }
        None
    }

    /// How many threads sleep in any domain, and a number that grows as soon as one of them is taken out.
    pub(super) fn asleep_and_stirs(&self) -> (u64, u64) {
        let words = self.each.iter().map(|domain| domain.asleep.load(Ordering::Relaxed));
        words.fold((0, 0), |(asleep, stirs), word| (asleep + word / SLEEPER, stirs + word % SLEEPER))
    }

    /// A thread that searched sleeps now.
    pub(super) fn put(&self, sleeper: Sleeper) {
        let domain = sleeper.at.domain;
        let Domain { searching, asleep, sleepers } = &self.each[domain];
        let mut sleepers = sleepers.lock();
        sleepers.push(sleeper);
        asleep.fetch_add(SLEEPER, Ordering::Relaxed);
        searching.fetch_sub(1, Ordering::Relaxed);
        if sleepers.len() == 1 {
            self.have_sleepers[domain / BITS].fetch_or(1 << (domain % BITS), Ordering::Relaxed);
        }
    }

    /// Takes the last sleeper of a domain that may wake; it searches then.
    pub(super) fn take(&self, domain: usize, may: impl Fn(&Sleeper) -> bool) -> Option<Sleeper> {
        if self.asleep(domain) == 0 {
            return None;
        }
        self.take_out(domain, self.each[domain].sleepers.lock(), may)
    }

    /// As [`take`](Self::take), for a thread that does not wait for the lock.
    pub(super) fn try_take(&self, domain: usize, may: impl Fn(&Sleeper) -> bool) -> Result<Option<Sleeper>, Busy> {
        if self.asleep(domain) == 0 {
            return Ok(None);
        }
        let sleepers = self.each[domain].sleepers.try_lock().ok_or(Busy)?;
        Ok(self.take_out(domain, sleepers, may))
    }

    fn take_out(
        &self,
        domain: usize,
        mut sleepers: MutexGuard<'_, Vec<Sleeper>>,
        may: impl Fn(&Sleeper) -> bool,
    ) -> Option<Sleeper> {
        let place = sleepers.iter().rposition(may)?;
        let sleeper = sleepers.remove(place);
        self.wakes(domain, 1, sleepers.is_empty());
        Some(sleeper)
    }

    /// Takes all sleepers of all domains; they search then. `wake` is called under a lock.
    pub(super) fn drain(&self, mut wake: impl FnMut(Sleeper)) {
        for (domain, Domain { sleepers, .. }) in self.each.iter().enumerate() {
            let mut sleepers = sleepers.lock();
            self.wakes(domain, sleepers.len(), !sleepers.is_empty());
            sleepers.drain(..).for_each(&mut wake);
        }
    }

    /// So many sleepers of a domain search now, and perhaps these were the last ones.
    fn wakes(&self, domain: usize, sleepers: usize, were_last: bool) {
        let Domain { searching, asleep, .. } = &self.each[domain];
        searching.fetch_add(sleepers, Ordering::Relaxed);
        // Release, here and below: they count as searching by now.
        asleep.fetch_sub((SLEEPER - 1) * sleepers as u64, edge!("event_count.woken", Release));
        if were_last {
            let bit = 1 << (domain % BITS);
            self.have_sleepers[domain / BITS].fetch_and(!bit, edge!("event_count.woken", Release));
        }
    }
}

#[cfg(all(test, not(any(loom, coherence))))]
mod tests {
    use super::*;

    #[test]
    fn domains_with_sleepers_come_in_a_circle() {
        let domains = Domains::new(&[1; 150]);
        for domain in [3, 64, 70, 149] {
            domains.begin_search(domain);
            let at = At { domain, ..At::default() };
            domains.put(Sleeper { parker: Arc::new(Parker::new()), at, compensator: false });
        }
        let order = |first| {
            let mut order = Vec::new();
            let _: Option<()> = domains.with_sleepers(first, |domain| {
                order.push(domain);
                None
            });
            order
        };
        assert_eq!(order(0), [3, 64, 70, 149]);
        assert_eq!(order(3), [3, 64, 70, 149]);
        assert_eq!(order(4), [64, 70, 149, 3]);
        assert_eq!(order(65), [70, 149, 3, 64]);
        assert_eq!(order(149), [149, 3, 64, 70]);
        assert!(domains.take(64, |_| true).is_some() && domains.take(64, |_| true).is_none());
        assert_eq!((domains.asleep(64), domains.searching(64), domains.asleep_and_stirs()), (0, 1, (3, 1)));
        assert_eq!(order(64), [70, 149, 3]);
        let mut woken = 0;
        domains.drain(|_| woken += 1);
        assert_eq!((woken, domains.all_searching(), order(7)), (3, 4, Vec::new()));
    }
}
