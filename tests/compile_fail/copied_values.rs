//~ E0599 `u32: millstream::Reference`
//! Only references are copied out of; the message says what the items are, and what they are not.
use millstream::Graph;

fn main() {
    let g = Graph::new();
    g.range(0..3_u32).copied().count();
}
