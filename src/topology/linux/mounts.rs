//! Where a control group can be seen: the mounts of its hierarchy.
//!
//! There may be several mounts of one hierarchy, each with another group at its root: a container's own one beside the
//! whole tree, or that of a neighbour. `proc/self/mountinfo` names the group at the root, from the root of the process's
//! namespace, as the path of the process's group is. So a mount shows the group if its root is the group or above it.
//! `proc/mounts` does not name it: there a mount counts that has more of the group's path than the others have.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::cgroup::Hierarchy;
use super::files::text;

/// All mounts of control groups that no other mount hides.
pub(super) struct Mounts(Vec<Mount>);

/// Whether a group can be seen.
pub(super) enum Sight {
    /// In each of these mounts: the folders of the group and of all groups above it that the mount shows, from the
    /// innermost. They need not exist.
    Seen(Vec<Vec<PathBuf>>),
    /// The mounts of its hierarchy show others.
    Hidden,
    NotMounted,
}

/// A place where a hierarchy can be seen.
struct Mount {
    kind: String,
    /// Options of the hierarchy; the controllers are among them.
    options: String,
    /// The group that is at the mount's root, if that is told.
    top: Option<String>,
    folder: PathBuf,
}

impl Mounts {
    /// The usual places if mounts are not recorded.
    pub(super) fn read(root: &Path) -> Self {
        let file = |name: &str| text(&root.join(name));
        // Of two mounts at one place the later one is on top.
        let mut on_top = BTreeMap::new();
        if let Some(lines) = file("proc/self/mountinfo") {
            on_top.extend(lines.lines().filter_map(from_mountinfo));
        } else {
            let lines = file("proc/self/mounts").or_else(|| file("proc/mounts")).unwrap_or_default();
            on_top.extend(lines.lines().filter_map(from_mounts));
        }
        let mut mounts: Vec<Mount> = on_top.into_values().filter(Mount::is_of_groups).collect();
        if mounts.is_empty() {
            mounts = usual();
        }
        mounts.iter_mut().for_each(|mount| mount.folder = below(root, &mount.folder));
        Self(mounts)
    }

    /// Where the group with this path can be seen.
    pub(super) fn of(&self, hierarchy: Hierarchy, path: &str) -> Sight {
        let mounted = self.0.iter().filter(|mount| mount.is_of(hierarchy) && mount.folder.is_dir());
        let mounted: Vec<&Mount> = mounted.collect();
        let seen: Vec<(&Mount, PathBuf)> =
            mounted.iter().filter_map(|mount| Some((*mount, mount.inside(path)?))).collect();
        if seen.is_empty() {
            return if mounted.is_empty() && !leads_up(path) { Sight::NotMounted } else { Sight::Hidden };
        }
        let folders = |(mount, inside): &(&Mount, PathBuf)| -> Vec<PathBuf> {
            inside.ancestors().map(|group| mount.folder.join(group)).collect()
        };
        let mut seen: Vec<(bool, Vec<PathBuf>)> =
            seen.iter().map(|seen| (seen.0.top.is_none(), folders(seen))).collect();
        // How many groups above the innermost one that exists there are: all mounts have the same ones.
        let depth = |folders: &[PathBuf]| folders.iter().skip_while(|folder| !folder.is_dir()).count();
        let deepest = seen.iter().map(|(_, folders)| depth(folders)).max();
        seen.retain(|(is_guess, folders)| !is_guess || Some(depth(folders)) == deepest);
        Sight::Seen(seen.into_iter().map(|(_, folders)| folders).collect())
    }
}

impl Mount {
    fn is_of_groups(&self) -> bool {
        ["cgroup", "cgroup2", "cpuset"].contains(&&*self.kind) && !self.folder.to_str().is_none_or(leads_up)
    }

    fn is_of(&self, hierarchy: Hierarchy) -> bool {
        let has = |controller: &str| self.options.split(',').any(|option| option == controller);
        match (hierarchy, self.kind.as_str()) {
            (Hierarchy::Unified, "cgroup2") | (Hierarchy::With("cpuset"), "cpuset") => true,
            (Hierarchy::With(controller), "cgroup") => has(controller),
            _ => false,
        }
    }

    /// The way from the mount's root to a group, as far as it is known; none if the group is not below it.
    fn inside(&self, path: &str) -> Option<PathBuf> {
        let (up, down) = way(path)?;
        let (top_up, top_down) = self.top.as_deref().map_or(Some((0, PathBuf::new())), way)?;
        if up == top_up {
            return down.strip_prefix(top_down).ok().map(Path::to_path_buf);
        }
        // Above the namespace's root and above the group: how to get there from here is not known.
        let is_above = top_up > up && top_down.as_os_str().is_empty();
        is_above.then(PathBuf::new)
    }
}

/// A path from the root of the namespace: how many groups it leads up, and then down. None if it is no such path.
fn way(path: &str) -> Option<(usize, PathBuf)> {
    let names = || path.split('/').filter(|name| !name.is_empty() && *name != ".");
    let up = names().take_while(|name| *name == "..").count();
    let down: PathBuf = names().skip(up).collect();
    (!leads_up(down.to_str()?)).then_some((up, down))
}

fn leads_up(path: &str) -> bool {
    path.split('/').any(|name| name == "..")
}

fn below(root: &Path, folder: &Path) -> PathBuf {
    root.join(folder.strip_prefix("/").unwrap_or(folder))
}

/// Where mounts usually are.
fn usual() -> Vec<Mount> {
    let mount = |kind: &str, options: &str, name: &str| Mount {
        kind: kind.to_owned(),
        options: options.to_owned(),
        top: None,
        folder: Path::new("sys/fs/cgroup").join(name),
    };
    let versions_1 = ["cpu,cpuacct", "cpuacct,cpu", "cpu", "cpuset"].map(|name| mount("cgroup", name, name));
    let versions_2 = ["unified", ""].map(|name| mount("cgroup2", "", name));
    versions_1.into_iter().chain(versions_2).collect()
}

/// `36 35 0:28 /top /folder rw,relatime shared:9 - cgroup source rw,cpu`: see `man 5 proc`.
fn from_mountinfo(line: &str) -> Option<(PathBuf, Mount)> {
    let (before, after) = line.split_once(" - ")?;
    let mut before = before.split(' ').skip(3).map(unescaped);
    let mut after = after.split(' ');
    let (top, folder) = (before.next()?, PathBuf::from(before.next()?));
    let (kind, options) = (after.next()?.to_owned(), after.nth(1)?.to_owned());
    Some((folder.clone(), Mount { kind, options, top: Some(top), folder }))
}

/// `source /folder cgroup rw,cpu 0 0`: the root is not told.
fn from_mounts(line: &str) -> Option<(PathBuf, Mount)> {
    let mut fields = line.split(' ').skip(1);
    let folder = PathBuf::from(unescaped(fields.next()?));
    let (kind, options) = (fields.next()?.to_owned(), fields.next()?.to_owned());
    Some((folder.clone(), Mount { kind, options, top: None, folder }))
}

/// The kernel writes a space in a path as `\040`.
fn unescaped(field: &str) -> String {
    let mut parts = field.split('\\');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| match part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
        Some(byte) => text + &char::from(byte).to_string() + &part[3..],
        None => text + "\\" + part,
    })
}
