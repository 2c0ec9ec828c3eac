//! The workloads, one file each.

pub mod w1;
pub mod w10;
pub mod w2;
pub mod w3;
pub mod w3_values;
pub mod w4;
pub mod w5;
pub mod w6;
pub mod w7;
pub mod w8;
pub mod w9;

use crate::cli::Options;
use crate::measure::Lineup;

/// What peers are compared by.
pub struct Workload {
    pub name: &'static str,
    pub what: &'static str,
    /// Whether a peer's first figure is compared with that of the serial version over the number of threads.
    pub efficiency: bool,
    pub lineup: Box<dyn Fn(&Options) -> Lineup>,
}

impl Workload {
    fn new(name: &'static str, what: &'static str, lineup: impl Fn(&Options) -> Lineup + 'static) -> Self {
        Self { name, what, efficiency: false, lineup: Box::new(lineup) }
    }

    fn with_efficiency(self) -> Self {
        Self { efficiency: true, ..self }
    }
}

pub fn all() -> Vec<Workload> {
    [
        w1::workloads(),
        w2::workloads(),
        w3::workloads(),
        w3_values::workloads(),
        w4::workloads(),
        w5::workloads(),
        w6::workloads(),
        w7::workloads(),
        w8::workloads(),
        w9::workloads(),
        w10::workloads(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

pub fn names() -> Vec<&'static str> {
    all().iter().map(|workload| workload.name).collect()
}
