//! Streams, and what is said of them.

use std::fmt;
use std::marker::PhantomData;

use super::Shared;
use crate::engine::boxed::Boxed;
use crate::engine::pipe::Pipe;
use crate::plan::draft::{Draft, SourceDraft};
use crate::plan::{MAX_CREDITS, Place};

/// Many items on their way, in order, through a chain of fused operators `P`.
///
/// Methods are named after those of [`Iterator`] where they do the same thing. Between operators that say *fuses* there is
/// no queue and no allocation: an item costs what it costs in an iterator chain. An operator that says *stage boundary* moves items
/// in batches from one stage to the next.
///
/// A stream that is not ended in a sink makes the graph a [`BuildError`](crate::BuildError). One that is still held then is
/// of no more use: its methods panic.
#[must_use = "a stream that nothing takes is an error when the graph is planned"]
pub struct Stream<'env, T, P = Boxed<'env, T>> {
    pub(super) draft: Shared<'env>,
    pub(super) stage: usize,
    /// The operator built last.
    pub(super) op: usize,
    pub(super) pipe: P,
    /// What holds its items next may keep all of them.
    pub(crate) spooled: bool,
    pub(super) item: PhantomData<fn() -> T>,
}

impl<'env, T, P> Stream<'env, T, P> {
    /// Names the operator built last, for reports, errors and [`explain`](crate::Plan::explain).
    #[track_caller]
    pub fn named(self, name: &str) -> Self {
        self.describe("named").names.rename(self.op, name);
        self
    }

    /// Gives the batches of the stream's source this many items each (bytes for [`split`](crate::Graph::split)); without
    /// it they have 1 to 1024. They have more where there would be more than 2^44 batches: then a failure is answered
    /// when the batches that are under way have ended.
    ///
    /// Small batches suit heavy items and short waits, large ones light items. The blocks of a reduction are batches. 0 is
    /// a defect; a size that no stream has makes one batch of all items.
    #[track_caller]
    pub fn batch_size(self, items: usize) -> Self {
        self.set_source("batch_size", items, usize::MAX, |source| source.size = Some(items))
    }

    /// Lets this many batches of the stream's source be in flight at once, 256 without it (more where a pool has more
    /// than 128 workers): the bound of the memory that the stream needs. 0 is a defect, and so are more than 1048576: the
    /// places of all of them are allocated when the graph is planned.
    #[track_caller]
    pub fn credits(self, batches: usize) -> Self {
        self.set_source("credits", batches, MAX_CREDITS, |source| source.credits = Some(batches))
    }

    #[track_caller]
    fn set_source(
        self,
        what: &'static str,
        number: usize,
        most: usize,
        set: impl FnOnce(&mut SourceDraft<'env>),
    ) -> Self {
        let mut draft = self.describe(what);
        let stage = self.first_stage(&draft);
        match &mut draft.stages[stage].source {
            _ if number == 0 => draft.defect(self.op, format!("{what}(0): at least 1")),
            _ if number > most => draft.defect(self.op, format!("{what}({number}): at most {most}")),
            Some(source) => set(source),
            None => draft.defect(self.op, format!("{what} is said of one source; this stream comes from several")),
        }
        drop(draft);
        self
    }

    /// Places the batches of the stream's source: where the source's jobs go first, and with them all that is done with a
    /// batch up to the next stage boundary that others take it from. A stream that comes from several sources is a defect; so is a
    /// node that the machine does not have, or that has no CPU which the process may use.
    ///
    /// ```
    /// # use millstream::{Graph, Place, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let node = millstream::Topology::detect()?.cores()[0].node().unwrap_or(0);
    /// let g = Graph::new();
    /// let sum = g.range(0..100_u64).place(Place::Node(node)).map(|x| x * x).sum::<u64>();
    /// assert_eq!(pool.run(g)?.take(sum), 328_350);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn place(self, place: Place<'_>) -> Self {
        let mut draft = self.describe("place");
        let first = &draft.stages[self.first_stage(&draft)];
        match first.source {
            Some(_) => draft.names.place(first.ops[0].0, place.told(&draft.names)),
            None => draft.defect(self.op, "place is said of one source; this stream comes from several"),
        }
        drop(draft);
        self
    }

    /// The stage that this stream comes from, over all those with a single input: its source's, unless it has several.
    fn first_stage(&self, draft: &Draft<'_>) -> usize {
        let mut stage = self.stage;
        while let [input] = draft.stages[stage].inputs[..] {
            stage = input;
        }
        stage
    }

    /// Allows what comes next to keep the items of this stream in memory for as long as it must hold them: the second
    /// stream of [`chain`](Self::chain), a side of [`zip`](Self::zip), a stream that waits for data in
    /// [`map_with`](Self::map_with). From here on its items take up no credits, whether they are held or not: the only
    /// bound is the stream's length, and [`explain`](crate::Plan::explain) lists it.
    pub fn spooled(mut self) -> Self {
        self.spooled = true;
        self
    }

    /// Hides the types of the fused operators, for function signatures: an item costs an indirect call more.
    pub fn boxed(self) -> Stream<'env, T>
    where
        P: Pipe<Out = T> + 'env,
    {
        let Self { draft, stage, op, pipe, spooled, item } = self;
        Stream { draft, stage, op, pipe: Boxed::new(pipe), spooled, item }
    }
}

impl<T, P> fmt::Debug for Stream<'_, T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stream").field(&self.draft.borrow().names.get(self.op)).finish()
    }
}
