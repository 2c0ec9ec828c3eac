//~ none lifetime may not live long enough
//! A tile is a task's own only while it fires: it does not leave it.
use millstream::Graph;

fn main() {
    let g = Graph::new();
    let numbers = g.data(vec![1; 4]);
    g.task(g.tiles(&numbers, 2, (2, 1)).at(0, 0).read(), |tile| tile);
}
