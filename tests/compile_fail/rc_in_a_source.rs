//~ E0277 the trait `Send` is not implemented for `Rc<
//! Items of a source move between threads: they are `Send`.
use std::rc::Rc;

use millstream::Graph;

fn main() {
    let g = Graph::new();
    g.source(vec![Rc::new(1)]).for_each(drop);
}
