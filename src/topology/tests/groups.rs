//! Control groups: quotas and cpusets of both versions, in all the places where they are found.

use super::super::Topology;
use super::{Tree, assert_notes};

const ROOT_V1: &str = "30 23 0:26 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755\n";

/// Eight CPUs, each a core, on two nodes, and a process that may run on all of them.
pub(super) fn eight(name: &str, files: &[(&str, &str)]) -> Tree {
    let tree = without_mask(name, files);
    tree.write("proc/self/status", "Cpus_allowed_list:\t0-7\n");
    tree
}

/// The same machine, recorded without the process's affinity mask: there cpusets count.
pub(super) fn without_mask(name: &str, files: &[(&str, &str)]) -> Tree {
    let tree = Tree::of(name, files);
    tree.cpu("online", "0-7");
    for cpu in 0..8 {
        tree.cpu(&format!("cpu{cpu}/topology/core_cpus_list"), &cpu.to_string());
        tree.cpu(&format!("cpu{cpu}/topology/package_cpus_list"), "0-7");
    }
    tree.node(0, "0-3", 1 << 30, "10 20");
    tree.node(1, "4-7", 1 << 30, "20 10");
    tree
}

#[track_caller]
pub(super) fn assert_limits(machine: &Topology, quota: Option<f64>, cpus: &str) {
    assert_eq!((machine.cpu_quota(), machine.allowed_cpus().to_string()), (quota, cpus.to_owned()));
    assert_notes(machine, &[]);
}

/// The same of a machine without a mask.
#[track_caller]
pub(super) fn assert_cpuset(machine: &Topology, quota: Option<f64>, cpus: &str) {
    assert_eq!((machine.cpu_quota(), machine.allowed_cpus().to_string()), (quota, cpus.to_owned()));
    assert_notes(machine, &["no affinity mask"]);
}

#[test]
fn the_tightest_quota_up_to_the_root_counts() {
    let files = [
        ("proc/self/cgroup", "0::/a/b/c\n"),
        ("proc/self/mountinfo", "35 24 0:30 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"),
        ("sys/fs/cgroup/a/cpu.max", "150000 100000\n"),
        ("sys/fs/cgroup/a/b/cpu.max", "max 100000\n"),
        ("sys/fs/cgroup/a/b/c/cpu.max", "400000\n"),
        ("sys/fs/cgroup/other/cpu.max", "1 100000\n"),
    ];
    let tree = eight("tightest", &files);
    let machine = tree.read();
    assert_limits(&machine, Some(1.5), "0-7");
    assert!(machine.to_string().contains("\n  CPU quota: 1.50 CPUs\n"), "{machine}");
    tree.write("sys/fs/cgroup/a/cpu.max", "max 100000\n");
    assert_limits(&tree.read(), Some(4.0), "0-7");
    tree.write("sys/fs/cgroup/a/b/c/cpu.max", "max\n");
    assert_limits(&tree.read(), None, "0-7");
}

#[test]
fn the_innermost_cpuset_counts() {
    let files = [
        ("proc/self/cgroup", "0::/slice/job/step\n"),
        ("proc/mounts", "none /groups/unified cgroup2 rw 0 0\n"),
        ("groups/unified/slice/cpuset.cpus.effective", "0-6"),
        ("groups/unified/slice/cpuset.mems.effective", "0-1"),
        ("groups/unified/slice/job/cpuset.cpus.effective", "2-5\n"),
        ("groups/unified/slice/job/cpuset.mems.effective", "1\n"),
    ];
    let machine = without_mask("innermost", &files).read();
    assert_cpuset(&machine, None, "2-5");
    let nodes: Vec<_> =
        machine.numa_nodes().iter().map(|node| (node.cpus().to_string(), node.may_allocate())).collect();
    assert_eq!(nodes, [("2-3".to_owned(), false), ("4-5".to_owned(), true)]);
}

#[test]
fn controllers_of_version_1_are_found_wherever_they_are_mounted() {
    for (name, place) in
        [("cpu,cpuacct", "sys/fs/cgroup/cpu,cpuacct"), ("cpuacct,cpu", "odd/here"), ("cpu", "cgroup/cpu")]
    {
        let mounts = format!("{ROOT_V1}33 30 0:29 / /{place} rw,nosuid shared:15 - cgroup cgroup rw,{name}\n");
        let files = [
            ("proc/self/cgroup", &*format!("9:memory:/x\n4:{name}:/batch/job\n1:name=systemd:/\n0::/batch/job\n")),
            ("proc/self/mountinfo", &mounts),
            (&format!("{place}/batch/cpu.cfs_quota_us"), "250000\n"),
            (&format!("{place}/batch/cpu.cfs_period_us"), "50000\n"),
            (&format!("{place}/batch/job/cpu.cfs_quota_us"), "-1\n"),
            (&format!("{place}/batch/job/cpu.cfs_period_us"), "100000\n"),
        ];
        assert_limits(&eight("version-1", &files).read(), Some(5.0), "0-7");
    }
}

#[test]
fn without_a_list_of_mounts_the_usual_places_are_tried() {
    let files = [
        ("proc/self/cgroup", "4:cpu,cpuacct:/a\n3:cpuset:/b\n0::/c\n"),
        ("sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "50000"),
        ("sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000"),
        ("sys/fs/cgroup/cpuset/b/cpuset.cpus", "1-2"),
        ("sys/fs/cgroup/unified/c/cpu.max", "25000 100000"),
    ];
    assert_cpuset(&without_mask("usual", &files).read(), Some(0.25), "1-2");
}

#[test]
fn cpusets_of_version_1_count_as_they_were_set() {
    let mounts = "cgroup /sys/fs/cgroup/cpuset cgroup rw,cpuset 0 0\n";
    let files = [
        ("proc/self/cgroup", "4:cpuset:/a/b\n"),
        ("proc/self/mounts", mounts),
        ("sys/fs/cgroup/cpuset/a/cpuset.cpus", "0-3"),
        ("sys/fs/cgroup/cpuset/a/cpuset.effective_cpus", "0-1"),
        ("sys/fs/cgroup/cpuset/a/cpuset.mems", "0-1"),
        ("sys/fs/cgroup/cpuset/a/cpuset.effective_mems", "0"),
        ("sys/fs/cgroup/cpuset/a/b/cpuset.cpus", "\n"),
    ];
    // hwloc reads those, too. What is in effect is the same, less what is offline; where a recording shows less, as one
    // of a POWER9 with nodes of graphics processors does, it is of another moment.
    let tree = without_mask("set", &files);
    let machine = tree.read();
    assert_cpuset(&machine, None, "0-3");
    assert!(machine.numa_nodes().iter().all(|node| node.may_allocate()), "{machine}");
    ["cpus", "mems"].iter().for_each(|what| tree.write(&format!("sys/fs/cgroup/cpuset/a/cpuset.{what}"), ""));
    let machine = tree.read();
    assert_cpuset(&machine, None, "0-1");
    assert_eq!(machine.numa_nodes().iter().filter(|node| node.may_allocate()).count(), 1);
}

#[test]
fn cpusets_without_prefix_and_of_the_first_file_system() {
    let mounts = [
        ("cpuset /dev/cpuset cgroup rw,relatime,cpuset,noprefix 0 0\n", "4:cpuset:/job"),
        ("none /dev/cpuset cpuset rw 0 0\n", ""),
    ];
    for (mounts, groups) in mounts {
        let files = [
            ("proc/mounts", mounts),
            ("proc/self/cgroup", groups),
            ("proc/self/cpuset", "/job\n"),
            ("dev/cpuset/cpus", "0-7"),
            ("dev/cpuset/job/cpus", "0,6"),
        ];
        assert_cpuset(&without_mask("prefix", &files).read(), None, "0,6");
    }
}

#[test]
fn a_container_sees_its_group_as_the_root_of_the_mount() {
    let group = "/docker/0123";
    let mounts = format!("{ROOT_V1}33 30 0:29 {group} /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n");
    let files = [
        ("proc/self/cgroup", &*format!("4:cpu:{group}/inner\n")),
        ("proc/self/mountinfo", &mounts),
        ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "300000"),
        ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000"),
        ("sys/fs/cgroup/cpu/inner/cpu.cfs_quota_us", "200000"),
        ("sys/fs/cgroup/cpu/inner/cpu.cfs_period_us", "100000"),
    ];
    assert_limits(&eight("container", &files).read(), Some(2.0), "0-7");
}

#[test]
fn a_path_of_another_namespace_leads_to_the_root_of_the_mount() {
    let files = [
        ("proc/self/cgroup", "0::/kubepods/burstable/pod7/0123\n"),
        ("proc/self/mountinfo", "35 24 0:30 /.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"),
        ("sys/fs/cgroup/cpu.max", "150000 100000"),
        ("sys/fs/cgroup/kubepods/cpu.max", "1 100000"),
    ];
    let tree = eight("namespace", &files);
    assert_limits(&tree.read(), Some(1.5), "0-7");
    std::fs::remove_dir_all(tree.0.join("sys/fs/cgroup/kubepods")).expect("it is there");
    tree.write("proc/self/mountinfo", "35 24 0:30 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    assert_limits(&tree.read(), Some(1.5), "0-7");
}

#[test]
fn a_group_out_of_sight_is_noted() {
    let files = [
        ("proc/self/cgroup", "0::/../neighbour\n"),
        ("proc/mounts", "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n"),
        ("sys/fs/cgroup/cpu.max", "150000 100000"),
    ];
    let machine = eight("sight", &files).read();
    assert_eq!(machine.cpu_quota(), None);
    assert_notes(&machine, &["/../neighbour is out of sight"]);
}

#[test]
fn mounts_with_spaces_and_mounts_that_are_gone() {
    let gone = "35 24 0:30 / /gone rw - cgroup2 cgroup2 rw\n";
    let odd = "36 24 0:30 / /a\\040place\\134 rw - cgroup2 cgroup2 rw\n";
    let files = [
        ("proc/self/cgroup", "0::/\n"),
        ("proc/self/mountinfo", &*format!("nonsense\n{gone}{odd}")),
        ("a place\\/cpu.max", "150000 100000"),
    ];
    assert_limits(&eight("spaces", &files).read(), Some(1.5), "0-7");
}

#[test]
fn a_quota_that_is_none_is_noted() {
    for text in ["", "lots 100000", "100000 0", "0 100000", "-5 100000", "nan 1"] {
        let files = [("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/cpu.max", text)];
        let machine = eight("nonsense", &files).read();
        assert_eq!(machine.cpu_quota(), None, "{text}");
        assert_notes(&machine, &["is none: not taken"]);
    }
}

#[test]
fn a_cpuset_that_contradicts_is_noted() {
    let files = [("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/cpuset.cpus.effective", "40-47")];
    let machine = without_mask("contradiction", &files).read();
    assert_eq!(machine.allowed_cpus().to_string(), "0-7");
    assert_notes(&machine, &["no affinity mask", "the cpuset (40-47) has none of the CPUs 0-7"]);
}
