//! Values that notice if two tasks have them that must not, and an account of all of them.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::check::work;

/// What becomes of a value, and of another one.
pub(super) fn mix(a: u64, b: u64) -> u64 {
    (a ^ b.rotate_left(17)).wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(b)
}

/// All things that are alive, and what has gone wrong with any. Tasks that panic may hide a panic, but nothing that is
/// noted here.
#[derive(Debug, Default)]
pub(super) struct Account {
    made: AtomicU64,
    alive: Mutex<HashSet<u64>>,
    faults: Mutex<Vec<String>>,
}

impl Account {
    /// How many things are alive.
    pub(super) fn alive(&self) -> usize {
        self.alive.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub(super) fn faults(&self) -> Vec<String> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, fault: String) {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }
}

/// A thing in an account, until it is dropped.
#[derive(Debug)]
pub(super) struct Listed<'a> {
    account: &'a Account,
    number: u64,
}

impl<'a> Listed<'a> {
    pub(super) fn new(account: &'a Account) -> Self {
        let number = account.made.fetch_add(1, Ordering::Relaxed);
        account.alive.lock().unwrap_or_else(PoisonError::into_inner).insert(number);
        Self { account, number }
    }
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        let Self { account, number } = self;
        if !account.alive.lock().unwrap_or_else(PoisonError::into_inner).remove(number) {
            account.note(format!("thing {number} was dropped twice"));
        }
    }
}

/// A number that tasks read, write and take. It knows which steps have it now.
#[derive(Debug)]
pub(super) struct Value<'a> {
    pub(super) value: u64,
    readers: AtomicU32,
    /// The step that writes it now, plus one; 0: none.
    writer: AtomicU32,
    listed: Listed<'a>,
}

/// A step reads a value as long as this lives, also if it panics meanwhile.
struct Reading<'a>(&'a AtomicU32);

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl<'a> Value<'a> {
    pub(super) fn new(account: &'a Account, value: u64) -> Self {
        Self { value, readers: AtomicU32::new(0), writer: AtomicU32::new(0), listed: Listed::new(account) }
    }

    /// The step `by` does something that nobody may do while another one writes.
    fn is_not_written(&self, by: u32) {
        let writer = self.writer.load(Ordering::SeqCst);
        if writer != 0 {
            self.listed.account.note(format!("step {by} has what step {} writes", writer - 1));
        }
    }

    /// The step `by` does something that nobody may do while others read.
    fn is_not_read(&self, by: u32) {
        if self.readers.load(Ordering::SeqCst) != 0 {
            self.listed.account.note(format!("step {by} writes or takes what others read"));
        }
    }

    /// The step `by` reads it, for so many rounds.
    pub(super) fn read(&self, by: u32, rounds: u64) -> u64 {
        self.readers.fetch_add(1, Ordering::SeqCst);
        let _reading = Reading(&self.readers);
        self.is_not_written(by);
        work(rounds);
        self.is_not_written(by);
        self.value
    }

    /// The step `by` writes it, for so many rounds, and returns what it is then.
    pub(super) fn write(&mut self, by: u32, rounds: u64, change: impl FnOnce(u64) -> u64) -> u64 {
        self.is_not_written(by);
        self.writer.store(by + 1, Ordering::SeqCst);
        work(rounds);
        self.is_not_read(by);
        self.value = change(self.value);
        let writer = self.writer.swap(0, Ordering::SeqCst);
        if writer != by + 1 {
            self.listed.account.note(format!("step {by} writes, and so does another one"));
        }
        self.value
    }

    /// The step `by` has taken it.
    pub(super) fn take(self, by: u32, rounds: u64) -> u64 {
        self.is_not_written(by);
        work(rounds);
        self.is_not_read(by);
        self.value
    }
}

/// The step `by` reads some of them.
pub(super) fn read_all<'v, 'a: 'v>(
    values: impl IntoIterator<Item = &'v Value<'a>>,
    by: u32,
    rounds: u64,
    id: u64,
) -> u64 {
    values.into_iter().fold(id, |sum, value| mix(sum, value.read(by, rounds)))
}

/// The step `by` writes some of them.
pub(super) fn write_all<'v, 'a: 'v>(
    values: impl IntoIterator<Item = &'v mut Value<'a>>,
    by: u32,
    rounds: u64,
    id: u64,
) -> u64 {
    values.into_iter().fold(id, |sum, value| mix(sum, value.write(by, rounds, |value| mix(value, id))))
}
