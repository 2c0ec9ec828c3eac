//! Random programs whose items panic where they are cloned, compared or dropped: nothing hangs, leaks or comes twice.

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::items::{Bomb, Env};
use super::parallel::{Answers, Parallel};
use super::program::{Step, programs};
use super::property::expected;
use crate::check::tests::silence_traps;
use crate::{Pool, RunErrorKind};

/// Runs a program whose items explode, twice, then again with those that do not.
fn explodes(program: &[Step], pool: &Pool, expected: &Answers, bomb: Bomb, value: i64) -> Result<(), TestCaseError> {
    let env = Env::new(pool);
    {
        let (graph, handles) = Parallel::build(program, &env, false);
        let mut plan = graph.plan(pool).map_err(|error| TestCaseError::fail(error.to_string()))?;
        for _ in 0..2 {
            handles.set_cells(&mut plan);
            env.place(bomb, value);
            let outcome = plan.run();
            env.place(Bomb::Nothing, 0);
            match outcome {
                Ok(()) => {
                    prop_assert_eq!(&handles.answers(&plan), expected, "a panic went no further, or there was none");
                }
                Err(error) => prop_assert_eq!(error.kind(), &RunErrorKind::Panicked, "{}", error),
            }
        }
        handles.set_cells(&mut plan);
        plan.run().map_err(|error| TestCaseError::fail(format!("after the failure: {error}")))?;
        prop_assert_eq!(&handles.answers(&plan), expected);
    }
    if bomb == Bomb::Drop {
        // A closure that drops an item at its end leaks what it returns, if that drop panics (rust#47949).
        prop_assert!(env.live() >= 0, "no item was dropped twice");
    } else {
        prop_assert_eq!(env.live(), 0, "every item was dropped once");
    }
    Ok(())
}

thread_local! {
    static POOLS: Vec<Pool> =
        (1..=3).map(|workers| Pool::builder().workers(workers).build().expect("threads")).collect();
}

proptest! {
    #[test]
    fn items_may_explode_anywhere(
        program in programs(24, false),
        bomb in prop_oneof![Just(Bomb::Clone), Just(Bomb::Compare), Just(Bomb::Drop)],
        index in 0..23_u64,
    ) {
        silence_traps();
        let (expected, ..) = expected(&program);
        let value = super::items::source_item(index);
        POOLS.with(|pools| pools.iter().try_for_each(|pool| explodes(&program, pool, &expected, bomb, value)))?;
    }
}
