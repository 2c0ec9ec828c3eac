//! Closures that are spawned, in scopes and without, and broadcasts.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};

use millstream::{PoolHandle, Scope};

use crate::account::{Account, Item};
use crate::dice::Dice;
use crate::world::{Trap, World, trap};

/// What spawned closures share.
struct Counts {
    spawned: AtomicUsize,
    called: AtomicUsize,
}

/// Spawns closures that spawn closures. Each has an item.
fn spawn<'scope>(
    scope: &Scope<'scope, '_>,
    counts: &'scope Counts,
    account: &'static Account,
    mut dice: Dice,
    traps: bool,
    depth: usize,
) {
    for _ in 0..dice.from(0, 4) {
        let (item, mut own) = (account.item(1), Dice::new(dice.next()));
        counts.spawned.fetch_add(1, Ordering::Relaxed);
        scope.spawn(move |scope| {
            counts.called.fetch_add(usize::try_from(item.value()).expect("1"), Ordering::Relaxed);
            if depth > 0 {
                spawn(scope, counts, account, Dice::new(own.next()), traps, depth - 1);
            }
            if traps && own.once_in(10) {
                trap();
            }
            drop(item);
        });
    }
}

pub(crate) fn scopes(world: &World, account: &'static Account, dice: &mut Dice) {
    let counts = Counts { spawned: AtomicUsize::new(0), called: AtomicUsize::new(0) };
    let (seed, traps, depth) = (dice.next(), dice.once_in(3), dice.from(0, 4));
    let body = || {
        world.handle.scope(|scope| {
            spawn(scope, &counts, account, Dice::new(seed), traps, depth);
            account.item(7)
        })
    };
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(item)) => assert_eq!(item.value(), 7),
        Ok(Err(_)) => assert!(world.is_closing(), "the pool is closed"),
        Err(panic) if panic.is::<Trap>() && traps => {}
        Err(panic) => resume_unwind(panic),
    }
    assert_eq!(counts.called.into_inner(), counts.spawned.into_inner(), "closures called, and spawned");
}

/// What a spawned closure has: the item is dropped before the sender tells that it was.
struct Load {
    item: Item,
    done: Sender<u64>,
}

/// Spawns closures that spawn closures, if the pool takes them. Each sends a number.
fn spawn_alone(handle: &PoolHandle, load: Load, mut dice: Dice, depth: usize) {
    let keeps = handle.clone();
    // If it is refused, it is dropped.
    let _ = handle.spawn(move || {
        let load = load;
        load.done.send(load.item.value()).expect("somebody counts");
        if depth > 0 {
            for _ in 0..dice.from(0, 3) {
                let next = Load { item: load.item.clone(), done: load.done.clone() };
                spawn_alone(&keeps, next, Dice::new(dice.next()), depth - 1);
            }
        }
        drop(keeps);
        if dice.once_in(10) {
            trap();
        }
    });
}

pub(crate) fn spawns(world: &World, account: &'static Account, dice: &mut Dice) {
    let (done, told) = mpsc::channel();
    let spawned = dice.from(1, 30);
    for _ in 0..spawned {
        let load = Load { item: account.item(3), done: done.clone() };
        spawn_alone(&world.handle, load, Dice::new(dice.next()), dice.from(0, 3));
    }
    drop(done);
    let called = told.iter().inspect(|value| assert_eq!(*value, 3)).count(); // until all senders are dropped
    assert!(called >= spawned || world.is_closing(), "{called} of {spawned} closures were called");
}

pub(crate) fn broadcasts(world: &World, account: &'static Account, dice: &mut Dice) {
    let trapped = dice.once_in(4).then(|| dice.from(0, world.workers - 1));
    let each = |worker: usize| {
        let item = account.item(worker as u64);
        if trapped == Some(worker) { trap() } else { item }
    };
    let from_inside = dice.once_in(2);
    let broadcast =
        || {
            world.handle.with(|pool| {
                if from_inside { pool.join(|| (), || pool.broadcast(each)).1 } else { pool.broadcast(each) }
            })
        };
    match catch_unwind(AssertUnwindSafe(broadcast)) {
        Ok(Ok(items)) => {
            assert!(items.iter().map(Item::value).eq(0..world.workers as u64), "{items:?}");
            assert_eq!(trapped, None);
        }
        Ok(Err(_)) => assert!(world.is_closing(), "the pool is closed"),
        Err(panic) if panic.is::<Trap>() && trapped.is_some() => {}
        Err(panic) => resume_unwind(panic),
    }
}
