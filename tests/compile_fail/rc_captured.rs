//~ E0277 the trait `Send` is not implemented for `Rc<
//! A closure runs on many workers at once: what it captures is `Send` and `Sync`.
use std::rc::Rc;

use millstream::Graph;

fn main() {
    let factor = Rc::new(2);
    let g = Graph::new();
    g.source([1, 2]).map(move |x| x * *factor).for_each(drop);
}
