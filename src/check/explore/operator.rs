//! One operator alone, in a test.

use std::fmt::Debug;
use std::marker::PhantomData;

use super::explore;
use crate::error::Error;
use crate::graph::{Graph, Stream};
use crate::pool::Pool;

/// The batch sizes that an operator is tried with.
const SIZES: [usize; 3] = [1, 2, 1024];
/// So many schedules are tried with each.
const SCHEDULES: u64 = 1000;

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

    /// Tries it in batches of one item, of two, and all in one, each in up to 1000 schedules.
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
            let explored = explore().max_schedules(SCHEDULES).run(|pool| self.run(pool, size));
            match explored {
                Ok(explored) => (size, explored.value),
                Err(difference) => panic!("batches of {size}: {difference}"),
            }
        })
    }

    fn run(&self, pool: &Pool, size: usize) -> Result<Vec<U>, String> {
        let g = Graph::new();
        let made = (self.op)(g.source(self.items.clone()).batch_size(size).boxed()).collect();
        let text = |error: Error| match std::error::Error::source(&error) {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        };
        pool.run(g).map(|mut plan| plan.take(made)).map_err(text)
    }
}
