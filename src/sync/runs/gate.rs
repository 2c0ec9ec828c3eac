//! Holds things until it is opened, then lets all pass.
//!
//! The race: a thread sees that the gate is shut. Another thread opens it and takes what is held. Then the first one
//! leaves its thing, and nobody comes for it.
//!
//! # Protocol
//! * pass: (G1) If the gate is open, go on. (G2) Take the lock, and look again. If it is open now, go on. Else leave
//!   the thing.
//! * open: (G3) Take the lock, mark the gate open, and take all that was left.
//!
//! A thread leaves a thing only under the lock, while the gate is shut. So G3 finds it.
//!
//! # Edges
//! | edge | writer | reader | makes visible | model |
//! |---|---|---|---|---|
//! | `gate.open` | G3: store, Release | G1 | what was done before the gate was opened | `loom_gate_lets_all_pass` |
//! | `gate.pass` | G3: store | G1: load, Acquire | the same | `loom_gate_lets_all_pass` |

use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Mutex, add_to, adding, edge, explores, join, join_part, say_about_part, unwatched, write_part};

/// Holds things until it is opened; see the module.
#[derive(Debug)]
pub(crate) struct Gate<T> {
    open: AtomicBool,
    held: Mutex<Vec<T>>,
}

impl<T> Gate<T> {
    /// A shut gate.
    pub(crate) fn new() -> Self {
        Self { open: AtomicBool::new(false), held: Mutex::new(Vec::new()) }
    }

    /// Gives the thing back if the gate is open. Else holds it. `name` tells things apart.
    pub(crate) fn pass(&self, thing: T, name: impl FnOnce(&T) -> u64) -> Option<T> {
        if explores() {
            // Whichever comes second, the thing or who opens the gate, queues the job by which it goes on.
            let name = name(&thing);
            adding(|| write_part(&self.held, name));
            let passed = unwatched(|| self.pass_now(thing));
            if passed.is_some() {
                say_about_part(&self.held, name);
            }
            return passed;
        }
        self.pass_now(thing)
    }

    fn pass_now(&self, thing: T) -> Option<T> {
        // Acquire: the caller sees what was done before the gate was opened. (G1)
        if self.open.load(edge!("gate.pass", Acquire)) {
            return Some(thing);
        }
        let mut held = self.held.lock(); // (G2)
        if self.open.load(Ordering::Relaxed) {
            return Some(thing);
        }
        held.push(thing);
        None
    }

    /// Opens the gate, and returns what was held.
    pub(crate) fn open(&self) -> Vec<T> {
        add_to(&self.open);
        unwatched(|| self.open_now())
    }

    /// The job that is queued next is that of the thing with this name.
    pub(crate) fn say_about(&self, name: u64) {
        say_about_part(&self.held, name);
    }

    /// What is done now comes behind the coming of the thing with this name, and behind the opening.
    pub(crate) fn join(&self, name: u64) {
        join_part(&self.held, name);
        join(&self.open);
    }

    fn open_now(&self) -> Vec<T> {
        let mut held = self.held.lock(); // (G3)
        // Release: all that pass see what was done before.
        self.open.store(true, edge!("gate.open", Release));
        std::mem::take(&mut *held)
    }

    /// How many things are held.
    pub(crate) fn holds(&self) -> usize {
        self.held.lock().len()
    }

    /// Shuts the gate, and returns what was held.
    pub(crate) fn reset(&mut self) -> Vec<T> {
        self.open.store(false, Ordering::Relaxed);
        std::mem::take(self.held.get_mut())
    }
}
