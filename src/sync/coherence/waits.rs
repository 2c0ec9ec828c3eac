//! Locks, futexes, pauses and the interrupts of a heavy fence, in virtual time.

use std::time::Duration;

use super::books::Place;
use super::lines::{access, fence};
use super::{catch_up, pass, with};
use crate::sync::watched::Kind;

/// `parking_lot` looks again after growing pauses, then after it has offered the core, and then sleeps.
const PAUSES: u32 = 3;
const LOOKS: u32 = 10;
const BYTES: usize = 64;

/// A pause of an actor that has nothing to do.
pub(crate) fn pause() {
    idle(with(|model| model.costs.pause));
}

/// It offers its core, and there is no other thread for it.
pub(crate) fn yield_now() {
    idle(with(|model| model.costs.yield_now));
}

fn idle(nanos: u64) {
    with(|model| {
        model.books.idles(model.who);
        model.books.spent[model.who].spun += nanos;
        model.now += nanos;
    });
    catch_up();
}

/// Sleeps at a word, if `is_still` holds, until it is woken, or for `most`.
pub(crate) fn futex_wait(address: usize, most: Option<Duration>, is_still: impl Fn() -> bool) {
    with(|model| {
        model.books.idles(model.who);
        model.call(model.costs.fall_asleep);
    });
    catch_up();
    if !is_still() {
        return;
    }
    let since = with(|model| {
        model.asleep.insert(address, model.who);
        model.sleep(most.map(|most| model.now + u64::try_from(most.as_nanos()).expect("some centuries")));
        model.now
    });
    pass();
    with(|model| {
        let who = model.who;
        model.asleep.remove_entry(&address).filter(|(_, sleeper)| *sleeper != who).into_iter().for_each(
            |(at, other)| {
                model.asleep.insert(at, other);
            },
        );
        model.books.spent[who].asleep += model.now - since.max(model.opened);
    });
}

/// Wakes the actor that sleeps at a word.
pub(crate) fn futex_wake(address: usize) {
    with(|model| match model.asleep.remove(&address) {
        Some(sleeper) => {
            model.books.wakes += 1;
            model.wake(sleeper);
        }
        None => model.call(model.costs.fall_asleep),
    });
    catch_up();
}

/// Takes a lock as `parking_lot` does: one locked instruction if it is free. Whoever unlocks wakes one that sleeps, and
/// another may still be faster.
pub(crate) fn lock(address: usize, place: Place, mut try_lock: impl FnMut() -> bool, is_locked: impl Fn() -> bool) {
    let mut looks = 0;
    loop {
        access(address, Kind::Rmw, place);
        if try_lock() {
            return with(|model| model.books.takes_lock(place));
        }
        loop {
            if !has_sleepers(address) && looks < LOOKS {
                looks += 1;
                with(|model| {
                    let nanos = if looks <= PAUSES { model.costs.pause << looks } else { model.costs.yield_now };
                    model.books.lose(model.who, address / BYTES, place, nanos, nanos);
                    model.now += nanos;
                });
                catch_up();
                access(address, Kind::Load, place);
            } else {
                with(|model| model.call(model.costs.fall_asleep));
                catch_up();
                if is_locked() {
                    let since = with(|model| {
                        model.locked_out.entry(address).or_default().push_back(model.who);
                        model.sleep(None);
                        model.now
                    });
                    pass();
                    with(|model| {
                        let nanos = model.now - since;
                        model.books.lose(model.who, address / BYTES, place, nanos, nanos);
                    });
                    looks = 0;
                    break;
                }
            }
            if !is_locked() {
                break;
            }
        }
    }
}

fn has_sleepers(address: usize) -> bool {
    with(|model| model.locked_out.get(&address).is_some_and(|others| !others.is_empty()))
}

/// Gives a lock back. `unlock` does so for real.
pub(crate) fn unlock(address: usize, place: Place, unlock: impl FnOnce()) {
    access(address, Kind::Rmw, place);
    unlock();
    with(|model| {
        if let Some(next) = model.locked_out.get_mut(&address).and_then(std::collections::VecDeque::pop_front) {
            model.wake(next);
        }
    });
    catch_up();
}

/// The heavy side of an asymmetric fence: an interrupt to every core that runs a thread of the process.
pub(crate) fn heavy_fence() {
    fence();
    with(|model| {
        let running = model.interrupt_all();
        model.books.heavy_fences += 1;
        model.call(model.costs.heavy + running * model.costs.send_interrupt);
    });
    fence();
}
