//! What planning says and costs: defects that are named before anything runs, sizes that are borders, and graphs of many
//! thousand operators.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use millstream::{BuildError, Data, Graph, Plan, Pool, RunErrorKind};

/// Where planning is quadratic, the graphs below take minutes; otherwise some 10 ms, and debug builds ten times that.
const SOON: Duration = Duration::from_secs(20);

fn pool() -> Pool {
    Pool::builder().workers(2).build().expect("two workers")
}

/// Describes and plans a graph; fails if that takes long.
fn soon<'env>(pool: &Pool, describe: impl FnOnce(&Graph<'env>)) -> Result<Plan<'env>, BuildError> {
    let start = Instant::now();
    let g = Graph::new();
    describe(&g);
    let described = start.elapsed();
    let plan = g.plan(pool);
    let took = start.elapsed();
    assert!(took < SOON, "described in {described:?}, planned in {:?}", took - described);
    plan
}

/// The defects of a graph, as text.
fn defects(g: Graph<'_>) -> Vec<String> {
    let error = g.plan(&pool()).map(drop).expect_err("it has defects");
    error.defects().iter().map(ToString::to_string).collect()
}

/// The text of the panic of `f`.
fn panic_of(f: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).expect_err("it panics");
    payload.downcast::<String>().map_or_else(|_| "no text".to_owned(), |text| *text)
}

#[test]
fn a_stage_that_waits_for_its_own_end_is_a_defect() {
    for explicit in [false, true] {
        let pool = Pool::builder().workers(1).build().expect("threads");
        let g = Graph::new();
        let data = g.data(1_u64);
        let stream = g.source(0..100_u64).named("numbers").map_with(&data, |data, x| x + data);
        let later = g.task(data.write(), |data| *data);
        if explicit {
            drop(g.task(data.read(), |data| *data).after(&later));
        }
        let count = stream.map_with(&later, |later, x| x + later).count();
        let text = g.plan(&pool).map(|_| count).expect_err("it reads what comes after it").to_string();
        assert!(text.contains("numbers") && text.contains("before it has ended"), "{text}");
    }
}

#[test]
fn many_merges_are_planned_soon() {
    let plan = soon(&pool(), |g| {
        let first = g.range(0..3_u64).boxed();
        drop((1..10_000).fold(first, |all, _| all.merge(g.range(0..3_u64)).boxed()).count());
    });
    plan.map(drop).expect("no defects");
}

#[test]
fn a_chain_of_many_streams_is_planned_soon() {
    let plan = soon(&pool(), |g| {
        let first = g.range(0..3_u64).boxed();
        drop((1..1000).fold(first, |all, _| all.chain(g.range(0..3_u64)).boxed()).count());
    });
    plan.map(drop).expect("no defects");
}

#[test]
fn many_tasks_are_planned_soon() {
    let pool = pool();
    let mut last = None;
    let plan = soon(&pool, |g| {
        let total = g.data(0_u64);
        let first = g.task((), |()| 0_u64);
        let next = |last: Data<u64>| {
            g.task((last.read(), total.write()), |(last, total)| {
                *total += last;
                last + 1
            })
        };
        last = Some((0..10_000).fold(first, |last, _| next(last)));
    });
    let mut plan = plan.expect("no defects");
    plan.run().expect("nothing fails");
    assert_eq!(last.map(|last| plan.take(last)), Some(10_000));
}

/// Every stream waits for what comes of the one before.
#[test]
fn many_iterations_are_planned_soon() {
    let pool = pool();
    let values = [1_u64, 2, 3];
    let mut sum = None;
    let plan = soon(&pool, |g| {
        let first = g.slice(&values).map(|x| *x).sum::<u64>();
        let next = |sum: Data<u64>| g.slice(&values).map_with(&sum, |sum, x| x + sum % 2).sum::<u64>();
        sum = Some((0..5000).fold(first, |sum, _| next(sum)));
    });
    let mut plan = plan.expect("no defects");
    plan.run().expect("nothing fails");
    assert_eq!(sum.map(|sum| plan.take(sum)), Some(6));
}

/// Many streams, each held for the next one's end, and the last one for the first one's; then each for its own other half.
#[test]
fn many_defects_are_found_soon() {
    let streams = 500;
    let pool = pool();
    let error = soon(&pool, |g| {
        let tees = (0..streams).map(|_| g.range(0..3_u64).tee());
        let (halves, sums): (Vec<_>, Vec<_>) = tees.map(|(half, other)| (half, other.sum::<u64>())).unzip();
        for (i, half) in halves.into_iter().enumerate() {
            drop(half.map_with(&sums[(i + 1) % streams], |sum, x| sum + x).count());
        }
    });
    let error = error.map(drop).expect_err("each is held for the next one");
    assert_eq!(error.defects().len(), streams);
    assert!(error.to_string().contains("which is itself held for it"), "{error}");

    let error = soon(&pool, |g| {
        let mut all = g.range(0..3_u64).boxed();
        for _ in 0..streams {
            let (half, other) = all.tee();
            all = half.map_with(&other.sum::<u64>(), |sum, x| sum + x).boxed();
        }
        drop(all.count());
    });
    let error = error.map(drop).expect_err("every first half is held until the second has ended");
    assert_eq!(error.defects().len(), streams);
    assert!(error.to_string().contains("and both come from 'range at"), "{error}");
}

#[test]
fn streams_that_are_held_for_each_other_are_named() {
    let g = Graph::new();
    let (a, b, c) = (g.range(0..9).named("a").tee(), g.range(0..9).named("b").tee(), g.range(0..9).named("c").tee());
    // What comes of a's second half needs all of b, that of b all of c, that of c all of a.
    let (of_a, of_b) = (a.0.named("a, held"), b.0.named("b, held"));
    let all_of_b = b.1.named("b, for c").map_with(&c.1.count(), |_, x| x).sum::<i32>();
    let all_of_a = a.1.sum::<i32>();
    drop(of_a.map_with(&all_of_b, |_, x| x).for_each(drop));
    drop(c.0.named("c, held").map_with(&all_of_a, |_, x| x).for_each(drop));
    drop(of_b.for_each(drop));
    // Held for it, but nothing is held for this one.
    drop(g.range(0..9).named("d").map_with(&all_of_a, |_, x| x).for_each(drop));
    let found = defects(g);
    assert_eq!(found.len(), 3, "{found:?}");
    for (defect, (held, source, until)) in
        found.iter().zip([("a, held", "a", "b"), ("b, for c", "b", "c"), ("c, held", "c", "a")])
    {
        assert!(defect.starts_with(&format!("'{held}'")), "{defect}");
        assert!(defect.contains(&format!("its items from '{source}' are held until '{until}' has ended")), "{defect}");
    }
}

/// A stream that gives up its credits is not held any more, wherever its items wait later.
#[test]
fn what_comes_of_a_spooled_stream_may_be_held() {
    let pool = pool();
    let g = Graph::new();
    let (all, rest) = g.range(0..1000_u64).batch_size(1).credits(2).tee();
    let (other, rest) = rest.spooled().map_with(&all.count(), |_, x| x).tee();
    let sum = rest.map_with(&other.sum::<u64>(), |sum, x| sum + x).count();
    assert_eq!(pool.run(g).expect("it has all credits it needs").take(sum), 1000);
}

#[test]
fn a_task_that_comes_after_what_waits_for_it_is_a_defect() {
    let g = Graph::new();
    let first = g.task((), |()| 1).named("first");
    let second = g.task(first.read(), |first| *first).named("second");
    drop(first.after(&second));
    assert_eq!(defects(g).len(), 1);

    let g = Graph::new();
    let task = g.task((), |()| 1).named("task");
    let sum = g.range(0..3).map_with(&task, |task, x| x * task).sum::<i32>();
    drop(g.task(task.read(), |_| ()).named("behind"));
    drop(task.after(&sum));
    let found = defects(g);
    assert!(found.len() == 1 && found[0].starts_with("'task'") && found[0].contains("after itself"), "{found:?}");
}

#[test]
fn data_that_was_consumed_is_not_accessed_again() {
    let g = Graph::new();
    let data = g.data(vec![1_u64, 2, 3]).named("numbers");
    drop(g.task(data.read(), Vec::len)); // before
    drop(g.task(data.consume(), drop).named("eater"));
    drop(g.task(data.read(), Vec::len).named("reader"));
    drop(g.task(data.write(), Vec::clear).named("writer"));
    drop(g.task(data.consume(), drop).named("second eater"));
    drop(g.items(&data).named("items").count());
    drop(g.range(0..3_u64).map_with(&data, |_, x| x).named("with").count());
    let found = defects(g);
    assert_eq!(found.len(), 5, "{found:?}");
    for (defect, who) in found.iter().zip(["reader", "writer", "second eater", "items", "with"]) {
        assert!(defect.starts_with(&format!("'{who}'")), "{defect}");
        assert!(defect.contains("'numbers', which 'eater' has consumed"), "{defect}");
    }
}

#[test]
fn results_that_are_consumed_are_there_in_every_run() {
    let pool = pool();
    let g = Graph::new();
    let all = g.range(0..3_u64).collect();
    let sum = g.range(0..3_u64).map_with(&all, |all, x| all[0] + x).sum::<u64>();
    let moved = g.task((all.consume(), sum.consume()), |(all, sum)| (all, sum));
    let mut plan = g.plan(&pool).expect("consumed by the last one that accesses it");
    for _ in 0..2 {
        plan.run().expect("nothing fails");
        assert_eq!(*plan.get(&moved), (vec![0, 1, 2], 3));
        assert_eq!(plan.try_get(&all), None);
    }
}

#[test]
fn credits_have_a_limit() {
    let g = Graph::new();
    drop(g.source(0..3).credits(usize::MAX).named("too many").count());
    drop(g.source(0..3).credits((1 << 20) + 1).count());
    drop(g.range(0..3).credits(0).count());
    let found = defects(g);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[0].starts_with("'too many'"), "{found:?}");
    assert!(found[0].contains(&format!("credits({}): at most 1048576", usize::MAX)), "{found:?}");
    assert!(found[1].contains("credits(1048577): at most 1048576"), "{found:?}");
    assert!(found[2].contains("credits(0): at least 1"), "{found:?}");

    let g = Graph::new();
    let count = g.source(0..3).credits(1 << 20).count();
    assert_eq!(pool().run(g).expect("as many as there may be").take(count), 3);
}

/// The batches of a stage that does nothing else.
fn batches(plan: &Plan<'_>, source: &str) -> u64 {
    plan.report().operator(source).expect("it has this name").batches()
}

#[test]
fn one_batch_may_have_all_items() {
    let pool = pool();
    let words = ["to", "be", "or", "not"];
    let text = b"to\nbe\nor\nnot";
    for size in [usize::MAX, usize::MAX - 1, usize::MAX / 2 + 1, 1 << 20] {
        let g = Graph::new();
        let data = g.data(words.to_vec());
        let counts = [
            g.source(words).batch_size(size).named("source").count(),
            g.slice(&words).batch_size(size).named("slice").count(),
            g.vec(words.to_vec()).batch_size(size).named("vec").count(),
            g.split(text, b'\n').batch_size(size).named("split").count(),
            g.items(&data).batch_size(size).named("items").count(),
            g.range(0..4_u64).batch_size(size).named("range").count(),
        ];
        let first = g.slice(&words).batch_size(size).named("serial").collect();
        let mut plan = pool.run(g).expect("nothing fails");
        for name in ["source", "slice", "vec", "split", "items", "range", "serial"] {
            assert_eq!(batches(&plan, name), 1, "{name}");
        }
        assert_eq!(counts.map(|count| plan.take(count)), [4; 6]);
        assert_eq!(plan.take(first).len(), 4);
    }
}

/// The last batch ends at the end, though a whole one would end behind all numbers.
#[test]
fn the_last_of_two_huge_batches_is_cut() {
    let g = Graph::new();
    let (size, seen) = (u64::MAX - 9, AtomicU64::new(0));
    let all = g.range(0..u64::MAX).batch_size(usize::try_from(size).expect("64 bits")).inspect(|x| {
        if *x >= size {
            seen.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let start = Instant::now();
        while seen.load(Ordering::Relaxed) < 9 && start.elapsed() < SOON {
            thread::yield_now(); // until another worker has seen the second one
        }
        panic!("at {x}");
    });
    drop(all.count());
    let error = pool().run(g).map(drop).expect_err("the first batch panics");
    assert!(error.to_string().contains("at 0"), "{error}");
    assert_eq!(seen.into_inner(), 9);
}

#[test]
fn the_end_of_a_scan_ends_the_longest_range() {
    let pool = pool();
    let g = Graph::new();
    let behind = AtomicU64::new(0);
    let some = g
        .range(0..u64::MAX)
        .inspect(|x| assert!(behind.fetch_max(*x, Ordering::Relaxed) < 1 << 32, "far behind the end"))
        .scan((), |(), x| (x < 10).then_some(x))
        .collect();
    let start = Instant::now();
    assert_eq!(pool.run(g).expect("nothing fails").take(some).len(), 10);
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn a_stream_of_a_planned_graph_says_so() {
    let pool = pool();
    let held = |g: Graph<'static>| g.plan(&pool).map(drop).expect_err("nothing takes it");
    let stream = || {
        let g = Graph::new();
        let stream = g.range(0..3).named("numbers");
        held(g);
        stream
    };
    assert_eq!(format!("{:?}", stream()), r#"Stream("numbers")"#);
    let g = Graph::new();
    let keys = g.range(0..3).key_by(|x| *x);
    held(g);
    assert!(format!("{keys:?}").starts_with(r#"Keyed(Stream("key_by at tests/plans.rs:"#), "{keys:?}");
    let other = Graph::new();
    let data = other.data(3);
    type Late<'a> = (&'static str, Box<dyn FnOnce() + 'a>);
    let late: [Late<'_>; 12] = [
        ("map", Box::new(|| drop(stream().map(|x| x)))),
        ("key_by", Box::new(|| drop(stream().key_by(|x| *x)))),
        ("tee", Box::new(|| drop(stream().tee()))),
        ("scan", Box::new(|| drop(stream().scan((), |(), x| Some(x))))),
        ("collect", Box::new(|| drop(stream().collect()))),
        ("count", Box::new(|| drop(stream().count()))),
        ("unordered", Box::new(|| drop(stream().unordered()))),
        ("merge", Box::new(|| drop(other.range(0..3).merge(stream())))),
        ("map_with", Box::new(|| drop(stream().map_with(&data, |_, x| x)))),
        ("named", Box::new(|| drop(stream().named("late")))),
        ("credits", Box::new(|| drop(stream().credits(3)))),
        ("batch_size", Box::new(|| drop(stream().batch_size(3)))),
    ];
    for (method, late) in late {
        let text = panic_of(late);
        assert!(text.contains("'numbers': the graph of this stream was planned already"), "{method}: {text}");
        assert!(text.contains(method), "{method}: {text}");
    }
}

/// What a report says of each seat is what it did between the run's begin and end, whoever used the pool before.
#[test]
fn a_report_counts_no_other_run() {
    let pool = pool();
    let plan = |tasks: u64| {
        let g = Graph::new();
        (0..tasks).for_each(|_| _ = g.task((), |()| ()));
        g.plan(&pool).expect("a sound graph")
    };
    let jobs = |plan: &mut Plan<'_>| {
        plan.run().expect("nothing fails");
        plan.report().workers().iter().map(|seat| seat.jobs()).sum::<u64>()
    };
    let (mut one, mut many) = (plan(1), plan(1000));
    let alone = jobs(&mut one);
    assert_eq!(alone, 2, "what begins the run, and the task");
    for _ in 0..5 {
        assert_eq!(jobs(&mut one), alone);
        assert!((3..=2000).contains(&jobs(&mut many)), "several groups, each perhaps in parts");
        assert_eq!(jobs(&mut one), alone);
        pool.join(|| thread::sleep(Duration::from_millis(1)), || thread::sleep(Duration::from_millis(1)));
        assert_eq!(jobs(&mut one), alone);
    }
}

/// What may lie between two stages is said in items and in bytes, as far as it is known.
#[test]
fn explain_bounds_what_lies_between_stages() {
    let pool = Pool::builder().workers(2).build().expect("threads");
    let g = Graph::new();
    g.source(0..9_u64).batch_size(10).credits(5).map(|x| [x; 4]).unordered().for_each(|_| ());
    g.source(0..9_u32).unordered().for_each(|_| ());
    g.source(0..9_u64).flat_map(|x| 0..x).unordered().for_each(|_| ());
    g.split(b"a b", b' ').map_batch(|batch| batch).for_each(|_| ());
    let text = g.plan(&pool).expect("no defect").explain().to_string();
    let bounds: Vec<_> =
        text.lines().filter_map(|line| line.split_once("; sends to stage ")).map(|(_, to)| to).collect();
    assert_eq!(bounds[0], "1, at most 50 items of 32 bytes (1600 B) on their way", "{text}");
    let some = "at most 16384 items of 4 bytes (64 KiB), 262144 (1024 KiB) if others wait on their way";
    assert!(bounds[2].ends_with(some), "{text}");
    assert!(bounds.iter().filter(|bound| bound.contains("at most")).count() == 4, "{text}");
}

/// A pair carries the credit of its left item only. So what is held behind a zip does not hold the source of its right side.
#[test]
fn a_zip_may_be_held_until_the_source_of_its_right_side_has_ended() {
    for workers in [1, 2] {
        let pool = Pool::builder().workers(workers).oversubscribe(true).build().expect("threads");
        let g = Graph::new();
        let (first, right) = g.source(0..2000_u64).tee();
        let left = g.source(0..2000_u64).map(|x| 10 * x);
        let all = first.map(|x| (x, x)).chain(left.zip(right)).collect();
        let ones = (0..2000).map(|x| (x, x)).chain((0..2000).map(|x| (10 * x, x)));
        assert_eq!(pool.run(g).expect("the left side has credits enough").take(all), ones.collect::<Vec<_>>());
        // The left side has too few: what it has brought is held, the right side waits, and so does the first stream.
        let g = Graph::new();
        let (first, right) = g.source(0..2000_u64).batch_size(1).credits(10).tee();
        let left = g.source(0..2000_u64).batch_size(1).credits(5);
        let all = first.map(|x| (x, x)).chain(left.zip(right)).count();
        let mut plan = g.plan(&pool).expect("no defect");
        let error = plan.run().expect_err("it stalls");
        assert_eq!(*error.kind(), RunErrorKind::Stalled, "{error}");
        assert!(plan.try_get(&all).is_none());
    }
}

/// A worker begins the most urgent of the tasks that are ready: by priority, also that of what waits for them, and then by the
/// path behind them.
#[test]
fn urgent_tasks_come_first() {
    let pool = Pool::builder().workers(1).oversubscribe(true).build().expect("a thread");
    for (urgent, by_priority) in (0..6_usize).flat_map(|urgent| [(urgent, true), (urgent, false)]) {
        let order = std::sync::Mutex::new(Vec::new());
        let g = Graph::new();
        g.grouping(millstream::Grouping::Off);
        let start = g.task((), |()| ());
        for task in 0..6 {
            let order = &order;
            let own = g.task(start.read(), move |()| order.lock().expect("no panic").push(task));
            let behind = g.task(own.read(), move |()| order.lock().expect("no panic").push(task + 10));
            match (task == urgent, by_priority) {
                (true, true) => _ = behind.priority(1),
                (true, false) => _ = g.task(behind.read(), |()| ()),
                (false, _) => {}
            }
        }
        let plan = std::sync::Mutex::new(g.plan(&pool).expect("a sound graph"));
        pool.broadcast(|_| plan.lock().expect("one worker").run().expect("no panic"));
        drop(plan);
        let order = order.into_inner().expect("no panic");
        assert_eq!(order[0], urgent, "{order:?}");
    }
}

/// How many items there are is known only when the task fires: it goes through them with the pool's loops, also as one of many.
#[test]
fn a_task_fans_out_over_what_it_finds() {
    let pool = Pool::builder().workers(2).oversubscribe(true).build().expect("threads");
    let g = Graph::new();
    let made: Vec<Data<Vec<u64>>> = (0..50).map(|len| g.task((), move |()| (0..len * 40).collect())).collect();
    for items in &made {
        g.task(items.write(), |items| pool.for_each_mut(items, |i, item| *item += i as u64));
    }
    let sums: Vec<Data<u64>> = made.iter().map(|items| g.items(items).sum()).collect();
    let mut plan = g.plan(&pool).expect("a sound graph");
    for _ in 0..20 {
        plan.run().expect("nothing fails");
        for (len, sum) in (0..50_u64).zip(&sums) {
            assert_eq!(*plan.get(sum), (0..len * 40).map(|i| 2 * i).sum::<u64>());
        }
    }
}
