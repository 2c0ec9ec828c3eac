//! The CPUs that the pools of this process have claimed, so that a new pool sits elsewhere while other CPUs are free.
//!
//! A pool that binds each worker to a CPU of its own claims these CPUs when it is made, and gives them up when its
//! threads have ended. Claims are counted, because pools share a CPU when all are taken.

use super::Placement;
use crate::sync::{LazyLock, Mutex};

static REGISTER: LazyLock<Mutex<CpuClaims>> = LazyLock::new(Mutex::default);

/// How many workers have claimed each CPU, by its number.
#[derive(Debug, Default)]
pub(in crate::pool) struct CpuClaims(Vec<usize>);

impl CpuClaims {
    pub(in crate::pool) fn of(&self, cpu: usize) -> usize {
        self.0.get(cpu).copied().unwrap_or(0)
    }

    pub(in crate::pool) fn add(&mut self, cpu: usize) {
        if self.0.len() <= cpu {
            self.0.resize(cpu + 1, 0);
        }
        self.0[cpu] += 1;
    }
}

/// The CPUs that a pool has claimed. It gives them up when this is dropped.
#[derive(Debug, Default)]
pub(in crate::pool) struct Claim(Vec<usize>);

/// Decides by the claims of now, and claims the CPUs that come out.
pub(in crate::pool) fn claim(decide: impl FnOnce(&CpuClaims) -> Placement) -> (Placement, Claim) {
    let mut claims = REGISTER.lock();
    let placement = decide(&claims);
    let cpus: Vec<usize> = placement.own_cpus().collect();
    cpus.iter().for_each(|cpu| claims.add(*cpu));
    (placement, Claim(cpus))
}

/// Decides by the claims of now, and claims nothing.
pub(in crate::pool) fn look<R>(decide: impl FnOnce(&CpuClaims) -> R) -> R {
    decide(&REGISTER.lock())
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut claims = REGISTER.lock();
        self.0.iter().for_each(|cpu| claims.0[*cpu] -= 1);
    }
}
