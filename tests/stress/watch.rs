//! Nothing may hang: who does what since when, and a thread that looks.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// For how long one thing may go on. All of them take milliseconds, but the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the threads of the test do now.
#[derive(Clone, Default)]
pub(crate) struct Board(Arc<Mutex<Vec<Line>>>);

struct Line {
    who: usize,
    what: String,
    since: Instant,
}

/// Something that goes on, until this is dropped.
pub(crate) struct Going<'b> {
    board: &'b Board,
    who: usize,
}

impl Drop for Going<'_> {
    fn drop(&mut self) {
        self.board.lines().retain(|line| line.who != self.who);
    }
}

impl Board {
    fn lines(&self) -> MutexGuard<'_, Vec<Line>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that something begins.
    pub(crate) fn begin(&self, what: String) -> Going<'_> {
        let mut lines = self.lines();
        let who =
            (0..).find(|who| lines.iter().all(|line| line.who != *who)).expect("there are more numbers than lines");
        lines.push(Line { who, what, since: Instant::now() });
        Going { board: self, who }
    }

    /// All that goes on.
    fn tell(&self) -> String {
        let lines = self.lines();
        let told = lines.iter().map(|line| format!("  for {:?}: {}\n", line.since.elapsed(), line.what));
        told.collect()
    }

    /// Has a thread look at the board as long as the process lives: what takes too long ends it.
    pub(crate) fn watch(&self, patience: Option<Duration>) {
        let (board, patience) = (self.clone(), patience.unwrap_or(PATIENCE));
        thread::spawn(move || {
            loop {
                thread::sleep(patience / 100);
                if board.lines().iter().any(|line| line.since.elapsed() > patience) {
                    say(&format!("stress: something hangs. What goes on:\n{}", board.tell()));
                    std::process::abort(); // and not just a panic: the threads that hang would be waited for
                }
            }
        });
    }
}

/// Tells it past the test harness, which would keep it back.
pub(crate) fn say(what: &str) {
    let _ = writeln!(io::stderr(), "{what}");
}
