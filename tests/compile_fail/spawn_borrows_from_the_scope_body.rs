//~ E0597
//! What is spawned in a scope may run after the scope's body has ended: it borrows nothing of it.
use millstream::Pool;

fn main() {
    let pool = Pool::new().expect("a pool");
    pool.scope(|s| {
        let local = [1, 2, 3];
        let local = &local;
        s.spawn(move |_| drop(local.len()));
    });
}
