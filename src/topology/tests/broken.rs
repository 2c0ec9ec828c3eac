//! Random trees of files with holes and nonsense: reading them gives an error or a machine that keeps the invariants.

use proptest::prelude::*;

use super::super::Topology;
use super::{Tree, assert_invariants};

fn one_of<const N: usize>(texts: [&'static str; N]) -> impl Strategy<Value = String> {
    prop::sample::select(texts.to_vec()).prop_map(str::to_owned)
}

/// A set as a list, or what is none.
fn list() -> impl Strategy<Value = String> {
    let odd = ["", "\n", "0-", "3-1", "x", "0-99999999999", "0-2000", "\0\0", "-1", "0 1", "é", "4000000"];
    prop_oneof![
        6 => prop::collection::vec((0_usize..9, 0_usize..4), 0..4).prop_map(|ranges| {
            let ranges = ranges.iter().map(|(first, more)| format!("{first}-{}", first + more));
            ranges.collect::<Vec<_>>().join(",")
        }),
        1 => one_of(odd),
    ]
}

fn mask() -> impl Strategy<Value = String> {
    prop_oneof![4 => (0_u32..0x2000).prop_map(|mask| format!("00000000,{mask:08x}\n")), 1 => list()]
}

fn number() -> impl Strategy<Value = String> {
    let odd = ["", "-1", "x", "3.5", "99999999999999999999", "1\0", "18446744073709551615", "9223372036854775807"];
    prop_oneof![4 => (0_u32..5).prop_map(|number| number.to_string()), 1 => one_of(odd)]
}

/// Text of any kind, with line ends.
fn junk() -> impl Strategy<Value = String> {
    let words = [
        "Cpus_allowed_list:\t",
        "Mems_allowed:\t",
        "f\n",
        "0-3\n",
        ":",
        "/",
        "..",
        "cgroup",
        " - ",
        "cpu",
        "max",
        "\\040",
        " ",
    ];
    prop::collection::vec(one_of(words), 0..12).prop_map(|words| words.concat())
}

fn status() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => (list(), list()).prop_map(|(cpus, mems)| format!("Cpus_allowed_list:\t{cpus}\nMems_allowed_list:\t{mems}\n")),
        1 => (mask(), mask()).prop_map(|(cpus, mems)| format!("Cpus_allowed:\t{cpus}\nMems_allowed:\t{mems}\n")),
        1 => junk(),
    ]
}

fn groups() -> impl Strategy<Value = String> {
    let known = ["0::/a/b\n", "4:cpu,cpuacct:/a\n3:cpuset:/\n", "0::/../a\n", "0::/a/../../b\n", "3:cpuset:/../..\n"];
    prop_oneof![3 => one_of(known), 1 => junk()]
}

fn mounts() -> impl Strategy<Value = String> {
    let known = [
        "1 2 0:3 /b /mnt rw - cgroup2 cgroup2 rw\n1 2 0:3 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
        "1 2 0:3 /../.. /sys rw - cgroup cgroup rw,cpuset\n1 2 0:3 // /sys/fs/cgroup/./ rw - cgroup cgroup rw,cpuset\n",
        "1 2 0:3 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
        "1 2 0:3 /a /sys/fs/cgroup rw - cgroup cgroup rw,cpuset\n",
        "1 2 0:3 /.. /sys/fs/cgroup rw - cgroup cgroup rw,cpu,cpuacct\n",
        "1 2 0:3 / /../../etc rw - cgroup2 cgroup2 rw\n",
        "1 2 0:3 / \\057\\4x rw - cgroup2\n",
    ];
    prop_oneof![3 => one_of(known), 1 => junk()]
}

/// What a file holds; none: there is no such file; an empty folder of that name at times.
#[derive(Clone, Debug)]
enum Content {
    Missing,
    Folder,
    Text(String),
}

fn content(text: impl Strategy<Value = String> + 'static) -> impl Strategy<Value = Content> {
    prop_oneof![3 => Just(Content::Missing), 1 => Just(Content::Folder), 12 => text.prop_map(Content::Text)]
}

fn tree() -> impl Strategy<Value = Vec<(String, Content)>> {
    let mut files: Vec<(String, BoxedStrategy<Content>)> = Vec::new();
    let mut add = |path: String, content: BoxedStrategy<Content>| files.push((path, content));
    let cpu = "sys/devices/system/cpu";
    add("proc/self/status".into(), content(status()).boxed());
    add("proc/self/cgroup".into(), content(groups()).boxed());
    add("proc/self/mountinfo".into(), content(mounts()).boxed());
    add("sys/fs/cgroup/a/cpu.max".into(), content(junk()).boxed());
    add("sys/fs/cgroup/cpu.cfs_quota_us".into(), content(number()).boxed());
    add("sys/fs/cgroup/cpu.cfs_period_us".into(), content(number()).boxed());
    add("sys/fs/cgroup/a/cpuset.cpus.effective".into(), content(list()).boxed());
    add("sys/fs/cgroup/cpuset.effective_mems".into(), content(list()).boxed());
    add("proc/cpuinfo".into(), content(one_of(["vendor_id: AuthenticAMD\ncpu family: 21\n", ":", "\n\n"])).boxed());
    add("proc/driver/nvidia/gpus/0/numa_status".into(), content(one_of(["Node: 1\n", "Node:", "Node: x"])).boxed());
    add(format!("{cpu}/online"), content(list()).boxed());
    add("sys/devices/cpu_atom/cpus".into(), content(list()).boxed());
    add("sys/devices/cpu_core/cpus".into(), content(list()).boxed());
    for id in 0..5 {
        add(format!("{cpu}/cpu{id}/online"), content(number()).boxed());
        add(format!("{cpu}/cpu{id}/topology/core_cpus_list"), content(list()).boxed());
        add(format!("{cpu}/cpu{id}/topology/core_siblings"), content(mask()).boxed());
        add(format!("{cpu}/cpu{id}/topology/thread_siblings"), content(mask()).boxed());
        add(format!("{cpu}/cpu{id}/cache/index{}/shared_cpu_map", id % 3), content(mask()).boxed());
        add(format!("{cpu}/cpu{id}/topology/core_id"), content(number()).boxed());
        add(format!("{cpu}/cpu{id}/topology/physical_package_id"), content(number()).boxed());
        add(format!("{cpu}/cpu{id}/cache/index{}/level", id % 3), content(Just("3".to_owned())).boxed());
        add(format!("{cpu}/cpu{id}/cache/index{}/size", id % 3), content(number()).boxed());
        add(format!("{cpu}/cpu{id}/cache/index{}/shared_cpu_list", id % 3), content(list()).boxed());
        add(format!("{cpu}/cpu{id}/cpu_capacity"), content(number()).boxed());
    }
    for (id, name) in ["node0", "node1", "node7", "node40000", "node99999999999999999999"].into_iter().enumerate() {
        let folder = format!("sys/devices/system/node/{name}");
        add(format!("{folder}/cpulist"), content(list()).boxed());
        add(format!("{folder}/cpumap"), content(mask()).boxed());
        let memory = number().prop_map(move |number| format!("Node {id} MemTotal: {number} kB\n"));
        add(format!("{folder}/meminfo"), content(memory).boxed());
        add(format!("{folder}/access{}/initiators/node{}", id % 2, (id + 1) % 3), content(number()).boxed());
        let distances = prop::collection::vec(number(), 0..5).prop_map(|numbers| numbers.join(" "));
        add(format!("{folder}/distance"), content(distances).boxed());
    }
    files
        .into_iter()
        .map(|(path, content)| content.prop_map(move |content| (path.clone(), content)))
        .collect::<Vec<_>>()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_tree_makes_a_machine_or_an_error(files in tree()) {
        let tree = Tree::new("broken");
        for (path, content) in files {
            match content {
                Content::Missing => {}
                Content::Folder => std::fs::create_dir_all(tree.0.join(path)).expect("folder"),
                Content::Text(text) => tree.write(&path, text),
            }
        }
        if let Ok(machine) = Topology::read(&tree.0) {
            assert_invariants(&machine);
            prop_assert!(machine.cpu_quota().is_none_or(|quota| quota > 0.0));
        }
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..40), which in 0_usize..8) {
        let tree = Tree::new("bytes");
        tree.cpu("online", "0-1");
        tree.node(0, "0-1", 1 << 30, "10");
        let path = [
            "proc/self/status",
            "proc/self/cgroup",
            "proc/self/mountinfo",
            "sys/devices/system/cpu/online",
            "sys/devices/system/cpu/cpu0/topology/core_cpus_list",
            "sys/devices/system/cpu/cpu0/cache/index3/size",
            "sys/devices/system/node/node0/cpulist",
            "sys/devices/system/node/node0/meminfo",
        ][which];
        tree.write("sys/devices/system/cpu/cpu0/cache/index3/level", "3");
        tree.write("sys/devices/system/cpu/cpu0/cache/index3/shared_cpu_list", "0");
        tree.write(path, bytes);
        if let Ok(machine) = Topology::read(&tree.0) {
            assert_invariants(&machine);
        }
    }
}
