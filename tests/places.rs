//! Places: who is at home where and why, on machines that need not be here; what is refused; the picture of it.

use std::time::{Duration, Instant};

use millstream::{Explain, Graph, Place, Pool, Topology};

fn machine(description: &str) -> Topology {
    Topology::synthetic(description).expect("a machine")
}

/// Four nodes, all with CPUs.
fn server() -> Topology {
    machine("numa:4 core:8 pu:2")
}

/// Two packages, each with a node that has CPUs (0 and 2) and one that is memory only (1 and 3).
fn with_memory_nodes() -> Topology {
    machine("pack:2 [numa] [numa] core:4 pu:1")
}

fn said(explain: &Explain, name: &str) -> String {
    explain.operator(name).unwrap_or_else(|| panic!("'{name}' is in {explain}")).to_string()
}

/// The defects of a graph on a machine, in one text.
fn defects(g: &Graph<'_>, machine: &Topology) -> String {
    g.plan_for(machine).expect_err("defects").to_string()
}

#[test]
fn tasks_are_where_their_data_is() {
    let g = Graph::new();
    let left = g.data(1).named("left").place(Place::Node(1));
    let right = g.data(2).named("right").place(Place::Node(3));
    let loose = g.data(3).named("loose");
    let both = g.task((left.read(), right.write()), |(left, right)| *right += left).named("both");
    g.task((loose.write(), left.read()), |(loose, left)| *loose += left).named("first that has one");
    g.task(loose.write(), |loose| *loose += 1).named("nowhere");
    g.task(both.read(), |()| ()).named("behind both");
    g.task((left.read(), right.write()), |_| ()).named("told").place(Place::Node(0));
    g.task((left.read(), right.write()), |_| ()).named("spread").place(Place::Spread);
    g.task((), |()| ()).named("near").place(Place::Near(&right));
    g.task(left.read(), |_| ()).named("near nothing").place(Place::Near(&loose));
    let explain = g.plan_for(&server()).expect("sound").explain();
    for expected in [
        "'left': node 1 (as told)",
        "'loose': no home",
        "'both': node 3 (it writes 'right')",
        "'first that has one': node 1 (it accesses 'left')",
        "'nowhere': no home",
        "'behind both': node 3 (it accesses 'both')",
        "'told': node 0 (as told)",
        "'spread': no home (spread, as told)",
        "'near': node 3 (near 'right')",
        "'near nothing': no home (near 'loose', which has no home)",
    ] {
        let name = expected.split('\'').nth(1).expect("a name");
        assert_eq!(said(&explain, name), expected);
    }
    assert!(explain.to_string().contains("node 0: 'told' (as told)\nnode 1: 'left' (as told), 'first"), "{explain}");
}

#[test]
fn sources_are_where_they_are_told_and_take_along_what_is_fused() {
    let numbers = [1_u64; 100];
    let g = Graph::new();
    let list = g.data(vec![1_u64]).named("list").place(Place::Node(2));
    g.slice(&numbers).named("slice").place(Place::Node(3)).map(|x| x + 1).named("map").for_each(|_| ());
    g.source_fn(|| 0..9).map(|x| x + 1).place(Place::Spread).named("dealt").collect().named("all");
    g.items(&list).named("items").for_each(|_| ());
    let (one, other) = g.range(0..9).named("range").place(Place::Near(&list)).tee();
    let sum = one.zip(other).map(|(a, b)| a * b).named("product").sum::<u64>().named("sum").place(Place::Node(0));
    g.task(sum.read(), |_| ()).named("report");
    let explain = g.plan_for(&server()).expect("sound").explain();
    for expected in [
        "'slice': node 3 (as told)",
        "'map': node 3 (with the batches of 'slice')",
        "'items': node 2 (it accesses 'list')",
        "'range': node 2 (near 'list')",
        "'product': no home",
        "'sum': node 0 (as told)",
        "'report': node 0 (it accesses 'sum')",
    ] {
        let name = expected.split('\'').nth(1).expect("a name");
        assert_eq!(said(&explain, name), expected);
    }
    let dealt = explain.operator("dealt").expect("named");
    assert_eq!((dealt.node(), dealt.nodes()), (None, &[0, 1, 2, 3][..]), "{dealt}");
}

#[test]
fn the_last_word_counts() {
    let g = Graph::new();
    let data = g.data(1).named("data").place(Place::Node(1));
    data.clone().place(Place::Node(2));
    let explain = g.plan_for(&server()).expect("sound").explain();
    assert_eq!(explain.operator("data").and_then(|data| data.node()), Some(2));
}

#[test]
fn what_is_near_memory_without_cpus_runs_on_the_nearest_node_that_has_some() {
    let g = Graph::new();
    let far = g.data(1).named("far").place(Place::Node(3));
    g.task(far.write(), |_| ()).named("write");
    g.task(far.read(), |_| ()).named("near").place(Place::Near(&far));
    g.range(0..9).named("range").place(Place::Near(&far)).for_each(|_| ());
    g.range(0..9).named("spread").place(Place::Spread).for_each(|_| ());
    let explain = g.plan_for(&with_memory_nodes()).expect("data may be there").explain();
    assert_eq!(said(&explain, "far"), "'far': node 3 (as told)");
    assert_eq!(said(&explain, "write"), "'write': node 2 (it writes 'far', on the nearest node with CPUs)");
    assert_eq!(said(&explain, "near"), "'near': node 2 (near 'far', on the nearest node with CPUs)");
    assert_eq!(said(&explain, "range"), "'range': node 2 (near 'far', on the nearest node with CPUs)");
    assert_eq!(said(&explain, "spread"), "'spread': nodes 0, 2 (spread, as told)");
}

#[test]
fn nodes_that_are_not_there_are_defects() {
    let g = Graph::new();
    g.data(1).named("data").place(Place::Node(4));
    g.task((), |()| ()).named("task").place(Place::Node(usize::MAX));
    g.range(0..9).named("range").place(Place::Node(9)).for_each(|_| ());
    let text = defects(&g, &server());
    for (name, node) in [("data", 4), ("task", usize::MAX), ("range", 9)] {
        let line = text.lines().find(|line| line.contains(&format!("'{name}' ({}:", file!()))).expect("it is named");
        assert!(
            line.ends_with(&format!("it is to be on node {node}, which is none that this machine has: 0-3")),
            "{line}"
        );
    }
    assert_eq!(text.lines().count(), 4, "{text}");
    let pool = Pool::builder().workers(1).build().expect("a pool");
    assert!(g.plan(&pool).is_err(), "the machine of a pool has not so many nodes");
}

#[test]
fn what_runs_needs_cpus() {
    let g = Graph::new();
    g.data(1).named("data").place(Place::Node(1));
    g.task((), |()| ()).named("task").place(Place::Node(1));
    g.range(0..9).named("range").place(Place::Node(3)).for_each(|_| ());
    let text = defects(&g, &with_memory_nodes());
    assert!(text.contains("'task' ") && text.contains("'range' ") && !text.contains("'data' "), "{text}");
    assert!(text.contains("it is to run on node 1, which has no CPU it may use; these have: 0,2"), "{text}");
}

#[test]
fn data_of_another_graph_is_a_defect() {
    let (g, other) = (Graph::new(), Graph::new());
    let foreign = other.data(1).place(Place::Node(1));
    g.task((), |()| ()).named("task").place(Place::Near(&foreign));
    g.range(0..9).named("range").place(Place::Near(&foreign)).for_each(|_| ());
    let text = defects(&g, &server());
    assert_eq!(text.matches("it is to be near data of another graph").count(), 2, "{text}");
}

#[test]
fn being_near_itself_is_a_defect() {
    let g = Graph::new();
    let (a, b) = (g.data(1).named("a"), g.data(2).named("b"));
    let made = g.task(b.read(), |b| *b).named("made");
    a.clone().place(Place::Near(&b));
    b.clone().place(Place::Near(&made));
    let own = g.data(3).named("own");
    own.clone().place(Place::Near(&own));
    let text = defects(&g, &server());
    assert_eq!(text.matches("it is near data that is itself to be near it").count(), 2, "{text}");
    assert!(text.contains("'b' (") && text.contains("'own' (") && !text.contains("'a' ("), "{text}");
}

#[test]
fn a_stream_of_several_sources_has_no_place() {
    let g = Graph::new();
    g.range(0..9).chain(g.range(0..9)).place(Place::Node(0)).named("both").for_each(|_| ());
    let text = defects(&g, &server());
    assert!(text.contains("'both' (") && text.contains("place is said of one source"), "{text}");
}

#[test]
fn a_graph_can_be_planned_after_its_blueprint() {
    let pool = Pool::builder().workers(2).build().expect("a pool");
    let g = Graph::new();
    let node = Topology::detect().expect("a machine").numa_nodes()[0].id();
    let sum = g.range(0..10_u64).place(Place::Spread).sum::<u64>().place(Place::Node(node));
    let twice = g.task(sum.read(), |sum| 2 * sum).place(Place::Near(&sum));
    assert!(g.plan_for(&server()).is_ok());
    assert_eq!(pool.run(g).expect("runs").take(twice), 90);
}

#[test]
fn the_kernel_may_say_where_memory_is() {
    let pool = Pool::builder().workers(2).build().expect("a pool");
    let text = vec![b'\n'; 1 << 20];
    let g = Graph::new();
    let tile = g.data([1_u8; 1 << 17]);
    let place = Place::of(&text);
    let sum = g.task(tile.read(), |tile| tile.iter().map(|x| u64::from(*x)).sum::<u64>()).place(place);
    let lines = g.split(&text, b'\n').count();
    let items = g.vec(vec![1_u32; 1 << 18]).count();
    let mut run = pool.run(g).expect("runs");
    assert_eq!((run.take(sum), run.take(lines), run.take(items)), (1 << 17, 1 << 20, 1 << 18));
}

/// A stream with a name that must not break anything, and tasks on two nodes.
fn picture() -> Explain {
    let g = Graph::new();
    let left = g.data(1).named("left").place(Place::Node(1));
    let list =
        g.source_fn(|| 0..9).named("a \"b\" \\ c\n<d>").chain(g.source_fn(|| 0..9).spooled()).collect().named("list");
    g.task((left.write(), list.read()), |_| ()).named("fill");
    g.task(left.read(), |_| ()).named("look").place(Place::Node(3));
    g.plan_for(&server()).expect("sound").explain()
}

#[test]
fn dot_has_clusters_and_escaped_names() {
    let dot = picture().to_dot();
    let cluster = |node: usize| {
        let (_, rest) = dot.split_once(&format!("subgraph cluster_node{node} {{")).expect("a cluster");
        rest.split_once("  }\n").expect("an end").0
    };
    assert!(cluster(1).contains("\"fill\"") && cluster(1).contains("shape=cylinder, label=\"left\""), "{dot}");
    assert!(cluster(3).contains("\"look\"") && !cluster(3).contains("\"fill\""), "{dot}");
    assert!(dot.contains("label=\"a \\\"b\\\" \\\\ c\\n<d>"), "{dot}");
    assert!(dot.contains("list\\n(keeps ") && dot.contains("(spooled: keeps its items"), "{dot}");
    assert_eq!(
        dot.matches(" -> ").count(),
        4 + 3,
        "four stage boundaries; left to fill, list to fill, fill to look: {dot}"
    );
    assert_eq!(dot.matches("style=dashed").count(), 3, "{dot}");
}

#[test]
fn mermaid_has_the_same() {
    let explain = picture();
    let mermaid = explain.to_mermaid();
    assert!(mermaid.starts_with("flowchart LR\n  subgraph node1[\"node 1\"]\n"), "{mermaid}");
    assert!(mermaid.contains("[\"a #34;b#34; #92; c<br/>#60;d#62;\"]"), "{mermaid}");
    assert!(mermaid.contains("[(\"left\")]") && mermaid.contains("([\"fill\"])"), "{mermaid}");
    assert_eq!(mermaid.matches("subgraph").count(), mermaid.matches("  end\n").count());
    assert_eq!((mermaid.matches(" --> ").count(), mermaid.matches(" -.-> ").count()), (4, 3), "{mermaid}");
}

#[test]
fn large_graphs_are_explained_soon() {
    let start = Instant::now();
    let g = Graph::new();
    let first = g.data(0).place(Place::Node(2));
    let mut last = first.clone();
    for _ in 0..50_000 {
        let near = g.data(0);
        last.place(Place::Near(&near)); // each depends on the next one
        last = near;
    }
    let mut last = g.data(0).place(Place::Node(1));
    for _ in 0..50_000 {
        last = g.task((last.read(), first.read()), |(a, b)| a + b);
    }
    last.named("last");
    let explain = g.plan_for(&server()).expect("sound").explain();
    assert_eq!(explain.operator("last").and_then(|last| last.node()), Some(1));
    let dot = explain.to_dot();
    assert!(dot.contains("49000 more tasks"), "{}", &dot[..1000]);
    assert!(dot.lines().count() < 10_000 && explain.to_mermaid().lines().count() < 10_000);
    assert!(explain.to_string().len() < 10_000, "nodes name a few, and count the others");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

/// Each line of the text says one thing, whatever the names are.
#[test]
fn a_name_with_line_ends_stays_on_its_line() {
    let pool = Pool::builder().workers(1).build().expect("a pool");
    let g = Graph::new();
    g.range(0..9).named("two\nlines\u{7}").for_each(drop);
    let explain = g.plan(&pool).expect("no defect").explain();
    let text = explain.to_string();
    assert!(text.starts_with("stage 0: two\\nlines\\u{7} > for_each"), "{text}");
    assert_eq!(text.lines().count(), 2, "{text}");
    let operator = explain.operators().first().expect("the source");
    assert_eq!((operator.name(), &*operator.to_string()), ("two\nlines\u{7}", "'two\\nlines\\u{7}': no home"));
}
