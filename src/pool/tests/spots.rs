//! Which CPUs the workers of a pool get if other pools have claimed some.

use std::sync::Arc;

use proptest::prelude::*;

use crate::pool::placement::register::{self, CpuClaims};
use crate::pool::placement::spots::on_cores;
use crate::pool::placement::{Pinning, Placement, Wish};
use crate::pool::work::layout::Layout;
use crate::pool::{Pool, Shared};
use crate::topology::Topology;

fn claimed(cpus: &[usize]) -> CpuClaims {
    let mut claims = CpuClaims::default();
    cpus.iter().for_each(|cpu| claims.add(*cpu));
    claims
}

fn cpus(machine: &str, workers: usize, claims: &[usize]) -> Vec<usize> {
    let machine = Topology::synthetic(machine).expect("a machine");
    on_cores(&machine, workers, &claimed(claims)).into_iter().map(|spot| spot.cpu).collect()
}

#[test]
fn free_cores_come_before_shared_ones() {
    assert_eq!(cpus("core:4 pu:2", 2, &[0, 2]), [4, 6]);
    assert_eq!(cpus("core:4 pu:2", 3, &[0, 2]), [4, 6, 1], "then the other CPU of a core that has one worker");
    assert_eq!(cpus("core:2 pu:1", 3, &[0, 0]), [1, 1, 0], "then those with the fewest claims");
}

#[test]
fn workers_share_a_cache_where_one_is_free() {
    assert_eq!(cpus("numa:2 l3:2 core:2 pu:1", 2, &[0, 2, 4]), [6, 7]);
    assert_eq!(cpus("numa:2 l3:2 core:2 pu:1", 3, &[0]), [1, 2, 3], "on the node where they leave none");
    assert_eq!(
        cpus("numa:2 l3:2 core:2 pu:1", 5, &[0]),
        [1, 4, 5, 6, 7],
        "a node, and a core whose L3 domain is used already"
    );
    assert_eq!(cpus("pack:2 numa:2 core:2 pu:1", 4, &[0]), [4, 5, 6, 7], "in one package");
}

/// The pools take a CPU that no other test's pool has.
#[test]
fn claims_end_with_the_pool() {
    const CPU: usize = 299;
    let machine = Arc::new(Topology::synthetic("core:300 pu:1").expect("a machine"));
    let wish = Wish { workers: Some(1), pinning: Pinning::Cores, ..Wish::default() };
    let pool = || {
        let (placement, claim) = register::claim(|_| {
            let others: Vec<usize> = (0..CPU).collect();
            Placement::decide(&wish, &machine, &claimed(&others))
        });
        Pool::new_empty(Arc::new(Shared::new(Layout::flat(1), 1)), placement, claim, Arc::clone(&machine))
    };
    let claims = || register::look(|claims| claims.of(CPU));
    let (one, other) = (pool(), pool());
    let handle = one.handle();
    assert_eq!(claims(), 2);
    drop(one);
    assert_eq!(claims(), 1, "a handle keeps no claim");
    drop((other, handle));
    assert_eq!(claims(), 0);
}

proptest! {
    /// No CPU gets one more claim while another CPU has fewer.
    #[test]
    fn claims_are_evened_out(
        machine in prop::sample::select(vec!["core:3 pu:2", "numa:2 l3:2 core:2 pu:2", "pack:2 core:3 pu:1", "pu:1"]),
        claims in prop::collection::vec(0..12_usize, 0..30),
        workers in 1..40_usize,
    ) {
        let machine = Topology::synthetic(machine).expect("a machine");
        let mut load = claimed(&claims);
        let spots = on_cores(&machine, workers, &load);
        prop_assert_eq!(spots.len(), workers);
        for spot in &spots {
            prop_assert!(machine.cores()[spot.core].cpus().contains(spot.cpu));
            load.add(spot.cpu);
        }
        let least = machine.cpus().iter().map(|cpu| load.of(cpu)).min().expect("some CPU");
        prop_assert!(spots.iter().all(|spot| load.of(spot.cpu) <= least + 1));
    }
}
