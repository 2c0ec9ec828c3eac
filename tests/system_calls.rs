//! Running a plan makes no system call while the pool is awake: calls are counted on all threads. A binary of its own,
//! with one test: what else runs in the process is counted too.
//!
//! The library and what it stands on sleep, wake and fence by `syscall` of libc, and offer the core by `sched_yield`.
//! Here are functions of these names that count, in the place of those of libc.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![expect(unsafe_code, reason = "functions of libc that count")]

use std::arch::asm;
use std::ffi::{c_int, c_long};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::Duration;

use millstream::{Graph, Idle, Plan, Pool};

static CALLS: AtomicUsize = AtomicUsize::new(0);

/// Makes a system call, and returns what the kernel does: below 0, the number of an error.
///
/// # Safety
/// (1) As the call itself.
unsafe fn call(number: c_long, arguments: [usize; 6]) -> c_long {
    let [a, b, c, d, e, f] = arguments;
    let result;
    // SAFETY: (1); the kernel changes the registers that are named, and no others.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// As libc's, but counted. Its arguments are integers, in as many registers as a call with any number of them would
/// use.
///
/// # Safety
/// (1) As the call itself.
#[unsafe(no_mangle)]
unsafe extern "C" fn syscall(number: c_long, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> c_long {
    CALLS.fetch_add(1, Ordering::Relaxed);
    // SAFETY: (1).
    let result = unsafe { call(number, [a, b, c, d, e, f]) };
    if !(-4095..0).contains(&result) {
        return result;
    }
    // SAFETY: it asks for nothing.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: each thread has its own.
    unsafe { *place = c_int::try_from(-result).expect("the number of an error") };
    -1
}

/// As libc's, but counted.
#[unsafe(no_mangle)]
extern "C" fn sched_yield() -> c_int {
    CALLS.fetch_add(1, Ordering::Relaxed);
    // SAFETY: (1) it asks for nothing.
    _ = unsafe { call(libc::SYS_sched_yield, [0; 6]) };
    0
}

/// 1000 tasks: chains, and what waits for all of them; some of them again and again.
fn tasks(pool: &Pool) -> Plan<'static> {
    let g = Graph::new();
    let numbers: Vec<_> = (0..16_u64).map(|number| g.data(number)).collect();
    for round in 0..60 {
        numbers.iter().for_each(|number| drop(g.task(number.write(), move |x| *x = black_box(*x ^ round))));
    }
    let all = g.data(0);
    g.repeat(5, |g| {
        numbers.iter().for_each(|number| drop(g.task((number.read(), all.write()), |(x, all)| *all ^= black_box(*x))));
    });
    g.plan(pool).expect("a sound graph")
}

#[test]
#[expect(clippy::print_stdout, reason = "the figures are what the test is for")]
fn running_again_makes_no_system_call() {
    const RUNS: usize = 400;
    let mut woken = 0;
    for workers in [1, 2] {
        let pool = Pool::builder().workers(workers).idle(Idle::Latency).build().expect("a pool");
        let mut plan = tasks(&pool);
        let mut calls_of_a_run = || {
            let before = CALLS.load(Ordering::Relaxed);
            plan.run().expect("a good run");
            CALLS.load(Ordering::Relaxed) - before
        };
        (0..40).for_each(|_| _ = calls_of_a_run());
        let mut counts: Vec<usize> = (0..RUNS).map(|_| calls_of_a_run()).collect();
        counts.sort_unstable();
        let none = counts.iter().filter(|count| **count == 0).count();
        let most = counts[RUNS - 1];
        println!("{workers} workers: of {RUNS} runs {none} make none, the others {most} at most");
        // Where the system takes a core away from a worker, the others look for work in vain, and sleep.
        assert!(2 * none > RUNS, "{workers} workers: {counts:?} calls by run");

        for _ in 0..20 {
            sleep(Duration::from_millis(2));
            woken += calls_of_a_run();
        }
    }
    assert!(woken > 0, "a pool that sleeps is woken, and that counts");
}
