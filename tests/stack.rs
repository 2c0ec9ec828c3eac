//! What runs on a stack that waits: only what is waited for. A lock held across a parallel call is safe, loops do not
//! run into each other, stacks do not grow beyond what the program nests, and foreign jobs hold nobody up.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use millstream::{Graph, Pool};

#[path = "patience/mod.rs"]
mod patience;
use patience::within_patience;

/// With compensating threads, and with guests without a seat, these are more threads than the machine has cores.
const WORKERS: [usize; 3] = [1, 2, 4];

fn pool(workers: usize) -> Pool {
    Pool::builder().workers(workers).build().expect("a pool")
}

// ---------------------------------------------------------------------------------------------------------------------
// Who is on this stack

thread_local! {
    /// The families that this thread waits for, the innermost last.
    static WAITS: RefCell<Vec<Family>> = const { RefCell::new(Vec::new()) };
    /// The family whose closure runs here.
    static INSIDE: Cell<Option<Family>> = const { Cell::new(None) };
    /// Where the stack was when this thread began to work for nobody else.
    static BASE: Cell<usize> = const { Cell::new(0) };
}
/// For each family: the one in a closure of which it was made.
static PARENTS: Mutex<Vec<Option<Family>>> = Mutex::new(Vec::new());

/// Closures that are waited for together: a scope, a join or a run.
#[derive(Clone, Copy, PartialEq)]
struct Family {
    number: usize,
    /// Who waits for a join may run what is waited for inside its closures.
    is_join: bool,
}

impl Family {
    /// Makes a parallel call that waits for a new family.
    fn wait<R>(is_join: bool, call: impl FnOnce(Self) -> R) -> R {
        let mut parents = PARENTS.lock().expect("no panic");
        let family = Self { number: parents.len(), is_join };
        parents.push(INSIDE.get());
        drop(parents);
        WAITS.with_borrow_mut(|waits| waits.push(family));
        let result = call(family);
        WAITS.with_borrow_mut(|waits| assert!(waits.pop() == Some(family)));
        result
    }

    /// Whether it was made inside a closure of `other`, or inside one that was.
    fn is_below(self, other: Self) -> bool {
        let parents = PARENTS.lock().expect("no panic");
        let mut above = std::iter::successors(Some(self), |family| parents[family.number]).skip(1);
        above.any(|family| family == other)
    }

    /// Calls a closure of the family: it stands on the bottom of a stack, or on one that waits for this family, or for
    /// a join that it is a part of.
    fn member<R>(self, work: impl FnOnce() -> R) -> R {
        match WAITS.with_borrow(|waits| waits.last().copied()) {
            None => BASE.set(here()),
            Some(waits) => assert!(
                waits == self || (waits.is_join && self.is_join && self.is_below(waits)),
                "something foreign runs on a stack that waits"
            ),
        }
        let outer = INSIDE.replace(Some(self));
        let result = work();
        INSIDE.set(outer);
        result
    }
}

/// Begins a closure that nobody waits for.
fn nobodys() {
    WAITS.with_borrow(|waits| assert!(waits.is_empty(), "a stack that waits runs what nobody waits for"));
}

/// An address on the stack.
#[inline(never)]
fn here() -> usize {
    let local = 0_u8;
    (&raw const local).addr()
}

/// How a parallel call is made.
#[derive(Clone, Copy, Debug)]
enum Call {
    Join,
    Scope,
    Run,
}

const CALLS: [Call; 3] = [Call::Join, Call::Scope, Call::Run];

/// Calls `work` some times at once, in a family of its own.
fn parallel(call: Call, pool: &Pool, work: &(impl Fn() + Sync)) {
    Family::wait(matches!(call, Call::Join), |family| {
        let member = || family.member(work);
        match call {
            Call::Join => _ = pool.join(member, member),
            Call::Scope => pool.scope(|s| (0..3).for_each(|_| s.spawn(|_| member()))),
            Call::Run => {
                let g = Graph::new();
                g.range(0..4_u32).batch_size(1).for_each(|_| member());
                (0..2).for_each(|_| _ = g.task((), |()| member()));
                drop(pool.run(g).expect("a good run"));
            }
        }
    });
}

/// Work that nests each way of calling in each other, `depth` deep.
fn nest(pool: &Pool, depth: u32, seed: usize) {
    if depth > 0 {
        parallel(CALLS[seed % 3], pool, &|| nest(pool, depth - 1, seed / 3));
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// The shapes

/// rayon#592: who holds the lock waits for others, and those who would run on its stack take the lock too.
#[test]
fn a_lock_held_across_any_parallel_call_is_safe() {
    within_patience(|| {
        for workers in WORKERS {
            let pool = pool(workers);
            let lock = Arc::new(Mutex::new(0));
            for call in CALLS {
                let hold = |seed: usize| {
                    let mut held = lock.lock().expect("no panic");
                    parallel(CALLS[seed % 3], &pool, &|| nest(&pool, 1, seed));
                    *held += 1;
                };
                let seeds = AtomicUsize::new(0);
                for _ in 0..20 {
                    // Foreign ones that take the lock, in the same queues.
                    for _ in 0..3 {
                        let lock = Arc::clone(&lock);
                        pool.spawn(move || {
                            nobodys();
                            *lock.lock().expect("no panic") += 1;
                        });
                    }
                    parallel(call, &pool, &|| hold(seeds.fetch_add(1, Ordering::Relaxed)));
                }
            }
            drop(pool);
            let calls = 20 * (2 + 3 + 6) + 3 * 20 * 3;
            assert_eq!(*lock.lock().expect("no panic"), calls);
        }
    });
}

/// rayon#1105: a loop whose bodies wait for inner calls does not begin another body on the stack of one that waits.
#[test]
fn no_iteration_runs_inside_another_one() {
    thread_local! {
        static INSIDE: Cell<u32> = const { Cell::new(0) };
    }
    within_patience(|| {
        for workers in WORKERS {
            let pool = pool(workers);
            let bodies = AtomicUsize::new(0);
            let body = |i: usize| {
                assert_eq!(INSIDE.replace(1), 0, "an iteration inside another one");
                nest(&pool, 2, i);
                bodies.fetch_add(1, Ordering::Relaxed);
                assert_eq!(INSIDE.replace(0), 1);
            };
            Family::wait(false, |family| {
                pool.scope(|s| {
                    for i in 0..100 {
                        s.spawn(move |_| family.member(|| body(i)));
                    }
                });
            });
            Family::wait(false, |family| {
                let g = Graph::new();
                g.range(0..100_usize).batch_size(1).for_each(|i| family.member(|| body(i)));
                drop(pool.run(g).expect("a good run"));
            });
            let body = &body;
            thread::scope(|threads| (0..12).for_each(|i| drop(threads.spawn(move || body(i)))));
            assert_eq!(bodies.into_inner(), 212);
        }
    });
}

/// rayon#854: however many bodies there are, and whoever takes what, a stack is not deeper than the program nests.
#[test]
fn stacks_do_not_grow_beyond_the_depth_of_the_program() {
    /// The deepest stack of so many bodies.
    fn deepest(pool: &Pool, bodies: usize, depth: u32) -> usize {
        fn body(pool: &Pool, depth: u32, deepest: &AtomicUsize) {
            deepest.fetch_max(BASE.get().saturating_sub(here()), Ordering::Relaxed);
            if depth > 0 {
                let call = CALLS[depth as usize % 2]; // a run would wait for its source, and a serial one at that
                parallel(call, pool, &|| body(pool, depth - 1, deepest));
            }
        }
        let deepest = AtomicUsize::new(0);
        pool.scope(|s| {
            for _ in 0..bodies {
                let deepest = &deepest;
                s.spawn(move |_| {
                    if WAITS.with_borrow(Vec::is_empty) {
                        BASE.set(here());
                    }
                    body(pool, depth, deepest);
                });
            }
        });
        deepest.into_inner()
    }
    within_patience(|| {
        let alone = deepest(&pool(1), 1, 6);
        assert!(alone > 0, "the stack was measured");
        for workers in WORKERS {
            let pool = pool(workers);
            let many = deepest(&pool, 200, 6);
            // The way to a closure that was taken from elsewhere is longer, by less than this.
            assert!(many <= 2 * alone, "{workers} workers: {many} bytes of stack, one body takes {alone}");
        }
    });
}

/// A foreign job that takes for ever, or until all else is done, lies in the same queues: a nested run does not run it.
#[test]
fn a_foreign_job_that_blocks_holds_nobody_up() {
    within_patience(|| {
        for workers in WORKERS {
            let pool = pool(workers);
            let (open, gate) = mpsc::channel::<()>();
            let gate = Arc::new(Mutex::new(gate));
            let block = || {
                let gate = Arc::clone(&gate);
                pool.spawn(move || {
                    nobodys();
                    let _ = gate.lock().expect("no panic").recv(); // until it is opened
                });
            };
            block();
            for seed in 0..27 {
                parallel(CALLS[seed % 3], &pool, &|| {
                    block(); // into this very thread's queue, just before it waits
                    nest(&pool, 2, seed);
                });
            }
            drop(open);
        }
    });
}

/// More threads from outside than there are seats for guests, each with calls of its own.
#[test]
fn nothing_foreign_runs_for_guests() {
    within_patience(|| {
        for workers in WORKERS {
            let pool = pool(workers);
            thread::scope(|threads| {
                for guest in 0..20 {
                    let pool = &pool;
                    threads.spawn(move || {
                        for round in 0..20 {
                            pool.spawn(nobodys);
                            nest(pool, 3, guest + round);
                        }
                    });
                }
            });
        }
    });
}

/// Compensators are about while others wait and block: neither they nor those run anything foreign.
#[test]
fn nothing_foreign_runs_beside_compensators() {
    within_patience(|| {
        for workers in WORKERS {
            let pool = pool(workers);
            for round in 0..20 {
                parallel(CALLS[round % 3], &pool, &|| {
                    pool.spawn(nobodys);
                    pool.block_in_place(|| {
                        pool.spawn(nobodys);
                        thread::yield_now();
                        nest(&pool, 2, round);
                    });
                    nest(&pool, 2, round / 3);
                });
            }
            assert!(pool.compensating_threads() <= workers);
        }
    });
}

// ---------------------------------------------------------------------------------------------------------------------
// How deep joins may be nested

thread_local! {
    /// Where the stack was at two levels of a recursion.
    static LEVELS: Cell<[usize; 2]> = const { Cell::new([0; 2]) };
}
const HIGH: u64 = 50;
const LOW: u64 = 10;

/// A result of some size.
trait Number: Copy + Send {
    fn new(number: u64) -> Self;
    fn number(&self) -> u64;
}

impl Number for u64 {
    fn new(number: u64) -> Self {
        number
    }
    fn number(&self) -> u64 {
        *self
    }
}

impl<const WORDS: usize> Number for [u64; WORDS] {
    fn new(number: u64) -> Self {
        [number; WORDS]
    }
    fn number(&self) -> u64 {
        self[0].max(self[WORDS - 1])
    }
}

fn deep<R: Number>(pool: &Pool, level: u64) -> R {
    let [high, low] = LEVELS.get();
    match level {
        HIGH => LEVELS.set([here(), low]),
        LOW => LEVELS.set([high, here()]),
        0 => return R::new(0),
        _ => {}
    }
    let (below, one): (R, R) = pool.join(|| deep(pool, level - 1), || R::new(1));
    R::new(below.number() + one.number())
}

/// Bytes of stack that a level of a recursion takes.
fn level<R: Number>() -> usize {
    // Of a new pool, which does not know of any join that it is short.
    assert_eq!(deep::<R>(&pool(1), HIGH + 10).number(), HIGH + 10);
    let [high, low] = LEVELS.get();
    (high - low) / usize::try_from(HIGH - LOW).expect("few")
}

/// A recursion ends where the stack does: joins must not make that much earlier.
#[test]
fn joins_may_be_nested_deep() {
    within_patience(|| {
        let is_known = cfg!(target_arch = "x86_64") && !cfg!(debug_assertions);
        // With optimization, what rayon 1.12 takes for the smaller results, and six of the larger ones: how many it is
        // depends on what else the compiler has in hand. (rayon takes a little over four where this takes three or
        // four.)
        let bounds = if is_known { [208, 6 * 1024] } else { [4 * 1024, 32 * 1024] };
        let levels = [level::<u64>(), level::<[u64; 128]>()];
        assert!(levels[0] <= bounds[0] && levels[1] <= bounds[1], "{levels:?} bytes a level, at most {bounds:?}");
    });
}
