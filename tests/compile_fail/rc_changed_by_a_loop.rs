//~ E0277 `Rc<i32>` cannot be sent between threads safely
//! Items that a loop changes are lent to other threads, which may move them out: they are `Send`.
use std::rc::Rc;

use millstream::Pool;

fn main() {
    let pool = Pool::new().expect("a pool");
    let mut all = vec![Rc::new(1_i32)];
    pool.for_each_mut(&mut all, |_, one| *one = Rc::new(2));
}
