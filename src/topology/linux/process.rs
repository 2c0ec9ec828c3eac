//! What the process may use: its affinity mask, what control groups leave it, and which CPUs are there at all.
//!
//! The kernel's affinity mask is the truth: it has the process's cpuset in it. Files may tell of something else. In a
//! container `online` may count its CPUs from 0, and a cpuset may be another group's. So where there is a mask, a file
//! that contradicts it is noted and not taken. Only what has no mask, such as a recording, follows its files.

use std::path::Path;

use super::super::{CpuSet, bind};
use super::cgroup::Limits;
use super::cpus::Cpus;
use super::files::text;

/// What the process may use, and by what it is limited.
pub(super) struct Process {
    pub(super) online: CpuSet,
    pub(super) allowed: CpuSet,
    /// The numbers of the nodes it may allocate on, if that is known.
    pub(super) mems: Option<CpuSet>,
    pub(super) quota: Option<f64>,
}

impl Process {
    pub(super) fn read(root: &Path, notes: &mut Vec<String>) -> Option<Self> {
        let status = Status::read(root);
        let cpus = Cpus { root: root.to_owned() };
        let listed = cpus.online(notes);
        // Asked itself, the kernel leaves offline CPUs out; in its file they are.
        let asked = if root == Path::new("/") { bind::mask_of_process() } else { None };
        let mask = asked.or_else(|| Some(in_use(status.cpus?, listed.as_ref(), &cpus)));
        let limits = Limits::read(root, notes);
        let (online, allowed) = match (listed, mask) {
            (None, None) => return None,
            (Some(listed), None) => {
                let online = cpus.there(listed, notes);
                notes.push("no affinity mask in proc/self/status: taken as all online CPUs".to_owned());
                let allowed = narrowed(&online, limits.cpus.as_ref(), notes);
                (online, allowed)
            }
            (listed, Some(mask)) => {
                let lacking = limits.cpus.map(|cpuset| (mask.difference(&cpuset), cpuset));
                if let Some((lacking, cpuset)) = lacking.filter(|(lacking, _)| !lacking.is_empty()) {
                    notes.push(format!("the cpuset ({cpuset}) lacks CPUs {lacking} of the affinity mask: not taken"));
                }
                (online_beside(&mask, listed, &cpus, notes), mask)
            }
        };
        Some(Self { online, allowed, mems: status.mems.or(limits.mems), quota: limits.quota })
    }
}

/// Of a mask from a file, which may have CPUs that are offline or could only ever come, those that are online: by the list
/// of all, or by what the folder of each says. If none is, it is the list that is wrong.
fn in_use(mask: CpuSet, listed: Option<&CpuSet>, cpus: &Cpus) -> CpuSet {
    let Some(listed) = listed else { return mask };
    let missing = mask.difference(listed);
    let more = missing.iter().filter(|cpu| cpus.says_online(*cpu)).collect();
    let online = mask.intersection(listed).union(&more);
    if online.is_empty() { mask } else { online }
}

/// The CPUs that are online, those of the mask among them.
fn online_beside(mask: &CpuSet, listed: Option<CpuSet>, cpus: &Cpus, notes: &mut Vec<String>) -> CpuSet {
    let Some(listed) = listed else {
        notes.push("no CPUs in sys/devices/system/cpu: those of the affinity mask are taken".to_owned());
        return mask.clone();
    };
    let beyond = mask.difference(&listed);
    if beyond.is_empty() {
        return listed;
    }
    let online = format!("the CPUs that are online by sys/devices/system/cpu ({listed})");
    notes.push(format!("{online} lack CPUs {beyond} of the affinity mask: the mask is taken"));
    cpus.online_by_folders().union(mask)
}

/// What the kernel says about the process.
pub(super) struct Status {
    /// Its affinity mask, as its cpuset leaves it.
    cpus: Option<CpuSet>,
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

/// What a cpuset leaves. One that leaves nothing contradicts the list of online CPUs, and is not taken.
fn narrowed(online: &CpuSet, cpuset: Option<&CpuSet>, notes: &mut Vec<String>) -> CpuSet {
    let Some(cpuset) = cpuset else { return online.clone() };
    let both = online.intersection(cpuset);
    if both.is_empty() {
        notes.push(format!("the cpuset ({cpuset}) has none of the CPUs {online}: not taken"));
        return online.clone();
    }
    both
}
