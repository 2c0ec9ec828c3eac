//! Random programs of tasks over data, with loops and branches, against a loop over the same program.

use millstream::{Data, Graph, RunErrorKind, reads};

use crate::account::{Account, Item};
use crate::dice::Dice;
use crate::drive::{Drive, Failure, Ran};
use crate::world::{World, trap};

#[derive(Debug)]
enum Step {
    /// Changes the data `writes` to what follows from it and from those it reads.
    Task {
        number: usize,
        reads: Vec<usize>,
        writes: usize,
    },
    Repeat(u64, Vec<Step>),
    /// If the data is odd.
    When(usize, Vec<Step>),
    /// A stream over numbers, folded and added to the data.
    Stream {
        items: u64,
        writes: usize,
    },
}

struct Program {
    start: Vec<u64>,
    steps: Vec<Step>,
    tasks: usize,
}

fn next(own: u64, others: impl Iterator<Item = u64>) -> u64 {
    others.fold(own.wrapping_mul(3) + 1, |sum, x| sum.wrapping_mul(31).wrapping_add(x)) % 1_000_003
}

fn folded(items: u64) -> u64 {
    (0..items).fold(0, |sum, x| (sum * 7 + x) % 1009)
}

impl Program {
    fn draw(dice: &mut Dice) -> Self {
        let start = (0..dice.from(1, 8)).map(|_| dice.long(0, 99)).collect();
        let mut program = Self { start, steps: Vec::new(), tasks: 0 };
        let most = dice.pick(&[5, 20, 120]);
        program.steps = program.block(dice, most, 0);
        program
    }

    fn block(&mut self, dice: &mut Dice, most: usize, depth: usize) -> Vec<Step> {
        let data = self.start.len();
        let mut steps = Vec::new();
        for _ in 0..dice.from(0, most) {
            let writes = dice.from(0, data - 1);
            steps.push(match dice.from(0, 19) {
                0 if depth < 2 => Step::Repeat(dice.long(0, 4), self.block(dice, most / 3 + 1, depth + 1)),
                1 if depth < 2 => Step::When(writes, self.block(dice, most / 3 + 1, depth + 1)),
                2 if depth == 0 => Step::Stream { items: dice.long(0, 200), writes },
                _ => {
                    self.tasks += 1;
                    let reads = (0..data).filter(|other| *other != writes && dice.once_in(4)).collect();
                    Step::Task { number: self.tasks - 1, reads, writes }
                }
            });
        }
        steps
    }

    /// What the steps leave, and the tasks that have fired.
    fn interpret(steps: &[Step], values: &mut [u64], fired: &mut [bool]) {
        for step in steps {
            match step {
                Step::Task { number, reads, writes } => {
                    fired[*number] = true;
                    values[*writes] = next(values[*writes], reads.iter().map(|read| values[*read]));
                }
                Step::Repeat(times, steps) => (0..*times).for_each(|_| Self::interpret(steps, values, fired)),
                Step::When(data, steps) if values[*data] % 2 == 1 => Self::interpret(steps, values, fired),
                Step::When(..) => {}
                Step::Stream { items, writes } => values[*writes] += folded(*items),
            }
        }
    }

    /// Adds the steps to a graph. The task `trapped` panics, before or behind what it does.
    fn build(g: &Graph<'static>, steps: &[Step], data: &[Data<Item>], trapped: Option<(usize, bool)>) {
        for step in steps {
            match step {
                Step::Task { number, reads: others, writes } => {
                    let traps = trapped.filter(|(trapped, _)| trapped == number).map(|(_, behind)| behind);
                    let others = reads(others.iter().map(|read| &data[*read]));
                    let task = g.task((others, data[*writes].write()), move |(others, own)| {
                        if traps == Some(false) {
                            trap();
                        }
                        let made = next(own.value(), others.iter().map(Item::value));
                        // In its place, or as another item.
                        if made % 2 == 0 {
                            own.set(made);
                        } else {
                            let other = own.clone().becomes(made);
                            *own = other;
                        }
                        if traps == Some(true) {
                            trap();
                        }
                    });
                    task.named(&task_name(*number));
                }
                Step::Repeat(times, steps) => _ = g.repeat(*times, |g| Self::build(g, steps, data, trapped)),
                Step::When(asked, steps) => {
                    g.when(&data[*asked], |item| item.value() % 2 == 1, |g| Self::build(g, steps, data, trapped));
                }
                Step::Stream { items, writes } => {
                    let sum = g.range(0..*items).batch_size(10).fold(0, |sum: u64, x| (sum * 7 + x) % 1009);
                    g.task((sum.read(), data[*writes].write()), |(sum, own)| own.set(own.value() + sum));
                }
            }
        }
    }
}

fn task_name(number: usize) -> String {
    format!("task {number}")
}

pub(crate) fn tasks(world: &World, account: &'static Account, dice: &mut Dice) {
    let program = Program::draw(dice);
    let (mut expected, mut fired) = (program.start.clone(), vec![false; program.tasks]);
    Program::interpret(&program.steps, &mut expected, &mut fired);
    let trapped = if program.tasks > 0 && dice.once_in(4) {
        Some((dice.from(0, program.tasks - 1), dice.once_in(2)))
    } else {
        None
    };
    let failure = trapped.filter(|(task, _)| fired[*task]).map(|(task, _)| Failure {
        kind: RunErrorKind::Panicked,
        item: None,
        operator: task_name(task),
    });
    let g = Graph::new();
    let data: Vec<Data<Item>> = program.start.iter().map(|value| g.data(account.item(*value))).collect();
    Program::build(&g, &program.steps, &data, trapped);
    let Ok(planned) = world.handle.with(|pool| g.plan(pool)) else {
        return assert!(world.is_closing(), "the pool is closed");
    };
    let mut plan = planned.expect("no defect");
    for _ in 0..dice.from(1, 5) {
        let drive = Drive::draw(dice, false);
        plan = match drive.run(plan, |_| ()) {
            Ran::Good(plan) => {
                assert!(failure.is_none(), "the panic of {trapped:?} is missed: {:?}", program.steps);
                let found: Vec<u64> = data.iter().map(|data| plan.get(data).value()).collect();
                assert_eq!(found, expected, "{:?} of {:?}", program.steps, program.start);
                plan
            }
            Ran::Failed(plan, error) => {
                let failure = failure.as_ref().map(|failure| Failure {
                    kind: failure.kind.clone(),
                    item: error.item(), // which time of a loop it was
                    operator: failure.operator.clone(),
                });
                drive.assert_fits(world, &program.steps, &error, failure.as_ref());
                let Some(plan) = plan else { return };
                plan
            }
            Ran::Dropped => return,
        };
        for (data, value) in data.iter().zip(&program.start) {
            plan.set(data, account.item(*value));
        }
    }
}
