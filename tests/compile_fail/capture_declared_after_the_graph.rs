//~ E0597 dropped in the opposite order they are defined
//! What a closure borrows is declared before the graph: the graph goes first then.
use millstream::{Graph, Pool};

fn main() {
    let pool = Pool::new().expect("a pool");
    let g = Graph::new();
    let factors = vec![1, 2, 3];
    g.range(0..3_usize).map(|at| factors[at]).for_each(drop);
    pool.run(g).expect("a run");
}
