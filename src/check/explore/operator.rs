//! One operator alone, in a test.

use std::fmt::Debug;
use std::marker::PhantomData;

use super::{Difference, explore, random};
use crate::graph::{Graph, Stream};
use crate::pool::Pool;

/// The batch sizes that an operator is tried with.
const SIZES: [usize; 3] = [1, 2, 1024];
/// So many schedules are tried with each, one after the other; and so many by chance.
const SCHEDULES: u64 = 300;
const BY_CHANCE: u64 = 100;

/// An operator in a test, made by [`operator`].
#[derive(Debug)]
pub struct Operator<F, T, U> {
    op: F,
    items: Vec<T>,
    made: PhantomData<fn() -> U>,
}

/// Tries an operator, or several in a row, alone: with [`feed`](Operator::feed) come the items, and [`expect`](Operator::expect) says
/// what is to come out of them.
///
/// `op` gets a stream of the items, and returns what comes out as a [boxed](Stream::boxed) stream. So the same closure can be put
/// into a function and used in a graph.
///
/// ```
/// use millstream::check;
///
/// check::operator(|words| words.filter(|word: &&str| word.len() > 3).map(str::len).boxed())
///     .feed(["a", "quick", "brown", "fox"])
///     .expect(&[5, 5]);
/// check::operator(|numbers| numbers.try_map(|x: u32| x.checked_sub(3).ok_or("too small")).boxed())
///     .feed([4, 2])
///     .expect_error("too small");
/// ```
#[must_use = "nothing is tried before `expect`"]
pub fn operator<F, T, U>(op: F) -> Operator<F, T, U>
where
    F: Fn(Stream<'static, T>) -> Stream<'static, U>,
{
    Operator { op, items: Vec::new(), made: PhantomData }
}

impl<F, T, U> Operator<F, T, U>
where
    F: Fn(Stream<'static, T>) -> Stream<'static, U>,
    T: Clone + Send + Sync + 'static,
    U: PartialEq + Debug + Send + 'static,
{
    /// Puts items behind those that there are.
    #[must_use = "nothing is tried before `expect`"]
    pub fn feed(mut self, items: impl IntoIterator<Item = T>) -> Self {
        self.items.extend(items);
        self
    }

    /// Tries it in batches of one item, of two, and all in one, each in up to 300 schedules in which calls count as
    /// [pure](super::Explore::pure), and in 100 more by chance in which they do not. First of all it runs twice: what one run has left
    /// behind must not be seen in the next. Feed few items, 10 or 20: there are limits, as in all that is [explored](crate::check).
    ///
    /// # Panics
    /// If anything else comes out, in whichever of these schedules; or if the operator fails.
    #[track_caller]
    pub fn expect(self, expected: &[U]) {
        for (size, made) in self.outcomes() {
            match made {
                Ok(made) => assert!(made == expected, "batches of {size}: {made:?} came out, not {expected:?}"),
                Err(error) => panic!("batches of {size}: it fails: {error}"),
            }
        }
    }

    /// The same. The run is to fail with an error whose text contains `text`.
    ///
    /// # Panics
    /// If it does not.
    #[track_caller]
    pub fn expect_error(self, text: &str) {
        for (size, made) in self.outcomes() {
            match made {
                Ok(made) => panic!("batches of {size}: it does not fail, {made:?} came out"),
                Err(error) => assert!(error.contains(text), "batches of {size}: it fails otherwise: {error}"),
            }
        }
    }

    /// What comes out with each batch size, or the text of the error.
    #[track_caller]
    fn outcomes(&self) -> [(usize, Result<Vec<U>, String>); SIZES.len()] {
        SIZES.map(|size| {
            let options = explore().pure();
            let run = |pool: &Pool| self.run(pool, size, 1);
            let differs = |found: Difference<_>| -> ! { panic!("batches of {size}: {found}") };
            let twice = options.max_schedules(1).run(|pool| self.run(pool, size, 2));
            drop(twice.unwrap_or_else(|found| differs(found)));
            let first = options.max_schedules(SCHEDULES).run(run).unwrap_or_else(|found| differs(found));
            drop(random(1, BY_CHANCE, run).unwrap_or_else(|found| differs(found)));
            (size, first.value)
        })
    }

    /// What comes out of a plan each time when it runs so often.
    fn run(&self, pool: &Pool, size: usize, times: usize) -> Result<Vec<U>, String> {
        let (g, items) = (Graph::new(), self.items.clone());
        let fed = g.source_fn(move || items.clone().into_iter()).named("what is fed").batch_size(size);
        let made = (self.op)(fed.boxed()).collect().named("what comes out");
        let mut plan = g.plan(pool).map_err(|error| error.to_string())?;
        let mut run = || match plan.run() {
            Ok(()) => Ok(plan.take(made.clone())),
            Err(error) => Err(error.to_string()),
        };
        let first = run();
        for _ in 1..times {
            let next = run();
            assert!(first == next, "the plan has made {first:?}, and {next:?} when it ran again");
        }
        first
    }
}
