//! Work stays at its node where that is possible, and spreads over all where it must: 64 virtual workers on four nodes.

use std::cell::Cell;

use super::steps::judge;
use crate::check::{Dice, makespan, work};
use crate::{Graph, Place, Pool};

const SEEDS: u64 = 15;

/// Runs tasks of 20 to 40 rounds, each with the home that `home` says. Returns the rounds that it takes, the number of
/// steals, and the number of steals from another node.
fn tasks(seed: u64, count: usize, home: impl Fn(usize) -> usize) -> (u64, u64, u64) {
    let stolen = Cell::new((0, 0));
    let rounds = makespan(64, seed, |pool: &Pool| {
        let (g, mut dice) = (Graph::new(), Dice::new(seed));
        for task in 0..count {
            let rounds = 20 + dice.roll(21);
            g.task((), move |()| work(rounds)).place(Place::Node(home(task)));
        }
        let plan = pool.run(g).expect("runs");
        let report = plan.report();
        let sum = |count: fn(&crate::WorkerReport) -> u64| report.workers().iter().map(count).sum();
        stolen.set((sum(crate::WorkerReport::steals), sum(crate::WorkerReport::remote_steals)));
    });
    let (steals, remote) = stolen.get();
    (rounds, steals, remote)
}

#[expect(clippy::print_stdout, reason = "the figures are what the test is for")]
fn check(name: &str, remote_percent: Option<u64>, home: impl Fn(usize) -> usize) {
    const TASKS: usize = 8192;
    let runs: Vec<_> = (1..=SEEDS).map(|seed| tasks(seed, TASKS, &home)).collect();
    let (steals, remote) = runs.iter().fold((0, 0), |(steals, remote), run| (steals + run.1, remote + run.2));
    let tasks = TASKS as u64 * SEEDS;
    println!("{name}: {tasks} tasks, {steals} steals, {remote} of them from another node");
    if let Some(percent) = remote_percent {
        assert!(remote * 100 < tasks * percent, "{remote} of {tasks} tasks were stolen from another node");
    }
    let ideal = TASKS as u64 * 30 / 64;
    judge(name, ideal + ideal * 15 / 100 + 50, runs.iter().map(|run| run.0).collect());
}

#[test]
fn balanced_work_stays_at_its_node() {
    check("tasks at home on four nodes", Some(5), |task| task % 4);
}

#[test]
fn unbalanced_work_goes_to_all_nodes() {
    check("tasks at home on one node", None, |_| 2);
    check("most tasks at home on two nodes", None, |task| if task % 8 < 6 { task % 2 } else { task % 4 });
}
