//! Random bytes for all that reads bytes in millstream: each check is a function of bytes that panics if something is wrong.
//!
//! A fuzz target calls one of them (`fuzz_targets/`), and so does a property test (`tests/`), for where libFuzzer cannot
//! be built.

mod files;
mod invariants;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;

use millstream::check::{self, Course, Recording, Schedule};
use millstream::{CpuSet, Graph, Pool, Topology};

/// Makes a folder of the bytes, and reads a recorded machine from there.
pub fn machines(bytes: &[u8]) {
    files::in_folder(bytes, |root| match Topology::read(root) {
        Ok(machine) => invariants::assert_sound(&machine),
        Err(error) => assert!(error.to_string().contains("no machine"), "{error}"),
    });
}

/// Descriptions of machines.
pub fn descriptions(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match Topology::synthetic(&text) {
        Ok(machine) => {
            invariants::assert_sound(&machine);
            assert_eq!(machine.cpus(), machine.allowed_cpus(), "all CPUs are allowed");
        }
        Err(error) => assert!(error.to_string().contains("makes no machine"), "{error}"),
    }
}

/// Lists of CPUs, and the sets that they are.
pub fn sets(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (left, right) = text.split_once('|').unwrap_or((&text, ""));
    let Ok(left) = left.parse::<CpuSet>() else { return };
    assert_eq!(left.to_string().parse(), Ok(left.clone()), "it is read as it was written");
    assert_eq!(left.iter().collect::<CpuSet>(), left);
    assert_eq!((left.len(), left.first()), (left.iter().count(), left.iter().next()));
    assert!(left.iter().is_sorted_by(|one, next| one < next) && left.iter().all(|cpu| left.contains(cpu)));
    let Ok(right) = right.parse::<CpuSet>() else { return };
    let (both, common) = (left.union(&right), left.intersection(&right));
    assert_eq!(both.len() + common.len(), left.len() + right.len());
    assert_eq!(left.difference(&right).union(&common), left);
    assert!(
        common.is_subset(&left) && right.is_subset(&both) && left.difference(&right).intersection(&right).is_empty()
    );
}

/// Texts of schedules and recordings. One that does not fit a graph is refused, and one that does gives the answer.
pub fn schedules(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(schedule) = text.parse::<Schedule>() {
        assert_eq!(schedule.to_string().parse(), Ok(schedule.clone()), "it is read as it was written");
        replay(&schedule, "is not one of this closure");
    }
    if let Ok(recording) = text.parse::<Recording>() {
        assert_eq!(recording.to_string().parse(), Ok(recording.clone()), "it is read as it was written");
        replay(&recording, "could be made in their order");
    }
}

/// Goes by a schedule or a recording with a small graph.
fn replay(course: &impl Course, refusal: &str) {
    let body = |pool: &Pool| {
        let g = Graph::new();
        let sum = g.source(1..4_u64).batch_size(1).map(|x| x * x).fold(0, |sum, x| 10 * sum + x);
        let (a, b) = (g.data(1), g.data(2));
        g.task(a.write(), |a| *a += 10);
        g.task(b.write(), |b| *b += 20);
        let all = g.task((a.read(), b.read(), sum.read()), |(a, b, sum)| a + b + sum);
        pool.run(g).expect("nothing fails").take(all)
    };
    match catch_unwind(AssertUnwindSafe(|| check::replay(course, body))) {
        Ok(sum) => assert_eq!(sum, 149 + 11 + 22),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map_or("", String::as_str);
            assert!(text.contains(refusal), "{text}");
        }
    }
}

/// The records of texts, cut at any size, by a worker and the thread that waits.
pub fn records(bytes: &[u8]) {
    static POOL: LazyLock<Pool> = LazyLock::new(|| Pool::builder().workers(1).build().expect("threads"));
    let [delimiter, size, buffers, text @ ..] = bytes else { return };
    let buffers: Vec<&[u8]> = text.split(|byte| byte == buffers).collect();
    let expected: Vec<&[u8]> = buffers.iter().flat_map(|buffer| lines(buffer, *delimiter)).collect();
    let g = Graph::new();
    let found = g.split_all(&buffers, *delimiter).batch_size(usize::from(*size) + 1).collect();
    assert_eq!(POOL.run(g).expect("nothing fails").take(found), expected);
    let g = Graph::new();
    let found = g.split(text, *delimiter).batch_size(usize::from(*size) + 1).collect();
    assert_eq!(POOL.run(g).expect("nothing fails").take(found), lines(text, *delimiter));
}

/// What [`Graph::split`] says that records are.
fn lines(text: &[u8], delimiter: u8) -> Vec<&[u8]> {
    let mut lines: Vec<&[u8]> = text.split(|byte| *byte == delimiter).collect();
    lines.pop_if(|last| last.is_empty());
    lines
}
