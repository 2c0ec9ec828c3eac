//! A plan does what the loop does, in any order, whatever groups its tasks are in, wherever they are at home; and it is
//! as good as new after a step has failed or the run was cancelled, once the data that is gone was set again.

use proptest::prelude::*;

use super::parallel::{Env, Parallel};
use super::program::{Program, Step, Thing, programs};
use super::sequential::{Left, Sequential, Trap};
use crate::check::tests::{OTHER_PANICS, silence_traps};
use crate::check::{Dice, once, work};
use crate::{Grouping, Pool, RunErrorKind};

/// A plan that is run several times, each time with what the time before has left.
struct Runs<'env> {
    parallel: Parallel<'env>,
    program: &'env Program,
    steps: Vec<&'env Step>,
    env: &'env Env,
    dice: Dice,
    /// How many things the plan has that are no values: closures.
    fixed: usize,
}

/// How a run is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    None,
    Traps,
    /// It is cancelled after so many steps of another thread.
    Cancel(u64),
}

/// Runs a program several times. Each run is as that of the loop.
fn runs_like_the_loop(pool: &Pool, program: &Program, times: u32, seed: u64) {
    silence_traps();
    let steps = program.steps();
    let env = Env::new(steps.len());
    let grouping = if seed.is_multiple_of(5) { Grouping::Off } else { Grouping::Auto };
    let parallel = Parallel::new(pool, program, &env, grouping);
    let fixed = env.account.alive() - parallel.values();
    let mut runs = Runs { parallel, program, steps, env: &env, dice: Dice::new(seed), fixed };
    (0..times).for_each(|time| runs.once(time));
    drop(runs);
    assert_eq!(env.account.alive(), 0, "everything was dropped");
    assert_eq!(env.account.faults(), [""; 0]);
}

impl Runs<'_> {
    fn roll(&mut self, sides: usize) -> usize {
        usize::try_from(self.dice.roll(sides as u64)).expect("small")
    }

    fn once(&mut self, time: u32) {
        self.regroup(time);
        let trouble = match self.roll(8) {
            0..=3 if self.program.may_fail => Trouble::Traps,
            4 => Trouble::Cancel(self.dice.roll(300)),
            _ => Trouble::None,
        };
        let mut traps = vec![None; self.steps.len()];
        if trouble == Trouble::Traps && !traps.is_empty() {
            let some = [1, 2, 3, traps.len().div_ceil(4)][self.roll(4)];
            for _ in 0..some {
                let trap = Trap { time: if self.roll(4) == 0 { 2 } else { 1 }, is_late: self.roll(2) == 0 };
                let step = self.roll(traps.len());
                traps[step] = Some(trap);
            }
        }
        self.env.lay(&traps);
        let (data, whole) = self.parallel.data();
        let data: Vec<u64> = data.into_iter().map(|value| value.expect("it was set")).collect();
        let whole = whole.expect("it was set");
        let expected = Sequential::of(self.program, &data, &whole, &traps);
        let (plan, panics) = (&mut self.parallel.plan, OTHER_PANICS.get());
        let ended = match trouble {
            Trouble::Cancel(after) => plan.run_while(|run| {
                (0..after).for_each(|_| work(1));
                run.cancel();
            }),
            _ => plan.run(),
        };
        let laid: Vec<(usize, Trap)> = (0..).zip(&traps).filter_map(|(step, trap)| Some((step, (*trap)?))).collect();
        let context = format!("run {time}, {trouble:?}, {laid:?}");
        assert_eq!(self.env.account.faults(), [""; 0], "{context}");
        assert_eq!(OTHER_PANICS.get(), panics, "{context}: nothing else panics, as far as virtual workers show");
        let none = vec![None; traps.len()];
        let without = || Sequential::of(self.program, &data, &whole, &none);
        match ended {
            Ok(()) => {
                assert_eq!(expected.failed, None, "{context}: it goes unnoticed");
                assert_eq!(self.left(), expected.left, "{context}");
            }
            Err(error) if matches!(trouble, Trouble::Cancel(_)) => {
                assert_eq!(error.kind(), &RunErrorKind::Cancelled, "{context}: {error}");
                self.check_broken_off(None, &expected, &expected, &context);
            }
            Err(error) => {
                assert_eq!(error.kind(), &RunErrorKind::Panicked, "{context}: {error}");
                let name = expected.failed.map(|failed| format!("step {failed}"));
                assert_eq!(error.operator(), name.as_deref(), "{context}: the earliest counts: {error}");
                self.check_broken_off(expected.failed, &expected, &without(), &context);
            }
        }
        assert_eq!(self.env.account.alive(), self.fixed + self.parallel.values(), "{context}: nothing is left over");
        self.set_again(&context);
    }

    /// Groups the tasks as if they took some time, or leaves them as they are.
    fn regroup(&mut self, time: u32) {
        let (least, most) = match self.roll(4) {
            _ if time == 0 => return,
            0 => return,
            1 => (0, 20),
            2 => (0, 5), // all short
            _ => (15, 17),
        };
        let Self { parallel, dice, .. } = self;
        parallel.plan.pretend(|| 1 << (least + dice.roll(most - least)));
    }

    fn left(&self) -> Left {
        let (data, whole) = self.parallel.data();
        Left { data, whole, made: self.parallel.made(), ran: self.env.ran() }
    }

    /// Whether a step has taken something, or was stopped while it wrote it.
    fn is_gone(&self, thing: Thing, ran: &[u32]) -> bool {
        self.steps.iter().any(|Step { number, does, .. }| {
            does.takes() == Some(thing) && ran[*number] > 0
                || does.writes().contains(&thing) && self.env.has_failed(*number)
        })
    }

    /// A run has failed at a step, or was cancelled. All that comes before that step ran. No step ran that would not
    /// run `without` a failure, and what it made then is what it makes now.
    fn check_broken_off(
        &self,
        failed: Option<usize>,
        expected: &Sequential<'_>,
        without: &Sequential<'_>,
        context: &str,
    ) {
        let Left { data, whole, made, ran } = self.left();
        let before = failed.map_or(0, |failed| failed + 1);
        assert_eq!(ran[..before], expected.left.ran[..before], "{context}: what comes before it ran");
        for (number, ran) in ran.iter().enumerate() {
            let least = if failed.is_some() { expected.left.ran[number] } else { 0 };
            let most = without.left.ran[number];
            assert!((least..=most).contains(ran), "{context}: step {number} ran {ran} times, not {least} to {most}");
        }
        for (number, is_there) in data.iter().map(Option::is_some).enumerate() {
            let is_gone = self.is_gone(Thing::Data(number), &ran);
            assert_eq!(is_there, !is_gone, "{context}: data {number} is gone if a step took it, or stopped in it");
        }
        assert_eq!(whole.is_some(), !self.is_gone(Thing::Whole, &ran), "{context}: as data");
        for (number, made) in made.into_iter().enumerate() {
            let is_changed = |Step { number: by, does, .. }: &&Step| {
                ran[*by] > 0
                    && (does.takes() == Some(Thing::Made(number)) || does.writes().contains(&Thing::Made(number)))
            };
            let is_as_made = !self.steps.iter().any(is_changed);
            assert!(made.is_none() || ran[number] > 0, "{context}: what step {number} made");
            if is_as_made && number < before {
                let expected = expected.fresh[number].filter(|_| !self.env.has_failed(number));
                assert_eq!(made, expected, "{context}: what step {number} made before it");
            } else if is_as_made && made.is_some() && ran[number] == without.left.ran[number] {
                assert_eq!(made, without.fresh[number], "{context}: what step {number} made");
            }
        }
    }

    /// Sets what the plan asks for: all that is gone, and nothing else. Until then nothing runs.
    fn set_again(&mut self, context: &str) {
        self.env.lay(&vec![None; self.steps.len()]);
        let (data, whole) = self.parallel.data();
        let gone = data.iter().filter(|value| value.is_none()).count() + usize::from(whole.is_none());
        for _ in 0..gone {
            let alive = self.env.account.alive();
            let error = self.parallel.plan.run().expect_err("data is absent");
            let RunErrorKind::NotReady { name } = error.kind() else { panic!("{context}: {error}") };
            assert_eq!(self.env.account.alive(), alive, "{context}: results stay");
            let seed = self.dice.roll(1000);
            self.parallel.set(name, seed);
        }
        assert!(self.env.ran().iter().all(|ran| *ran == 0), "{context}: nothing runs while data is absent");
        let (data, whole) = self.parallel.data();
        assert!(data.iter().all(Option::is_some) && whole.is_some(), "{context}: all that is gone was named");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 400, ..ProptestConfig::default() })]

    #[test]
    fn programs_on_virtual_workers(program in programs(150), workers in 1..9_usize, seed: u64) {
        once(workers, seed, |pool| runs_like_the_loop(pool, &program, 6, seed));
    }

    #[test]
    fn programs_on_threads(program in programs(200), seed: u64) {
        let pool = Pool::builder().workers(2).build().expect("threads");
        runs_like_the_loop(&pool, &program, 8, seed);
    }
}
