//! What the control groups of the process leave it: CPU time, CPUs, NUMA nodes.
//!
//! There are up to three hierarchies of groups to look at: version 2's, and of version 1 those of the controllers `cpu`
//! and `cpuset` (once a file system of its own). `proc/self/cgroup` names the process's group in each, and
//! `proc/self/mountinfo` where each is mounted, and which of its groups is the mount's root. A group need not be visible:
//! in a container often the mount's root is the process's own group, or the path is one of the host's. So a path is
//! walked up to the mount's root, and what is not there is passed over. Limits of time add up on the way, the tightest
//! counts; of sets the innermost one counts, as it is below all others.

use std::path::{Path, PathBuf};

use super::super::CpuSet;
use super::files::{list, text};

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
enum Hierarchy {
    Unified,
    /// Of version 1, with this controller.
    With(&'static str),
}

/// Names of the files in a group.
const CPUS: [&str; 5] = ["cpuset.cpus.effective", "cpuset.effective_cpus", "cpuset.cpus", "effective_cpus", "cpus"];
const MEMS: [&str; 5] = ["cpuset.mems.effective", "cpuset.effective_mems", "cpuset.mems", "effective_mems", "mems"];

impl Limits {
    pub(super) fn read(root: &Path, notes: &mut Vec<String>) -> Self {
        let mut limits = Self::default();
        let mounts = mounts(root);
        for hierarchy in [Hierarchy::Unified, Hierarchy::With("cpu"), Hierarchy::With("cpuset")] {
            let Some(path) = path(root, hierarchy) else { continue };
            if leads_up(&path) {
                notes.push(format!("the control group {path} is out of sight: its limits are not known"));
                continue;
            }
            let Some(mount) = mounts.iter().find(|mount| mount.is_of(hierarchy) && mount.folder.is_dir()) else {
                continue;
            };
            let folders = mount.folders(&path);
            let quotas = folders.iter().filter_map(|folder| quota(folder, notes)).chain(limits.quota);
            limits.quota = quotas.min_by(f64::total_cmp);
            if hierarchy != Hierarchy::With("cpu") {
                limits.cpus = limits.cpus.or_else(|| innermost(&folders, CPUS));
                limits.mems = limits.mems.or_else(|| innermost(&folders, MEMS));
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

/// A place where a hierarchy can be seen.
struct Mount {
    kind: String,
    /// Options of the hierarchy; the controllers are among them.
    options: String,
    /// The group that is at the mount's root.
    top: String,
    folder: PathBuf,
}

impl Mount {
    fn is_of(&self, hierarchy: Hierarchy) -> bool {
        let has = |controller: &str| self.options.split(',').any(|option| option == controller);
        match (hierarchy, self.kind.as_str()) {
            (Hierarchy::Unified, "cgroup2") | (Hierarchy::With("cpuset"), "cpuset") => true,
            (Hierarchy::With(controller), "cgroup") => has(controller),
            _ => false,
        }
    }

    /// The folders of the group and of all above it, from the innermost.
    fn folders(&self, path: &str) -> Vec<PathBuf> {
        let inside = Path::new(path).strip_prefix(&self.top).unwrap_or(Path::new(path));
        // Above the mount's root, if that is given from a group below it: how to get there from here is not known.
        let inside = if leads_up(&self.top) { Path::new("") } else { inside };
        let inside = inside.strip_prefix("/").unwrap_or(inside);
        inside.ancestors().map(|group| self.folder.join(group)).collect()
    }
}

/// Where the hierarchies are mounted; the usual places if that is not recorded.
fn mounts(root: &Path) -> Vec<Mount> {
    let below = |folder: &str| root.join(folder.trim_start_matches('/'));
    let file = |name: &str| text(&root.join(name));
    let mounts: Vec<Mount> = if let Some(lines) = file("proc/self/mountinfo") {
        lines.lines().filter_map(|line| from_mountinfo(line, below)).collect()
    } else {
        let lines = file("proc/self/mounts").or_else(|| file("proc/mounts")).unwrap_or_default();
        lines.lines().filter_map(|line| from_mounts(line, below)).collect()
    };
    if !mounts.is_empty() {
        return mounts;
    }
    let usual = |kind: &str, options: &str, name: &str| Mount {
        kind: kind.to_owned(),
        options: options.to_owned(),
        top: "/".to_owned(),
        folder: below("sys/fs/cgroup").join(name),
    };
    let versions_1 = ["cpu,cpuacct", "cpuacct,cpu", "cpu", "cpuset"].map(|name| usual("cgroup", name, name));
    let versions_2 = ["unified", ""].map(|name| usual("cgroup2", "", name));
    versions_1.into_iter().chain(versions_2).collect()
}

/// `36 35 0:28 /top /folder rw,relatime shared:9 - cgroup source rw,cpu`: see `man 5 proc`.
fn from_mountinfo(line: &str, below: impl Fn(&str) -> PathBuf) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let mut before = before.split(' ').skip(3).map(unescaped);
    let mut after = after.split(' ');
    let (top, folder) = (before.next()?, before.next()?);
    let (kind, options) = (after.next()?.to_owned(), after.nth(1)?.to_owned());
    is_a_mount(&kind, &folder).then(|| Mount { kind, options, top, folder: below(&folder) })
}

/// `source /folder cgroup rw,cpu 0 0`: the root is not told.
fn from_mounts(line: &str, below: impl Fn(&str) -> PathBuf) -> Option<Mount> {
    let mut fields = line.split(' ').skip(1);
    let (folder, kind, options) = (unescaped(fields.next()?), fields.next()?.to_owned(), fields.next()?.to_owned());
    is_a_mount(&kind, &folder).then(|| Mount { kind, options, top: "/".to_owned(), folder: below(&folder) })
}

fn is_a_mount(kind: &str, folder: &str) -> bool {
    ["cgroup", "cgroup2", "cpuset"].contains(&kind) && !leads_up(folder)
}

fn leads_up(path: &str) -> bool {
    path.split('/').any(|name| name == "..")
}

/// The kernel writes a space in a path as `\040`.
fn unescaped(field: &str) -> String {
    let mut parts = field.split('\\');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| match part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
        Some(byte) => text + &char::from(byte).to_string() + &part[3..],
        None => text + "\\" + part,
    })
}

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
    notes.push(format!("a control group's CPU quota '{quota}' of '{period}' is none: not taken"));
    None
}

/// What the kernel takes for the period, in microseconds.
const USUAL_PERIOD: &str = "100000";

/// The set of the innermost group that shows one.
fn innermost(folders: &[PathBuf], names: [&str; 5]) -> Option<CpuSet> {
    let files = folders.iter().flat_map(|folder| names.map(|name| folder.join(name)));
    files.filter_map(|file| list(&file)).find(|set| !set.is_empty())
}
