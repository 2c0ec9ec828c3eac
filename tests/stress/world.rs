//! A pool, and threads that use it at once, each round of each thread drawn from a seed.

use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use millstream::{Idle, Pinning, Pool, PoolHandle};

use crate::account::Account;
use crate::dice::Dice;
use crate::executor::Executor;
use crate::masks;
use crate::shapes::{SHAPES, Shape};
use crate::watch::{Board, say};

/// Rounds of a thread at most; a world is short, so that a seed that fails does so soon when it is tried again.
const ROUNDS: usize = 60;
/// An elastic pool looks once a second at what the process may use.
const LONG: Duration = Duration::from_millis(2500);
const SHORT: Duration = Duration::from_millis(700);

/// What panics on purpose throws.
pub(crate) struct Trap;

/// Panics on purpose.
pub(crate) fn trap() -> ! {
    panic_any(Trap)
}

/// What all threads of a world share.
pub(crate) struct World {
    pub(crate) handle: PoolHandle,
    pub(crate) workers: usize,
    pub(crate) executor: Executor,
    /// Whether the pool is being dropped, or may be from now on: then runs may be cancelled, and handles refused.
    closing: AtomicBool,
    /// How many more closures may block until another job of the pool has run. There are as many compensating threads as
    /// workers, so as many closures may block as there are workers, if nothing but a guest waits for them.
    may_block: AtomicUsize,
}

/// The right to wait for another job of the pool.
pub(crate) struct Permit<'w>(&'w World);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.may_block.fetch_add(1, Ordering::AcqRel);
    }
}

impl World {
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// None if as many block as may.
    pub(crate) fn may_block(&self) -> Option<Permit<'_>> {
        let taken = self.may_block.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1));
        taken.is_ok().then(|| Permit(self))
    }
}

/// What a world is made of.
#[derive(Debug)]
struct Options {
    workers: usize,
    /// Threads that use the pool; there are seats for eight at a time.
    threads: usize,
    oversubscribe: bool,
    elastic: bool,
    pinning: Pinning,
    idle: Idle,
    masks: bool,
    /// After how long the pool is dropped, whatever goes on.
    closes: Option<Duration>,
    /// The only shape, if there is one alone.
    alone: Option<&'static str>,
}

impl Options {
    fn draw(dice: &mut Dice) -> Self {
        let masks = dice.once_in(3);
        Self {
            workers: dice.from(1, 5),
            threads: dice.pick(&[1, 2, 3, 4, 6, 12]),
            oversubscribe: !dice.once_in(3),
            elastic: masks && dice.once_in(3),
            pinning: dice.pick(&[Pinning::Auto, Pinning::Off, Pinning::Cores, Pinning::Nodes]),
            idle: dice.pick(&[Idle::Balanced, Idle::Latency, Idle::Frugal]),
            masks,
            closes: dice.once_in(3).then(|| Duration::from_micros(dice.long(0, 200_000))),
            alone: dice.once_in(3).then(|| dice.pick(SHAPES).0),
        }
    }

    fn pool(&self) -> Pool {
        let builder = Pool::builder().workers(self.workers).oversubscribe(self.oversubscribe);
        let builder = builder.elastic(self.elastic).pinning(self.pinning).idle(self.idle).name("stress");
        builder
            .panic_handler(|panic| {
                if !panic.is::<Trap>() {
                    say("stress: a spawned closure panics");
                    std::process::abort();
                }
            })
            .build()
            .expect("threads")
    }
}

/// What the threads of a world do until it ends.
struct Life<'w> {
    world: &'w World,
    shapes: Vec<(&'static str, Shape)>,
    board: &'w Board,
    /// What to say of the world if something fails or hangs.
    said: String,
    end: Instant,
    is_long: bool,
    failed: AtomicBool,
}

impl Life<'_> {
    fn goes_on(&self, rounds: usize) -> bool {
        let is_full = if self.is_long { self.world.is_closing() } else { rounds >= ROUNDS };
        !is_full && Instant::now() < self.end && !self.failed.load(Ordering::Relaxed)
    }

    /// What one thread does. How many rounds there were.
    fn live(&self, seed: u64) -> usize {
        let (mut dice, account, mut rounds) = (Dice::new(seed), Account::new(), 0);
        while self.goes_on(rounds) {
            let (name, shape) = dice.pick(&self.shapes);
            let going = format!("{}: round {rounds}, {name}", self.said);
            let _going = self.board.begin(going.clone());
            let mut dice = Dice::new(dice.next());
            let done = catch_unwind(AssertUnwindSafe(|| {
                shape(self.world, account, &mut dice);
                account.assert_even();
            }));
            if done.is_err() {
                say(&format!("stress: failed with {going}"));
                self.failed.store(true, Ordering::Relaxed);
            }
            rounds += 1;
        }
        rounds
    }

    fn drop_pool(&self, pool: Option<Pool>) {
        let _closing = self.board.begin(format!("{}: the pool is dropped", self.said));
        self.world.closing.store(true, Ordering::Release);
        drop(pool);
    }
}

/// The shapes that threads draw from.
fn shapes(only: Option<&str>, options: &Options) -> Vec<(&'static str, Shape)> {
    let alone = only.or(options.alone);
    let shapes: Vec<_> = SHAPES.iter().copied().filter(|(name, _)| alone.is_none_or(|alone| *name == alone)).collect();
    assert!(!shapes.is_empty(), "there is no shape '{}'", alone.unwrap_or_default());
    shapes
}

/// Makes the world of this seed, and lets it go on until `end` at most. How many rounds there were.
///
/// # Errors
/// What has failed.
pub(crate) fn run(seed: u64, only: Option<&str>, board: &Board, end: Instant) -> Result<usize, String> {
    let mut dice = Dice::new(seed);
    let options = Options::draw(&mut dice);
    let said = format!("MILLSTREAM_STRESS_SEED={seed}, {options:?}");
    let pool = {
        let _making = board.begin(format!("{said}: the pool is made"));
        options.pool()
    };
    let world = World {
        handle: pool.handle(),
        workers: options.workers,
        executor: Executor::new(),
        closing: AtomicBool::new(false),
        may_block: AtomicUsize::new(options.workers),
    };
    let end = end.min(Instant::now() + if options.elastic { LONG } else { SHORT });
    let (shapes, failed) = (shapes(only, &options), AtomicBool::new(false));
    let life = Life { world: &world, shapes, board, said, end, is_long: options.elastic, failed };
    let over = AtomicBool::new(false);
    let rounds = thread::scope(|scope| {
        let (life, over) = (&life, &over);
        let seeds: Vec<u64> = (0..options.threads).map(|_| dice.next()).collect();
        let threads: Vec<_> = seeds.into_iter().map(|seed| scope.spawn(move || life.live(seed))).collect();
        let mut dice = Dice::new(dice.next());
        let masks = move || masks::change_until(&mut dice, || over.load(Ordering::Relaxed));
        let masks = options.masks.then(|| scope.spawn(masks));
        let mut pool = Some(pool);
        if let Some(after) = options.closes {
            thread::sleep(after.min(end.saturating_duration_since(Instant::now())));
            life.drop_pool(pool.take());
        }
        let rounds = threads.into_iter().map(|thread| thread.join().expect("it catches panics")).sum();
        life.drop_pool(pool);
        over.store(true, Ordering::Relaxed);
        masks.into_iter().for_each(|masks| masks.join().expect("no panic"));
        rounds
    });
    if life.failed.into_inner() { Err(life.said) } else { Ok(rounds) }
}
