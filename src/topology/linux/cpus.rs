//! Reads CPUs, and the cores, packages and L3 domains that they are in.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::super::CpuSet;
use super::super::parts::{L3Domain, Package};
use super::files::{list, number, numbered, set_with, sets, size, start_of, text};

/// Groups CPUs, as `group_of` says of the first CPU of each group. Returns the groups with their first CPU, and the
/// CPUs without a usable group: `group_of` gives no set with the CPU in it, or one that overlaps an earlier group.
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
pub(super) struct Cpus {
    pub(super) root: PathBuf,
}

impl Cpus {
    fn folder(&self) -> PathBuf {
        self.root.join("sys/devices/system/cpu")
    }

    fn of(&self, cpu: usize, what: &str) -> PathBuf {
        self.root.join(format!("sys/devices/system/cpu/cpu{cpu}/{what}"))
    }

    /// The online CPUs, from the list of all. If an old kernel has no such list, from the folders of CPUs.
    pub(super) fn online(&self, notes: &mut Vec<String>) -> Option<CpuSet> {
        let file = self.folder().join("online");
        if let Some(online) = list(&file).filter(|online| !online.is_empty()) {
            return Some(online);
        }
        let online = self.online_by_folders();
        if file.exists() && !online.is_empty() {
            notes.push("sys/devices/system/cpu/online is no list of CPUs: the folders of CPUs are taken".to_owned());
        }
        Some(online).filter(|online| !online.is_empty())
    }

    /// The CPUs that have a folder.
    fn with_folders(&self) -> CpuSet {
        numbered(&self.folder(), "cpu").into_iter().filter(|cpu| *cpu < CpuSet::MAX).collect()
    }

    /// The CPUs that have a folder, without those whose folder says that they are offline.
    pub(super) fn online_by_folders(&self) -> CpuSet {
        let is_online = |cpu: &usize| text(&self.of(*cpu, "online")).is_none_or(|text| text != "0");
        self.with_folders().iter().filter(is_online).collect()
    }

    /// The listed CPUs that have a folder, or all listed ones if none has. A recorded list may come from another moment
    /// or another machine.
    pub(super) fn there(&self, listed: CpuSet, notes: &mut Vec<String>) -> CpuSet {
        let there = listed.intersection(&self.with_folders());
        if there.is_empty() || there == listed {
            return listed;
        }
        let missing = listed.difference(&there);
        notes.push(format!("CPUs {missing} are in the list of online CPUs, but have no folder: left out"));
        there
    }

    /// Whether the folder of a CPU says that it is online.
    pub(super) fn says_online(&self, cpu: usize) -> bool {
        text(&self.of(cpu, "online")).is_some_and(|text| text == "1")
    }

    /// All cores, and the CPUs that count as cores because it is not known to which core they belong.
    pub(super) fn cores(&self, allowed: &CpuSet, notes: &mut Vec<String>) -> (Vec<CpuSet>, CpuSet) {
        let mut ids = BTreeMap::new();
        let mut id = |cpu| *ids.entry(cpu).or_insert_with(|| number(&self.of(cpu, "topology/core_id")));
        let mut has_modules = None;
        let siblings = |cpu| {
            let siblings = set_with(cpu, &self.of(cpu, "topology"), ["core_cpus", "thread_siblings"])?;
            let threads = siblings.intersection(allowed);
            if threads.len() < 2 || has_modules == Some(false) {
                return Some(threads);
            }
            let own = id(cpu);
            let core = threads.iter().filter(|other| *other == cpu || own.is_none() || id(*other) == own).collect();
            // All cores are like the first core with several threads. So if that one needs no correction, nothing more
            // is read.
            let has_modules = *has_modules.get_or_insert_with(|| core != threads && self.is_bulldozer());
            Some(if has_modules { core } else { threads })
        };
        let (groups, alone) = grouped(allowed, siblings);
        if !alone.is_empty() {
            notes.push(format!("the kernel shows no usable siblings of CPUs {alone}: each is taken as a core"));
        }
        let single = alone.iter().map(|cpu| CpuSet::from_iter([cpu]));
        (groups.into_iter().map(|(_, group)| group).chain(single).collect(), alone)
    }

    /// Whether these are AMD processors made of modules with two cores each. The kernel shows the two cores as
    /// siblings, though their core numbers differ.
    fn is_bulldozer(&self) -> bool {
        // The file has a part for each processor. The part of the first one is shorter than 4096 bytes.
        let cpuinfo = start_of(&self.root.join("proc/cpuinfo"), 4096).unwrap_or_default();
        let value = |name: &str| {
            let (_, value) =
                cpuinfo.lines().find_map(|line| line.split_once(':').filter(|(key, _)| key.trim() == name))?;
            Some(value.trim())
        };
        value("vendor_id") == Some("AuthenticAMD") && value("cpu family") == Some("21")
    }

    pub(super) fn packages(&self, allowed: &CpuSet, notes: &mut Vec<String>) -> Vec<Package> {
        // On some machines several packages have the same number. So the sets of CPUs say which packages there are.
        let package_of = |cpu| set_with(cpu, &self.of(cpu, "topology"), ["package_cpus", "core_siblings"]);
        let (groups, outside) = grouped(allowed, package_of);
        if !outside.is_empty() {
            notes.push(format!("the kernel shows no usable package of CPUs {outside}: taken as in none"));
        }
        let id = |cpu| number(&self.of(cpu, "topology/physical_package_id")).and_then(|id| usize::try_from(id).ok());
        groups.into_iter().map(|(cpu, cpus)| Package { id: id(cpu), cpus }).collect()
    }

    pub(super) fn l3(&self, allowed: &CpuSet, cores: &[CpuSet], notes: &mut Vec<String>) -> Vec<L3Domain> {
        let mut caches = BTreeMap::new();
        let (groups, without) = grouped(allowed, |cpu| {
            let cache = self.l3_folder(cpu)?;
            let all: Vec<CpuSet> = sets(&cache, ["shared_cpu"]).collect();
            caches.insert(cpu, cache);
            // On Itanium the set of sharers is empty. Then the cache belongs to the core.
            let is_own = !all.is_empty() && all.iter().all(CpuSet::is_empty);
            let core = || cores.iter().find(|core| core.contains(cpu)).cloned();
            if is_own { core() } else { all.into_iter().find(|set| set.contains(cpu)) }
        });
        let unusable: CpuSet = without.iter().filter(|cpu| caches.contains_key(cpu)).collect();
        if !unusable.is_empty() {
            notes.push(format!("the kernel shows no usable sharers of the L3 cache of CPUs {unusable}: taken as none"));
        }
        let size = |cpu| size(&text(&caches.get(&cpu)?.join("size"))?);
        groups.into_iter().map(|(cpu, cpus)| L3Domain { size: size(cpu), cpus }).collect()
    }

    /// The folder of a CPU's level-3 cache for data. It is not always the fourth one.
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
