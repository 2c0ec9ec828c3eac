//! What the search leaves out is nothing new: schedules by chance, and all schedules of the smallest graphs, end as those that it takes.

use std::collections::BTreeSet;
use std::error::Error as _;
use std::sync::Mutex;

use super::super::{Chance, Explore, explore};
use crate::check::{self, once};
use crate::error::Error;
use crate::graph::Graph;
use crate::pool::Pool;
use crate::sync::footprint;

/// What a schedule comes to: what the graph has made, and the order of its calls.
type End = (String, Vec<u32>);
/// Notes a call.
pub(super) type See<'a> = &'a (dyn Fn(u32) -> u32 + Sync);
pub(super) type Case = fn(&Pool, See<'_>) -> String;

/// Two tasks between one and another.
fn diamond(pool: &Pool, see: See<'_>) -> String {
    let g = Graph::new();
    let first = g.task((), |()| see(1));
    let (second, third) = (g.task(first.read(), |first| see(first + 1)), g.task(first.read(), |first| see(first + 2)));
    let sum = g.task((second.read(), third.read()), |(second, third)| see(second + third + 5));
    pool.run(g).expect("runs").take(sum).to_string()
}

/// Graphs with their names, and what they come to: empty if that depends on the schedule.
pub(super) const CASES: [(&str, &str, Case); 16] = [
    ("credits", "12", |pool, see| {
        let g = Graph::new();
        let sum = g.source(0..3_u32).batch_size(1).credits(2).map(see).fold(0, |sum, x| sum * 10 + x);
        pool.run(g).expect("runs").take(sum).to_string()
    }),
    ("one credit", "", |pool, see| {
        let g = Graph::new();
        let sum = g.source(0..3_u32).batch_size(1).credits(1).map(see).unordered().fold(0, |sum, x| sum * 10 + x);
        pool.run(g).expect("runs").take(sum).to_string()
    }),
    ("zip", "10111", |pool, see| {
        let g = Graph::new();
        let right = g.source(10..12_u32).batch_size(1).map(see);
        let both = g.source(0..2_u32).batch_size(1).map(see).zip(right);
        let sum = both.fold(0, |sum, (a, b)| sum * 1000 + a * 100 + b);
        pool.run(g).expect("runs").take(sum).to_string()
    }),
    ("zip of pieces", "506172", |pool, see| {
        let g = Graph::new();
        let right = g.source(0..4_u32).batch_size(2).map(see);
        let sum = g.source(5..8_u32).batch_size(1).zip(right).fold(0, |sum, (a, b)| sum * 100 + a * 10 + b);
        pool.run(g).expect("runs").take(sum).to_string()
    }),
    ("chain", "11011", |pool, see| {
        let g = Graph::new();
        let next = g.source(10..12_u32).batch_size(1).map(see);
        let sum = g.source(0..2_u32).batch_size(1).map(see).chain(next).fold(0, |sum, x| sum * 100 + x);
        pool.run(g).expect("runs").take(sum).to_string()
    }),
    ("merge", "", |pool, see| {
        let g = Graph::new();
        let other = g.source(10..11_u32).batch_size(1).map(see);
        let sum = g.source(0..2_u32).batch_size(1).map(see).merge(other).fold(0, |sum, x| sum * 100 + x);
        pool.run(g).expect("runs").take(sum).to_string()
    }),
    ("tee", "1 21", |pool, see| {
        let g = Graph::new();
        let (one, other) = g.source(0..2_u32).batch_size(1).map(see).tee();
        let (one, other) = (one.fold(0, |sum, x| sum * 10 + x), other.map(|x| see(x + 10)).sum::<u32>());
        let mut plan = pool.run(g).expect("runs");
        format!("{} {}", plan.take(one), plan.take(other))
    }),
    ("partition", "2 1", |pool, see| {
        let g = Graph::new();
        let (even, odd) = g.source(0..3_u32).batch_size(1).map(see).partition(|x| x % 2 == 0);
        let (even, odd) = (even.fold(0, |sum, x| sum * 10 + x), odd.count());
        let mut plan = pool.run(g).expect("runs");
        format!("{} {}", plan.take(even), plan.take(odd))
    }),
    ("zip of unequal", "[5]", |pool, see| {
        let g = Graph::new();
        let right = g.source(5..8_u32).batch_size(1).credits(1).map(see);
        let both = g.source(0..1_u32).batch_size(1).map(see).zip(right).map(|(a, b)| a * 10 + b).collect();
        format!("{:?}", pool.run(g).expect("runs").take(both))
    }),
    ("store and load", "", |pool, see| {
        let (g, last) = (Graph::new(), check::Atomic::new(9));
        let both = |x| {
            last.store(see(x));
            last.load()
        };
        let all = g.source(0..3_u32).batch_size(1).credits(2).map(both).collect();
        format!("{:?}", pool.run(g).expect("runs").take(all))
    }),
    ("scan", "[10, 11]", |pool, see| {
        let g = Graph::new();
        let scanned = g.source(0..2_u32).batch_size(1).map(see).scan(0, |sum, x| {
            *sum += x;
            Some(*sum)
        });
        let all = scanned.map(|x| see(x + 10)).collect();
        format!("{:?}", pool.run(g).expect("runs").take(all))
    }),
    ("take", "[0]", |pool, see| {
        let g = Graph::new();
        let all = g.source(0..3_u32).batch_size(1).map(see).take(1).collect();
        format!("{:?}", pool.run(g).expect("runs").take(all))
    }),
    ("a failure", "one at Some(1)", |pool, see| {
        let g = Graph::new();
        let checked = g.source(0..3_u32).batch_size(1).map(see).try_map(|x| if x == 1 { Err("one") } else { Ok(x) });
        let sum = checked.fold(0, |sum, x| sum + x);
        match pool.run(g) {
            Ok(mut plan) => plan.take(sum).to_string(),
            Err(error) => match (&error, error.source()) {
                (Error::Run(error), Some(cause)) => format!("{cause} at {:?}", error.item()),
                _ => error.to_string(),
            },
        }
    }),
    ("map_with", "[11, 12]", |pool, see| {
        let g = Graph::new();
        let table = g.source(0..2_u32).batch_size(1).map(see).sum::<u32>();
        let all = g.source(10..12_u32).batch_size(1).map_with(&table, move |table, x| see(x) + table);
        let all = all.collect();
        format!("{:?}", pool.run(g).expect("runs").take(all))
    }),
    ("tasks", "10", diamond),
    ("joins", "6", |pool, see| {
        let (a, (b, c)) = pool.join(|| see(1), || pool.join(|| see(2), || see(3)));
        (a + b + c).to_string()
    }),
];

/// The ends of all schedules that `search` takes, and whether these were all.
fn ends(case: Case, search: impl FnOnce(&dyn Fn(&Pool)) -> bool) -> (BTreeSet<End>, bool) {
    let ends = Mutex::new(BTreeSet::new());
    let body = |pool: &Pool| {
        let log = check::Mutex::new(Vec::new());
        let see = |call| {
            log.lock().push(call);
            call
        };
        let made = case(pool, &see);
        ends.lock().expect("no panic").insert((made, log.into_inner()));
    };
    let is_complete = search(&body);
    (ends.into_inner().expect("no panic"), is_complete)
}

fn run(options: Explore, body: &dyn Fn(&Pool)) -> bool {
    options.run(body).expect("no value").is_complete()
}

#[test]
fn schedules_by_chance_end_as_those_of_the_search() {
    for (name, _, case) in CASES {
        let (reduced, is_complete) = ends(case, |body| run(explore().pure(), body));
        assert!(is_complete, "{name}");
        let by_chance = |body: &dyn Fn(&Pool)| {
            let options = explore().pure().max_schedules(200);
            options.search(&mut Chance::new(1), body).expect("no value").is_complete()
        };
        let (by_chance, _) = ends(case, by_chance);
        assert!(by_chance.is_subset(&reduced), "{name}: {by_chance:?} are not all in {reduced:?}");
        let (visible, _) = ends(case, |body| run(explore().max_schedules(500), body));
        assert!(visible.is_subset(&reduced), "{name}: {visible:?} are not all in {reduced:?}");
    }
}

/// The smallest graphs: each has thousands of schedules all the same.
const SMALLEST: [(&str, Case); 6] = [
    ("a stream", |pool, see| {
        let g = Graph::new();
        let sum = g.source(0..1_u32).batch_size(1).map(see).fold(0, |sum, x| sum + x);
        pool.run(g).expect("runs").take(sum).to_string()
    }),
    ("a range", |pool, see| {
        let g = Graph::new();
        let sum = g.range(0..2_u32).batch_size(1).map(see).sum::<u32>();
        pool.run(g).expect("runs").take(sum).to_string()
    }),
    ("a diamond", diamond),
    ("a join", |pool, see| {
        let (a, b) = pool.join(|| see(1), || see(2));
        (a + b).to_string()
    }),
    ("a scope", |pool, see| {
        pool.scope(|s| {
            s.spawn(|_| _ = see(1));
            s.spawn(|_| _ = see(2));
        });
        String::new()
    }),
    ("a loop", |pool, see| pool.aggregate(0..2_u32, || 0, |sum, x| sum + see(x), |a, b| a + b).to_string()),
];

#[test]
fn the_search_leaves_no_end_out() {
    for (name, case) in SMALLEST {
        let (all, is_complete) = ends(case, |body| run(explore().pure().tries_all().max_schedules(30_000), body));
        let (reduced, _) = ends(case, |body| run(explore().pure(), body));
        assert!(is_complete, "{name} is not one of the smallest");
        assert_eq!(all, reduced, "{name}");
    }
}

#[test]
fn a_real_pool_ends_as_the_search_says() {
    for (name, _, case) in CASES {
        let (searched, is_complete) = ends(case, |body| run(explore().pure(), body));
        assert!(is_complete, "{name}");
        for workers in [2, 3] {
            let (real, _) = ends(case, |body| {
                (0..40).for_each(|seed| footprint::at_every_access(|| once(workers, seed, body)));
                true
            });
            assert!(real.is_subset(&searched), "{name}, {workers} workers: {real:?} are not all in {searched:?}");
        }
    }
}
