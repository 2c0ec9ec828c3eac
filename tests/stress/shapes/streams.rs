//! Random lines of operators between a source and a sink.

use std::sync::mpsc;
use std::thread;

use millstream::{Data, Graph, OnStall, Plan, RunErrorKind, Running, Stream};

use super::ops::{Fails, Op, Shared, Sink, TRAP};
use crate::account::{Account, Item};
use crate::dice::Dice;
use crate::drive::{Drive, Failure, Ran};
use crate::world::World;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Range,
    Iterator,
    Again,
    Vec,
    Items,
    /// A channel of std's, to which a thread sends.
    Channel,
}

#[derive(Debug)]
pub(crate) struct Line {
    source: Source,
    items: u64,
    batch: Option<usize>,
    credits: Option<usize>,
    pub(crate) ops: Vec<Op>,
    sink: Sink,
}

impl Line {
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let sources = [
            Source::Range,
            Source::Iterator,
            Source::Again,
            Source::Again,
            Source::Vec,
            Source::Items,
            Source::Channel,
        ];
        let (source, sink) = (dice.pick(&sources), Sink::draw(dice));
        let (mut ops, mut in_order) = (Vec::new(), true);
        for _ in 0..dice.from(0, 5) {
            let op = Op::draw(dice);
            let fits = in_order || !op.needs_order();
            let keeps = !op.loses_order() || !sink.needs_order();
            if fits && keeps {
                in_order &= !op.loses_order();
                ops.push(op);
            }
        }
        let is_dear = ops.iter().any(|op| matches!(op, Op::Nested(_) | Op::Later(..) | Op::Blocking(..)));
        let items = dice.pick(&[10, 100, if is_dear { 200 } else { 5000 }]);
        let items = dice.long(0, items);
        let batch = dice.once_in(2).then(|| dice.from(1, 20));
        let credits = dice.once_in(3).then(|| dice.from(1, 9));
        Self { source, items, batch, credits, ops, sink }
    }

    fn values(&self, ops: usize) -> Vec<u64> {
        self.ops[..ops].iter().fold((0..self.items).collect(), |items, op| op.means(items))
    }

    pub(crate) fn expected(&self) -> Vec<u64> {
        self.sink.means(self.values(self.ops.len()))
    }

    /// Adds an operator that fails on an item. The failure of the run, if it comes to that.
    fn add_failure(&mut self, dice: &mut Dice) -> Option<Failure> {
        let place = dice.from(0, self.ops.len());
        let values = self.values(place);
        if values.is_empty() {
            return None;
        }
        let of = dice.pick(&values);
        let at = values.iter().position(|x| *x == of).expect("it is one of them");
        let how = dice.pick(&[Fails::Panics, Fails::Panics, Fails::Err, Fails::FutureErr, Fails::BlockingErr]);
        self.ops.insert(place, Op::Fails(how, of));
        let kind = if how == Fails::Panics { RunErrorKind::Panicked } else { RunErrorKind::Failed };
        let in_order = !self.ops[..place].iter().any(|op| op.loses_order());
        let item = in_order.then(|| u64::try_from(at).expect("small"));
        // A failure behind the end of a stream is none.
        let mut before = values[..at].to_vec();
        for op in &self.ops[place + 1..] {
            match *op {
                Op::Take(n) if before.len() as u64 >= n => return None,
                Op::Chunks(n) => before.truncate(before.len() / n * n),
                _ => {}
            }
            before = op.means(before);
        }
        Some(Failure { kind, item, operator: TRAP.to_owned() })
    }

    /// Whether a run can follow a run.
    fn is_renewable(&self) -> bool {
        !matches!(self.source, Source::Iterator | Source::Vec | Source::Channel)
    }

    fn build(&self, g: &Graph<'static>, shared: &Shared) -> Data<Vec<u64>> {
        let (n, account) = (self.items, shared.account);
        let item = move |x: u64| account.item(x);
        let stream = match self.source {
            Source::Range => g.range(0..n).map(item).boxed(),
            Source::Iterator => g.source((0..n).map(item)).boxed(),
            Source::Again => g.source_fn(move || (0..n).map(item)).boxed(),
            Source::Vec => g.vec((0..n).map(item).collect()).boxed(),
            Source::Items => g.items(&g.data((0..n).collect::<Vec<u64>>())).map(item).boxed(),
            Source::Channel => {
                let (sender, receiver) = mpsc::sync_channel(5);
                thread::spawn(move || {
                    for x in 0..n {
                        if sender.send(x).is_err() {
                            return;
                        }
                        if x % 64 == 9 {
                            thread::yield_now();
                        }
                    }
                });
                g.live(receiver).map(item).boxed()
            }
        };
        let stream = self.batch.into_iter().fold(stream, |stream, size| stream.batch_size(size));
        let stream = self
            .credits
            .into_iter()
            .fold(stream, |stream, credits| stream.credits(credits).on_stall(OnStall::Grow { max: 4096 }));
        let end = self.ops.iter().fold(stream, |stream: Stream<'static, Item>, op| op.add(stream, shared));
        self.sink.add(g, end, account)
    }

    /// The plan of this line. None if the pool is closed.
    fn plan(&self, world: &World, account: &'static Account) -> Option<(Plan<'static>, Data<Vec<u64>>)> {
        let shared = Shared { handle: world.handle.clone(), executor: world.executor.clone(), account };
        let g = Graph::new();
        let data = self.build(&g, &shared);
        match world.handle.with(|pool| g.plan(pool)) {
            Ok(plan) => Some((plan.unwrap_or_else(|error| panic!("{self:?}: {error}")), data)),
            Err(_) => {
                assert!(world.is_closing(), "the pool is closed");
                None
            }
        }
    }
}

pub(crate) fn streams(world: &World, account: &'static Account, dice: &mut Dice) {
    let mut line = Line::draw(dice);
    let expected = line.expected();
    let failure = if dice.once_in(3) { line.add_failure(dice) } else { None };
    let Some((mut plan, data)) = line.plan(world, account) else { return };
    let runs = if line.is_renewable() { dice.from(1, 3) } else { 1 };
    for _ in 0..runs {
        let drive = Drive::draw(dice, false);
        plan = match drive.run(plan, |_| ()) {
            Ran::Good(plan) => {
                assert!(failure.is_none(), "a failure is missed: {line:?}");
                assert_eq!(*plan.get(&data), expected, "{line:?}");
                plan
            }
            Ran::Failed(plan, error) => {
                drive.assert_fits(world, &line, &error, failure.as_ref());
                // What such a sink has seen of a run that failed, it still has in the next one.
                match plan {
                    Some(plan) if !line.sink.remembers() => plan,
                    _ => return,
                }
            }
            Ran::Dropped => return,
        };
    }
}

/// Runs that are started one after the other, and go on at the same time.
pub(crate) fn runs_at_once(world: &World, account: &'static Account, dice: &mut Dice) {
    let lines: Vec<Line> = (0..dice.from(2, 5)).map(|_| Line::draw(dice)).collect();
    let mut running: Vec<(&Line, Running, Data<Vec<u64>>)> = Vec::new();
    for line in &lines {
        let Some((plan, data)) = line.plan(world, account) else { return };
        running.push((line, plan.start(), data));
    }
    while !running.is_empty() {
        let (line, run, data) = running.swap_remove(dice.from(0, running.len() - 1));
        let is_cancelled = dice.once_in(4);
        if is_cancelled {
            run.cancel();
        }
        if dice.once_in(4) {
            drop(run);
            continue;
        }
        match run.join() {
            Ok(plan) => assert_eq!(*plan.get(&data), line.expected(), "{line:?}"),
            Err(error) if is_cancelled && *error.kind() == RunErrorKind::Cancelled => {}
            Err(error) => Drive::plain().assert_fits(world, &line, &error, None),
        }
    }
}
