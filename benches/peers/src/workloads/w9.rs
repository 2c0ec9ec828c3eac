//! W9: bursts of short tasks, with a barrier after each.

use std::hint::black_box;

use lace_ws::{Worker, lace_run, lace_task};
use rayon::prelude::*;

use super::Workload;
use crate::byhand::Crew;
use crate::cli::Options;
use crate::measure::{Figures, Lineup, Metric, milliseconds, time};
use crate::peers::{self, Peer};
use crate::shape::Shape;
use crate::tasks::{self, MICROSECOND};

const TASKS: u32 = 64;

pub fn workloads() -> Vec<Workload> {
    vec![
        Workload::new("W9", "1000 bursts of 64 tasks of about 2 us", |options| {
            lineup(Lineup::new(options), options, options.size(1000, 3))
        })
        .with_efficiency(),
        Workload::new("W9-8on2", "200 bursts of 64 tasks of about 2 us, 8 workers asked for", |options| {
            lineup(Lineup::with_threads(options, vec![8]), options, options.size(200, 3))
        })
        .with_efficiency(),
    ]
}

fn task(number: u32) {
    black_box(tasks::work(2 * MICROSECOND, u64::from(number)));
    tasks::count();
}

fn chili(scope: &mut chili::Scope<'_>, begin: u32, end: u32) {
    if end - begin == 1 {
        return task(begin);
    }
    let middle = u32::midpoint(begin, end);
    scope.join(|scope| chili(scope, begin, middle), |scope| chili(scope, middle, end));
}

#[lace_task]
fn lace(begin: u32, end: u32) {
    if end - begin == 1 {
        task(begin);
    } else {
        let middle = u32::midpoint(begin, end);
        join!(lace(begin, middle), lace(middle, end));
    }
}

/// One burst without a clock, then all with.
fn measure(bursts: u64, mut burst: impl FnMut()) -> Figures {
    let tasks = u64::from(TASKS);
    tasks::counting(tasks, &mut burst);
    let (time, ()) = time(|| tasks::counting(tasks * bursts, || (0..bursts).for_each(|_| burst())));
    vec![(Metric::WallMs, milliseconds(time))]
}

async fn spawn_all() {
    let spawned: Vec<_> = (0..TASKS).map(|number| tokio::spawn(async move { task(number) })).collect();
    for spawned in spawned {
        spawned.await.expect("no panic");
    }
}

fn lineup(mut lineup: Lineup, options: &Options, bursts: u64) -> Lineup {
    lineup.serial(move |_| measure(bursts, || (0..TASKS).for_each(task)));
    lineup.each(Peer::Millstream, |threads| {
        let options = options.clone();
        move |_| {
            let pool = options.millstream(threads);
            measure(bursts, || pool.for_each(0..TASKS, task))
        }
    });
    lineup.each(Peer::Rayon, |threads| {
        let burst = || (0..TASKS).into_par_iter().with_max_len(1).for_each(task);
        move |_| peers::rayon_pool(threads).install(|| measure(bursts, burst))
    });
    lineup.each(Peer::Chili, |threads| {
        move |_| {
            let pool = peers::chili_pool(threads);
            let mut scope = pool.scope();
            measure(bursts, || chili(&mut scope, 0, TASKS))
        }
    });
    lineup.each(Peer::LaceWs, |threads| {
        move |_| {
            let mut pool = lace_ws::Lace::init(threads);
            measure(bursts, || lace_run!(pool, lace(0, TASKS)))
        }
    });
    lineup.each(Peer::Tokio, |threads| {
        move |_| {
            let runtime = peers::tokio_runtime(threads);
            measure(bursts, || runtime.block_on(spawn_all()))
        }
    });
    lineup.each(Peer::ByHand, |threads| {
        move |_| {
            let crew = Crew::new(threads, &Shape::independent(TASKS as usize), task);
            measure(bursts, || crew.run())
        }
    });
    #[cfg(feature = "tbb")]
    lineup.each(Peer::Tbb, |threads| {
        move |_| {
            let pool = crate::tbb::Pool::new(threads);
            measure(bursts, || pool.for_each(TASKS, task))
        }
    });
    lineup
}
