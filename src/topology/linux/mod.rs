//! Reads a machine from Linux's files, through a root path.
//!
//! Which CPUs are online and allowed comes first; of the others nothing is read. Then each level is asked for by the
//! first CPU of each group that is left: a machine of 1024 CPUs takes a few thousand small files. Old kernels show fewer
//! files than new ones, and masks where those have lists; both are read.

mod cgroup;
mod files;
mod kinds;
mod nodes;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::draft::Draft;
use super::parts::{L3Domain, NumaNode, Package};
use super::{CpuSet, Usable};
use files::{list, list_or_mask, number, size, text};

/// Reads what is there. Nothing if there are no files about CPUs.
pub(super) fn read(root: &Path) -> Option<Draft> {
    let mut notes = Vec::new();
    let Process { status, online, limits, allowed } = Process::read(root, &mut notes)?;
    let cpus = Cpus { root: root.to_owned() };
    let cores = cpus.cores(&allowed, &mut notes);
    let kinds = kinds::read(root, &cores, &mut notes);
    let packages = cpus.packages(&allowed, &mut notes);
    let l3 = cpus.l3(&allowed, &mut notes);
    let nodes = nodes::read(root, &online, [&status.mems, &limits.mems], &mut notes);
    let is_this_machine = false;
    Some(Draft { online, allowed, cores, kinds, packages, l3, nodes, quota: limits.quota, notes, is_this_machine })
}

/// Reads what the process may use, and nothing else of the machine.
pub(super) fn usable(root: &Path) -> Option<Usable> {
    let process = Process::read(root, &mut Vec::new())?;
    Some(Usable { cpus: process.allowed, quota: process.limits.quota })
}

/// What the process may use, and by what it is limited.
struct Process {
    status: Status,
    online: CpuSet,
    limits: cgroup::Limits,
    allowed: CpuSet,
}

impl Process {
    fn read(root: &Path, notes: &mut Vec<String>) -> Option<Self> {
        let status = Status::read(root);
        let online = match (Cpus { root: root.to_owned() }).online(notes) {
            Some(online) => online,
            None => {
                let mask = status.cpus.clone()?;
                notes.push("no CPUs in sys/devices/system/cpu: those of the affinity mask are taken".to_owned());
                mask
            }
        };
        let limits = cgroup::Limits::read(root, notes);
        if status.cpus.is_none() {
            notes.push("no affinity mask in proc/self/status: taken as all online CPUs".to_owned());
        }
        let allowed = narrowed(&online, [("affinity mask", &status.cpus), ("cpuset", &limits.cpus)], notes);
        Some(Self { status, online, limits, allowed })
    }
}

/// The CPU quota alone.
#[cfg(feature = "hwloc")]
pub(super) fn quota(root: &Path, notes: &mut Vec<String>) -> Option<f64> {
    cgroup::Limits::read(root, notes).quota
}

/// The nodes alone, without their CPUs.
pub(super) fn nodes(root: &Path) -> Vec<NumaNode> {
    nodes::read(root, &CpuSet::new(), [&Status::read(root).mems, &None], &mut Vec::new())
}

/// What the kernel says about the process.
struct Status {
    /// Its affinity mask, as its cpuset leaves it.
    cpus: Option<CpuSet>,
    /// The numbers of the nodes it may allocate on.
    mems: Option<CpuSet>,
}

impl Status {
    fn read(root: &Path) -> Self {
        let text = text(&root.join("proc/self/status")).unwrap_or_default();
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        let set = |key: &str| {
            let list = value(&format!("{key}_list")).and_then(|list| list.parse().ok());
            list.or_else(|| CpuSet::from_mask(value(key)?)).filter(|set| !set.is_empty())
        };
        Self { cpus: set("Cpus_allowed"), mems: set("Mems_allowed") }
    }
}

/// What all of the limits leave. A limit that leaves nothing contradicts the others, and is not taken.
fn narrowed(all: &CpuSet, limits: [(&str, &Option<CpuSet>); 2], notes: &mut Vec<String>) -> CpuSet {
    let mut left = all.clone();
    for (name, limit) in limits.into_iter().filter_map(|(name, limit)| Some((name, limit.as_ref()?))) {
        let both = left.intersection(limit);
        if both.is_empty() {
            notes.push(format!("the {name} ({limit}) has none of the CPUs {left}: not taken"));
        } else {
            left = both;
        }
    }
    left
}

/// Groups CPUs by what the first of each group says of it. Also gives those of which nothing usable is said: no set with
/// the CPU in it, or one that a group already has a part of.
fn grouped(cpus: &CpuSet, mut group_of: impl FnMut(usize) -> Option<CpuSet>) -> (Vec<(usize, CpuSet)>, CpuSet) {
    let (mut groups, mut ungrouped, mut left) = (Vec::new(), CpuSet::new(), cpus.clone());
    for cpu in cpus.iter() {
        if !left.contains(cpu) {
            continue;
        }
        let group = group_of(cpu).map(|group| group.intersection(cpus));
        match group.filter(|group| group.contains(cpu) && group.is_subset(&left)) {
            Some(group) => {
                left = left.difference(&group);
                groups.push((cpu, group));
            }
            None => {
                left.remove(cpu);
                ungrouped.insert(cpu);
            }
        }
    }
    (groups, ungrouped)
}

/// The folder `sys/devices/system/cpu`.
struct Cpus {
    root: PathBuf,
}

impl Cpus {
    fn folder(&self) -> PathBuf {
        self.root.join("sys/devices/system/cpu")
    }

    fn of(&self, cpu: usize, what: &str) -> PathBuf {
        self.root.join(format!("sys/devices/system/cpu/cpu{cpu}/{what}"))
    }

    /// From the list of all, or where an old kernel shows none, from their folders.
    fn online(&self, notes: &mut Vec<String>) -> Option<CpuSet> {
        let file = self.folder().join("online");
        if let Some(online) = list(&file).filter(|online| !online.is_empty()) {
            return Some(online);
        }
        let is_online = |cpu: &usize| text(&self.of(*cpu, "online")).is_none_or(|text| text != "0");
        let online: CpuSet =
            numbered(&self.folder(), "cpu").into_iter().filter(|cpu| *cpu < CpuSet::MAX).filter(is_online).collect();
        if file.exists() && !online.is_empty() {
            notes.push("sys/devices/system/cpu/online is no list of CPUs: the folders of CPUs are taken".to_owned());
        }
        Some(online).filter(|online| !online.is_empty())
    }

    fn cores(&self, allowed: &CpuSet, notes: &mut Vec<String>) -> Vec<CpuSet> {
        let mut ids = BTreeMap::new();
        let mut id = |cpu| *ids.entry(cpu).or_insert_with(|| number(&self.of(cpu, "topology/core_id")));
        let siblings = |cpu| {
            let folder = self.of(cpu, "topology");
            if let Some(core) = list_or_mask(&folder, ["core_cpus"]) {
                return Some(core);
            }
            // The older file has the two cores of a Bulldozer module as siblings, though their ids differ.
            let siblings = list_or_mask(&folder, ["thread_siblings"])?;
            let own = id(cpu);
            let here = siblings.intersection(allowed);
            Some(here.iter().filter(|sibling| *sibling == cpu || own.is_none() || id(*sibling) == own).collect())
        };
        let (groups, alone) = grouped(allowed, siblings);
        if !alone.is_empty() {
            notes.push(format!("the kernel shows no usable siblings of CPUs {alone}: each is taken as a core"));
        }
        let alone = alone.iter().map(|cpu| CpuSet::from_iter([cpu]));
        groups.into_iter().map(|(_, group)| group).chain(alone).collect()
    }

    fn packages(&self, allowed: &CpuSet, notes: &mut Vec<String>) -> Vec<Package> {
        // Numbers of packages repeat on some machines, so the lists say which there are.
        let (groups, outside) =
            grouped(allowed, |cpu| list_or_mask(&self.of(cpu, "topology"), ["package_cpus", "core_siblings"]));
        if !outside.is_empty() {
            notes.push(format!("the kernel shows no usable package of CPUs {outside}: taken as in none"));
        }
        let id = |cpu| number(&self.of(cpu, "topology/physical_package_id")).and_then(|id| usize::try_from(id).ok());
        groups.into_iter().map(|(cpu, cpus)| Package { id: id(cpu), cpus }).collect()
    }

    fn l3(&self, allowed: &CpuSet, notes: &mut Vec<String>) -> Vec<L3Domain> {
        let mut caches = BTreeMap::new();
        let (groups, without) = grouped(allowed, |cpu| {
            let cache = caches.entry(cpu).insert_entry(self.l3_folder(cpu)?);
            list_or_mask(cache.get(), ["shared_cpu"])
        });
        let unusable: CpuSet = without.iter().filter(|cpu| caches.contains_key(cpu)).collect();
        if !unusable.is_empty() {
            notes.push(format!("the kernel shows no usable sharers of the L3 cache of CPUs {unusable}: taken as none"));
        }
        let size = |cpu| size(&text(&caches.get(&cpu)?.join("size"))?);
        groups.into_iter().map(|(cpu, cpus)| L3Domain { size: size(cpu), cpus }).collect()
    }

    /// The folder of a CPU's level-3 cache for data, which is not always the fourth.
    fn l3_folder(&self, cpu: usize) -> Option<PathBuf> {
        let caches = self.of(cpu, "cache");
        let folders = numbered(&caches, "index").into_iter().map(|index| caches.join(format!("index{index}")));
        let is_l3 = |folder: &PathBuf| {
            let of_instructions = || text(&folder.join("type")).is_some_and(|kind| kind == "Instruction");
            number(&folder.join("level")) == Some(3) && !of_instructions()
        };
        folders.into_iter().find(is_l3)
    }
}

/// The numbers of the entries of a folder that are called `name` and a number, in order.
fn numbered(folder: &Path, name: &str) -> Vec<usize> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let number = |entry: fs::DirEntry| entry.file_name().to_str()?.strip_prefix(name)?.parse().ok();
    let mut numbers: Vec<usize> = entries.flatten().filter_map(number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}
