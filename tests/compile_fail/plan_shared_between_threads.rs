//~ E0277 within `Plan<'_>`, the trait `Sync` is not implemented
//! A plan is `Send`, not `Sync`.
use std::thread;

use millstream::{Graph, Pool};

fn main() {
    let pool = Pool::new().expect("a pool");
    let plan = Graph::new().plan(&pool).expect("a plan");
    let plan = &plan;
    thread::scope(|s| {
        s.spawn(|| plan.explain());
    });
}
