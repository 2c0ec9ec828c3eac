//! Types of other layers that threads outside a run share with it under a lock: inputs, and the control of a run.

use std::mem::ManuallyDrop;
use std::task::{Context, Poll, Wake, Waker};

use super::*;
use crate::engine::heads::pulled::Supplier;
use crate::engine::outside::input::{FromInbox, InputOptions, SendError, Sender, Undone, inbox};
use crate::run::outside::control::Control;
use crate::sync::latch::Latch;

/// The task that a future wakes.
struct Task(Parker);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits until a future is ready. A model that fails drops nothing, as the drop of a sender takes a lock.
fn wait_for<F: Future>(future: F) -> F::Output {
    let mut future = ManuallyDrop::new(Box::pin(future));
    let task = Arc::new(Task(Parker::new()));
    let waker = Waker::from(task.clone());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            drop(ManuallyDrop::into_inner(future));
            return output;
        }
        task.0.park();
    }
}

/// An input that is open, with room for one item.
fn open() -> (Arc<ManuallyDrop<Sender<u32>>>, ManuallyDrop<FromInbox<u32>>) {
    let (sender, mut source, _) = inbox(InputOptions::new().capacity(1));
    source.open();
    (Arc::new(ManuallyDrop::new(sender)), ManuallyDrop::new(source))
}

fn supply(source: &mut FromInbox<u32>) -> Vec<u32> {
    let mut items = Vec::new();
    source.supply(&mut items, 8).expect("an input does not fail");
    items
}

/// A task sends an item and waits until it is done. Meanwhile the source takes what is there, says that it is done, and
/// ends. The item was done, or is left in the input, or is given back; and the task hears of it.
#[test]
fn loom_input_items_are_taken_returned_or_left() {
    check(&["input.phase"], || {
        let (sender, mut source) = open();
        let task = {
            let sender = sender.clone();
            thread::spawn(move || wait_for(sender.send_and_wait_async(1)))
        };
        let taken = supply(&mut source);
        source.done(taken.len() as u64);
        source.close();
        let (done, undone, back) = match task.join().expect("no panic") {
            Ok(Ok(())) => (vec![1], vec![], vec![]),
            Ok(Err(Undone)) => (vec![], vec![1], vec![]),
            Err(error) => (vec![], vec![], vec![error.into_item()]),
        };
        assert_eq!((&taken, &sender.take_unsent()), (&done, &undone), "nothing is lost");
        assert_eq!([done, undone, back].concat(), [1], "it is in one place");
    });
}

/// A task waits for room in an input, while the source ends. It hears of the end, and has its item back.
#[test]
fn loom_input_end_is_heard_by_all_that_wait() {
    check(&["input.phase"], || {
        let (sender, mut source) = open();
        sender.try_send(0).expect("there is room");
        let task = {
            let sender = sender.clone();
            thread::spawn(move || wait_for(sender.send_async(1)))
        };
        source.close();
        assert_eq!(task.join().expect("no panic"), Err(SendError::Ended(1)));
        assert_eq!(sender.take_unsent(), [0], "what is in the input stays");
    });
}

/// A task waits for room in an input, while the source makes some. It sends.
#[test]
fn loom_input_room_is_heard_of() {
    check(&["input.room"], || {
        let (sender, mut source) = open();
        sender.try_send(0).expect("there is room");
        let task = {
            let sender = sender.clone();
            thread::spawn(move || wait_for(sender.send_async(1)))
        };
        assert_eq!(supply(&mut source), [0]);
        task.join().expect("no panic").expect("there is room");
        assert_eq!(supply(&mut source), [1]);
    });
}

/// A run ends on one thread, while another one looks at it, to cancel it, and a third one waits for it and frees it. Nobody
/// looks at it when its end is decided, or when it was freed.
#[test]
fn loom_control_looks_at_no_run_that_is_over() {
    check(&["control.look"], || {
        let run = Arc::new(Plain::new());
        let control = Arc::new(Control::new(Arc::as_ptr(&run)));
        let last_worker = {
            let (run, control) = (run.clone(), control.clone());
            thread::spawn(move || {
                control.seal();
                run.add(); // decides how it ends
                control.is_over_now();
            })
        };
        let other = {
            let control = control.clone();
            thread::spawn(move || control.with_run(Plain::add).is_some())
        };
        control.wait_outside();
        control.let_go();
        let touched = run.change(std::mem::take); // frees it
        last_worker.join().expect("no panic");
        let looked = other.join().expect("no panic");
        assert_eq!((touched, run.get()), (1 + u32::from(looked), 0));
    });
}

/// A run ends on one thread, while another one begins to wait for it at its seat: the latch of that is set, or it does not wait.
#[test]
fn loom_control_sets_the_latch_of_who_waits() {
    check(&["control.wait"], || {
        let run = Arc::new(Plain::new());
        let control = Arc::new(Control::new(Arc::as_ptr(&run)));
        let last_worker = {
            let (run, control) = (run.clone(), control.clone());
            thread::spawn(move || {
                control.seal();
                run.add();
                control.is_over_now();
            })
        };
        let (latch, parker) = (ManuallyDrop::new(Latch::new()), Arc::new(Parker::new()));
        #[expect(unsafe_code, reason = "is woken by pointer")]
        // SAFETY: (1) it is never dropped, and stays in this frame until it is set.
        let waits = unsafe { control.will_set(&latch, &parker) };
        if waits {
            while !latch.is_set() {
                parker.park();
            }
        }
        control.let_go();
        assert_eq!(run.change(std::mem::take), 1, "what was done before is seen");
        last_worker.join().expect("no panic");
    });
}

/// A run is cancelled while it ends, and then started over. The cancel stops tasks of this run or none: those of the
/// next one fire.
#[test]
fn loom_cancel_stops_no_later_run() {
    use loom::sync::atomic::{AtomicU32, Ordering};
    check(&["control.look"], || {
        // Tasks of this rank and of higher ones must not fire.
        let limit = Arc::new(AtomicU32::new(u32::MAX));
        let control = Arc::new(Control::new(Arc::as_ptr(&limit)));
        let last_worker = {
            let (limit, control) = (limit.clone(), control.clone());
            thread::spawn(move || {
                let fires = 0 < limit.load(Ordering::Relaxed);
                control.seal();
                control.is_over_now();
                fires
            })
        };
        let canceller = {
            let control = control.clone();
            thread::spawn(move || control.with_run(|limit| limit.fetch_min(0, Ordering::Relaxed)).is_some())
        };
        control.wait_outside();
        control.let_go();
        limit.store(u32::MAX, Ordering::Relaxed); // starts over
        let (fired, cancelled) = (last_worker.join().expect("no panic"), canceller.join().expect("no panic"));
        assert!(fired || cancelled, "a task is left out only if the run was cancelled");
        assert_eq!(limit.load(Ordering::Relaxed), u32::MAX, "the next run is another one");
    });
}

/// A task begins to wait for a run while that ends. It hears of it.
#[test]
fn loom_control_tells_the_task() {
    check(&["control.poll"], || {
        let run = Arc::new(Plain::new());
        let control = Arc::new(Control::new(Arc::as_ptr(&run)));
        let last_worker = {
            let (run, control) = (run.clone(), control.clone());
            thread::spawn(move || {
                control.seal();
                run.add();
                control.is_over_now();
            })
        };
        wait_for(std::future::poll_fn(|context| control.poll(context)));
        control.let_go();
        assert_eq!(run.get(), 1, "what the run did is visible");
        last_worker.join().expect("no panic");
    });
}
