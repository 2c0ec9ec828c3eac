//! Which tasks never run at once.

use std::collections::BTreeSet;

use proptest::prelude::*;

use crate::{Data, Graph, Pool};

proptest! {
    /// Tasks on a few cells, against what their accesses mean.
    #[test]
    fn tasks_that_wait_for_each_other_by_any_way_are_apart(
        tasks in prop::collection::vec((0..5_usize, 0..5_usize, any::<bool>()), 0..16),
        has_stream in any::<bool>(),
    ) {
        let pool = Pool::builder().workers(1).build().expect("a thread");
        let g = Graph::new();
        if has_stream {
            let gate = g.data(1);
            let sum = g.source_fn(|| 0..3).map_with(&gate, |gate, x| gate + x).sum::<i32>();
            drop(sum);
        }
        let cells: Vec<Data<u64>> = (0..5).map(|_| g.data(0)).collect();
        let mut handles = Vec::new();
        for (number, (read, write, only_reads)) in tasks.iter().enumerate() {
            let (read, write) = (&cells[*read], &cells[*write]);
            let name = number.to_string();
            handles.push(match only_reads {
                true => g.task((read.read(), write.read()), |(a, b)| a + b).named(&name),
                false if read.slot == write.slot => g.task(write.write(), |b| { *b += 1; *b }).named(&name),
                false => g.task((read.read(), write.write()), |(a, b)| { *b += a; *b }).named(&name),
            });
        }
        let count = tasks.len();
        let mut before = vec![vec![false; count]; count];
        for second in 0..count {
            for first in 0..second {
                let [(r1, w1, only1), (r2, w2, only2)] = [tasks[first], tasks[second]];
                let writes1 = if only1 { None } else { Some(w1) };
                let writes2 = if only2 { None } else { Some(w2) };
                let meets = writes1.is_some_and(|cell| cell == r2 || cell == w2)
                    || writes2.is_some_and(|cell| cell == r1 || cell == w1);
                if meets {
                    before[second][first] = true;
                    let earlier = before[first].clone();
                    before[second].iter_mut().zip(earlier).for_each(|(own, earlier)| *own |= earlier);
                }
            }
        }
        let blueprint = g.plan_for(pool.topology()).expect("no defect").prove();
        let proof = g.plan(&pool).map(|plan| plan.prove()).expect("no defect");
        let mut expected = BTreeSet::new();
        for one in 0..count {
            for other in 0..count {
                let apart = one == other || before[one.max(other)][one.min(other)];
                prop_assert_eq!(proof.never_at_once(&handles[one], &handles[other]), apart, "{} {}", one, other);
                prop_assert_eq!(blueprint.never_at_once(&handles[one], &handles[other]), apart);
                if apart && one < other {
                    expected.insert([one.to_string(), other.to_string()]);
                }
            }
        }
        prop_assert_eq!(proof.pairs_never_at_once().collect::<BTreeSet<_>>(), expected.clone());
        prop_assert_eq!(blueprint.pairs_never_at_once().collect::<BTreeSet<_>>(), expected);
    }
}

#[test]
fn a_way_through_a_stream_does_not_keep_tasks_apart() {
    let pool = Pool::builder().workers(1).build().expect("a thread");
    let g = Graph::new();
    let first = g.task((), |()| 1);
    // Were it empty, it would end before its gate opens.
    let sum = g.source_fn(|| 0..3).map_with(&first, |first, x| first + x).sum::<i32>();
    let last = g.task(sum.read(), |sum| *sum);
    let proof = g.plan(&pool).map(|plan| plan.prove()).expect("no defect");
    assert!(!proof.never_at_once(&first, &last), "{proof}");
    assert!(!proof.never_at_once(&sum, &last), "a stream is no task");
}

#[test]
fn tasks_in_a_block_are_apart_from_those_that_wait_for_the_block() {
    let pool = Pool::builder().workers(1).build().expect("a thread");
    let g = Graph::new();
    let (x, y) = (g.data(1_u64), g.data(1_u64));
    let first = g.task(x.write(), |x| *x += 1);
    let mut block = None;
    g.repeat(3, |g| block = Some((g.task(x.write(), |x| *x *= 2), g.task(y.write(), |y| *y *= 2))));
    let (inside, beside) = block.expect("it was described");
    let last = g.task(x.read(), |x| *x);
    let proof = g.plan(&pool).map(|plan| plan.prove()).expect("no defect");
    assert!(proof.never_at_once(&first, &inside) && proof.never_at_once(&inside, &last), "{proof}");
    assert!(proof.never_at_once(&inside, &inside) && !proof.never_at_once(&inside, &beside));
    assert!(proof.to_string().contains("tasks: 4; of 6 pairs "), "{proof}");
}

#[test]
fn many_tasks_are_looked_at_between_two_only() {
    let pool = Pool::builder().workers(1).build().expect("a thread");
    let g = Graph::new();
    let sum = g.data(0_u64);
    let tasks: Vec<_> = (0..100_000).map(|_| g.task(sum.write(), |sum| *sum += 1)).collect();
    let proof = g.plan(&pool).map(|plan| plan.prove()).expect("no defect");
    for near in tasks.windows(2).step_by(10) {
        assert!(proof.never_at_once(&near[1], &near[0]));
    }
    assert_eq!(proof.pairs_never_at_once().take(1000).count(), 1000);
    assert!(proof.to_string().ends_with("tasks: 100000\n"), "{proof}");
}

#[test]
#[should_panic(expected = "is data of another graph than this proof's")]
fn data_of_another_graph_is_refused() {
    let pool = Pool::builder().workers(1).build().expect("a thread");
    let (g, other) = (Graph::new(), Graph::new());
    let (here, there) = (g.task((), |()| 1), other.task((), |()| 1));
    let proof = g.plan(&pool).map(|plan| plan.prove()).expect("no defect");
    let _ = proof.never_at_once(&here, &there);
}
