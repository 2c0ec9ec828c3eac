//~ E0277 the trait `Send` is not implemented for `Rc<
//! Data moves between threads: it is `Send`.
use std::rc::Rc;

use millstream::Graph;

fn main() {
    let g = Graph::new();
    let _count = g.data(Rc::new(1));
}
