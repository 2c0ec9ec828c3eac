//! Each row of the table in a small program, in every schedule, or as many as time allows: it comes to the same as in sequence, runs
//! again, fails wherever a call panics or returns an error, and stalls with few credits or does not.

use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::prop_assert_eq;
use proptest::test_runner::TestCaseError;

use super::program::{Program, Step};
use super::property::{Trap, expected, fails, same, stalls};
use super::table::{FORKS, GATHERS, OPERATORS, SINKS, SOURCES};
use crate::Pool;
use crate::check::tests::silence_traps;
use crate::check::{explore, random, replay};
use crate::sync::Mutex;

/// So many schedules are tried of each program and end, one after the other; and so many by chance, if these are not all.
const SCHEDULES: u64 = 12;
const BY_CHANCE: u64 = 6;

fn source(row: usize, len: u8, credits: Option<u8>) -> Step {
    let row = u8::try_from(row).expect("few rows");
    Step::Source { row, len, batch: Some(0), credits, place: 0 }
}

/// A program for each row, with so many credits for its sources.
fn programs(credits: Option<u8>) -> Vec<Program> {
    let numbers = |rows: usize| 0..u8::try_from(rows).expect("few rows");
    let mut programs = Vec::new();
    programs.extend((0..SOURCES.len()).map(|row| vec![source(row, 3, credits)]));
    let applies = numbers(OPERATORS.len());
    programs.extend(applies.map(|row| vec![source(0, 3, credits), Step::Apply { stream: 0, row, k: 2 }]));
    programs.extend(numbers(FORKS.len()).map(|row| vec![source(0, 3, credits), Step::Fork { stream: 0, row, k: 2 }]));
    let gathers = numbers(GATHERS.len());
    let two = |row| vec![source(0, 2, credits), source(0, 2, credits), Step::Gather { left: 0, right: 0, row }];
    programs.extend(gathers.map(two));
    programs.extend(numbers(SINKS.len()).map(|row| vec![source(0, 3, credits), Step::Sink { stream: 0, row }]));
    programs.push(vec![Step::Cell(3, 0), source(0, 3, credits), Step::WithCell { stream: 0, cell: 0 }]);
    let table = [Step::Sink { stream: 0, row: 0 }, Step::Items(0)];
    programs.push([source(0, 3, credits)].into_iter().chain(table).collect());
    programs.into_iter().map(Program).collect()
}

/// Explores what `run` does with a program.
fn in_all(program: &Program, run: impl Fn(&Pool) -> Result<(), TestCaseError>) {
    let run = |pool: &Pool| run(pool).unwrap_or_else(|error| panic!("{error}"));
    let explored = explore().pure().max_schedules(SCHEDULES).run(run);
    let explored = explored.and_then(|all| if all.is_complete() { Ok(all) } else { random(1, BY_CHANCE, run) });
    if let Err(found) = explored {
        panic!("{program:?}after {} schedules: {found}", found.schedules());
    }
}

#[test]
fn every_row_comes_to_the_same() {
    for program in programs(None) {
        let (expected, ..) = expected(&program);
        in_all(&program, |pool| same(&program, pool, &expected, 2));
    }
}

/// A pool of threads that records, and a program on it: the explorer makes the same calls in the same order.
#[test]
fn every_row_is_recorded_and_comes_again() {
    let pool = Pool::builder().workers(2).oversubscribe(true).record(true).build().expect("a pool");
    // Where schedules are explored, the table has a call that does not block in place of one that does.
    let blocks = |step: &Step| matches!(step, Step::Apply { row, .. } if OPERATORS[usize::from(*row)].methods[0] == "Stream::map_blocking");
    for program in programs(None).into_iter().filter(|program| !program.0.iter().any(blocks)) {
        let (expected, ..) = expected(&program);
        let run = |pool: &Pool| same(&program, pool, &expected, 2).unwrap_or_else(|error| panic!("{error}"));
        for _ in 0..4 {
            run(&pool);
            let recording = pool.take_recording();
            let again = catch_unwind(AssertUnwindSafe(|| replay(&recording, run)));
            assert!(again.is_ok(), "{program:?}{recording}");
        }
    }
}

#[test]
fn every_row_fails_wherever_a_call_does() {
    silence_traps();
    for program in programs(None) {
        let (expected, sequential, walked) = expected(&program);
        let ends = [(0, true), (0, false), (1, true), (2, false)];
        for (operator, (firing, is_error)) in (0..walked.ordered.len()).flat_map(|id| ends.map(|end| (id, end))) {
            if let Some(trap) = Trap::choose(&sequential, &walked, operator, firing, is_error) {
                in_all(&program, |pool| fails(&program, pool, &expected, &trap, 1).map(drop));
            }
        }
    }
}

#[test]
fn every_row_stalls_alike() {
    for program in programs(Some(0)) {
        let (expected, ..) = expected(&program);
        let stalled = Mutex::new(None);
        in_all(&program, |pool| {
            let now = stalls(&program, pool, &expected)?;
            prop_assert_eq!(*stalled.lock().get_or_insert(now), now, "a stall depends on the graph alone");
            Ok(())
        });
    }
}
