//! Whole runs on virtual workers and on real ones.

mod compensators;
mod elastic;
mod failures;
mod fairness;
mod joins;
mod loops;
mod nodes;
mod programs;
mod proofs;
mod shapes;
mod steps;
mod tables;
mod tasks;

use std::cell::Cell;
use std::sync::Once;

thread_local! {
    /// How many panics on this thread no test has provoked. A run that fails anyway may hide them.
    static OTHER_PANICS: Cell<usize> = const { Cell::new(0) };
}

/// Keeps the panics that tests provoke off the terminal, and counts others.
fn silence_traps() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload().downcast_ref() != Some(&"trap") {
                OTHER_PANICS.set(OTHER_PANICS.get() + 1);
                others(info);
            }
        }));
    });
}
