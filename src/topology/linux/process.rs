//! What the process may use: its affinity mask, what control groups leave it, and which CPUs are there at all.

use std::path::Path;

use super::super::CpuSet;
use super::cgroup::Limits;
use super::cpus::Cpus;
use super::files::text;

/// What the process may use, and by what it is limited.
pub(super) struct Process {
    pub(super) status: Status,
    pub(super) online: CpuSet,
    pub(super) limits: Limits,
    pub(super) allowed: CpuSet,
}

impl Process {
    pub(super) fn read(root: &Path, notes: &mut Vec<String>) -> Option<Self> {
        let status = Status::read(root);
        let online = match (Cpus { root: root.to_owned() }).online(notes) {
            Some(online) => online,
            None => {
                let mask = status.cpus.clone()?;
                notes.push("no CPUs in sys/devices/system/cpu: those of the affinity mask are taken".to_owned());
                mask
            }
        };
        let limits = Limits::read(root, notes);
        if status.cpus.is_none() {
            notes.push("no affinity mask in proc/self/status: taken as all online CPUs".to_owned());
        }
        let allowed = narrowed(&online, [("affinity mask", &status.cpus), ("cpuset", &limits.cpus)], notes);
        Some(Self { status, online, limits, allowed })
    }
}

/// What the kernel says about the process.
pub(super) struct Status {
    /// Its affinity mask, as its cpuset leaves it.
    pub(super) cpus: Option<CpuSet>,
    /// The numbers of the nodes it may allocate on.
    pub(super) mems: Option<CpuSet>,
}

impl Status {
    pub(super) fn read(root: &Path) -> Self {
        let text = text(&root.join("proc/self/status")).unwrap_or_default();
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        let set = |key: &str| {
            let list = value(&format!("{key}_list")).and_then(|list| list.parse().ok());
            list.or_else(|| CpuSet::from_mask(value(key)?)).filter(|set| !set.is_empty())
        };
        Self { cpus: set("Cpus_allowed"), mems: set("Mems_allowed") }
    }
}

/// What all of the limits leave. A limit that leaves nothing contradicts the others, and is not taken.
fn narrowed(all: &CpuSet, limits: [(&str, &Option<CpuSet>); 2], notes: &mut Vec<String>) -> CpuSet {
    let mut left = all.clone();
    for (name, limit) in limits.into_iter().filter_map(|(name, limit)| Some((name, limit.as_ref()?))) {
        let both = left.intersection(limit);
        if both.is_empty() {
            notes.push(format!("the {name} ({limit}) has none of the CPUs {left}: not taken"));
        } else {
            left = both;
        }
    }
    left
}
