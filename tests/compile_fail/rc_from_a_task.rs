//~ E0277 the trait `Send` is not implemented for `Rc<
//! The result of a task is taken by another thread: it is `Send`.
use std::rc::Rc;

use millstream::Graph;

fn main() {
    let g = Graph::new();
    let number = g.data(1);
    g.task(number.read(), |number| Rc::new(*number));
}
