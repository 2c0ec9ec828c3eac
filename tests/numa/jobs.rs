//! Jobs run where they are at home, unless stolen after a full round; thieves take from the nearest, and steals are counted by
//! tier. The kernel is asked for the CPU.
//!
//! How fast which CPU is decides nothing here: workers are held back until all jobs are queued, and each job waits until
//! all have begun ([`Held`]). So each worker runs exactly one, and where there is one at home it never looks elsewhere.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, OnceLock};

use millstream::memory::NodeMemory;
use millstream::{Graph, Pinning, Place, Plan, Pool, WorkerReport};

use super::{Machine, bound_to, cpu};

/// Numbers that take 256 KiB: as much as the kernel is asked about, and one part.
const LEN: usize = 1 << 15;

/// The tier of other nodes.
const AFAR: usize = 2;

/// One steal in a tier, or none, as it is reported.
fn steals(tier: Option<usize>) -> [u64; 3] {
    std::array::from_fn(|of| u64::from(tier == Some(of)))
}

/// A pool with workers on all nodes, all bound.
fn pool(pinning: Pinning) -> Pool {
    Pool::builder().pinning(pinning).strict(true).build().expect("all can be bound")
}

/// The node of each worker.
fn nodes(pool: &Pool) -> Vec<usize> {
    pool.placement().workers().iter().map(|place| place.node().expect("it is bound to one")).collect()
}

impl Machine {
    /// The node with CPUs that is nearest to a node; itself, if it has some.
    fn home_of(&self, node: usize) -> usize {
        let distance = |to: &usize| (*to != node, self.node(node).distance(*to).expect("the kernel knows it"));
        self.nodes(true).into_iter().min_by_key(distance).expect("there are CPUs")
    }

    /// The tier in which one worker finds another.
    fn tier(&self, pool: &Pool, thief: usize, victim: usize) -> usize {
        let placement = pool.placement();
        let [thief, victim] = [thief, victim].map(|worker| &placement.workers()[worker]);
        let [one, other] = [thief, victim].map(|place| place.cpus().expect("it is bound"));
        let share = self.topology.l3_domains().iter().any(|l3| one.union(other).is_subset(l3.cpus()));
        if thief.node() == victim.node() { usize::from(!share) } else { AFAR }
    }

    /// By node with CPUs: where to put data that is at home there. On itself; then, for each node without CPUs, there in place
    /// of the nearest one with some.
    fn rounds(&self) -> Vec<BTreeMap<usize, usize>> {
        let own = self.nodes(true).into_iter().map(|node| (node, node));
        let mut rounds: Vec<BTreeMap<usize, usize>> = vec![own.collect()];
        for node in self.nodes(false) {
            let mut round = rounds[0].clone();
            round.insert(self.home_of(node), node);
            rounds.push(round);
        }
        rounds
    }
}

/// Jobs, one for each of some workers, that wait for each other.
struct Held {
    begun: OnceLock<()>,
    all: Barrier,
    /// Where each was to be, and the CPU where it was.
    seen: Mutex<Vec<(usize, usize)>>,
}

impl Held {
    fn new(jobs: usize) -> Self {
        Self { begun: OnceLock::new(), all: Barrier::new(jobs), seen: Mutex::default() }
    }

    /// What each job does.
    fn job(&self, home: usize) {
        self.begun.get_or_init(|| ());
        self.seen.lock().expect("no panic").push((home, cpu()));
        self.all.wait();
    }

    /// Runs a plan on one worker. The other `players` come when the first job has begun, all others when the run is over.
    /// Gives what the workers did.
    fn run(&self, pool: &Pool, plan: Plan<'_>, runner: usize, players: &[usize]) -> Vec<WorkerReport> {
        let (plan, over) = (Mutex::new(plan), OnceLock::new());
        let here = Barrier::new(pool.workers());
        pool.broadcast(|worker| {
            here.wait();
            if worker == runner {
                let result = plan.lock().expect("no panic").run();
                self.begun.get_or_init(|| ());
                over.get_or_init(|| ());
                result.expect("runs");
            } else if players.contains(&worker) {
                self.begun.wait();
            } else {
                over.wait();
            }
        });
        plan.into_inner().expect("no panic").report().workers().to_vec()
    }

    /// How many jobs ran on another node than their home.
    fn away(self, machine: &Machine) -> usize {
        let seen = self.seen.into_inner().expect("no panic");
        seen.iter().filter(|(home, cpu)| !machine.node(*home).cpus().contains(*cpu)).count()
    }
}

/// A task for each pair of a home and the node of the data that makes it the task's home. They are queued one by one by the
/// last of two others: a range of tasks would be split by whoever takes it.
fn tasks<'env>(g: &Graph<'env>, held: &'env Held, homes: impl Iterator<Item = (usize, usize)>) {
    let (one, two) = (g.task((), |()| ()), g.task((), |()| ()));
    for (home, node) in homes {
        let data = g.data(()).place(Place::Node(node));
        g.task((data.write(), one.read(), two.read()), move |_| held.job(home)).named(&format!("task {home}"));
    }
}

/// All kinds of bound pools, each with all of some cases.
fn pools<T: Clone>(cases: Vec<T>) -> impl Iterator<Item = (Pool, T)> {
    let both = [Pinning::Cores, Pinning::Nodes].into_iter();
    both.flat_map(move |pinning| cases.clone().into_iter().map(move |case| (pool(pinning), case)))
}

#[test]
fn tasks_run_where_their_data_is() {
    let Some(machine) = Machine::get() else { return };
    for (pool, round) in pools(machine.rounds()) {
        let nodes = nodes(&pool);
        let on = |node: usize| (0..nodes.len()).filter(|worker| nodes[*worker] == node).collect::<Vec<_>>();
        // Who runs the plan has the tasks of its own node in its ring. While it is in the first of them it shows one.
        let at = machine.nodes(true).into_iter().min_by_key(|node| on(*node).len()).expect("a node");
        let runner = on(at)[0];
        let players: Vec<usize> = (0..nodes.len())
            .filter(|worker| nodes[*worker] != at || on(at)[..on(at).len().min(2)].contains(worker))
            .collect();
        let held = Held::new(players.len());
        let g = Graph::new();
        tasks(&g, &held, players.iter().map(|worker| (nodes[*worker], round[&nodes[*worker]])));
        let plan = g.plan(&pool).expect("sound");
        for home in machine.nodes(true) {
            let task = plan.explain().operator(&format!("task {home}")).and_then(|task| task.node());
            assert_eq!(task, Some(home), "near node {}", round[&home]);
        }
        for (worker, did) in held.run(&pool, plan, runner, &players)[..nodes.len()].iter().enumerate() {
            let from_runner = nodes[worker] == at && worker != runner && players.contains(&worker);
            let tier = from_runner.then(|| machine.tier(&pool, worker, runner));
            assert_eq!(did.steals_by_tier(), steals(tier), "{}", did.name());
        }
        assert_eq!(held.away(&machine), 0, "{:?}, {round:?}", pool.placement().pinning());
    }
}

#[test]
fn sources_run_where_their_memory_is() {
    let Some(machine) = Machine::get() else { return };
    for (pool, round) in pools(machine.rounds()) {
        let nodes = nodes(&pool);
        let memory = |node: usize| {
            let mut memory = match machine.node(node).may_allocate() {
                true => NodeMemory::<u64>::on_node(LEN, node),
                false => NodeMemory::interleaved(LEN),
            }
            .expect("256 KiB");
            memory.fill(0);
            memory[0] = 1;
            memory
        };
        let memories: Vec<_> = round.iter().map(|(home, node)| (*home, *node, memory(*node))).collect();
        // One on each node: a source has two jobs one after the other, and others of its node might take the second one.
        let one_on = |home: &usize| nodes.iter().position(|node| node == home).expect("all nodes have workers");
        let players: Vec<usize> = round.keys().map(one_on).collect();
        for &runner in &players {
            let (held, count) = (Held::new(players.len()), AtomicUsize::new(0));
            let g = Graph::new();
            for (home, node, memory) in &memories {
                let (held, count) = (&held, &count);
                let source = g.slice(memory).batch_size(LEN).named(&format!("source {home}"));
                // The kernel is asked for the others.
                let source = if machine.node(*node).may_allocate() { source } else { source.place(Place::Node(*node)) };
                source.for_each(move |first| {
                    count.fetch_add(1, Ordering::Relaxed);
                    if *first == 1 {
                        held.job(*home);
                    }
                });
            }
            let plan = g.plan(&pool).expect("sound");
            for (home, node, _) in &memories {
                let source = plan.explain().operator(&format!("source {home}")).and_then(|source| source.node());
                assert_eq!(source, Some(*home), "over memory of node {node}");
            }
            for did in &held.run(&pool, plan, runner, &players) {
                assert_eq!(did.steals_by_tier(), steals(None), "{}", did.name());
            }
            assert_eq!(held.away(&machine), 0, "{:?}, {round:?}", pool.placement().pinning());
            assert_eq!(count.into_inner(), LEN * memories.len());
        }
    }
}

#[test]
fn each_job_taken_from_another_node_is_a_steal() {
    let Some(machine) = Machine::get() else { return };
    for (pool, home) in pools(machine.nodes(true)) {
        let nodes = nodes(&pool);
        // The others have nothing at home: each of their workers takes one job of this node, after a full round.
        let Some(runner) = nodes.iter().position(|node| *node != home) else { continue };
        let players: Vec<usize> = (0..nodes.len()).collect();
        let held = Held::new(players.len());
        let g = Graph::new();
        tasks(&g, &held, players.iter().map(|_| (home, home)));
        let plan = g.plan(&pool).expect("sound");
        for (worker, did) in held.run(&pool, plan, runner, &players)[..nodes.len()].iter().enumerate() {
            let away = nodes[worker] != home;
            assert_eq!(did.steals_by_tier(), steals(away.then_some(AFAR)), "{}: node {home} has all", did.name());
            assert_eq!((did.steals(), did.remote_steals()), (u64::from(away), u64::from(away)), "{}", did.name());
        }
        assert_eq!(held.away(&machine), nodes.iter().filter(|node| **node != home).count());
    }
}

#[test]
fn steals_are_counted_by_tier() {
    let Some(machine) = Machine::get() else { return };
    for (pool, home) in pools(machine.nodes(true)) {
        let nodes = nodes(&pool);
        let victim = nodes.iter().position(|node| *node == home).expect("all nodes have workers");
        for thief in (0..nodes.len()).filter(|thief| *thief != victim) {
            let held = Held::new(2);
            let g = Graph::new();
            for _ in 0..2 {
                let held = &held;
                g.task((), move |()| held.job(home));
            }
            let tier = machine.tier(&pool, thief, victim);
            let plan = g.plan(&pool).expect("sound");
            for (worker, did) in held.run(&pool, plan, victim, &[thief])[..nodes.len()].iter().enumerate() {
                let stolen = steals((worker == thief).then_some(tier));
                assert_eq!(did.steals_by_tier(), stolen, "{}: {thief} robs {victim}", did.name());
            }
            assert_eq!(held.away(&machine), usize::from(tier == AFAR), "{thief} robs {victim}");
        }
    }
}

#[test]
fn thieves_take_from_the_nearest() {
    let Some(machine) = Machine::get() else { return };
    for (pool, home) in pools(machine.nodes(true)) {
        let nodes = nodes(&pool);
        let thief = nodes.iter().position(|node| *node == home).expect("all nodes have workers");
        let distance = |victim: &usize| {
            let distance = machine.node(home).distance(nodes[*victim]).expect("the kernel knows it");
            (machine.tier(&pool, thief, *victim), distance)
        };
        let others = || (0..nodes.len()).filter(|victim| *victim != thief);
        let pairs = others().flat_map(|near| others().map(move |far| [near, far]));
        for pair in pairs.filter(|[near, far]| distance(near) < distance(far)) {
            // Each victim is held in its first task, and shows its second one, until the thief has taken one.
            let (shown, taken, over) = (Barrier::new(3), OnceLock::new(), Barrier::new(nodes.len() - 1));
            let plans = pair.map(|victim| {
                let (shown, taken, first) = (&shown, &taken, Arc::new(AtomicBool::new(true)));
                let g = Graph::new();
                for _ in 0..2 {
                    let first = Arc::clone(&first);
                    g.task((), move |()| {
                        if first.swap(false, Ordering::Relaxed) {
                            shown.wait();
                            taken.wait();
                        }
                        taken.get_or_init(|| victim);
                    });
                }
                Mutex::new(g.plan(&pool).expect("sound"))
            });
            let here = Barrier::new(nodes.len());
            pool.broadcast(|worker| {
                here.wait();
                if worker == thief {
                    shown.wait();
                    return Ok(());
                }
                let victim = pair.iter().position(|victim| *victim == worker);
                let result = victim.map_or(Ok(()), |victim| plans[victim].lock().expect("no panic").run());
                over.wait();
                result
            })
            .into_iter()
            .collect::<Result<(), _>>()
            .expect("both run");
            assert_eq!(taken.get(), Some(&pair[0]), "worker {thief} has the choice of {pair:?}");
        }
    }
}

/// A thread from outside runs the plan. What others take from it is no steal from another node, as it may be anywhere: so
/// that is not counted here.
#[test]
fn other_nodes_help_where_only_one_has_work() {
    let Some(machine) = Machine::get() else { return };
    for (pool, home) in pools(machine.nodes(true)) {
        if nodes(&pool).iter().all(|node| *node == home) {
            continue;
        }
        let at_home = machine.node(home).cpus();
        let (helped, sum) = (&OnceLock::new(), &AtomicUsize::new(0));
        let g = Graph::new();
        for task in 0..512 {
            g.task((), move |()| {
                // Who is at home waits until another node has helped.
                if at_home.contains(cpu()) {
                    helped.wait();
                }
                helped.get_or_init(|| ());
                sum.fetch_add(task, Ordering::Relaxed);
            })
            .place(Place::Node(home));
        }
        let mut plan = g.plan(&pool).expect("sound");
        bound_to(at_home.first().expect("it has CPUs"), || plan.run()).expect("runs");
        assert_eq!(sum.load(Ordering::Relaxed), 511 * 512 / 2);
    }
}
