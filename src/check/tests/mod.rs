//! Whole runs on virtual workers and on real ones.

mod compensators;
mod elastic;
mod failures;
mod fairness;
mod joins;
mod loops;
mod nodes;
mod programs;
mod shapes;
mod steps;
mod tasks;

use std::sync::Once;

/// Keeps the panics that tests provoke off the terminal.
fn silence_traps() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload().downcast_ref() != Some(&"trap") {
                others(info);
            }
        }));
    });
}
