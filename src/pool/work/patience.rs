//! How long a thread looks for work before it sleeps.

use std::time::{Duration, Instant};

use crate::sync::thread;

/// How long workers look for work before they sleep; see [`PoolBuilder::idle`](crate::pool::PoolBuilder::idle).
///
/// However long that is, an idle pool uses no CPU in the end. To wake a sleeping worker takes the system some 10 to 50 us,
/// and costs who wakes it a few; a worker that still looks begins within two. Measured with two workers on two cores of a
/// virtual machine, a closure spawned from outside again and again with a pause in between: how long until it begins (median),
/// and how many CPUs are busy, the spawning thread's own among them if it spins:
///
/// | pause | `Latency` | `Balanced` | `Frugal` |
/// |---|---|---|---|
/// | 20 us, spinning | 1.3 us, 1.66 CPUs | 25 us, 0.89 CPUs | 29 us, 0.78 CPUs |
/// | 100 us, spinning | 1.6 us, 1.86 CPUs | 34 us, 0.95 CPUs | 36 us, 0.86 CPUs |
/// | 1000 us, sleeping | 63 us, 0.21 CPUs | 61 us, 0.08 CPUs | 60 us, 0.07 CPUs |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Idle {
    /// For 200 us: for bursts of work with short pauses, on cores that nobody else needs. A worker that runs out of work
    /// uses its core for so long each time.
    Latency,
    /// For 5 us, and then by giving the core to whoever wants it a few times.
    #[default]
    Balanced,
    /// Not at all: for pools that share their cores, or that should leave them in deep sleep.
    Frugal,
}

/// How long [`Idle::Latency`] looks.
const LONG: Duration = Duration::from_micros(200);
/// How long [`Idle::Balanced`] looks before it gives the core away, now and then.
const BRIEF: Duration = Duration::from_micros(5);
/// How often it gives the core away.
const YIELDS: u32 = 4;
/// Most pauses between two looks: one takes 10 to 60 ns, as the processor likes.
const PAUSES: u32 = 8;

/// What is left of a thread's patience since it had work.
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

    /// There was work.
    #[inline]
    pub(in crate::pool) fn renew(&mut self) {
        *self = Self::new(self.idle);
    }

    /// There was none: waits a moment, or until `is_over`; `false`: it is time to sleep.
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

#[cfg(all(test, not(loom)))]
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
