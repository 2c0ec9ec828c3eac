//~ E0277 the trait `Sync` is not implemented for `Cell<u32>`
//! Tasks that read run at the same time: what they read is `Sync`.
use std::cell::Cell;

use millstream::Graph;

fn main() {
    let g = Graph::new();
    let cell = g.data(Cell::new(1_u32));
    g.task(cell.read(), |cell| cell.set(2));
    g.task(cell.read(), |cell| cell.get());
}
