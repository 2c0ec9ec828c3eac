//~ E0277 `Cell<u32>` cannot be shared between threads safely
//! A tile that a task writes is its own: threads share it only if they may share its items.
use std::cell::Cell;

use millstream::{Graph, Pool, TileMut};

fn main() {
    let pool = Pool::new().expect("a pool");
    let g = Graph::new();
    let cells = g.data(vec![Cell::new(0_u32); 4]);
    let pool = &pool;
    g.task(g.tiles(&cells, 2, (2, 1)).at(0, 0).write(), move |tile: TileMut<'_, Cell<u32>>| {
        pool.for_each(0..2, |row| tile.row(row)[0].set(1));
    });
}
