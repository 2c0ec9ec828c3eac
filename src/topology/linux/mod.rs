//! Reads a machine from Linux's files, through a root path.
//!
//! [`read`] first finds out which CPUs are online and allowed; it reads nothing about the others. Then, for each level,
//! it takes the first CPU that is in no group yet, and reads the group from that CPU's files. So a machine of 1024 CPUs
//! takes a few thousand small files. Old kernels show fewer files than new ones, and only masks where new ones show
//! lists as well; both are read.

mod cgroup;
mod cpus;
mod files;
mod kinds;
mod mounts;
mod nodes;
mod process;

use std::path::Path;

use super::draft::MachineDraft;
use super::parts::NumaNode;
use super::{CpuSet, Usable};
use cpus::Cpus;
use process::{Process, Status};

/// Reads a machine. None if there are no files about CPUs.
pub(super) fn read(root: &Path) -> Option<MachineDraft> {
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
    Some(MachineDraft { online, allowed, cores, assumed, kinds, packages, l3, nodes, quota, notes, is_this_machine })
}

/// Reads what the process may use, and nothing else about the machine.
pub(super) fn usable(root: &Path) -> Option<Usable> {
    let process = Process::read(root, &mut Vec::new())?;
    Some(Usable { cpus: process.allowed, quota: process.quota })
}

/// Reads only the CPU quota.
#[cfg(feature = "hwloc")]
pub(super) fn quota(root: &Path, notes: &mut Vec<String>) -> Option<f64> {
    cgroup::Limits::read(root, notes).quota
}

/// Reads only the nodes, without their CPUs.
pub(super) fn nodes(root: &Path) -> Vec<NumaNode> {
    nodes::read(root, &CpuSet::new(), Status::read(root).mems.as_ref(), &mut Vec::new())
}
