//~ E0382
//! A planned graph is frozen: nothing is added to it.
use millstream::{Graph, Pool};

fn main() {
    let pool = Pool::new().expect("a pool");
    let g = Graph::new();
    let mut plan = g.plan(&pool).expect("a plan");
    g.source([1]).for_each(drop);
    plan.run().expect("a run");
}
