//! Reads a machine from Linux's files, through a root path.
//!
//! Which CPUs are online and allowed comes first; of the others nothing is read. Then each level is asked for by the
//! first CPU of each group that is left: a machine of 1024 CPUs takes a few thousand small files. Old kernels show fewer
//! files than new ones, and masks alone where those have lists as well; both are read.

mod cgroup;
mod cpus;
mod files;
mod kinds;
mod mounts;
mod nodes;
mod process;

use std::path::Path;

use super::draft::Draft;
use super::parts::NumaNode;
use super::{CpuSet, Usable};
use cpus::Cpus;
use process::{Process, Status};

/// Reads what is there. Nothing if there are no files about CPUs.
pub(super) fn read(root: &Path) -> Option<Draft> {
    let mut notes = Vec::new();
    let Process { online, allowed, mems, quota } = Process::read(root, &mut notes)?;
    let cpus = Cpus { root: root.to_owned() };
    let (cores, assumed) = cpus.cores(&allowed, &mut notes);
    let kinds = kinds::read(root, &cores, &mut notes);
    let packages = cpus.packages(&allowed, &mut notes);
    let l3 = cpus.l3(&allowed, &cores, &mut notes);
    let mut nodes = nodes::read(root, &online, mems.as_ref(), &mut notes);
    nodes::find_near(root, &mut nodes);
    let is_this_machine = false;
    Some(Draft { online, allowed, cores, assumed, kinds, packages, l3, nodes, quota, notes, is_this_machine })
}

/// Reads what the process may use, and nothing else of the machine.
pub(super) fn usable(root: &Path) -> Option<Usable> {
    let process = Process::read(root, &mut Vec::new())?;
    Some(Usable { cpus: process.allowed, quota: process.quota })
}

/// The CPU quota alone.
#[cfg(feature = "hwloc")]
pub(super) fn quota(root: &Path, notes: &mut Vec<String>) -> Option<f64> {
    cgroup::Limits::read(root, notes).quota
}

/// The nodes alone, without their CPUs.
pub(super) fn nodes(root: &Path) -> Vec<NumaNode> {
    nodes::read(root, &CpuSet::new(), Status::read(root).mems.as_ref(), &mut Vec::new())
}
