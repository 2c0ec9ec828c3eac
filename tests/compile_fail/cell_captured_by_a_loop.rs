//~ E0277 `Cell<u32>` cannot be shared between threads safely
//! A loop's closure runs on many workers at once: what it captures is `Sync`.
use std::cell::Cell;

use millstream::Pool;

fn main() {
    let pool = Pool::new().expect("a pool");
    let seen = Cell::new(0_u32);
    pool.for_each(0..10_u32, |i| seen.set(i));
}
