//~ E0382
//! A stream is moved into what takes its items (`tee` makes two of it).
use millstream::Graph;

fn main() {
    let g = Graph::new();
    let numbers = g.source([1, 2]);
    numbers.map(|x| x + 1).for_each(drop);
    numbers.for_each(drop);
}
