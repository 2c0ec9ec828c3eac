//~ E0277 the trait `Send` is not implemented for `Rc<
//! A graph is described by one thread; a plan can be sent.
use std::thread;

use millstream::{Graph, Pool};

fn main() {
    let pool = Pool::new().expect("a pool");
    let g = Graph::new();
    let pool = &pool;
    thread::scope(|s| {
        s.spawn(move || g.plan(pool).is_ok());
    });
}
