//! Notices that no job of a group (a run, a scope) is left, without a shared counter per job.
//!
//! This is termination detection by credit recovery (Mattern, "Global quiescence detection based on credit distribution
//! and recovery", 1989). Each queued or running job of the group holds one token; a job that is cut into parts holds one
//! for each part that it may have, and gives each part its tokens without a look here. A worker that works for the group
//! keeps a cache of spare tokens in plain memory. A job that it queues takes one out, a job that it has finished puts
//! one in. A worker touches the shared word in two cases only. If its cache is empty, it takes [`BULK`] tokens at once.
//! If it finds no further job of the group near by, it gives back all that it has. The thread that brings the word to
//! zero is the last one. It alone may touch the group after that.
//!
//! # Invariants
//! * I1: word = tokens in caches + tokens of queued jobs + tokens of running jobs.
//! * I2: only the holder of a token (a running job of the group) takes more. So zero is final.
//!
//! # Edges
//! | edge | writer | reader | makes visible | model |
//! |---|---|---|---|---|
//! | `quiescence.give` | `give_back`: RMW, AcqRel | the one that reaches zero | all that jobs of the group did, to the last one | `loom_quiescence_last_sees_all` |

use super::Arrival;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::edge;

/// How many tokens a worker with an empty cache takes at once.
pub(crate) const BULK: u64 = 32;

/// The shared word of a group; see the module.
#[derive(Debug)]
pub(crate) struct Quiescence(AtomicU64);

impl Quiescence {
    /// A group in which `tokens` are out.
    pub(crate) fn new(tokens: u64) -> Self {
        Self(AtomicU64::new(tokens))
    }

    /// Puts `tokens` out into a quiescent group.
    pub(crate) fn restart(&mut self, tokens: u64) {
        self.0.store(tokens, Ordering::Relaxed);
    }

    /// Takes `tokens` more. The caller holds one (I2).
    pub(crate) fn take(&self, tokens: u64) {
        // Relaxed: the caller's own token keeps the word above zero; nothing is read through it.
        let before = self.0.fetch_add(tokens, Ordering::Relaxed);
        debug_assert!(before > 0, "only a token holder takes more");
    }

    /// Gives `tokens` back. If they were not the last ones, the group may be gone already when this returns.
    pub(crate) fn give_back(&self, tokens: u64) -> Arrival {
        // AcqRel: releases what this worker did. If it is the last, acquires what all others did.
        let before = self.0.fetch_sub(tokens, edge!("quiescence.give", AcqRel));
        debug_assert!(before >= tokens, "{before} tokens are out, {tokens} come back");
        Arrival::last_if(before == tokens)
    }
}
