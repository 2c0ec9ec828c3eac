//! A folder of files that is made of bytes.

use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Files that are read; `#` stands for a number.
const FILES: &[&str] = &[
    "sys/devices/system/cpu/online",
    "proc/self/status",
    "proc/self/cgroup",
    "proc/self/mountinfo",
    "proc/cpuinfo",
    "sys/fs/cgroup/cpu.max",
    "sys/fs/cgroup/a/cpu.max",
    "sys/fs/cgroup/cpu.cfs_quota_us",
    "sys/fs/cgroup/cpu.cfs_period_us",
    "sys/fs/cgroup/cpuset.cpus.effective",
    "sys/fs/cgroup/a/cpuset.cpus.effective",
    "sys/fs/cgroup/cpuset.cpus",
    "sys/fs/cgroup/cpuset.effective_mems",
    "sys/devices/cpu_atom/cpus",
    "sys/devices/cpu_core/cpus",
    "sys/devices/system/cpu/cpu#/online",
    "sys/devices/system/cpu/cpu#/topology/core_cpus_list",
    "sys/devices/system/cpu/cpu#/topology/core_cpus",
    "sys/devices/system/cpu/cpu#/topology/thread_siblings",
    "sys/devices/system/cpu/cpu#/topology/package_cpus_list",
    "sys/devices/system/cpu/cpu#/topology/core_siblings",
    "sys/devices/system/cpu/cpu#/topology/core_id",
    "sys/devices/system/cpu/cpu#/topology/physical_package_id",
    "sys/devices/system/cpu/cpu#/cache/index3/level",
    "sys/devices/system/cpu/cpu#/cache/index3/type",
    "sys/devices/system/cpu/cpu#/cache/index3/size",
    "sys/devices/system/cpu/cpu#/cache/index3/shared_cpu_map",
    "sys/devices/system/cpu/cpu#/cache/index3/shared_cpu_list",
    "sys/devices/system/cpu/cpu#/cpu_capacity",
    "sys/devices/system/node/node#/cpulist",
    "sys/devices/system/node/node#/cpumap",
    "sys/devices/system/node/node#/meminfo",
    "sys/devices/system/node/node#/distance",
    "sys/devices/system/node/node#/access0/initiators/node1",
    "sys/devices/system/node/has_memory",
    "proc/driver/nvidia/gpus/#/numa_status",
];

/// Calls `read` with a folder: the bytes are texts, each behind a byte that says which file it is in and one with the number
/// in its name. A zero byte ends a text. A file whose number in [`FILES`] is too large says its path in its first line.
pub(crate) fn in_folder(bytes: &[u8], read: impl FnOnce(&Path)) {
    let folder = Folder::new();
    for text in bytes.split(|byte| *byte == 0) {
        let [file, number, text @ ..] = text else { continue };
        let at_end = text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len());
        let (path, text) = match FILES.get(usize::from(*file) - 1) {
            Some(path) => (path.replace('#', &(number % 10).to_string()), text),
            None => (String::from_utf8_lossy(&text[..at_end]).into_owned(), &text[at_end..]),
        };
        // Not out of the folder, and not deep.
        let is_fit = Path::new(&path).components().all(|part| matches!(part, Component::Normal(_)));
        if !is_fit || path.len() > 200 {
            continue;
        }
        let path = folder.0.join(path);
        // A folder may be where a file is to be, and the other way round. Then it is left out.
        if path.parent().is_some_and(|parent| fs::create_dir_all(parent).is_ok()) {
            let _ = if text == b"/" { fs::create_dir(path) } else { fs::write(path, text) };
        }
    }
    read(&folder.0);
}

/// Removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let name = format!("millstream-fuzz-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        // In memory, where that is possible.
        let places = [Path::new("/dev/shm").join(&name), std::env::temp_dir().join(&name)];
        Self(places.into_iter().find(|place| fs::create_dir(place).is_ok()).expect("a temporary folder"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
