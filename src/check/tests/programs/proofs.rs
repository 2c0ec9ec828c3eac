//! What is proved of random programs holds in every run of them.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{TestCaseError, TestRunner};

use super::items::Env;
use super::parallel::{Answers, Parallel};
use super::program::{Program, Step, programs};
use super::property::expected;
use super::table::SINKS;
use crate::check::once;
use crate::{Pool, Proof};

/// So many credits has the first source, while nobody knows how many it needs; the next one has one more.
const MARK: u8 = 100;

/// A program whose sources have these credits.
fn with_credits(program: &Program, mut credits: impl FnMut(u8) -> Option<u8>) -> Program {
    let mut count = 0;
    let steps = program.iter().cloned().map(|step| match step {
        Step::Source { row, len, batch, place, .. } => {
            count += 1;
            Step::Source { row, len, batch, credits: credits(count - 1).map(|credits| credits - 1), place }
        }
        other => other,
    });
    Program(steps.collect())
}

/// The program with the credits that suffice for each of its sources, where they are known.
fn with_what_suffices(program: &Program, pool: &Pool) -> Result<(Program, bool), TestCaseError> {
    let env = Env::new(pool);
    let (graph, _) = Parallel::build(&with_credits(program, |source| Some(MARK + source)), &env, false);
    let proof = graph.plan(pool).map_err(|error| TestCaseError::fail(error.to_string()))?.prove();
    let of = |source: u8| proof.sources().iter().find(|one| one.credits() == u32::from(MARK + source));
    let known = proof.sources().iter().all(|source| source.credits_needed().is_some());
    let credits = |source: u8| match of(source).map(|source| source.credits_needed()) {
        Some(needed) => needed.and_then(|needed| u8::try_from(needed).ok()),
        None => Some(1), // it needs no credits, or its step did nothing
    };
    Ok((with_credits(program, credits), known))
}

/// Runs a program that is proved never to stall.
fn runs(program: &Program, pool: &Pool, expected: &Answers) -> Result<(), TestCaseError> {
    let env = Env::new(pool);
    let (graph, handles) = Parallel::build(program, &env, false);
    let mut plan = graph.plan(pool).map_err(|error| TestCaseError::fail(error.to_string()))?;
    let proof = plan.prove();
    prop_assert!(proof.never_stalls(), "with the credits that suffice: {proof}");
    handles.set_cells(&mut plan);
    plan.run().map_err(|error| TestCaseError::fail(format!("{error}: {proof}")))?;
    prop_assert_eq!(&handles.answers(&plan), expected);
    Ok(())
}

/// The most items that live at once in a run, and what is proved of them; if they are all in flight, and not kept.
fn in_flight(program: &Program, pool: &Pool) -> Result<Option<(u64, Proof)>, TestCaseError> {
    let last = SINKS.iter().find(|row| row.methods == ["Stream::for_each"]).expect("there is one");
    let env = Env::new(pool);
    let (graph, methods) = Parallel::build_to(program, &env, last);
    let mut plan = graph.plan(pool).map_err(|error| TestCaseError::fail(error.to_string()))?;
    let proof = plan.prove();
    let keeps = !plan.explain().to_string().contains("nothing is kept") || methods.contains(&"Graph::vec");
    let copies = methods.contains(&"Stream::try_map_async_with"); // each of its futures makes an item of its own
    if keeps || copies || proof.items_in_flight().is_none() || !proof.never_stalls() {
        return Ok(None);
    }
    plan.run().map_err(|error| TestCaseError::fail(format!("{error}: {proof}")))?;
    Ok(Some((u64::try_from(env.most()).expect("a count"), proof)))
}

proptest! {
    /// With exactly the credits that suffice, nothing stalls, in any schedule.
    #[test]
    fn what_is_proved_never_to_stall_does_not(program in programs(24, false), seeds in any::<[u64; 2]>()) {
        let (program, known) = once(1, 0, |pool| with_what_suffices(&program, pool))?;
        if !known {
            return Ok(()); // nothing is proved
        }
        let (expected, ..) = expected(&program);
        for workers in [1, 2, 3, 64] {
            for seed in seeds {
                once(workers, seed, |pool| runs(&program, pool, &expected))?;
            }
        }
    }

    /// A worker has an item or two in its hands, which are in no batch any more or not yet.
    #[test]
    fn no_more_items_live_than_may_be_in_flight(program in programs(10, false), seeds in any::<[u64; 2]>()) {
        let (program, _) = once(1, 0, |pool| with_what_suffices(&program, pool))?;
        for workers in [1, 2, 3] {
            for seed in seeds {
                if let Some((most, proof)) = once(workers, seed, |pool| in_flight(&program, pool))? {
                    let bound = proof.items_in_flight().expect("it was seen");
                    let hands = 2 * (workers as u64 + 1);
                    prop_assert!(most <= bound + hands, "{most} items: {proof}");
                }
            }
        }
    }
}

/// Of the programs that are drawn, many have proofs that say something.
#[test]
fn many_programs_have_proofs() {
    let mut runner = TestRunner::deterministic();
    let (mut known, mut dear, mut bounded) = (0, 0, 0);
    for _ in 0..500 {
        let program = programs(24, false).new_tree(&mut runner).expect("no filter").current();
        let (program, is_known) = once(1, 0, |pool| with_what_suffices(&program, pool)).expect("no defect");
        known += u32::from(is_known);
        let needs = |step: &Step| matches!(step, Step::Source { credits: Some(credits), .. } if *credits > 0);
        dear += u32::from(is_known && program.iter().any(needs));
        let small = programs(10, false).new_tree(&mut runner).expect("no filter").current();
        let (small, _) = once(1, 0, |pool| with_what_suffices(&small, pool)).expect("no defect");
        bounded += u32::from(once(1, 0, |pool| in_flight(&small, pool)).expect("it runs").is_some());
    }
    assert!(known > 250 && dear > 10 && bounded > 100, "{known} {dear} {bounded}");
}
