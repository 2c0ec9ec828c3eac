//! How many items come out of an operator, as far as that is known before it runs.

/// How many items an operator makes of those that it is given, while it does not fail.
///
/// Each operator says this once, where it is defined. The run does not look at it; a plan tells by it what may wait for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Makes {
    /// One of each item.
    One,
    /// One when it has been given `first` items, and again each time when it has been given `step` more.
    Every { first: u64, step: u64 },
    /// One of an item, or none.
    AtMostOne,
    /// Any number.
    Any,
}
