//! Where the system offers no heavy fence, or comes to refuse it, nothing is hidden either, or lost.
#![cfg(target_os = "linux")]

mod alone;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use alone::alone;
use millstream::Pool;

/// From now on the system refuses `membarrier` to all threads of this process; `false`: nothing can be refused here.
#[expect(unsafe_code, reason = "calls of the system")]
fn refuse_membarrier() -> bool {
    const NUMBER_OF_THE_CALL: u32 = 0; // where it stands in the kernel's `seccomp_data`
    let statement =
        |code: u32, k: u32| libc::sock_filter { code: u16::try_from(code).expect("small"), jt: 0, jf: 0, k };
    let give = libc::BPF_RET | libc::BPF_K;
    let call = u32::try_from(libc::SYS_membarrier).expect("small");
    let equal = libc::sock_filter { jf: 1, ..statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, call) };
    let mut filter = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, NUMBER_OF_THE_CALL),
        equal,
        statement(give, libc::SECCOMP_RET_ERRNO | libc::EPERM.cast_unsigned()),
        statement(give, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: 4, filter: filter.as_mut_ptr() };
    // SAFETY: plain numbers.
    let no_more = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    // SAFETY: a filter that is there during the call.
    let refused = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_TSYNC,
            &raw const program,
        )
    };
    no_more == 0 && refused == 0
}

/// Joins inside joins, of which two closures are to run at the same time: how often they did, of ten.
fn meetings(pool: &Pool) -> usize {
    let meets = |_: &i32| {
        let (inside, met) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let long = || {
            inside.fetch_add(1, Ordering::SeqCst);
            let start = Instant::now();
            while inside.load(Ordering::SeqCst) < 2 && start.elapsed() < Duration::from_millis(500) {
                std::thread::yield_now();
            }
            met.fetch_add(usize::from(start.elapsed() < Duration::from_millis(500)), Ordering::SeqCst);
        };
        pool.join(|| pool.join(long, long), || ());
        met.into_inner() == 2
    };
    (0..10).filter(meets).count()
}

fn tree(pool: &Pool, depth: u32) -> u64 {
    if depth == 0 {
        return 1;
    }
    let (left, right) = pool.join(|| tree(pool, depth - 1), || tree(pool, depth - 1));
    left + right
}

fn pool() -> Pool {
    Pool::builder().workers(2).oversubscribe(true).build().expect("a pool")
}

#[test]
fn without_a_heavy_fence_both_sides_pass_one() {
    alone("without_a_heavy_fence_both_sides_pass_one", || {
        if !refuse_membarrier() {
            return;
        }
        let pool = pool();
        assert_eq!(pool.placement().fence(), None);
        assert!(pool.placement().to_string().contains("fences: full ones on both sides"));
        assert_eq!(meetings(&pool), 10);
        assert_eq!(tree(&pool, 16), 1 << 16);
    });
}

/// A raid whose fence is refused gives back what it has claimed: all is called, once, if not as soon.
#[test]
fn a_heavy_fence_that_is_refused_later_loses_nothing() {
    alone("a_heavy_fence_that_is_refused_later_loses_nothing", || {
        let pool = pool();
        let fence = pool.placement().fence();
        assert!(fence.is_none_or(|name| name == "membarrier"), "{fence:?}");
        if !refuse_membarrier() {
            return;
        }
        for _ in 0..20 {
            assert_eq!(tree(&pool, 14), 1 << 14);
            let count = AtomicUsize::new(0);
            pool.for_each(0..1000, |_| _ = count.fetch_add(1, Ordering::Relaxed));
            assert_eq!(count.into_inner(), 1000);
        }
    });
}
