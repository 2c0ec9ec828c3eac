//~ E0599 `Rc<{integer}>: Send`
//! Items that pass a stage boundary move between threads: they are `Send`.
use std::rc::Rc;

use millstream::Graph;

fn main() {
    let g = Graph::new();
    let (left, right) = g.source([1, 2]).map(Rc::new).tee();
    left.for_each(drop);
    right.for_each(drop);
}
