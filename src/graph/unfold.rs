//! How a stream of iterators becomes a source of what comes out of them.

use std::panic::Location;
use std::sync::Arc;

use super::Stream;
use crate::engine::heads::pulled::Pulled;
use crate::engine::heads::unfold::{Fill, Unfold, Well};
use crate::engine::pipe::{Pipe, Root};
use crate::plan::draft::SourceDraft;
use crate::run::flow::supply::Items;

impl<'env, I, P> Stream<'env, I, P>
where
    I: Iterator<Item: Send + 'env> + Send + 'env,
    P: Pipe<Out = I> + 'env,
{
    /// Ends the stage, and begins another one with a source of the items of the iterators that come.
    #[track_caller]
    pub(crate) fn unfold(self, method: &'static str) -> Stream<'env, I::Item, impl Pipe<Out = I::Item>> {
        let well = Arc::new(Well::new());
        let whole = self.number();
        let (draft, stage) = self.close(Fill::new(Arc::clone(&well)));
        let items = Arc::new(Pulled::within(Unfold::new(well)));
        let mut described = draft.borrow_mut();
        let op = described.names.add(method, Location::caller());
        described.names.set_part(op, whole, "out");
        let came = described.stages[stage].sequence;
        let ordered = described.is_ordered(came);
        let sequence = described.sequence(ordered);
        let behind = described.stage(op, sequence, vec![stage]);
        let pulled = Items::Pulled(Arc::<Pulled<Unfold<I>>>::clone(&items));
        described.stages[behind].source = Some(SourceDraft::new(pulled));
        described.stages[behind].came_bytes = size_of::<I::Item>();
        drop(described);
        Stream::new(draft, behind, whole, Root::new(items))
    }
}
