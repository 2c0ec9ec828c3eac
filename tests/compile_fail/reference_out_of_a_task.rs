//~ none lifetime may not live long enough
//! What a task is shown is its own only while it fires: the reference does not leave it.
use millstream::Graph;

fn main() {
    let g = Graph::new();
    let number = g.data(1);
    g.task(number.read(), |number| number);
}
