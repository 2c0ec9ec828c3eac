//! The reader of Linux's files, one feature after the other.

use std::error::Error as _;
use std::time::{Duration, Instant};

use super::super::{NumaNode, Topology};
use super::{Tree, assert_invariants, assert_notes, cores, l3, nodes, packages};

/// What all trees here have in common, so that notes tell of the rest.
const CLEAN: [(&str, &str); 1] = [("proc/self/status", "Name:\tx\nCpus_allowed:\tff\nCpus_allowed_list:\t0-7\n")];

/// CPUs that each are a core and a package.
fn single(tree: &Tree, cpus: std::ops::Range<usize>) {
    for cpu in cpus {
        tree.cpu(&format!("cpu{cpu}/topology/core_cpus_list"), &cpu.to_string());
        tree.cpu(&format!("cpu{cpu}/topology/package_cpus_list"), &cpu.to_string());
    }
}

#[test]
fn this_machine_is_read() {
    let here = Topology::detect().expect("some CPU");
    assert_invariants(&here);
    assert!(here.is_this_machine());
    if here.cpu_quota().is_none() {
        let allowed = std::thread::available_parallelism().expect("some").get();
        assert_eq!(here.allowed_cpus().len(), allowed, "{here}");
    }
}

#[test]
fn two_nodes_with_threads_and_an_offline_cpu() {
    let tree = Tree::of("full", &CLEAN);
    tree.write("proc/self/status", "Name:\tx\nCpus_allowed_list:\t0-6\nMems_allowed_list:\t0-1\n");
    tree.cpu("online", "0-5,7\n");
    for cpu in 0..8 {
        tree.cpu(&format!("cpu{cpu}/topology/core_cpus_list"), &format!("{},{}", cpu % 4, cpu % 4 + 4));
        let package = cpu % 4 / 2 * 2;
        let siblings = format!("{}-{},{}-{}\n", package, package + 1, package + 4, package + 5);
        tree.cpu(&format!("cpu{cpu}/topology/package_cpus_list"), &siblings);
        tree.cpu(&format!("cpu{cpu}/topology/physical_package_id"), &format!("{}", 10 + package));
    }
    tree.node(0, "0-1,4-5\n", 8 << 30, "10 21\n");
    tree.node(1, "2-3,6-7\n", 4 << 30, "21 10\n");
    let machine = tree.read();
    assert_eq!((machine.cpus().to_string(), machine.allowed_cpus().to_string()), ("0-5,7".into(), "0-5".into()));
    assert_eq!(cores(&machine), ["0,4", "1,5", "2", "3"]);
    assert_eq!(packages(&machine), ["0-1,4-5", "2-3"]);
    assert_eq!(machine.packages()[1].id(), Some(12));
    assert_eq!(nodes(&machine), ["0:0-1,4-5", "1:2-3"]);
    assert_eq!(machine.numa_nodes()[1].memory(), Some(4 << 30));
    assert_eq!(machine.numa_nodes()[0].distance(1), Some(21));
    let last = &machine.cores()[3];
    assert_eq!((last.package(), last.node(), last.l3(), last.kind()), (Some(1), Some(1), None, None));
    assert_notes(&machine, &[]);
    let text = "\
6 of 7 CPUs (0-5): 4 cores, 2 packages, 2 NUMA nodes
  package 0, NUMA node 0 (8 GiB): CPUs 0-1,4-5, 2 cores of 2 CPUs
  package 1, NUMA node 1 (4 GiB): CPUs 2-3, 2 cores of 1 CPU
";
    assert_eq!(machine.to_string(), text);
}

#[test]
fn a_folder_without_a_machine_is_an_error_that_names_it() {
    let tree = Tree::of("none", &[("proc/cpuinfo", "processor: 0"), ("sys/devices/system/cpu/cpufreq/x", "")]);
    let error = Topology::read(&tree.0).expect_err("no CPUs");
    assert!(error.to_string().contains(&*tree.0.to_string_lossy()), "{error}");
    let error = Topology::read(&tree.0.join("missing")).expect_err("no folder");
    assert!(error.to_string().contains("missing") && error.source().is_some(), "{error}");
}

#[test]
fn an_affinity_mask_alone_makes_a_flat_machine() {
    let tree = Tree::of("mask", &[("proc/self/status", "Cpus_allowed:\t5\n")]);
    let machine = tree.read();
    assert_eq!(cores(&machine), ["0", "2"]);
    assert_eq!(nodes(&machine), ["0:0,2"]);
    assert_notes(&machine, &["no CPUs in sys", "siblings of CPUs 0,2", "package of CPUs 0,2", "no NUMA nodes"]);
}

#[test]
fn old_kernels_show_masks_and_no_list_of_what_is_online() {
    let tree = Tree::new("old");
    for cpu in 0..4 {
        tree.cpu(&format!("cpu{cpu}/online"), if cpu == 3 { "0\n" } else { "1\n" });
        tree.cpu(&format!("cpu{cpu}/topology/thread_siblings"), ["00000003", "0000000c"][cpu / 2]);
        tree.cpu(&format!("cpu{cpu}/topology/core_siblings"), "00000000,0000000f\n");
        tree.cpu(&format!("cpu{cpu}/topology/physical_package_id"), "-1\n");
    }
    tree.write("sys/devices/system/node/node0/cpumap", "0f\n");
    let machine = tree.read();
    assert_eq!(cores(&machine), ["0-1", "2"]);
    assert_eq!((packages(&machine), machine.packages()[0].id()), (vec!["0-2".to_owned()], None));
    assert_notes(&machine, &["no affinity mask", "how much memory", "distances"]);
}

#[test]
fn cores_of_one_module_with_ids_of_their_own_are_cores() {
    let tree = Tree::of("module", &CLEAN);
    tree.write("proc/cpuinfo", "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 21\n");
    tree.cpu("online", "0-3");
    for cpu in 0..4 {
        tree.cpu(&format!("cpu{cpu}/topology/thread_siblings_list"), ["0-1", "2-3"][cpu / 2]);
        tree.cpu(&format!("cpu{cpu}/topology/core_id"), ["0", "1", "2", "2"][cpu]);
        tree.cpu(&format!("cpu{cpu}/topology/core_siblings_list"), "0-3");
    }
    assert_eq!(cores(&tree.read()), ["0", "1", "2-3"]);
}

#[test]
fn siblings_that_contradict_make_cores_of_their_own() {
    let tree = Tree::of("siblings", &CLEAN);
    tree.cpu("online", "0-4");
    for (cpu, siblings) in ["0-1", "0-1", "1-2", "0", "junk"].into_iter().enumerate() {
        tree.cpu(&format!("cpu{cpu}/topology/core_cpus_list"), siblings);
        tree.cpu(&format!("cpu{cpu}/topology/package_cpus_list"), "0-4");
    }
    let machine = tree.read();
    assert_eq!(cores(&machine), ["0-1", "2", "3", "4"]);
    assert_notes(&machine, &["siblings of CPUs 2-4", "no NUMA nodes"]);
}

#[test]
fn l3_caches_are_found_by_level_and_hold_data() {
    let tree = Tree::of("l3", &CLEAN);
    tree.cpu("online", "0-4");
    single(&tree, 0..5);
    for cpu in 0..4 {
        let cache =
            |index: usize, what: &str, text: &str| tree.cpu(&format!("cpu{cpu}/cache/index{index}/{what}"), text);
        cache(0, "level", "3");
        cache(0, "type", "Instruction");
        cache(0, "shared_cpu_list", "0-4");
        cache(2, "level", "3");
        cache(2, "type", "Unified");
        cache(2, "size", "32M");
        cache(2, "shared_cpu_map", ["3", "c"][cpu / 2]);
        cache(3, "level", "4");
        cache(3, "shared_cpu_list", "0-3");
    }
    let machine = tree.read();
    assert_eq!((l3(&machine), machine.l3_domains()[0].size()), (vec!["0-1".into(), "2-3".into()], Some(32 << 20)));
    assert_eq!(
        machine.cores().iter().map(|core| core.l3()).collect::<Vec<_>>(),
        [Some(0), Some(0), Some(1), Some(1), None]
    );
    assert_notes(&machine, &["no NUMA nodes"]); // a core without such a cache is no hole

    tree.cpu("cpu2/cache/index2/shared_cpu_map", "?");
    tree.cpu("cpu3/cache/index2/shared_cpu_map", "1");
    let machine = tree.read();
    assert_eq!(l3(&machine), ["0-1"]);
    assert_notes(&machine, &["sharers of the L3 cache of CPUs 2-3", "no NUMA nodes"]);
}

#[test]
fn parts_that_divide_a_core_are_left_out() {
    let tree = Tree::of("divided", &CLEAN);
    tree.cpu("online", "0-3");
    for cpu in 0..4 {
        tree.cpu(&format!("cpu{cpu}/topology/core_cpus_list"), ["0-1", "2-3"][cpu / 2]);
        tree.cpu(&format!("cpu{cpu}/topology/package_cpus_list"), ["0,2", "1,3"][cpu % 2]);
        tree.cpu(&format!("cpu{cpu}/cache/index3/level"), "3");
        tree.cpu(&format!("cpu{cpu}/cache/index3/shared_cpu_list"), ["0-2", "0-2", "0-2", "3"][cpu]);
    }
    tree.node(0, "0-2", 1 << 30, "10 20");
    tree.node(1, "3", 1 << 30, "20 10");
    let machine = tree.read();
    assert_eq!((packages(&machine).len(), l3(&machine).len(), nodes(&machine)), (0, 0, vec!["0:0-3".to_owned()]));
    assert_eq!(machine.numa_nodes()[0].memory(), Some(2 << 30));
    assert_notes(&machine, &["several packages", "several L3 caches", "several NUMA nodes"]);
}

#[test]
fn nodes_without_cpus_and_nodes_without_memory() {
    let tree = Tree::of("uneven", &[("proc/self/status", "Cpus_allowed_list:\t0-3\nMems_allowed_list:\t0,2-3\n")]);
    tree.cpu("online", "0-5");
    single(&tree, 0..6);
    tree.node(0, "0-1", 8 << 30, "10 20 30 40 50 60");
    tree.node(1, "2-3", 0, "20 10 30 40 50 60");
    tree.node(2, "", 16 << 30, "30 30 10 40 50 60");
    tree.node(3, "4", 8 << 30, "40 40 40 10 50 60");
    tree.node(7, "5", 8 << 30, "50 50 50 50 10 60");
    tree.node(9, "", 8 << 30, "60 60 60 60 60 10");
    let machine = tree.read();
    assert_eq!(nodes(&machine), ["0:0-1", "1:2-3", "2:", "3:"]);
    let which = |is: fn(&NumaNode) -> bool| {
        machine.numa_nodes().iter().filter(|node| is(node)).map(NumaNode::id).collect::<Vec<_>>()
    };
    assert_eq!(which(NumaNode::is_memory_only), [2]);
    assert_eq!(which(NumaNode::is_cpu_only), [1]);
    assert_eq!(which(NumaNode::may_allocate), [0, 2, 3]);
    assert_eq!(machine.numa_nodes()[1].distance(9), Some(60));
    assert_eq!(machine.numa_node(7), None);
    assert_notes(&machine, &[]);
    assert!(machine.to_string().contains("NUMA node 1 (no memory): CPUs 2-3"), "{machine}");
    assert!(machine.to_string().contains("NUMA node 2 (16 GiB): memory only"), "{machine}");
    assert!(machine.to_string().contains("NUMA node 3 (8 GiB): none of its CPUs is allowed"), "{machine}");
}

#[test]
fn memory_is_near_the_cpus_that_the_system_names_or_the_nearest_nodes() {
    let tree = Tree::of("near", &CLEAN);
    tree.cpu("online", "0-7");
    single(&tree, 0..8);
    tree.node(0, "0-3", 1 << 30, "10 20 17 17 30 20 40");
    tree.node(1, "4-7", 1 << 30, "20 10 28 17 30 20 40");
    tree.node(2, "", 1 << 30, "17 28 10 17 30 20 40");
    tree.node(3, "", 1 << 30, "17 17 17 10 30 20 40");
    tree.node(4, "", 1 << 30, "30 30 30 30 10 30 30");
    tree.node(5, "", 1 << 30, "20 20 20 20 30 10 20");
    tree.node(6, "", 1 << 30, "9 40 40 40 40 40 10");
    let near = |machine: &Topology| -> Vec<String> {
        machine.numa_nodes().iter().map(|node| node.near().to_string()).collect()
    };
    // Node 4 is as far from all, and nothing is nearer to node 6 than itself.
    assert_eq!(near(&tree.read()), ["0-3", "4-7", "0-3", "0-7", "", "0-7", ""]);

    let initiator = |node: usize, class: usize, of: &str| {
        tree.write(&format!("sys/devices/system/node/node{node}/access{class}/initiators/{of}"), "");
    };
    // A folder and a link to one are alike here.
    initiator(4, 0, "node1");
    initiator(4, 0, "read_latency");
    initiator(5, 0, "node0");
    initiator(5, 1, "node1");
    // An initiator that is the node itself, or that is not there, tells nothing.
    initiator(2, 1, "node2");
    initiator(2, 1, "node9");
    assert_eq!(near(&tree.read()), ["0-3", "4-7", "0-3", "0-7", "4-7", "4-7", ""]);

    tree.write("proc/self/status", "Cpus_allowed_list:\t4-5\n");
    let machine = tree.read();
    assert_eq!(near(&machine), ["", "4-5", "", "4-5", "4-5", "4-5", ""]);
    assert_eq!(machine.numa_nodes().len(), 7);
}

#[test]
fn odd_nodes_leave_cores_without_one() {
    let tree = Tree::of("odd", &CLEAN);
    tree.cpu("online", "0-3");
    single(&tree, 0..4);
    tree.node(0, "0-1", 1 << 30, "10");
    tree.node(1, "?", 1 << 30, "20 10");
    tree.write("sys/devices/system/node/node40000/cpulist", "3");
    let machine = tree.read();
    assert_eq!(nodes(&machine), ["0:0-1", "1:"]);
    assert_eq!(machine.cores().iter().map(|core| core.node()).collect::<Vec<_>>(), [Some(0), Some(0), None, None]);
    assert_eq!((machine.numa_nodes()[0].distance(0), machine.numa_nodes()[0].distance(1)), (Some(10), None));
    let distances = "NUMA node 0 has no usable list of distances";
    assert_notes(
        &machine,
        &["are left out", "node 1 has no usable list of CPUs", distances, "CPUs 2-3 are on no NUMA node"],
    );
    assert!(machine.to_string().contains("\n  in no part: 2 cores") || !machine.packages().is_empty(), "{machine}");
}

#[test]
fn kinds_of_cores_come_from_what_says_most() {
    let tree = Tree::of("kinds", &CLEAN);
    tree.cpu("online", "0-3");
    single(&tree, 0..4);
    let kinds = || tree.read().cores().iter().map(|core| core.kind()).collect::<Vec<_>>();
    assert_eq!(kinds(), [None; 4]);

    let frequency = |cpu: usize, text: &str| tree.cpu(&format!("cpu{cpu}/cpufreq/cpuinfo_max_freq"), text);
    ["3900000", "5000000", "5200000"].into_iter().enumerate().for_each(|(cpu, text)| frequency(cpu, text));
    assert_eq!(kinds(), [None; 4]);
    assert_notes(&tree.read(), &["cpuinfo_max_freq does not tell of CPUs 3", "no NUMA nodes"]);
    frequency(3, "5600000");
    assert_eq!(kinds(), [Some(0), Some(1), Some(1), Some(1)]);

    tree.write("sys/devices/cpu_atom/cpus", "2-3\n");
    tree.write("sys/devices/cpu_core/cpus", "0-1\n");
    assert_eq!(kinds(), [Some(1), Some(1), Some(0), Some(0)]);

    ["446", "1024", "0", "731"]
        .into_iter()
        .enumerate()
        .for_each(|(cpu, text)| tree.cpu(&format!("cpu{cpu}/cpu_capacity"), text));
    assert_eq!(kinds(), [Some(1), Some(1), Some(0), Some(0)]); // a capacity of 0 is none
    tree.cpu("cpu2/cpu_capacity", "450");
    assert_eq!(kinds(), [Some(0), Some(2), Some(0), Some(1)]);
}

#[test]
fn two_thousand_cpus_are_read_in_milliseconds() {
    const CPUS: usize = 2048;
    let tree = Tree::of("large", &[("proc/self/status", "Cpus_allowed_list:\t0-2047\n")]);
    tree.cpu("online", "0-2047");
    for cpu in 0..CPUS / 2 {
        let (node, domain) = (cpu / 64 * 64, cpu / 8 * 8);
        let both = |first: usize, count: usize| {
            format!("{first}-{},{}-{}", first + count - 1, first + CPUS / 2, first + CPUS / 2 + count - 1)
        };
        tree.cpu(&format!("cpu{cpu}/topology/core_cpus_list"), &format!("{cpu},{}", cpu + CPUS / 2));
        if cpu == node {
            tree.cpu(&format!("cpu{cpu}/topology/package_cpus_list"), &both(node, 64));
            tree.node(node / 64, &both(node, 64), 1 << 40, &"10 ".repeat(16));
        }
        if cpu == domain {
            tree.cpu(&format!("cpu{cpu}/cache/index3/level"), "3");
            tree.cpu(&format!("cpu{cpu}/cache/index3/shared_cpu_list"), &both(domain, 8));
        }
    }
    let start = Instant::now();
    let machine = tree.read();
    let took = start.elapsed();
    let counts =
        [machine.cores().len(), machine.packages().len(), machine.numa_nodes().len(), machine.l3_domains().len()];
    assert_eq!(counts, [1024, 16, 16, 128]);
    assert_eq!(machine.cores()[1023].cpus().to_string(), "1023,2047");
    assert_notes(&machine, &[]);
    // Debug builds on a busy machine are slower; anything quadratic takes longer than this all the same.
    assert!(took < Duration::from_secs(2), "{took:?}");
}
