//! Machines from made-up trees of files, from random broken ones, and from descriptions.

#[cfg(target_os = "linux")]
mod bind;
mod broken;
mod contradictions;
mod groups;
mod machines;
mod masks;
mod mounts;
mod sets;
mod synthetic;

use std::fs;
use std::path::{Path, PathBuf};

use super::{CpuSet, Topology};

/// A folder with files, removed when dropped.
struct Tree(PathBuf);

impl Tree {
    fn new(name: &str) -> Self {
        let name = format!("millstream-topology-{}-{name}", std::process::id());
        // In memory, where that is possible.
        let places = [Path::new("/dev/shm").join(&name), std::env::temp_dir().join(&name)];
        Self(places.into_iter().find(|place| fs::create_dir(place).is_ok()).expect("temporary folder"))
    }

    fn of(name: &str, files: &[(&str, &str)]) -> Self {
        let tree = Self::new(name);
        files.iter().for_each(|(path, text)| tree.write(path, text));
        tree
    }

    fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("folder");
        fs::write(path, text).expect("file");
    }

    fn remove(&self, path: &str) {
        fs::remove_file(self.0.join(path)).expect("it is there");
    }

    /// A file of the folder `sys/devices/system/cpu`.
    fn cpu(&self, path: &str, text: &str) {
        self.write(&format!("sys/devices/system/cpu/{path}"), text);
    }

    /// Adds a NUMA node with this much memory.
    fn node(&self, id: usize, cpus: &str, memory: u64, distances: &str) {
        let folder = format!("sys/devices/system/node/node{id}");
        self.write(&format!("{folder}/cpulist"), cpus);
        self.write(&format!("{folder}/meminfo"), format!("Node {id} MemTotal:  {} kB\n", memory / 1024));
        self.write(&format!("{folder}/distance"), distances);
    }

    /// Reads the machine, and checks the invariants.
    fn read(&self) -> Topology {
        let machine = Topology::read(&self.0).expect("some CPUs");
        assert_invariants(&machine);
        machine
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// I1 to I5 of the module.
#[track_caller]
fn assert_invariants(machine: &Topology) {
    assert!(!machine.allowed.is_empty() && machine.allowed.is_subset(&machine.online), "{machine:?}"); // I1
    let cores = || machine.cores.iter().map(|core| &core.cpus);
    assert_eq!(cores().fold(CpuSet::new(), |all, cpus| all.union(cpus)), machine.allowed, "{machine:?}"); // I2
    assert_parts(machine, cores().collect());
    assert_parts(machine, machine.packages.iter().map(|package| &package.cpus).collect());
    assert_parts(machine, machine.l3.iter().map(|domain| &domain.cpus).collect());
    let mut nodes: Vec<&CpuSet> = machine.nodes.iter().map(|node| &node.cpus).filter(|cpus| !cpus.is_empty()).collect();
    nodes.sort_by_key(|cpus| cpus.first());
    assert_parts(machine, nodes);
    assert!(machine.nodes.is_sorted_by(|one, next| one.id < next.id), "{machine:?}");
    for core in &machine.cores {
        // I4
        let package = core.package.map(|index| &machine.packages[index].cpus);
        let node = core.node.map(|id| &machine.numa_node(id).expect("its node").cpus);
        let domain = core.l3.map(|index| &machine.l3[index].cpus);
        let is_apart = |cpus: &CpuSet| core.cpus.intersection(cpus).is_empty();
        let in_none = [
            package.is_none() && machine.packages.iter().all(|package| is_apart(&package.cpus)),
            node.is_none() && machine.nodes.iter().all(|node| is_apart(&node.cpus)),
            domain.is_none() && machine.l3.iter().all(|domain| is_apart(&domain.cpus)),
        ];
        for (part, in_none) in [package, node, domain].into_iter().zip(in_none) {
            assert!(part.map_or(in_none, |cpus| core.cpus.is_subset(cpus)), "{core:?} in {machine:?}");
        }
    }
    assert!(machine.nodes.iter().any(|node| !node.cpus.is_empty()), "{machine:?}"); // I5
    for node in &machine.nodes {
        assert!(!node.cpus.is_empty() || node.may_allocate(), "{node:?} of {machine:?}");
        assert!(node.has_cpus || node.cpus.is_empty(), "{node:?} of {machine:?}");
        assert!(node.near().is_subset(&machine.allowed), "{node:?} of {machine:?}");
    }
    assert_eq!(format!("{machine:#}").matches("  core ").count(), machine.cores.len(), "{machine:#}");
}

/// I3.
#[track_caller]
fn assert_parts(machine: &Topology, parts: Vec<&CpuSet>) {
    assert!(parts.iter().all(|cpus| !cpus.is_empty() && cpus.is_subset(&machine.allowed)), "{machine:?}");
    assert!(parts.is_sorted_by_key(|cpus| cpus.first()), "{machine:?}");
    let union = parts.iter().fold(CpuSet::new(), |all, cpus| all.union(cpus));
    assert_eq!(parts.iter().map(|cpus| cpus.len()).sum::<usize>(), union.len(), "{machine:?}");
}

/// The cores, each as a list of CPUs.
fn cores(machine: &Topology) -> Vec<String> {
    machine.cores.iter().map(|core| core.cpus.to_string()).collect()
}

/// The nodes, each as a number and a list of CPUs.
fn nodes(machine: &Topology) -> Vec<String> {
    machine.nodes.iter().map(|node| format!("{}:{}", node.id, node.cpus)).collect()
}

fn packages(machine: &Topology) -> Vec<String> {
    machine.packages.iter().map(|package| package.cpus.to_string()).collect()
}

fn l3(machine: &Topology) -> Vec<String> {
    machine.l3.iter().map(|domain| domain.cpus.to_string()).collect()
}

#[track_caller]
fn assert_notes(machine: &Topology, parts: &[&str]) {
    assert_eq!(machine.notes.len(), parts.len(), "{:?}", machine.notes);
    for part in parts {
        assert!(machine.notes.iter().any(|note| note.contains(part)), "'{part}' is not in {:?}", machine.notes);
    }
}
