//! What has no place is where the kernel says its memory is.

use millstream::memory::NodeMemory;
use millstream::{Graph, Place, Pool};

use super::Machine;

const LEN: usize = 4 << 20;

/// Memory on a node, touched.
fn touched(node: usize) -> NodeMemory<u8> {
    let mut memory = NodeMemory::on_node(LEN, node).expect("a node with memory");
    memory.fill(b'x');
    memory
}

#[test]
fn sources_and_data_are_where_their_memory_is() {
    let Some(machine) = Machine::get() else { return };
    let Some([one, two]) = machine.two_memories() else { return };
    let with_cpus = |node: usize| machine.topology.numa_node(node).is_some_and(|node| !node.cpus().is_empty());
    let (left, right) = (touched(one), touched(two));
    let pool = Pool::builder().workers(2).build().expect("a pool");
    let g = Graph::new();
    let count = g.slice(&right).named("slice").count();
    let records = g.split_all(&[&left, &right], b' ').named("split").count();
    let tile = g.data(0_u8).named("tile").place(Place::of(&right));
    let tile = g.task(tile.write(), |tile| *tile += 1).named("task");
    let mut plan = g.plan(&pool).expect("sound");
    let explain = plan.explain();
    let nodes = |name: &str| explain.operator(name).expect("it is named").nodes().to_vec();
    assert_eq!(nodes("tile"), [two], "as the kernel says");
    if with_cpus(one) && with_cpus(two) {
        assert_eq!((nodes("slice"), nodes("task"), nodes("split")), (vec![two], vec![two], vec![one, two]));
    }
    plan.run().expect("runs");
    plan.take(tile);
    assert_eq!((plan.take(count), plan.take(records)), (LEN as u64, 2));
}
