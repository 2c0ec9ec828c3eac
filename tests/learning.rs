//! What a plan learns from its runs: which tasks are better off together.

use std::hint;
use std::time::{Duration, Instant};

use millstream::{Graph, Pool, reads};

fn busy(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        hint::spin_loop();
    }
}

#[test]
fn a_task_that_takes_long_is_alone_when_that_is_known() {
    let pool = Pool::builder().workers(2).build().expect("two workers");
    let g = Graph::new();
    for number in 0..512 {
        let is_long = number == 300;
        let time = Duration::from_micros(if is_long { 2000 } else { 2 });
        let task = g.task((), move |()| busy(time));
        if is_long {
            task.named("long");
        }
    }
    let mut plan = g.plan(&pool).expect("plans");
    let mut company = Vec::new();
    for _ in 0..70 {
        plan.run().expect("runs");
        let groups = plan.groups();
        let own =
            groups.iter().find(|group| group.tasks().iter().any(|name| name == "long")).expect("it is in a group");
        let alone = groups.iter().filter(|group| group.tasks().len() == 1).count();
        company.push((own.tasks().len(), alone));
        if own.tasks().len() == 1 && alone < 16 {
            return; // else its neighbours are taken for long, too
        }
    }
    panic!("tasks in its group, and tasks that are alone, from run to run: {company:?}");
}

#[test]
fn a_report_knows_the_times_that_the_tasks_were_put_together_by() {
    let pool = Pool::builder().workers(1).build().expect("a worker");
    let g = Graph::new();
    let all: Vec<_> = (0..16).map(|_| g.data(0_u32)).collect();
    let sum = g.data(0);
    for one in &all {
        g.task(one.write(), |one| {
            busy(Duration::from_nanos(200));
            *one += 1;
        });
    }
    g.task((reads(&all), sum.write()), |(all, sum)| *sum = all.iter().sum());
    let mut plan = g.plan(&pool).expect("plans");
    for run in 0..8 {
        plan.run().expect("runs");
        let time = plan.report().busy_time();
        assert!(time >= Duration::from_nanos(16 * 100), "in run {run} tasks were busy for {time:?}");
    }
}

#[test]
fn what_others_take_of_a_group_is_part_of_its_time() {
    const SIDE: usize = 12;
    let long = || busy(Duration::from_micros(150));
    let pool = Pool::builder().workers(2).build().expect("two workers");
    let g = Graph::new();
    let panel = g.data(0_u32);
    let all: Vec<Vec<_>> = (0..SIDE).map(|_| (0..SIDE).map(|_| g.data(0_u32)).collect()).collect();
    let mut tasks = 0;
    for step in 0..SIDE {
        g.task((all[step][step].read(), panel.write()), move |(_, panel)| {
            long();
            *panel += 1;
        });
        for one in all[step + 1..].iter().flat_map(|row| &row[step + 1..]) {
            g.task((panel.read(), one.write()), move |(_, one)| {
                long();
                *one += 1;
            });
        }
        tasks += 1 + u32::try_from((SIDE - step - 1).pow(2)).expect("few");
    }
    let mut plan = g.plan(&pool).expect("plans");
    let least = tasks * Duration::from_micros(150);
    for run in 0..10 {
        plan.run().expect("runs");
        let time = plan.report().busy_time();
        assert!(time >= least * 9 / 10, "in run {run} tasks were busy for {time:?}, and took {least:?} at least");
    }
}

#[test]
fn each_time_of_a_loop_counts_as_long_as_it_took() {
    let pool = Pool::builder().workers(1).build().expect("a worker");
    let g = Graph::new();
    let time = g.data(0_u32);
    g.repeat(50, |g| {
        g.task(time.write(), |time| {
            busy(Duration::from_micros(if *time % 50 == 49 { 2000 } else { 20 }));
            *time += 1;
        });
    });
    let mut plan = g.plan(&pool).expect("plans");
    for run in 0..3 {
        plan.run().expect("runs");
        let (time, wall) = (plan.report().busy_time(), plan.report().wall_time());
        assert!(time <= wall && time > wall / 2, "in run {run} tasks were busy for {time:?} of {wall:?}");
    }
}
