//~ E0277 `Rc<{integer}>` cannot be sent between threads safely
//! What a loop makes moves to the thread that waits for it: it is `Send`.
use std::rc::Rc;

use millstream::Pool;

fn main() {
    let pool = Pool::new().expect("a pool");
    drop(pool.map_collect(0..10, Rc::new));
}
