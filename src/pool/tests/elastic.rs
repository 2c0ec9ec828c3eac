//! What a pool does when the system changes under it, with made-up files in the system's place.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::wakes::{is_woken, job};
use crate::pool::threads::elastic::Watch;
use crate::pool::{Pool, without_threads};
use crate::topology::Usable;

/// A folder with a system's files, removed when dropped.
struct System(PathBuf);

impl System {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("millstream-elastic-{}-{name}", std::process::id()));
        let system = Self(folder);
        system.write("sys/devices/system/cpu/online", "0-7");
        system.write("proc/self/cgroup", "0::/job");
        system.allow("0-3");
        system.quota("max");
        system
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("folder");
        fs::write(path, text).expect("file");
    }

    fn allow(&self, cpus: &str) {
        self.write("proc/self/status", &format!("Cpus_allowed_list:\t{cpus}"));
    }

    fn quota(&self, quota: &str) {
        self.write("sys/fs/cgroup/job/cpu.max", &format!("{quota} 100000"));
    }

    /// What looks after a pool on this system.
    fn watch(&self, pool: &Pool) -> Watch {
        Watch {
            root: self.0.clone(),
            shared: Arc::clone(&pool.shared),
            placement: Arc::clone(&pool.placement),
            asked: pool.placement(),
            threads: Vec::new(),
            oversubscribe: false,
            last: usable(&self.0),
        }
    }
}

impl Drop for System {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn usable(root: &Path) -> Usable {
    Usable::read(root).expect("some CPUs")
}

#[test]
#[cfg(target_os = "linux")]
fn active_workers_follow_mask_and_quota() {
    let system = System::new("follow");
    let pool = without_threads(6);
    let mut watch = system.watch(&pool);
    let mut active = |change: &dyn Fn()| {
        change();
        watch.look();
        pool.placement().active()
    };
    assert_eq!(active(&|| ()), 6, "nothing has changed");
    assert_eq!(active(&|| system.quota("150000")), 2, "a quota is rounded up");
    assert_eq!(active(&|| system.quota("20000")), 1);
    assert_eq!(active(&|| system.quota("max")), 4);
    assert_eq!(active(&|| system.allow("5")), 1);
    assert_eq!(active(&|| system.allow("0-7")), 6, "no more than there are workers");
    assert_eq!(active(&|| system.quota("300000")), 3);
    assert_eq!(active(&|| system.write("sys/fs/cgroup/job/cpu.max", "what?")), 6, "none can be read");
}

#[test]
#[cfg(target_os = "linux")]
fn a_system_that_cannot_be_read_changes_nothing() {
    let system = System::new("unreadable");
    let last = usable(&system.0);
    assert_eq!((last.cpus.to_string().as_str(), last.quota), ("0-3", None));
    fs::remove_dir_all(&system.0).expect("folder");
    assert_eq!(Usable::read(&system.0), None);
}

#[test]
#[cfg(target_os = "linux")]
fn who_may_be_active_again_is_woken() {
    let system = System::new("again");
    let pool = without_threads(6);
    let (mut watch, target, sleeps) = (system.watch(&pool), pool.shared.target(), &pool.shared.seats[0]);
    system.quota("100000");
    watch.look();
    pool.shared.sleep.enter();
    pool.shared.sleeps(sleeps);
    pool.shared.comes(job(&target));
    assert!(!is_woken(sleeps), "one is active");
    system.quota("200000");
    watch.look();
    assert!(is_woken(sleeps), "two may be active, and nobody comes for the job");
    pool.shared.injectors[0].take(None).expect("the job");
}
