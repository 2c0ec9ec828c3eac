//! Which pieces of a run may go on, and which thread is the last.

pub(crate) mod bell;
pub(crate) mod boards;
pub(crate) mod countdown;
pub(crate) mod credit;
pub(crate) mod gate;
pub(crate) mod meeting;
pub(crate) mod quiescence;
pub(crate) mod reference_count;
pub(crate) mod sequencer;
pub(crate) mod stretch;

/// Whether an arrival was the last one. If so, the caller sees what all others did before they arrived, and acts.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    Last,
    Earlier,
}

impl Arrival {
    #[inline]
    fn last_if(is_last: bool) -> Self {
        if is_last { Self::Last } else { Self::Earlier }
    }
}
