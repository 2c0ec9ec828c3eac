//! What a plan learns from its runs: which tasks are better off together.

use std::hint;
use std::time::{Duration, Instant};

use millstream::{Graph, Pool};

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
