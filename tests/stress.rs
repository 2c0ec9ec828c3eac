//! Random graphs, joins, scopes and pools on threads, with panics, errors, cancels and pools that are dropped meanwhile:
//! nothing hangs, every answer is the sequential one or the error that must come, every item is dropped once.
//!
//! * `MILLSTREAM_STRESS_SECONDS`: for how long.
//! * `MILLSTREAM_STRESS_SEED`: the world of this seed alone, again and again. What fails names its seed. Threads go as they
//!   please, so one time of several may fail.
//! * `MILLSTREAM_STRESS_SHAPE`: one shape alone, by its name in `tests/stress/shapes/mod.rs`.
//! * `MILLSTREAM_PATIENCE`: after how many seconds something counts as hanging.

#[path = "stress/account.rs"]
mod account;
#[path = "stress/dice.rs"]
mod dice;
#[path = "stress/drive.rs"]
mod drive;
#[path = "stress/executor.rs"]
mod executor;
#[path = "stress/masks.rs"]
mod masks;
#[path = "stress/shapes/mod.rs"]
mod shapes;
#[path = "stress/watch.rs"]
mod watch;
#[path = "stress/world.rs"]
mod world;

use std::panic;
use std::time::{Duration, Instant, SystemTime};

use watch::Board;
use world::Trap;

/// For how long, if nothing else is said.
const SECONDS: u64 = 4;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

#[test]
fn nothing_hangs_and_every_answer_is_the_sequential_one() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !info.payload().is::<Trap>() {
            usual(info);
        }
    }));
    let seconds = number("MILLSTREAM_STRESS_SECONDS").unwrap_or(SECONDS);
    let again = number("MILLSTREAM_STRESS_SEED");
    let only = std::env::var("MILLSTREAM_STRESS_SHAPE").ok();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock");
    let first = again.unwrap_or(dice::mix(now.as_secs()) >> 16);
    let end = Instant::now() + Duration::from_secs(seconds);
    let board = Board::default();
    board.watch(number("MILLSTREAM_PATIENCE").map(Duration::from_secs));
    let (mut worlds, mut rounds) = (0, 0);
    while worlds == 0 || Instant::now() < end {
        let seed = again.unwrap_or_else(|| first.wrapping_add(worlds));
        match world::run(seed, only.as_deref(), &board, end) {
            Ok(more) => rounds += more,
            Err(what) => panic!("failed after {worlds} worlds; to try it again: {what}"),
        }
        worlds += 1;
    }
    watch::say(&format!("stress: {worlds} worlds from seed {first} on, {rounds} rounds"));
}
