//! Loops, branches and parts of data inside a graph.

use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use millstream::{Data, Graph, Place, Pool, RunErrorKind, Topology, reads};

/// For tests whose tasks wait for each other.
fn own_pool() -> Pool {
    Pool::builder().workers(2).oversubscribe(true).build().expect("threads")
}

fn pool() -> &'static Pool {
    static POOL: LazyLock<Pool> = LazyLock::new(own_pool);
    &POOL
}

/// The defects of a graph, in words.
fn defects(g: Graph<'_>) -> Vec<String> {
    let error = g.plan(pool()).map(drop).expect_err("it has defects");
    error.defects().iter().map(ToString::to_string).collect()
}

fn assert_defect(g: Graph<'_>, words: &str) {
    let found = defects(g);
    assert!(found.iter().any(|defect| defect.contains(words)), "no '{words}' in {found:?}");
}

#[test]
fn a_loop_repeats_all_that_is_in_it_in_program_order() {
    let g = Graph::new();
    let log = g.data(Vec::new());
    g.task(log.write(), |log| log.push(0));
    g.repeat(2, |g| {
        g.task(log.write(), |log| log.push(1));
        g.repeat(3, |g| {
            g.task(log.write(), |log| log.push(2));
        });
        g.task(log.write(), |log| log.push(3));
    });
    g.task(log.write(), |log| log.push(4));
    let mut plan = g.plan(pool()).expect("sound");
    for _ in 0..3 {
        plan.set(&log, Vec::new());
        plan.run().expect("nothing fails");
        assert_eq!(*plan.get(&log), [0, 1, 2, 2, 2, 3, 1, 2, 2, 2, 3, 4]);
    }
}

/// Waits for the other one to come as far.
fn meet(own: &AtomicU64, other: &AtomicU64) {
    let time = own.fetch_add(1, Ordering::AcqRel) + 1;
    let begin = Instant::now();
    while other.load(Ordering::Acquire) < time {
        assert!(begin.elapsed() < Duration::from_secs(10), "the other loop does not run");
        std::thread::yield_now();
    }
}

#[test]
fn loops_that_have_nothing_to_do_with_each_other_run_at_the_same_time() {
    let g = Graph::new();
    let (mine, yours) = (AtomicU64::new(0), AtomicU64::new(0));
    let (a, b) = (g.data(()), g.data(()));
    g.repeat(100, |g| {
        g.task(a.write(), |()| meet(&mine, &yours));
    });
    g.repeat(100, |g| {
        g.task(b.write(), |()| meet(&yours, &mine));
    });
    own_pool().run(g).expect("they meet");
}

/// What comes after the readers, or the writers, is known when the first loop is described. It is not in that loop.
#[test]
fn loops_on_parts_run_at_the_same_time() {
    for writes in [true, false] {
        let g = Graph::new();
        let (mine, yours) = (AtomicU64::new(0), AtomicU64::new(0));
        let field = g.data(vec![0; 2]);
        let parts = g.chunks(&field, 1);
        for part in &parts {
            if writes {
                drop(g.task(field.read(), |_| ()));
            } else {
                g.task(part.write(), |part| part[0] = 1);
            }
        }
        for (part, (own, other)) in parts.iter().zip([(&mine, &yours), (&yours, &mine)]) {
            g.repeat(100, |g| {
                if writes {
                    g.task(part.write(), |_| meet(own, other));
                } else {
                    g.task(field.read(), |_| meet(own, other));
                }
            });
        }
        own_pool().run(g).expect("they meet");
    }
}

#[test]
fn an_empty_loop_costs_no_stack() {
    let g = Graph::new();
    let enough = g.data(false);
    g.repeat(1_000_000, |_| {});
    g.repeat(1000, |g| {
        g.when(&enough, |enough| *enough, |_| {});
        g.repeat(100, |_| {});
    });
    pool().run(g).expect("nothing fails");
}

#[test]
fn the_last_time_of_a_loop_is_what_is_seen_outside() {
    let g = Graph::new();
    let n = g.data(0_u64);
    let mut last = None;
    g.repeat(10, |g| {
        g.task(n.write(), |n| *n += 1);
        last = Some(g.task(n.read(), |n| n * n));
    });
    let last: Data<u64> = last.expect("just made");
    let root = g.task(last.read(), |last| last.isqrt());
    let plan = pool().run(g).expect("nothing fails");
    assert_eq!((*plan.get(&last), *plan.get(&root)), (100, 10));
}

#[test]
fn what_a_branch_would_make_is_absent_if_it_is_left_out() {
    let g = Graph::new();
    let wanted = g.data(true);
    let (mut made, mut unit) = (None, None);
    g.when(
        &wanted,
        |wanted| *wanted,
        |g| {
            made = Some(g.task((), |()| vec![1]));
            unit = Some(g.task((), |()| ()));
        },
    );
    let (made, unit) = (made.expect("just made"), unit.expect("just made"));
    let beside = g.task((), |()| 7);
    let mut plan = g.plan(pool()).expect("sound");
    for wants in [false, true, true, false, false, true, false] {
        plan.set(&wanted, wants);
        plan.run().expect("nothing fails");
        assert_eq!((plan.try_get(&made).is_some(), plan.try_get(&unit).is_some()), (wants, wants));
        assert_eq!(*plan.get(&beside), 7);
    }
}

#[test]
fn a_unit_is_consumed_only_if_its_branch_is_gone_into() {
    let g = Graph::new();
    let goes = g.data(false);
    let unit = g.task((), |()| ());
    g.when(&goes, |goes| *goes, |g| drop(g.task(unit.consume(), |()| ())));
    let mut plan = g.plan(pool()).expect("sound");
    for goes_in in [false, true, false] {
        plan.set(&goes, goes_in);
        plan.run().expect("nothing fails");
        assert_eq!(plan.try_get(&unit).is_some(), !goes_in);
    }
}

/// What follows it in the loop is absent then, though it was made in the times before: in groups or alone.
#[test]
fn what_follows_a_failure_in_a_loop_is_absent() {
    let g = Graph::new();
    let (n, most) = (g.data(0), g.data(5));
    let mut made = Vec::new();
    g.repeat(10, |g| {
        g.task((n.write(), most.read()), |(n, most)| {
            *n += 1;
            assert!(*n < *most, "trap");
        });
        made.extend((0..20).map(|i| g.task(n.read(), move |_| vec![i])));
    });
    let mut plan = g.plan(pool()).expect("sound");
    for run in 0..8 {
        plan.set(&n, 0);
        plan.set(&most, if run % 2 == 0 { 5 } else { 100 });
        let ended = plan.run();
        assert_eq!(ended.is_ok(), run % 2 == 1);
        assert!(made.iter().all(|made| plan.try_get(made).is_some() == ended.is_ok()), "run {run}");
    }
}

#[test]
fn a_report_counts_each_time_of_a_loop_and_an_error_says_which() {
    let g = Graph::new();
    let (steps, most) = (g.data(0_u64), g.data(u64::MAX));
    g.repeat(5, |g| {
        g.task((), |()| std::thread::sleep(Duration::from_millis(2))).named("before");
        g.repeat(2, |g| {
            let step = g.task((steps.write(), most.read()), |(steps, most)| {
                *steps += 1;
                assert!(*steps <= *most, "too many");
            });
            step.named("step");
        });
    });
    g.task(steps.read(), |_| {}).named("once");
    let mut plan = g.plan(pool()).expect("sound");
    let counts = |plan: &millstream::Plan<'_>| {
        ["before", "step", "once"].map(|name| plan.report().operator(name).expect("a task").items_in())
    };
    assert_eq!(counts(&plan), [0, 0, 0], "before the first run");
    plan.run().expect("nothing fails");
    assert_eq!(counts(&plan), [5, 10, 1]);
    let time = plan.report().operator("before").expect("a task").time();
    assert!(time >= Duration::from_millis(10), "{time:?} for five times of 2 ms");

    plan.set(&steps, 0);
    plan.set(&most, 5);
    let error = plan.run().expect_err("the sixth step is one too many");
    assert_eq!((error.operator(), error.item()), (Some("step"), Some(5)));
    assert!(error.to_string().starts_with("'step' panicked in time 6: too many"), "{error}");
    assert_eq!(counts(&plan), [3, 5, 0]);

    plan.set(&steps, 0);
    plan.set(&most, u64::MAX);
    plan.run().expect("nothing fails");
    assert_eq!(counts(&plan), [5, 10, 1], "each run counts for itself");

    let g = Graph::new();
    let wanted = g.data(true);
    g.when(
        &wanted,
        |wanted| *wanted,
        |g| {
            g.task(wanted.read(), |wanted| assert!(!*wanted, "no")).named("inner");
        },
    );
    let error = g.plan(pool()).expect("sound").run().expect_err("the task fails");
    assert_eq!(error.item(), None, "it is not repeated");
    assert!(error.to_string().starts_with("'inner' panicked: no"), "{error}");
}

#[test]
fn a_question_that_panics_is_named() {
    for inside in [true, false] {
        let g = Graph::new();
        let x = g.data(0);
        if inside {
            g.repeat_until(
                &x,
                |x| if *x == 3 { panic_any("trap") } else { false },
                |g| {
                    g.task(x.write(), |x| *x += 1);
                },
            )
            .named("endless");
        } else {
            g.when(&x, |_| panic_any("trap"), |g| _ = g.task(x.write(), |x| *x += 1)).named("endless");
        }
        let ran = AtomicU64::new(0);
        g.task(x.read(), |_| ran.fetch_add(1, Ordering::Relaxed));
        let mut plan = g.plan(pool()).expect("sound");
        let error = plan.run().expect_err("it panics");
        assert_eq!((error.kind(), error.operator()), (&RunErrorKind::Panicked, Some("endless")));
        assert_eq!(ran.load(Ordering::Relaxed), 0, "what comes after it does not fire");
        plan.set(&x, 0);
        plan.run().expect_err("and again");
    }
}

#[test]
fn an_endless_loop_ends_when_it_is_cancelled() {
    let g = Graph::new();
    let x = g.data(0_u64);
    g.repeat_until(
        &x,
        |_| false,
        |g| {
            g.task(x.write(), |x| *x += 1);
        },
    );
    let running = g.plan(pool()).expect("sound").start();
    std::thread::sleep(Duration::from_millis(20));
    running.cancel();
    assert!(matches!(running.join().map(drop).expect_err("it was cancelled").kind(), RunErrorKind::Cancelled));
}

#[test]
fn a_closure_that_panics_while_it_adds_tasks_leaves_the_graph_as_it_is() {
    let g = Graph::new();
    let x = g.data(0);
    let thrown = catch_unwind(AssertUnwindSafe(|| {
        g.repeat(3, |g| {
            g.task(x.write(), |x| *x += 1);
            panic_any("trap");
        });
    }));
    assert!(thrown.is_err());
    g.task(x.write(), |x| *x += 10);
    assert_eq!(pool().run(g).expect("sound").take(x), 13);
}

#[test]
fn defects_of_loops_and_branches() {
    let g = Graph::new();
    g.repeat(2, |g| drop(g.range(0..3).count()));
    assert_defect(g, "has tasks, and no streams");

    let g = Graph::new();
    let v = g.data(vec![1, 2, 3]);
    let outside = g.items(&v);
    g.repeat(2, |_| drop(outside.sum::<i32>()));
    assert_defect(g, "has tasks, and no streams");

    let g = Graph::new();
    let x = g.data(Some(1));
    g.repeat(2, |g| drop(g.task(x.consume(), |x| x)));
    assert_defect(g, "consumes 'data at");

    let g = Graph::new();
    let x = g.data(true);
    let mut made = None;
    g.when(&x, |x| *x, |g| made = Some(g.task((), |()| 1))).named("branch");
    drop(g.task(made.expect("just made").read(), |made| *made));
    assert_defect(g, "which is not made if 'branch' is left out");

    let g = Graph::new();
    let mut made = None;
    g.repeat(0, |g| made = Some(g.task((), |()| 1))).named("never");
    drop(g.task(reads(&made), |made| made.len()));
    assert_defect(g, "which is not made if 'never' is left out");

    let (g, other) = (Graph::new(), Graph::new());
    let x = other.data(true);
    g.when(&x, |x| *x, |_| {});
    assert_defect(g, "it asks about data of another graph");
}

#[test]
fn parts_are_written_at_the_same_time_and_the_whole_waits() {
    let g = Graph::new();
    let field = g.data(vec![0_u64; 4]);
    let arrived = AtomicU64::new(0);
    for part in g.chunks(&field, 2) {
        let arrived = &arrived;
        g.task(part.write(), move |part| {
            arrived.fetch_add(1, Ordering::AcqRel);
            let begin = Instant::now();
            while arrived.load(Ordering::Acquire) < 2 {
                assert!(begin.elapsed() < Duration::from_secs(10), "the other part is not written meanwhile");
                std::thread::yield_now();
            }
            part.fill(1);
        });
    }
    let sum = g.task(field.read(), |field| field.iter().sum::<u64>());
    assert_eq!(own_pool().run(g).expect("nothing fails").take(sum), 4);
}

#[test]
fn parts_follow_the_length_of_the_data() {
    let g = Graph::new();
    let field = g.data(vec![0_usize; 10]);
    let parts = g.chunks(&field, 4);
    let lengths: Vec<_> = parts.iter().map(|part| g.task(part.read(), <[usize]>::len)).collect();
    let mut plan = g.plan(pool()).expect("sound");
    for (len, expected) in [(10, [4, 4, 2]), (0, [0, 0, 0]), (5, [4, 1, 0]), (20, [4, 4, 12])] {
        plan.set(&field, vec![0; len]);
        plan.run().expect("nothing fails");
        let found: Vec<usize> = lengths.iter().map(|length| *plan.get(length)).collect();
        assert_eq!(found, expected, "of {len}");
    }
}

#[test]
fn the_whole_is_absent_after_a_task_has_stopped_in_a_part() {
    let g = Graph::new();
    let field = g.data(vec![String::from("whole"); 9]);
    let fails = g.data(true);
    let parts = g.chunks(&field, 3);
    for part in &parts {
        g.task((part.write(), fails.read()), |(part, fails)| {
            part.iter_mut().for_each(|text| text.push('!'));
            if *fails && part[0].ends_with('!') {
                panic_any("trap");
            }
        });
    }
    let mut plan = g.plan(pool()).expect("sound");
    assert_eq!(plan.run().expect_err("it panics").kind(), &RunErrorKind::Panicked);
    assert_eq!(plan.try_get(&field), None);
    assert!(matches!(plan.run().expect_err("half written").kind(), RunErrorKind::NotReady { .. }));
    plan.set(&field, vec![String::from("whole"); 9]);
    plan.set(&fails, false);
    plan.run().expect("nothing fails");
    assert!(plan.get(&field).iter().all(|text| text == "whole!"));
}

#[test]
fn parts_are_at_home_with_their_data() {
    let g = Graph::new();
    let field = g.data(vec![0_u8; 1 << 20]).named("field").place(Place::Node(1));
    let parts = g.chunks(&field, 1 << 19);
    g.task(parts[0].write(), |part| part.fill(1)).named("fill");
    g.task(parts[1].clone().place(Place::Node(0)).write(), |part| part.fill(1)).named("elsewhere");
    let machine = Topology::synthetic("numa:2 core:8 pu:1").expect("a machine");
    let explain = g.plan_for(&machine).expect("sound").explain();
    let node = |name| explain.operator(name).and_then(|operator| operator.node());
    assert_eq!((node("fill"), node("elsewhere")), (Some(1), Some(0)));
}

#[test]
fn pictures_show_who_finds_parts_as_they_were_given() {
    let g = Graph::new();
    let field = g.data(vec![0; 4]).named("field");
    for (part, name) in g.chunks(&field, 2).iter().zip(["left", "right"]) {
        g.task(part.write(), |part| part.fill(1)).named(name);
    }
    g.task(field.read(), Vec::len).named("len");
    let words = g.plan(pool()).expect("sound").explain().to_mermaid();
    let arrows = words.lines().filter(|line| line.contains("-.->")).count();
    assert_eq!(arrows, 4, "field to left and right, these to len:\n{words}");
}

#[test]
fn defects_of_parts() {
    let g = Graph::new();
    let field = g.data(vec![0; 10]).named("field");
    let parts = g.chunks(&field, 5);
    drop(g.task((field.read(), parts[1].write()), |_| ()));
    assert_defect(g, "which overlap, and not only for reading");

    let g = Graph::new();
    let field = g.data(vec![0; 10]).named("field");
    let (parts, others) = (g.chunks(&field, 5), g.chunks(&field, 4));
    drop(g.task((parts[0].write(), others[1].read()), |_| ()));
    assert_defect(g, "which overlap, and not only for reading");

    let g = Graph::new();
    let field = g.data(vec![0; 10]).named("field");
    let parts = g.chunks(&field, 5);
    drop(g.task(field.consume(), drop));
    drop(g.task(parts[0].read(), |_| ()).named("late"));
    assert_defect(g, "it accesses 'field[0..5]', which");

    let g = Graph::new();
    let field = g.data(vec![0; 10]);
    assert!(g.chunks(&field, 0).is_empty());
    assert_defect(g, "chunks(0)");

    let g = Graph::new();
    let made = g.task((), |()| vec![0; 10]).named("made");
    assert!(g.chunks(&made, 5).is_empty());
    assert_defect(g, "it cuts 'made', whose length is not known before a run");

    let (g, other) = (Graph::new(), Graph::new());
    let (field, own) = (other.data(vec![0; 10]), g.data(vec![0; 10]));
    let parts = other.chunks(&field, 5);
    drop(g.task((own.read(), parts[0].read()), |_| ()));
    assert!(g.chunks(&field, 5).is_empty());
    let found = defects(g);
    assert!(found.iter().any(|defect| defect.contains("it accesses data of another graph")), "{found:?}");
    assert!(found.iter().any(|defect| defect.contains("it cuts data of another graph")), "{found:?}");
}

#[test]
fn any_number_of_data_is_read() {
    let g = Graph::new();
    let (none, many): (Vec<Data<u64>>, _) = (Vec::new(), (0..10_000).map(|n| g.task((), move |()| n)));
    let many: Vec<Data<u64>> = many.collect();
    let nothing = g.task(reads(&none), |none| none.is_empty());
    let sum = g.task((reads(&many), many[3].read()), |(many, three)| {
        assert_eq!((many.len(), many[17], many.get(10_000), *three), (10_000, 17, None, 3));
        many.iter().rev().take(2).sum::<u64>() + many.iter().sum::<u64>()
    });
    let mut plan = pool().run(g).expect("nothing fails");
    assert_eq!((plan.take(nothing), plan.take(sum)), (true, 19_997 + 49_995_000));
}

/// All read all, then each writes its part, and all once more: an edge from each to each would be 10^8 of them, 800 MB.
#[test]
fn many_that_read_all_and_many_that_write_a_part_have_few_edges() {
    const PARTS: usize = 10_000;
    let g = Graph::new();
    let field = g.data(vec![1_u64; PARTS]);
    let parts = g.chunks(&field, 1);
    let mut sums = Vec::new();
    for _ in 0..2 {
        sums.extend((0..PARTS).map(|_| g.task(field.read(), |field| field[0] + field[PARTS - 1])));
        for part in &parts {
            g.task(part.write(), |part| part[0] *= 2);
        }
    }
    let mut plan = g.plan(pool()).expect("sound");
    for run in 0..2 {
        plan.run().expect("nothing fails");
        assert_eq!((*plan.get(&sums[7]), *plan.get(&sums[PARTS + 7])), (2 << (2 * run), 4 << (2 * run)));
        assert!(plan.get(&field).iter().all(|item| *item == 4 << (2 * run)));
    }
    let words = plan.explain().to_string();
    let edges: usize = words
        .split_whitespace()
        .zip(words.split_whitespace().skip(1))
        .find_map(|(number, what)| what.starts_with("edges").then(|| number.parse().ok())?)
        .expect("it says how many");
    assert!(edges < 20 * PARTS, "{edges} edges");
}

#[test]
fn defects_name_all_that_they_are_about() {
    let g = Graph::new();
    let [a, b, c] = ["a", "b", "c"].map(|name| g.task((), |()| ()).named(name));
    drop(a.clone().after(&c));
    drop(b.clone().after(&a));
    drop(c.after(&b));
    assert_defect(g, "it comes after itself: it waits for 'c', which waits for 'b', which waits for it");

    let g = Graph::new();
    let task = g.task((), |()| ());
    drop(g.data(1).after(&task));
    assert_defect(g, "no task makes this");

    let g = Graph::new();
    let field = g.data(vec![0; 10]).named("x");
    let (halves, thirds) = (g.chunks(&field, 5), g.chunks(&field, 3));
    drop(g.task((halves[0].read(), thirds[1].write()), |_| ()));
    assert_defect(g, "it accesses 'x[0..5]' and 'x[3..6]', which overlap, and not only for reading");

    let g = Graph::new();
    g.repeat(2, |g| {
        let once = g.data(String::new()).named("once");
        drop(g.task(once.consume(), drop));
    })
    .named("loop");
    assert_defect(g, "it consumes 'once' each time of 'loop', but data() gives that only once");
}

#[test]
fn what_was_consumed_says_so() {
    let pool = Pool::builder().workers(1).build().expect("a worker");
    let g = Graph::new();
    let food = g.data(String::from("bread")).named("food");
    drop(g.task(food.consume(), drop).named("eat"));
    let mut plan = g.plan(&pool).expect("plans");
    plan.run().expect("runs");
    let error = plan.run().expect_err("there is nothing left").to_string();
    assert!(error.contains("'eat' consumed it, or it was taken: set it again"), "{error}");
    plan.set(&food, String::from("more"));
    plan.run().expect("runs again");
}
