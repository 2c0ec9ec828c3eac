//! Schedules by chance, for graphs of which not all can be tried.
//!
//! Each process gets a priority by chance when it comes, and of those that can go on the one with the highest makes the next step. At a
//! few steps, also by chance, the one that is about to go on falls behind all others. So a fault that needs few processes in a certain
//! order is found with a known chance, however many others there are: Burckhardt, Kothari, Musuvathi, Nagarakatte, "A randomized
//! scheduler with probabilistic guarantees of finding bugs" (2010).

use super::execution::Chooser;
use super::reduction::Process;

/// At so many steps at most a process falls behind.
const MOST_FALLS: u64 = 4;

/// Chooses by chance; see the module.
pub(super) struct Chance {
    numbers: Numbers,
    /// The priorities of the processes of this schedule. Those that have fallen behind have low ones.
    priorities: Vec<u64>,
    /// The steps at which a process falls behind.
    falls: Vec<usize>,
    fallen: u64,
    /// The most steps that a schedule had.
    longest: usize,
}

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self { numbers: Numbers(seed), priorities: Vec::new(), falls: Vec::new(), fallen: 0, longest: 1 }
    }

    /// A schedule begins.
    pub(super) fn begin(&mut self) {
        self.priorities.clear();
        self.fallen = 0;
        self.falls.clear();
        for _ in 0..self.numbers.below(MOST_FALLS + 1) {
            let step = self.numbers.below(self.longest as u64);
            self.falls.push(usize::try_from(step).expect("below a `usize`"));
        }
    }

    fn priority(&mut self, process: Process) -> &mut u64 {
        while self.priorities.len() <= process {
            let new = self.numbers.next() | 1 << 63; // above all that have fallen behind
            self.priorities.push(new);
        }
        &mut self.priorities[process]
    }
}

impl Chooser for Chance {
    fn choose(&mut self, step: usize, _: Process, candidates: &mut dyn Iterator<Item = Process>) -> Option<Process> {
        self.longest = self.longest.max(step + 1);
        let candidates: Vec<Process> = candidates.collect();
        if self.falls.contains(&step) {
            let first = candidates.iter().copied().max_by_key(|process| *self.priority(*process))?;
            self.fallen += 1;
            *self.priority(first) = MOST_FALLS - self.fallen;
        }
        candidates.into_iter().max_by_key(|process| *self.priority(*process))
    }
}

/// Numbers by chance: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (2014).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}
