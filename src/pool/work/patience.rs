//! How long a thread looks for work before it sleeps.

use std::time::Duration;

use crate::sync::Instant;
use crate::sync::thread;

/// How long workers look for work before they sleep; see [`PoolBuilder::idle`](crate::pool::PoolBuilder::idle).
///
/// In every mode an idle pool uses no CPU in the end. The system takes some 10 to 50 us to wake a sleeping worker, and
/// the thread that wakes it pays a few microseconds. A worker that still looks for work begins within two.
///
/// The table shows two workers on two cores of a virtual machine. A thread from outside spawns a closure again and
/// again, with a pause in between. The first figure is the time until the closure begins (median). The second one is
/// the number of busy CPUs, with the CPU of the spawning thread among them if that thread spins.
///
/// | pause | `Latency` | `Balanced` | `Frugal` |
/// |---|---|---|---|
/// | 20 us, spinning | 1.1 us, 1.83 CPUs | 1.4 us, 1.91 CPUs | 7.3 us, 1.17 CPUs |
/// | 100 us, spinning | 1.2 us, 1.86 CPUs | 12 us, 1.31 CPUs | 11 us, 1.07 CPUs |
/// | 1000 us, sleeping | 15 us, 0.22 CPUs | 17 us, 0.06 CPUs | 16 us, 0.03 CPUs |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Idle {
    /// Workers look for 200 us. This is for bursts of work with short pauses, on cores that no other program needs. A
    /// worker that runs out of work uses its core for 200 us each time.
    Latency,
    /// Workers look for 20 us. Then they offer the core to other threads a few times, and look again after each time.
    #[default]
    Balanced,
    /// Workers sleep at once. This is for pools that share their cores, or that should leave them in deep sleep.
    Frugal,
}

/// How long [`Idle::Latency`] looks.
const LONG: Duration = Duration::from_micros(200);
/// How long [`Idle::Balanced`] looks before it offers the core to other threads: about as long as a wake-up takes, so
/// that it costs at most twice what the best choice would (`docs/decisions.md`). Two quick wake-ups fit into it: where
/// one loop ends and the next one begins, the thread that waits is woken first, and then the workers.
const BRIEF: Duration = Duration::from_micros(20);
/// How often a thread offers the core to other threads before it sleeps.
const YIELDS: u32 = 4;
/// The most pauses between two looks. One pause takes 10 to 60 ns, depending on the processor.
const PAUSES: u32 = 8;

/// How much longer a thread without work looks for some.
#[derive(Debug)]
pub(in crate::pool) struct Patience {
    idle: Idle,
    since: Option<Instant>,
    /// Pauses until the next look.
    pauses: u32,
    yields: u32,
}

impl Patience {
    pub(in crate::pool) fn new(idle: Idle) -> Self {
        Self { idle, since: None, pauses: 1, yields: 0 }
    }

    /// The thread had work: it starts with full patience again.
    #[inline]
    pub(in crate::pool) fn renew(&mut self) {
        *self = Self::new(self.idle);
    }

    /// The thread has found no work: it waits a moment, or until `is_over`. `false`: it is time to sleep.
    pub(in crate::pool) fn waits(&mut self, is_over: impl Fn() -> bool) -> bool {
        let long = match self.idle {
            Idle::Latency => LONG,
            Idle::Balanced => BRIEF,
            Idle::Frugal => return false,
        };
        if self.since.get_or_insert_with(Instant::now).elapsed() < long {
            for _ in 0..self.pauses {
                if is_over() {
                    break;
                }
                thread::spin_loop();
            }
            self.pauses = PAUSES.min(2 * self.pauses);
            return true;
        }
        self.yields += 1;
        if self.yields <= YIELDS {
            thread::yield_now();
        }
        self.yields <= YIELDS
    }
}

#[cfg(all(test, not(any(loom, coherence))))]
mod tests {
    use super::*;

    #[test]
    fn patience_ends() {
        for (idle, least) in [(Idle::Latency, LONG), (Idle::Balanced, Duration::ZERO), (Idle::Frugal, Duration::ZERO)] {
            let (mut patience, start) = (Patience::new(idle), Instant::now());
            let waits = std::iter::from_fn(|| patience.waits(|| false).then_some(())).count();
            assert!(start.elapsed() >= least);
            assert_eq!(waits > 0, idle != Idle::Frugal);
            patience.renew();
            assert_eq!(patience.waits(|| false), idle != Idle::Frugal);
        }
    }
}
