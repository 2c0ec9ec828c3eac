//~ E0521
//! Nor does it stay in what the closure captures.
use millstream::Graph;

fn main() {
    let mut kept = Vec::new();
    let g = Graph::new();
    let number = g.data(1);
    g.task(number.write(), |number| kept.push(number));
}
