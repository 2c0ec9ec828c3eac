//! Sources of the user's own that all workers read at once.

use std::ops::Range;
use std::sync::Mutex;

use millstream::{Graph, ParallelSource, Pool, RunErrorKind};

/// Gives each place `copies` times, and notes what it is asked for.
struct Places<'a> {
    len: &'a Mutex<u64>,
    copies: u64,
    asked: &'a Mutex<Vec<Range<u64>>>,
    trap: Option<u64>,
}

impl ParallelSource for Places<'_> {
    type Item = u64;
    const ONE_EACH: bool = false;
    fn len(&self) -> u64 {
        *self.len.lock().expect("nobody panics here")
    }
    fn each(&self, range: Range<u64>, out: &mut impl FnMut(u64)) {
        self.asked.lock().expect("nobody panics here").push(range.clone());
        for place in range {
            assert_ne!(Some(place), self.trap, "trap");
            (0..self.copies).for_each(|_| out(place));
        }
    }
}

fn pool(workers: usize) -> Pool {
    Pool::builder().workers(workers).build().expect("threads")
}

/// The ranges of a run are all places, once each, and the length is asked for anew in every run.
#[test]
fn each_place_is_asked_for_once_in_a_run() {
    for workers in [1, 2] {
        for copies in [0, 1, 3] {
            let (pool, len, asked) = (pool(workers), Mutex::new(0), Mutex::new(Vec::new()));
            let g = Graph::new();
            let source = Places { len: &len, copies, asked: &asked, trap: None };
            let all = g.parallel(source).batch_size(7).collect();
            let mut plan = g.plan(&pool).expect("no defect");
            for items in [0, 1, 7, 1000] {
                *len.lock().expect("no panic") = items;
                plan.run().expect("no failure");
                let expected = (0..items).flat_map(|place| (0..copies).map(move |_| place));
                assert!(plan.get(&all).iter().copied().eq(expected), "{items} places, {copies} items of each");
                let mut asked = std::mem::take(&mut *asked.lock().expect("no panic"));
                asked.sort_by_key(|range| range.start);
                assert!(asked.iter().all(|range| !range.is_empty() && range.end - range.start <= 7));
                assert!(asked.into_iter().flatten().eq(0..items));
            }
        }
    }
}

/// A panic of `each` is one of the item that it was to make next; one of `len` is one of the source.
#[test]
fn a_panic_of_the_source_has_its_item() {
    struct NoLength;
    impl ParallelSource for NoLength {
        type Item = u64;
        fn len(&self) -> u64 {
            panic!("no length")
        }
        fn each(&self, _: Range<u64>, _: &mut impl FnMut(u64)) {}
    }
    let (pool, len, asked) = (pool(2), Mutex::new(1000), Mutex::new(Vec::new()));
    for trap in [0, 499, 999] {
        let g = Graph::new();
        let source = Places { len: &len, copies: 2, asked: &asked, trap: Some(trap) };
        g.parallel(source).named("places").for_each(|_| ());
        let error = pool.run(g).expect_err("it panics");
        let run = error.as_run().expect("it ran");
        assert_eq!((run.operator(), run.item()), (Some("places"), Some(2 * trap)));
        assert!(matches!(run.kind(), RunErrorKind::Panicked));
    }
    let g = Graph::new();
    g.parallel(NoLength).named("none").for_each_ordered(|_| ());
    let error = pool.run(g).expect_err("it panics");
    assert_eq!(error.as_run().and_then(|run| run.operator()), Some("none"));
}
