//! Tests that need no second node. They also hold if the system places no memory.

use super::super::Topology;
use super::*;

fn node_here() -> usize {
    let here = Topology::detect().expect("this machine");
    here.numa_nodes().iter().find(|node| node.may_allocate()).expect("memory is somewhere").id()
}

#[track_caller]
fn assert_says<T: fmt::Debug>(result: Result<T, impl std::error::Error>, what: &str) {
    let error = result.expect_err(what).to_string();
    assert_eq!(error, what);
}

#[test]
fn memory_is_zero_and_holds_what_is_written() {
    for len in [0, 1, 511, 512, 513, 100_000] {
        let node = node_here();
        for mut memory in
            [NodeMemory::<u64>::on_node(len, node), NodeMemory::interleaved(len)].map(|it| it.expect("all"))
        {
            assert_eq!(memory.len(), len);
            assert!(memory.iter().all(|number| *number == 0));
            memory.iter_mut().enumerate().for_each(|(index, number)| *number = index as u64);
            assert!(memory.iter().enumerate().all(|(index, number)| *number == index as u64));
        }
    }
}

#[test]
fn memory_suits_each_number() {
    fn check<T: Plain + PartialEq>() {
        let memory = NodeMemory::<T>::interleaved(1000).expect("a few pages");
        assert!(memory.as_ptr().is_aligned());
        assert!(memory.iter().all(|number| *number == T::default()));
    }
    check::<u8>();
    check::<i128>();
    check::<u128>();
    check::<f32>();
    check::<f64>();
}

#[test]
fn memory_goes_to_other_threads() {
    let mut memory = NodeMemory::<u32>::interleaved(10_000).expect("a few pages");
    std::thread::scope(|scope| {
        memory.chunks_mut(3000).for_each(|part| {
            scope.spawn(|| part.fill(7));
        });
    });
    let memory = std::thread::spawn(move || memory).join().expect("it only moves");
    assert!(memory.iter().all(|number| *number == 7));
}

#[test]
fn too_much_is_an_error() {
    for len in [usize::MAX, isize::MAX.unsigned_abs() / 8 + 1, 1 << 58] {
        assert_says(NodeMemory::<u64>::interleaved(len), &format!("memory for {len} numbers of 8 bytes cannot be had"));
        assert_says(
            NodeMemory::<u64>::on_node(len, node_here()),
            &format!("memory for {len} numbers of 8 bytes cannot be had"),
        );
    }
}

#[test]
fn nodes_that_cannot_be_used_are_named() {
    let node = |id, memory, may_allocate| {
        let distances = vec![(id, 10)];
        NumaNode { id, cpus: CpuSet::new(), has_cpus: true, near: CpuSet::new(), memory, may_allocate, distances }
    };
    let nodes =
        [node(0, Some(1 << 30), true), node(1, Some(0), true), node(2, Some(1 << 30), false), node(4, None, true)];
    assert_eq!(usable(0, &nodes).expect("it has memory"), CpuSet::from_iter([0]));
    assert_eq!(usable(4, &nodes).expect("it may have memory"), CpuSet::from_iter([4]));
    assert_says(usable(1, &nodes), "NUMA node 1 has no memory");
    assert_says(usable(2, &nodes), "this process may not allocate on NUMA node 2: its cpuset leaves it 0,4");
    assert_says(usable(3, &nodes), "there is no NUMA node 3: this machine has 0-2,4");

    let none = "there is no NUMA node 5000: this machine has ";
    let refused = NodeMemory::<u8>::on_node(1, 5000).expect_err("no kernel has so many nodes").to_string();
    assert!(refused.starts_with(none), "{refused}");
    let refused = move_to(&mut [1_u8], 5000).expect_err("no kernel has so many nodes").to_string();
    assert!(refused.starts_with(none), "{refused}");
}

#[test]
fn untouched_memory_is_nowhere_and_stays_so() {
    let mut memory = NodeMemory::<u8>::interleaved(1 << 24).expect("16 MiB");
    for _ in 0..2 {
        assert_eq!(node_of(&memory), None);
    }
    if let Ok(elsewhere) = move_to(&mut memory, node_here()) {
        assert_eq!(elsewhere, 0);
    }
    assert_eq!(node_of(&memory), None);
    // The kernel's shared page of zeros is on no node.
    assert_eq!(memory.iter().map(|byte| u64::from(*byte)).sum::<u64>(), 0);
    assert_eq!(node_of(&memory), None);
}

#[test]
fn what_has_no_memory_is_nowhere() {
    assert_eq!(node_of::<u64>(&[]), None);
    assert_eq!(node_of(&[(); 1000]), None);
    if let Ok(elsewhere) = move_to(&mut [(); 1000], node_here()) {
        assert_eq!(elsewhere, 0);
    }
}

#[test]
fn each_part_of_a_slice_is_asked_for() {
    for pages in [0, 1, 2, 63, 64, 65, 127, 1000, 1 << 20, usize::MAX >> 12] {
        let asked: Vec<usize> = sample(pages).collect();
        assert_eq!(asked.len(), pages.min(SAMPLE));
        assert!(asked.is_sorted_by(|one, other| one < other) && asked.iter().all(|page| *page < pages), "{pages}");
        if pages > SAMPLE {
            let part = pages / (SAMPLE / 2);
            assert!(asked.windows(2).all(|two| two[1] - two[0] <= 2 * part + 1), "{pages}: {asked:?}");
            assert!(asked[0] <= part && asked[SAMPLE - 1] + part + 1 >= pages, "{pages}: {asked:?}");
        }
    }
}

#[test]
fn dealt_out_pages_are_not_taken_for_those_of_one_node() {
    let most = |pages: usize, unit: usize, nodes: usize| {
        let mut found = vec![0; nodes];
        sample(pages).for_each(|page| found[page / unit % nodes] += 1);
        found.into_iter().max().expect("several")
    };
    for nodes in 2..=16 {
        for pages in (2..5000).chain([1 << 14, 1 << 18, 1 << 20]) {
            let (most, asked) = (most(pages, 1, nodes), pages.min(SAMPLE));
            assert!(most <= asked.div_ceil(2), "{pages} pages on {nodes} nodes: {most} of {asked}");
        }
        // Huge pages, dealt out.
        for pages in [1 << 15, 1 << 17, 100_000, 1 << 20, 10_000_000] {
            let most = most(pages, 512, nodes);
            assert!(3 * most < 2 * SAMPLE, "{pages} pages on {nodes} nodes: {most} of {SAMPLE}");
        }
    }
}
