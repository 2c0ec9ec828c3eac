//! A list of fixed length. Its second part is made when somebody first needs it.
//!
//! Most sources never use most of their places, and a graph may have thousands of sources. So only the places that are
//! usually used are made beforehand. Any thread may look at a place; the [`OnceBox`] sees to it that all find the same.

use std::ops::Index;

use super::once_box::OnceBox;

/// A list in two parts; see the module.
#[derive(Debug)]
pub(crate) struct TwoParts<T> {
    first: Box<[T]>,
    second: OnceBox<Box<[T]>>,
    len: usize,
}

impl<T: Default> TwoParts<T> {
    /// A list of `len` places, of which `first` are made now.
    pub(crate) fn new(len: usize, first: usize) -> Self {
        Self { first: made(first.min(len)), second: OnceBox::new(), len }
    }
}

fn made<T: Default>(places: usize) -> Box<[T]> {
    (0..places).map(|_| T::default()).collect()
}

impl<T> TwoParts<T> {
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// How many places are in the first part.
    pub(crate) fn first_len(&self) -> usize {
        self.first.len()
    }

    /// How many places are made by now.
    pub(crate) fn made_len(&self) -> usize {
        if self.second.is_there() { self.len } else { self.first.len() }
    }
}

impl<T: Default + Send> Index<usize> for TwoParts<T> {
    type Output = T;

    #[inline]
    fn index(&self, place: usize) -> &T {
        match self.first.get(place) {
            Some(there) => there,
            None => self.in_second(place - self.first.len()),
        }
    }
}

impl<T: Default + Send> TwoParts<T> {
    #[cold]
    #[inline(never)]
    fn in_second(&self, place: usize) -> &T {
        &self.second.get_or_make(|| Box::new(made(self.len - self.first.len())))[place]
    }
}
