//! Different values of which there are few, for what millions of things refer to by number.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};

/// A value that lives as long as the program. Those at different addresses are different.
#[derive(Debug)]
pub(crate) struct ByAddress<T: ?Sized + 'static>(pub(crate) &'static T);

impl<T: ?Sized> ByAddress<T> {
    pub(crate) fn address(self) -> usize {
        std::ptr::from_ref(self.0).addr()
    }
}

impl<T: ?Sized> Clone for ByAddress<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for ByAddress<T> {}

impl<T: ?Sized> PartialEq for ByAddress<T> {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::addr_eq(self.0, other.0)
    }
}

impl<T: ?Sized> Eq for ByAddress<T> {}

impl<T: ?Sized> Hash for ByAddress<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_usize(self.address());
    }
}

/// Values, each once.
#[derive(Debug)]
pub(crate) struct Few<T> {
    list: Vec<T>,
    numbers: HashMap<T, u32>,
    /// Numbers that were asked for lately, by a hint.
    recent: [u32; RECENT],
}

const RECENT: usize = 16;

impl<T: Copy + Eq + Hash> Few<T> {
    /// The number of a value. Values with other hints are found sooner.
    #[inline]
    pub(crate) fn number(&mut self, value: T, hint: usize) -> u32 {
        let recent = self.recent[hint % RECENT];
        if self.list.get(recent as usize) == Some(&value) {
            return recent;
        }
        self.find(value, hint)
    }

    #[cold]
    fn find(&mut self, value: T, hint: usize) -> u32 {
        let number = *self.numbers.entry(value).or_insert_with(|| {
            self.list.push(value);
            u32::try_from(self.list.len() - 1).expect("they are few")
        });
        self.recent[hint % RECENT] = number;
        number
    }

    pub(crate) fn get(&self, number: u32) -> T {
        self.list[number as usize]
    }
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self { list: Vec::new(), numbers: HashMap::new(), recent: [0; RECENT] }
    }
}
