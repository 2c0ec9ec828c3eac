//! Memory: on a node, found on a node, moved to a node.

use millstream::memory::{NodeMemory, move_to, node_of};

use super::{Machine, Page, assert_all, bound_to, page_size, pages, places, shares, skip};

/// Numbers that take 8 MiB.
const LEN: usize = 1 << 20;

/// Numbers that take 64 MiB: a huge page, which is dealt out or moved as a whole, is a small part of it.
const LARGE: usize = 8 * LEN;

/// Numbers that take 40 MiB: of more than 32 MiB a `Vec` is always memory that nobody had before.
pub(super) const FRESH: usize = 5 << 20;

#[test]
fn memory_is_where_it_was_first_touched() {
    let Some(machine) = Machine::get() else { return };
    let memories = machine.memories();
    for node in machine.topology.numa_nodes() {
        let Some(cpu) = node.cpus().first() else { continue };
        let items = bound_to(cpu, || vec![7_u64; FRESH]);
        let found = node_of(&items).expect("the kernel tells");
        if node.may_allocate() {
            assert_eq!(found, node.id());
            assert_all(&items, Page::On(node.id()));
        } else {
            assert!(memories.contains(&found), "touched on node {} without memory, found on {found}", node.id());
        }
    }
}

#[test]
fn memory_lies_on_the_node_that_was_asked_for() {
    let Some(machine) = Machine::get() else { return };
    for node in machine.memories() {
        for cpu in machine.topology.allowed_cpus().iter() {
            let mut memory = NodeMemory::<u64>::on_node(LEN / 8, node).expect("the node has memory");
            assert_eq!(memory.refused(), None);
            assert_all(&memory, Page::Nowhere);
            bound_to(cpu, || memory.fill(7));
            assert_all(&memory, Page::On(node));
            assert_eq!(node_of(&memory), Some(node), "touched by CPU {cpu}");
            assert_eq!(node_of(&memory[LEN / 16..]), Some(node));
        }
    }
}

#[test]
fn interleaved_memory_lies_on_all_nodes_alike() {
    let Some(machine) = Machine::get() else { return };
    let memories = machine.memories();
    let mut memory = NodeMemory::<u64>::interleaved(LARGE).expect("64 MiB");
    assert_eq!(memory.refused(), None);
    memory.fill(7);
    let shares = shares(&memory);
    let least = pages(&memory).len() / memories.len() / 2;
    assert!(shares.values().all(|share| *share >= least), "{shares:?}");
    assert!(shares.keys().copied().eq(memories.iter().map(|node| Page::On(*node))), "{shares:?}");
    assert_eq!(node_of(&memory), (memories.len() == 1).then_some(memories[0]));
}

#[test]
fn a_node_without_memory_is_named() {
    let Some(machine) = Machine::get() else { return };
    for node in machine.topology.numa_nodes().iter().filter(|node| !node.may_allocate()) {
        let what = format!("NUMA node {} has no memory", node.id());
        let error = NodeMemory::<u64>::on_node(LEN, node.id()).expect_err("it has no memory");
        assert_eq!(error.to_string(), what);
        assert_eq!(move_to(&mut [1_u64; 5000], node.id()).expect_err("it has no memory").to_string(), what);
    }
    let beyond = machine.topology.numa_nodes().last().expect("several").id() + 1;
    let error = NodeMemory::<u64>::on_node(LEN, beyond).expect_err("there is no such node").to_string();
    assert!(error.starts_with(&format!("there is no NUMA node {beyond}: this machine has 0-")), "{error}");
}

#[test]
fn a_slice_is_where_most_of_its_pages_are() {
    let Some(machine) = Machine::get() else { return };
    let Some([one, other]) = machine.two_memories() else { return };
    let mut memory = NodeMemory::<u64>::on_node(LARGE, one).expect("the node has memory");
    memory.fill(7);
    assert_eq!(move_to(&mut memory[LARGE / 2..], other).expect("pages can be moved"), 0);
    assert_eq!(node_of(&memory[..LARGE / 2]), Some(one));
    assert_eq!(node_of(&memory[LARGE / 2..]), Some(other));
    assert_eq!(node_of(&memory[..LARGE / 16 * 9]), Some(one));
    assert_eq!(node_of(&memory[LARGE / 16 * 7..]), Some(other));
    assert_eq!(node_of(&memory), None, "half of it here, half there");
    // A few numbers are where their page is.
    assert_eq!(node_of(&memory[5..7]), Some(one));
    assert_eq!(node_of(&memory[LARGE - 7..LARGE - 5]), Some(other));
}

#[test]
fn asking_and_moving_touch_nothing() {
    let Some(machine) = Machine::get() else { return };
    for node in machine.memories() {
        let mut memory = NodeMemory::<u64>::interleaved(LEN).expect("8 MiB");
        assert_eq!(node_of(&memory), None);
        assert_eq!(move_to(&mut memory, node).expect("there is nothing to move"), 0);
        assert_all(&memory, Page::Nowhere);
    }
}

#[test]
fn touched_pages_move_with_what_they_hold() {
    let Some(machine) = Machine::get() else { return };
    let memories = machine.memories();
    for &from in &memories {
        for &to in &memories {
            let mut memory = NodeMemory::<u64>::on_node(LEN, from).expect("the node has memory");
            memory.iter_mut().enumerate().for_each(|(index, number)| *number = index as u64);
            assert_all(&memory, Page::On(from));
            assert_eq!(move_to(&mut memory, to).expect("pages can be moved"), 0);
            assert_all(&memory, Page::On(to));
            assert_eq!(node_of(&memory), Some(to));
            assert!(memory.iter().copied().eq(0..LEN as u64));
        }
    }
}

#[test]
fn memory_of_a_vec_moves_but_for_its_ends() {
    let Some(machine) = Machine::get() else { return };
    let Some([one, other]) = machine.two_memories() else { return };
    let cpu = machine.topology.numa_node(one).and_then(|node| node.cpus().first()).expect("the first node has CPUs");
    let mut items = bound_to(cpu, || vec![7_u64; FRESH]);
    assert_all(&items, Page::On(one));
    assert_eq!(move_to(&mut items, other).expect("pages can be moved"), 0);
    let numbers = page_size() / size_of::<u64>();
    assert_all(&items[numbers..FRESH - numbers], Page::On(other));
    assert_eq!(node_of(&items), Some(other));
    assert!(items.iter().all(|item| *item == 7));
}

#[test]
fn only_whole_pages_inside_a_slice_move() {
    let Some(machine) = Machine::get() else { return };
    let Some([one, other]) = machine.two_memories() else { return };
    let page = page_size();
    // Too small for huge pages, which move as a whole.
    let mut memory = NodeMemory::<u8>::on_node(16 * page, one).expect("the node has memory");
    memory.fill(7);
    assert_eq!(move_to(&mut memory[page + 1..7 * page - 1], other).expect("pages can be moved"), 0);
    let moved = |page: usize| (2..6).contains(&page);
    let wanted: Vec<Page> = (0..16).map(|page| Page::On(if moved(page) { other } else { one })).collect();
    assert_eq!(places(&memory), wanted);

    assert_eq!(move_to(&mut memory[page + 1..2 * page], other).expect("no whole page"), 0);
    assert_eq!(move_to(&mut memory[page + 1..page + 2], other).expect("no whole page"), 0);
    assert_eq!(places(&memory), wanted);
    assert_eq!(move_to(&mut memory[page..2 * page], other).expect("one whole page"), 0);
    assert_eq!(places(&memory)[..3], [Page::On(one), Page::On(other), Page::On(other)]);
}

#[test]
fn holes_between_touched_pages_stay() {
    let Some(machine) = Machine::get() else { return };
    let Some([one, other]) = machine.two_memories() else { return };
    let page = page_size();
    let mut memory = NodeMemory::<u8>::on_node(100 * page, one).expect("the node has memory");
    memory.iter_mut().step_by(3 * page).for_each(|byte| *byte = 7);
    assert_eq!(node_of(&memory), Some(one));
    assert_eq!(move_to(&mut memory, other).expect("pages can be moved"), 0);
    let place = |index: usize| if index.is_multiple_of(3) { Page::On(other) } else { Page::Nowhere };
    assert_eq!(places(&memory), (0..100).map(place).collect::<Vec<_>>());
}

#[test]
fn a_full_node_stops_nothing() {
    const MOST: u64 = 1 << 30;
    let Some(machine) = Machine::get() else { return };
    let Some([here, full]) = machine.two_memories() else { return };
    let size = machine.topology.numa_node(full).and_then(|node| node.memory()).expect("it is known");
    let to_fill = Some(size).filter(|size| *size <= MOST);
    let Some(size) = to_fill.or_else(|| skip(&format!("NUMA node {full} is too large to be filled"))) else { return };
    let mut moving = NodeMemory::<u64>::on_node(LEN * 2, here).expect("the node has memory");
    moving.fill(7);

    let len = usize::try_from(size).expect("at most 1 GiB");
    let mut filling = NodeMemory::<u8>::on_node(len, full).expect("the machine has memory");
    filling.iter_mut().step_by(page_size()).for_each(|byte| *byte = 1);
    let shares = shares(&filling);
    assert!(shares.len() > 1 && shares[&Page::On(full)] > pages(&filling).len() / 2, "{shares:?}");
    assert!(!shares.contains_key(&Page::Nowhere), "{shares:?}");

    let elsewhere = move_to(&mut moving, full).expect("that the node is full is no error");
    let all = size_of_val(&*moving) / page_size();
    assert!((1..=all).contains(&elsewhere), "{elsewhere} of {all} pages found no room");
    assert!(moving.iter().all(|number| *number == 7));
    drop(filling);
    assert_eq!(move_to(&mut moving, full).expect("pages can be moved"), 0);
    assert_eq!(node_of(&moving), Some(full));
}
