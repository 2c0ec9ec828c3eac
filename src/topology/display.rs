//! Prints a topology as a tree: parts inside parts. Parts with the same CPUs share a line.

use std::{fmt, iter};

use super::parts::{Core, NumaNode};
use super::{CpuSet, Topology};

/// A line of the tree, and what is below it.
struct Branch<'t> {
    labels: Vec<String>,
    cpus: &'t CpuSet,
    branches: Vec<usize>,
    cores: Vec<usize>,
    around: Option<usize>,
}

struct Tree<'t> {
    topology: &'t Topology,
    branches: Vec<Branch<'t>>,
    /// The cores that are in no part at all.
    loose: Vec<usize>,
    /// Whether cores are of several kinds.
    has_kinds: bool,
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (allowed, online) = (self.allowed.len(), self.online.len());
        let of = if allowed == online { String::new() } else { format!("{allowed} of ") };
        write!(f, "{of}{} ({}): {}", count(online, "CPU"), self.allowed, count(self.cores.len(), "core"))?;
        if !self.packages.is_empty() {
            write!(f, ", {}", count(self.packages.len(), "package"))?;
        }
        write!(f, ", {}", count(self.nodes.len(), "NUMA node"))?;
        if !self.l3.is_empty() {
            write!(f, ", {}", count(self.l3.len(), "L3 domain"))?;
        }
        writeln!(f)?;
        Tree::new(self).write(f)?;
        for node in self.nodes.iter().filter(|node| node.cpus.is_empty()) {
            let why = if node.has_cpus { "none of its CPUs is allowed" } else { "memory only" };
            writeln!(f, "  {}: {why}", node_label(node))?;
        }
        if let Some(quota) = self.quota {
            writeln!(f, "  CPU quota: {quota:.2} CPUs")?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "  note: {note}"))
    }
}

impl<'t> Tree<'t> {
    fn new(topology: &'t Topology) -> Self {
        let packages =
            topology.packages.iter().enumerate().map(|(index, package)| (0, format!("package {index}"), &package.cpus));
        let nodes = topology.nodes.iter().filter(|node| !node.cpus.is_empty());
        let nodes = nodes.map(|node| (1, node_label(node), &node.cpus));
        let l3 = topology.l3.iter().enumerate().map(|(index, domain)| {
            (2, format!("L3 domain {index}{}", in_parentheses(domain.size.map(bytes))), &domain.cpus)
        });
        let mut parts: Vec<_> = packages.chain(nodes).chain(l3).collect();
        // A part comes after every part that it can be inside of. Parts with equal sets follow each other from the
        // outside in.
        parts.sort_by_cached_key(|(level, _, cpus)| (std::cmp::Reverse(cpus.len()), cpus.first(), *level));

        let has_kinds = topology.cores.iter().any(|core| core.kind != topology.cores[0].kind);
        let mut tree = Self { topology, branches: Vec::new(), loose: Vec::new(), has_kinds };
        // The innermost branch so far that has each CPU. If two branches overlap and neither is inside the other, it is
        // the later one.
        let mut innermost: Vec<Option<usize>> = Vec::new();
        for (_, label, cpus) in parts {
            let nearest = cpus.first().and_then(|cpu| innermost.get(cpu).copied().flatten());
            let around = iter::successors(nearest, |index| tree.branches[*index].around)
                .find(|index| cpus.is_subset(tree.branches[*index].cpus));
            if let Some(index) = around.filter(|index| tree.branches[*index].cpus == cpus) {
                tree.branches[index].labels.push(label);
                continue;
            }
            let index = tree.branches.len();
            tree.branches.push(Branch { labels: vec![label], cpus, branches: Vec::new(), cores: Vec::new(), around });
            if let Some(around) = around {
                tree.branches[around].branches.push(index);
            }
            for cpu in cpus.iter() {
                innermost.resize(innermost.len().max(cpu + 1), None);
                innermost[cpu] = Some(index);
            }
        }
        for (index, core) in topology.cores.iter().enumerate() {
            let inside = core.cpus.first().and_then(|cpu| innermost.get(cpu).copied().flatten());
            inside.map_or(&mut tree.loose, |branch| &mut tree.branches[branch].cores).push(index);
        }
        tree
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut outermost: Vec<_> =
            (0..self.branches.len()).filter(|index| self.branches[*index].around.is_none()).collect();
        outermost.sort_by_key(|index| self.branches[*index].cpus.first());
        outermost.into_iter().try_for_each(|index| self.write_branch(f, index, 1))?;
        if !f.alternate() && !self.loose.is_empty() {
            writeln!(f, "  in no part: {}", self.summary(&self.loose))?;
        }
        self.write_cores(f, &self.loose, 1)
    }

    fn write_branch(&self, f: &mut fmt::Formatter<'_>, index: usize, depth: usize) -> fmt::Result {
        let branch = &self.branches[index];
        write!(f, "{:indent$}{}: {}", "", branch.labels.join(", "), cpus(branch.cpus), indent = 2 * depth)?;
        if !f.alternate() && !branch.cores.is_empty() {
            write!(f, ", {}", self.summary(&branch.cores))?;
        }
        writeln!(f)?;
        let mut inside = branch.branches.clone();
        inside.sort_by_key(|index| self.branches[*index].cpus.first());
        inside.into_iter().try_for_each(|index| self.write_branch(f, index, depth + 1))?;
        self.write_cores(f, &branch.cores, depth + 1)
    }

    /// Writes one line for each core, in the long form only.
    fn write_cores(&self, f: &mut fmt::Formatter<'_>, cores: &[usize], depth: usize) -> fmt::Result {
        if !f.alternate() {
            return Ok(());
        }
        for &index in cores {
            let core = &self.topology.cores[index];
            write!(f, "{:indent$}core {index}: {}", "", cpus(&core.cpus), indent = 2 * depth)?;
            writeln!(f, "{}", self.kind(core).map(|kind| format!(", {kind}")).unwrap_or_default())?;
        }
        Ok(())
    }

    /// Cores in words, such as "4 cores of 2 CPUs, 1 core of 1 CPU". Cores of different kinds are counted apart.
    fn summary(&self, cores: &[usize]) -> String {
        let mut groups: Vec<(String, usize)> = Vec::new();
        for core in cores.iter().map(|index| &self.topology.cores[*index]) {
            let kind = self.kind(core).map(|kind| format!(" ({kind})")).unwrap_or_default();
            let what = format!("of {}{kind}", count(core.cpus.len(), "CPU"));
            match groups.iter_mut().find(|(group, _)| *group == what) {
                Some((_, count)) => *count += 1,
                None => groups.push((what, 1)),
            }
        }
        let parts = groups.iter().map(|(what, cores)| format!("{} {what}", count(*cores, "core")));
        parts.collect::<Vec<_>>().join(", ")
    }

    /// The kind of a core in words, if the machine has several kinds.
    fn kind(&self, core: &Core) -> Option<String> {
        core.kind.filter(|_| self.has_kinds).map(|kind| format!("kind {kind}"))
    }
}

/// A count in words, such as "1 core" or "2 cores".
pub(crate) fn count(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn cpus(cpus: &CpuSet) -> String {
    format!("CPU{} {cpus}", if cpus.len() == 1 { "" } else { "s" })
}

fn node_label(node: &NumaNode) -> String {
    let what = match node.memory {
        Some(0) => Some("no memory".to_owned()),
        memory => {
            let kept = if node.may_allocate { "" } else { "memory not allowed" };
            let known = memory.map(bytes).unwrap_or_default();
            let comma = if kept.is_empty() || known.is_empty() { "" } else { ", " };
            Some(format!("{known}{comma}{kept}")).filter(|what| !what.is_empty())
        }
    };
    format!("NUMA node {}{}", node.id, in_parentheses(what))
}

fn in_parentheses(what: Option<String>) -> String {
    what.map(|what| format!(" ({what})")).unwrap_or_default()
}

/// A size in the largest unit of which it has at least one.
fn bytes(size: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if size < 1024 {
        return format!("{size} B");
    }
    let power = (size.ilog2() / 10) as usize;
    let scaled = size as f64 / 1024_f64.powi(i32::try_from(power).expect("at most 6"));
    let scaled = format!("{scaled:.1}");
    format!("{} {}", scaled.strip_suffix(".0").unwrap_or(&scaled), UNITS[power - 1])
}
