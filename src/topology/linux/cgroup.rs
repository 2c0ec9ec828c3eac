//! Reads what the control groups of the process allow it: CPU time, CPUs, NUMA nodes.
//!
//! There are up to three hierarchies of groups: the one of version 2, and in version 1 those of the controllers `cpu`
//! and `cpuset`. (`cpuset` was once a file system of its own.) `proc/self/cgroup` names the group of the process in
//! each hierarchy, and the list of mounts says where that group can be seen ([`Mounts`]).
//!
//! In a container, the root of a mount is often the group of the process itself, or the path is a path of the host. So
//! this walks from the group up to the root of the mount, and passes over folders that do not exist. Of all limits of
//! CPU time on the way and in all mounts that show the group, the tightest one counts. Of sets, the innermost one in a
//! mount counts, because a group's set lies within the sets of all groups above it.

use std::path::{Path, PathBuf};

use super::super::CpuSet;
use super::files::{list, text};
use super::mounts::{MountView, Mounts};

/// What the process is allowed. None means that no limit is known.
#[derive(Default)]
pub(super) struct Limits {
    /// CPU time, in CPUs.
    pub(super) quota: Option<f64>,
    pub(super) cpus: Option<CpuSet>,
    /// The numbers of the NUMA nodes that it may allocate on.
    pub(super) mems: Option<CpuSet>,
}

/// A hierarchy of control groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hierarchy {
    /// The hierarchy of version 2.
    Unified,
    /// The hierarchy of version 1 with this controller.
    With(&'static str),
}

/// The names of the files with sets in the folder of a group. In version 2 the first one has what is in effect. In
/// version 1 the files have what was set; that is in effect, except for what is offline.
const CPUS: [&str; 5] = ["cpuset.cpus.effective", "cpuset.cpus", "cpuset.effective_cpus", "cpus", "effective_cpus"];
const MEMS: [&str; 5] = ["cpuset.mems.effective", "cpuset.mems", "cpuset.effective_mems", "mems", "effective_mems"];

impl Limits {
    pub(super) fn read(root: &Path, notes: &mut Vec<String>) -> Self {
        let mut limits = Self::default();
        let mounts = Mounts::read(root);
        for hierarchy in [Hierarchy::Unified, Hierarchy::With("cpu"), Hierarchy::With("cpuset")] {
            let Some(path) = path(root, hierarchy) else { continue };
            let seen = match mounts.of(hierarchy, &path) {
                MountView::Seen(places) => places,
                MountView::Hidden => {
                    notes.push(format!("the control group {path} is out of sight: its limits are not known"));
                    continue;
                }
                MountView::NotMounted => continue,
            };
            for folders in seen {
                let quotas = folders.iter().filter_map(|folder| quota(folder, notes)).chain(limits.quota);
                limits.quota = quotas.min_by(f64::total_cmp);
                if hierarchy != Hierarchy::With("cpu") {
                    limits.cpus = tighter(limits.cpus, innermost(&folders, CPUS));
                    limits.mems = tighter(limits.mems, innermost(&folders, MEMS));
                }
            }
        }
        limits
    }
}

/// The path of the process's group from the root of a hierarchy.
fn path(root: &Path, hierarchy: Hierarchy) -> Option<String> {
    let groups = text(&root.join("proc/self/cgroup")).unwrap_or_default();
    let is_it = |controllers: &str| match hierarchy {
        Hierarchy::Unified => controllers.is_empty(),
        Hierarchy::With(controller) => controllers.split(',').any(|name| name == controller),
    };
    let named = groups.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        is_it(controllers).then(|| path.to_owned())
    });
    // Old kernels and some recordings have only `proc/self/cpuset`. It is about the hierarchy that has the cpusets.
    let of_cpuset = || text(&root.join("proc/self/cpuset")).filter(|path| !path.is_empty());
    let has_cpuset = hierarchy == Hierarchy::With("cpuset") || groups.is_empty();
    named.or_else(|| of_cpuset().filter(|_| has_cpuset)).filter(|path| path.len() <= MAX_PATH)
}

/// The length of the longest path that the kernel has, in bytes.
const MAX_PATH: usize = 4096;

/// How much CPU time one group may use, in CPUs.
fn quota(folder: &Path, notes: &mut Vec<String>) -> Option<f64> {
    let (quota, period) = if let Some(max) = text(&folder.join("cpu.max")) {
        let mut words = max.split_whitespace().map(str::to_owned);
        (words.next().unwrap_or_default(), words.next().unwrap_or_else(|| USUAL_PERIOD.to_owned()))
    } else {
        (text(&folder.join("cpu.cfs_quota_us"))?, text(&folder.join("cpu.cfs_period_us"))?)
    };
    if ["max", "-1"].contains(&quota.as_str()) {
        return None;
    }
    let microseconds = |text: &str| text.parse::<u64>().ok().filter(|time| *time > 0);
    if let (Some(quota), Some(period)) = (microseconds(&quota), microseconds(&period)) {
        return Some(quota as f64 / period as f64);
    }
    let note = format!("a control group's CPU quota '{quota}' of '{period}' is none: not taken");
    // Several mounts may show the same file.
    if !notes.contains(&note) {
        notes.push(note);
    }
    None
}

/// The period that the kernel takes if none is set, in microseconds.
const USUAL_PERIOD: &str = "100000";

/// The set of the innermost group that shows one.
fn innermost(folders: &[PathBuf], names: [&str; 5]) -> Option<CpuSet> {
    let files = folders.iter().flat_map(|folder| names.map(|name| folder.join(name)));
    files.filter_map(|file| list(&file)).find(|set| !set.is_empty())
}

/// What is in both sets. Two sets with nothing in common contradict each other; then the first one stays.
fn tighter(one: Option<CpuSet>, other: Option<CpuSet>) -> Option<CpuSet> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.intersection(&other)).filter(|both| !both.is_empty()).or(Some(one)),
        (one, other) => one.or(other),
    }
}
