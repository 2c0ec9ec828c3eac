//~ E0521
//! A scope does not leave its body: nothing is spawned after it has ended.
use millstream::{Pool, Scope};

fn main() {
    let pool = Pool::new().expect("a pool");
    let mut kept: Option<&Scope<'_, '_>> = None;
    pool.scope(|s| kept = Some(s));
    if let Some(s) = kept {
        s.spawn(|_| ());
    }
}
