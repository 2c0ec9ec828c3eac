//! With the crate futures: a receiver becomes a `Stream`, and a sender a `Sink`.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use futures_util::future::join;
use futures_util::{Sink, SinkExt, Stream, StreamExt, stream};
use millstream::{Graph, InputOptions, Overflow, Pool, RunErrorKind, SendError};
use patience::within_patience;

mod patience;

fn pool(workers: usize) -> Pool {
    Pool::builder().workers(workers).build().expect("threads")
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("threads").block_on(future)
}

/// Whether it was woken.
#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

impl Flag {
    fn is_woken_soon(&self) -> bool {
        let until = Instant::now() + Duration::from_secs(20);
        while !self.0.swap(false, Ordering::Acquire) {
            if Instant::now() > until {
                return false;
            }
            thread::sleep(Duration::from_millis(1));
        }
        true
    }
}

#[test]
fn a_stream_goes_through_a_graph() {
    within_patience(|| {
        for (workers, capacity) in [(1, 1), (2, 1), (2, 1024)] {
            let pool = pool(workers);
            let g = Graph::new();
            let (sender, numbers) = g.input_with::<u64>(InputOptions::new().capacity(capacity));
            let out = numbers.map(|x| x + 1).output().into_stream();
            let running = g.plan(&pool).expect("no defect").start();
            let heard = block_on(async {
                let forward = stream::iter((0..10_000).map(Ok)).forward(sender.into_sink());
                let (sent, heard) = join(forward, out.collect::<Vec<_>>()).await;
                sent.expect("it runs");
                running.await.expect("no failure");
                heard
            });
            assert_eq!(heard, (1..=10_000).collect::<Vec<_>>());
        }
    });
}

#[test]
fn a_request_and_its_answer_in_turns() {
    within_patience(|| {
        let pool = pool(2);
        let g = Graph::new();
        let (sender, numbers) = g.input::<u64>();
        let mut out = numbers.map(|x| x + 1).output().into_stream();
        let running = g.plan(&pool).expect("no defect").start();
        block_on(async {
            let mut sink = sender.into_sink();
            for x in 0..2000 {
                sink.send(x).await.expect("it runs");
                assert_eq!(out.next().await, Some(x + 1));
            }
            sink.close().await.expect("it runs");
            assert_eq!(out.next().await, None);
            running.await.expect("no failure");
        });
    });
}

#[test]
fn a_full_input_holds_a_sink_up() {
    within_patience(|| {
        let pool = pool(1);
        let (gate, begun) = (Arc::new(Mutex::new(())), Arc::new(AtomicBool::new(false)));
        let shut = gate.lock().expect("not poisoned");
        let g = Graph::new();
        let (sender, numbers) = g.input_with::<u64>(InputOptions::new().capacity(1));
        let (gate_of_run, begins) = (Arc::clone(&gate), Arc::clone(&begun));
        let wait = move |_: &u64| {
            begins.store(true, Ordering::Release);
            drop(gate_of_run.lock());
        };
        let got = numbers.credits(1).batch_size(1).inspect(wait).collect();
        let running = g.plan(&pool).expect("no defect").start();
        let flag = Arc::<Flag>::default();
        let waker = Waker::from(Arc::clone(&flag));
        let context = &mut Context::from_waker(&waker);
        let mut sink = pin!(sender.clone().into_sink());
        let mut send = |item| {
            assert!(matches!(sink.as_mut().poll_ready(context), Poll::Ready(Ok(()))));
            sink.as_mut().start_send(item).expect("it runs");
        };
        send(0);
        while !begun.load(Ordering::Acquire) {
            thread::yield_now(); // until the first one is on its way
        }
        send(1); // waits in the input
        send(2); // waits in the sink
        assert!(sink.as_mut().poll_ready(context).is_pending());
        assert!(sink.as_mut().poll_flush(context).is_pending());
        assert_eq!(sender.len(), 1);
        drop(shut);
        assert!(flag.is_woken_soon());
        while sink.as_mut().poll_ready(context).is_pending() {
            assert!(flag.is_woken_soon());
        }
        assert!(matches!(sink.as_mut().poll_close(context), Poll::Ready(Ok(()))));
        assert!(matches!(sink.as_mut().poll_close(context), Poll::Ready(Ok(()))));
        drop(sender);
        assert_eq!(running.join().expect("no failure").take(got), [0, 1, 2]);
    });
}

#[test]
fn a_sink_gives_back_what_nobody_takes() {
    within_patience(|| {
        let pool = pool(1);
        let g = Graph::new();
        let (sender, numbers) = g.input_with::<u64>(InputOptions::new().capacity(1));
        numbers.credits(1).batch_size(1).for_each(|_| thread::sleep(Duration::from_millis(20)));
        let plan = g.plan(&pool).expect("no defect");
        let (mut sink, mut other) = (pin!(sender.clone().into_sink()), pin!(sender.clone().into_sink()));
        let flag = Arc::<Flag>::default();
        let waker = Waker::from(Arc::clone(&flag));
        let context = &mut Context::from_waker(&waker);
        assert_eq!(sink.as_mut().start_send(7), Err(SendError::NotStarted(7)));
        let running = plan.start();
        let mut sent = 0;
        while sink.as_mut().poll_ready(context).is_ready() {
            sink.as_mut().start_send(sent).expect("it runs");
            sent += 1;
        }
        running.cancel();
        assert!(flag.is_woken_soon());
        let error = running.join().map(drop).expect_err("cancelled");
        assert!(matches!(error.kind(), RunErrorKind::Cancelled));
        match sink.as_mut().poll_ready(context) {
            Poll::Ready(Err(SendError::Ended(item))) => assert_eq!(item, sent - 1),
            Poll::Ready(Ok(())) => assert!(sender.is_ended(), "the last one had found room before"),
            other => panic!("{other:?}"),
        }
        // Nothing waits in it: it is ready, and what it is given comes back.
        assert!(matches!(other.as_mut().poll_ready(context), Poll::Ready(Ok(()))));
        assert_eq!(other.as_mut().start_send(9), Err(SendError::Ended(9)));
        assert!(matches!(other.as_mut().poll_close(context), Poll::Ready(Ok(()))));
    });
}

#[test]
fn a_sink_that_is_dropped_leaves_nobody_waiting() {
    within_patience(|| {
        let pool = pool(1);
        let g = Graph::new();
        let (sender, numbers) = g.input_with::<Arc<()>>(InputOptions::new().capacity(1));
        let mut out = numbers.credits(1).batch_size(1).output();
        let running = g.plan(&pool).expect("no defect").start();
        let item = Arc::new(());
        let context = &mut Context::from_waker(Waker::noop());
        let mut sink = Box::pin(sender.into_sink());
        while sink.as_mut().poll_ready(context).is_ready() {
            sink.as_mut().start_send(Arc::clone(&item)).expect("it runs");
        }
        drop(sink); // the last sender, with an item that had no room
        assert!(out.by_ref().count() > 0);
        running.join().expect("the stream has ended");
        assert_eq!(Arc::strong_count(&item), 1, "all are gone");
    });
}

#[test]
fn overflow_counts_for_a_sink_too() {
    within_patience(|| {
        let pool = pool(1);
        let g = Graph::new();
        let (sender, numbers) = g.input_with::<u64>(InputOptions::new().capacity(1).overflow(Overflow::DropOldest));
        let out = numbers.credits(1).batch_size(1).output().into_stream();
        let running = g.plan(&pool).expect("no defect").start();
        block_on(async {
            let mut sink = sender.into_sink();
            for x in 0..1000 {
                sink.send(x).await.expect("it runs");
            }
            sink.close().await.expect("it runs");
            assert_eq!(out.collect::<Vec<_>>().await.last(), Some(&999));
            running.await.expect("no failure");
        });
    });
}

#[test]
fn a_stream_ends_with_its_run() {
    within_patience(|| {
        let pool = pool(1);
        let g = Graph::new();
        let (sender, numbers) = g.input::<u64>();
        let mut out = pin!(numbers.output().into_stream());
        let running = g.plan(&pool).expect("no defect").start();
        let flag = Arc::<Flag>::default();
        let waker = Waker::from(Arc::clone(&flag));
        let context = &mut Context::from_waker(&waker);
        assert!(out.as_mut().poll_next(context).is_pending());
        running.cancel();
        assert!(flag.is_woken_soon());
        assert_eq!(out.as_mut().poll_next(context), Poll::Ready(None));
        drop(sender);
    });
}
