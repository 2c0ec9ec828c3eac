//! Atomics, each access of which is told to whoever watches: the model of cache coherence, or the explorer of schedules.
//!
//! The module that makes them has a `Tag`, which goes with each word, and `access`, which hears of a tag, an address and what is done
//! there.

/// What is done to a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An atomic load.
    Load,
    /// An atomic store that is no locked instruction.
    Store,
    /// A locked instruction.
    Rmw,
    /// Plain data that is read.
    #[cfg_attr(not(all(test, coherence)), expect(dead_code, reason = "plain data is behind words"))]
    Read,
    /// Plain data that is written: the line must be there.
    #[cfg_attr(not(all(test, coherence)), expect(dead_code, reason = "plain data is behind words"))]
    Write,
}

/// An atomic with all that the engine uses of it. `const`: its tag is made at compile time.
macro_rules! watched_atomic {
    ([$($constant:tt)?] $name:ident $value:ty) => {
        #[derive(Debug, Default)]
        pub(crate) struct $name {
            word: std::sync::atomic::$name,
            pub(super) tag: Tag,
        }

        impl $name {
            #[inline]
            pub(crate) $($constant)? fn new(value: $value) -> Self {
                Self { word: std::sync::atomic::$name::new(value), tag: Tag::new() }
            }

            /// A word of a static, which nobody watches.
            #[cfg_attr(all(test, coherence), expect(dead_code, reason = "there all may be static"))]
            pub(crate) const fn of_static(value: $value) -> Self {
                Self { word: std::sync::atomic::$name::new(value), tag: Tag::NONE }
            }

            #[track_caller]
            #[inline]
            fn access(&self, kind: Kind) {
                access(&self.tag, &raw const self.word, kind);
            }

            #[track_caller]
            #[inline]
            pub(crate) fn load(&self, order: Ordering) -> $value {
                self.access(Kind::Load);
                self.word.load(order)
            }

            #[track_caller]
            #[inline]
            pub(crate) fn store(&self, value: $value, order: Ordering) {
                self.access(Kind::Store);
                self.word.store(value, order);
            }

            #[track_caller]
            #[inline]
            pub(crate) fn swap(&self, value: $value, order: Ordering) -> $value {
                self.access(Kind::Rmw);
                self.word.swap(value, order)
            }

            #[track_caller]
            #[inline]
            pub(crate) fn compare_exchange(
                &self,
                from: $value,
                to: $value,
                won: Ordering,
                lost: Ordering,
            ) -> Result<$value, $value> {
                self.access(Kind::Rmw);
                self.word.compare_exchange(from, to, won, lost)
            }

            #[track_caller]
            #[inline]
            pub(crate) fn compare_exchange_weak(
                &self,
                from: $value,
                to: $value,
                won: Ordering,
                lost: Ordering,
            ) -> Result<$value, $value> {
                self.compare_exchange(from, to, won, lost)
            }

            #[track_caller]
            #[inline]
            pub(crate) fn fetch_and(&self, value: $value, order: Ordering) -> $value {
                self.access(Kind::Rmw);
                self.word.fetch_and(value, order)
            }

            #[track_caller]
            #[inline]
            pub(crate) fn fetch_or(&self, value: $value, order: Ordering) -> $value {
                self.access(Kind::Rmw);
                self.word.fetch_or(value, order)
            }

            #[inline]
            pub(crate) fn get_mut(&mut self) -> &mut $value {
                self.word.get_mut()
            }

            #[inline]
            pub(crate) fn as_ptr(&self) -> *mut $value {
                self.word.as_ptr()
            }
        }
    };
}

/// What numbers have beside.
macro_rules! watched_counter {
    ($name:ident $value:ty) => {
        impl $name {
            #[track_caller]
            #[inline]
            pub(crate) fn fetch_add(&self, value: $value, order: Ordering) -> $value {
                self.access(Kind::Rmw);
                self.word.fetch_add(value, order)
            }

            #[track_caller]
            #[inline]
            pub(crate) fn fetch_sub(&self, value: $value, order: Ordering) -> $value {
                self.access(Kind::Rmw);
                self.word.fetch_sub(value, order)
            }

            #[track_caller]
            #[inline]
            pub(crate) fn fetch_min(&self, value: $value, order: Ordering) -> $value {
                self.access(Kind::Rmw);
                self.word.fetch_min(value, order)
            }

            #[track_caller]
            #[inline]
            pub(crate) fn fetch_max(&self, value: $value, order: Ordering) -> $value {
                self.access(Kind::Rmw);
                self.word.fetch_max(value, order)
            }
        }
    };
}

/// A pointer to what is made once.
macro_rules! watched_pointer {
    ([$($constant:tt)?]) => {
        /// A pointer to what is made once.
        #[derive(Debug)]
        pub(crate) struct AtomicPtr<T> {
            word: std::sync::atomic::AtomicPtr<T>,
            pub(super) tag: Tag,
        }

        impl<T> AtomicPtr<T> {
            #[inline]
            pub(crate) $($constant)? fn new(value: *mut T) -> Self {
                Self { word: std::sync::atomic::AtomicPtr::new(value), tag: Tag::new() }
            }

            #[track_caller]
            #[inline]
            pub(crate) fn load(&self, order: Ordering) -> *mut T {
                access(&self.tag, &raw const self.word, Kind::Load);
                self.word.load(order)
            }

            #[track_caller]
            #[inline]
            pub(crate) fn compare_exchange(
                &self,
                from: *mut T,
                to: *mut T,
                won: Ordering,
                lost: Ordering,
            ) -> Result<*mut T, *mut T> {
                access(&self.tag, &raw const self.word, Kind::Rmw);
                self.word.compare_exchange(from, to, won, lost)
            }

            #[inline]
            pub(crate) fn get_mut(&mut self) -> &mut *mut T {
                self.word.get_mut()
            }
        }
    };
}

pub(crate) use {watched_atomic, watched_counter, watched_pointer};
