//~ E0277 the trait `Sync` is not implemented for `Cell<u32>`
//! `map_with` shows its data to all workers at once: it is `Sync`.
use std::cell::Cell;

use millstream::Graph;

fn main() {
    let g = Graph::new();
    let cell = g.data(Cell::new(1_u32));
    g.range(0..10_u32).map_with(&cell, |cell, x| cell.replace(x)).count();
}
