//! Finds out where a control group can be seen: in which mounts of its hierarchy.
//!
//! A hierarchy may have several mounts, each with another group at its root: that of a container beside the whole tree,
//! or that of a neighbour. `proc/self/mountinfo` names the group at the root of each mount, as a path from the root of
//! the process's namespace. The path of the process's group starts there too. So a mount shows the group if its root is
//! that group or a group above it.
//!
//! `proc/mounts` does not name the group at the root. There, those mounts count that have the most of the group's path.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::cgroup::Hierarchy;
use super::files::text;

/// All mounts of control groups that no other mount hides.
pub(super) struct Mounts(Vec<Mount>);

/// Whether a group can be seen.
pub(super) enum MountView {
    /// It can be seen in these mounts. For each mount: the folders of the group and of all groups above it that the
    /// mount shows, the innermost first. They need not exist.
    Seen(Vec<Vec<PathBuf>>),
    /// The mounts of its hierarchy show other groups only.
    Hidden,
    NotMounted,
}

/// A place where a hierarchy can be seen.
struct Mount {
    kind: String,
    /// Options of the hierarchy; the controllers are among them.
    options: String,
    /// The group at the root of the mount, if the system tells.
    top: Option<String>,
    folder: PathBuf,
}

impl Mounts {
    /// Reads the mounts, or takes the usual places if no mounts are recorded.
    pub(super) fn read(root: &Path) -> Self {
        let file = |name: &str| text(&root.join(name));
        // Of two mounts at one place, the later one hides the earlier one.
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
    pub(super) fn of(&self, hierarchy: Hierarchy, path: &str) -> MountView {
        let mounted = self.0.iter().filter(|mount| mount.is_of(hierarchy) && mount.folder.is_dir());
        let mounted: Vec<&Mount> = mounted.collect();
        let seen: Vec<(&Mount, PathBuf)> =
            mounted.iter().filter_map(|mount| Some((*mount, mount.inside(path)?))).collect();
        if seen.is_empty() {
            return if mounted.is_empty() && !leads_up(path) { MountView::NotMounted } else { MountView::Hidden };
        }
        let folders = |(mount, inside): &(&Mount, PathBuf)| -> Vec<PathBuf> {
            inside.ancestors().map(|group| mount.folder.join(group)).collect()
        };
        let mut seen: Vec<(bool, Vec<PathBuf>)> =
            seen.iter().map(|seen| (seen.0.top.is_none(), folders(seen))).collect();
        // The depth of the innermost folder that exists. A mount without a named root is a guess; the deepest guesses
        // count.
        let depth = |folders: &[PathBuf]| folders.iter().skip_while(|folder| !folder.is_dir()).count();
        let deepest = seen.iter().map(|(_, folders)| depth(folders)).max();
        seen.retain(|(is_guess, folders)| !is_guess || Some(depth(folders)) == deepest);
        MountView::Seen(seen.into_iter().map(|(_, folders)| folders).collect())
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

    /// The way from the root of the mount to a group. None if the group is not below that root. Empty if the root is
    /// above the namespace, because the way from there is not known.
    fn inside(&self, path: &str) -> Option<PathBuf> {
        let (up, down) = way(path)?;
        let (top_up, top_down) = self.top.as_deref().map_or(Some((0, PathBuf::new())), way)?;
        if up == top_up {
            return down.strip_prefix(top_down).ok().map(Path::to_path_buf);
        }
        // The root of the mount is above the namespace's root, and above the group. The way from there is not known.
        let is_above = top_up > up && top_down.as_os_str().is_empty();
        is_above.then(PathBuf::new)
    }
}

/// Splits a path from the root of the namespace: how many groups it leads up, and then the way down. None if it is no
/// such path.
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

/// The places where mounts usually are.
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

/// Reads a line such as `36 35 0:28 /top /folder rw,relatime shared:9 - cgroup source rw,cpu`: see `man 5 proc`.
fn from_mountinfo(line: &str) -> Option<(PathBuf, Mount)> {
    let (before, after) = line.split_once(" - ")?;
    let mut before = before.split(' ').skip(3).map(unescaped);
    let mut after = after.split(' ');
    let (top, folder) = (before.next()?, PathBuf::from(before.next()?));
    let (kind, options) = (after.next()?.to_owned(), after.nth(1)?.to_owned());
    Some((folder.clone(), Mount { kind, options, top: Some(top), folder }))
}

/// Reads a line such as `source /folder cgroup rw,cpu 0 0`. It does not name the root.
fn from_mounts(line: &str) -> Option<(PathBuf, Mount)> {
    let mut fields = line.split(' ').skip(1);
    let folder = PathBuf::from(unescaped(fields.next()?));
    let (kind, options) = (fields.next()?.to_owned(), fields.next()?.to_owned());
    Some((folder.clone(), Mount { kind, options, top: None, folder }))
}

/// Undoes the escapes in a path: the kernel writes a space as `\040`.
fn unescaped(field: &str) -> String {
    let mut parts = field.split('\\');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| match part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
        Some(byte) => text + &char::from(byte).to_string() + &part[3..],
        None => text + "\\" + part,
    })
}
