//! Running a plan again allocates nothing, nor does a loop: allocations are counted on all threads. A binary of its own, with one test: what
//! else runs in the process is counted too.

#![expect(unsafe_code, reason = "counts in the global allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::hint::black_box;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use millstream::{Data, Graph, Pool};

/// Counts while it is told to, and remembers where the first allocation came from.
struct Counting;

static COUNTS: AtomicBool = AtomicBool::new(false);
static COUNT: AtomicUsize = AtomicUsize::new(0);
static FIRST: Mutex<Option<Backtrace>> = Mutex::new(None);

thread_local! {
    /// This thread is looking where it came from: what that allocates does not count.
    static LOOKS: Cell<bool> = const { Cell::new(false) };
}

fn count() {
    if COUNTS.load(Ordering::Relaxed) && !LOOKS.replace(true) {
        if COUNT.fetch_add(1, Ordering::Relaxed) == 0 {
            *FIRST.lock().expect("no panic") = Some(Backtrace::force_capture());
        }
        LOOKS.set(false);
    }
}

// SAFETY: the system's allocator does the work; counting allocates only with `LOOKS` set, and then does not count again.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: passed on.
        unsafe { System.realloc(place, layout, size) }
    }
    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: passed on.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What threads set up once in their life, when they first steal (crossbeam-epoch) and first sleep (`parking_lot`): two
/// workers and the caller. Ten allocations were seen.
const FIRST_TIMES: usize = 20;
const ITEMS: u64 = 40_000;

/// Allocations in each of `runs` runs after the first `before`, and where one came from: the first one of the last run that
/// had any.
fn allocations(mut run: impl FnMut(), before: usize, runs: usize) -> (Vec<usize>, String) {
    (0..before).for_each(|_| run());
    let mut place = String::new();
    let counts = (0..runs).map(|_| {
        COUNT.store(0, Ordering::Relaxed);
        COUNTS.store(true, Ordering::Relaxed);
        run();
        COUNTS.store(false, Ordering::Relaxed);
        if let Some(first) = FIRST.lock().expect("no panic").take() {
            place = first.to_string();
        }
        COUNT.load(Ordering::Relaxed)
    });
    (counts.collect(), place)
}

/// No run but the first allocates, apart from what threads do for the first time.
fn never(what: &str, run: impl FnMut()) {
    at_most(0, what, run);
}

/// No run but the first allocates more often than that, apart from what threads do for the first time.
fn at_most(each: usize, what: &str, run: impl FnMut()) {
    const RUNS: usize = 50;
    let (counts, place) = allocations(run, 1, RUNS);
    let all = counts.iter().sum::<usize>();
    assert!(all <= RUNS * each + FIRST_TIMES, "{what}: {counts:?} allocations by run, one at\n{place}");
}

/// As [`never`], for a plan with tasks, which may group them anew before the runs 2, 3, 5, 9 and so on; here before the 33rd
/// run for the last time.
fn never_once_grouped(what: &str, run: impl FnMut()) {
    let (counts, place) = allocations(run, 33, 30);
    let all = counts.iter().sum::<usize>();
    assert!(all <= FIRST_TIMES, "{what}: {counts:?} allocations by run, one at\n{place}");
}

/// Runs the graph's plan, again and again.
fn plan<'env>(pool: &Pool, graph: Graph<'env>) -> impl FnMut() + use<'env> {
    let mut plan = graph.plan(pool).expect("a sound graph");
    move || plan.run().expect("a good run")
}

/// The runs of the graph's plan allocate only where more batches are in flight at once than ever before: most do not. With
/// few credits that comes to an end soon.
fn seldom(what: &str, pool: &Pool, graph: Graph<'_>) {
    let (counts, place) = allocations(plan(pool, graph), 8, 20);
    let none = counts.iter().filter(|count| **count == 0).count();
    assert!(2 * none > counts.len(), "{what}: {counts:?} allocations by run, one at\n{place}");
}

/// 1000 tasks: a chain, a fan-out, and tasks that read and write what a generator says.
fn tasks() -> Graph<'static> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut random = move |below: usize| {
        // Marsaglia's xorshift.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).expect("below a usize")
    };
    let g = Graph::new();
    let mut chain = g.data(0_u64);
    for _ in 0..300 {
        chain = g.task(chain.read(), |x| x + 1);
    }
    let mut data: Vec<Data<u64>> = (0..350).map(|i| g.task(chain.read(), move |x| x + i)).collect();
    for _ in 0..350 {
        let (from, to) = (random(data.len()), random(data.len() - 1));
        let to = if to < from { to } else { to + 1 };
        let made = g.task((data[from].read(), data[to].write()), |(from, to)| {
            *to = to.wrapping_add(*from);
            *to
        });
        data.push(made);
    }
    g
}

/// Loops from outside, and inside each other.
fn loops(pool: &Pool, numbers: &mut [u64]) {
    never("for_each", || pool.for_each(&*numbers, |x| _ = black_box(x)));
    never("for_each_mut", || pool.for_each_mut(numbers, |_, x| *x = black_box(*x)));
    // Where leaves take long, for want of a CPU, a reduction has many parts. Each box has room for 256 pairs of them.
    at_most(5, "reduce", || {
        let sum = pool.aggregate(&*numbers, || 0, |sum, x| sum + x, |a, b| a + b);
        assert_eq!(sum, ITEMS * (ITEMS - 1) / 2);
    });
    never("reduce in for_each", || {
        pool.for_each(0..20, |_| {
            black_box(pool.aggregate(0..100_u64, || 0, |sum, x| sum + black_box(x), |a, b| a + b));
        });
    });
}

/// A spawned closure is one allocation, and nothing more.
fn spawns(pool: &Pool) {
    static CALLED: AtomicUsize = AtomicUsize::new(0);
    const EACH: usize = 100;
    let (counts, place) = allocations(
        || {
            CALLED.store(0, Ordering::Relaxed);
            let payload = [0_u8; 32];
            (0..EACH).for_each(|_| {
                pool.spawn(move || {
                    black_box(payload);
                    CALLED.fetch_add(1, Ordering::Relaxed);
                });
            });
            while CALLED.load(Ordering::Relaxed) < EACH {
                std::thread::yield_now();
            }
        },
        1,
        50,
    );
    assert!(counts.iter().sum::<usize>() <= 50 * EACH + FIRST_TIMES, "{counts:?} allocations by run, one at\n{place}");
}

#[test]
fn running_again_allocates_nothing() {
    let pool = Pool::builder().workers(2).build().expect("a pool");
    let mut numbers: Vec<u64> = (0..ITEMS).collect();

    loops(&pool, &mut numbers);
    spawns(&pool);

    never_once_grouped("tasks", plan(&pool, tasks()));

    let g = Graph::new();
    let field = g.data(vec![0_u64; 64]);
    let wanted = g.data(false);
    let parts = g.chunks(&field, 8);
    g.repeat(10, |g| {
        parts.iter().for_each(|part| drop(g.task(part.write(), |part| part[0] += 1)));
        g.task(field.read(), |field| field[0]);
        g.when(&wanted, |wanted| *wanted, |g| drop(g.task((), |()| 1_u8)));
    });
    never_once_grouped("repeat, chunks and when", plan(&pool, g));

    // Tasks that take another time in each run: their plan groups them anew no more often than others.
    let g = Graph::new();
    let micros = g.data(10_u64);
    (0..4).for_each(|_| {
        drop(g.task(micros.read(), |micros| {
            let begin = Instant::now();
            while begin.elapsed() < Duration::from_micros(*micros) {}
        }));
    });
    let mut alternating = g.plan(&pool).expect("a sound graph");
    never_once_grouped("tasks of changing lengths", || {
        let other = 110 - *alternating.get(&micros);
        alternating.set(&micros, other);
        alternating.run().expect("a good run");
    });

    let g = Graph::new();
    g.slice(&numbers).for_each(|x| _ = black_box(x));
    never("slice.for_each", plan(&pool, g));

    let g = Graph::new();
    g.range(0..ITEMS).map(|x| x * 3).filter(|x| x % 5 != 0).for_each(|x| _ = black_box(x));
    never("range.map.filter.for_each", plan(&pool, g));

    let g = Graph::new();
    let sum = g.source_fn(|| 0..ITEMS).credits(4).map(|x| x * 3).filter(|x| x % 5 != 0).fold(0, |sum, x| sum + x);
    g.task(sum.read(), |sum| assert_eq!(*sum, (0..ITEMS).map(|x| x * 3).filter(|x| x % 5 != 0).sum()));
    seldom("source_fn.map.filter.fold", &pool, g);

    let g = Graph::new();
    g.source_fn(|| 0..ITEMS).credits(4).for_each_ordered(|x| _ = black_box(x));
    seldom("source_fn.for_each_ordered", &pool, g);

    let g = Graph::new();
    let (sum, most) = (g.range(0..ITEMS).map(|x| x + 1).sum::<u64>(), g.slice(&numbers).max());
    g.task((sum.read(), most.read()), |(sum, most)| {
        assert_eq!((*sum, *most), (ITEMS * (ITEMS + 1) / 2, numbers.last()));
    });
    seldom("range.map.sum, slice.max", &pool, g);

    let g = Graph::new();
    let (left, right) = g.source_fn(|| 0..ITEMS).credits(4).tee();
    let (left, right) = (left.sum::<u64>(), right.fold(0, |sum, x| sum + x));
    g.task((left.read(), right.read()), |(left, right)| assert_eq!(left, right));
    seldom("source_fn.tee", &pool, g);

    let g = Graph::new();
    let last = g
        .range(0..ITEMS)
        .scan(0, |sum, x| {
            Some({
                *sum += x;
                *sum
            })
        })
        .fold(0, |_, sum| sum);
    g.task(last.read(), |last| assert_eq!(*last, ITEMS * (ITEMS - 1) / 2));
    seldom("range.scan.fold", &pool, g);

    let g = Graph::new();
    let (even, odd) = g.range(0..ITEMS).credits(4).partition(|x| x % 2 == 0);
    let count = even.merge(odd).count();
    g.task(count.read(), |count| assert_eq!(*count, ITEMS));
    seldom("range.partition.merge", &pool, g);
}
