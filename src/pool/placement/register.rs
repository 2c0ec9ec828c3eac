//! Which CPUs the pools of this process have claimed, so that a new one sits elsewhere while others are free.
//!
//! A pool that binds each worker to a CPU of its own claims them when it is made, and gives them up when its threads have
//! ended. Claims are counted: where all are taken, pools share.

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

/// What a pool has claimed; given up when dropped.
#[derive(Debug, Default)]
pub(in crate::pool) struct Claim(Vec<usize>);

/// Decides by what is claimed now, and claims what that gives.
pub(in crate::pool) fn claim(decide: impl FnOnce(&CpuClaims) -> Placement) -> (Placement, Claim) {
    let mut claims = REGISTER.lock();
    let placement = decide(&claims);
    let cpus: Vec<usize> = placement.own_cpus().collect();
    cpus.iter().for_each(|cpu| claims.add(*cpu));
    (placement, Claim(cpus))
}

/// Decides by what is claimed now.
pub(in crate::pool) fn look<R>(decide: impl FnOnce(&CpuClaims) -> R) -> R {
    decide(&REGISTER.lock())
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut claims = REGISTER.lock();
        self.0.iter().for_each(|cpu| claims.0[*cpu] -= 1);
    }
}
