//! `live`: the items of a source of the user's own that may have nothing now.

use crate::engine::outside::live::{FromLive, IntoLive};
use crate::engine::pipe::Pipe;
use crate::graph::{Graph, Stream};
use crate::run::outside::wake::Hears;

impl<'env> Graph<'env> {
    /// Makes a stream of a source that may have nothing now, in its order. One worker at a time takes a batch out of it.
    ///
    /// A batch ends where the source has nothing; the items so far go on at once. So where batches end depends on time,
    /// and with it how `reduce` and `aggregate` bracket what they combine. Batches have one item at first, and grow to
    /// 1024 if the source has so many at once. Another run goes on with what the source has then; one that has nothing
    /// more says that at once.
    ///
    /// The source is a [`Live`](crate::Live) of one's own, or the receiver of a channel; see [`IntoLive`].
    #[track_caller]
    pub fn live<L>(&self, source: L) -> Stream<'env, L::Item, impl Pipe<Out = L::Item> + use<'env, L>>
    where
        L: IntoLive<Item: 'env, Live: 'env> + 'env,
    {
        self.add_live("live", FromLive::new(source.into_live()), Hears::new(true))
    }
}
