//! `source` and `source_fn`: the items of an iterator.

use crate::engine::heads::pulled::MakeIter;
use crate::engine::pipe::Pipe;
use crate::graph::{Graph, Stream};

impl<'env> Graph<'env> {
    /// Makes a stream of the items of an iterator, in its order. One worker at a time takes a batch out of it.
    ///
    /// One run uses the iterator up; another run is [`NotReady`](crate::RunErrorKind::NotReady). The first batches have
    /// one item, in case items are heavy, and later ones grow to 1024. Items of 16 bytes at most, without a
    /// destructor, that go straight into a parallel sink come in batches of up to 4096, but no more than a 1024th of what
    /// came before. If the iterator says how many items it has, by [`Iterator::size_hint`], no batch below these bounds is
    /// smaller than a 1024th of that, unless items turn out to be heavy where nobody sees how the stream is cut: in a line
    /// of operators that ends one item at a time. A run may take some more items than its sinks need.
    #[track_caller]
    pub fn source<I>(&self, items: I) -> Stream<'env, I::Item, impl Pipe<Out = I::Item> + use<'env, I>>
    where
        I: IntoIterator<Item: Send + 'env, IntoIter: Send + 'env> + Send + 'env,
    {
        self.add_pulled("source", Once(Some(items)))
    }

    /// Makes a stream of the items of an iterator that `make` makes anew for every run. Otherwise it is as
    /// [`source`](Self::source).
    #[track_caller]
    pub fn source_fn<I, F>(&self, make: F) -> Stream<'env, I::Item, impl Pipe<Out = I::Item> + use<'env, I, F>>
    where
        I: IntoIterator<Item: Send + 'env, IntoIter: Send + 'env> + 'env,
        F: FnMut() -> I + Send + 'env,
    {
        self.add_pulled("source_fn", Again(make))
    }
}

/// One iterator, for one run.
pub(crate) struct Once<I>(pub(crate) Option<I>);

impl<I: IntoIterator<IntoIter: Send> + Send> MakeIter for Once<I> {
    type Iter = I::IntoIter;
    fn take(&mut self) -> Option<I::IntoIter> {
        self.0.take().map(IntoIterator::into_iter)
    }
    fn is_ready(&self) -> bool {
        self.0.is_some()
    }
}

/// A new iterator for every run.
pub(crate) struct Again<F>(pub(crate) F);

impl<I: IntoIterator<IntoIter: Send>, F: FnMut() -> I + Send> MakeIter for Again<F> {
    type Iter = I::IntoIter;
    fn take(&mut self) -> Option<I::IntoIter> {
        Some((self.0)().into_iter())
    }
    fn is_ready(&self) -> bool {
        true
    }
}
