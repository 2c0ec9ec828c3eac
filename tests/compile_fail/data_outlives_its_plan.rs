//~ E0505
//! A reference to data borrows the plan: the plan cannot go while it lives.
use millstream::{Graph, Pool};

fn main() {
    let pool = Pool::new().expect("a pool");
    let g = Graph::new();
    let number = g.data(1);
    let plan = g.plan(&pool).expect("a plan");
    let inside = plan.get(&number);
    drop(plan);
    assert_eq!(*inside, 1);
}
