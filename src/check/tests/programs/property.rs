//! Random programs: a graph gives the same answers and failures as the sequential program, in any order and on any
//! number of workers.

use std::cell::OnceCell;
use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{TestCaseError, TestRunner};

use super::accounts::balance;
use super::items::{Env, name};
use super::parallel::{Answers, Parallel};
use super::program::{Step, Walked, programs, walk};
use super::sequential::Sequential;
use super::table::methods;
use crate::check::once;
use crate::check::tests::silence_traps;
use crate::{Pool, RunError, RunErrorKind};

/// Real pools with 1 to 4 workers.
struct Pools(OnceCell<Vec<Pool>>);

impl Pools {
    fn each(&self, mut work: impl FnMut(&Pool) -> Result<(), TestCaseError>) -> Result<(), TestCaseError> {
        let pool = |workers| Pool::builder().workers(workers).build().expect("threads");
        self.0.get_or_init(|| (1..=4).map(pool).collect()).iter().try_for_each(&mut work)
    }
}

thread_local! {
    static POOLS: Pools = const { Pools(OnceCell::new()) };
}

pub(super) fn expected(program: &[Step]) -> (Answers, Sequential, Walked) {
    let mut sequential = Sequential::default();
    let walked = walk(program, &mut sequential);
    let list = |(items, ordered): &(Vec<i64>, bool)| {
        let mut items = items.clone();
        if !ordered {
            items.sort_unstable();
        }
        items
    };
    let answers = Answers { ints: sequential.ints.clone(), lists: sequential.lists.iter().map(list).collect() };
    (answers, sequential, walked)
}

/// Runs a program `runs` times on a pool, and compares.
pub(super) fn same(program: &[Step], pool: &Pool, expected: &Answers, runs: usize) -> Result<(), TestCaseError> {
    let env = Env::new(pool);
    {
        let (graph, handles) = Parallel::build(program, &env, runs == 1);
        let mut plan = graph.plan(pool).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let explain = plan.explain();
        prop_assert!(!explain.operators().is_empty(), "a source at least: {}", explain.to_dot());
        for _ in 0..runs {
            handles.set_cells(&mut plan);
            plan.run().map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(&handles.answers(&plan), expected);
            balance(&plan, &plan.report(), false)?;
        }
    }
    prop_assert_eq!(env.live(), 0, "every item was dropped once");
    Ok(())
}

/// Where a program is made to fail.
pub(super) struct Trap {
    operator: usize,
    named: bool,
    value: i64,
    error: bool,
    /// The first item with that value, where there is an order.
    item: Option<u64>,
    /// Whether a stream may end early: what lies behind its end is no failure.
    early: bool,
}

impl Trap {
    /// Some firing of some operator.
    pub(super) fn choose(
        sequential: &Sequential,
        walked: &Walked,
        operator: usize,
        firing: usize,
        error: bool,
    ) -> Option<Self> {
        let all: Vec<_> = sequential.given.iter().filter(|(_, given)| !given.is_empty()).collect();
        let (operator, given) = all.get(operator.checked_rem(all.len())?)?;
        let value = given[firing % given.len()];
        let first = given.iter().position(|given| *given == value)?;
        let item = walked.ordered[**operator].then_some(first as u64);
        let named = !walked.unnamed.contains(operator);
        Some(Self { operator: **operator, named, value, error, item, early: walked.early_ends })
    }

    fn check(&self, error: &RunError) -> Result<(), TestCaseError> {
        prop_assert!(matches!(error.kind(), RunErrorKind::Panicked | RunErrorKind::Failed), "{}", error);
        let own = if self.named {
            error.operator() == Some(&*name(self.operator))
        } else {
            let forks = ["partition at", "route at", "try_partition at"];
            error.operator().is_some_and(|operator| forks.iter().any(|fork| operator.starts_with(fork)))
        };
        prop_assert!(own, "operator {}: {}", self.operator, error);
        prop_assert_eq!(error.item(), self.item, "{}", error);
        Ok(())
    }
}

/// Runs a program that fails, then again without the trap, and that so often. Returns whether it has failed: behind the end of a
/// stream there is no failure.
pub(super) fn fails(
    program: &[Step],
    pool: &Pool,
    expected: &Answers,
    trap: &Trap,
    times: usize,
) -> Result<bool, TestCaseError> {
    let env = Env::new(pool);
    let mut failed = Vec::new();
    {
        let (graph, handles) = Parallel::build(program, &env, false);
        let mut plan = graph.plan(pool).map_err(|error| TestCaseError::fail(error.to_string()))?;
        for _ in 0..times {
            env.arm(trap.operator, trap.value, trap.error);
            handles.set_cells(&mut plan);
            let outcome = plan.run();
            failed.push(outcome.is_err());
            match outcome {
                Err(error) => {
                    trap.check(&error)?;
                    balance(&plan, error.report(), true)?;
                }
                Ok(()) => {
                    prop_assert!(trap.early, "it goes unnoticed");
                    prop_assert_eq!(&handles.answers(&plan), expected);
                }
            }
            env.disarm();
            handles.set_cells(&mut plan);
            plan.run().map_err(|error| TestCaseError::fail(format!("after the failure: {error}")))?;
            prop_assert_eq!(&handles.answers(&plan), expected);
        }
    }
    prop_assert_eq!(env.live(), 0, "every item was dropped once");
    prop_assert_eq!(failed[0], failed[times - 1], "a failure depends on the graph alone");
    Ok(failed[0])
}

/// Whether a program with few credits stalls. If not, its answers are the expected ones. If so, the error names what
/// waits.
pub(super) fn stalls(program: &[Step], pool: &Pool, expected: &Answers) -> Result<bool, TestCaseError> {
    let env = Env::new(pool);
    let mut stalled = Vec::new();
    {
        let (graph, handles) = Parallel::build(program, &env, false);
        let mut plan = graph.plan(pool).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let proof = plan.prove();
        for _ in 0..2 {
            handles.set_cells(&mut plan);
            match plan.run() {
                Ok(()) => prop_assert_eq!(&handles.answers(&plan), expected),
                Err(error) => {
                    prop_assert!(!proof.never_stalls(), "{error}: {proof}");
                    prop_assert!(matches!(error.kind(), RunErrorKind::Stalled), "{}", error);
                    balance(&plan, error.report(), false)?;
                    let text = error.to_string();
                    prop_assert!(text.contains("has used up its") && text.contains("wait"), "{}", text);
                }
            }
            stalled.push(handles.try_answers(&plan).is_none());
        }
    }
    prop_assert_eq!(env.live(), 0, "every item was dropped once");
    prop_assert_eq!(stalled[0], stalled[1], "a stall depends on the graph alone");
    Ok(stalled[0])
}

#[test]
fn every_row_is_drawn() {
    let mut drawn = BTreeSet::new();
    let mut runner = TestRunner::deterministic();
    for _ in 0..1000 {
        let program = programs(24, false).new_tree(&mut runner).expect("no filter").current();
        let methods = walk(&program, &mut Sequential::default()).methods;
        drawn.extend(methods.into_iter().flat_map(|(_, methods)| methods));
    }
    assert_eq!(drawn, methods());
}

/// The failure ends in sinks of two orders, one of them behind a chain, and its piece comes there in more parts. The sinks of
/// the other order make a cut that the later parts lie behind, and once those were gone, the failure at item 27 stayed.
#[test]
fn the_earlier_item_of_one_operator_wins_in_whatever_sinks_it_ends() {
    silence_traps();
    let program = [
        Step::Source { row: 3, len: 28, batch: Some(6), credits: None, place: 0 }, // range
        Step::Fork { stream: 0, row: 1, k: 7 },                                    // partition, which fails
        Step::Source { row: 235, len: 32, batch: Some(3), credits: None, place: 6 },
        Step::Gather { left: 1, right: 1, row: 221 }, // chain
        Step::Fork { stream: 1, row: 3, k: 8 },       // try_partition
        Step::Sink { stream: 1, row: 0 },
        Step::Fork { stream: 1, row: 1, k: 4 }, // partition
        Step::Sink { stream: 1, row: 142 },
        Step::Fork { stream: 0, row: 2, k: 3 }, // route
        Step::Fork { stream: 1, row: 2, k: 8 }, // route
    ];
    let (expected, sequential, walked) = expected(&program);
    let trap = Trap::choose(&sequential, &walked, 0, 4, false).expect("the first operator with user code");
    assert_eq!((trap.operator, trap.item), (1, Some(4)));
    for seed in 0..100 {
        once(3, seed, |pool| fails(&program, pool, &expected, &trap, 2)).expect("the item is the first one");
    }
}

proptest! {
    #[test]
    fn few_credits_give_the_answer_or_a_stall(program in programs(24, true), seeds in any::<[u64; 2]>()) {
        let (expected, ..) = expected(&program);
        let mut stalled = Vec::new();
        for workers in [1, 2, 3, 64] {
            for seed in seeds {
                stalled.push(once(workers, seed, |pool| stalls(&program, pool, &expected))?);
            }
        }
        POOLS.with(|pools| pools.each(|pool| {
            stalled.push(stalls(&program, pool, &expected)?);
            Ok(())
        }))?;
        prop_assert!(stalled.iter().all(|one| *one == stalled[0]), "a stall depends on the graph alone: {stalled:?}");
    }

    #[test]
    fn any_order_gives_the_sequential_answer(program in programs(24, false), seed in any::<u64>(), runs in 1..4_usize) {
        let (expected, ..) = expected(&program);
        for workers in [1, 2, 3, 64] {
            once(workers, seed, |pool| same(&program, pool, &expected, runs))?;
        }
    }

    #[test]
    fn any_threads_give_the_sequential_answer(program in programs(24, false), runs in 1..4_usize) {
        let (expected, ..) = expected(&program);
        POOLS.with(|pools| pools.each(|pool| same(&program, pool, &expected, runs)))?;
    }

    #[test]
    fn any_failure_is_the_earliest_in_any_order(
        program in programs(24, false),
        seed in any::<u64>(),
        (operator, firing) in any::<(usize, usize)>(),
        error in any::<bool>(),
    ) {
        silence_traps();
        let (expected, sequential, walked) = expected(&program);
        let Some(trap) = Trap::choose(&sequential, &walked, operator, firing, error) else { return Ok(()) };
        let mut failed = Vec::new();
        for (workers, seed) in [(1, seed), (2, seed), (2, !seed), (3, seed), (3, !seed), (64, seed)] {
            failed.push(once(workers, seed, |pool| fails(&program, pool, &expected, &trap, 2))?);
        }
        prop_assert!(failed.iter().all(|one| *one == failed[0]), "a failure depends on the graph alone: {failed:?}");
    }

    #[test]
    fn any_failure_is_the_earliest_on_threads(
        program in programs(24, false),
        (operator, firing) in any::<(usize, usize)>(),
        error in any::<bool>(),
    ) {
        silence_traps();
        let (expected, sequential, walked) = expected(&program);
        let Some(trap) = Trap::choose(&sequential, &walked, operator, firing, error) else { return Ok(()) };
        POOLS.with(|pools| pools.each(|pool| fails(&program, pool, &expected, &trap, 2).map(drop)))?;
    }
}
