//~ E0594
//! `map` runs on many workers at once: its closure has no state to change (`scan` has).
use millstream::Graph;

fn main() {
    let mut seen = 0;
    let g = Graph::new();
    g.source([1, 2])
        .map(|x| {
            seen += 1;
            x + seen
        })
        .for_each(drop);
}
