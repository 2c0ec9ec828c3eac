//! What the control groups of the process leave it: CPU time, CPUs, NUMA nodes.
//!
//! There are up to three hierarchies of groups to look at: version 2's, and of version 1 those of the controllers `cpu`
//! and `cpuset` (once a file system of its own). `proc/self/cgroup` names the process's group in each, and the list of
//! mounts says where it can be seen ([`Mounts`]). In a container often the mount's root is the process's own group, or the
//! path is one of the host's. So a path is walked up to the mount's root, and what is not there is passed over. Limits of
//! time add up on the way and over all mounts that show the group, the tightest counts; of sets the innermost one of a
//! mount counts, as it is below all others.

use std::path::{Path, PathBuf};

use super::super::CpuSet;
use super::files::{list, text};
use super::mounts::{Mounts, Sight};

/// What is left. None: no limit is known.
#[derive(Default)]
pub(super) struct Limits {
    /// In CPUs' worth of time.
    pub(super) quota: Option<f64>,
    pub(super) cpus: Option<CpuSet>,
    /// The numbers of NUMA nodes.
    pub(super) mems: Option<CpuSet>,
}

/// One of the hierarchies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hierarchy {
    Unified,
    /// Of version 1, with this controller.
    With(&'static str),
}

/// Names of the files in a group: of version 2 what is in effect; of version 1 what was set, which is in effect but for
/// what is offline.
const CPUS: [&str; 5] = ["cpuset.cpus.effective", "cpuset.cpus", "cpuset.effective_cpus", "cpus", "effective_cpus"];
const MEMS: [&str; 5] = ["cpuset.mems.effective", "cpuset.mems", "cpuset.effective_mems", "mems", "effective_mems"];

impl Limits {
    pub(super) fn read(root: &Path, notes: &mut Vec<String>) -> Self {
        let mut limits = Self::default();
        let mounts = Mounts::read(root);
        for hierarchy in [Hierarchy::Unified, Hierarchy::With("cpu"), Hierarchy::With("cpuset")] {
            let Some(path) = path(root, hierarchy) else { continue };
            let seen = match mounts.of(hierarchy, &path) {
                Sight::Seen(places) => places,
                Sight::Hidden => {
                    notes.push(format!("the control group {path} is out of sight: its limits are not known"));
                    continue;
                }
                Sight::NotMounted => continue,
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
    // Old kernels, and recordings, have this file alone; it means whichever hierarchy has the cpusets.
    let of_cpuset = || text(&root.join("proc/self/cpuset")).filter(|path| !path.is_empty());
    let has_cpuset = hierarchy == Hierarchy::With("cpuset") || groups.is_empty();
    named.or_else(|| of_cpuset().filter(|_| has_cpuset)).filter(|path| path.len() <= MAX_PATH)
}

/// The kernel has no longer paths.
const MAX_PATH: usize = 4096;

/// How many CPUs' worth of time one group may use.
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

/// What the kernel takes for the period, in microseconds.
const USUAL_PERIOD: &str = "100000";

/// The set of the innermost group that shows one.
fn innermost(folders: &[PathBuf], names: [&str; 5]) -> Option<CpuSet> {
    let files = folders.iter().flat_map(|folder| names.map(|name| folder.join(name)));
    files.filter_map(|file| list(&file)).find(|set| !set.is_empty())
}

/// What is in both sets. Two that have nothing in common contradict each other: then the first stays.
fn tighter(one: Option<CpuSet>, other: Option<CpuSet>) -> Option<CpuSet> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.intersection(&other)).filter(|both| !both.is_empty()).or(Some(one)),
        (one, other) => one.or(other),
    }
}
