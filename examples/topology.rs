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
use millstream::{Core, CpuSet, NumaNode, Topology};

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
    let mut out = BufWriter::new(io::stdout().lock());
    let written = if args.csv { writeln!(out, "{}", counts(&machine)) } else { show(&machine, args.cores, &mut out) };
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
  of its CPUs, or near none at all.

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
    let is_near = |node: &&NumaNode| !node.cpus().is_empty() || node.is_memory_only();
    let nodes = machine.numa_nodes().iter().filter(|node| node.may_allocate() || node.is_cpu_only()).filter(is_near);
    let counts = [
        machine.allowed_cpus().len(),
        machine.cores().len(),
        machine.packages().len(),
        nodes.count(),
        machine.l3_domains().len(),
    ];
    counts.map(|count| if count == 0 { String::new() } else { count.to_string() }).join(",")
}

fn show(machine: &Topology, with_cores: bool, out: &mut impl Write) -> io::Result<()> {
    let tree = if with_cores { format!("{machine:#}") } else { machine.to_string() };
    out.write_all(tree.as_bytes())?;
    show_distances(machine, out)?;
    show_pool(machine, out)
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

/// What a pool without options would do: a worker for each core, on its first CPU if workers are bound.
fn show_pool(machine: &Topology, out: &mut impl Write) -> io::Result<()> {
    let cores = machine.cores();
    let cpus = machine.allowed_cpus().len();
    let several = if cores.len() == 1 { "" } else { "s" };
    writeln!(out, "\na pool without options: {} worker{several}, one for each core", cores.len())?;
    if let Some(quota) = machine.cpu_quota().filter(|quota| *quota < cpus as f64) {
        return writeln!(out, "  pinning: Off (a CPU quota of {quota:.2} is below the {cpus} allowed CPUs)");
    }
    writeln!(out, "  pinning: Cores (a worker for each of {} cores, no quota)", cores.len())?;
    let place = |core: &Core| (core.package(), core.node(), core.l3(), core.kind());
    let mut groups: Vec<(&Core, CpuSet, CpuSet)> = Vec::new();
    for (worker, core) in cores.iter().enumerate() {
        let cpu = core.cpus().first().expect("a core has a CPU");
        let index = groups.iter().position(|(first, ..)| place(first) == place(core)).unwrap_or_else(|| {
            groups.push((core, CpuSet::new(), CpuSet::new()));
            groups.len() - 1
        });
        groups[index].1.insert(worker);
        groups[index].2.insert(cpu);
    }
    for (core, workers, cpus) in groups {
        let several = if workers.len() == 1 { "" } else { "s" };
        writeln!(out, "  worker{several} {workers}: CPU{several} {cpus}{}", where_is(core, machine))?;
    }
    Ok(())
}

/// ", NUMA node 1, L3 domain 3"
fn where_is(core: &Core, machine: &Topology) -> String {
    let several_kinds = machine.cores().iter().any(|other| other.kind() != core.kind());
    let parts = [
        core.node().map(|node| format!(", NUMA node {node}")),
        core.l3().map(|domain| format!(", L3 domain {domain}")),
        core.kind().filter(|_| several_kinds).map(|kind| format!(", kind {kind}")),
    ];
    parts.into_iter().flatten().collect()
}
