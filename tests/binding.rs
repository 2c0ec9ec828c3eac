//! Where workers are bound, what the system refuses, and what a pool does at the start and end of its threads. What changes
//! the process is done in one of its own.

#![cfg(target_os = "linux")]

mod alone;

use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::io::{self, Write};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use alone::alone;
use millstream::{CpuSet, Error, Graph, Pinning, Placement, Pool, PoolBuilder, PoolErrorKind, Topology};

/// A line of a `status` file of the kernel's.
fn status(file: &str, field: &str) -> String {
    let text = std::fs::read_to_string(file).expect("a Linux");
    let line =
        text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).expect("a field of every Linux");
    line.trim().to_owned()
}

/// Where the calling thread may run.
fn own_mask() -> CpuSet {
    status("/proc/thread-self/status", "Cpus_allowed_list").parse().expect("a list")
}

fn threads() -> usize {
    status("/proc/self/status", "Threads").parse().expect("a number")
}

/// Wants so many threads, once the kernel has taken ended ones out of its list: it tells the joiner a moment before.
#[track_caller]
fn assert_threads(count: usize) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while threads() > count && Instant::now() < deadline {
        thread::yield_now();
    }
    assert_eq!(threads(), count, "threads");
}

/// Lets the process run on these CPUs only, as `taskset` does.
#[expect(unsafe_code, reason = "the system's call")]
fn allow(cpus: &[usize]) {
    // SAFETY: a mask of plain bits.
    let mut mask: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the CPUs of small test machines are below the mask's end.
    cpus.iter().for_each(|cpu| unsafe { libc::CPU_SET(*cpu, &mut mask) });
    let main_thread = libc::pid_t::try_from(std::process::id()).expect("a process's number");
    for thread in [main_thread, 0] {
        // SAFETY: the call reads so many bytes from the mask.
        let result = unsafe { libc::sched_setaffinity(thread, size_of::<libc::cpu_set_t>(), &raw const mask) };
        assert_eq!(result, 0, "{}", io::Error::last_os_error());
    }
}

/// The first two CPUs; none, and a message, if there are no two.
fn two_cpus() -> Option<[usize; 2]> {
    let here = Topology::detect().expect("some CPU");
    let mut cpus = here.allowed_cpus().iter();
    let two = cpus.next().zip(cpus.next()).map(|(first, second)| [first, second]);
    if two.is_none() {
        skip("one CPU is allowed");
    }
    two
}

/// Tells it past the test harness, which would keep it back.
fn skip(why: &str) {
    let _ = writeln!(io::stderr(), "skipped: {why}");
}

fn assert_works(pool: &Pool) {
    let g = Graph::new();
    let sum = g.range(0..10_000_u64).map(|x| 2 * x).sum::<u64>();
    assert_eq!(pool.run(g).expect("a good run").take(sum), 99_990_000);
}

#[track_caller]
/// What the error of this kind says.
fn pool_error(kind: PoolErrorKind, builder: PoolBuilder) -> String {
    match builder.build() {
        Err(Error::Pool(error)) if error.kind() == kind => error.to_string(),
        other => panic!("a pool error, not {other:?}"),
    }
}

fn on(description: &str) -> PoolBuilder {
    Pool::builder().topology(Topology::synthetic(description).expect("a machine"))
}

fn plan(builder: PoolBuilder) -> Placement {
    builder.placement().expect("a placement")
}

/// The workers' CPUs, in their order.
fn cpus(placement: &Placement) -> Vec<String> {
    placement.workers().iter().map(|place| place.cpus().expect("to be bound").to_string()).collect()
}

// ---- on machines that are not here ----------------------------------------------------------------------------------

#[test]
fn auto_binds_to_cores_only_a_pool_that_fills_them() {
    let pinning = |builder| {
        let placement = plan(builder);
        (placement.pinning(), placement.reason().to_owned())
    };
    let machine = || on("numa:2 core:4 pu:2");
    assert_eq!(pinning(machine()), (Pinning::Cores, "a worker for each of 8 cores, no quota".to_owned()));
    let shared = "a worker for each of 8 cores, no quota; 9 workers share 8 cores".to_owned();
    assert_eq!(pinning(machine().workers(9)), (Pinning::Cores, shared));
    assert_eq!(pinning(machine().smt(true)), (Pinning::Cores, "a worker for each of 16 CPUs, no quota".to_owned()));
    let few = (Pinning::Nodes, "1 worker for 8 cores: the system spreads them".to_owned());
    assert_eq!(pinning(machine().workers(1)), few);
    assert_eq!(pinning(machine().smt(true).workers(8)).0, Pinning::Nodes);
    let many = (Pinning::Nodes, "17 workers for 16 CPUs: the system spreads them".to_owned());
    assert_eq!(pinning(machine().workers(17)), many);
    assert_eq!(pinning(on("core:4 pu:2").workers(3)).0, Pinning::Off);
}

#[test]
fn workers_get_all_cores_before_siblings() {
    let placement = plan(on("numa:2 core:2 pu:2").smt(true));
    assert_eq!(cpus(&placement), ["0", "2", "4", "6", "1", "3", "5", "7"]);
    assert_eq!(cpus(&plan(on("core:2 pu:2").pinning(Pinning::Cores).workers(5))), ["0", "2", "1", "3", "0"]);
}

#[test]
fn few_workers_sit_near_each_other() {
    let machine = || on("numa:2 l3:2 core:4 pu:1").pinning(Pinning::Cores);
    assert_eq!(cpus(&plan(machine().workers(4))), ["0", "1", "2", "3"]);
    // Node 0 as a whole, and one L3 domain of the other.
    let nodes = |placement: Placement| placement.workers().iter().map(|place| place.node()).collect::<Vec<_>>();
    let expected = [vec![Some(0); 8], vec![Some(1); 3]].concat();
    assert_eq!(nodes(plan(machine().workers(11))), expected);
}

#[test]
fn workers_are_spread_over_nodes_by_their_cores() {
    let placement = plan(on("numa:3 core:4 pu:2").workers(6).pinning(Pinning::Nodes));
    assert_eq!(cpus(&placement), ["0-7", "0-7", "8-15", "8-15", "16-23", "16-23"]);
    let nodes: Vec<_> = placement.workers().iter().map(|place| place.node()).collect();
    assert_eq!(nodes, [0, 0, 1, 1, 2, 2].map(Some));
}

#[test]
fn a_place_is_written_out_in_one_line() {
    let line = |builder| plan(builder).workers()[0].to_string();
    assert_eq!(line(on("core:2 pu:1")), "worker 0: cpu 0, node 0, not bound: another machine");
    assert_eq!(line(on("numa:2 core:2 pu:1").workers(1)), "worker 0: cpus 0-1, node 0, not bound: another machine");
    assert_eq!(line(on("core:2 pu:1").workers(1)), "worker 0: node 0, not bound");
    assert_eq!(line(on("numa:2 core:2 pu:1").pinning(Pinning::Off)), "worker 0: not bound");
}

#[test]
fn no_more_workers_are_active_than_cpus() {
    assert_eq!(plan(on("core:2 pu:2").workers(64)).active(), 4);
    assert_eq!(plan(on("core:2 pu:2").workers(64).oversubscribe(true)).active(), 64);
    assert_eq!(plan(on("core:2 pu:2")).active(), 2);
    let error = Pool::builder().workers(0).placement().expect_err("no worker").to_string();
    assert_eq!(error, "a pool has 1 to 32712 workers, not 0");
}

#[test]
fn a_pool_for_another_machine_runs_unbound() {
    let before = own_mask();
    let masks = Arc::new(Mutex::new(BTreeSet::new()));
    let seen = Arc::clone(&masks);
    let start = move |_| _ = seen.lock().expect("no panic").insert(own_mask().to_string());
    let pool = on("numa:4 core:8 pu:1").strict(true).on_thread_start(start).build().expect("a pool");
    assert_eq!(pool.workers(), 32);
    assert!(pool.placement().workers().iter().all(|place| place.why_not() == Some("another machine")));
    assert!(pool.placement().active() <= Topology::detect().expect("some CPU").allowed_cpus().len());
    assert_eq!(*masks.lock().expect("no panic"), BTreeSet::from([before.to_string()]));
    assert_works(&pool);
}

// ---- on this one ----------------------------------------------------------------------------------------------------

#[test]
fn workers_run_where_the_placement_says() {
    for pinning in [Pinning::Cores, Pinning::Nodes] {
        let masks = Arc::new(Mutex::new(vec![CpuSet::new(); 5]));
        let seen = Arc::clone(&masks);
        let start = move |worker: usize| seen.lock().expect("no panic")[worker] = own_mask();
        let builder = Pool::builder().workers(5).pinning(pinning).strict(true).on_thread_start(start);
        let pool = builder.build().expect("a pool");
        let masks = masks.lock().expect("no panic");
        for (place, mask) in pool.placement().workers().iter().zip(&*masks) {
            assert!(place.is_bound() && place.cpus() == Some(mask), "{place}, but it may run on {mask}");
        }
        assert_works(&pool);
    }
}

#[test]
fn pools_take_cores_that_others_have_not() {
    alone("pools_take_cores_that_others_have_not", || {
        let Some([first, second]) = two_cpus() else { return };
        allow(&[first, second]);
        let pool = || Pool::builder().workers(1).pinning(Pinning::Cores).smt(true).build().expect("a pool");
        let cpu = |pool: &Pool| pool.placement().workers()[0].cpus().and_then(CpuSet::first).expect("bound");
        let (one, other) = (pool(), pool());
        assert_eq!((cpu(&one), cpu(&other)), (first, second));
        let third = pool();
        assert_eq!(cpu(&third), first);
        let why = third.placement().reason().to_owned();
        assert_eq!(why, "as asked for; 1 of 1 worker on cores that other pools of this process have claimed");
        drop((other, third));
        assert_eq!(cpu(&pool()), second);
        drop(one);
        assert_eq!(cpu(&pool()), first, "all claims are given up");
    });
}

#[test]
fn a_mask_of_one_cpu_is_kept_to() {
    alone("a_mask_of_one_cpu_is_kept_to", || {
        let Some([_, second]) = two_cpus() else { return };
        let before = Topology::detect().expect("some CPU");
        allow(&[second]);
        let pool = Pool::builder().workers(3).pinning(Pinning::Cores).strict(true).build().expect("a pool");
        assert_eq!(cpus(&pool.placement()), vec![second.to_string(); 3]);
        assert_eq!(pool.placement().active(), 1);
        assert_works(&pool);
        drop(pool);

        // The machine as it was: what the process may not use any more is refused, though the system would allow it.
        let old = || Pool::builder().topology(before.clone()).pinning(Pinning::Cores);
        let (count, workers) = (threads(), before.cores().len());
        let pool = old().build().expect("a pool");
        let refused = pool.placement().workers().iter().filter(|place| !place.is_bound()).count();
        assert!(refused >= workers - 1, "{}", pool.placement());
        let why = format!("the process may use {second} only");
        assert!(pool.placement().workers().iter().all(|place| place.why_not().is_none_or(|not| not == why)));
        assert_works(&pool);
        drop(pool);
        if refused > 0 {
            let error = pool_error(PoolErrorKind::Unbound, old().strict(true));
            assert!(error.contains("strict") && error.ends_with(&why), "{error}");
        }
        assert_threads(count);
    });
}

/// Puts a file in the place of another one, for the calling thread and those that it starts.
#[expect(unsafe_code, reason = "the system's calls")]
fn put_over(text: &str, place: &CStr) -> bool {
    let file = std::env::temp_dir().join(format!("millstream-over-{}", std::process::id()));
    std::fs::write(&file, text).expect("temporary file");
    let path = CString::new(file.to_str().expect("plain letters")).expect("no zeros");
    // SAFETY: takes a number.
    let apart = unsafe { libc::unshare(libc::CLONE_NEWNS) };
    let flags = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: the paths end with a zero and live as long as the call.
    let private = unsafe { libc::mount(ptr::null(), c"/".as_ptr(), ptr::null(), flags, ptr::null()) };
    // SAFETY: as before.
    let put = unsafe { libc::mount(path.as_ptr(), place.as_ptr(), ptr::null(), libc::MS_BIND, ptr::null()) };
    let _ = std::fs::remove_file(file);
    (apart, private, put) == (0, 0, 0)
}

#[test]
fn workers_of_a_container_that_numbers_its_cpus_anew_are_bound_where_the_mask_says() {
    alone("workers_of_a_container_that_numbers_its_cpus_anew_are_bound_where_the_mask_says", || {
        let Some([first, second]) = two_cpus() else { return };
        if !put_over(&format!("{first}\n"), c"/sys/devices/system/cpu/online") {
            return skip("the process may put nothing over the system's files");
        }
        allow(&[second]);
        let here = Topology::detect().expect("some CPU");
        assert_eq!(here.allowed_cpus(), &CpuSet::from_iter([second]));
        assert!(here.cpus().contains(second) && here.notes().iter().any(|note| note.contains("lack CPUs")), "{here}");
        let pool = Pool::builder().workers(1).pinning(Pinning::Cores).strict(true).build().expect("a pool");
        assert_eq!(cpus(&pool.placement()), [second.to_string()]);
        assert_eq!(pool.broadcast(|_| own_mask()), [CpuSet::from_iter([second])]);
        assert_works(&pool);
    });
}

/// Makes the calling thread, and those that it starts, be refused to change affinity masks.
#[expect(unsafe_code, reason = "the system's call")]
fn refuse_binding() -> bool {
    let call = |code, k, jt, jf| libc::sock_filter { code, jt, jf, k };
    let refused = u32::try_from(libc::SYS_sched_setaffinity).expect("a system call's number");
    let error = libc::SECCOMP_RET_ERRNO | u32::try_from(libc::EPERM).expect("an error's number");
    // The number of the call is the first word; equal: the error.
    let mut filter = [
        call(0x20, 0, 0, 0),
        call(0x15, refused, 0, 1),
        call(0x06, error, 0, 0),
        call(0x06, libc::SECCOMP_RET_ALLOW, 0, 0),
    ];
    let length = u16::try_from(filter.len()).expect("few");
    let program = libc::sock_fprog { len: length, filter: filter.as_mut_ptr() };
    // SAFETY: takes numbers.
    let first = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    // SAFETY: the program and its filter live as long as the call.
    let then = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    (first, then) == (0, 0)
}

#[test]
fn a_refused_binding_is_reported() {
    alone("a_refused_binding_is_reported", || {
        if !refuse_binding() {
            return skip("the system has no filters of system calls");
        }
        let count = threads();
        let builder = || Pool::builder().workers(3).pinning(Pinning::Cores);
        let pool = builder().build().expect("a pool");
        for place in pool.placement().workers() {
            let why = place.why_not().expect("it was refused");
            assert!(!place.is_bound() && why.contains("Operation not permitted"), "{place}");
        }
        assert_works(&pool);
        drop(pool);
        let error = pool_error(PoolErrorKind::Unbound, builder().strict(true));
        assert!(error.contains("strict") && error.contains("worker 0: cpu"), "{error}");
        assert_threads(count);
    });
}

/// Lets the process have so many threads.
#[expect(unsafe_code, reason = "the system's calls")]
fn limit_threads(count: usize) -> bool {
    // SAFETY: asks for a number.
    if unsafe { libc::getuid() } == 0 {
        // The limit does not hold for root: from here on the process is of a user who has no others.
        // SAFETY: takes a number.
        if unsafe { libc::setuid(54_321) } != 0 {
            return false;
        }
    }
    let limit = libc::rlimit { rlim_cur: count as libc::rlim_t, rlim_max: count as libc::rlim_t };
    // SAFETY: the limit is read only.
    unsafe { libc::setrlimit(libc::RLIMIT_NPROC, &raw const limit) == 0 }
}

#[test]
fn a_refused_thread_is_an_error_and_leaves_none() {
    alone("a_refused_thread_is_an_error_and_leaves_none", || {
        let count = threads();
        // A user with other processes has no thread left to start, one without them two.
        if !limit_threads(count + 2) {
            return skip("the number of threads cannot be limited");
        }
        let exits = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&exits);
        let exit = move |_| _ = counted.fetch_add(1, Ordering::Relaxed);
        let error = pool_error(PoolErrorKind::Thread, Pool::builder().workers(5).on_thread_exit(exit));
        assert!(error.starts_with("the thread of worker ") && error.ends_with(" cannot be made"), "{error}");
        assert_threads(count);
        assert!(exits.load(Ordering::Relaxed) <= 2);
        let error = pool_error(PoolErrorKind::Thread, Pool::builder().workers(2).elastic(true));
        assert!(error.ends_with(" cannot be made"), "{error}");
        assert_threads(count);
    });
}

// ---- threads --------------------------------------------------------------------------------------------------------

#[test]
fn hooks_are_called_once_by_each_thread() {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let hook = |what: &'static str| {
        let calls = Arc::clone(&calls);
        move |worker: usize| {
            let name = thread::current().name().expect("a name").to_owned();
            calls.lock().expect("no panic").push((what, worker, name));
        }
    };
    let builder = Pool::builder().workers(3).name("hooks");
    let pool = builder.on_thread_start(hook("start")).on_thread_exit(hook("exit")).build().expect("a pool");
    let expected = |what| (0..3).map(|worker| (what, worker, format!("hooks-{worker}"))).collect::<Vec<_>>();
    let sorted = || {
        let mut calls = std::mem::take(&mut *calls.lock().expect("no panic"));
        calls.sort();
        calls
    };
    assert_eq!(sorted(), expected("start"), "all have been called when the pool is there");
    assert_works(&pool);
    drop(pool);
    assert_eq!(sorted(), expected("exit"));
}

/// Panics when it is dropped, but not while unwinding.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(thread::panicking(), "a drop that panics");
    }
}

#[test]
fn a_start_hook_that_panics_is_an_error() {
    alone("a_start_hook_that_panics_is_an_error", || {
        let count = threads();
        let exits = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&exits);
        let start = |worker| assert!(worker != 1, "no worker {worker} here");
        let exit = move |worker| seen.lock().expect("no panic").push(worker);
        let error =
            pool_error(PoolErrorKind::Hook, Pool::builder().workers(3).on_thread_start(start).on_thread_exit(exit));
        assert_eq!(error, "the hook at the start of worker 1 panicked: no worker 1 here");
        assert_threads(count);
        let mut exits = exits.lock().expect("no panic").clone();
        exits.sort_unstable();
        assert_eq!(exits, [0, 2]);
        let error = pool_error(
            PoolErrorKind::Hook,
            Pool::builder().workers(2).on_thread_start(|_| std::panic::panic_any(Bomb)),
        );
        assert_eq!(error, "the hook at the start of worker 0 panicked: a payload that is no text");
        assert_threads(count);
    });
}

#[test]
fn an_exit_hook_may_panic() {
    alone("an_exit_hook_may_panic", || {
        let count = threads();
        let held = Bomb;
        let exit = move |_| {
            let _ = &held; // dropped by whichever thread is the last
            std::panic::panic_any(Bomb)
        };
        let pool = Pool::builder().workers(3).on_thread_exit(exit).build().expect("a pool");
        assert_works(&pool);
        drop(pool);
        assert_threads(count);
    });
}

/// Goes so many KiB down the stack.
#[inline(never)]
fn dig(kib: usize) -> usize {
    let block = std::hint::black_box([1_u8; 1024]);
    let below = if kib == 0 { 0 } else { dig(kib - 1) };
    below + usize::from(std::hint::black_box(&block)[0])
}

#[test]
fn stacks_are_as_large_as_asked_for() {
    alone("stacks_are_as_large_as_asked_for", || {
        let deep = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&deep);
        let start = move |_| _ = seen.fetch_add(dig(16 << 10), Ordering::Relaxed);
        let _pool = Pool::builder().workers(1).stack_size(64 << 20).on_thread_start(start).build().expect("a pool");
        assert_eq!(deep.load(Ordering::Relaxed), (16 << 10) + 1);
    });
}

#[test]
fn no_more_workers_run_at_once_than_may_be_active() {
    let most_at_once = |pool: &Pool| {
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        pool.scope(|s| {
            for _ in 0..200 {
                s.spawn(|_| {
                    most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                    thread::yield_now();
                    now.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        most.into_inner()
    };
    let pool = Pool::builder().workers(16).build().expect("a pool");
    for _ in 0..20 {
        let most = most_at_once(&pool);
        assert!(most <= pool.placement().active() + 1, "{most} at once, and {}", pool.placement()); // and a guest
    }
    let pool = Pool::builder().workers(16).oversubscribe(true).build().expect("a pool");
    let all = Barrier::new(16);
    pool.scope(|s| (0..16).for_each(|_| s.spawn(|_| _ = all.wait())));
}

// ---- elastic pools --------------------------------------------------------------------------------------------------

/// Where the threads of this process with this name may run.
fn masks(name: &str) -> Vec<CpuSet> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("a Linux").map(|task| task.expect("an entry").path());
    let file = |path: std::path::PathBuf| path.join("status").to_str().expect("digits").to_owned();
    let named = tasks.map(file).filter(|file| status(file, "Name").starts_with(name));
    named.map(|file| status(&file, "Cpus_allowed_list").parse().expect("a list")).collect()
}

#[track_caller]
fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(15);
    while !holds() {
        assert!(Instant::now() < deadline, "it never comes that {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_elastic_pool_follows_the_mask() {
    alone("an_elastic_pool_follows_the_mask", || {
        let Some([first, second]) = two_cpus() else { return };
        allow(&[first, second]);
        let count = threads();
        let set = |cpus: &[usize]| cpus.iter().copied().collect::<CpuSet>();
        let bound = Pool::builder().workers(4).pinning(Pinning::Cores).smt(true).elastic(true).name("bound");
        let bound = bound.build().expect("a pool");
        let free = Pool::builder().workers(3).pinning(Pinning::Off).elastic(true).name("free").build().expect("a pool");
        let active = || [bound.placement().active(), free.placement().active()];
        let placed = || cpus(&bound.placement());
        let [one, other] = [first, second].map(|cpu| cpu.to_string());
        let asked = [&one, &other, &one, &other].map(Clone::clone);
        assert_eq!((placed(), active()), (asked.to_vec(), [2, 2]));

        allow(&[second]);
        wait_until("both pools have one active worker", || active() == [1, 1]);
        assert_eq!(placed(), vec![other.clone(); 4]);
        assert!(bound.placement().workers().iter().all(|place| place.is_bound()), "{}", bound.placement());
        wait_until("all workers keep to the mask", || {
            [masks("bound-"), masks("free-")].concat().iter().filter(|mask| **mask == set(&[second])).count() >= 7
        });
        (0..20).for_each(|_| assert_works(&bound));
        (0..20).for_each(|_| assert_works(&free));

        allow(&[first, second]);
        wait_until("both pools have two active workers", || active() == [2, 2]);
        assert_eq!(placed(), asked);
        let wide = || masks("free-").iter().filter(|mask| **mask == set(&[first, second])).count();
        wait_until("unbound workers may run on both CPUs again", || wide() >= 3);
        assert_works(&bound);
        drop((bound, free));
        assert_threads(count);
    });
}

#[test]
fn an_elastic_pool_ends_at_once() {
    let start = Instant::now();
    for _ in 0..30 {
        let pool = Pool::builder().workers(2).elastic(true).build().expect("a pool");
        assert_works(&pool);
    }
    assert!(start.elapsed() < Duration::from_secs(15), "{:?} for 30 pools", start.elapsed());
}
