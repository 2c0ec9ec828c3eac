//! Threads that send into a graph while it runs, and receive from it, and go away when they like.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use millstream::{Graph, InputOptions, Overflow, Receiver, RecvError, RunControl, SendError, Sender, Stream};

use crate::account::{Account, Item};
use crate::dice::Dice;
use crate::drive::{Drive, Ran};
use crate::executor::{Executor, block_on};
use crate::world::World;

/// How a thread sends.
#[derive(Clone, Copy, Debug)]
enum Way {
    Send,
    Try,
    Timeout,
    AndWait,
    Async,
    AndWaitAsync,
}

/// Items have the number of their sender here.
const SENDER: u64 = 1 << 32;

/// Sends `items` items, and stops when the graph takes no more. How many were taken, and how many it was told are done.
fn send(sender: &Sender<Item>, number: u64, items: u64, account: &'static Account, mut dice: Dice) -> (u64, u64) {
    let (mut taken, mut done) = (0, 0);
    let ways = [Way::Send, Way::Send, Way::Try, Way::Timeout, Way::AndWait, Way::Async, Way::AndWaitAsync];
    for x in 0..items {
        let mut item = account.item(SENDER * number + x);
        let ended = loop {
            let sent = match dice.pick(&ways) {
                Way::Send => sender.send(item),
                Way::Try => sender.try_send(item),
                Way::Timeout => sender.send_timeout(item, Duration::from_micros(dice.long(0, 300))),
                Way::AndWait => sender.send_and_wait(item).map(|is_done| done += u64::from(is_done.is_ok())),
                Way::Async => block_on(sender.send_async(item)),
                Way::AndWaitAsync => {
                    block_on(sender.send_and_wait_async(item)).map(|is_done| done += u64::from(is_done.is_ok()))
                }
            };
            match sent {
                Ok(()) => break false,
                Err(SendError::Full(back)) => item = back, // and tries again, perhaps in another way
                Err(SendError::Ended(_)) => break true,
                Err(SendError::NotStarted(_)) => panic!("the run was started"),
            }
        };
        if ended {
            break;
        }
        taken += 1;
    }
    (taken, done)
}

/// Receives until the end, or `most` items. Slow at times.
fn receive(mut receiver: Receiver<Item>, most: Option<u64>, mut dice: Dice) -> Vec<u64> {
    let mut all = Vec::new();
    while most.is_none_or(|most| (all.len() as u64) < most) {
        let item = match dice.from(0, 3) {
            0 => match receiver.recv_timeout(Duration::from_micros(dice.long(0, 200))) {
                Err(RecvError::Empty) => continue,
                received => received.ok(),
            },
            1 => match receiver.try_recv() {
                Err(RecvError::Empty) => continue,
                received => received.ok(),
            },
            _ => receiver.recv(),
        };
        let Some(item) = item else { break };
        all.push(item.value());
        if dice.once_in(50) {
            thread::sleep(Duration::from_micros(dice.long(0, 300)));
        }
    }
    all
}

/// What the threads of a round are to do.
#[derive(Debug)]
struct Round {
    senders: u64,
    items: u64,
    overflow: Overflow,
    /// The graph has an output, of which somebody receives so many items at most; else a sink.
    output: bool,
    most: Option<u64>,
    in_order: bool,
}

/// A line of operators that keep each item.
fn line(
    mut items: Stream<'static, Item>,
    round: &mut Round,
    executor: &Executor,
    dice: &mut Dice,
) -> Stream<'static, Item> {
    if dice.once_in(2) {
        items = items.batch_size(dice.from(1, 8));
    }
    if dice.once_in(3) {
        items = items.credits(dice.from(1, 8));
    }
    for _ in 0..dice.from(0, 3) {
        let executor = executor.clone();
        let later = move |item: Item| {
            let seed = item.value();
            executor.later(item, seed)
        };
        items = match dice.from(0, 4) {
            0 => items.map_async(dice.from(1, 6), later).boxed(),
            1 => items.scan((), |(), item| Some(item)).boxed(),
            2 => items.map_blocking(dice.from(1, 4), |item| item).boxed(),
            3 => {
                round.in_order = false;
                items.unordered().boxed()
            }
            _ => items.map(|item| item.clone()).boxed(),
        };
    }
    items
}

pub(crate) fn outside(world: &World, account: &'static Account, dice: &mut Dice) {
    let overflow = dice.pick(&[Overflow::Block, Overflow::Block, Overflow::DropOldest, Overflow::DropNewest]);
    let most = dice.once_in(4).then(|| dice.long(0, 100));
    let (senders, items, output) = (dice.long(1, 4), dice.long(0, 150), most.is_some() || dice.once_in(2));
    let mut round = Round { senders, items, overflow, output, most, in_order: output };
    let g = Graph::new();
    let options = InputOptions::new().capacity(dice.from(1, 20)).overflow(overflow);
    let (sender, items) = g.input_with::<Item>(options);
    let items = line(items.boxed(), &mut round, &world.executor, dice);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let receiver = if round.output {
        Some(items.output())
    } else {
        let seen = Arc::clone(&seen);
        drop(items.for_each(move |item| seen.lock().expect("no panic").push(item.value())));
        None
    };
    let Ok(plan) = world.handle.with(|pool| g.plan(pool)) else {
        return assert!(world.is_closing(), "the pool is closed");
    };
    let drive = Drive::draw(dice, true);
    let mut sent = Vec::new();
    let beside = |run: Option<&RunControl>| {
        let Some(run) = run else { return };
        thread::scope(|scope| {
            let received = receiver.map(|receiver| {
                let dice = Dice::new(dice.next());
                scope.spawn(move || receive(receiver, most, dice))
            });
            let senders = (0..round.senders).map(|number| (number, sender.clone(), Dice::new(dice.next())));
            let senders: Vec<_> = senders
                .map(|(number, sender, dice)| scope.spawn(move || send(&sender, number, round.items, account, dice)))
                .collect();
            drop(sender);
            drive.end(run);
            sent.extend(senders.into_iter().map(|sender| sender.join().expect("no panic")));
            if let Some(received) = received {
                *seen.lock().expect("no panic") = received.join().expect("no panic");
            }
        });
    };
    let ran = drive.run(plan.expect("no defect"), beside);
    let seen = std::mem::take(&mut *seen.lock().expect("no panic"));
    round.assert_fits(&sent, &seen, matches!(ran, Ran::Good(_)));
    if let Ran::Failed(_, error) = &ran {
        drive.assert_fits(world, &round, error, None);
    }
}

impl Round {
    /// Whether this may have been seen, given how much each sender has sent, and was told that it is done.
    fn assert_fits(&self, sent: &[(u64, u64)], seen: &[u64], is_good: bool) {
        let done: u64 = sent.iter().map(|(_, done)| done).sum();
        assert!(self.output || done <= seen.len() as u64, "{done} are done, and {} were seen: {self:?}", seen.len());
        for (number, (taken, _)) in (0..).zip(sent) {
            let own = seen.iter().filter(|value| **value / SENDER == number).map(|value| value % SENDER);
            let mut own: Vec<u64> = own.collect();
            if !self.in_order {
                own.sort_unstable();
            }
            assert!(own.windows(2).all(|pair| pair[0] < pair[1]), "sender {number}: {own:?}: {self:?}");
            assert!(own.last().is_none_or(|last| last < taken), "sender {number} of {taken}: {own:?}: {self:?}");
            if self.overflow == Overflow::Block && (self.in_order || is_good && self.most.is_none()) {
                assert!(own.iter().copied().eq(0..own.len() as u64), "sender {number} has a hole: {own:?}: {self:?}");
            }
            if self.overflow == Overflow::Block && is_good && self.most.is_none() {
                assert_eq!(own.len() as u64, self.items, "sender {number}: {self:?}");
            }
        }
    }
}
