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
//! # Tokens outside
//! A thread outside the pool may hold what can bring further work: it can wake a source, or take what holds a credit.
//! For each such thing one unit is *outside*, in the upper bits of the same word. So the group is not quiescent. Whoever
//! wakes such a thing makes the unit a token, by one RMW, and queues a job on it.
//!
//! If no token is left, but something is outside, the group is *idle*: then somebody must look whether more could be done
//! inside, as sources are held back while others work. The one that brings the tokens to zero has none itself, and the
//! group may be gone any time, as something outside may end it. So it asks, under a lock that keeps the group alive,
//! whether a look is due ([`begin_look`](Quiescence::begin_look)), and takes a token for the look. A look is due once
//! after each time that something came in from outside, and again if the last look has found something.
//! * (K1) Look what came in so far, then make no token one. If there is a token again, its holder will come here.
//! * (K2) Look, with the token. (K3) If nothing was found, and nothing came in since K1, no look is due any more.
//! * something comes in: (K4) make the unit a token. (K5) Note that something came in. (K6) Queue the job.
//!
//! If K1 finds no token, what came in before had its K5 before its token was given back. So what the look cannot have
//! seen is noted after K1: K3 sees it, or the note differs from what K3 stores.
//!
//! # One run after the other
//! A group that was waited for starts over in plain memory: its counts, its limits, this word. A thread of the run before
//! may still be on its way out of it. But a thread whose tokens were not the last ones touches nothing of the group any
//! more, and the one whose tokens were the last ones touches nothing behind the latch that it sets.
//!
//! # Invariants
//! * I1: tokens in the word = tokens in caches + tokens of queued jobs + tokens of running jobs.
//! * I2: only the holder of a token (a running job of the group) takes more, or puts units outside. So zero is final.
//!
//! # Edges
//! | edge | writer | reader | makes visible | model |
//! |---|---|---|---|---|
//! | `quiescence.give` | `give_back`: RMW, AcqRel | the one that reaches zero | all that jobs of the group did, to the last one | `loom_quiescence_last_sees_all`, `loom_diamond_is_run_again` |
//! | `quiescence.look` | `give_back`: RMW | K1: CAS, Acquire | what jobs of the group did | `loom_quiescence_idle_is_looked_at` |

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{add_to, adding, at_once, edge, join, unwatched};

/// How many tokens a worker with an empty cache takes at once.
pub(crate) const BULK: u64 = 32;

/// One unit outside.
const OUTSIDE: u64 = 1 << 44;
const TOKENS: u64 = OUTSIDE - 1;

/// The shared word of a group; see the module.
#[derive(Debug)]
pub(crate) struct Quiescence {
    /// Tokens, and units outside.
    word: AtomicU64,
    /// How often something came in from outside.
    came_in: AtomicU64,
    /// That number at the last look that found nothing.
    looked: AtomicU64,
}

/// What a thread found when it gave tokens back.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Others have tokens.
    Tokens,
    /// No tokens are left, but something is outside. The group may be gone any time.
    Outside,
    /// Nothing. The caller alone may touch the group.
    Nothing,
}

impl Quiescence {
    /// A group in which `tokens` are out.
    pub(crate) fn new(tokens: u64) -> Self {
        let [came_in, looked] = [0, u64::MAX].map(AtomicU64::new);
        Self { word: AtomicU64::new(tokens), came_in, looked }
    }

    /// Puts `tokens` out into a quiescent group.
    pub(crate) fn restart(&self, tokens: u64) {
        self.word.store(tokens, Ordering::Relaxed);
        self.looked.store(u64::MAX, Ordering::Relaxed);
    }

    /// Takes `tokens` more. The caller holds one (I2).
    pub(crate) fn take(&self, tokens: u64) {
        // Relaxed: the caller's own token keeps the word above zero; nothing is read through it.
        let before = adding(|| self.word.fetch_add(tokens, Ordering::Relaxed));
        debug_assert!(before > 0, "only a token holder takes more");
    }

    /// Gives `tokens` back. If they were not the last ones, the group may be gone already when this returns.
    pub(crate) fn give_back(&self, tokens: u64) -> Left {
        // AcqRel: releases what this worker did. If it is the last, acquires what all others did.
        let before = adding(|| self.word.fetch_sub(tokens, edge!("quiescence.give", AcqRel)));
        debug_assert!(before & TOKENS >= tokens, "{before:x} tokens are out, {tokens} come back");
        if before == tokens {
            join(&self.word);
            Left::Nothing
        } else if before & TOKENS == tokens {
            Left::Outside
        } else {
            Left::Tokens
        }
    }

    /// Puts one unit outside. The caller holds a token (I2).
    pub(crate) fn put_outside(&self) {
        // Relaxed: as in `take`.
        adding(|| self.word.fetch_add(OUTSIDE, Ordering::Relaxed));
    }

    /// Takes a unit back that the caller has just put outside, for nobody has seen it there.
    pub(crate) fn take_back(&self) {
        adding(|| self.word.fetch_sub(OUTSIDE, Ordering::Relaxed));
    }

    /// Something comes in: its unit becomes a token, for the job that is queued next. (K4), (K5)
    pub(crate) fn come_in(&self) {
        add_to(&self.word);
        unwatched(|| {
            // Relaxed, both: what the waker did before goes with the job.
            self.word.fetch_sub(OUTSIDE - 1, Ordering::Relaxed);
            self.came_in.fetch_add(1, Ordering::Relaxed);
        });
    }

    /// Takes a token for a look around, if one is due and nobody has a token. The caller keeps the group alive. (K1)
    pub(crate) fn begin_look(&self) -> Option<Look> {
        at_once(&self.word, || {
            let came_in = self.came_in.load(Ordering::Relaxed);
            let mut word = self.word.load(Ordering::Relaxed);
            while word >= OUTSIDE && word & TOKENS == 0 && came_in != self.looked.load(Ordering::Relaxed) {
                // Acquire: the look sees what jobs of the group did.
                let order = edge!("quiescence.look", Acquire);
                match self.word.compare_exchange_weak(word, word + 1, order, Ordering::Relaxed) {
                    Ok(_) => return Some(Look(came_in)),
                    Err(now) => word = now,
                }
            }
            None
        })
    }

    /// Notes that a look has found nothing. The caller still has its token. (K3)
    pub(crate) fn found_nothing(&self, Look(came_in): &Look) {
        at_once(&self.word, || {
            if self.came_in.load(Ordering::Relaxed) == *came_in {
                self.looked.store(*came_in, Ordering::Relaxed);
            }
        });
    }
}

/// A look around, with a token.
#[derive(Debug)]
pub(crate) struct Look(u64);
