//! Recorded machines, counted as hwloc counts them. The recordings lie beside the repository, in `../shared/topologies`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use millstream::{CpuSet, Pinning, Pool, Topology};

/// What of the recordings is not unpacked: the larger part, none of it about what is read here.
const LEFT_OUT: [&str; 8] = [
    "--exclude=*/device-tree/*",
    "--exclude=*/sys/class/*",
    "--exclude=*/sys/bus/*",
    "--exclude=*/devices/pci*",
    "--exclude=*/devices/LNX*",
    "--exclude=*/cpuidle/*",
    "--exclude=*/hugepages/*",
    "--exclude=*/index[0-9]/[acinpuw]*",
];

/// An unpacked recording; removed when dropped.
struct Recording {
    folder: PathBuf,
    root: PathBuf,
}

impl Recording {
    /// Unpacks a recording. None, and a message, if this system cannot.
    fn unpack(from: &Path, name: &str) -> Option<Self> {
        let archive = from.join(format!("{name}.tar.bz2"));
        let folder = format!("millstream-recording-{}-{name}", std::process::id());
        // In memory, where that is possible: these are tens of thousands of files.
        let places = [Path::new("/dev/shm").join(&folder), std::env::temp_dir().join(&folder)];
        let folder = places.into_iter().find(|place| fs::create_dir(place).is_ok()).expect("temporary folder");
        let mut unpacked = Self { root: folder.clone(), folder };
        match Command::new("tar").args(LEFT_OUT).arg("-xjf").arg(&archive).arg("-C").arg(&unpacked.folder).output() {
            Ok(output) if output.status.success() => {}
            Ok(output) => return skip(&format!("tar -xjf: {}", String::from_utf8_lossy(&output.stderr))),
            Err(error) => return skip(&format!("tar cannot be run: {error}")),
        }
        let mut entries = fs::read_dir(&unpacked.folder).expect("it was made").flatten().map(|entry| entry.path());
        unpacked.root = entries.find(|path| path.join("sys").is_dir()).expect("the folder that holds `sys`");
        Some(unpacked)
    }

    fn read(&self) -> Topology {
        Topology::read(&self.root).expect("it has files about CPUs")
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The folders with recordings, each with a list of what hwloc counts in them. None, and a message, if there are none.
fn recordings() -> Option<Vec<PathBuf>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/topologies");
    if !folder.is_dir() {
        return skip("there is no folder ../shared/topologies");
    }
    let folders = [folder.join("next"), folder];
    Some(folders.into_iter().filter(|folder| folder.join("expected.csv").is_file()).collect())
}

/// Tells it past the test harness, which would keep it back.
fn skip<T>(why: &str) -> Option<T> {
    let _ = writeln!(io::stderr(), "skipped: {}", why.trim_end());
    None
}

/// `pus,cores,packages,numa_nodes,l3`, as `hwloc-calc --number-of … all` counts them; empty where the machine shows none.
///
/// Of nodes hwloc-calc counts those that the process may allocate on and that are near one of its CPUs. hwloc has one
/// that is near none, too: on an Itanium of 16 nodes with CPUs and one with memory alone, equally far from all. Nodes with
/// CPUs and no memory are in no cpuset, and so do not count; were there no cpuset, hwloc would count them.
///
/// All recordings that the project has now are counted alike; `src/topology/tests/contradictions.rs` has the kinds that
/// are not among those here. What counts differently of those that it once had, and why:
/// - `48amd64-4d2n6c-sparse`, older ones: 3 nodes there, 8 here. Their list of nodes that are online is wrong; here the
///   nodes' folders count.
/// - `64amd64-4s2n4ca2co`, an older one: 32 cores there, 64 here. It does not tell the architecture, without which hwloc
///   does not tell a Bulldozer's cores apart.
/// - `64intel64-fakeKNL-A2A-cache`: an L3 cache there, none here. It is a cache of the memory, which hwloc knows from a
///   file that its own tool has written.
/// - `32ppc-4n4c2c`, `4ppc-4c`, `4qs22-2s2t`: none there, flat machines here. hwloc refuses what has no files about cores.
fn counts(machine: &Topology) -> String {
    let shown = |count: usize| if count == 0 { String::new() } else { count.to_string() };
    let cores = machine.cores().iter().filter(|core| !core.is_assumed()).count();
    let nodes = machine.numa_nodes().iter().filter(|node| node.may_allocate() && !node.near().is_empty()).count();
    let (packages, l3) = (machine.packages().len(), machine.l3_domains().len());
    format!("{},{},{},{nodes},{}", machine.allowed_cpus().len(), shown(cores), shown(packages), shown(l3))
}

#[test]
fn recorded_machines_are_counted_as_hwloc_counts_them() {
    let Some(folders) = recordings() else { return };
    let (mut wrong, mut read, mut longest) = (Vec::new(), 0, Duration::ZERO);
    for folder in folders {
        let expected = fs::read_to_string(folder.join("expected.csv")).expect("the list of counts");
        for line in expected.lines().skip(1).filter(|line| !line.is_empty()) {
            let (name, theirs) = line.split_once(',').expect("a name and counts");
            let Some(recording) = Recording::unpack(&folder, name) else { return };
            let start = Instant::now();
            let machine = recording.read();
            longest = longest.max(start.elapsed());
            read += 1;
            assert_invariants(&machine, name);
            assert_what_counts_do_not_show(&machine, name);
            assert_places(&machine, name);
            let ours = counts(&machine);
            if ours != theirs {
                wrong.push(format!("{name}: {ours}, not {theirs}\n{machine}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(read >= 16, "{read} machines");
    assert!(longest < Duration::from_secs(2), "the longest took {longest:?}");
}

#[track_caller]
fn assert_invariants(machine: &Topology, name: &str) {
    assert!(!machine.is_this_machine());
    assert!(machine.allowed_cpus().is_subset(machine.cpus()), "{name}");
    assert_divides(machine.allowed_cpus(), machine.cores().iter().map(|core| core.cpus()), name);
    for core in machine.cores() {
        let package = core.package().map(|index| machine.packages()[index].cpus());
        let domain = core.l3().map(|index| machine.l3_domains()[index].cpus());
        let node = core.node().map(|id| machine.numa_node(id).expect("a node of its own").cpus());
        for part in [package, domain, node].into_iter().flatten() {
            assert!(core.cpus().is_subset(part), "{name}: {core:?}");
        }
    }
    for node in machine.numa_nodes() {
        assert_eq!(node.distance(node.id()), Some(10), "{name}: {node:?}");
        assert!(!node.cpus().is_empty() || node.may_allocate(), "{name}: {node:?}");
    }
}

/// Workers of any number are placed where they may run, each worker of a core by itself while there are cores, and on as few
/// nodes as can be.
#[track_caller]
fn assert_places(machine: &Topology, name: &str) {
    let cores = machine.cores().len();
    let largest = machine.numa_nodes().iter().map(|node| node.cpus().len()).max().expect("some node");
    for workers in [1, 2, cores / 2 + 1, cores, 2 * cores + 1] {
        for pinning in [Pinning::Auto, Pinning::Cores, Pinning::Nodes, Pinning::Off] {
            let builder = Pool::builder().topology(machine.clone()).workers(workers).pinning(pinning);
            let placement = builder.placement().expect("a placement");
            assert_eq!(placement.workers().len(), workers, "{name}: {placement}");
            assert!((1..=machine.allowed_cpus().len()).contains(&placement.active()), "{name}: {placement}");
            assert!(pinning == Pinning::Auto || pinning == placement.pinning(), "{name}: {placement}");
            for place in placement.workers() {
                let cpus = place.cpus().unwrap_or(machine.allowed_cpus());
                assert!(!cpus.is_empty() && cpus.is_subset(machine.allowed_cpus()), "{name}: {placement}");
                let node = place.node().map(|id| machine.numa_node(id).expect("a node of its own").cpus());
                assert!(node.is_none_or(|node| cpus.is_subset(node)), "{name}: {placement}");
            }
            if placement.pinning() == Pinning::Cores && workers <= cores {
                let taken: CpuSet = placement.workers().iter().filter_map(|place| place.cpus()?.first()).collect();
                let cores = machine.cores().iter().filter(|core| !core.cpus().intersection(&taken).is_empty());
                assert_eq!((taken.len(), cores.count()), (workers, workers), "{name}: {placement}");
                let nodes: CpuSet = placement.workers().iter().filter_map(|place| place.node()).collect();
                assert!(workers > 2 || nodes.len() <= workers.div_ceil(largest), "{name}: {placement}");
            }
        }
    }
}

#[track_caller]
fn assert_divides<'a>(all: &CpuSet, parts: impl Iterator<Item = &'a CpuSet>, name: &str) {
    let (mut union, mut total) = (CpuSet::new(), 0);
    for part in parts {
        assert!(!part.is_empty(), "{name}");
        total += part.len();
        union = union.union(part);
    }
    assert_eq!((total, &union), (all.len(), all), "{name}");
}

#[track_caller]
fn assert_what_counts_do_not_show(machine: &Topology, name: &str) {
    let kinds = || machine.cores().iter().map(|core| core.kind().expect("it is told")).collect::<Vec<_>>();
    match name {
        "16amd64-8n2c-cpusets" => {
            assert_eq!(machine.cpus().to_string(), "0-3,5-15");
            assert_eq!(machine.allowed_cpus().to_string(), "0-3,5-6,12-15");
            let near_none = machine.numa_node(4).expect("its memory may be used");
            assert!(near_none.cpus().is_empty() && !near_none.is_memory_only());
            let kept_back = machine.numa_node(7).expect("its CPUs may be used");
            assert_eq!((kept_back.cpus().to_string().as_str(), kept_back.may_allocate()), ("14-15", false));
            assert_eq!(machine.numa_node(5), None);
        }
        "16em64t-4s2c2t-offlines" => {
            let cores: Vec<String> = machine.cores().iter().map(|core| core.cpus().to_string()).collect();
            assert_eq!(cores, ["0,8", "1,9", "3,11", "4,12", "6", "7,15", "10"]);
            assert_eq!(machine.l3_domains()[0].size(), Some(4 << 20));
        }
        "20em64t-hybrid-1p6c2t+2ca4co1t" => {
            assert_eq!(kinds(), [[1; 6].as_slice(), &[0; 8]].concat());
        }
        "48amd64-4pa2n6c-sparse" => {
            let ids: Vec<usize> = machine.numa_nodes().iter().map(|node| node.id()).collect();
            assert_eq!(ids, [0, 1, 2, 33, 34, 45, 72, 73]);
            let node = machine.numa_node(45).expect("it is there");
            assert_eq!((node.memory(), node.distance(72), node.distance(3)), (Some(16 << 30), Some(22), None));
        }
        "8em64t-2s2ca2c-buggynuma" => {
            let note = "NUMA nodes 0-7 have CPUs in common: taken as one node";
            assert!(machine.notes().iter().any(|line| line == note), "{:?}", machine.notes());
            assert_eq!(machine.numa_nodes()[0].memory(), Some((2096684 + 2096128 + 6 * 2097152) << 10));
        }
        "fakeheteromemtiers" => {
            let alone = machine.numa_nodes().iter().filter(|node| node.is_memory_only());
            let near: Vec<(usize, String)> = alone.map(|node| (node.id(), node.near().to_string())).collect();
            let expected = [(4, "2-3"), (6, "2-3"), (8, "0-1"), (9, "4-5")];
            assert_eq!(near, expected.map(|(id, cpus)| (id, cpus.to_owned())));
        }
        "fakememinitiators-1np2c+1npp+gi" => {
            let near: Vec<(usize, String)> = machine
                .numa_nodes()
                .iter()
                .filter(|node| node.is_memory_only())
                .map(|node| (node.id(), node.near().to_string()))
                .collect();
            let expected = [(5, "0-1"), (6, "4-5"), (7, "0-1,4-5"), (8, "2-3"), (9, "6-7"), (10, "2-3,6-7")];
            assert_eq!(near, expected.map(|(id, cpus)| (id, cpus.to_owned())));
        }
        "nvidiagpunumanodes" => {
            let ids: Vec<usize> = machine.numa_nodes().iter().map(|node| node.id()).collect();
            assert_eq!((ids, machine.cpus().to_string()), (vec![0, 8], "0-15,88-103".to_owned()));
            let note = "NUMA nodes 250-255 are the memory of graphics processors: left out";
            assert!(machine.notes().iter().any(|line| line == note), "{:?}", machine.notes());
        }
        "nvidia-dgx-gb10" => {
            assert_eq!(kinds(), [[0; 5], [1; 5], [0; 5], [1; 5]].concat());
            assert_eq!(machine.l3_domains()[1].size(), Some(16 << 20));
        }
        _ => {}
    }
}
