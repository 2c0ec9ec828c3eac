//! Cancels runs whose time is up: one thread for the whole process, while there is a deadline.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::control::Control;
use crate::run::cancel::Cancel;
use crate::sync::{Condvar, Instant, LazyLock, Mutex, fork, thread};

/// Fewer deadlines than this are not looked through.
const SWEEP: usize = 64;

static CLOCK: LazyLock<Clock> = LazyLock::new(Clock::default);

/// All deadlines to come.
#[derive(Default)]
struct Clock {
    state: Mutex<ClockState>,
    /// Told when the first deadline changes.
    changed: Condvar,
}

#[derive(Default)]
struct ClockState {
    deadlines: BinaryHeap<Reverse<Deadline>>,
    /// At so many, those of runs that are gone are taken out.
    sweep_at: usize,
    /// The process in which there is a thread that watches. A child process has none.
    watched_in: Option<u32>,
}

/// When a run is to be over.
struct Deadline {
    at: Instant,
    run: Weak<Control>,
}

impl PartialEq for Deadline {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}
impl Eq for Deadline {}
impl PartialOrd for Deadline {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Deadline {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

/// Cancels the run when so much time has passed, if it is not over by then.
///
/// # Errors
/// The thread that watches the clock cannot be made.
pub(crate) fn set(run: &Arc<Control>, after: Duration) -> io::Result<()> {
    let Some(at) = Instant::now().checked_add(after) else { return Ok(()) };
    let mut state = CLOCK.state.lock();
    let is_first = state.deadlines.peek().is_none_or(|Reverse(first)| at < first.at);
    if state.deadlines.len() >= state.sweep_at {
        state.deadlines.retain(|Reverse(deadline)| deadline.run.strong_count() > 0);
        state.sweep_at = SWEEP.max(2 * state.deadlines.len());
    }
    state.deadlines.push(Reverse(Deadline { at, run: Arc::downgrade(run) }));
    if state.watched_in != Some(fork::process()) {
        thread::Builder::new().name("millstream-clock".to_owned()).spawn(watch)?;
        state.watched_in = Some(fork::process());
    } else if is_first {
        CLOCK.changed.notify_one();
    }
    Ok(())
}

/// Watches until no deadline is left.
fn watch() {
    let mut state = CLOCK.state.lock();
    loop {
        let now = Instant::now();
        let due = state.deadlines.peek().is_some_and(|Reverse(first)| first.at <= now || first.run.strong_count() == 0);
        if due {
            let Some(Reverse(Deadline { run, .. })) = state.deadlines.pop() else { continue };
            drop(state);
            if let Some(run) = run.upgrade() {
                run.cancel(Cancel::Deadline);
            }
            state = CLOCK.state.lock();
            continue;
        }
        let Some(Reverse(first)) = state.deadlines.peek() else {
            state.watched_in = None;
            return;
        };
        let patience = first.at - now;
        state = CLOCK.changed.wait_for(state, &CLOCK.state, patience);
    }
}
