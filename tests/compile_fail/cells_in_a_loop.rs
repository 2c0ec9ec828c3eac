//~ E0277 `Cell<u32>` cannot be shared between threads safely
//! References to the items of a slice go to all workers: they are `Sync`.
use std::cell::Cell;

use millstream::Pool;

fn main() {
    let pool = Pool::new().expect("a pool");
    let cells = vec![Cell::new(0_u32)];
    pool.for_each(&cells[..], |cell| cell.set(1));
}
