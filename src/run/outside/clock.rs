//! What happens at a given time: a run whose time is up is cancelled, a future that pauses is woken. One thread for the
//! whole process watches, while there is something to come.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use super::control::Control;
use super::waiter::Waiter;
use crate::run::cancel::Cancel;
use crate::sync::{Condvar, Instant, LazyLock, Mutex, explores, fork, thread};

/// Fewer alarms than this are not looked through.
const SWEEP: usize = 64;

static CLOCK: LazyLock<Clock> = LazyLock::new(Clock::default);

/// All that is to come.
#[derive(Default)]
struct Clock {
    state: Mutex<ClockState>,
    /// Told when the first alarm changes.
    changed: Condvar,
}

#[derive(Default)]
struct ClockState {
    alarms: BinaryHeap<Reverse<Alarm>>,
    /// At so many, those that nobody is interested in are taken out.
    sweep_at: usize,
    /// The process in which there is a thread that watches. A child process has none.
    watched_in: Option<u32>,
}

/// What happens at a time, unless nobody is interested any more.
struct Alarm {
    at: Instant,
    what: What,
}

enum What {
    Cancel(Weak<Control>),
    Wake(Weak<Timer>),
}

impl Alarm {
    fn is_over(&self) -> bool {
        match &self.what {
            What::Cancel(run) => run.strong_count() == 0,
            What::Wake(timer) => timer.strong_count() == 0,
        }
    }

    fn ring(self) {
        match self.what {
            What::Cancel(run) => run.upgrade().iter().for_each(|run| run.cancel(Cancel::Deadline)),
            What::Wake(timer) => {
                timer.upgrade().and_then(|timer| timer.lock().take()).into_iter().for_each(Waiter::wake);
            }
        }
    }
}

impl PartialEq for Alarm {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}
impl Eq for Alarm {}
impl PartialOrd for Alarm {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Alarm {
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
    add(Alarm { at, what: What::Cancel(Arc::downgrade(run)) })
}

fn add(alarm: Alarm) -> io::Result<()> {
    #[cfg(feature = "check")]
    if explores() {
        crate::pool::work::bag::call_any_time(move || alarm.ring());
        return Ok(());
    }
    let mut state = CLOCK.state.lock();
    let is_first = state.alarms.peek().is_none_or(|Reverse(first)| alarm.at < first.at);
    if state.alarms.len() >= state.sweep_at {
        state.alarms.retain(|Reverse(alarm)| !alarm.is_over());
        state.sweep_at = SWEEP.max(2 * state.alarms.len());
    }
    state.alarms.push(Reverse(alarm));
    if state.watched_in != Some(fork::process()) {
        thread::Builder::new().name("millstream-clock".to_owned()).spawn(watch)?;
        state.watched_in = Some(fork::process());
    } else if is_first {
        CLOCK.changed.notify_one();
    }
    Ok(())
}

/// Who waits for a pause to end.
type Timer = Mutex<Option<Waiter>>;

/// A future that is done when so much time has passed.
pub(crate) struct Pause {
    until: Option<Instant>,
    timer: Option<Arc<Timer>>,
}

impl Pause {
    pub(crate) fn new(time: Duration) -> Self {
        Self { until: Instant::now().checked_add(time), timer: None }
    }
}

impl Future for Pause {
    /// An error if the thread that watches the clock cannot be made.
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(at) = self.until else { return Poll::Pending };
        if at <= Instant::now() {
            return Poll::Ready(Ok(()));
        }
        let task = Waiter::task(context);
        if let Some(timer) = &self.timer {
            let other = timer.lock().replace(task);
            let was_taken = other.is_none();
            drop(other); // it may run an executor's code
            // If the clock has taken the one before, it is time.
            return if at <= Instant::now() || was_taken && explores() { Poll::Ready(Ok(())) } else { Poll::Pending };
        }
        let timer = Arc::new(Mutex::new(Some(task)));
        let what = What::Wake(Arc::downgrade(&timer));
        self.timer = Some(timer);
        match add(Alarm { at, what }) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

/// Watches until nothing is to come.
fn watch() {
    let mut state = CLOCK.state.lock();
    loop {
        let now = Instant::now();
        let Some(Reverse(first)) = state.alarms.peek() else {
            state.watched_in = None;
            return;
        };
        let patience = first.at.saturating_duration_since(now);
        if !patience.is_zero() && !first.is_over() {
            state = CLOCK.changed.wait_for(state, &CLOCK.state, patience);
        } else if let Some(Reverse(alarm)) = state.alarms.pop() {
            drop(state);
            alarm.ring();
            state = CLOCK.state.lock();
        }
    }
}
