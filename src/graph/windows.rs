//! Windows of time: which there are, and what comes out of them.

use std::ops::Range;

/// Which windows of time [`Keyed::windows`](crate::Keyed::windows) and [`Keyed::sessions`](crate::Keyed::sessions) make. Times are numbers in any unit.
#[derive(Clone, Copy, Debug)]
pub struct Windows {
    /// From the start of a window to its end, or how long a pause ends a session.
    pub(crate) length: u64,
    /// From the start of a window to the start of the next one. None: sessions.
    pub(crate) step: Option<u64>,
    pub(crate) lateness: u64,
}

impl Windows {
    /// One window after the other, each of this length. The first one begins at time 0.
    #[must_use]
    pub fn tumbling(length: u64) -> Self {
        Self::sliding(length, length)
    }

    /// A window of this length at every multiple of `step`. An item is in each window that its time is in.
    #[must_use]
    pub fn sliding(length: u64, step: u64) -> Self {
        Self { length, step: Some(step), lateness: 0 }
    }

    /// Windows that last as long as items of one key come: a pause of `gap` ends one.
    #[must_use]
    pub fn sessions(gap: u64) -> Self {
        Self { length: gap, step: None, lateness: 0 }
    }

    /// How far behind the latest item so far the time of an item may lie without being late; 0 if this is not called.
    /// A window stays open so much longer.
    #[must_use]
    pub fn lateness(self, lateness: u64) -> Self {
        Self { lateness, ..self }
    }

    /// What is wrong with these windows, if something is.
    pub(crate) fn defect(self, are_sessions: bool) -> Option<&'static str> {
        if self.length == 0 || self.step == Some(0) {
            Some("windows have a length, a step and a gap of at least 1")
        } else if self.step.is_none() != are_sessions {
            Some("windows(..) makes windows that are tumbling or sliding, and sessions(..) makes sessions")
        } else {
            None
        }
    }
}

/// What comes out of [`Keyed::windows`](crate::Keyed::windows) and [`Keyed::sessions`](crate::Keyed::sessions).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Windowed<K, A, T> {
    /// A window that has closed.
    Closed {
        /// The key of its items.
        key: K,
        /// From its start to its end. A session ends `gap` after its last item.
        time: Range<u64>,
        /// What was made of its items.
        value: A,
    },
    /// An item that came when all windows that it belongs to had closed.
    Late(K, T),
}

impl<K, A, T> Windowed<K, A, T> {
    /// The window, if it is one: for [`Stream::filter_map`](crate::Stream::filter_map).
    #[must_use]
    pub fn closed(self) -> Option<(K, Range<u64>, A)> {
        if let Self::Closed { key, time, value } = self { Some((key, time, value)) } else { None }
    }

    /// The late item, if it is one.
    #[must_use]
    pub fn late(self) -> Option<(K, T)> {
        if let Self::Late(key, item) = self { Some((key, item)) } else { None }
    }
}
