//! Files of recorded machines that contradict each other, or the machine.
//!
//! Each test is a small copy of a kind of machine in hwloc's own collection of recordings. The reader takes what hwloc
//! takes.

use super::{Tree, assert_notes, cores, l3, nodes, packages};

/// A mask that every CPU is in, so that notes tell of the rest.
const MASK: (&str, &str) = ("proc/self/status", "Cpus_allowed_list:\t0-31\n");

/// CPUs in one package and on one node, in cores of the same number of CPUs.
fn machine(name: &str, cpus: usize, threads: usize) -> Tree {
    let tree = Tree::of(name, &[MASK]);
    let all = format!("0-{}", cpus - 1);
    tree.cpu("online", &all);
    tree.node(0, &all, 1 << 30, "10");
    for cpu in 0..cpus {
        let first = cpu / threads * threads;
        tree.cpu(&format!("cpu{cpu}/topology/thread_siblings_list"), &format!("{first}-{}", first + threads - 1));
        tree.cpu(&format!("cpu{cpu}/topology/core_siblings_list"), &all);
        tree.cpu(&format!("cpu{cpu}/topology/core_id"), &format!("{}", cpu / threads));
    }
    tree
}

fn cache(tree: &Tree, cpu: usize, index: usize, files: &[(&str, &str)]) {
    files.iter().for_each(|(name, text)| tree.cpu(&format!("cpu{cpu}/cache/index{index}/{name}"), text));
}

#[test]
fn a_list_without_the_cpu_gives_way_to_the_mask() {
    let tree = machine("list", 8, 1);
    for cpu in 0..8 {
        let (mask, list) = (["03", "0c", "30", "c0"][cpu / 2], "0-1");
        cache(
            &tree,
            cpu,
            3,
            &[("level", "3"), ("type", "Unified"), ("shared_cpu_list", list), ("shared_cpu_map", mask)],
        );
        tree.cpu(&format!("cpu{cpu}/topology/core_siblings_list"), "0-3");
        tree.cpu(&format!("cpu{cpu}/topology/core_siblings"), ["0f", "f0"][cpu / 4]);
        tree.cpu(&format!("cpu{cpu}/topology/thread_siblings_list"), "0-1");
        tree.cpu(&format!("cpu{cpu}/topology/thread_siblings"), mask);
        tree.cpu(&format!("cpu{cpu}/topology/core_id"), &format!("{}", cpu / 2));
    }
    let machine = tree.read();
    assert_eq!(l3(&machine), ["0-1", "2-3", "4-5", "6-7"]);
    assert_eq!(cores(&machine), ["0-1", "2-3", "4-5", "6-7"]);
    assert_eq!(packages(&machine), ["0-3", "4-7"]);
    assert_notes(&machine, &[]);
}

#[test]
fn where_list_and_mask_both_have_the_cpu_the_mask_counts() {
    // hwloc reads masks only, so in the recordings that show how it deals with wrong files, the masks are wrong. It
    // leaves out an L3 cache and a package that reach into others, and so does this.
    let tree = machine("both", 8, 1);
    tree.node(0, "0-7", 1 << 30, "10");
    tree.write("sys/devices/system/node/node0/cpumap", "7f");
    for cpu in 0..8 {
        let (list, mask) = (["0,4", "1,5", "2,6", "3,7"][cpu % 4], ["11", "22", "44", "88"][cpu % 4]);
        let sharers = if cpu == 2 { "0f" } else { mask };
        cache(&tree, cpu, 3, &[("level", "3"), ("shared_cpu_list", list), ("shared_cpu_map", sharers)]);
        tree.cpu(&format!("cpu{cpu}/topology/core_siblings_list"), list);
        tree.cpu(&format!("cpu{cpu}/topology/core_siblings"), if cpu == 3 { "0f" } else { mask });
    }
    let machine = tree.read();
    assert_eq!(l3(&machine), ["0,4", "1,5", "3,7"]);
    assert_eq!(packages(&machine), ["0,4", "1,5", "2,6"]);
    assert_eq!(nodes(&machine), ["0:0-6"]);
    let notes =
        ["package of CPUs 3,7: taken as in none", "sharers of the L3 cache of CPUs 2,6", "CPUs 7 are on no NUMA"];
    assert_notes(&machine, &notes);
}

#[test]
fn a_mask_without_the_cpu_gives_way_to_the_list() {
    let tree = machine("without", 4, 1);
    for cpu in 0..4 {
        tree.cpu(&format!("cpu{cpu}/topology/core_siblings"), "0c");
        tree.cpu(&format!("cpu{cpu}/topology/core_siblings_list"), ["0-1", "2-3"][cpu / 2]);
    }
    let machine = tree.read();
    assert_eq!(packages(&machine), ["0-1", "2-3"]);
    assert_notes(&machine, &[]);
}

#[test]
fn an_l3_cache_that_nobody_shares_is_its_cores() {
    // So Itanium's kernels show caches.
    let tree = machine("nobody", 8, 2);
    for cpu in 0..8 {
        let (first, second) = (&[("level", "2"), ("type", "Instruction")], &[("level", "3"), ("type", "Unified")]);
        cache(&tree, cpu, 3, first);
        cache(&tree, cpu, 4, second);
        cache(&tree, cpu, 4, &[("size", "9216K"), ("shared_cpu_map", "00000000,00000000\n")]);
    }
    let machine = tree.read();
    assert_eq!(l3(&machine), ["0-1", "2-3", "4-5", "6-7"]);
    assert_eq!(machine.l3_domains()[3].size(), Some(9 << 20));
    assert_notes(&machine, &[]);
    // A set that cannot be read is something else.
    for cpu in 0..8 {
        cache(&tree, cpu, 4, &[("shared_cpu_map", "?"), ("shared_cpu_list", "1-")]);
    }
    assert_notes(&tree.read(), &["sharers of the L3 cache of CPUs 0-7"]);
}

#[test]
fn threads_with_core_numbers_of_their_own_are_cores_on_bulldozer_alone() {
    let cpuinfo = |vendor: &str, family: u32| {
        format!("processor\t: 0\nvendor_id\t: {vendor}\ncpu family\t: {family}\n\nprocessor\t: 1\ncpu family\t: 21\n")
    };
    for name in ["thread_siblings_list", "core_cpus_list"] {
        let tree = machine("modules", 8, 2);
        for cpu in 0..8 {
            tree.cpu(&format!("cpu{cpu}/topology/{name}"), ["0-1", "2-3", "4-5", "6-7"][cpu / 2]);
            tree.cpu(&format!("cpu{cpu}/topology/core_id"), &cpu.to_string());
        }
        let threads = ["0-1", "2-3", "4-5", "6-7"];
        assert_eq!(cores(&tree.read()), threads);
        for (vendor, family) in [("GenuineIntel", 21), ("AuthenticAMD", 25), ("AuthenticAMD", 15)] {
            tree.write("proc/cpuinfo", cpuinfo(vendor, family));
            assert_eq!(cores(&tree.read()), threads);
        }
        tree.write("proc/cpuinfo", cpuinfo("AuthenticAMD", 21));
        assert_eq!(cores(&tree.read()), ["0", "1", "2", "3", "4", "5", "6", "7"]);
        assert_notes(&tree.read(), &[]);
    }
}

#[test]
fn cpus_in_the_list_without_a_folder_are_not_there() {
    let tree = machine("folder", 4, 2);
    tree.remove("proc/self/status");
    tree.cpu("online", "0-7");
    tree.node(0, "0-7", 1 << 30, "10");
    let read = tree.read();
    assert_eq!((read.cpus().to_string(), cores(&read)), ("0-3".to_owned(), vec!["0-1".to_owned(), "2-3".to_owned()]));
    assert_notes(&read, &["no affinity mask", "CPUs 4-7 are in the list of online CPUs, but have no folder"]);
    // The mask is right.
    tree.write(MASK.0, MASK.1);
    assert_eq!(tree.read().allowed_cpus().to_string(), "0-7");
}

#[test]
fn memory_of_graphics_processors_is_no_node() {
    let tree = machine("graphics", 4, 1);
    tree.node(0, "0-3", 1 << 30, "10 80 80 80");
    tree.node(8, "", 1 << 30, "80 10 80 80");
    tree.node(254, "", 16 << 30, "80 80 10 80");
    tree.node(255, "", 16 << 30, "80 80 80 10");
    for (bus, node) in
        [("0004:05:00.0", "Node:\t255"), ("0035:03:00.0", "Node:      254"), ("0035:04:00.0", "Node: -1")]
    {
        let status = format!("{node}\nStatus:    online\nAddress:   40000000000\n");
        tree.write(&format!("proc/driver/nvidia/gpus/{bus}/numa_status"), status);
    }
    let read = tree.read();
    assert_eq!(nodes(&read), ["0:0-3", "8:"]);
    assert_eq!(read.numa_nodes()[1].distance(0), Some(80));
    assert_notes(&read, &["NUMA nodes 254-255 are the memory of graphics processors: left out"]);
}

#[test]
fn of_nodes_with_a_part_of_their_cpus_in_common_the_first_counts() {
    let tree = machine("nested", 8, 1);
    for (id, cpus, distances) in [(0, "0-1", "10 20 30 30"), (1, "0-3", "20 10 30 30"), (2, "6-7", "30 30 10 20")] {
        tree.node(id, cpus, 1 << 30, distances);
    }
    tree.node(3, "4-7", 1 << 30, "30 30 20 10");
    let read = tree.read();
    assert_eq!(nodes(&read), ["0:0-1", "2:6-7"]);
    assert_eq!(read.numa_nodes()[1].memory(), Some(1 << 30));
    let overlap = |id| format!("NUMA node {id} has CPUs of nodes before it: left out");
    assert_notes(&read, &[&overlap(1), &overlap(3), "CPUs 2-5 are on no NUMA node"]);
}

#[test]
fn nodes_with_the_same_cpus_are_one() {
    let tree = machine("same", 4, 1);
    for id in 0..3 {
        tree.node(id, "0-3", 1 << 30, "10 10 10 10");
    }
    tree.node(5, "", 1 << 30, "20 20 20 10");
    let read = tree.read();
    assert_eq!(nodes(&read), ["0:0-3", "5:"]);
    assert_eq!(read.numa_nodes()[0].memory(), Some(3 << 30));
    assert_eq!((read.numa_nodes()[1].distance(0), read.numa_nodes()[1].distance(1)), (Some(20), None));
    assert_notes(&read, &["NUMA nodes 0-2 have CPUs in common: taken as one node"]);
}

#[test]
fn cpus_without_files_about_cores_count_as_cores_and_say_so() {
    // hwloc shows no cores then.
    let tree = machine("coreless", 4, 2);
    for cpu in 2..4 {
        let folder = format!("sys/devices/system/cpu/cpu{cpu}/topology");
        ["core_id", "thread_siblings_list"].iter().for_each(|name| tree.remove(&format!("{folder}/{name}")));
    }
    let read = tree.read();
    let all: Vec<_> = read.cores().iter().map(|core| (core.cpus().to_string(), core.is_assumed())).collect();
    assert_eq!(all, [("0-1".to_owned(), false), ("2".to_owned(), true), ("3".to_owned(), true)]);
    assert_notes(&read, &["no usable siblings of CPUs 2-3: each is taken as a core"]);
}
