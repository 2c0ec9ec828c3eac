//~ E0277 is no live source
//! An iterator says nothing of when it blocks; the message says what a live source is.
use millstream::Graph;

fn main() {
    let g = Graph::new();
    g.live([1, 2].into_iter()).for_each(drop);
}
