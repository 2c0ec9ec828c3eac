//! Machines from descriptions. Those with `indexes` are hwloc's own examples, with hwloc's own answers.

use proptest::prelude::*;

use super::super::{CpuSet, Topology};
use super::{assert_invariants, assert_notes, cores, l3, nodes, packages};

fn made(description: &str) -> Topology {
    let machine = Topology::synthetic(description).unwrap_or_else(|error| panic!("{error}"));
    assert_invariants(&machine);
    assert!(!machine.is_this_machine());
    assert_eq!(machine.cpus(), machine.allowed_cpus());
    machine
}

/// CPUs, cores, packages, nodes, L3 domains.
fn counts(description: &str) -> [usize; 5] {
    let machine = made(description);
    [machine.cpus().len(), cores(&machine).len(), packages(&machine).len(), nodes(&machine).len(), l3(&machine).len()]
}

#[test]
fn levels_are_inside_of_each_other() {
    let machine = made("numa:2 l3:2 core:2 pu:2");
    assert_eq!(nodes(&machine), ["0:0-7", "1:8-15"]);
    assert_eq!(l3(&machine), ["0-3", "4-7", "8-11", "12-15"]);
    assert_eq!(cores(&machine), ["0-1", "2-3", "4-5", "6-7", "8-9", "10-11", "12-13", "14-15"]);
    assert_eq!(machine.cores()[7].l3(), Some(3));
    assert_notes(&machine, &[]);
    assert_eq!(counts("numa:4 l3:2 core:8 pu:2"), [128, 64, 0, 4, 8]);
    assert_eq!(counts("pack:2 numa:2 core:4 pu:1"), [16, 16, 2, 4, 0]);
    assert_eq!(counts("numa:2 pack:2 core:1 pu:1"), [4, 4, 4, 2, 0]);
    assert_eq!(
        counts("Package:1 L3Cache:2(size=33554432) L2Cache:4 L1dCache:1 L1iCache:1 Core:1 PU:2"),
        [16, 8, 1, 1, 2]
    );
    assert_eq!(counts("socket:2 die:2 group:2 tile:1 Group3:1 co:2 l2:2 pu:1"), [32, 16, 2, 1, 0]);
    assert_eq!(counts("l3i:2 core:2 pu:1"), [4, 4, 0, 1, 0]);
    assert_eq!(counts("core:1024 pu:16"), [16384, 1024, 0, 1, 0]);
    assert_eq!(counts("\n numa:1(memory=1GB)core:2\tpu:1 "), [2, 2, 0, 1, 0]);
}

#[test]
fn a_level_that_is_missing_is_flat() {
    let machine = made("pu:4");
    assert_eq!(cores(&machine), ["0", "1", "2", "3"]);
    assert_eq!(nodes(&machine), ["0:0-3"]);
    assert_notes(&machine, &["no level of cores"]);
}

#[test]
fn bare_numbers_are_levels_as_hwloc_chooses_them() {
    assert_eq!(counts("4"), [4, 4, 0, 1, 0]);
    assert_eq!(counts("2 3"), [6, 6, 0, 2, 0]);
    assert_eq!(counts("2 3 5"), [30, 30, 2, 6, 0]);
    assert_eq!(counts("2 3 5 2"), [60, 30, 2, 6, 0]);
    assert_eq!(counts("2 3 2 5 2"), [120, 60, 2, 6, 0]);
    assert_eq!(counts("2 3 2 2 2 5 2"), [480, 240, 2, 6, 12]);
    assert_eq!(counts("2 3 2 2 2 1 5 2"), [480, 240, 2, 6, 12]);
    assert_eq!(counts("2 2 3 2 2 2 1 5 2"), [960, 480, 4, 12, 24]);
    assert_eq!(counts("[numa] 2 3 2"), [12, 6, 2, 1, 0]);
    assert_eq!(counts("numa:2 core:3 2"), [12, 6, 0, 2, 0]);
}

#[test]
fn attributes_are_taken_or_noted() {
    let machine =
        made("(x=1) pack:1(memory=1GB) numa:2(memory=16GiB what) l3:1(size=20mib) l2:1(size=1MB) core:1 pu:1");
    let memory: Vec<_> = machine.numa_nodes().iter().map(|node| node.memory()).collect();
    assert_eq!(memory, [Some(16 << 30); 2]);
    assert_eq!(machine.l3_domains()[0].size(), Some(20 << 20));
    let note = "not taken: x=1 of the machine, memory=1GB of pack:1, what of numa:2, size=1MB of l2:1";
    assert_notes(&machine, &[note]);
    assert_eq!(made("numa:1(memory=1TB) pu:1").numa_nodes()[0].memory(), Some(1_000_000_000_000));
    assert_eq!(made("numa:1(memory=4096) pu:1").numa_nodes()[0].memory(), Some(4096));
}

#[test]
fn attached_nodes_are_numbered_inside_out() {
    let machine = made("pack:2 [numa(memory=1GiB)] [numa(memory=1MiB)] core:2 [numa(indexes=8,7,5,6,4,3,1,2)] pu:4");
    let found: Vec<_> = machine.numa_nodes().iter().map(|node| (node.id(), node.cpus().to_string())).collect();
    // Cores have nodes 8, 7 and 4, 3, and their CPUs; packages 5, 6 and 1, 2.
    let expected = [(1, ""), (2, ""), (3, "12-15"), (4, "8-11"), (5, ""), (6, ""), (7, "4-7"), (8, "0-3")];
    assert_eq!(found, expected.map(|(id, cpus)| (id, cpus.to_owned())));
    let memory = |id| machine.numa_node(id).expect("it is there").memory();
    assert_eq!([memory(5), memory(6), memory(1), memory(8)], [Some(1 << 30), Some(1 << 20), Some(1 << 30), None]);
    assert_eq!(
        made("[numa] pack:2 [numa] pu:1").numa_nodes().iter().map(|node| node.is_memory_only()).collect::<Vec<_>>(),
        [false, false, true]
    );
}

#[test]
fn distances_are_short_in_a_package() {
    let machine = made("pack:2 numa:2 pu:1");
    let row = |id| [0, 1, 2, 3, 4].map(|to| machine.numa_node(id).expect("it is there").distance(to));
    assert_eq!(row(0), [Some(10), Some(12), Some(20), Some(20), None]);
    assert_eq!(row(2), [Some(20), Some(20), Some(10), Some(12), None]);
    let apart = made("numa:2 pu:1");
    assert_eq!(apart.numa_nodes()[0].distance(1), Some(20));
}

#[test]
fn numbers_are_dealt_out_as_indexes_say() {
    let list = made("pack:2 core:2 pu:2(indexes=0,4,2,6,1,5,3,7)");
    assert_eq!(cores(&list), ["0,4", "1,5", "2,6", "3,7"]);
    assert_eq!(packages(&list), ["0,2,4,6", "1,3,5,7"]);
    assert_eq!(list, made("pack:2 core:2 pu:2(indexes=4*2:2*2:1*2)"));
    assert_eq!(list, made("pack:2 core:2 pu:2(indexes=pack:core:pu)"));
    assert_eq!(list, made("pack:2 core:2 pu:2(indexes=pack:core)")); // the PUs are what is left

    let by_levels =
        "numa:2(memory=256GiB indexes=pack) l3u:1(size=20mib) l2:2 l1i:1 l1dcache:2 core:1 pu:2(indexes=pack:l2)";
    let by_loops = "numa:2(memory=256GiB indexes=2*2:1*2) l3u:1(size=20mib) l2:2 l1i:1 l1dcache:2 core:1 pu:2(indexes=16*2:4*4:1*4)";
    let (by_levels, by_loops) = (made(&format!("pack:2 {by_levels}")), made(&format!("pack:2 {by_loops}")));
    assert_eq!(by_levels, by_loops);
    assert_eq!(by_levels.cores()[0].node(), Some(0));
    assert_eq!(by_levels.numa_node(2).map(|node| node.distance(0)), Some(Some(12)));
    assert_eq!(by_levels.numa_node(2).map(|node| node.distance(1)), Some(Some(20)));
}

#[test]
fn errors_name_the_wrong_part() {
    let cases = [
        ("", "has no levels"),
        ("  ", "has no levels"),
        ("numa:4 cores:8", "'cores' is no level"),
        ("numa:4 x pu:1", "'x' is no level"),
        ("numa:4 core pu:1", "'core' lacks its number, as in 'core:2'"),
        ("numa:4 core:0 pu:1", "'core:0': '0' is no number"),
        ("numa:4 core:-1 pu:1", "'core:-1': '-1' is no number"),
        ("numa:4 core:many pu:1", "'core:many': 'many' is no number"),
        ("numa:4 core: pu:1", "'core:': '' is no number"),
        ("numa:4 core:8", "'core:8' is last, where the PUs belong"),
        ("pu:2 core:8", "'core:8' is last"),
        ("pu:2 pu:8", "'pu:2' is not last"),
        ("numa:2 numa:2 pu:1", "'numa:2': there is such a level already"),
        ("l3:2 l3d:2 pu:1", "'l3d:2': there is such a level already"),
        ("core:2 numa:2 pu:1", "'numa:2' is inside of 'core:2'"),
        ("core:2 l3:2 pu:1", "'l3:2' is inside of 'core:2'"),
        ("core:2 pu:1 [numa]", "'[numa]' behind 'pu:1'"),
        ("numa:2 core:2 [numa] pu:1", "'numa:2': nodes are a level or attached"),
        ("pack:2 [core] pu:1", "'[core' is no '[numa]'"),
        ("pack:2 [numa pu:1", "'[numa pu:1' is no '[numa]'"),
        ("pack:2 [numa", "'[numa' lacks its ']'"),
        ("pack:2 [numa(memory=1GB) core:2", "'[numa' lacks its ']'"),
        ("numa:2(memory=1GB pu:1", "'(memory=1GB pu:1' of 'numa:2' lacks its ')'"),
        ("numa:2(memory=lots) pu:1", "'memory=lots' of 'numa:2' is no size"),
        ("l3:2(size=1XB) pu:1", "'size=1XB' of 'l3:2' is no size"),
        ("numa:2(memory=99999999999TiB) pu:1", "'memory=99999999999TiB' of 'numa:2' is no size"),
        ("machine:1 pu:1", "'machine:1': the machine is around all levels"),
        ("2 core:2 pu:1", "'2' has no name, but others have"),
        ("core:2 pu:99999999999999999999", "makes more than 32768"),
        ("core:32768 pu:2", "'pu:2' makes more than 32768"),
        ("numa:1025 pu:1", "'numa:1025' makes more than 1024 NUMA nodes"),
        ("group:1025 [numa] pu:1", "'group:1025' makes more than 1024 NUMA nodes"),
        ("l6:1 pu:1", "'l6' is no level"),
        ("pu:2(indexes=0,0)", "'indexes=0,0': a number is given twice"),
        ("pu:2(indexes=0)", "'indexes=0': 1 numbers for 2 parts"),
        ("pu:2(indexes=0,,1)", "there is no number"),
        ("pu:2(indexes=)", "there is no number"),
        ("pu:2(indexes=0,32768)", "not below 32768"),
        ("pu:2(indexes=2*)", "'2*' is no loop"),
        ("pu:2(indexes=0*2)", "'0*2' is no loop"),
        ("pu:4(indexes=2*2:2*2)", "a number is given twice"),
        ("pu:4(indexes=3*3)", "the loops do not count 4 parts"),
        ("core:2 pu:2(indexes=numa:core)", "there is no level 'numa'"),
        ("core:2 pu:2(indexes=core:core)", "'core' is given twice"),
        ("numa:2(indexes=core) core:2 pu:1", "there are more parts of 'core'"),
        ("é:2 pu:1", "'é' is no level"),
    ];
    for (description, what) in cases {
        let error = Topology::synthetic(description).expect_err(description).to_string();
        assert!(error.contains(what), "'{description}': {error}");
        assert!(error.contains(&format!("\"{description}\"")), "{error}");
    }
    let deep = "group:1 ".repeat(200) + "pu:1";
    let error = Topology::synthetic(&deep).expect_err("too deep").to_string();
    assert!(error.contains("'group:1' is one level more than 128"), "{error}");
}

fn piece() -> impl Strategy<Value = String> {
    let words = ["numa", "pack", "l3", "core", "pu", "group", "die", "l2", "x", "[numa]", "[numa(", "(memory=1GB)"];
    let more = ["(indexes=", "core:pu)", "0,1)", "2*2)", ":", "2", "3", "16", "99999", " ", " ", "]", ")", "\u{e9}"];
    prop::sample::select([words.as_slice(), &more].concat()).prop_map(str::to_owned)
}

proptest! {
    #[test]
    fn any_text_makes_a_machine_or_an_error(pieces in prop::collection::vec(piece(), 0..14)) {
        if let Ok(machine) = Topology::synthetic(&pieces.concat()) {
            assert_invariants(&machine);
        }
    }

    #[test]
    fn counts_are_products(
        packages in 1_usize..5, numa in 1_usize..5, l3 in 1_usize..5, cores in 1_usize..9, pus in 1_usize..5,
    ) {
        let machine = made(&format!("pack:{packages} numa:{numa} l3:{l3} core:{cores} pu:{pus}"));
        let total = packages * numa * l3 * cores;
        prop_assert_eq!(machine.cpus(), &(0..total * pus).collect::<CpuSet>());
        prop_assert_eq!(machine.cores().len(), total);
        for (index, core) in machine.cores().iter().enumerate() {
            prop_assert_eq!(core.l3(), Some(index / cores));
            prop_assert_eq!(core.node(), Some(index / (cores * l3)));
            prop_assert_eq!(core.package(), Some(index / (cores * l3 * numa)));
        }
    }
}
