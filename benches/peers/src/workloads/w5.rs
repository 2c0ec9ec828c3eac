//! W5: what a caller from outside waits for, when a pool has been idle for 5 ms.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use lace_ws::{Worker, lace_run, lace_task};
use millstream::Graph;

use super::Workload;
use crate::byhand::Crew;
use crate::cli::Options;
use crate::measure::{Figures, Lineup, latency};
use crate::peers::{self, Peer};
use crate::shape::Shape;
use crate::tasks::{self, MICROSECOND};

/// Tries in all runs together.
const TRIES: u64 = 2000;
const TRIES_WORKING: u64 = 500;
const BODY: u32 = 50 * MICROSECOND;

pub fn workloads() -> Vec<Workload> {
    vec![
        Workload::new("W5a", "idle pool, one tiny task from outside", tiny),
        Workload::new("W5a-diamond", "idle pool, a diamond of 4 empty tasks from outside", |options| {
            diamond(options, 0, TRIES)
        }),
        Workload::new("W5b", "idle pool, a tiny task that a worker must run", on_a_worker),
        Workload::new("W5c", "idle pool, a diamond of 4 tasks of about 50 us from outside", |options| {
            diamond(options, BODY, TRIES_WORKING)
        })
        .with_efficiency(),
    ]
}

/// What is asked of each run of a workload with so many tries in all, each of which runs `tasks` tasks.
#[derive(Clone, Copy)]
struct Ask {
    tries: u64,
    tasks: u64,
}

impl Ask {
    fn new(options: &Options, tries: u64, tasks: u64) -> Self {
        Self { tries: options.size(tries.div_ceil(u64::from(options.runs)), 3), tasks }
    }

    fn measure(self, mut call: impl FnMut()) -> Figures {
        let mut calls = 0;
        let before = tasks::counted();
        let figures = latency(self.tries, || {
            call();
            calls += 1;
        });
        assert_eq!(tasks::counted() - before, calls * self.tasks, "tasks were left out or ran twice");
        figures
    }
}

fn tiny(options: &Options) -> Lineup {
    let ask = Ask::new(options, TRIES, 1);
    let mut lineup = Lineup::new(options);
    lineup.each(Peer::Millstream, |threads| {
        let options = options.clone();
        move |_| {
            let pool = options.millstream(threads);
            let g = Graph::new();
            g.task((), |()| tasks::count());
            let mut plan = g.plan(&pool).expect("a sound graph");
            ask.measure(|| plan.run().expect("nothing fails"))
        }
    });
    lineup.each(Peer::Rayon, |threads| {
        move |_| {
            let pool = peers::rayon_pool(threads);
            ask.measure(|| pool.install(tasks::count))
        }
    });
    lineup.each(Peer::Chili, |threads| {
        move |_| {
            let pool = peers::chili_pool(threads);
            ask.measure(|| {
                pool.scope().join(|_| (), |_| tasks::count());
            })
        }
    });
    lineup.each(Peer::LaceWs, |threads| {
        move |_| {
            let mut pool = lace_ws::Lace::init(threads);
            ask.measure(|| lace_run!(pool, lace_body(0)))
        }
    });
    lineup.each(Peer::Tokio, |threads| {
        move |_| {
            let runtime = peers::tokio_runtime(threads);
            ask.measure(|| runtime.block_on(async { tokio::spawn(async { tasks::count() }).await.expect("no panic") }))
        }
    });
    lineup.each(Peer::ByHand, |threads| {
        move |_| {
            let crew = Crew::new(threads, &Shape::independent(1), |_| tasks::count());
            ask.measure(|| crew.run())
        }
    });
    #[cfg(feature = "tbb")]
    lineup.each(Peer::Tbb, |threads| {
        move |_| {
            let pool = crate::tbb::Pool::new(threads);
            ask.measure(|| pool.execute(tasks::count))
        }
    });
    lineup
}

/// A task of a diamond.
fn body(rounds: u32) {
    black_box(tasks::work(rounds, 1));
    tasks::count();
}

#[lace_task]
fn lace_body(rounds: u32) {
    body(rounds);
}

#[lace_task]
fn lace_diamond(rounds: u32) {
    body(rounds);
    join!(lace_body(rounds), lace_body(rounds));
    body(rounds);
}

fn diamond(options: &Options, rounds: u32, tries: u64) -> Lineup {
    let ask = Ask::new(options, tries, 4);
    let mut lineup = Lineup::new(options);
    lineup.serial(move |_| ask.measure(|| (0..4).for_each(|_| body(rounds))));
    lineup.each(Peer::Millstream, |threads| {
        let options = options.clone();
        move |_| {
            let pool = options.millstream(threads);
            let g = Graph::new();
            let first = g.task((), |()| body(rounds));
            let left = g.task(first.read(), |()| body(rounds));
            let right = g.task(first.read(), |()| body(rounds));
            g.task((left.read(), right.read()), |((), ())| body(rounds));
            let mut plan = g.plan(&pool).expect("a sound graph");
            ask.measure(|| plan.run().expect("nothing fails"))
        }
    });
    lineup.each(Peer::Rayon, |threads| {
        move |_| {
            let pool = peers::rayon_pool(threads);
            let diamond = || {
                body(rounds);
                rayon::join(|| body(rounds), || body(rounds));
                body(rounds);
            };
            ask.measure(|| pool.install(diamond))
        }
    });
    lineup.each(Peer::Chili, |threads| {
        move |_| {
            let pool = peers::chili_pool(threads);
            ask.measure(|| {
                let mut scope = pool.scope();
                body(rounds);
                scope.join(|_| body(rounds), |_| body(rounds));
                body(rounds);
            })
        }
    });
    lineup.each(Peer::LaceWs, |threads| {
        move |_| {
            let mut pool = lace_ws::Lace::init(threads);
            ask.measure(|| lace_run!(pool, lace_diamond(rounds)))
        }
    });
    lineup.each(Peer::Tokio, |threads| {
        move |_| {
            let runtime = peers::tokio_runtime(threads);
            ask.measure(|| {
                runtime.block_on(async {
                    let spawn = || tokio::spawn(async move { body(rounds) });
                    spawn().await.expect("no panic");
                    let (left, right) = (spawn(), spawn());
                    left.await.expect("no panic");
                    right.await.expect("no panic");
                    spawn().await.expect("no panic");
                });
            })
        }
    });
    lineup.each(Peer::ByHand, |threads| {
        move |_| {
            let crew = Crew::new(threads, &Shape::diamond(), move |_| body(rounds));
            ask.measure(|| crew.run())
        }
    });
    #[cfg(feature = "tbb")]
    lineup.each(Peer::Tbb, |threads| {
        move |_| {
            let pool = crate::tbb::Pool::new(threads);
            let graph = pool.graph(&Shape::diamond(), move |_| body(rounds));
            ask.measure(|| graph.run())
        }
    });
    lineup
}

// ---------------------------------------------------------------------------------------------------------------------
// W5b: the caller only waits

/// A word that one thread sets and another one waits for, asleep.
#[derive(Default)]
struct Word(AtomicU32);

impl Word {
    fn set(&self, value: u32) {
        self.0.store(value, Ordering::Release);
        let word = self.0.as_ptr();
        // SAFETY: the word lives while it is borrowed, and a wake-up of nobody is allowed.
        unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG, 1) };
    }

    /// Waits until it is another one than `old`.
    fn changed(&self, old: u32) -> u32 {
        loop {
            let now = self.0.load(Ordering::Acquire);
            if now != old {
                return now;
            }
            let (word, forever) = (self.0.as_ptr(), std::ptr::null::<libc::timespec>());
            // SAFETY: the word lives while it is borrowed; whatever the answer is, it is looked at again.
            unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG, old, forever) };
        }
    }
}

/// The bare wake-up: a thread waits on a futex, bound as a worker of millstream's pool would be.
fn futex_wake(options: &Options, threads: usize, run: u32, ask: Ask) -> Figures {
    const CLOSE: u32 = u32::MAX;
    let place = {
        let pool = options.millstream(threads);
        pool.placement().workers()[run as usize % threads].clone()
    };
    let (asked, answered) = (Arc::new(Word::default()), Arc::new(Word::default()));
    let (theirs, back) = (Arc::clone(&asked), Arc::clone(&answered));
    let waiter = std::thread::spawn(move || {
        if let (true, Some(id)) = (place.is_bound(), place.cpus().and_then(|cpus| cpus.iter().next())) {
            assert!(core_affinity::set_for_current(core_affinity::CoreId { id }), "it could be bound before");
        }
        let mut last = 0;
        loop {
            last = theirs.changed(last);
            if last == CLOSE {
                return;
            }
            tasks::count();
            back.set(last);
        }
    });
    let mut number = 0;
    let figures = ask.measure(|| {
        asked.set(number + 1);
        number = answered.changed(number);
    });
    asked.set(CLOSE);
    waiter.join().expect("no panic");
    figures
}

fn on_a_worker(options: &Options) -> Lineup {
    let ask = Ask::new(options, TRIES, 1);
    let mut lineup = Lineup::new(options);
    lineup.each(Peer::FutexWake, |threads| {
        let options = options.clone();
        move |run| futex_wake(&options, threads, run, ask)
    });
    lineup.each(Peer::Millstream, |threads| {
        let options = options.clone();
        move |_| {
            let pool = options.millstream(threads);
            ask.measure(|| {
                let done = Arc::new(Word::default());
                let theirs = Arc::clone(&done);
                pool.spawn(move || {
                    tasks::count();
                    theirs.set(1);
                });
                done.changed(0);
            })
        }
    });
    lineup.each(Peer::Rayon, |threads| {
        move |_| {
            let pool = peers::rayon_pool(threads);
            ask.measure(|| pool.install(tasks::count))
        }
    });
    lineup.each(Peer::Tokio, |threads| {
        move |_| {
            let runtime = peers::tokio_runtime(threads);
            ask.measure(|| runtime.block_on(async { tokio::spawn(async { tasks::count() }).await.expect("no panic") }))
        }
    });
    #[cfg(feature = "tbb")]
    lineup.from(Peer::Tbb, 2, |threads| {
        move |_| {
            let pool = crate::tbb::Pool::new(threads);
            ask.measure(|| {
                let done = Arc::new(Word::default());
                let theirs = Arc::clone(&done);
                pool.enqueue(move || {
                    tasks::count();
                    theirs.set(1);
                });
                done.changed(0);
            })
        }
    });
    lineup
}
