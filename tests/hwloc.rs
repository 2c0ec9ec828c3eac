//! What hwloc sees and what the other readers see is the same: of the machine this runs on, and of made-up ones. Needs
//! the feature `hwloc`; `ci/hwloc.sh` runs it on emulated machines, too.

use std::io::{self, Write};
use std::process::Command;

use hwlocality::topology::Topology as Tree;
use hwlocality::topology::export::xml::XMLExportFlags;
use millstream::{CpuSet, NumaNode, Topology};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// Made-up machines that hwloc and this crate describe alike.
const MACHINES: [&str; 13] = [
    "pu:1",
    "core:4 pu:2",
    "pack:2 numa:2 core:4 pu:1",
    "numa:4 l3:2 core:8 pu:2",
    "pack:2 l3:2 core:4 pu:2",
    "pack:2 [numa(memory=64GiB)] [numa(memory=16GiB)] l3:2(size=32MiB) core:4 pu:2",
    "pack:2 [numa(memory=8GiB)] die:2 [numa(memory=1GiB)] core:2 pu:1",
    "pack:2 numa:1(memory=32GiB) l3:2(size=16MiB) core:2 pu:2(indexes=8*2:4*2:2*2:1*2)",
    "pack:1 l3:2(size=33554432) l2:8 l1d:1 l1i:1 core:1 pu:2(indexes=16*2:1*16)",
    "pack:2 numa:2(memory=1GiB indexes=2,0,3,1) core:2 pu:2",
    "group:2 pack:2 numa:1 l3:1 l2:2 core:2 pu:4",
    "pack:2 [numa(memory=1GiB)] [numa(memory=0)] core:2 pu:1",
    "2 4 8 2",
];

/// The text of `lstopo --of xml`.
fn xml(tree: &Tree) -> String {
    tree.export_xml(XMLExportFlags::empty()).expect("hwloc writes what it read").as_str().to_owned()
}

fn made_up(description: &str) -> Tree {
    let builder = Tree::builder().from_synthetic(description).expect("hwloc takes the description");
    builder.build().expect("hwloc builds what it takes")
}

/// Asserts that cores, packages, nodes, L3 domains and allowed CPUs are the same.
#[track_caller]
fn assert_same(hwloc: &Topology, own: &Topology, what: &str) {
    let cores = |machine: &Topology| -> Vec<_> {
        let cores = machine.cores().iter();
        cores.map(|core| (core.cpus().clone(), core.package(), core.node(), core.l3())).collect()
    };
    assert_eq!(hwloc.cpus(), own.cpus(), "{what}");
    assert_eq!(hwloc.allowed_cpus(), own.allowed_cpus(), "{what}");
    assert_eq!(cores(hwloc), cores(own), "{what}");
    assert_eq!(hwloc.packages(), own.packages(), "{what}");
    let l3 = |machine: &Topology| -> Vec<CpuSet> { machine.l3_domains().iter().map(|l3| l3.cpus().clone()).collect() };
    assert_eq!(l3(hwloc), l3(own), "{what}");
    let nodes = |machine: &Topology| -> Vec<(usize, CpuSet, CpuSet, bool, bool)> {
        let node = |node: &NumaNode| {
            (node.id(), node.cpus().clone(), node.near().clone(), node.is_memory_only(), node.may_allocate())
        };
        machine.numa_nodes().iter().map(node).collect()
    };
    assert_eq!(nodes(hwloc), nodes(own), "{what}");
    // A description need not tell of sizes; hwloc makes some up.
    let memories = hwloc.numa_nodes().iter().zip(own.numa_nodes()).map(|(one, other)| (one.memory(), other.memory()));
    let caches = hwloc.l3_domains().iter().zip(own.l3_domains()).map(|(one, other)| (one.size(), other.size()));
    for (one, other) in memories.chain(caches).filter(|(_, other)| other.is_some()) {
        assert_eq!(one, other, "{what}");
    }
}

/// Asserts that distances are the same where both know them. Returns whether both know those between different nodes.
#[track_caller]
fn assert_same_distances(hwloc: &Topology, own: &Topology) -> bool {
    let mut known = false;
    for (one, other) in hwloc.numa_nodes().iter().zip(own.numa_nodes()) {
        for to in own.numa_nodes().iter().map(NumaNode::id) {
            if let (Some(distance), Some(same)) = (one.distance(to), other.distance(to)) {
                assert_eq!(distance, same, "from node {} to {to}", one.id());
                known |= one.id() != to;
            }
        }
    }
    known
}

#[test]
fn this_machine_is_the_same() {
    let (hwloc, own) = (Topology::from_hwloc().expect("hwloc"), Topology::detect().expect("the system's files"));
    let _ = writeln!(io::stderr(), "hwloc: {hwloc}\nfiles: {own}");
    assert!(hwloc.is_this_machine());
    assert_same(&hwloc, &own, "this machine");
    assert_eq!(hwloc.cpu_quota(), own.cpu_quota());
    let known = assert_same_distances(&hwloc, &own);
    assert_eq!(known, own.numa_nodes().len() > 1, "distances from node to node");
}

#[test]
fn this_machine_comes_back_from_xml() {
    let tree = Tree::new().expect("hwloc reads this machine");
    let (recorded, here) = (Topology::from_hwloc_xml(&xml(&tree)).expect("hwloc's XML"), Topology::from_hwloc());
    let here = here.expect("hwloc reads this machine");
    assert!(!recorded.is_this_machine());
    assert_eq!(recorded.cpu_quota(), None);
    // The affinity mask and what is not allowed are not in the file.
    if recorded.allowed_cpus() == here.allowed_cpus() && recorded.cpus() == here.cpus() {
        assert_same(&recorded, &here, "this machine");
        assert_same_distances(&recorded, &here);
    }
}

/// hwloc can be told that another machine is this one; of a container it may be told of other CPUs, too.
#[test]
#[cfg(target_os = "linux")]
fn the_affinity_mask_is_taken_where_hwloc_shows_other_cpus() {
    if std::env::var_os("HWLOC_SYNTHETIC").is_none() {
        let program = std::env::current_exe().expect("this program");
        let mut command = Command::new(program);
        command.args(["--exact", "the_affinity_mask_is_taken_where_hwloc_shows_other_cpus"]);
        let machine = "numa:1 core:2 pu:1(indexes=4000,4001)";
        let output = command.env("HWLOC_SYNTHETIC", machine).env("HWLOC_THISSYSTEM", "1").output().expect("a process");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    let (hwloc, own) = (Topology::from_hwloc().expect("hwloc"), Topology::detect().expect("the system's files"));
    assert!(hwloc.is_this_machine());
    assert_eq!(hwloc.allowed_cpus(), own.allowed_cpus());
    let others = CpuSet::from_iter([4000, 4001]);
    assert_eq!(*hwloc.cpus(), own.allowed_cpus().union(&others));
    let note = format!("hwloc does not show CPUs {} of the affinity mask: each counts as a core", own.allowed_cpus());
    assert!(hwloc.notes().contains(&note), "{:?}", hwloc.notes());
    assert_eq!(hwloc.cores().len(), own.allowed_cpus().len());
}

#[test]
fn made_up_machines_are_the_same() {
    for description in MACHINES {
        let own = Topology::synthetic(description).expect("a description");
        let hwloc = Topology::from_hwloc_xml(&xml(&made_up(description))).expect("hwloc's XML");
        assert_same(&hwloc, &own, description);
    }
}

/// Descriptions of machines of a few levels, nodes as a level or attached.
fn descriptions() -> impl Strategy<Value = String> {
    let level = |name: &'static str| option::of(1..4_usize).prop_map(move |parts| parts.map(|n| format!("{name}:{n}")));
    let attached = || vec("\\[numa\\(memory=[1-9]GiB\\)\\]", 0..3);
    let outer = (level("group"), level("pack"), attached(), level("die"), attached(), level("l3"), attached());
    let inner = (level("numa"), level("l2"), level("core"), 1..4_usize);
    (outer, inner).prop_map(|((group, pack, one, die, two, l3, three), (numa, l2, core, pus))| {
        // Nodes are a level or attached, and only to a level that is there.
        let some = |level: &Option<String>, nodes: Vec<String>| if level.is_some() { nodes } else { Vec::new() };
        let (one, two, three) = (some(&pack, one), some(&die, two), some(&l3, three));
        let is_attached = !(one.is_empty() && two.is_empty() && three.is_empty());
        let numa = numa.filter(|_| !is_attached);
        let levels = group.into_iter().chain(pack).chain(one).chain(die).chain(two).chain(numa).chain(l3).chain(three);
        let levels = levels.chain(l2).chain(core).chain([format!("pu:{pus}")]);
        levels.collect::<Vec<_>>().join(" ")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn random_made_up_machines_are_the_same(description in descriptions()) {
        let own = Topology::synthetic(&description).expect("a description");
        let hwloc = Topology::from_hwloc_xml(&xml(&made_up(&description))).expect("hwloc's XML");
        assert_same(&hwloc, &own, &description);
    }
}

#[test]
fn numbers_that_no_set_can_hold_are_left_out() {
    let read = |description: &str| Topology::from_hwloc_xml(&xml(&made_up(description)));
    let machine = read("numa:3(indexes=40000,1,0) core:1 pu:2(indexes=4,0,1,50000,2,3)").expect("most of it");
    assert_eq!(machine.cpus().to_string(), "0-4");
    assert_eq!(machine.numa_nodes().iter().map(NumaNode::id).collect::<Vec<_>>(), [0, 1]);
    let notes = ["of 6 CPUs those from number 32768 on are left out", "NUMA nodes from number 32768 on are left out"];
    notes.iter().for_each(|note| assert!(machine.notes().iter().any(|other| other == note), "{:?}", machine.notes()));
    let error = read("pu:1(indexes=40000)").expect_err("nothing is left").to_string();
    assert!(error.ends_with("it has no CPUs with numbers below 32768"), "{error}");
}

#[test]
fn text_that_is_no_machine_is_an_error() {
    let good = xml(&made_up("pack:2 core:2 pu:2"));
    for text in ["", "core:2", "<html/>", "<topology/>", "<?xml", &good[..good.len() / 2], "a\0b"] {
        let error = Topology::from_hwloc_xml(text).expect_err(text).to_string();
        assert!(error.starts_with("the text is no machine in hwloc's XML: "), "{error}");
    }
}
