//! Threads that block, and the compensating threads that work in their places.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use proptest::prelude::*;

use crate::check::{Body, Order, drive, once, until, work};
use crate::pool::{Pool, PoolHandle};

/// Spawns a closure that takes a while, with a join in it, and blocks until it was called.
fn block_until_called(handle: &PoolHandle, rounds: u64) {
    let (calls, called) = (Arc::new(AtomicUsize::new(0)), handle.clone());
    let note = Arc::clone(&calls);
    let call = move || {
        called.join(|| work(rounds), || work(1)).expect("it is open");
        note.fetch_add(1, Ordering::Relaxed);
    };
    handle.spawn(call).expect("it is open");
    handle.block_in_place(|| until(&|| calls.load(Ordering::Relaxed) > 0)).expect("it is open");
}

/// As many closures block as there are workers, each for another one: there are compensating threads for those.
#[test]
fn who_blocks_for_another_closure_goes_on_in_the_end() {
    for seed in 0..400 {
        let workers = 1 + usize::try_from(seed % 4).expect("few");
        let compensators = once(workers, seed, |pool: &Pool| {
            let done = Arc::new(AtomicUsize::new(0));
            for one in 0..workers {
                let (handle, done) = (pool.handle(), Arc::clone(&done));
                pool.spawn(move || {
                    block_until_called(&handle, (seed + one as u64) % 7);
                    done.fetch_add(1, Ordering::Relaxed);
                });
            }
            until(&|| done.load(Ordering::Relaxed) == workers);
            pool.compensating_threads()
        });
        assert!(
            (usize::from(workers == 1)..=workers).contains(&compensators),
            "{compensators} compensators, {workers} workers"
        );
    }
}

/// One worker blocks in user code for a closure that comes later, and the others wait for that one: they make room.
#[test]
fn who_waits_for_one_that_blocks_makes_room() {
    for seed in 0..1000 {
        let workers = 2 + usize::try_from(seed % 3).expect("few");
        once(workers, seed, |pool: &Pool| {
            let [blocked, called, done] = [(); 3].map(|()| Arc::new(AtomicBool::new(false)));
            let is = |flag: &Arc<AtomicBool>| {
                let flag = Arc::clone(flag);
                move || flag.load(Ordering::Relaxed)
            };
            let set = |flag: &Arc<AtomicBool>| {
                let flag = Arc::clone(flag);
                move || flag.store(true, Ordering::Relaxed)
            };
            let (handle, is_called, is_blocked, is_done) = (pool.handle(), is(&called), set(&blocked), set(&done));
            pool.spawn(move || {
                let blocks = || {
                    is_blocked();
                    until(&is_called);
                };
                let waits = |pool: &Pool| pool.join(|| work(seed % 5), || pool.join(blocks, || work(1)));
                handle.with(|pool| pool.join(|| waits(pool), || work(seed % 3))).expect("it is open");
                is_done();
            });
            until(&is(&blocked));
            work(seed % 11);
            pool.spawn(set(&called));
            until(&is(&done));
        });
    }
}

/// How one of a chain of closures waits for the next one.
#[derive(Clone, Debug)]
struct Link {
    way: Way,
    rounds: u64,
    /// Closures that no thread waits for, spawned before the next one and behind it.
    beside: (u8, u8),
}

#[derive(Clone, Copy, Debug)]
enum Way {
    /// It blocks.
    Blocks,
    /// It blocks in the first or the second closure of a join.
    InFirst,
    InSecond,
    /// It waits for one of a scope that blocks.
    InScope,
}

fn links() -> impl Strategy<Value = Vec<Link>> {
    let way = prop_oneof![Just(Way::Blocks), Just(Way::InFirst), Just(Way::InSecond), Just(Way::InScope)];
    let link = (way, 0..9_u64, (0..3_u8, 0..3_u8)).prop_map(|(way, rounds, beside)| Link { way, rounds, beside });
    prop::collection::vec(link, 1..4)
}

/// Goes through a chain, and sets the flag.
fn go_through(handle: &PoolHandle, mut links: Vec<Link>, done: &AtomicBool) {
    if let Some(link) = links.pop() {
        let beside = |count: u8| (0..count).for_each(|rounds| _ = handle.spawn(move || work(rounds.into())));
        let next = Arc::new(AtomicBool::new(false));
        let (spawned, is_next) = (handle.clone(), Arc::clone(&next));
        beside(link.beside.0);
        handle.spawn(move || go_through(&spawned, links, &is_next)).expect("it is open");
        beside(link.beside.1);
        let blocks = || handle.block_in_place(|| until(&|| next.load(Ordering::Relaxed))).expect("it is open");
        let works = || work(link.rounds);
        match link.way {
            Way::Blocks => blocks(),
            Way::InFirst => _ = handle.join(blocks, works).expect("it is open"),
            Way::InSecond => _ = handle.join(works, blocks).expect("it is open"),
            Way::InScope => handle
                .scope(|s| {
                    s.spawn(|_| blocks());
                    s.spawn(|_| works());
                })
                .expect("it is open"),
        }
    }
    done.store(true, Ordering::Relaxed);
}

proptest! {
    /// At every link two threads block at most, one of them as it waits for the other.
    #[test]
    fn closures_that_wait_for_each_other_end(links in links(), seed in any::<u64>(), loops in 0..4_usize) {
        let workers = links.len() + 1;
        let chain = |pool: &Pool| {
            let done = Arc::new(AtomicBool::new(false));
            let (handle, is_done, links) = (pool.handle(), Arc::clone(&done), links.clone());
            pool.spawn(move || go_through(&handle, links, &is_done));
            until(&|| done.load(Ordering::Relaxed));
        };
        // Guests take places, now and then.
        let guest = |pool: &Pool| (0..loops).for_each(|_| pool.for_each(0..5, |i| work(i as u64)));
        drive(workers, Order::Random(seed), vec![Box::new(chain) as Body<'_, ()>, Box::new(guest)]);
    }
}
