//~ E0597
//! What a closure of the graph borrows lives until the plan is gone.
use millstream::{Graph, Pool};

fn main() {
    let pool = Pool::new().expect("a pool");
    let mut plan = {
        let factors = vec![1, 2, 3];
        let g = Graph::new();
        g.source([0, 1, 2]).map(|at: usize| factors[at]).for_each(drop);
        g.plan(&pool).expect("a plan")
    };
    plan.run().expect("a run");
}
