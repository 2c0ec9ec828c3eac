//! Results of a batch that go on in parts. A binary of its own: it keeps more workers at it than there are cores.

mod give_way;

use give_way::give_way;
use millstream::{Graph, Pool};

/// The stage behind ends with the last part of the last batch: it must not overtake one that another worker still sends.
#[test]
fn the_parts_of_a_batch_are_sent_one_after_the_other() {
    let pool = Pool::builder().workers(3).oversubscribe(true).build().expect("threads");
    for _ in 0..60 {
        let g = Graph::new();
        let made = g.source(0..2000_u64).batch_size(2).map_async(4, |x| async move {
            if x % 2 == 0 {
                give_way().await;
            }
            x
        });
        let all = made.collect();
        assert!(pool.run(g).expect("no failure").take(all).into_iter().eq(0..2000));
    }
}
