//~ E0277 the trait `Sync` is not implemented for `Cell<u32>`
//! A closure runs on many workers at once: what it captures is `Sync`, also if only the closure has it.
use std::cell::Cell;

use millstream::Graph;

fn main() {
    let seen = Cell::new(0_u32);
    let g = Graph::new();
    g.source([1, 2]).map(move |x| seen.replace(x)).for_each(drop);
}
