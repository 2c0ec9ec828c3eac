//! Models of the ring: its owner beside raiders.

use std::sync::Arc;

use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;

use super::super::ring::{FarEnd, Owner, Ring, raid_fence};
use super::{Plain, check};

/// Two places, of which one is kept free.
type Small = Ring<u32, (), 2>;
/// Room for a few, raided one at a time.
type Few = Ring<u32, (), 8>;

#[expect(unsafe_code, reason = "models have one owner, too")]
fn owner<const SIZE: usize>(ring: &Ring<u32, (), SIZE>) -> Owner<'_, u32, (), SIZE> {
    // SAFETY: (1) the thread that the model begins on is the only owner; (2) nobody was before.
    unsafe { ring.owner() }
}

/// One raid: what it takes.
fn raid<const SIZE: usize>(ring: &Ring<u32, (), SIZE>, most: usize) -> Vec<u32> {
    let Some(raid) = ring.raid(most) else { return Vec::new() };
    assert!(raid_fence());
    all_of(&mut raid.settle())
}

fn all_of<const SIZE: usize>(far: &mut FarEnd<'_, u32, (), SIZE>) -> Vec<u32> {
    std::iter::from_fn(|| far.oldest().inspect(|_| far.advance())).collect()
}

/// A raider that takes an item sees all that the owner did before it pushed it.
#[test]
fn loom_ring_hands_over() {
    check(&["ring.push"], || {
        let shared = Arc::new((Few::new(()), Plain::new()));
        let raider = {
            let shared = shared.clone();
            thread::spawn(move || {
                let taken = raid(&shared.0, 1);
                if taken == [7] {
                    assert_eq!(shared.1.get(), 1);
                }
                taken.len()
            })
        };
        shared.1.add();
        owner(&shared.0).push(7);
        let left = 1 - raider.join().expect("no panic");
        assert_eq!(owner(&shared.0).pop().into_iter().count(), left);
    });
}

/// The owner pops its two items while they are raided. Each comes once.
#[test]
fn loom_ring_gives_each_item_once() {
    check(&["ring.pop", "ring.claim"], || {
        let ring = Arc::new(Few::new(()));
        let own = owner(&ring);
        own.push(1);
        own.push(2);
        let raider = {
            let ring = ring.clone();
            thread::spawn(move || raid(&ring, 1))
        };
        let mut all: Vec<u32> = own.pop().into_iter().chain(own.pop()).collect();
        all.extend(raider.join().expect("no panic"));
        assert_eq!(own.pop(), None, "all were popped or taken");
        all.sort_unstable();
        assert_eq!(all, [1, 2]);
    });
}

/// A join ends, takes its pending entry back and makes another one, while the ring is raided.
#[test]
fn loom_ring_raid_against_a_join_that_ends() {
    check(&["ring.pop", "ring.claim", "ring.seen"], || {
        let ring = Arc::new(Few::new(()));
        let own = owner(&ring);
        let place = own.push(1);
        let raider = {
            let ring = ring.clone();
            thread::spawn(move || raid(&ring, 1))
        };
        let is_back = own.take_back(place);
        let next = own.push(2);
        let next_is_back = own.take_back(next);
        let taken = raider.join().expect("no panic");
        let expected: &[u32] = match (is_back, next_is_back) {
            (true, true) => &[],
            (false, true) => &[1],
            (true, false) => &[2],
            (false, false) => panic!("one raid takes one of them"),
        };
        assert_eq!(taken, expected);
    });
}

/// The owner fills a place again after a raider has read it.
#[test]
fn loom_ring_place_is_used_again() {
    check(&["ring.taken", "ring.room"], || {
        let ring = Arc::new(Small::new(()));
        let own = owner(&ring);
        own.push(0);
        let raider = {
            let ring = ring.clone();
            thread::spawn(move || raid(&ring, 1).len() + raid(&ring, 1).len())
        };
        let mut pushed = 1;
        for item in 1..3 {
            if !own.is_full() {
                own.push(item);
                pushed += 1;
            }
        }
        let taken = raider.join().expect("no panic");
        assert_eq!(std::iter::from_fn(|| own.pop()).count() + taken, pushed, "nothing is lost");
    });
}

/// The owner gives all items away itself, from the far end and from below, while it is raided.
#[test]
fn loom_ring_raid_against_the_owner_at_the_far_end() {
    check(&[], || {
        let ring = Arc::new(Few::new(()));
        let own = owner(&ring);
        (1..4).for_each(|item| _ = own.push(item));
        let raider = {
            let ring = ring.clone();
            thread::spawn(move || raid(&ring, 1))
        };
        let below = own.take_back(1);
        let mut all: Vec<u32> = below.then_some(2).into_iter().collect();
        {
            let mut far = own.far_end();
            all.extend(all_of(&mut far));
        }
        assert_eq!(own.pop(), None, "all were given away");
        all.extend(raider.join().expect("no panic"));
        all.sort_unstable();
        assert_eq!(all, [1, 2, 3]);
    });
}

/// Two threads raid at the same time. One of them finds the other there, or takes what it has left.
#[test]
fn loom_ring_two_raiders() {
    check(&["ring.pop", "ring.claim"], || {
        let shared = Arc::new((Few::new(()), AtomicU32::new(0)));
        let own = owner(&shared.0);
        own.push(1);
        own.push(2);
        let raiders = [(); 2].map(|()| {
            let shared = shared.clone();
            thread::spawn(move || {
                for item in raid(&shared.0, 1) {
                    // Relaxed: the join orders it.
                    assert_eq!(shared.1.fetch_or(item, Ordering::Relaxed) & item, 0, "nobody else has it");
                }
            })
        });
        let popped = own.pop();
        for raider in raiders {
            raider.join().expect("no panic");
        }
        let mut all = shared.1.load(Ordering::Relaxed);
        for item in popped.into_iter().chain(own.pop()) {
            assert_eq!(all & item, 0, "nobody else has it");
            all |= item;
        }
        assert_eq!(all, 3, "nothing is lost");
    });
}

/// A raider that finds the fence refused takes nothing.
#[test]
fn loom_ring_refused_raid_takes_nothing() {
    check(&[], || {
        let ring = Arc::new(Few::new(()));
        let own = owner(&ring);
        own.push(1);
        let raider = {
            let ring = ring.clone();
            thread::spawn(move || drop(ring.raid(1)))
        };
        let popped = own.pop();
        raider.join().expect("no panic");
        assert_eq!(popped.or_else(|| own.pop()), Some(1));
    });
}

/// The owner looks at an item, and does not want it. A raider takes it, and what the item stands for is gone then.
#[test]
fn loom_ring_is_looked_at_by_who_has_it() {
    check(&["ring.stays", "ring.pop"], || {
        let (ring, thing) = (Arc::new(Few::new(())), Arc::new(Plain::new()));
        let own = owner(&ring);
        own.push(7);
        let raider = {
            let (ring, thing) = (ring.clone(), thing.clone());
            thread::spawn(move || {
                let Some(raid) = ring.raid(1) else { return };
                assert!(raid_fence());
                let mut far = raid.settle();
                if far.oldest().is_some() {
                    far.advance();
                    drop(far);
                    thing.add();
                }
            })
        };
        let popped = own.pop_if(|_| {
            thing.get();
            false
        });
        assert_eq!(popped, None);
        raider.join().expect("no panic");
        assert_eq!(own.pop().is_some(), thing.get() == 0, "it is there, or taken");
    });
}

/// The owner works through the parts of an item that lies in the ring. Meanwhile a raider takes some of them.
#[test]
fn loom_ring_gives_each_part_once() {
    each_part_is_given_once::<{ u32::MAX }>(&["ring.pass", "ring.claim", "ring.passed"]);
}

/// The owner stops before the first part, and keeps those that are left.
#[test]
fn loom_ring_leaves_each_part_once() {
    each_part_is_given_once::<0>(&[]);
}

/// The owner begins `ONE_BY_ONE` parts, if they are there, and then takes the item back with the others.
fn each_part_is_given_once<const ONE_BY_ONE: u32>(edges: &[&'static str]) {
    struct Parts {
        ring: Few,
        next: AtomicU32,
        end: AtomicU32,
        done: [Plain; 3],
    }
    check(edges, || {
        let done = [(); 3].map(|()| Plain::new());
        let parts = Arc::new(Parts { ring: Few::new(()), next: AtomicU32::new(0), end: AtomicU32::new(3), done });
        let own = owner(&parts.ring);
        let place = own.push(7);
        let raider = {
            let parts = parts.clone();
            thread::spawn(move || {
                let Some(raid) = parts.ring.raid(1) else { return };
                assert!(raid_fence());
                let far = raid.settle();
                if far.oldest().is_none() {
                    return;
                }
                let (next, end) = (parts.next.load(Ordering::Relaxed), parts.end.load(Ordering::Relaxed));
                if next < end {
                    parts.end.store(end - 1, Ordering::Relaxed);
                    drop(far);
                    parts.done[end as usize - 1].add();
                }
            })
        };
        while parts.next.load(Ordering::Relaxed) < ONE_BY_ONE {
            let part = parts.next.load(Ordering::Relaxed);
            parts.next.store(part + 1, Ordering::Relaxed); // (L1)
            own.pass(place);
            if part >= parts.end.load(Ordering::Relaxed) {
                break;
            }
            parts.done[part as usize].add();
        }
        own.take_back(place);
        own.pass(place); // without this the owner does what the raider has taken
        let left = parts.next.load(Ordering::Relaxed)..parts.end.load(Ordering::Relaxed);
        left.for_each(|part| parts.done[part as usize].add());
        raider.join().expect("no panic");
        assert!(parts.done.iter().all(|part| part.get() == 1), "each was done once");
    });
}

/// An owner that is about to be gone for long leaves nothing behind, even if a raid gives back what it has claimed.
#[test]
fn loom_ring_is_emptied() {
    check(&[], || {
        let ring = Arc::new(Few::new(()));
        let own = owner(&ring);
        own.push(1);
        let raider = {
            let ring = ring.clone();
            thread::spawn(move || drop(ring.raid(1)))
        };
        let mut popped = 0;
        while {
            popped += std::iter::from_fn(|| own.pop()).count();
            own.wait_for_raid();
            !own.is_empty()
        } {}
        raider.join().expect("no panic");
        assert_eq!(popped, 1);
    });
}
