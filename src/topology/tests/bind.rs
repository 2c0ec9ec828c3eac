//! Binding threads: any length of mask, and the system's word on what came of it.

use std::thread;

use crate::topology::bind::Thread;
use crate::topology::{CpuSet, Topology};

/// What comes of binding a thread.
fn bind(cpus: CpuSet) -> Result<(), String> {
    thread::spawn(move || Thread::current().bind(&cpus)).join().expect("no panic")
}

#[test]
fn masks_of_any_length_reach_the_system() {
    let here = Topology::detect().expect("some CPU");
    let first = here.allowed_cpus().first().expect("some CPU");
    let last = CpuSet::MAX - 1;
    assert!(!here.cpus().contains(last), "no machine is as large");
    assert_eq!(bind(CpuSet::from_iter([first])), Ok(()));
    assert_eq!(bind(here.allowed_cpus().clone()), Ok(()));
    let part = bind(CpuSet::from_iter([first, last])).expect_err("the system leaves one out");
    assert_eq!(part, format!("the system bound it to {first} in place of {first},{last}"));
    let none = bind(CpuSet::from_iter([last])).expect_err("there is none of these");
    assert!(none.contains("refused") && none.contains("Invalid argument"), "{none}");
    assert!(bind(CpuSet::new()).is_err());
}

#[test]
fn another_thread_can_be_bound() {
    let here = Topology::detect().expect("some CPU");
    let first = CpuSet::from_iter(here.allowed_cpus().first());
    let (send, receive) = std::sync::mpsc::channel();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let other = thread::spawn(move || {
        send.send(Thread::current()).expect("somebody waits");
        let _ = ended.recv();
    });
    assert_eq!(receive.recv().expect("it is sent").bind(&first), Ok(()));
    drop(end);
    other.join().expect("no panic");
}
