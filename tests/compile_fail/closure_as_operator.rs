//~ E0277 closures go to `scan`
//! An operator of one's own is a type; the message says where closures go.
use millstream::Graph;

fn main() {
    let g = Graph::new();
    g.range(0..3_u32).apply(|x: u32| x + 1).for_each(drop);
}
