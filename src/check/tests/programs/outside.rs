//! Random lines of operators between an input and an output, with or without another graph behind them: what is sent
//! comes out as the sequential answer, whatever ends the run.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::accounts::balance;
use super::items::{At, Env, Item, source_item};
use super::table::OPERATORS;
use crate::check::tests::silence_traps;
use crate::{Graph, InputOptions, Plan, Pool, Receiver, RunControl, RunErrorKind, Sender};

/// The methods that this page is about. They have no row, for what they mean depends on other threads.
#[expect(dead_code, reason = "read by a test of the text")]
const TESTED_HERE: &[&str] = &["Graph::input", "Graph::input_with", "Stream::output", "Stream::send_to"];

/// A line of operators, and how it is used.
#[derive(Clone, Debug)]
struct Line {
    /// Rows of the table, and a number for each.
    operators: Vec<(prop::sample::Index, u8)>,
    items: u8,
    capacity: u8,
    credits: Option<u8>,
    batch: Option<u8>,
    /// Whether what comes out goes through another graph, of which so many items may wait in the input.
    relay: Option<u8>,
    ends: Ends,
    /// How many items come out, or are sent, before that.
    after: u8,
}

/// What ends a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    /// The sender is dropped when all has been sent.
    Sent,
    Cancel,
    Deadline,
    ReceiverDropped,
    /// An operator panics on an item.
    Trap,
}

fn lines() -> impl Strategy<Value = Line> {
    let operators = prop::collection::vec((any::<prop::sample::Index>(), 1..=11_u8), 0..5);
    let ends = prop_oneof![
        4 => Just(Ends::Sent),
        1 => Just(Ends::Cancel),
        1 => Just(Ends::Deadline),
        1 => Just(Ends::ReceiverDropped),
        2 => Just(Ends::Trap),
    ];
    let small = |most: u8| prop::option::of(1..=most);
    (operators, 0..64_u8, 1..9_u8, small(8), small(5), small(4), ends, 0..40_u8).prop_map(
        |(operators, items, capacity, credits, batch, relay, ends, after)| Line {
            operators,
            items,
            capacity,
            credits,
            batch,
            relay,
            ends,
            after,
        },
    )
}

impl Line {
    /// The rows of its operators, with the number of each.
    fn rows(&self) -> impl Iterator<Item = (usize, &'static super::table::Operator, i64)> {
        let ordered: Vec<_> = OPERATORS.iter().filter(|row| row.keeps_order).collect();
        (0..).zip(&self.operators).map(move |(id, (row, k))| (id, *row.get(&ordered), i64::from(*k)))
    }

    fn expected(&self) -> Vec<i64> {
        let items = (0..u64::from(self.items)).map(source_item).collect();
        self.rows().fold(items, |items, (_, row, k)| (row.iter)(items, k))
    }

    /// Runs once. What came out, and how the run has ended.
    fn run<'env>(&self, pool: &Pool, env: &'env Env) -> (Vec<i64>, Result<(), RunErrorKind>) {
        let at = |id, k| At { env, id, k, once: false };
        let g = Graph::new();
        let (sender, sent) = g.input_with::<Item<'env>>(InputOptions::new().capacity(self.capacity.into()));
        let sent = self.credits.into_iter().fold(sent.boxed(), |sent, credits| sent.credits(credits.into()).boxed());
        let sent = self.batch.into_iter().fold(sent, |sent, size| sent.batch_size(size.into()).boxed());
        let made = self.rows().fold(sent, |items, (id, row, k)| (row.graph)(items, at(id, k)));
        let Some(capacity) = self.relay else {
            let out = made.output();
            return self.feed(g.plan(pool).expect("no defect"), sender, out, at(0, 1));
        };
        let second = Graph::new();
        let (to_second, relayed) = second.input_with::<Item<'env>>(InputOptions::new().capacity(capacity.into()));
        made.send_to(to_second);
        let out = relayed.output();
        let (plan, mut second) = (g.plan(pool).expect("no defect"), second.plan(pool).expect("no defect"));
        second.run_while(|_| self.feed(plan, sender, out, at(0, 1))).expect("its senders are dropped")
    }

    /// Runs a plan once, sends to it, and drops it. Meanwhile a thread takes what comes out.
    fn feed<'env>(
        &self,
        mut plan: Plan<'env>,
        sender: Sender<Item<'env>>,
        mut out: Receiver<Item<'env>>,
        at: At<'env>,
    ) -> (Vec<i64>, Result<(), RunErrorKind>) {
        let after = usize::from(self.after);
        thread::scope(|scope| {
            let (tell, told) = mpsc::channel::<RunControl>();
            let reader = scope.spawn(move || {
                let run = told.recv().expect("the run begins");
                let mut received = Vec::new();
                for item in out.by_ref() {
                    received.push(*item.value);
                    if received.len() >= after && self.ends == Ends::Cancel {
                        run.cancel();
                    }
                    if received.len() >= after && self.ends == Ends::ReceiverDropped {
                        break;
                    }
                }
                received
            });
            let ran = plan.run_while(|run| {
                if self.ends == Ends::Deadline {
                    run.deadline(Duration::from_micros(20 * u64::from(self.after)));
                }
                tell.send(run.clone()).expect("it is told once");
                for index in 0..u64::from(self.items) {
                    // What it gives back is dropped: the run is over.
                    drop(sender.send(at.item(source_item(index))));
                }
                if self.ends == Ends::Deadline {
                    while !run.is_over() {
                        thread::yield_now();
                    }
                }
                drop(sender);
            });
            // A failure behind the end of a stream is none for the run, but its item was handed on.
            let may_fail = self.ends == Ends::Trap;
            let has_failed = may_fail || matches!(&ran, Err(error) if *error.kind() != RunErrorKind::Cancelled);
            if let Err(unfit) = balance(&plan, &plan.report(), has_failed) {
                panic!("{self:?}: {unfit}");
            }
            drop(plan);
            (reader.join().expect("no panic"), ran.map_err(|error| error.kind().clone()))
        })
    }
}

fn agrees(line: &Line, pool: &Pool) -> Result<(), TestCaseError> {
    let env = Env::new(pool);
    let expected = line.expected();
    if line.ends == Ends::Trap {
        let operator = usize::from(line.after) % line.operators.len().max(1);
        env.arm(operator, source_item(u64::from(line.items) / 2), false);
    }
    let (received, ended) = line.run(pool, &env);
    prop_assert!(expected.starts_with(&received), "{received:?} of {expected:?}");
    match (line.ends, ended) {
        (Ends::Sent, ended) => {
            prop_assert!(ended.is_ok(), "{ended:?}");
            prop_assert_eq!(received.len(), expected.len());
        }
        (Ends::ReceiverDropped | Ends::Cancel | Ends::Deadline | Ends::Trap, Ok(())) => {}
        (Ends::Cancel, Err(kind)) => prop_assert!(matches!(kind, RunErrorKind::Cancelled), "{kind:?}"),
        (Ends::Deadline, Err(kind)) => prop_assert!(matches!(kind, RunErrorKind::DeadlineExceeded), "{kind:?}"),
        (Ends::Trap, Err(kind)) => prop_assert!(matches!(kind, RunErrorKind::Panicked), "{kind:?}"),
        (Ends::ReceiverDropped, Err(kind)) => {
            // The graph behind is over: it takes nothing more.
            prop_assert!(line.relay.is_some() && matches!(kind, RunErrorKind::Failed), "{kind:?}");
        }
    }
    prop_assert_eq!(env.live(), 0, "every item was dropped once");
    Ok(())
}

thread_local! {
    static POOLS: Vec<Pool> =
        (1..=3).map(|workers| Pool::builder().workers(workers).build().expect("threads")).collect();
}

proptest! {
    #[test]
    fn what_is_sent_comes_out_as_the_sequential_answer(line in lines()) {
        silence_traps();
        POOLS.with(|pools| pools.iter().try_for_each(|pool| agrees(&line, pool)))?;
    }
}
