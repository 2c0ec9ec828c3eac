//! The reader on small made-up trees; the sets on random ones.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::{CpuSet, linux};

struct Tree(PathBuf);

impl Tree {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let root = std::env::temp_dir().join(format!("millstream-topology-{}-{name}", std::process::id()));
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("temporary folder");
            fs::write(path, text).expect("temporary file");
        }
        Self(root)
    }
    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn two_nodes_with_threads_offline_cpu_and_quota() {
    let tree = Tree::new(
        "full",
        &[
            ("proc/self/status", "Name:\tx\nCpus_allowed_list:\t0-6\n"),
            ("proc/self/cgroup", "0::/a/b\n"),
            ("sys/fs/cgroup/a/cpu.max", "150000 100000\n"),
            ("sys/fs/cgroup/a/b/cpu.max", "max 100000\n"),
            ("sys/devices/system/cpu/online", "0-5,7\n"),
            ("sys/devices/system/cpu/cpu0/topology/core_cpus_list", "0,4\n"),
            ("sys/devices/system/cpu/cpu1/topology/core_cpus_list", "1,5\n"),
            ("sys/devices/system/cpu/cpu2/topology/core_cpus_list", "2,6\n"),
            ("sys/devices/system/cpu/cpu3/topology/core_cpus_list", "3,7\n"),
            ("sys/devices/system/cpu/cpu4/topology/core_cpus_list", "0,4\n"),
            ("sys/devices/system/cpu/cpu5/topology/core_cpus_list", "1,5\n"),
            ("sys/devices/system/node/node0/cpulist", "0-1,4-5\n"),
            ("sys/devices/system/node/node1/cpulist", "2-3,6-7\n"),
            ("sys/devices/system/node/online", "0-1\n"),
        ],
    );
    let machine = linux::read(tree.path());
    assert_eq!(machine.allowed_cpus().to_string(), "0-5");
    assert_eq!(machine.cores().iter().map(CpuSet::to_string).collect::<Vec<_>>(), ["0,4", "1,5", "2", "3"]);
    assert_eq!(
        machine.numa_nodes().iter().map(|(n, cpus)| format!("{n}:{cpus}")).collect::<Vec<_>>(),
        ["0:0-1,4-5", "1:2-3"]
    );
    assert_eq!(machine.cpu_quota(), Some(1.5));
    assert!(machine.notes().is_empty(), "{:?}", machine.notes());
}

#[test]
fn an_empty_tree_is_flat_and_says_so() {
    let tree = Tree::new("empty", &[("proc/x", "")]);
    let machine = linux::read(tree.path());
    assert!(!machine.allowed_cpus().is_empty());
    assert_eq!(machine.cores().len(), machine.allowed_cpus().len());
    assert_eq!(machine.notes().len(), 3, "{:?}", machine.notes());
}

#[test]
fn lists_that_make_no_sense_are_refused() {
    for text in ["x", "3-1", "1-", "0,99999999999", "4000000"] {
        assert!(text.parse::<CpuSet>().is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn a_set_survives_being_written_and_read(cpus in prop::collection::btree_set(0_usize..3000, 0..60)) {
        let set: CpuSet = cpus.iter().copied().collect();
        prop_assert_eq!(set.to_string().parse::<CpuSet>(), Ok(set.clone()));
        prop_assert_eq!(set.len(), cpus.len());
        prop_assert!(set.iter().eq(cpus));
    }
}
