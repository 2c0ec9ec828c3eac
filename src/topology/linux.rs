//! Reads Linux's files under a root path.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{CpuSet, Topology};

/// Reads what is there; holes become flat parts with a note.
pub(super) fn read(root: &Path) -> Topology {
    let mut notes = Vec::new();
    let allowed = allowed(root, &mut notes);
    let mut topology = Topology::flat(allowed, notes);
    if let Some(cores) = cores(root, &topology.allowed) {
        topology.cores = cores;
    } else {
        topology.notes.push("no usable core list in sys/devices/system/cpu: every CPU counts as a core".to_owned());
    }
    if let Some(nodes) = nodes(root, &topology.allowed) {
        topology.nodes = nodes;
    } else {
        topology.notes.push("no usable node list in sys/devices/system/node: taken as one node".to_owned());
    }
    topology.quota = quota(root);
    topology
}

/// A file's text, if it can be read.
fn text(path: &Path) -> Option<String> {
    fs::read(path).ok().map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned())
}

fn list(path: &Path) -> Option<CpuSet> {
    text(path)?.parse().ok()
}

/// The affinity mask (the kernel has taken the cpuset into it) without offline CPUs.
fn allowed(root: &Path, notes: &mut Vec<String>) -> CpuSet {
    let status = text(&root.join("proc/self/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")?.parse::<CpuSet>().ok());
    let online = list(&root.join("sys/devices/system/cpu/online"));
    let allowed = match (mask, online) {
        (Some(mask), Some(online)) => mask.intersection(&online),
        (mask, online) => mask.or(online).unwrap_or_default(),
    };
    if allowed.is_empty() {
        notes.push("no allowed CPUs in proc/self/status: taken as the standard library counts them".to_owned());
        return Topology::fallback();
    }
    allowed
}

/// The allowed CPUs grouped by core; every one must be in exactly one group.
fn cores(root: &Path, allowed: &CpuSet) -> Option<Vec<CpuSet>> {
    let mut cores: Vec<CpuSet> = Vec::new();
    for cpu in allowed.iter() {
        let folder = root.join(format!("sys/devices/system/cpu/cpu{cpu}/topology"));
        let siblings = list(&folder.join("core_cpus_list")).or_else(|| list(&folder.join("thread_siblings_list")))?;
        let core = siblings.intersection(allowed);
        if !core.contains(cpu) {
            return None;
        }
        if core.iter().next() == Some(cpu) {
            cores.push(core);
        }
    }
    (cores.iter().map(CpuSet::len).sum::<usize>() == allowed.len()).then_some(cores)
}

/// The nodes that have allowed CPUs; every allowed CPU must be on exactly one.
fn nodes(root: &Path, allowed: &CpuSet) -> Option<Vec<(usize, CpuSet)>> {
    let mut nodes = BTreeMap::new();
    for entry in fs::read_dir(root.join("sys/devices/system/node")).ok()?.flatten() {
        let name = entry.file_name();
        let Some(node) = name.to_str().and_then(|name| name.strip_prefix("node")?.parse::<usize>().ok()) else {
            continue;
        };
        let cpus = list(&entry.path().join("cpulist"))?.intersection(allowed);
        if !cpus.is_empty() {
            nodes.insert(node, cpus);
        }
    }
    (nodes.values().map(CpuSet::len).sum::<usize>() == allowed.len()).then(|| nodes.into_iter().collect())
}

/// The tightest CPU limit of the process's control group and all above it (version 2, then version 1).
fn quota(root: &Path) -> Option<f64> {
    let groups = text(&root.join("proc/self/cgroup"))?;
    let mut tightest = f64::INFINITY;
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else { continue };
        let unified = controllers.is_empty();
        if !unified && !controllers.split(',').any(|name| name == "cpu") {
            continue;
        }
        let mount = root.join("sys/fs/cgroup").join(if unified { "" } else { controllers });
        let mut folder = PathBuf::from(path.trim_start_matches('/'));
        loop {
            let limit = if unified { limit_v2(&mount.join(&folder)) } else { limit_v1(&mount.join(&folder)) };
            tightest = tightest.min(limit.unwrap_or(f64::INFINITY));
            if !folder.pop() {
                break;
            }
        }
    }
    tightest.is_finite().then_some(tightest)
}

/// `cpu.max`: quota and period in microseconds, or `max`.
fn limit_v2(folder: &Path) -> Option<f64> {
    let text = text(&folder.join("cpu.max"))?;
    let (quota, period) = text.split_once(' ')?;
    ratio(quota, period)
}

fn limit_v1(folder: &Path) -> Option<f64> {
    ratio(&text(&folder.join("cpu.cfs_quota_us"))?, &text(&folder.join("cpu.cfs_period_us"))?)
}

fn ratio(quota: &str, period: &str) -> Option<f64> {
    let (quota, period): (f64, f64) = (quota.trim().parse().ok()?, period.trim().parse().ok()?);
    (quota > 0.0 && period > 0.0).then_some(quota / period)
}
