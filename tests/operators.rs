//! Operators that end a stream early, and what they make at its end.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use millstream::{Graph, Operator, Pool};

/// Each of these has its answer early, and the source, which never ends, stops.
#[test]
fn an_answer_ends_a_stream_without_end() {
    let pool = Pool::builder().workers(2).build().expect("a pool");
    let g = Graph::new();
    let first = g.source(7_u64..).first();
    let found = g.source(0_u64..).map(|x| x * 3).find(|x| *x > 10_000);
    let any = g.range(0..u64::MAX).any(|x| x == 12_345);
    let all = g.range(0..u64::MAX).all(|x| x < 12_345);
    let some = g.source(0_u64..).take(3).chunks(2).collect();
    let none = g.source(0_u64..).take(0).count();
    let mut run = pool.run(g).expect("no failure");
    assert_eq!((run.take(first), run.take(found)), (Some(7), Some(10_002)));
    assert_eq!((run.take(any), run.take(all)), (true, false));
    assert_eq!((run.take(some), run.take(none)), (vec![vec![0, 1], vec![2]], 0));
}

/// What an operator makes at the end comes behind everything else, and fails under its own name.
#[test]
fn an_ending_may_fail() {
    struct Ends(bool);
    impl Operator for Ends {
        type In = u64;
        type Out = u64;
        fn on_item(&mut self, item: u64, out: &mut dyn FnMut(u64)) {
            out(item);
        }
        fn on_end(&mut self, out: &mut dyn FnMut(u64)) {
            out(99);
            assert!(!self.0, "at the end");
        }
    }
    let pool = Pool::builder().workers(2).build().expect("a pool");
    for fails in [false, true] {
        for items in [0, 1, 5000] {
            let g = Graph::new();
            let seen = AtomicU64::new(0);
            let ends = g.range(0..items).batch_size(16).apply(Ends(fails)).named("ends");
            let all = ends.inspect(|_| _ = seen.fetch_add(1, Relaxed)).collect();
            match pool.run(g) {
                Ok(mut run) => {
                    assert!(!fails);
                    let all = run.take(all);
                    assert!(all.iter().copied().eq((0..items).chain([99])), "{items} items, and the last one");
                }
                Err(error) => {
                    assert!(fails);
                    assert_eq!(error.as_run().and_then(|run| run.operator()), Some("ends"));
                    assert_eq!(seen.load(Relaxed), items + 1, "what came before the failure");
                }
            }
        }
    }
}
