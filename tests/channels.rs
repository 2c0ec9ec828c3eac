//! Receivers of channels as sources: those of std, and with the feature `channels` those of crossbeam and flume.

use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{fmt, thread};

use alone::alone;
use millstream::{Graph, IntoLive, Plan, Pool, RunErrorKind};
use patience::within_patience;

mod alone;
mod patience;

/// A kind of channel.
trait Channel: 'static {
    type Sender: Send + 'static;
    type Receiver: IntoLive<Item = u64, Live: 'static> + Send + 'static;
    /// With room for so many items; `None`: for any number.
    fn open(room: Option<usize>) -> (Self::Sender, Self::Receiver);
    /// Whether there was a receiver.
    fn send(sender: &Self::Sender, item: u64) -> bool;
}

/// std's. One type of sender for both: with a room of its own, or none.
struct Std;

enum StdSender {
    Any(mpsc::Sender<u64>),
    Some(mpsc::SyncSender<u64>),
}

impl Channel for Std {
    type Sender = StdSender;
    type Receiver = mpsc::Receiver<u64>;
    fn open(room: Option<usize>) -> (StdSender, mpsc::Receiver<u64>) {
        if let Some(room) = room {
            let (sender, receiver) = mpsc::sync_channel(room);
            return (StdSender::Some(sender), receiver);
        }
        let (sender, receiver) = mpsc::channel();
        (StdSender::Any(sender), receiver)
    }
    fn send(sender: &StdSender, item: u64) -> bool {
        match sender {
            StdSender::Any(sender) => sender.send(item).is_ok(),
            StdSender::Some(sender) => sender.send(item).is_ok(),
        }
    }
}

#[cfg(feature = "channels")]
macro_rules! others {
    ($($kind:ident $krate:ident)*) => {$(
        struct $kind;

        impl Channel for $kind {
            type Sender = $krate::Sender<u64>;
            type Receiver = $krate::Receiver<u64>;
            fn open(room: Option<usize>) -> (Self::Sender, Self::Receiver) {
                room.map_or_else($krate::unbounded, $krate::bounded)
            }
            fn send(sender: &Self::Sender, item: u64) -> bool {
                sender.send(item).is_ok()
            }
        }
    )*};
}
#[cfg(feature = "channels")]
others!(Crossbeam crossbeam_channel Flume flume);

/// A test for each kind of channel.
macro_rules! for_each_kind {
    ($($test:ident)*) => {
        mod std_channel {
            use super::*;
            $(#[test] fn $test() { within_patience(super::$test::<Std>); })*
        }
        #[cfg(feature = "channels")]
        mod crossbeam {
            use super::*;
            $(#[test] fn $test() { within_patience(super::$test::<Crossbeam>); })*
        }
        #[cfg(feature = "channels")]
        mod flume_channel {
            use super::*;
            $(#[test] fn $test() { within_patience(super::$test::<Flume>); })*
        }
    };
}
for_each_kind! {
    all_items_come_in_order
    an_item_at_a_time
    the_last_sender_ends_a_quiet_stream
    the_channel_goes_with_its_plan
    nothing_is_lost_between_two_runs
    many_channels_are_waited_for
}

fn pool(workers: usize) -> Pool {
    Pool::builder().workers(workers).build().expect("threads")
}

fn all_items_come_in_order<C: Channel>() {
    for workers in [1, 2] {
        let pool = pool(workers);
        for room in [None, Some(0), Some(1), Some(100)] {
            let (sender, receiver) = C::open(room);
            let g = Graph::new();
            let all = g.live(receiver).map(|x| x + 1).collect();
            let running = g.plan(&pool).expect("no defect").start();
            for x in 0..10_000 {
                assert!(C::send(&sender, x));
            }
            drop(sender);
            let all = running.join().expect("no failure").take(all);
            assert_eq!(all, (1..=10_000).collect::<Vec<_>>());
        }
    }
}

fn an_item_at_a_time<C: Channel>() {
    let pool = pool(2);
    let (sender, receiver) = C::open(None);
    let g = Graph::new();
    let mut out = g.live(receiver).map(|x| x + 1).output();
    let running = g.plan(&pool).expect("no defect").start();
    for x in 0..10_000 {
        assert!(C::send(&sender, x));
        assert_eq!(out.next(), Some(x + 1));
    }
    drop(sender);
    assert_eq!(out.next(), None);
    running.join().expect("no failure");
}

fn the_last_sender_ends_a_quiet_stream<C: Channel>() {
    let pool = pool(1);
    for pause in [0, 1, 20, 250] {
        let (sender, receiver) = C::open(None);
        let g = Graph::new();
        let sum = g.live(receiver).sum::<u64>();
        let running = g.plan(&pool).expect("no defect").start();
        thread::sleep(Duration::from_millis(pause));
        assert!(C::send(&sender, 7));
        thread::sleep(Duration::from_millis(pause));
        drop(sender);
        assert_eq!(running.join().expect("no failure").take(sum), 7);
    }
}

/// Whether the receiver goes soon.
fn is_left<C: Channel>(sender: &C::Sender) -> bool {
    let until = Instant::now() + Duration::from_secs(20);
    while C::send(sender, 1) {
        if Instant::now() > until {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
    true
}

fn the_channel_goes_with_its_plan<C: Channel>() {
    let pool = pool(1);
    for pause in [0, 20] {
        for cancels in [false, true] {
            let (sender, receiver) = C::open(None);
            let g = Graph::new();
            g.live(receiver).for_each(drop);
            let running = g.plan(&pool).expect("no defect").start();
            thread::sleep(Duration::from_millis(pause));
            if cancels {
                running.cancel();
                let error = running.join().map(drop).expect_err("cancelled");
                assert!(matches!(error.kind(), RunErrorKind::Cancelled), "{error}");
            } else {
                drop(running);
            }
            assert!(is_left::<C>(&sender));
        }
    }
    let (sender, receiver) = C::open(None);
    let g = Graph::new();
    g.live(receiver).for_each(drop);
    drop(g); // nothing ever ran
    assert!(is_left::<C>(&sender));
}

fn nothing_is_lost_between_two_runs<C: Channel>() {
    let pool = pool(2);
    let (sender, receiver) = C::open(None);
    let g = Graph::new();
    let mut out = g.live(receiver).output();
    let mut plan = g.plan(&pool).expect("no defect");
    let mut next = 0;
    for pause in [0, 0, 1, 1, 50, 150, 0, 1, 50] {
        let cut = plan.run_while(|run| {
            thread::sleep(Duration::from_millis(pause)); // it waits at the channel, or does not yet
            run.cancel();
        });
        assert!(matches!(cut.expect_err("cancelled").kind(), RunErrorKind::Cancelled));
        assert_eq!(out.next(), None);
        assert!(C::send(&sender, next)); // between two runs: somebody may wait there still
        thread::sleep(Duration::from_millis(pause));
        assert!(C::send(&sender, next + 1));
        let cut = plan.run_while(|run| {
            assert_eq!((out.next(), out.next()), (Some(next), Some(next + 1)));
            run.cancel();
        });
        cut.expect_err("cancelled");
        assert_eq!(out.next(), None);
        next += 2;
    }
}

fn many_channels_are_waited_for<C: Channel>() {
    let pool = pool(2);
    let graphs: Vec<_> = (0..50)
        .map(|add| {
            let (sender, receiver) = C::open(None);
            let g = Graph::new();
            let out = g.live(receiver).map(move |x| x + add).output();
            (sender, out, g.plan(&pool).expect("no defect").start())
        })
        .collect();
    for (add, (sender, mut out, running)) in (0..).zip(graphs) {
        assert!(C::send(&sender, 1));
        assert_eq!(out.next(), Some(1 + add));
        drop(sender);
        running.join().expect("no failure");
    }
}

#[cfg(feature = "channels")]
#[test]
fn a_clone_gets_what_the_graph_has_not_taken() {
    let pool = pool(1);
    let (crossbeam, flume) = (crossbeam_channel::unbounded::<u64>(), flume::unbounded::<u64>());
    let g = Graph::new();
    g.live(crossbeam.1.clone()).merge(g.live(flume.1.clone())).for_each(drop);
    let mut plan = g.plan(&pool).expect("no defect");
    let cut = plan.run_while(|run| {
        thread::sleep(Duration::from_millis(20));
        run.cancel();
    });
    cut.expect_err("cancelled");
    crossbeam.0.send(1).expect("there are receivers");
    flume.0.send(2).expect("there are receivers");
    thread::sleep(Duration::from_millis(20));
    assert_eq!((crossbeam.1.try_recv(), flume.1.try_recv()), (Ok(1), Ok(2)));
}

/// An item that panics when it is dropped.
struct Fragile;

impl Drop for Fragile {
    fn drop(&mut self) {
        assert!(thread::panicking(), "it breaks");
    }
}

impl fmt::Debug for Fragile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fragile")
    }
}

#[test]
fn drops_that_panic_do_no_harm() {
    let pool = pool(1);
    for pause in [0, 20] {
        let (sender, receiver) = mpsc::channel::<Fragile>();
        let g = Graph::new();
        g.live(receiver).map(std::mem::forget).for_each(drop);
        let mut plan: Plan<'_> = g.plan(&pool).expect("no defect");
        let cut = plan.run_while(|run| {
            thread::sleep(Duration::from_millis(pause));
            run.cancel();
        });
        cut.expect_err("cancelled");
        sender.send(Fragile).expect("the plan is there");
        thread::sleep(Duration::from_millis(pause));
        drop(plan);
        if let Err(mpsc::SendError(item)) = sender.send(Fragile) {
            std::mem::forget(item);
        }
    }
    assert_eq!(pool.join(|| 1, || 2), (1, 2));
}

#[cfg(target_os = "linux")]
fn threads(begin: &str) -> Vec<std::path::PathBuf> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("this is Linux").flatten().map(|task| task.path());
    let is_one = |task: &std::path::PathBuf| {
        std::fs::read_to_string(task.join("comm")).is_ok_and(|name| name.starts_with(begin))
    };
    tasks.filter(is_one).collect()
}

#[test]
#[cfg(target_os = "linux")]
fn a_quiet_channel_takes_no_time_and_its_thread_ends() {
    alone("a_quiet_channel_takes_no_time_and_its_thread_ends", || {
        quiet::<Std>(1);
        #[cfg(feature = "channels")]
        quiet::<Crossbeam>(1);
        #[cfg(feature = "channels")]
        quiet::<Flume>(0);
    });
}

#[cfg(target_os = "linux")]
fn quiet<C: Channel>(waiting: usize) {
    let spent = || -> Duration {
        let of = |task: std::path::PathBuf| {
            let stat = std::fs::read_to_string(task.join("schedstat")).ok()?;
            stat.split_whitespace().next()?.parse::<u64>().ok()
        };
        let nanos = threads("idle-").into_iter().chain(threads("millstream-wait")).filter_map(of);
        Duration::from_nanos(nanos.sum())
    };
    let pool = Pool::builder().workers(2).name("idle").build().expect("threads");
    let (sender, receiver) = C::open(None);
    let g = Graph::new();
    let mut out = g.live(receiver).output();
    let running = g.plan(&pool).expect("no defect").start();
    assert!(C::send(&sender, 1));
    assert_eq!(out.next(), Some(1));
    thread::sleep(Duration::from_millis(150));
    assert_eq!(threads("millstream-wait").len(), waiting);
    let before = spent();
    thread::sleep(Duration::from_millis(500));
    let spent = spent() - before;
    assert!(spent < Duration::from_millis(5), "{spent:?}");
    drop(running);
    let until = Instant::now() + Duration::from_secs(10);
    while !threads("millstream-wait").is_empty() {
        assert!(Instant::now() < until, "the thread is still there");
        thread::sleep(Duration::from_millis(10));
    }
    drop(sender);
}
