//! Stalls and credits: what is proved never stalls, and where the number of credits is the least, one fewer does.

use proptest::prelude::*;

use crate::check::once;
use crate::{Data, Graph, OnStall, Pool, Proof, RunErrorKind, Stalls, Stream};

type Shape = for<'env> fn(&Graph<'env>, [Stream<'env, u32>; 2]) -> Data<u64>;

/// The proof of a graph of one source in batches of `batch`, of which both streams of `shape` come; and how a run of it
/// ends.
fn try_with(shape: Shape, batch: usize, credits: usize, pool: &Pool) -> (Proof, bool) {
    let g = Graph::new();
    let (one, two) = g.source_fn(|| 0..300).named("numbers").batch_size(batch).credits(credits).tee();
    let result = shape(&g, [one.boxed(), two.boxed()]);
    let mut plan = g.plan(pool).expect("no defect");
    let proof = plan.prove();
    let ran = plan.run();
    assert_eq!(plan.try_get(&result).is_some(), ran.is_ok());
    if let Err(error) = &ran {
        assert!(matches!(error.kind(), RunErrorKind::Stalled), "{error}");
    }
    (proof, ran.is_ok())
}

/// Shapes, the size of batches, and how many credits are needed; it is the least number.
const SHAPES: &[(&str, Shape, usize, u32)] = &[
    ("alike", |_, [one, two]| one.map(|x| x + 1).zip(two.enumerate()).count(), 7, 1),
    ("skip", |_, [one, two]| one.skip(5).zip(two).count(), 1, 6),
    ("skip on the right", |_, [one, two]| one.zip(two.skip(5)).count(), 1, 6),
    ("skip in batches", |_, [one, two]| one.zip(two.skip(5)).count(), 4, 3),
    ("chunks alike", |_, [one, two]| one.chunks(2).chunks(3).zip(two.chunks(6)).count(), 1, 1),
    ("windows ahead of chunks", |_, [one, two]| one.chunks(4).zip(two.window(2, 4)).count(), 1, 3),
    ("windows ahead of chunks, in batches", |_, [one, two]| one.chunks(4).zip(two.window(2, 4)).count(), 2, 2),
    ("windows and chunks that end with batches", |_, [one, two]| one.chunks(4).zip(two.window(2, 4)).count(), 4, 1),
    ("sliding windows", |_, [one, two]| one.window(4, 1).zip(two).count(), 1, 4),
    (
        "one after the other",
        |_, [one, two]| {
            let (two, three) = two.tee();
            one.zip(two.skip(5)).map(|(x, _)| x).zip(three.skip(10)).count()
        },
        1,
        11,
    ),
    (
        "a zip that is behind",
        |_, [one, two]| {
            let (two, three) = two.tee();
            one.skip(3).zip(two).map(|(x, _)| x).zip(three.skip(10)).count()
        },
        1,
        8,
    ),
    (
        "alike behind a filter",
        |_, [one, two]| {
            let (one, three) = one.filter(|x| x % 50 == 7).tee();
            drop(one.zip(three).count());
            two.count()
        },
        3,
        1,
    ),
    (
        "a filter before, in arrival order",
        |_, [one, two]| {
            let (one, three) = one.filter(|x| x % 50 == 7).tee();
            drop(one.unordered().zip(three.unordered()).count());
            two.count()
        },
        3,
        1,
    ),
    (
        "beside another source",
        |g, [one, two]| {
            let other = g.source_fn(|| 0..500).batch_size(2).credits(1).filter(|x| x % 9 > 6);
            one.zip(other).map(|(x, _)| x).zip(two).count()
        },
        3,
        1,
    ),
    ("merge", |_, [one, two]| one.filter(|x| x % 9 == 0).merge(two).count(), 3, 1),
    ("chain", |_, [one, two]| one.filter(|x| x % 9 == 0).chain(two.spooled()).count(), 3, 1),
    ("what is ahead is spooled", |_, [one, two]| one.spooled().zip(two.filter(|x| x % 9 == 0)).count(), 3, 1),
    ("a skip that is spooled", |_, [one, two]| one.skip(20).zip(two.spooled()).count(), 3, 1),
];

#[test]
fn with_the_credits_that_suffice_nothing_stalls_and_with_one_fewer_it_does() {
    for (name, shape, batch, needed) in SHAPES {
        for (workers, seed) in [(1, 0), (2, 1), (3, 2), (64, 3)] {
            once(workers, seed, |pool| {
                let (proof, ran) = try_with(*shape, *batch, *needed as usize, pool);
                assert_eq!(proof.credits_needed("numbers"), Some(*needed), "{name}: {proof}");
                assert!(proof.never_stalls() && ran, "{name}: {proof}");
                if *needed > 1 {
                    let (proof, ran) = try_with(*shape, *batch, *needed as usize - 1, pool);
                    assert!(!proof.never_stalls() && !ran, "{name}: {proof}");
                    assert_eq!(proof.credits_needed("numbers"), Some(*needed), "{name}: {proof}");
                    assert!(proof.to_string().contains("'numbers' has"), "{name}: {proof}");
                }
            });
        }
    }
}

/// Shapes that stall, whatever number of credits is less than that of batches, and who is to blame.
const UNKNOWN: &[(&str, Shape)] = &[
    ("rare", |_, [one, two]| one.zip(two.filter(|x| *x == 299).named("rare")).count()),
    ("first", |_, [one, two]| one.take(3).named("first").zip(two).count()),
    ("some", |_, [one, two]| one.scan((), |(), x| (x < 5).then_some(x)).named("some").zip(two).count()),
    ("sparse", |_, [one, two]| one.zip(two.flat_map(|x| (x == 299).then_some(x)).named("sparse")).count()),
    ("batched", |_, [one, two]| {
        one.zip(two.map_batch(|all| all.into_iter().filter(|x| *x == 299)).named("batched")).count()
    }),
    ("sorted", |_, [one, two]| one.merge_by_key(two.map(|x| x / 300), |x| *x).named("sorted").count()),
    ("numbers", |_, [one, two]| one.chunks(300).zip(two).count()),
];

#[test]
fn where_a_graph_stalls_the_operator_is_named_that_may_keep_others_waiting() {
    for (name, shape) in UNKNOWN {
        once(2, 0, |pool| {
            let (proof, ran) = try_with(*shape, 1, 200, pool);
            let Stalls::Unproven(why) = proof.stalls() else { panic!("{name} may stall") };
            assert!(why.operator().contains(name), "{name}: {proof}");
            assert!(!ran && proof.credits_needed("numbers").is_none(), "{name}: {proof}");
        });
    }
}

#[test]
fn a_source_with_credits_for_all_its_batches_never_stalls() {
    once(2, 0, |pool| {
        for (credits, stalls) in [(9, true), (10, false)] {
            let g = Graph::new();
            let (all, some) = g.range(0..100_u64).named("numbers").batch_size(10).credits(credits).tee();
            let pairs = all.zip(some.filter(|x| *x == 99).named("rare")).count();
            let mut plan = g.plan(pool).expect("no defect");
            let proof = plan.prove();
            assert_eq!(proof.never_stalls(), !stalls, "{proof}");
            assert_eq!((proof.credits_needed("numbers"), proof.sources()[0].batches()), (Some(10), Some(10)));
            assert_eq!((plan.run().is_err(), plan.try_get(&pairs).is_some()), (stalls, !stalls));
        }
    });
}

#[test]
fn credits_that_a_stall_would_add_count() {
    let pool = Pool::builder().workers(1).build().expect("a thread");
    for (max, never) in [(5, false), (6, true)] {
        let g = Graph::new();
        let numbers = g.source_fn(|| 0..100).batch_size(1).credits(1).on_stall(OnStall::Grow { max });
        let (one, two) = numbers.tee();
        let pairs = one.skip(5).zip(two).count();
        let mut plan = g.plan(&pool).expect("no defect");
        assert_eq!(
            (plan.prove().never_stalls(), plan.prove().sources()[0].credits()),
            (never, u32::try_from(max).expect("small"))
        );
        assert_eq!(plan.run().is_ok(), never);
        drop(pairs);
    }
}

/// The least number where batches may have any size.
#[test]
fn batches_of_any_size_need_credits_as_if_each_had_one_item() {
    let pool = Pool::builder().workers(1).build().expect("a thread");
    let needed = |skips: u64, bytes: bool| {
        let g = Graph::new();
        let numbers = g.source_fn(|| 0..100_u32).named("numbers");
        let numbers = if bytes { numbers.credits_bytes(1000, |_| 4).boxed() } else { numbers.boxed() };
        let (one, two) = numbers.tee();
        let pairs = one.skip(skips).zip(two).count();
        let proof = g.plan(&pool).map(|plan| plan.prove()).expect("no defect");
        drop(pairs);
        proof.credits_needed("numbers")
    };
    assert_eq!((needed(5, false), needed(0, false), needed(0, true)), (Some(6), Some(1), Some(1)));
    assert_eq!(needed(5, true), None, "how many batches its bytes leave room for is not known");
}

#[test]
fn records_of_a_text_may_leave_batches_empty() {
    let pool = Pool::builder().workers(1).build().expect("a thread");
    let text = vec![b'x'; 1 << 20];
    for (skips, batches) in [(0, 1), (1, 1024)] {
        let g = Graph::new();
        let (one, two) = g.split(&text, b'\n').named("lines").batch_size(1024).tee();
        let pairs = one.skip(skips).zip(two).count();
        let proof = g.plan(&pool).map(|plan| plan.prove()).expect("no defect");
        assert_eq!(proof.credits_needed("lines"), Some(batches), "{proof}");
        drop(pairs);
    }
}

#[test]
fn two_sources_that_wait_for_each_other_are_not_proved() {
    once(2, 0, |pool| {
        let g = Graph::new();
        let (a, some_of_a) = g.source_fn(|| 0..20).batch_size(1).credits(2).named("a").tee();
        let (b, some_of_b) = g.source_fn(|| 0..20).batch_size(1).credits(2).named("b").tee();
        let left = a.zip(some_of_b.filter(|x| *x == 9)).count();
        let right = b.zip(some_of_a.filter(|x| *x == 9)).count();
        let mut plan = g.plan(pool).expect("no defect");
        let proof = plan.prove();
        assert!(
            !proof.never_stalls() && proof.sources().iter().all(|source| source.credits_needed().is_none()),
            "{proof}"
        );
        assert!(matches!(plan.run().expect_err("it stalls").kind(), RunErrorKind::Stalled));
        drop((left, right));
    });
}

#[test]
fn two_sources_that_meet_once_need_one_credit_each() {
    once(2, 0, |pool| {
        let g = Graph::new();
        let a = g.source_fn(|| 0..200).batch_size(1).credits(1).named("a").filter(|x| x % 7 == 0);
        let b = g.source_fn(|| 0..200).batch_size(3).credits(1).named("b").flat_map(|x| [x, x]);
        let pairs = a.zip(b).map(|pair| pair.0);
        let all = pairs.merge_by_key(g.source_fn(|| 0..9).batch_size(1).credits(1), |x| *x).count();
        let mut plan = g.plan(pool).expect("no defect");
        let proof = plan.prove();
        let needed: Vec<_> = proof.sources().iter().map(|source| source.credits_needed()).collect();
        assert!(proof.never_stalls() && needed == [Some(1); 3], "{proof}");
        plan.run().expect("no source waits for itself");
        assert_eq!(*plan.get(&all), 29 + 9);
    });
}

/// It is no defect, and it stalls; see `docs/limits.md`.
#[test]
fn a_zip_of_which_one_side_waits_for_the_end_of_the_source_of_the_other_is_not_proved() {
    once(2, 0, |pool| {
        let g = Graph::new();
        let (one, two) = g.source_fn(|| 0..100_u64).named("numbers").batch_size(1).credits(3).tee();
        let sum = one.sum::<u64>();
        let late = g.source_fn(|| 0..100_u64).credits(3).map_with(&sum, |sum, x| sum + x);
        let pairs = two.zip(late).count();
        let mut plan = g.plan(pool).expect("no defect");
        let proof = plan.prove();
        assert!(!proof.never_stalls() && proof.credits_needed("numbers").is_none(), "{proof}");
        assert!(matches!(plan.run().expect_err("it stalls").kind(), RunErrorKind::Stalled));
        drop(pairs);
    });
}

#[test]
fn a_stream_that_waits_for_data_of_another_source_is_no_danger() {
    once(2, 0, |pool| {
        let g = Graph::new();
        let sum = g.source_fn(|| 0..100_u64).named("first").batch_size(1).credits(1).sum::<u64>();
        let twice = g.task(sum.read(), |sum| 2 * sum);
        let (one, two) = g.source_fn(|| 0..100_u64).named("numbers").batch_size(1).credits(1).tee();
        let one = one.map_with(&twice, |twice, x| twice + x);
        let pairs = one.zip(two.map_with(&sum, |sum, x| sum + x)).count();
        let mut plan = g.plan(pool).expect("no defect");
        let proof = plan.prove();
        assert!(proof.never_stalls(), "{proof}");
        assert_eq!((proof.credits_needed("first"), proof.credits_needed("numbers")), (Some(1), Some(1)));
        plan.run().expect("nothing waits for itself");
        assert_eq!(*plan.get(&pairs), 100);
    });
}

#[test]
fn iterators_have_credits_of_their_own() {
    once(2, 0, |pool| {
        let g = Graph::new();
        let numbers = g.source_fn(|| 0..20_u64).named("numbers").batch_size(1).credits(1);
        let (one, two) = numbers.expand(|x| 0..x).named("below").batch_size(1).credits(4).tee();
        let pairs = one.skip(3).zip(two).count();
        let mut plan = g.plan(pool).expect("no defect");
        let proof = plan.prove();
        let needed: Vec<_> = proof.sources().iter().map(|source| source.credits_needed()).collect();
        assert_eq!(needed, [Some(1), Some(4)], "{proof}");
        assert!(proof.never_stalls(), "{proof}");
        plan.run().expect("enough");
        assert_eq!(*plan.get(&pairs), 190 - 3);
    });
}

#[test]
fn a_source_without_credits_needs_none() {
    let pool = Pool::builder().workers(1).build().expect("a thread");
    let g = Graph::new();
    let sum = g.range(0..1000_u64).named("numbers").sum::<u64>();
    let proof = g.plan(&pool).map(|plan| plan.prove()).expect("no defect");
    let source = &proof.sources()[0];
    assert_eq!((source.name(), source.credits(), source.credits_needed()), ("numbers", 0, Some(0)));
    assert!(proof.never_stalls() && proof.items_in_flight() == Some(0), "{proof}");
    drop(sum);
}

/// A blueprint and a plan of the same graph say the same.
#[test]
fn a_blueprint_proves_what_its_plan_does() {
    let pool = Pool::builder().workers(1).build().expect("a thread");
    let g = Graph::new();
    let sum = g.source_fn(|| 0..100_u64).named("first").sum::<u64>();
    let (one, two) = g.source_fn(|| 0..100_u64).named("numbers").batch_size(1).credits(3).tee();
    let pairs = one.map_with(&sum, |sum, x| sum + x).zip(two.skip(2)).count();
    let last = g.task((sum.read(), pairs.read()), |(sum, pairs)| sum + pairs);
    let blueprint = g.plan_for(pool.topology()).expect("no defect").prove();
    assert!(blueprint.never_stalls() && blueprint.never_at_once(&last, &last), "{blueprint}");
    let plan = g.plan(&pool).expect("no defect").prove();
    let text = |proof: &Proof| {
        proof
            .to_string()
            .lines()
            .filter(|line| !line.contains("'first'") && !line.contains("flight"))
            .collect::<String>()
    };
    assert_eq!(text(&blueprint), text(&plan));
}

/// An operator of a known rate.
#[derive(Clone, Copy, Debug)]
enum Known {
    Map,
    Enumerate,
    Skip(u64),
    Chunks(usize),
    Window(usize, usize),
}

impl Known {
    fn behind<'env>(self, items: Stream<'env, u32>) -> Stream<'env, u32> {
        match self {
            Self::Map => items.map(|x| x + 1).boxed(),
            Self::Enumerate => items.enumerate().map(|(_, x)| x).boxed(),
            Self::Skip(count) => items.skip(count).boxed(),
            Self::Chunks(n) => items.chunks(n).map(|chunk| chunk[0]).boxed(),
            Self::Window(n, step) => items.window(n, step).map(|window| window[0]).boxed(),
        }
    }
}

fn known() -> impl Strategy<Value = Vec<Known>> {
    let one = prop_oneof![
        Just(Known::Map),
        Just(Known::Enumerate),
        (0..9_u64).prop_map(Known::Skip),
        (1..4_usize).prop_map(Known::Chunks),
        (1..6_usize, 1..4_usize).prop_map(|(n, step)| Known::Window(n, step)),
    ];
    prop::collection::vec(one, 0..4)
}

/// Whether a run of zips of one source goes well, and the proof. `ways` lead to the zips.
fn zips(pool: &Pool, ways: &[Vec<Known>], (batch, credits): (usize, usize)) -> (Proof, bool) {
    let g = Graph::new();
    let mut rest = g.source_fn(|| 0..600).named("numbers").batch_size(batch).credits(credits).boxed();
    let mut zipped: Option<Stream<'_, u32>> = None;
    for (index, way) in ways.iter().enumerate() {
        let mut own = rest;
        if index + 1 < ways.len() {
            let (one, other) = own.tee();
            (own, rest) = (one.boxed(), other.boxed());
        } else {
            rest = g.source_fn(|| 0..0).boxed();
        }
        let own = way.iter().fold(own, |items, known| known.behind(items));
        zipped = Some(match zipped {
            None => own,
            Some(zipped) => zipped.zip(own).map(|(x, _)| x).boxed(),
        });
    }
    drop(rest.count());
    let result = zipped.map(Stream::count);
    let mut plan = g.plan(pool).expect("no defect");
    let (proof, ran) = (plan.prove(), plan.run().is_ok());
    drop(result);
    (proof, ran)
}

proptest! {
    /// The credits that suffice do, and they are the least ones.
    #[test]
    fn credits_that_suffice_are_the_least_where_rates_are_known(
        ways in prop::collection::vec(known(), 2..4),
        batch in 1..7_usize,
        (workers, seed) in (1..4_usize, any::<u64>()),
    ) {
        once(workers, seed, |pool| {
            let (proof, ran) = zips(pool, &ways, (batch, 1));
            let Some(needed) = proof.credits_needed("numbers").map(|needed| needed as usize) else {
                prop_assert!(!ran && !proof.never_stalls(), "rates that differ: {proof}");
                return Ok(());
            };
            let (proof, ran) = zips(pool, &ways, (batch, needed));
            prop_assert!(ran && proof.never_stalls(), "{proof}");
            if needed > 1 {
                let (proof, ran) = zips(pool, &ways, (batch, needed - 1));
                prop_assert!(!proof.never_stalls(), "{proof}");
                // Where three lines meet in two zips, the number may be one too many: see below.
                prop_assert!(!ran || ways.len() > 2, "{proof}");
            }
            Ok(())
        })?;
    }
}

/// A pair goes on with the credit of the one of the two that came last. The proof counts from the one that came first.
#[test]
fn where_three_lines_meet_one_credit_too_many_may_be_named() {
    let ways = [vec![Known::Window(1, 2)], vec![Known::Chunks(2)], vec![Known::Window(3, 2)]];
    once(1, 0, |pool| {
        let (proof, ran) = zips(pool, &ways, (1, 2));
        assert!(ran && !proof.never_stalls(), "{proof}");
        assert_eq!(proof.credits_needed("numbers"), Some(3));
    });
}
