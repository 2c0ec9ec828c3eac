//! The affinity mask, and files that contradict it.

use std::path::Path;

use super::super::{CpuSet, Topology, Usable, bind};
use super::{Tree, assert_notes, cores};

/// What the process may use by these files, and what is online; the quick look has to find the same.
#[track_caller]
fn allowed_and_online(tree: &Tree) -> (String, String) {
    let machine = tree.read();
    let usable = Usable::read(&tree.0).expect("some CPUs");
    assert_eq!(usable.cpus, *machine.allowed_cpus());
    (machine.allowed_cpus().to_string(), machine.cpus().to_string())
}

fn pair(allowed: &str, online: &str) -> (String, String) {
    (allowed.to_owned(), online.to_owned())
}

/// Each CPU a core and a package, in the folder that the kernel has for it.
fn folders(tree: &Tree, cpus: &[usize]) {
    for cpu in cpus {
        tree.cpu(&format!("cpu{cpu}/online"), "1\n");
        tree.cpu(&format!("cpu{cpu}/topology/core_cpus_list"), &cpu.to_string());
        tree.cpu(&format!("cpu{cpu}/topology/package_cpus_list"), &cpu.to_string());
    }
    tree.node(0, "0-127", 1 << 30, "10");
}

#[test]
fn a_container_that_numbers_its_online_cpus_anew_has_those_of_its_mask() {
    let tree = Tree::of("renumbered", &[("proc/self/status", "Cpus_allowed_list:\t24\n")]);
    tree.cpu("online", "0\n");
    folders(&tree, &[24]);
    assert_eq!(allowed_and_online(&tree), pair("24", "24"));
    let machine = tree.read();
    assert_eq!(cores(&machine), ["24"]);
    assert_eq!(machine.numa_nodes()[0].cpus().to_string(), "24");
    assert_notes(
        &machine,
        &["online by sys/devices/system/cpu (0) lack CPUs 24 of the affinity mask: the mask is taken"],
    );

    // The folders of the machine's other CPUs may be there as well.
    folders(&tree, &[0, 1]);
    assert_eq!(allowed_and_online(&tree), pair("24", "0-1,24"));
}

#[test]
fn the_mask_is_taken_as_a_whole_where_only_a_part_of_it_is_in_the_list() {
    let tree = Tree::of("part", &[("proc/self/status", "Cpus_allowed_list:\t1,24-25\n")]);
    tree.cpu("online", "0-2\n");
    folders(&tree, &[1, 24, 25]);
    assert_eq!(allowed_and_online(&tree), pair("1,24-25", "1,24-25"));
    assert_notes(&tree.read(), &["(0-2) lack CPUs 24-25 of the affinity mask"]);
}

#[test]
fn cpus_of_the_mask_that_are_offline_are_not_allowed() {
    // The kernel writes the mask of a process that was never bound in this way: all CPUs that could ever be there.
    let tree = Tree::of("possible", &[("proc/self/status", "Cpus_allowed_list:\t0-127\n")]);
    tree.cpu("online", "0-3\n");
    folders(&tree, &[0, 1, 2, 3, 4]);
    tree.cpu("cpu4/online", "0\n");
    assert_eq!(allowed_and_online(&tree), pair("0-3", "0-3"));
    assert_notes(&tree.read(), &[]);
}

#[test]
fn isolated_cpus_are_allowed_where_the_mask_has_them() {
    // The kernel leaves them out of the masks of processes that were never bound.
    for (mask, allowed) in [("0-1", "0-1"), ("1-2", "1-2")] {
        let tree = Tree::of("isolated", &[("proc/self/status", &format!("Cpus_allowed_list:\t{mask}\n"))]);
        tree.cpu("online", "0-3\n");
        tree.cpu("isolated", "2-3\n");
        folders(&tree, &[0, 1, 2, 3]);
        assert_eq!(allowed_and_online(&tree), pair(allowed, "0-3"));
        assert_notes(&tree.read(), &[]);
    }
}

#[test]
fn a_mask_that_no_file_knows_is_taken_all_the_same() {
    let tree = Tree::of("unknown", &[("proc/self/status", "Cpus_allowed_list:\t8-9\n")]);
    tree.cpu("online", "0-1");
    tree.node(0, "0-1", 1 << 30, "10");
    assert_eq!(allowed_and_online(&tree), pair("8-9", "8-9"));
    let missing = ["lack CPUs 8-9", "siblings of CPUs 8-9", "package of CPUs 8-9"];
    let machine = tree.read();
    missing.iter().for_each(|part| assert!(machine.notes().iter().any(|note| note.contains(part)), "{machine}"));
}

#[test]
fn a_cpuset_that_contradicts_the_mask_is_not_taken() {
    for (cpuset, lacks) in [("3-7", "0-2"), ("40-47", "0-4"), ("1-3", "0,4")] {
        let files = [
            ("proc/self/status", "Cpus_allowed_list:\t0-4\n"),
            ("proc/self/cgroup", "0::/a\n"),
            ("sys/fs/cgroup/a/cpuset.cpus.effective", cpuset),
        ];
        let tree = Tree::of("against", &files);
        tree.cpu("online", "0-7");
        folders(&tree, &[0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(allowed_and_online(&tree), pair("0-4", "0-7"));
        let note = format!("the cpuset ({cpuset}) lacks CPUs {lacks} of the affinity mask: not taken");
        assert_notes(&tree.read(), &[&note]);
    }
}

#[test]
fn a_mask_inside_of_its_cpuset_is_no_contradiction() {
    let files = [
        ("proc/self/status", "Cpus_allowed_list:\t2\n"),
        ("proc/self/cgroup", "0::/a\n"),
        ("sys/fs/cgroup/a/cpuset.cpus.effective", "1-3"),
    ];
    let tree = Tree::of("inside", &files);
    tree.cpu("online", "0-7");
    folders(&tree, &[0, 1, 2, 3]);
    assert_eq!(allowed_and_online(&tree), pair("2", "0-7"));
    assert_notes(&tree.read(), &[]);
}

#[test]
fn nodes_that_the_kernel_says_the_process_may_allocate_on_are_those() {
    let files = [
        ("proc/self/status", "Cpus_allowed_list:\t0-1\nMems_allowed_list:\t1\n"),
        ("proc/self/cgroup", "0::/a\n"),
        ("sys/fs/cgroup/a/cpuset.mems.effective", "0"),
    ];
    let tree = Tree::of("mems", &files);
    tree.cpu("online", "0-1");
    folders(&tree, &[0, 1]);
    tree.node(0, "0", 1 << 30, "10 20");
    tree.node(1, "1", 1 << 30, "20 10");
    let allowed = |machine: &Topology| machine.numa_nodes().iter().map(|node| node.may_allocate()).collect::<Vec<_>>();
    assert_eq!(allowed(&tree.read()), [false, true]);
    tree.write("proc/self/status", "Cpus_allowed_list:\t0-1\n");
    assert_eq!(allowed(&tree.read()), [true, false]);
}

#[test]
fn the_mask_of_this_process_is_what_the_kernel_says() {
    let here = Topology::detect().expect("some CPU");
    let usable = Usable::read(Path::new("/")).expect("some CPU");
    assert_eq!(usable.cpus, *here.allowed_cpus());
    if let Some(mask) = bind::mask_of_process() {
        assert_eq!(mask, usable.cpus);
    }
    assert!(usable.cpus.is_subset(here.cpus()));
    let nowhere = CpuSet::from_iter([CpuSet::MAX - 1]);
    assert!(usable.cpus.intersection(&nowhere).is_empty());
}
