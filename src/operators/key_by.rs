//! `key_by`: gives every item a key.

use crate::engine::op::{Emit, FusedOp, Makes};
use crate::engine::pipe::Pipe;
use crate::graph::{Keyed, Stream};
use crate::unwind::Kept;

impl<'env, T: 'env, P: Pipe<Out = T> + 'env> Stream<'env, T, P> {
    /// Gives every item the key that `key` makes of it, for the operators of [`Keyed`]. Fuses; runs on all workers at
    /// once.
    #[track_caller]
    pub fn key_by<K, F>(self, key: F) -> Keyed<'env, K, T, impl Pipe<Out = (K, T)>>
    where
        F: Fn(&T) -> K + Send + Sync + 'env,
    {
        Keyed { pairs: self.fuse("key_by", KeyBy(key)) }
    }
}

/// The operator of [`Stream::key_by`].
pub(super) struct KeyBy<F>(pub(super) F);

impl<T, K, F: Fn(&T) -> K + Send + Sync> FusedOp<T> for KeyBy<F> {
    type Out = (K, T);
    type Batch<'a>
        = ()
    where
        Self: 'a;
    const MAKES: Makes = Makes::One;
    fn begin(&self) {}
    #[inline]
    fn item(&self, (): &mut (), item: T, out: &mut impl Emit<(K, T)>) {
        let item = Kept::new(item);
        let key = (self.0)(&item);
        out.emit((key, item.into_inner()));
    }
}
