//~ E0382
//! `take` takes the handle as well.
use millstream::{Graph, Pool};

fn main() {
    let pool = Pool::new().expect("a pool");
    let g = Graph::new();
    let number = g.data(1);
    let mut plan = g.plan(&pool).expect("a plan");
    plan.take(number);
    plan.take(number);
}
