//! Several mounts of one hierarchy of control groups: those that show the process's group count, and no others.

use super::groups::{assert_cpuset, assert_limits, eight, without_mask};
use super::{Tree, assert_notes};

/// A line of mountinfo: which group is at the root of the mount, where it is, and what it is of.
fn mount(number: usize, top: &str, place: &str, kind: &str) -> String {
    format!("{number} 24 0:30 {top} {place} rw,relatime shared:9 - {kind}\n")
}

const V2: &str = "cgroup2 cgroup2 rw,nsdelegate";
const V1: &str = "cgroup cgroup rw,cpu,cpuacct";

/// Sets a quota in hundredths of a CPU, in the form of each version.
fn quota(tree: &Tree, group: &str, hundredths: usize) {
    tree.write(&format!("{group}/cpu.max"), format!("{hundredths}000 100000\n"));
    tree.write(&format!("{group}/cpu.cfs_quota_us"), format!("{hundredths}000\n"));
    tree.write(&format!("{group}/cpu.cfs_period_us"), "100000\n");
}

/// Eight CPUs and a process in `group`, with these mounts, of each version in turn.
fn of_each_version(name: &str, group: &str, mounts: &[(&str, &str)], check: impl Fn(&Tree)) {
    for (kind, groups) in [(V2, format!("0::{group}\n")), (V1, format!("4:cpu,cpuacct:{group}\n1:name=x:/y\n"))] {
        let lines: String = (35..).zip(mounts).map(|(number, (top, place))| mount(number, top, place, kind)).collect();
        let tree = eight(name, &[("proc/self/cgroup", &groups), ("proc/self/mountinfo", &lines)]);
        check(&tree);
    }
}

#[test]
fn a_foreign_mount_before_the_own_one_is_passed_over() {
    for foreign in ["/other", "/jo", "/job/inner/more"] {
        let mounts = [(foreign, "/mnt/foreign"), ("/", "/sys/fs/cgroup")];
        of_each_version("foreign", "/job/inner", &mounts, |tree| {
            quota(tree, "mnt/foreign", 25);
            quota(tree, "sys/fs/cgroup/job", 150);
            assert_limits(&tree.read(), Some(1.5), "0-7");
        });
    }
}

#[test]
fn in_a_namespace_the_mounts_of_neighbours_are_passed_over() {
    let mounts = [("/../neighbour", "/mnt/foreign"), ("/../../x", "/mnt/far"), ("/", "/sys/fs/cgroup")];
    of_each_version("neighbour", "/", &mounts, |tree| {
        quota(tree, "mnt/foreign", 25);
        quota(tree, "mnt/far", 25);
        quota(tree, "sys/fs/cgroup", 150);
        assert_limits(&tree.read(), Some(1.5), "0-7");
    });
}

#[test]
fn of_several_mounts_that_show_the_group_the_tightest_limit_counts() {
    let mounts = [("/a/b", "/here"), ("/", "/sys/fs/cgroup"), ("/a", "/there"), ("/..", "/above")];
    let places = ["here/c", "here", "sys/fs/cgroup/a", "there", "there/b", "there/b/c", "above"];
    for tightest in places {
        of_each_version("several", "/a/b/c", &mounts, |tree| {
            ["here", "sys/fs/cgroup", "there", "above"].iter().for_each(|place| quota(tree, place, 400));
            quota(tree, tightest, 150);
            // How to get from above to the group is not known.
            quota(tree, "above/a", 25);
            assert_limits(&tree.read(), Some(1.5), "0-7");
        });
    }
}

#[test]
fn a_mount_that_another_one_hides_is_not_read() {
    let mounts = [("/", "/sys/fs/cgroup"), ("/job", "/mnt/own"), ("/other", "/sys/fs/cgroup")];
    of_each_version("hidden", "/job", &mounts, |tree| {
        quota(tree, "sys/fs/cgroup", 25);
        quota(tree, "mnt/own", 150);
        assert_limits(&tree.read(), Some(1.5), "0-7");
    });
}

#[test]
fn a_group_that_no_mount_shows_is_noted() {
    of_each_version("unseen", "/job", &[("/other", "/mnt/foreign"), ("/jo", "/mnt/short")], |tree| {
        quota(tree, "mnt/foreign", 25);
        quota(tree, "mnt/short", 25);
        let machine = tree.read();
        assert_eq!(machine.cpu_quota(), None);
        assert_notes(&machine, &["the control group /job is out of sight"]);
    });
}

#[test]
fn a_group_beside_the_namespace_is_seen_from_a_mount_above_both() {
    of_each_version("beside", "/../neighbour", &[("/", "/sys/fs/cgroup"), ("/..", "/above")], |tree| {
        quota(tree, "sys/fs/cgroup", 25);
        quota(tree, "above/neighbour", 150);
        assert_limits(&tree.read(), Some(1.5), "0-7");
    });
}

#[test]
fn where_the_roots_of_mounts_are_not_told_the_one_that_has_the_group_counts() {
    for kind in ["cgroup2 rw", "cgroup rw,cpu,cpuacct"] {
        let mounts = format!("none /mnt/foreign {kind} 0 0\nnone /sys/fs/cgroup {kind} 0 0\nnone /gone {kind} 0 0\n");
        let tree = eight("told", &[("proc/self/cgroup", "4:cpu,cpuacct:/a/b\n0::/a/b\n"), ("proc/mounts", &mounts)]);
        quota(&tree, "mnt/foreign", 25);
        quota(&tree, "sys/fs/cgroup/a", 150);
        assert_limits(&tree.read(), Some(1.5), "0-7");
    }
}

#[test]
fn cpusets_of_foreign_mounts_are_passed_over() {
    let mounts = [
        mount(35, "/other", "/mnt/foreign", "cgroup cgroup rw,cpuset"),
        mount(36, "/job", "/sys/fs/cgroup/cpuset", "cgroup cgroup rw,cpuset"),
        mount(37, "/", "/all", "cgroup cgroup rw,cpuset"),
    ];
    let files = [
        ("proc/self/cgroup", "3:cpuset:/job/step\n"),
        ("proc/self/mountinfo", &mounts.concat()),
        ("mnt/foreign/cpuset.cpus", "6-7"),
        ("sys/fs/cgroup/cpuset/cpuset.cpus", "0-5"),
        ("sys/fs/cgroup/cpuset/step/cpuset.cpus", "1-3"),
        ("all/cpuset.cpus", "0-7"),
    ];
    assert_cpuset(&without_mask("sets", &files).read(), None, "1-3");
}

#[test]
fn both_versions_side_by_side_limit() {
    for (older, newer) in [(150, 300), (300, 150)] {
        let mounts = [mount(35, "/", "/sys/fs/cgroup/unified", V2), mount(36, "/", "/sys/fs/cgroup/cpu,cpuacct", V1)];
        let files = [("proc/self/cgroup", "4:cpuacct,cpu:/a\n0::/b\n"), ("proc/self/mountinfo", &mounts.concat())];
        let tree = eight("hybrid", &files);
        quota(&tree, "sys/fs/cgroup/cpu,cpuacct/a", older);
        quota(&tree, "sys/fs/cgroup/unified/b", newer);
        quota(&tree, "sys/fs/cgroup/unified/a", 25);
        assert_limits(&tree.read(), Some(1.5), "0-7");
    }
}
