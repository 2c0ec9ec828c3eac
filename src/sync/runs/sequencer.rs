//! Hands turns out in number order. No thread waits for one.
//!
//! If the turn of a piece has not come, its worker leaves it here and goes on with something else. The worker that ends
//! a turn takes the next piece with it, if that is here already, and must see that it is run. So a serial operator
//! costs no thread. It costs the memory of the pieces that came early: at most as many as are in flight.
//!
//! A place in the order is a [`Turn`]: the number of the batch, and the part of it if the batch was split.
//!
//! # Protocol
//! The race: a worker sees that the turn of its piece has not come. Another worker ends the turn before it, and does
//! not find the piece. Then the first one leaves it here, and nobody takes it. So one lock is held from the look until
//! the piece is here. It is held for a few instructions, and never while user code runs.
//!
//! * (T1) [`enter`](Sequencer::enter): if it is this piece's turn and nobody is inside, go in. Else leave the piece.
//! * (T2) [`leave`](Sequencer::leave): advance. If the next piece is here, take it out and stay inside for it. Else
//!   nobody is inside.
//!
//! # Edges
//! | edge | writer | reader | makes visible | model |
//! |---|---|---|---|---|
//! | `sequencer.park` | T2: lock | T1: lock, from the look until the piece is here | whose turn it is | `loom_sequencer_loses_nobody` |

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::sync::{Mutex, MutexGuard, adding, explores, has_named_calls, join_part};
use crate::sync::{lock_edge, say_about_part, unwatched, write_part};

/// A place in the order: number, then part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Turn {
    pub(crate) number: u64,
    pub(crate) part: u32,
}

impl Turn {
    pub(crate) fn as_word(self) -> u64 {
        self.number << 16 | u64::from(self.part)
    }
}

#[derive(Debug)]
struct Parked<T>(Turn, T);

impl<T> PartialEq for Parked<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<T> Eq for Parked<T> {}
impl<T> PartialOrd for Parked<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Parked<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

#[derive(Debug)]
struct State<T> {
    next: Turn,
    inside: bool,
    parked: BinaryHeap<Reverse<Parked<T>>>,
}

/// Hands turns out in order; see the module.
#[derive(Debug)]
pub(crate) struct Sequencer<T>(Mutex<State<T>>);

impl<T> Sequencer<T> {
    /// The first turn is number 0, part 0. `room` early pieces need no allocation.
    pub(crate) fn new(room: usize) -> Self {
        let next = Turn { number: 0, part: 0 };
        Self(Mutex::new(State { next, inside: false, parked: BinaryHeap::with_capacity(room) }))
    }

    /// Goes in if it is this turn and nobody is inside.
    #[must_use]
    pub(crate) fn try_enter(&self, turn: Turn) -> bool {
        if has_named_calls() {
            return false; // a turn is a call of its own
        }
        let mut state = self.0.lock();
        let free = !state.inside && state.next == turn;
        state.inside |= free;
        free
    }

    /// Goes in with `piece` if it is its turn. Else leaves it here. (T1)
    #[must_use]
    pub(crate) fn enter(&self, turn: Turn, piece: T) -> Option<T> {
        let mut state = self.lock_for(turn);
        if !state.inside && state.next == turn {
            state.inside = true;
            self.say_about(turn);
            return Some(piece);
        }
        let mut state = lock_edge!("sequencer.park", state, self.0);
        state.parked.push(Reverse(Parked(turn, piece)));
        None
    }

    /// Ends the turn that the caller is in. `last`: it was the last part of its number. Returns the next piece if it is
    /// here; then the caller is inside for it. (T2)
    #[must_use]
    pub(crate) fn leave(&self, last: bool) -> Option<T> {
        let next = |turn: Turn| match turn {
            Turn { number, .. } if last => Turn { number: number + 1, part: 0 },
            Turn { number, part } => Turn { number, part: part + 1 },
        };
        let mut state = if explores() { self.lock_for(next(unwatched(|| self.0.lock().next))) } else { self.0.lock() };
        debug_assert!(state.inside, "only who is inside leaves");
        state.next = next(state.next);
        match state.parked.peek() {
            Some(Reverse(Parked(turn, _))) if *turn == state.next => {
                self.say_about(*turn);
                state.parked.pop().map(|Reverse(Parked(_, piece))| piece)
            }
            _ => {
                state.inside = false;
                None
            }
        }
    }

    /// Takes the lock for what concerns this turn alone: who brings its piece, and who ends the turn before it, leave the same in
    /// either order.
    fn lock_for(&self, turn: Turn) -> MutexGuard<'_, State<T>> {
        if !explores() {
            return self.0.lock();
        }
        adding(|| write_part(&self.0, turn.as_word()));
        unwatched(|| self.0.lock())
    }

    /// The job that is queued next is this turn.
    fn say_about(&self, turn: Turn) {
        say_about_part(&self.0, turn.as_word());
    }

    /// What is done now comes behind all that concerns this turn.
    pub(crate) fn join(&self, turn: Turn) {
        join_part(&self.0, turn.as_word());
    }

    /// How many pieces wait, and which turn they wait for.
    pub(crate) fn waiting(&self) -> (usize, Turn) {
        let state = self.0.lock();
        (state.parked.len(), state.next)
    }

    /// Starts over at number 0, and returns what was left here.
    pub(crate) fn reset(&mut self) -> impl Iterator<Item = T> + use<'_, T> {
        let state = self.0.get_mut();
        state.next = Turn { number: 0, part: 0 };
        state.inside = false;
        state.parked.drain().map(|Reverse(Parked(_, piece))| piece)
    }
}
