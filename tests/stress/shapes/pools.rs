//! Pools that are made, used from several threads, and dropped while that goes on.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use millstream::{Closed, Graph, Pool, RunErrorKind, SendError};

use crate::account::Account;
use crate::dice::Dice;
use crate::shapes::forks;
use crate::world::World;

fn pool(dice: &mut Dice) -> Pool {
    let builder = Pool::builder().workers(dice.from(1, 4)).oversubscribe(!dice.once_in(3)).elastic(dice.once_in(8));
    builder.build().expect("threads")
}

pub(crate) fn pools(_: &World, account: &'static Account, dice: &mut Dice) {
    let pool = pool(dice);
    let (done, told) = mpsc::channel();
    let handle = pool.handle();
    let seeds: Vec<u64> = (0..dice.from(0, 3)).map(|_| dice.next()).collect();
    let spawned = dice.from(0, 5);
    for number in 0..spawned {
        let (item, done) = (account.item(number as u64), done.clone());
        pool.spawn(move || {
            let value = item.value();
            drop(item);
            done.send(value).expect("somebody counts");
        });
    }
    let running: Vec<_> = (0..dice.from(0, 3))
        .map(|_| {
            let (g, handle, seed) = (Graph::new(), handle.clone(), dice.next());
            let items = g.range(0..dice.long(1, 300)).map(move |x| account.item(forks::nested(&handle, seed ^ x)));
            let count = items.batch_size(dice.from(1, 9)).collect();
            (g.plan(&pool).expect("no defect").start(), count, seed)
        })
        .collect();
    // One that nothing ends but the drop of the pool.
    let endless = dice.once_in(2).then(|| {
        let g = Graph::new();
        let (sender, items) = g.input();
        drop(items.map(move |x| account.item(x)).collect());
        let running = g.plan(&pool).expect("no defect").start();
        sender.send(1).expect("it runs");
        (running, sender)
    });
    thread::scope(|scope| {
        let handle = &handle;
        let users: Vec<_> = seeds.into_iter().map(|seed| scope.spawn(move || use_until_closed(handle, seed))).collect();
        thread::sleep(Duration::from_micros(dice.long(0, 2000)));
        if dice.once_in(2) {
            drop(pool);
        } else {
            // By another thread.
            scope.spawn(move || drop(pool)).join().expect("no panic");
        }
        assert_eq!(handle.with(|_| ()), Err(Closed));
        users.into_iter().for_each(|user| user.join().expect("no panic"));
    });
    drop(done);
    assert_eq!(told.iter().count(), spawned, "closures that were spawned are called before the pool is gone");
    if let Some((running, sender)) = endless {
        assert!(matches!(sender.send(2), Err(SendError::Ended(2))), "its pool is gone");
        let error = running.join().map(drop).expect_err("its sender is still there");
        assert_eq!(*error.kind(), RunErrorKind::Cancelled, "{error}");
    }
    for (running, items, seed) in running {
        assert!(running.is_over(), "its pool is gone");
        match running.join() {
            Ok(plan) => {
                let found = plan.get(&items);
                assert!((0..).zip(found).all(|(x, item)| item.value() == forks::means(seed ^ x)), "{found:?}");
            }
            Err(error) => assert_eq!(*error.kind(), RunErrorKind::Cancelled, "{error}"),
        }
    }
}

/// Uses a pool until it is dropped.
fn use_until_closed(handle: &millstream::PoolHandle, seed: u64) {
    for round in 0.. {
        let seed = seed ^ round;
        match handle.join(|| forks::nested(handle, seed), || forks::nested(handle, !seed)) {
            Ok(both) => assert_eq!(both, (forks::means(seed), forks::means(!seed))),
            Err(Closed) => return,
        }
    }
}

/// A pool that one of its own jobs drops.
pub(crate) fn drops_itself(_: &World, account: &'static Account, dice: &mut Dice) {
    let pool = pool(dice);
    let handle = pool.handle();
    let place = Arc::new(Mutex::new(None));
    let (own, seed, items) = (Arc::clone(&place), dice.next(), dice.long(1, 100));
    let take = move || drop(own.lock().expect("no panic").take());
    match dice.from(0, 2) {
        0 => {
            *place.lock().expect("no panic") = Some(pool);
            let item = account.item(1);
            let (done, told) = mpsc::channel::<()>();
            let spawned = handle.spawn(move || {
                let both = (item, done);
                take();
                drop(both.0);
            });
            assert_eq!(spawned, Ok(()));
            assert!(told.recv().is_err(), "it was called, and dropped");
        }
        1 => {
            let g = Graph::new();
            let at = dice.long(0, items - 1);
            let all = g.range(0..items).batch_size(1).map(move |x| account.item(x));
            let all = all
                .inspect(move |item| {
                    if item.value() == at {
                        take();
                    }
                })
                .collect();
            let mut plan = g.plan(&pool).expect("no defect");
            *place.lock().expect("no panic") = Some(pool);
            match plan.run() {
                Ok(()) => assert_eq!(plan.get(&all).len() as u64, items),
                Err(error) => assert_eq!(*error.kind(), RunErrorKind::Cancelled, "{error}"),
            }
        }
        _ => {
            *place.lock().expect("no panic") = Some(pool);
            let both = handle.join(take, || forks::nested(&handle, seed));
            assert_eq!(both.map(|(_, value)| value), Ok(forks::means(seed)));
        }
    }
    assert_eq!(handle.with(|_| ()), Err(Closed));
}
