//! Notices that the one thread blocks, as at a lock of the user's own that another process of the schedule holds.
//!
//! All processes share one thread. If one of them waits for a plain lock, nobody can go on who would give it back, and nobody can say
//! so. So another thread looks whether steps are made. If none was for some seconds, and the system says that the thread sleeps,
//! it says who has blocked it and ends the program: nothing else can be done for a thread that sleeps. Of a thread that is busy
//! in one call for long it says so, and after half a minute how far the search is.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::sync::footprint::{self, SharedCalls};
use crate::sync::{Condvar, Mutex, thread};

/// How often it looks.
const PAUSE: Duration = Duration::from_millis(500);
/// After so many looks without a step the thread is taken for blocked.
const LOOKS: u32 = 10;
/// After so many without a step it is said that the thread is busy in one call.
const BUSY_LOOKS: u32 = 40;
/// After so many looks it is said how far the search is, and then after twice as many.
const FIRST_REPORT: u32 = 60;

/// Looks after this thread until it is dropped; see the module.
pub(super) struct Lookout {
    over: Arc<Over>,
    looking: Option<thread::JoinHandle<()>>,
}

#[derive(Default)]
struct Over {
    is_over: Mutex<bool>,
    changed: Condvar,
}

impl Lookout {
    /// Where the system does not say whether a thread sleeps, nobody looks.
    pub(super) fn new() -> Self {
        let over = Arc::<Over>::default();
        let looking = fs::read_link("/proc/thread-self").ok().and_then(|this| {
            let (over, calls) = (Arc::clone(&over), footprint::calls());
            drop(calls.lock().map(|mut calls| calls.count_anew()));
            let state = PathBuf::from("/proc").join(this).join("stat");
            let name = "millstream-check".to_owned();
            thread::Builder::new().name(name).spawn(move || look(&over, &calls, &state)).ok()
        });
        Self { over, looking }
    }
}

impl Drop for Lookout {
    fn drop(&mut self) {
        *self.over.is_over.lock() = true;
        self.over.changed.notify_one();
        if let Some(looking) = self.looking.take() {
            drop(looking.join());
        }
    }
}

fn look(over: &Over, calls: &SharedCalls, state: &PathBuf) {
    let (mut known, mut looks, mut busy, mut all, mut report) = (0, 0, 0, 0, FIRST_REPORT);
    let mut is_over = over.is_over.lock();
    while !*is_over {
        is_over = over.changed.wait_for(is_over, &over.is_over, PAUSE);
        let Ok(calls) = calls.try_lock() else { continue };
        let steps = calls.steps();
        let is_long = steps == known && calls.is_in_step();
        looks = if is_long && sleeps(state) { looks + 1 } else { 0 };
        busy = if is_long { busy + 1 } else { 0 };
        known = steps;
        all += 1;
        if busy == BUSY_LOOKS {
            say(&format!(
                "{} has been busy for {:?}, and nobody else can go on. If it waits for another one, as at an atomic that it asks again and \
                 again, use check::Atomic or check::Channel in its place.",
                calls.call(),
                PAUSE * BUSY_LOOKS
            ));
        }
        if all >= report && busy < BUSY_LOOKS {
            say(&format!(
                "{} schedules in {:?}. If there are too many: fewer items, larger batches, explore().pure(), a bound as max_schedules(n) or \
                 preemptions(n), or check::random. Debug builds are five times slower.",
                calls.schedules(),
                PAUSE * all
            ));
            report *= 2;
        }
        if looks >= LOOKS {
            say(&format!(
                "{} has blocked the one thread that all processes share for {:?}. Perhaps it waits for a lock that another one holds: use \
                 check::Mutex in its place.",
                calls.call(),
                PAUSE * LOOKS
            ));
            std::process::abort();
        }
    }
}

fn say(what: &str) {
    drop(writeln!(io::stderr(), "millstream::check: {what}"));
}

/// Whether the thread sleeps, as this file of the system says.
fn sleeps(state: &PathBuf) -> bool {
    let text = fs::read_to_string(state).unwrap_or_default();
    text.rsplit_once(')').is_some_and(|(_, behind)| behind.trim_start().starts_with('S'))
}
