//! Tasks that read all of a vector whose parts others write.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::{Graph, Pool};

/// The random programs seldom have more than one reader between two writers of a part.
#[test]
fn each_reader_of_a_whole_waits_for_all_its_parts() {
    const PARTS: u32 = 8;
    let pool = Pool::builder().workers(4).oversubscribe(true).build().expect("threads");
    let written = AtomicU32::new(0);
    let g = Graph::new();
    let field = g.data(vec![0_u32; PARTS as usize]);
    for part in g.chunks(&field, 1) {
        g.task(part.write(), |part| {
            std::thread::sleep(Duration::from_micros(300));
            part[0] += 1;
            written.fetch_add(1, Ordering::SeqCst);
        });
    }
    let seen = [0; 3].map(|_| g.task(field.read(), |_| written.load(Ordering::SeqCst)));
    let mut plan = g.plan(&pool).expect("a sound graph");
    for run in 1..=5 {
        plan.run().expect("no task panics");
        assert_eq!([0, 1, 2].map(|at| *plan.get(&seen[at])), [run * PARTS; 3], "run {run}");
    }
}
