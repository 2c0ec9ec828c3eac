//! The machine as a tree, and what a pool would do on it: this machine, a recorded one, or a made-up one.
//!
//! ```text
//! cargo run --example topology
//! cargo run --example topology -- --synthetic "pack:2 numa:2 l3:2 core:8 pu:2"
//! cargo run --example topology -- --root machines/epyc --csv
//! ```

use std::error::Error;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::iter;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use millstream::{Core, CpuSet, Placement, Pool, Topology};

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            // If nobody listens there, the exit code still says it.
            let _ = writeln!(io::stderr(), "error: {message}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> Result<(), String> {
    let machine = args.machine().map_err(|error| in_full(&error))?;
    let placement = Pool::builder().topology(machine.clone()).placement().map_err(|error| in_full(&error))?;
    let mut out = BufWriter::new(io::stdout().lock());
    let written = if args.csv {
        writeln!(out, "{}", counts(&machine))
    } else {
        show(&machine, args.cores, &mut out).and_then(|()| show_pool(&machine, &placement, &mut out))
    };
    match written.and_then(|()| out.flush()) {
        // Whoever reads there may stop when it has enough.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(format!("the machine cannot be written: {error}")),
        _ => Ok(()),
    }
}

/// Shows a machine, and what a pool would do on it
///
/// The machine comes first, as a tree: packages, NUMA nodes and L3 domains with the CPUs that this
/// process may use. Then where the workers of a pool would run that is made without options.
#[derive(Parser)]
#[command(name = "topology", verbatim_doc_comment, after_long_help = NOTES)]
struct Args {
    /// Read a recorded machine: a folder that holds Linux's files below `sys` and `proc`
    #[arg(long, value_name = "DIR", conflicts_with = "synthetic")]
    root: Option<PathBuf>,

    /// Make up a machine from hwloc's synthetic description, such as "numa:4 l3:2 core:8 pu:2"
    #[arg(long, value_name = "SPEC")]
    synthetic: Option<String>,

    /// Also list each core
    #[arg(long)]
    cores: bool,

    /// Print one line instead: `pus,cores,packages,numa_nodes,l3`
    #[arg(long, conflicts_with = "cores")]
    csv: bool,
}

/// What `--help` says at its end.
const NOTES: &str = "\
Numbers:
  All counts are of what this process may use. In the line of --csv a number is left out where the
  machine shows none. It has the NUMA nodes that the process may allocate on and that are near one
  of its CPUs: so does hwloc-calc count.

Exit status:
  0 if the machine was shown; 2 if not: there is none in DIR, SPEC makes none, it cannot be written.";

impl Args {
    fn machine(&self) -> Result<Topology, millstream::Error> {
        match (&self.root, &self.synthetic) {
            (Some(root), _) => Topology::read(root),
            (None, Some(description)) => Topology::synthetic(description),
            (None, None) => Topology::detect(),
        }
    }
}

/// An error of the library with its causes.
fn in_full(error: &(dyn Error + 'static)) -> String {
    let causes = iter::successors(Some(error), |error| (*error).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// The line of `--csv`.
fn counts(machine: &Topology) -> String {
    let shown = |count: usize| if count == 0 { String::new() } else { count.to_string() };
    let cores = machine.cores().iter().filter(|core| !core.is_assumed()).count();
    // Every machine has a node, if not always one for this process.
    let nodes = machine.numa_nodes().iter().filter(|node| node.may_allocate() && !node.near().is_empty()).count();
    let (packages, l3) = (machine.packages().len(), machine.l3_domains().len());
    format!("{},{},{},{nodes},{}", machine.allowed_cpus().len(), shown(cores), shown(packages), shown(l3))
}

fn show(machine: &Topology, with_cores: bool, out: &mut impl Write) -> io::Result<()> {
    let tree = if with_cores { format!("{machine:#}") } else { machine.to_string() };
    out.write_all(tree.as_bytes())?;
    show_distances(machine, out)
}

/// How far the memories of the nodes are from each other, where that is known and there are several.
fn show_distances(machine: &Topology, out: &mut impl Write) -> io::Result<()> {
    let nodes = machine.numa_nodes();
    if nodes.len() < 2 {
        return Ok(());
    }
    write!(out, "\nfrom node to node\n{:>6}", "")?;
    nodes.iter().try_for_each(|node| write!(out, "{:>5}", node.id()))?;
    for from in nodes {
        write!(out, "\n{:>6}", from.id())?;
        for to in nodes {
            let distance = from.distance(to.id()).map_or("?".to_owned(), |distance| distance.to_string());
            write!(out, "{distance:>5}")?;
        }
    }
    writeln!(out)
}

/// What a pool without options would do.
fn show_pool(machine: &Topology, placement: &Placement, out: &mut impl Write) -> io::Result<()> {
    let (workers, pinning) = (placement.workers(), placement.pinning());
    writeln!(out, "\na pool without options: {}, one for each core", number(workers.len(), "worker"))?;
    writeln!(out, "  pinning: {pinning:?} ({})", placement.reason())?;
    if placement.active() < workers.len() {
        writeln!(out, "  active: at most {} of {}", placement.active(), number(workers.len(), "worker"))?;
    }
    // Those in the same place on one line.
    let mut groups: Vec<(String, CpuSet, CpuSet)> = Vec::new();
    for (place, cpus) in workers.iter().filter_map(|place| Some((place, place.cpus()?))) {
        let core = machine.cores().iter().find(|core| cpus.is_subset(core.cpus()));
        let place_is = core.map_or(where_is_node(place.node()), |core| where_is(core, machine));
        let index = groups.iter().position(|(is, ..)| *is == place_is).unwrap_or_else(|| {
            groups.push((place_is, CpuSet::new(), CpuSet::new()));
            groups.len() - 1
        });
        groups[index].1.insert(place.worker());
        groups[index].2 = groups[index].2.union(cpus);
    }
    for (place_is, workers, cpus) in groups {
        let several = |set: &CpuSet| if set.len() == 1 { "" } else { "s" };
        writeln!(out, "  worker{} {workers}: CPU{} {cpus}{place_is}", several(&workers), several(&cpus))?;
    }
    Ok(())
}

fn number(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// ", NUMA node 1, L3 domain 3"
fn where_is(core: &Core, machine: &Topology) -> String {
    let several_kinds = machine.cores().iter().any(|other| other.kind() != core.kind());
    let parts = [
        core.l3().map(|domain| format!(", L3 domain {domain}")),
        core.kind().filter(|_| several_kinds).map(|kind| format!(", kind {kind}")),
    ];
    parts.into_iter().flatten().fold(where_is_node(core.node()), |all, part| all + &part)
}

fn where_is_node(node: Option<usize>) -> String {
    node.map_or(String::new(), |node| format!(", NUMA node {node}"))
}
