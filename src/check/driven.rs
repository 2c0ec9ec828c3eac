//! Virtual workers: the real engine on coroutines of one thread, in an order that a seed decides.
//!
//! Only tests use this. Every worker, and every thread from outside, is an *actor*: a coroutine that runs the same code
//! as a thread would. An actor yields at the choice points of [`crate::sync::seam`], and where a thread would block.
//! The loop here decides which actor goes on.
//!
//! Compensators are actors too; one comes when an actor lends its slot. There are none on the virtual clock, where a
//! nap would have to take time.
//!
//! # Orders
//! * [`Order::Random`]: one actor at a time, picked at random, some of them rarely. Any interleaving of steps may come.
//! * [`Order::Clock`]: in rounds. All actors that are not busy go on in every round. A find, a steal and a publication
//!   take one round each, and [`work`] takes the rounds that it is given. The result is the makespan on as many cores
//!   as there are workers, whatever the machine.
//!
//! If no actor can go on and some actor is not done, that is a deadlock, and the driver panics.

use std::cell::Cell;
use std::slice::SliceIndex;
use std::sync::Arc;

use super::actors::{self, Actor, Pause, pause};
use crate::pool::work::worker::Worker;
use crate::pool::{Pool, Shared, without_threads};
use crate::sync::Mutex;
use crate::sync::seam::{self, Driver, Point};

/// The order in which virtual workers go on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    /// One at a time, at random from this seed.
    Random(u64),
    /// In rounds of the virtual clock. The actor that comes first in a round is random from this seed.
    Clock(u64),
}

/// The result of driving virtual workers.
#[derive(Debug)]
pub(crate) struct Driven<R> {
    /// What each thread from outside returned.
    pub(crate) values: Vec<R>,
    /// When each of them was done, in rounds of the virtual clock.
    pub(crate) rounds: Vec<u64>,
}

/// What a thread from outside does with the pool.
pub(crate) type Body<'a, R> = Box<dyn FnOnce(&Pool) -> R + 'a>;

/// More steps than any test takes. If a run needs more, some actor turns in circles.
const ENDLESS: u64 = 100_000_000;

/// Takes `rounds` of the virtual clock. On a real thread it does nothing.
pub(crate) fn work(rounds: u64) {
    pause(Pause::Busy(rounds));
}

/// Whether this is a virtual worker, for which no other thread can do anything.
pub(crate) fn is_virtual() -> bool {
    actors::is_here()
}

/// Blocks until `ready` returns `true`, as user code may.
pub(crate) fn until(ready: &dyn Fn() -> bool) {
    assert!(seam::block(ready), "a virtual worker blocks");
}

/// The driver that the seam knows: it only hands control to the loop.
#[derive(Debug)]
struct ToLoop {
    clock: bool,
}

impl Driver for ToLoop {
    fn has_clock(&self) -> bool {
        false
    }

    fn block(&self, ready: &dyn Fn() -> bool) {
        actors::block(ready);
    }

    fn point(&self, point: Point) {
        if point != Point::Race || !self.clock {
            pause(Pause::Busy(1));
        }
    }
}

/// A worker or a thread from outside.
struct Player {
    actor: Actor,
    /// The round in which it can go on.
    free_at: u64,
    /// How often it is picked, in proportion to others.
    weight: u64,
}

impl Player {
    fn new(body: impl FnOnce()) -> Self {
        Self { actor: Actor::new(body), free_at: 0, weight: 1 }
    }

    fn is_done(&self) -> bool {
        self.actor.is_done()
    }

    fn is_ready(&self, now: u64) -> bool {
        self.free_at <= now && self.actor.is_ready()
    }

    /// Goes on until the next pause.
    fn resume(&mut self, now: u64) {
        self.actor.resume();
        match self.actor.pause() {
            _ if self.is_done() => self.free_at = now,
            Pause::Busy(rounds) => self.free_at = now + rounds,
            Pause::Until(_) => {}
        }
    }
}

/// A xorshift generator (Marsaglia, "Xorshift RNGs", 2003).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `sides`.
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }
}

/// Lets `bodies` use a pool of virtual workers, each as a thread from outside, until all are done and the pool is
/// closed.
///
/// # Panics
/// If no actor can go on, if there is no end after [`ENDLESS`] steps, or if a body panics.
pub(crate) fn drive<R>(workers: usize, order: Order, bodies: Vec<Body<'_, R>>) -> Driven<R> {
    let pool = without_threads(workers);
    let shared = Arc::clone(&pool.shared);
    let values: Vec<Cell<Option<R>>> = bodies.iter().map(|_| Cell::new(None)).collect();
    let mut actors: Vec<Player> = Vec::new();
    for (body, value) in bodies.into_iter().zip(&values) {
        let pool = &pool;
        actors.push(Player::new(move || value.set(Some(body(pool)))));
    }
    for worker in 0..workers {
        let shared: &Shared = &shared;
        actors.push(Player::new(move || Worker::at(shared, &shared.seats[worker], Worker::live)));
    }
    let outside = values.len();
    let driver = ToLoop { clock: matches!(order, Order::Clock(_)) };
    let mut stage = Stage::new(order, actors);
    if !driver.clock {
        let compensators = Arc::clone(&stage.compensators);
        shared.open_compensation(move |_, live| {
            compensators.lock().push(live);
            Ok(None)
        });
    }
    let mut rounds = Vec::new();
    seam::drive(&driver, || {
        stage.run(..outside);
        rounds.extend(stage.actors[..outside].iter().map(|actor| actor.free_at));
    });
    let values = values.iter().map(|value| value.take().expect("its actor is done")).collect();
    stage.actors.push(Player::new(move || drop(pool))); // it may have to wait for a lock that another one holds
    seam::drive(&driver, || stage.run(..));
    stage.give_stacks_back();
    Driven { values, rounds }
}

/// Drives one thread from outside in a random order, and returns what it returned.
pub(crate) fn once<R>(workers: usize, seed: u64, body: impl FnOnce(&Pool) -> R) -> R {
    drive(workers, Order::Random(seed), vec![Box::new(body)]).values.pop().expect("one body")
}

/// Drives one thread from outside on the virtual clock, and returns the round in which it is done.
pub(crate) fn makespan(workers: usize, seed: u64, body: impl FnOnce(&Pool)) -> u64 {
    drive(workers, Order::Clock(seed), vec![Box::new(body)]).rounds.pop().expect("one body")
}

/// What an actor does.
type Life = Box<dyn FnOnce() + Send>;

/// All actors, and the clock.
struct Stage {
    actors: Vec<Player>,
    /// Compensators that were made, and are not actors yet.
    compensators: Arc<Mutex<Vec<Life>>>,
    dice: Dice,
    clock: bool,
    now: u64,
    steps: u64,
}

impl Stage {
    fn new(order: Order, mut actors: Vec<Player>) -> Self {
        let (clock, seed) = match order {
            Order::Random(seed) => (false, seed),
            Order::Clock(seed) => (true, seed),
        };
        let mut dice = Dice::new(seed);
        actors.iter_mut().for_each(|actor| actor.weight = 1 << dice.roll(7));
        Self { actors, compensators: Arc::default(), dice, clock, now: 0, steps: 0 }
    }

    /// Lets all actors go on until those of `range` are done.
    fn run(&mut self, range: impl SliceIndex<[Player], Output = [Player]> + Clone) {
        while !self.actors[range.clone()].iter().all(Player::is_done) {
            let moved = if self.clock { self.round() } else { self.one() };
            if !moved {
                self.give_up("deadlock: nobody can go on");
            }
            if self.steps > ENDLESS {
                self.give_up("endless: no end after so many steps");
            }
        }
    }

    /// Runs one round of the clock. Returns `false` if no actor can go on, now or later.
    fn round(&mut self) -> bool {
        let count = self.actors.len();
        let first = usize::try_from(self.dice.roll(count as u64)).expect("an index");
        let mut moved = false;
        for place in (first..count).chain(0..first) {
            if self.actors[place].is_ready(self.now) {
                self.actors[place].resume(self.now);
                self.steps += 1;
                moved = true;
            }
        }
        // An actor that was set free in this round goes on in the next one. A busy actor goes on when its time has
        // come.
        let busy = self.actors.iter().filter(|actor| !actor.is_done() && matches!(actor.actor.pause(), Pause::Busy(_)));
        let next = busy.map(|actor| actor.free_at).min();
        let woken = self
            .actors
            .iter()
            .any(|actor| matches!(actor.actor.pause(), Pause::Until(_)) && actor.is_ready(self.now + 1));
        self.now = if woken { self.now + 1 } else { next.unwrap_or(self.now + 1).max(self.now + 1) };
        moved || woken || next.is_some()
    }

    /// Runs one actor at random. Returns `false` if no actor can go on.
    fn one(&mut self) -> bool {
        let ready = |actor: &Player| if actor.is_ready(u64::MAX) { actor.weight } else { 0 };
        let weights: Vec<u64> = self.actors.iter().map(ready).collect();
        let all: u64 = weights.iter().sum();
        if all == 0 {
            return false;
        }
        let mut left = self.dice.roll(all);
        let place = weights.iter().position(|weight| match left.checked_sub(*weight) {
            Some(less) => {
                left = less;
                false
            }
            None => true,
        });
        self.actors[place.expect("below the sum")].resume(0);
        self.steps += 1;
        self.let_compensators_in();
        if self.dice.roll(256) == 0 {
            let place = usize::try_from(self.dice.roll(self.actors.len() as u64)).expect("an index");
            self.actors[place].weight = 1 << self.dice.roll(7);
        }
        true
    }

    /// Makes actors of the compensating threads that this step has made.
    fn let_compensators_in(&mut self) {
        let compensators = std::mem::take(&mut *self.compensators.lock());
        for compensator in compensators {
            let weight = 1 << self.dice.roll(7);
            self.actors.push(Player { weight, ..Player::new(compensator) });
        }
    }

    /// Panics. The actors cannot be unwound, so they are leaked.
    fn give_up(&mut self, why: &str) -> ! {
        let done = self.actors.iter().filter(|actor| actor.is_done()).count();
        let count = self.actors.len();
        std::mem::forget(std::mem::take(&mut self.actors));
        panic!("{why} ({done} of {count} actors are done after {} steps)", self.steps);
    }

    fn give_stacks_back(self) {
        self.actors.into_iter().for_each(|player| player.actor.give_stack_back());
    }
}
