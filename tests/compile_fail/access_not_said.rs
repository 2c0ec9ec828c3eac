//~ E0277 an access is `data.read()`, `data.write()`, `data.consume()` or `reads(&many)`
//! A task says how it accesses its data; the message says how that is written.
use millstream::Graph;

fn main() {
    let g = Graph::new();
    let number = g.data(1);
    g.task(&number, |number| *number + 1);
}
