//! Reads what the process may use: its affinity mask, the limits of its control groups, and which CPUs there are at
//! all.
//!
//! The kernel's affinity mask is right, and includes the limits of the cpuset. Files may be about something else: in a
//! container, `online` may count its CPUs from 0, and a cpuset may belong to another group. So if there is a mask, a
//! file that contradicts it is noted and not taken. Only if there is no mask, as in some recordings, the files decide.

use std::path::Path;

use super::super::{CpuSet, bind};
use super::cgroup::Limits;
use super::cpus::Cpus;
use super::files::text;

/// What the process may use, and by what it is limited.
pub(super) struct Process {
    pub(super) online: CpuSet,
    pub(super) allowed: CpuSet,
    /// The numbers of the nodes that it may allocate on, if that is known.
    pub(super) mems: Option<CpuSet>,
    pub(super) quota: Option<f64>,
}

impl Process {
    pub(super) fn read(root: &Path, notes: &mut Vec<String>) -> Option<Self> {
        let status = Status::read(root);
        let cpus = Cpus { root: root.to_owned() };
        let listed = cpus.online(notes);
        // The system call leaves offline CPUs out of the mask. The mask in the file may have them.
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

/// The online CPUs of a mask from a file. Such a mask may have CPUs that are offline, or that the machine does not
/// have. A CPU is online if the list of all or its own folder says so. If none is online, the list is wrong, and the
/// whole mask is taken.
fn in_use(mask: CpuSet, listed: Option<&CpuSet>, cpus: &Cpus) -> CpuSet {
    let Some(listed) = listed else { return mask };
    let missing = mask.difference(listed);
    let more = missing.iter().filter(|cpu| cpus.says_online(*cpu)).collect();
    let online = mask.intersection(listed).union(&more);
    if online.is_empty() { mask } else { online }
}

/// All CPUs that are online, including those of the mask.
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
    /// Its affinity mask, within the limits of its cpuset.
    cpus: Option<CpuSet>,
    /// The numbers of the nodes that it may allocate on.
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

/// The online CPUs that are in the cpuset. A cpuset with none of them contradicts the list of online CPUs, and is not
/// taken.
fn narrowed(online: &CpuSet, cpuset: Option<&CpuSet>, notes: &mut Vec<String>) -> CpuSet {
    let Some(cpuset) = cpuset else { return online.clone() };
    let both = online.intersection(cpuset);
    if both.is_empty() {
        notes.push(format!("the cpuset ({cpuset}) has none of the CPUs {online}: not taken"));
        return online.clone();
    }
    both
}
