//~ E0505
//! What a source of the graph borrows cannot be dropped before the run.
use millstream::{Graph, Pool};

fn main() {
    let pool = Pool::new().expect("a pool");
    let text = vec![b'a'; 10];
    let g = Graph::new();
    g.split(&text, b'\n').count();
    let mut plan = g.plan(&pool).expect("a plan");
    drop(text);
    plan.run().expect("a run");
}
