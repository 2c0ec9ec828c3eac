//! Finds out which cores are big and which are little.

use std::path::Path;

use super::super::CpuSet;
use super::files::{list, number};

/// Values that differ by less than this many percent mean the same kind: the best cores of a kind may clock a little
/// higher than its others.
const TOLERANCE: u64 = 10;

/// A source of speeds: its name, and the speed that it tells of a CPU.
type KindSource<'a> = (&'static str, &'a dyn Fn(usize) -> Option<u64>);

/// The rank of each core's kind by speed; 0 is the slowest. Empty if the kernel does not tell.
pub(super) fn read(root: &Path, cores: &[CpuSet], notes: &mut Vec<String>) -> Vec<usize> {
    let of_cpu = |what: &'static str| {
        move |cpu: usize| {
            let value = number(&root.join(format!("sys/devices/system/cpu/cpu{cpu}/{what}")))?;
            u64::try_from(value).ok().filter(|value| *value > 0)
        }
    };
    let (little, big) = (list(&root.join("sys/devices/cpu_atom/cpus")), list(&root.join("sys/devices/cpu_core/cpus")));
    let hybrid = |cpu: usize| match (&little, &big) {
        (Some(little), Some(big)) if little.contains(cpu) != big.contains(cpu) => {
            Some(1 + u64::from(big.contains(cpu)))
        }
        _ => None,
    };
    // The first source that tells of all cores is taken. Frequencies come last, because the kernel's capacities say
    // more.
    let sources: [KindSource<'_>; 4] = [
        ("cpu_capacity", &of_cpu("cpu_capacity")),
        ("cpu_core and cpu_atom", &hybrid),
        ("base_frequency", &of_cpu("cpufreq/base_frequency")),
        ("cpuinfo_max_freq", &of_cpu("cpufreq/cpuinfo_max_freq")),
    ];
    for (name, value_of) in sources {
        let values: Vec<Option<u64>> = cores.iter().map(|core| value_of(core.first()?)).collect();
        if let Some(values) = values.iter().copied().collect::<Option<Vec<u64>>>() {
            return ranks(&values);
        }
        if values.iter().any(Option::is_some) {
            let without = cores.iter().zip(&values).filter(|(_, value)| value.is_none());
            let without = without.fold(CpuSet::new(), |all, (core, _)| all.union(core));
            notes.push(format!("{name} does not tell of CPUs {without}: it is not taken for kinds of cores"));
        }
    }
    Vec::new()
}

/// The rank of each value. A new rank begins at each value that exceeds the next lower one by more than [`TOLERANCE`].
fn ranks(values: &[u64]) -> Vec<usize> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let is_step = |pair: &&[u64]| u128::from(pair[1]) * 100 > u128::from(pair[0]) * u128::from(100 + TOLERANCE);
    let steps: Vec<u64> = sorted.windows(2).filter(is_step).map(|pair| pair[1]).collect();
    values.iter().map(|value| steps.partition_point(|step| step <= value)).collect()
}
