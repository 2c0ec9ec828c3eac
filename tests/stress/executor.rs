//! Threads that wake futures, at the right time, too often, and too late.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use crate::account::Item;
use crate::dice::Dice;

/// A thread that wakes. It ends when all that may ask it are dropped.
#[derive(Clone)]
pub(crate) struct Executor(Arc<Mutex<Sender<(Instant, Waker)>>>);

impl Executor {
    pub(crate) fn new() -> Self {
        let (sender, asked) = mpsc::channel::<(Instant, Waker)>();
        thread::spawn(move || {
            let mut waiting: Vec<(Instant, Waker)> = Vec::new();
            loop {
                let next = waiting.iter().map(|(at, _)| *at).min();
                let pause = next.map_or(Duration::from_secs(1), |at| at.saturating_duration_since(Instant::now()));
                match asked.recv_timeout(pause) {
                    Ok(one) => waiting.push(one),
                    Err(mpsc::RecvTimeoutError::Timeout) => {}
                    Err(mpsc::RecvTimeoutError::Disconnected) if waiting.is_empty() => return,
                    Err(mpsc::RecvTimeoutError::Disconnected) => thread::sleep(pause),
                }
                let now = Instant::now();
                waiting.extract_if(.., |(at, _)| *at <= now).for_each(|(_, waker)| waker.wake());
            }
        });
        Self(Arc::new(Mutex::new(sender)))
    }

    fn wake(&self, waker: &Waker, after: Duration) {
        let sender = self.0.lock().expect("no panic");
        sender.send((Instant::now() + after, waker.clone())).expect("the thread lives as long as this");
    }

    /// A future that gives the item at last.
    pub(crate) fn later(&self, item: Item, seed: u64) -> Later {
        let mut dice = Dice::new(seed);
        Later { item: Some(item), polls: dice.from(0, 3), dice, executor: self.clone() }
    }
}

/// Is asked several times, and gives an item then.
pub(crate) struct Later {
    item: Option<Item>,
    polls: usize,
    dice: Dice,
    executor: Executor,
}

impl Future for Later {
    type Output = Item;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Item> {
        let this = self.get_mut();
        if this.polls == 0 {
            if this.dice.once_in(4) {
                // When it is done already.
                this.executor.wake(context.waker(), Duration::from_micros(this.dice.long(0, 2000)));
            }
            return Poll::Ready(this.item.take().expect("asked once after it is ready"));
        }
        this.polls -= 1;
        match this.dice.from(0, 3) {
            0 => context.waker().wake_by_ref(),
            1 => this.executor.wake(context.waker(), Duration::from_micros(this.dice.long(0, 300))),
            2 => this.executor.wake(context.waker(), Duration::ZERO),
            _ => {
                this.executor.wake(context.waker(), Duration::from_micros(this.dice.long(0, 100)));
                this.executor.wake(context.waker(), Duration::from_micros(this.dice.long(0, 100)));
                drop(context.waker().clone());
            }
        }
        Poll::Pending
    }
}

/// Runs a future on this thread, which sleeps in between.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    struct Thread(thread::Thread);
    impl Wake for Thread {
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
