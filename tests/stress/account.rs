//! Items that are counted: each must be dropped once, whatever happens to the run that has it.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::dice::mix;

/// What was made and what was dropped. All is relaxed, so that counting orders nothing.
#[derive(Default)]
pub(crate) struct Account {
    made: AtomicU64,
    dropped: AtomicU64,
    /// Sums over the spread numbers of all items: one that is dropped twice does not make up for one that never is.
    sum_made: AtomicU64,
    sum_dropped: AtomicU64,
}

/// An item on the heap, so that tools for memory see it.
pub(crate) struct Item {
    value: Box<u64>,
    number: u64,
    account: &'static Account,
}

impl Account {
    /// One that lives as long as the process, for graphs that must borrow nothing.
    pub(crate) fn new() -> &'static Self {
        /// What is not lost is no leak.
        static ALL: Mutex<Vec<&'static Account>> = Mutex::new(Vec::new());
        let account: &'static Self = Box::leak(Box::default());
        ALL.lock().expect("no panic").push(account);
        account
    }

    pub(crate) fn item(&'static self, value: u64) -> Item {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        self.sum_made.fetch_add(mix(number), Ordering::Relaxed);
        Item { value: Box::new(value), number, account: self }
    }

    /// Fails unless all that was made was dropped, once.
    #[track_caller]
    pub(crate) fn assert_even(&self) {
        let [made, dropped, sum_made, sum_dropped] =
            [&self.made, &self.dropped, &self.sum_made, &self.sum_dropped].map(|word| word.load(Ordering::Relaxed));
        assert_eq!(made, dropped, "items made, and items dropped");
        assert_eq!(sum_made, sum_dropped, "as many were dropped as were made, but not the same");
    }
}

impl Item {
    pub(crate) fn value(&self) -> u64 {
        *self.value
    }

    /// Another item, made of this one.
    pub(crate) fn becomes(self, value: u64) -> Self {
        self.account.item(value)
    }

    pub(crate) fn set(&mut self, value: u64) {
        *self.value = value;
    }
}

impl Clone for Item {
    fn clone(&self) -> Self {
        self.account.item(self.value())
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        self.account.dropped.fetch_add(1, Ordering::Relaxed);
        self.account.sum_dropped.fetch_add(mix(self.number), Ordering::Relaxed);
    }
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Eq for Item {}

impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Item {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.value.cmp(&other.value)
    }
}
