//! Tables whose parts are put together on all workers at once.

use crate::{Graph, Pool};

/// So many keys that each partition is merged by a job of its own. Small random programs have none such.
#[test]
fn a_large_table_has_all_its_keys() {
    const KEYS: u64 = 20_000;
    let pool = Pool::builder().workers(4).oversubscribe(true).build().expect("threads");
    for _ in 0..3 {
        let g = Graph::new();
        let counts = g.range(0..2 * KEYS).key_by(|x| x % KEYS).count();
        let table = pool.run(g).expect("nothing fails").take(counts);
        assert_eq!(table.len() as u64, KEYS);
        assert!((0..KEYS).all(|key| table.get(&key) == Some(&2)));
    }
}
