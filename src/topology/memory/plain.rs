//! Memory for systems without calls about NUMA nodes: ordinary memory, of which nothing is known.

use std::io::{Error, ErrorKind, Result};
use std::ops::{Deref, DerefMut};

use super::{CpuSet, Plain, Policy};

pub(super) struct Zeroed<T>(Vec<T>);

impl<T: Plain> Zeroed<T> {
    pub(super) fn new(len: usize) -> Result<Self> {
        let mut items = Vec::new();
        items.try_reserve_exact(len).map_err(|_| Error::from(ErrorKind::OutOfMemory))?;
        items.resize(len, T::default());
        Ok(Self(items))
    }

    pub(super) fn place(&self, _: Policy, _: &CpuSet) -> Result<()> {
        Err(unknown())
    }
}

impl<T> Deref for Zeroed<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> DerefMut for Zeroed<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

pub(super) fn page_size() -> usize {
    4096
}

pub(super) fn nodes_of(_: &[usize]) -> Result<Vec<Option<usize>>> {
    Err(unknown())
}

pub(super) fn move_pages(_: &[usize], _: usize) -> Result<()> {
    Err(unknown())
}

fn unknown() -> Error {
    Error::new(ErrorKind::Unsupported, "this is known of Linux only")
}
