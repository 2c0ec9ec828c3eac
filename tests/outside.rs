//! Graphs that meet threads and tasks outside while they run: inputs, outputs, live sources, runs that were started.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake as WakeTask, Waker};
use std::thread;
use std::time::{Duration, Instant};

use millstream::{Graph, InputOptions, Live, Overflow, Pool, Pull, RecvError, RunErrorKind, SendError, Undone, Wake};

type BoxedError = Box<dyn std::error::Error + Send + Sync>;

fn pool(workers: usize) -> Pool {
    Pool::builder().workers(workers).build().expect("threads")
}

/// Runs a future on this thread, which sleeps in between.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Thread(thread::Thread);
    impl WakeTask for Thread {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Thread(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(result) => return result,
            Poll::Pending => thread::park(),
        }
    }
}

#[test]
fn a_request_gets_its_answer() {
    for workers in [1, 2] {
        let pool = pool(workers);
        for size in [1, 64] {
            let g = Graph::new();
            let (sender, requests) = g.input::<u64>();
            let mut answers = requests.batch_size(size).map(|x| x + 1).output();
            let running = g.plan(&pool).expect("no defect").start();
            for x in 0..5000 {
                sender.send(x).expect("it runs");
                assert_eq!(answers.next(), Some(x + 1));
            }
            drop(sender);
            assert_eq!(answers.next(), None);
            running.join().expect("no failure");
        }
    }
}

#[test]
fn what_is_sent_before_the_start_comes_back() {
    let pool = pool(1);
    let g = Graph::new();
    let (sender, numbers) = g.input::<u64>();
    let sum = numbers.sum::<u64>();
    assert!(matches!(sender.send(7), Err(SendError::NotStarted(7))));
    let mut plan = g.plan(&pool).expect("no defect");
    let error = plan.run().expect_err("nobody could send");
    assert!(matches!(error.kind(), RunErrorKind::NeedsStart { name } if name.starts_with("input at")), "{error}");
    plan.run_while(|_| {
        sender.send(7).expect("it runs");
        drop(sender);
    })
    .expect("no failure");
    assert_eq!(plan.take(sum), 7);
}

#[test]
fn a_plan_with_an_input_runs_again() {
    let pool = pool(2);
    let g = Graph::new();
    let (sender, numbers) = g.input::<u64>();
    let mut out = numbers.map(|x| x * 2).output();
    let mut plan = g.plan(&pool).expect("no defect");
    for run in 0..3 {
        let cut = plan.run_while(|run_control| {
            for x in 0..10 {
                sender.send(run * 10 + x).expect("it runs");
            }
            let got: Vec<_> = out.by_ref().take(10).collect();
            assert_eq!(got, (0..10).map(|x| (run * 10 + x) * 2).collect::<Vec<_>>());
            run_control.cancel();
        });
        assert!(matches!(cut.expect_err("cancelled").kind(), RunErrorKind::Cancelled));
        assert_eq!(out.next(), None);
        assert!(matches!(sender.send(1), Err(SendError::Ended(1))));
    }
}

#[test]
fn a_receiver_waits_for_the_start_and_ends_with_the_run() {
    let pool = pool(1);
    let g = Graph::new();
    let mut numbers = g.range(0..100_u64).output();
    let plan = g.plan(&pool).expect("no defect");
    let (tell, told) = mpsc::channel();
    let reader = thread::spawn(move || {
        let early = numbers.try_recv();
        tell.send(()).expect("somebody waits");
        (early, numbers.by_ref().count(), numbers.try_recv())
    });
    told.recv().expect("it has looked");
    thread::sleep(Duration::from_millis(20)); // it waits by now, as a rule
    plan.start().join().expect("no failure");
    assert_eq!(reader.join().expect("no panic"), (Err(RecvError::Empty), 100, Err(RecvError::Ended)));
}

#[test]
fn a_slow_receiver_holds_the_source_up() {
    let pool = pool(2);
    let made = Arc::new(AtomicU64::new(0));
    let g = Graph::new();
    let count = Arc::clone(&made);
    let numbers = g.range(0..100_000_u64).batch_size(10).credits(4);
    let mut out = numbers.inspect(move |_| _ = count.fetch_add(1, Ordering::Relaxed)).output();
    let running = g.plan(&pool).expect("no defect").start();
    for taken in 0..50 {
        assert_eq!(out.next(), Some(taken));
        thread::sleep(Duration::from_micros(200));
        let ahead = made.load(Ordering::Relaxed) - taken;
        assert!(ahead <= 60, "{ahead} items are ahead, of 4 batches in flight and one that was taken");
    }
    drop(out);
    running.join().expect("no failure");
    assert!(made.load(Ordering::Relaxed) < 1000, "the source stopped");
}

#[test]
#[cfg(target_os = "linux")]
fn an_idle_graph_takes_no_time() {
    let pool = Pool::builder().workers(2).name("idle").build().expect("threads");
    let g = Graph::new();
    let (sender, numbers) = g.input::<u64>();
    let sum = numbers.sum::<u64>();
    let running = g.plan(&pool).expect("no defect").start();
    sender.send(1).expect("it runs");
    thread::sleep(Duration::from_millis(50));
    let before = cpu_time();
    thread::sleep(Duration::from_millis(300));
    let spent = cpu_time() - before;
    assert!(spent < Duration::from_millis(5), "{spent:?}");
    drop(sender);
    assert_eq!(running.join().expect("no failure").take(sum), 1);
}

/// How long the workers of the pool with the name "idle" have worked.
#[cfg(target_os = "linux")]
fn cpu_time() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").expect("this is Linux");
    let of = |task: std::fs::DirEntry| {
        let name = std::fs::read_to_string(task.path().join("comm")).ok()?;
        let stat = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        let nanos: u64 = stat.split_whitespace().next()?.parse().ok()?;
        name.starts_with("idle-").then_some(nanos)
    };
    Duration::from_nanos(tasks.flatten().filter_map(of).sum())
}

#[test]
fn overflow_does_what_was_asked_for() {
    let pool = pool(1);
    let gate = Arc::new(AtomicBool::new(false));
    for (overflow, capacity) in [(Overflow::Block, 4), (Overflow::DropOldest, 4), (Overflow::DropNewest, 4)] {
        gate.store(false, Ordering::Relaxed);
        let g = Graph::new();
        let (sender, numbers) = g.input_with::<u64>(InputOptions::new().capacity(capacity).overflow(overflow));
        let (open, begun) = (Arc::clone(&gate), Arc::new(AtomicBool::new(false)));
        let begins = Arc::clone(&begun);
        let wait = move |x: &u64| {
            begins.store(true, Ordering::Relaxed);
            while *x == 0 && !open.load(Ordering::Relaxed) {
                thread::yield_now();
            }
        };
        let got = numbers.credits(1).batch_size(1).inspect(wait).collect();
        let running = g.plan(&pool).expect("no defect").start();
        sender.send(0).expect("it runs");
        while !begun.load(Ordering::Relaxed) {
            thread::yield_now(); // the first one is on its way, the others fill the box
        }
        for x in 1..=10 {
            let sent = sender.try_send(x);
            assert!(sent.is_ok() || overflow == Overflow::Block, "{sent:?}");
        }
        if overflow == Overflow::Block {
            let late = sender.send_timeout(11, Duration::from_millis(10));
            assert!(matches!(late, Err(SendError::Full(11))), "{late:?}");
        } else {
            assert_eq!(sender.dropped(), 6);
        }
        gate.store(true, Ordering::Relaxed);
        drop(sender);
        let got = running.join().expect("no failure").take(got);
        let oldest = overflow == Overflow::DropOldest;
        assert_eq!(got, if oldest { [0, 7, 8, 9, 10] } else { [0, 1, 2, 3, 4] });
    }
}

#[test]
fn a_sender_waits_until_its_item_is_done() {
    let pool = pool(2);
    let done = Arc::new(AtomicU64::new(0));
    let g = Graph::new();
    let (sender, numbers) = g.input::<u64>();
    let sum = Arc::clone(&done);
    numbers.for_each_ordered(move |x| {
        thread::sleep(Duration::from_millis(1));
        assert!(x != 13, "no thirteen");
        sum.fetch_add(x, Ordering::Relaxed);
    });
    let running = g.plan(&pool).expect("no defect").start();
    sender.send(5).expect("it runs");
    for x in 0..20 {
        let before = done.load(Ordering::Relaxed);
        match sender.send_and_wait(x) {
            Ok(Ok(())) => assert!(done.load(Ordering::Relaxed) >= before + x),
            Ok(Err(Undone)) => assert_eq!(x, 13),
            Err(SendError::Ended(back)) => assert!(back > 13),
            Err(other) => panic!("{other:?}"),
        }
    }
    let error = running.join().expect_err("thirteen");
    assert!(matches!(error.kind(), RunErrorKind::Panicked));
    assert_eq!(error.item(), Some(14));
    sender.send(1).expect_err("it is over");
    assert_eq!(sender.take_unsent(), [0_u64; 0]);
}

#[test]
fn what_was_not_taken_is_handed_back() {
    let pool = pool(1);
    let g = Graph::new();
    let (sender, numbers) = g.input::<String>();
    numbers.credits(1).batch_size(1).for_each_ordered(|_| thread::sleep(Duration::from_millis(20)));
    let running = g.plan(&pool).expect("no defect").start();
    (0..10).for_each(|x| sender.send(x.to_string()).expect("it runs"));
    thread::sleep(Duration::from_millis(5));
    running.cancel();
    let error = running.join().expect_err("cancelled");
    let taken: u64 = error.report().operators()[0].items_out() + error.report().operators()[0].items_dropped();
    let left = sender.take_unsent();
    assert_eq!(left, (taken..10).map(|x| x.to_string()).collect::<Vec<_>>());
}

/// A live source that does something odd at one item.
struct Odd {
    next: u64,
    at: u64,
    what: What,
    has_paused: bool,
    told: Arc<AtomicU64>,
}

#[derive(Clone, Copy)]
enum What {
    Nothing,
    Error,
    PanicInPull,
    PanicInDone,
    PanicInBegin,
}

impl Live for Odd {
    type Item = u64;
    fn begin(&mut self) {
        assert!(!matches!(self.what, What::PanicInBegin), "begin");
        (self.next, self.has_paused) = (0, false);
    }
    fn pull(&mut self, wake: &Wake) -> Result<Pull<u64>, BoxedError> {
        if self.next == self.at {
            match self.what {
                What::Error => return Err("broken".into()),
                What::PanicInPull => panic!("pull"),
                _ => {}
            }
        }
        if self.next.is_multiple_of(7) && !std::mem::replace(&mut self.has_paused, true) {
            let wake = wake.clone();
            thread::spawn(move || wake.wake());
            return Ok(Pull::Pending);
        }
        self.has_paused = false;
        self.next += 1;
        Ok(if self.next > 100 { Pull::End } else { Pull::Item(self.next - 1) })
    }
    fn done(&mut self, items: u64) {
        assert!(!matches!(self.what, What::PanicInDone), "done");
        self.told.store(items, Ordering::Relaxed);
    }
}

#[test]
fn a_live_source_may_fail() {
    let pool = pool(2);
    for what in [What::Nothing, What::Error, What::PanicInPull, What::PanicInDone, What::PanicInBegin] {
        let (told, mut seen) = (Arc::new(AtomicU64::new(0)), Vec::new());
        let g = Graph::new();
        let numbers = g.live(Odd { next: 0, at: 40, what, has_paused: false, told: Arc::clone(&told) }).named("odd");
        numbers.for_each_ordered(|x| seen.push(x));
        let mut plan = g.plan(&pool).expect("no defect");
        let ran = plan.run();
        drop(plan);
        match what {
            What::Nothing => {
                ran.expect("no failure");
                assert_eq!(seen, (0..100).collect::<Vec<_>>());
                assert_eq!(told.load(Ordering::Relaxed), 100, "all was acknowledged");
            }
            What::Error | What::PanicInPull => {
                let error = ran.expect_err("it fails");
                assert_eq!((error.operator(), error.item()), (Some("odd"), Some(40)), "{error}");
                assert_eq!(seen, (0..40).collect::<Vec<_>>());
                assert!(told.load(Ordering::Relaxed) <= 40);
            }
            What::PanicInDone | What::PanicInBegin => {
                let error = ran.expect_err("it fails");
                assert_eq!(error.operator(), Some("odd"), "{error}");
            }
        }
    }
}

/// A broker that hands out so many messages, and more only as they are acknowledged.
#[derive(Default)]
struct Broker {
    ready: VecDeque<u64>,
    left: VecDeque<u64>,
    acknowledged: u64,
    wake: Option<Wake>,
}

struct Consumer(Arc<Mutex<Broker>>);

impl Live for Consumer {
    type Item = u64;
    fn pull(&mut self, wake: &Wake) -> Result<Pull<u64>, BoxedError> {
        let mut broker = self.0.lock().expect("not poisoned");
        Ok(match broker.ready.pop_front() {
            Some(message) => Pull::Item(message),
            None if broker.left.is_empty() => Pull::End,
            None => {
                broker.wake = Some(wake.clone());
                Pull::Pending
            }
        })
    }
    fn done(&mut self, items: u64) {
        let mut broker = self.0.lock().expect("not poisoned");
        let more = usize::try_from(items - broker.acknowledged).expect("few");
        broker.acknowledged = items;
        let next: Vec<_> = (0..more).map_while(|_| broker.left.pop_front()).collect();
        broker.ready.extend(next);
        if let Some(wake) = broker.wake.take() {
            wake.wake();
        }
    }
}

#[test]
fn a_prefetch_of_sixteen_is_no_obstacle() {
    for workers in [1, 2, 4] {
        let pool = Pool::builder().workers(workers).oversubscribe(true).build().expect("threads");
        for shape in 0..3 {
            let broker = Broker { ready: (0..16).collect(), left: (16..2000).collect(), ..Broker::default() };
            let broker = Arc::new(Mutex::new(broker));
            let g = Graph::new();
            let messages = g.live(Consumer(Arc::clone(&broker))).map(|message| message * 2);
            let stored = match shape {
                0 => messages.collect(),
                1 => messages.unordered().collect(),
                _ => {
                    let (left, right) = messages.tee();
                    left.zip(right).map(|(left, _)| left).collect()
                }
            };
            let mut run = pool.run(g).expect("no failure");
            let mut stored = run.take(stored);
            stored.sort_unstable();
            assert_eq!(stored, (0..2000).map(|message| message * 2).collect::<Vec<_>>());
            assert_eq!(broker.lock().expect("not poisoned").acknowledged, 2000);
        }
    }
}

#[test]
fn tasks_start_runs_and_await_them() {
    let pool = pool(2);
    let (sum, heard) = block_on(async {
        let g = Graph::new();
        let sum = g.range(0..1000_u64).sum::<u64>();
        let mut plan = g.plan(&pool).expect("no defect").start().await.expect("no failure");
        let sum = plan.take(sum);

        let g = Graph::new();
        let (sender, numbers) = g.input_with::<u64>(InputOptions::new().capacity(2));
        let mut out = numbers.credits(1).batch_size(1).output();
        let running = g.plan(&pool).expect("no defect").start();
        let feeder = thread::spawn(move || {
            block_on(async {
                for x in 0..2000 {
                    sender.send_async(x).await.expect("it runs");
                }
            });
        });
        let mut heard = Vec::new();
        while let Some(x) = out.recv_async().await {
            heard.push(x);
        }
        feeder.join().expect("no panic");
        running.await.expect("no failure");
        (sum, heard)
    });
    assert_eq!(sum, 499_500);
    assert_eq!(heard, (0..2000).collect::<Vec<_>>());
}

#[test]
fn a_run_that_is_dropped_or_whose_pool_is_dropped_is_cancelled() {
    let pool_a = pool(2);
    let g = Graph::new();
    let (sender, numbers) = g.input::<u64>();
    numbers.for_each(drop);
    drop(g.plan(&pool_a).expect("no defect").start());
    assert!(matches!(sender.send(1), Err(SendError::Ended(1))));

    for takes in [false, true] {
        let pool = pool(2);
        let g = Graph::new();
        let (sender, numbers) = g.input::<u64>();
        let mut out = numbers.credits(2).batch_size(1).output();
        let running = g.plan(&pool).expect("no defect").start();
        (0..10).for_each(|x| sender.send(x).expect("it runs"));
        if takes {
            assert_eq!(out.next(), Some(0));
        }
        drop(pool); // waits for the run, though nobody takes what lies in the output
        assert!(running.is_over());
        let error = running.join().expect_err("cancelled");
        assert!(matches!(error.kind(), RunErrorKind::Cancelled), "{error}");
        assert!(sender.send(1).is_err());
        assert!(out.by_ref().count() <= 3);
        assert_eq!(out.next(), None);
    }
    let pool = pool(1);
    let g = Graph::new();
    let sum = g.range(0..10_u64).sum::<u64>();
    let plan = g.plan(&pool).expect("no defect");
    drop(pool);
    let error = plan.start().join().map(|mut plan| plan.take(sum)).expect_err("the pool is gone");
    assert!(matches!(error.kind(), RunErrorKind::Closed), "{error}");
}

#[test]
fn a_deadline_ends_a_run_and_spares_one_that_is_over() {
    let pool = pool(1);
    let g = Graph::new();
    let (sender, numbers) = g.input::<u64>();
    numbers.for_each(drop);
    let begun = Instant::now();
    let running = g.plan(&pool).expect("no defect").start();
    running.deadline(Duration::from_secs(1000));
    running.deadline(Duration::from_millis(30));
    let error = running.join().expect_err("nobody ends it");
    assert!(matches!(error.kind(), RunErrorKind::DeadlineExceeded), "{error}");
    assert!((30..2000).contains(&begun.elapsed().as_millis()));
    drop(sender);

    let g = Graph::new();
    let sum = g.range(0..10_u64).sum::<u64>();
    let running = g.plan(&pool).expect("no defect").start();
    running.deadline(Duration::from_secs(1));
    assert_eq!(running.join().expect("in time").take(sum), 45);
}

#[test]
fn workers_may_wait_outside_too() {
    let pool = pool(1);
    let answer = Mutex::new(None);
    pool.scope(|scope| {
        scope.spawn(|_| {
            // The only worker waits for a run of its own pool: another thread takes its place.
            let g = Graph::new();
            let (sender, numbers) = g.input::<u64>();
            let mut out = numbers.map(|x| x + 1).output();
            let running = g.plan(&pool).expect("no defect").start();
            sender.send(1).expect("it runs");
            *answer.lock().expect("not poisoned") = out.next();
            drop(sender);
            running.join().expect("no failure");
        });
    });
    assert_eq!(answer.into_inner().expect("not poisoned"), Some(2));
}

#[test]
fn many_graphs_wait_at_once() {
    let pool = pool(2);
    let graphs: Vec<_> = (0..500_u64)
        .map(|add| {
            let g = Graph::new();
            let (sender, numbers) = g.input::<u64>();
            let out = numbers.map(move |x| x + add).output();
            (sender, out, g.plan(&pool).expect("no defect").start())
        })
        .collect();
    for (add, (sender, mut out, running)) in (0..).zip(graphs) {
        sender.send(1).expect("it runs");
        assert_eq!(out.next(), Some(1 + add));
        drop(sender);
        running.join().expect("no failure");
    }
}

#[test]
fn progress_names_the_operators() {
    let pool = pool(1);
    let g = Graph::new();
    let (sender, numbers) = g.input::<u64>();
    let mut out = numbers.map(|x| x).named("same").output();
    let running = g.plan(&pool).expect("no defect").start();
    for x in 0..10 {
        sender.send(x).expect("it runs");
        out.next().expect("it comes back");
    }
    let until = Instant::now() + Duration::from_secs(10);
    while running.progress().operator("same").expect("named").items() < 10 {
        assert!(Instant::now() < until, "{}", running.progress());
        thread::yield_now();
    }
    assert!(running.progress().to_string().contains("same"));
    drop(sender);
    running.join().expect("no failure");
}

/// Fails on the item 2; it takes a while to drop the item 1.
struct SlowToDrop(u64);

impl Drop for SlowToDrop {
    fn drop(&mut self) {
        if self.0 == 1 {
            thread::sleep(Duration::from_millis(20));
        }
    }
}

struct Two(u64, Arc<AtomicU64>);

impl Live for Two {
    type Item = SlowToDrop;
    fn pull(&mut self, _: &Wake) -> Result<Pull<SlowToDrop>, BoxedError> {
        self.0 += 1;
        Ok(if self.0 <= 2 { Pull::Item(SlowToDrop(self.0)) } else { Pull::Pending })
    }
    fn done(&mut self, items: u64) {
        self.1.store(items, Ordering::Relaxed);
    }
}

#[test]
fn what_fails_is_never_done() {
    let pool = pool(2);
    let told = Arc::new(AtomicU64::new(0));
    let g = Graph::new();
    let items = g.live(Two(0, Arc::clone(&told))).batch_size(2);
    let second = |item: SlowToDrop| {
        assert!(item.0 != 2, "two");
        item
    };
    drop(items.map(second).output());
    g.plan(&pool).expect("no defect").start().join().map(drop).expect_err("it fails");
    assert_eq!(told.load(Ordering::Relaxed), 0);

    for _ in 0..300 {
        let g = Graph::new();
        let (sender, numbers) = g.input::<u64>();
        let first = |x| {
            assert!(x != 1, "one");
            x
        };
        let mut out = numbers.map(first).output();
        let running = g.plan(&pool).expect("no defect").start();
        let reader = thread::spawn(move || (out.next(), out.next()));
        sender.send(0).expect("it runs");
        assert!(!matches!(sender.send_and_wait(1), Ok(Ok(()))), "it is not done: it has failed");
        running.join().map(drop).expect_err("it fails");
        assert_eq!(reader.join().expect("no panic"), (Some(0), None));
    }
}

#[test]
fn a_zip_lets_go_of_what_it_has_used() {
    let pool = pool(1);
    let g = Graph::new();
    let (left, right) = g.range(0..10_u64).batch_size(1).credits(1).tee();
    let sums = left.zip(right).map(|(left, right)| left + right).collect();
    assert_eq!(pool.run(g).expect("one credit is enough").take(sums), (0..10).map(|x| 2 * x).collect::<Vec<_>>());

    for waits_left in [true, false] {
        let g = Graph::new();
        let ((left, lefts), (right, rights)) = (g.input::<u64>(), g.input::<u64>());
        let mut out = lefts.zip(rights).output();
        let running = g.plan(&pool).expect("no defect").start();
        let (waits, other) = if waits_left { (left, right) } else { (right, left) };
        let waiter = thread::spawn(move || (waits.send_and_wait(1).expect("it runs"), waits));
        other.send(1).expect("it runs");
        assert_eq!(out.next(), Some((1, 1)));
        let (outcome, waits) = waiter.join().expect("no panic");
        assert_eq!(outcome, Ok(()));
        drop((waits, other));
        running.join().expect("no failure");
    }
}

#[test]
fn a_run_that_cannot_start_closes_its_ends() {
    let closed = pool(1);
    let g = Graph::new();
    let (sender, numbers) = g.input::<u64>();
    let mut out = numbers.output();
    let plan = g.plan(&closed).expect("no defect");
    drop(closed);
    let running = plan.start();
    assert!(running.is_over());
    assert!(matches!(sender.send(1), Err(SendError::Ended(1))));
    assert_eq!(out.next(), None);
    let error = running.join().map(drop).expect_err("the pool is gone");
    assert!(matches!(error.kind(), RunErrorKind::Closed));

    let pool = pool(1);
    let g = Graph::new();
    let absent = g.data(1);
    let mut out = g.range(0..10_u64).map_with(&absent, |add, x| x + *add).output();
    let mut plan = g.plan(&pool).expect("no defect");
    plan.take(absent);
    let error = plan.start().join().map(drop).expect_err("data is absent");
    assert!(matches!(error.kind(), RunErrorKind::NotReady { .. }), "{error}");
    assert_eq!(out.next(), None);
}

#[test]
fn taking_what_was_not_sent_makes_room() {
    let pool = pool(1);
    let gate = Arc::new(AtomicBool::new(false));
    let g = Graph::new();
    let (sender, numbers) = g.input_with::<u64>(InputOptions::new().capacity(1));
    let open = Arc::clone(&gate);
    let wait = move |x: u64| {
        while x == 0 && !open.load(Ordering::Relaxed) {
            thread::yield_now();
        }
        x
    };
    let got = numbers.credits(1).batch_size(1).map(wait).collect();
    let running = g.plan(&pool).expect("no defect").start();
    sender.send(0).expect("it runs");
    while !sender.is_empty() {
        thread::yield_now(); // until the first one is on its way
    }
    sender.send(1).expect("there is room for one");
    let blocked = thread::spawn({
        let sender = sender.clone();
        move || sender.send(2)
    });
    thread::sleep(Duration::from_millis(20));
    assert_eq!(sender.take_unsent(), [1]);
    blocked.join().expect("no panic").expect("there is room");
    gate.store(true, Ordering::Relaxed);
    drop(sender);
    assert_eq!(running.join().expect("no failure").take(got), [0, 2]);
}

#[test]
fn a_waker_that_goes_may_end_the_run() {
    struct Task(#[expect(dead_code, reason = "dropped with the task")] Mutex<Option<millstream::Running>>);
    impl WakeTask for Task {
        fn wake(self: Arc<Self>) {}
    }
    let pool = pool(1);
    let g = Graph::new();
    let (sender, numbers) = g.input::<u64>();
    let mut out = numbers.output();
    let running = g.plan(&pool).expect("no defect").start();
    let waker = Waker::from(Arc::new(Task(Mutex::new(Some(running)))));
    assert!(out.poll_recv(&Context::from_waker(&waker)).is_pending());
    drop(waker); // the output has the last one, and with it the run
    assert!(out.poll_recv(&Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(out.poll_recv(&Context::from_waker(Waker::noop())), Poll::Ready(None));
    assert!(sender.is_ended());
}

#[test]
fn a_future_that_is_dropped_takes_nobodys_place() {
    let pool = pool(1);
    let g = Graph::new();
    let (sender, numbers) = g.input_with::<u64>(InputOptions::new().capacity(1));
    let mut out = numbers.credits(1).batch_size(1).output();
    let running = g.plan(&pool).expect("no defect").start();
    let count = thread::spawn({
        let sender = sender.clone();
        move || {
            let mut sent = 0;
            for x in 0..200 {
                let mut given_up = Box::pin(sender.send_async(1000 + x));
                let polled = given_up.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                sent += u64::from(polled.is_ready());
                drop(given_up);
                sent += u64::from(block_on(sender.send_and_wait_async(x)).expect("it runs").is_ok());
                sent += u64::from(sender.send_timeout(x, Duration::from_micros(50)).is_ok());
            }
            sent
        }
    });
    drop(sender);
    let received = out.by_ref().count() as u64;
    assert_eq!(count.join().expect("no panic"), received);
    running.join().expect("no failure");
}

#[test]
fn a_wait_with_a_limit_ends() {
    let pool = pool(1);
    let g = Graph::new();
    let (sender, numbers) = g.input::<u64>();
    numbers.for_each(drop);
    let running = g.plan(&pool).expect("no defect").start();
    assert!(!running.wait_timeout(Duration::from_millis(10)));
    drop(sender);
    assert!(running.wait_timeout(Duration::from_secs(100)));
    running.cancel(); // too late
    running.join().expect("it was over");
}

/// Whoever waits at the receiver of a graph that nobody will ever start is told so.
#[test]
fn a_receiver_of_a_graph_that_is_never_started_ends() {
    let pool = pool(1);
    for way in ["graph dropped", "plan dropped", "defect"] {
        let g = Graph::new();
        let mut received = g.range(0..10_u64).output();
        if way == "defect" {
            drop(g.range(0..10_u64).batch_size(0).count());
        }
        assert_eq!(received.try_recv(), Err(RecvError::Empty), "{way}: it may be started yet");
        let waits = thread::spawn(move || received.next());
        thread::sleep(Duration::from_millis(2));
        match way {
            "graph dropped" => drop(g),
            "plan dropped" => drop(g.plan(&pool).expect("no defect")),
            _ => assert!(g.plan(&pool).is_err()),
        }
        assert_eq!(waits.join().expect("no panic"), None, "{way}");
    }
}
