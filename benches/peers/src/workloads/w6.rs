//! W6: what an idle pool costs. Each pool has a process of its own: this program, started with a hidden option.

use std::time::Duration;

use lace_ws::{Worker, lace_run, lace_task};
use millstream::Graph;

use super::Workload;
use crate::byhand::Crew;
use crate::cli::Options;
use crate::measure::{Lineup, Metric};
use crate::peers::{self, Peer};
use crate::shape::Shape;
use crate::tasks;
use crate::{child, machine};

const PEERS: &[Peer] = &[
    Peer::Millstream,
    Peer::Rayon,
    Peer::Chili,
    Peer::LaceWs,
    Peer::Tokio,
    Peer::ByHand,
    #[cfg(feature = "tbb")]
    Peer::Tbb,
];

pub fn workloads() -> Vec<Workload> {
    vec![Workload::new("W6", "CPU time of an idle pool in 5 s, and peak memory, in a process of its own", lineup)]
}

fn lineup(options: &Options) -> Lineup {
    let mut lineup = Lineup::with_threads(options, vec![options.most_threads()]);
    for &peer in PEERS {
        lineup.each(peer, |threads| {
            let options = options.clone();
            move |run| {
                let warm_up = run == 0; // it shows that the child works; there is nothing to warm
                let numbers = child::says("--idle-child", peer, threads, &options, warm_up);
                vec![(Metric::CpuMs, numbers[0]), (Metric::PeakRssMib, numbers[1])]
            }
        });
    }
    lineup
}

/// In the child: one task in the peer's pool, then nothing for a while.
pub fn child(peer: Peer, options: &Options) {
    let threads = options.most_threads();
    let idle = || idle(options.size(Duration::from_secs(5), Duration::from_millis(50)));
    match peer {
        Peer::Serial
        | Peer::MillstreamOff
        | Peer::BevyTasks
        | Peer::Dagrs
        | Peer::FutexWake
        | Peer::ParBridge
        | Peer::StdChannels
        | Peer::Crossbeam
        | Peer::Rtrb
        | Peer::Timely => panic!("{peer} has no idle pool"),
        Peer::Millstream => {
            let pool = options.millstream(threads);
            let g = Graph::new();
            g.task((), |()| tasks::count());
            pool.run(g).expect("nothing fails");
            idle();
        }
        Peer::Rayon => {
            let pool = peers::rayon_pool(threads);
            pool.install(tasks::count);
            idle();
        }
        Peer::Chili => {
            let pool = peers::chili_pool(threads);
            pool.scope().join(|_| (), |_| tasks::count());
            idle();
        }
        Peer::LaceWs => {
            let mut pool = lace_ws::Lace::init(threads);
            lace_run!(pool, lace_one());
            idle();
        }
        Peer::Tokio => {
            let runtime = peers::tokio_runtime(threads);
            runtime.block_on(async { tokio::spawn(async { tasks::count() }).await.expect("no panic") });
            idle();
        }
        Peer::ByHand => {
            let crew = Crew::new(threads, &Shape::independent(1), |_| tasks::count());
            crew.run();
            idle();
        }
        #[cfg(feature = "tbb")]
        Peer::Tbb => {
            let pool = crate::tbb::Pool::new(threads);
            pool.execute(tasks::count);
            idle();
        }
    }
}

#[lace_task]
fn lace_one() {
    tasks::count();
}

fn idle(time: Duration) {
    assert_eq!(tasks::counted(), 1, "the task ran once");
    std::thread::sleep(Duration::from_millis(20)); // what spins for a little while may come to rest
    let before = machine::own_time();
    std::thread::sleep(time);
    let used = machine::own_time() - before;
    println!("{} {}", used.as_secs_f64() * 1e3, machine::peak_rss_mib());
}
