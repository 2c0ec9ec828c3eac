//! What becomes of the results of a run: when the next run drops them, each once, and what is absent after an error.

mod alone;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;

use alone::alone;
use millstream::{Data, Graph, Plan, Pool, RunError, RunErrorKind};

fn pool(workers: usize) -> Pool {
    Pool::builder().workers(workers).oversubscribe(true).build().expect("threads")
}

/// Counts the results of one task.
#[derive(Default)]
struct Counts {
    made: AtomicUsize,
    dropped: AtomicUsize,
}

impl Counts {
    fn make(&self, run: u64) -> Counted<'_> {
        self.made.fetch_add(1, Ordering::Relaxed);
        Counted { counts: self, run }
    }

    fn alive(&self) -> usize {
        self.made.load(Ordering::Relaxed) - self.dropped.load(Ordering::Relaxed)
    }
}

/// A result that is counted, and knows in which run it was made.
struct Counted<'a> {
    counts: &'a Counts,
    run: u64,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.counts.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

fn counts(count: usize) -> Vec<Counts> {
    (0..count).map(|_| Counts::default()).collect()
}

/// In which run what is in the plan was made, for each result.
fn runs(plan: &Plan<'_>, results: &[Data<Counted<'_>>]) -> Vec<Option<u64>> {
    results.iter().map(|result| plan.try_get(result).map(|result| result.run)).collect()
}

fn kind(ran: Result<(), RunError>) -> RunErrorKind {
    ran.expect_err("it fails").kind().clone()
}

#[test]
fn a_task_drops_its_old_result_before_it_makes_the_new_one() {
    let pool = pool(2);
    let run = AtomicU64::new(0);
    let all = counts(100);
    let g = Graph::new();
    let make = |counts| {
        let run = &run;
        let body = move |()| {
            assert_eq!(Counts::alive(counts), 0, "two results of one task");
            counts.make(run.load(Ordering::Relaxed))
        };
        g.task((), body)
    };
    let results: Vec<_> = all.iter().map(make).collect();
    let mut plan = g.plan(&pool).expect("a sound graph");
    for number in 0..3 {
        run.store(number, Ordering::Relaxed);
        plan.run().expect("nothing fails");
        assert!(runs(&plan, &results).iter().all(|run| *run == Some(number)));
        assert!(all.iter().all(|counts| counts.alive() == 1));
    }
    let mut results = results.into_iter();
    let taken = plan.take(results.next().expect("100 of them"));
    drop(plan);
    assert_eq!((all[0].alive(), taken.run), (1, 2), "taken, so not dropped with the plan");
    drop(taken);
    assert!(all.iter().all(|counts| counts.made.load(Ordering::Relaxed) == 3 && counts.alive() == 0));
}

/// With so many tasks that not all are timed.
#[test]
fn after_a_failed_run_no_result_is_of_an_earlier_one() {
    let pool = pool(2);
    let (run, fails) = (AtomicU64::new(0), AtomicBool::new(false));
    let all = counts(6000);
    let g = Graph::new();
    let make = |(place, counts)| {
        let (run, fails) = (&run, &fails);
        let body = move |()| {
            assert!(place != 3000 || !fails.load(Ordering::Relaxed), "told to fail");
            Counts::make(counts, run.load(Ordering::Relaxed))
        };
        g.task((), body)
    };
    let results: Vec<_> = all.iter().enumerate().map(make).collect();
    let mut plan = g.plan(&pool).expect("a sound graph");
    for (number, bad) in [(0, false), (1, true), (2, true), (3, false), (4, false)] {
        run.store(number, Ordering::Relaxed);
        fails.store(bad, Ordering::Relaxed);
        let ran = plan.run();
        let made = runs(&plan, &results);
        if bad {
            assert_eq!(kind(ran), RunErrorKind::Panicked);
            assert!(made[..3000].iter().all(|run| *run == Some(number)), "those before it fire");
            assert!(made[3000].is_none(), "it failed");
            assert!(made[3000..].iter().flatten().all(|run| *run == number));
        } else {
            ran.expect("nothing fails");
            assert!(made.iter().all(|run| *run == Some(number)));
        }
        assert!(all.iter().zip(&made).all(|(counts, run)| counts.alive() == usize::from(run.is_some())));
    }
    drop(plan);
    assert!(all.iter().all(|counts| counts.alive() == 0));
}

#[test]
fn what_waits_for_a_task_that_failed_is_absent() {
    let pool = pool(2);
    let fails = AtomicBool::new(false);
    let g = Graph::new();
    let first = g.task((), |()| vec![1]);
    let second = g.task(first.write(), |first| {
        assert!(!fails.load(Ordering::Relaxed), "told to fail");
        first.push(2);
        first.len()
    });
    let third = g.task((first.read(), second.read()), |(first, second)| first.len() + second);
    let sum = g.items(&first).sum::<i32>();
    let behind = g.task(sum.read(), |sum| sum + 1);
    let mut plan = g.plan(&pool).expect("a sound graph");
    for bad in [false, true, true, false] {
        fails.store(bad, Ordering::Relaxed);
        assert_eq!(plan.run().is_err(), bad);
        let there = (plan.try_get(&first).cloned(), plan.try_get(&second).copied(), plan.try_get(&third).copied());
        let of_stream = (plan.try_get(&sum).copied(), plan.try_get(&behind).copied());
        let all = ((Some(vec![1, 2]), Some(2), Some(4)), (Some(3), Some(4)));
        assert_eq!((there, of_stream), if bad { Default::default() } else { all });
    }
}

#[test]
fn a_run_that_is_not_ready_leaves_all_as_it_is() {
    let pool = pool(1);
    let g = Graph::new();
    let number = g.data(1);
    let (double, sum) = (g.task(number.read(), |number| 2 * number), g.range(0..5).sum::<i32>());
    let mut plan = g.plan(&pool).expect("a sound graph");
    plan.run().expect("nothing fails");
    assert_eq!(plan.take(number.clone()), 1);
    assert!(matches!(kind(plan.run()), RunErrorKind::NotReady { .. }));
    assert_eq!((plan.get(&double), plan.get(&sum)), (&2, &10));
    plan.set(&number, 3);
    plan.run().expect("it is ready again");
    assert_eq!((plan.get(&double), plan.get(&sum)), (&6, &10));
}

#[test]
fn a_run_that_does_not_begin_drops_the_results() {
    let pool = pool(1);
    let counts = Counts::default();
    let g = Graph::new();
    let (result, given) = (g.task((), |()| counts.make(0)), g.data(7));
    let seen = g.task(given.read(), |given| *given);
    let mut plan = g.plan(&pool).expect("a sound graph");
    plan.run().expect("nothing fails");
    drop(pool);
    for _ in 0..2 {
        assert_eq!(kind(plan.run()), RunErrorKind::Closed);
        assert!(plan.try_get(&result).is_none() && plan.try_get(&seen).is_none());
        assert_eq!((plan.get(&given), counts.alive()), (&7, 0));
        plan.set(&seen, 1); // as if an earlier run had made it
    }
}

#[test]
fn a_cancelled_run_leaves_no_result_of_an_earlier_one() {
    alone("a_cancelled_run_leaves_no_result_of_an_earlier_one", || {
        let (own, place) = (pool(2), Mutex::new(None));
        let run = AtomicU64::new(0);
        let g = Graph::new();
        let first = g.task((), |()| {
            drop(place.lock().expect("no panic").take());
            run.load(Ordering::Relaxed)
        });
        let second = g.task(first.read(), |first| *first);
        let mut plan = g.plan(&own).expect("a sound graph");
        plan.run().expect("nothing fails");
        *place.lock().expect("no panic") = Some(own);
        run.store(1, Ordering::Relaxed);
        assert_eq!(kind(plan.run()), RunErrorKind::Cancelled);
        assert_eq!(plan.try_get(&first), Some(&1), "it had begun, and so it ends");
        assert_eq!(plan.try_get(&second), None);
    });
}

#[test]
fn a_stalled_run_leaves_no_result_of_an_earlier_one() {
    let pool = pool(2);
    let g = Graph::new();
    let (all, some) = g.source_fn(|| 0..100).batch_size(1).credits(2).tee();
    let pairs = all.zip(some.filter(|x| x % 10 == 9)).count();
    let (before, behind) = (g.task((), |()| 1), g.task(pairs.read(), |pairs| *pairs));
    let mut plan = g.plan(&pool).expect("a sound graph");
    plan.set(&before, 7); // as if an earlier run had made them
    plan.set(&behind, 7);
    plan.set(&pairs, 7);
    assert_eq!(kind(plan.run()), RunErrorKind::Stalled);
    assert_eq!((plan.try_get(&before), plan.try_get(&pairs), plan.try_get(&behind)), (Some(&1), None, None));
}

#[test]
fn results_without_a_value_are_absent_too_if_a_run_has_not_made_them() {
    let pool = pool(2);
    let fails = AtomicBool::new(false);
    let g = Graph::new();
    let before = g.task((), |()| ());
    let bad = g.task(before.read(), |()| assert!(!fails.load(Ordering::Relaxed), "told to fail"));
    let behind = g.task(bad.read(), |()| ());
    let used = g.task((), |()| ());
    let user = g.task(used.consume(), |()| ());
    let mut plan = g.plan(&pool).expect("a sound graph");
    for fail in [false, true, true, false] {
        fails.store(fail, Ordering::Relaxed);
        assert_eq!(plan.run().is_err(), fail);
        let there = |data| plan.try_get(data).is_some();
        assert_eq!([&bad, &behind].map(there), [!fail; 2], "neither of these has ended, if one has failed");
        assert!(fail || (there(&before) && there(&user) && !there(&used)));
    }
}

/// Panics when it is dropped, but not while unwinding.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(thread::panicking(), "a drop that panics");
    }
}

#[test]
fn the_drop_of_an_old_result_panics() {
    let pool = pool(2);
    let fails = AtomicBool::new(false);
    let g = Graph::new();
    let ready = g.task((), |()| assert!(!fails.load(Ordering::Relaxed), "told to fail"));
    let bomb = g.task(ready.read(), |()| Bomb);
    let mut plan = g.plan(&pool).expect("a sound graph");
    for bad in [false, false, true, false] {
        fails.store(bad, Ordering::Relaxed);
        assert_eq!(plan.run().is_err(), bad, "the drop of what was made before is no failure of this run");
        assert_eq!(plan.try_get(&bomb).is_some(), !bad);
    }
    std::mem::forget(plan.take(bomb));
}

/// What a task has left half written is absent, and says by whose doing, until it is set again.
#[test]
fn data_that_a_task_stopped_writing_says_which_task() {
    let (pool, fails) = (pool(2), AtomicBool::new(true));
    let g = Graph::new();
    let (field, parts_of) = (g.data(vec![1, 2]).named("field"), g.data(vec![1, 2, 3]).named("whole"));
    g.task(field.write(), |field| {
        field.push(3);
        assert!(!fails.load(Ordering::Relaxed), "stops");
    })
    .named("fill");
    for (part, name) in g.chunks(&parts_of, 2).iter().zip(["left", "right"]) {
        let fails = &fails;
        g.task(part.write(), move |part| {
            part[0] = 7;
            assert!(name == "left" || !fails.load(Ordering::Relaxed), "stops");
        })
        .named(name);
    }
    let mut plan = g.plan(&pool).expect("a sound graph");
    for _ in 0..3 {
        fails.store(true, Ordering::Relaxed);
        plan.run().expect_err("two tasks panic");
        fails.store(false, Ordering::Relaxed);
        // The second failure may come too late for its task to begin.
        let message = plan.run().expect_err("not set again").to_string();
        assert!(message.contains("'field'") && message.contains("'fill' stopped while it wrote it"), "{message}");
        plan.set(&field, vec![1, 2]);
        if plan.try_get(&parts_of).is_none() {
            let message = plan.run().expect_err("not set again").to_string();
            assert!(message.contains("'whole'") && message.contains("'right' stopped while it wrote it"), "{message}");
            plan.set(&parts_of, vec![1, 2, 3]);
        }
        plan.run().expect("all is there");
        assert_eq!(*plan.get(&field), [1, 2, 3]);
        let _taken = plan.take(field.clone());
        let message = plan.run().expect_err("not set again").to_string();
        assert!(message.contains("its value was taken: set it again"), "{message}");
        plan.set(&field, vec![1, 2]);
    }
}
