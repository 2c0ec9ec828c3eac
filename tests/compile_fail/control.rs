//~ ok
//! What the other programs of this folder may not do, done as it may be.
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use millstream::{Data, Error, Graph, Plan, Pool};

fn main() -> Result<(), Error> {
    let pool = Pool::builder().workers(2).build()?;
    let (long, longer) = (String::from("long"), String::from("longer"));

    let g = Graph::new();
    let word: Data<&str> = g.data(long.as_str());
    let number = g.data(AtomicU32::new(1));
    let one = g.task(number.read(), |number| number.load(Ordering::Relaxed));
    let two = g.task(number.read(), |number| number.load(Ordering::Relaxed));
    let owned = g.data(vec![1]);
    let cloned = g.task(owned.read(), |owned| owned.clone());
    let shared = g.source([1, 2]).map(Arc::new).collect();
    let next = g.range(0..3_u32).map(|x| x + 1);
    let sum = next.fold(0, |sum, x| sum + x);
    let mut plan = g.plan(&pool)?;
    *plan.get_mut(&word) = longer.as_str();
    plan.set(&word, long.as_str());
    plan.run()?;
    let plan: Plan<'_> = thread::scope(|s| s.spawn(move || plan).join().expect("no panic"));
    assert_eq!((*plan.get(&word), *plan.get(&one), *plan.get(&two), *plan.get(&sum)), ("long", 1, 1, 6));
    assert_eq!((plan.get(&cloned).len(), plan.get(&shared).len()), (1, 2));

    let mut outside = 0;
    pool.scope(|s| s.spawn(|_| outside = 1));
    assert_eq!(outside, 1);

    let seen = AtomicU32::new(0);
    pool.for_each(0..10_u32, |i| _ = seen.fetch_max(i, Ordering::Relaxed));
    pool.for_each(std::slice::from_ref(&seen), |seen| _ = seen.fetch_add(1, Ordering::Relaxed));
    let mut all = pool.map_collect(0..10, Arc::new);
    pool.for_each_mut(&mut all, |_, one| *one = Arc::new(2));
    assert_eq!((seen.into_inner(), *all[9]), (10, 2));
    Ok(())
}
