//~ E0599 `Rc<{integer}>: Send`
//! Items that leave their stage move between threads: they are `Send`.
use std::rc::Rc;

use millstream::Graph;

fn main() {
    let g = Graph::new();
    g.source([1, 2]).map(Rc::new).collect();
}
