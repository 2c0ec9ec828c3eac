//! Holds things until it is opened, then lets everything pass.
//!
//! # Protocol
//! pass: (G1) open? go on. (G2) Lock; open now? go on; else leave the thing. open: (G3) lock, mark open, take all that was
//! left. A thing is left only under the lock while the gate is shut, so G3 finds it.
//!
//! # Edges
//! | edge | writer | reader | makes visible | model |
//! |---|---|---|---|---|
//! | `gate.open` | G3: store, Release | G1 | what was done before the gate was opened | `loom_gate_lets_all_pass` |
//! | `gate.pass` | G3: store | G1: load, Acquire | the same | `loom_gate_lets_all_pass` |

use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Mutex, edge};

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

    /// Gives the thing back if the gate is open, else holds it.
    pub(crate) fn pass(&self, thing: T) -> Option<T> {
        // Acquire: what was done before the gate was opened is visible. (G1)
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

    /// Opens the gate, gives what was held.
    pub(crate) fn open(&self) -> Vec<T> {
        let mut held = self.held.lock(); // (G3)
        // Release: everything before is visible to all that pass.
        self.open.store(true, edge!("gate.open", Release));
        std::mem::take(&mut *held)
    }

    /// How many things are held.
    pub(crate) fn holds(&self) -> usize {
        self.held.lock().len()
    }

    /// Shuts the gate, gives what was held.
    pub(crate) fn reset(&mut self) -> Vec<T> {
        self.open.store(false, Ordering::Relaxed);
        std::mem::take(self.held.get_mut())
    }
}
