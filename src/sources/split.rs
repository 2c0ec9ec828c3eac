//! `split` and `split_all`: the records of texts.
//!
//! Workers cut a text by bytes, without looking for records first. A record could then be seen by two workers or by
//! none. One rule prevents that: a record belongs to the batch in which it begins, and the worker on that batch reads
//! on to the end of the record.

use std::ops::{Range, RangeInclusive};

use crate::engine::heads::numbered::{Batch, ByNumber};
use crate::engine::pipe::Pipe;
use crate::graph::{Graph, Stream};
use crate::run::flow::batch::BatchSize;
use crate::run::flow::supply::MemoryRange;

impl<'env> Graph<'env> {
    /// Makes a stream of the records of a text. All workers look for records at once.
    ///
    /// A record ends with the byte `delimiter`, which is not part of it. What comes after the last delimiter is a
    /// record if it is not empty, as in [`str::lines`]. Batches are ranges of 4 to 64 KiB;
    /// [`batch_size`](Stream::batch_size) is in bytes here.
    #[track_caller]
    pub fn split(
        &self,
        text: &'env [u8],
        delimiter: u8,
    ) -> Stream<'env, &'env [u8], impl Pipe<Out = &'env [u8]> + use<'env>> {
        self.add_numbered("split", Records::new(vec![text], delimiter))
    }

    /// Makes a stream of the records of many texts, one text after the other. Otherwise it is as
    /// [`split`](Self::split).
    ///
    /// Batches are cut by size: many small texts share a batch, and a large text has many batches. The end of a text
    /// ends a record.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let texts: [&[u8]; 3] = [b"one\ntwo", b"", b"three\n"];
    /// let g = Graph::new();
    /// let lines = g.split_all(&texts, b'\n').collect();
    /// assert_eq!(pool.run(g)?.take(lines), [&b"one"[..], b"two", b"three"]);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn split_all(
        &self,
        texts: &[&'env [u8]],
        delimiter: u8,
    ) -> Stream<'env, &'env [u8], impl Pipe<Out = &'env [u8]> + use<'env>> {
        self.add_numbered("split_all", Records::new(texts.to_vec(), delimiter))
    }
}

/// Records of bytes that end with a delimiter. Several buffers are taken as if they were one. Batches are ranges of
/// bytes; a record belongs to the batch in which it begins.
pub(crate) struct Records<'env> {
    buffers: Vec<&'env [u8]>,
    /// Where each buffer begins, and where the last one ends.
    starts: Vec<u64>,
    delimiter: u8,
}

/// How many bytes a batch of records may have, unless the user sets a size.
const RECORD_BYTES: RangeInclusive<u64> = 4 * 1024..=64 * 1024;

impl<'env> Records<'env> {
    pub(crate) fn new(buffers: Vec<&'env [u8]>, delimiter: u8) -> Self {
        let mut end = 0;
        let ends = buffers.iter().map(|buffer| {
            end += buffer.len() as u64;
            end
        });
        Self { starts: std::iter::once(0).chain(ends).collect(), buffers, delimiter }
    }

    /// Gives the records of one buffer to `out` that begin in a range of it.
    #[inline]
    fn each_of(&self, buffer: &'env [u8], range: Range<usize>, out: &mut impl FnMut(&'env [u8])) {
        let mut start = match range.start.checked_sub(1) {
            None => 0,
            Some(before) => match memchr::memchr(self.delimiter, &buffer[before..range.end]) {
                Some(place) => before + place + 1,
                None => return, // the whole range is inside of a record that began before it
            },
        };
        if start >= range.end {
            return;
        }
        let base = start;
        for place in memchr::memchr_iter(self.delimiter, &buffer[base..]) {
            out(&buffer[start..base + place]);
            start = base + place + 1;
            if start >= range.end {
                return;
            }
        }
        out(&buffer[start..]);
    }
}

impl<'env> ByNumber for Records<'env> {
    type Item = &'env [u8];
    const ONE_EACH: bool = false; // how many records there are is not known before the text is read
    const IS_FIXED: bool = true;
    fn len(&self) -> u64 {
        *self.starts.last().expect("one more than buffers")
    }
    fn batch(&self, size: BatchSize) -> u64 {
        match size {
            BatchSize::Growing => {
                size.of(self.len()).max((self.len() / 4096).clamp(*RECORD_BYTES.start(), *RECORD_BYTES.end()))
            }
            BatchSize::Fixed(_) => size.of(self.len()),
        }
    }
    #[inline]
    fn each(&self, batch: Batch, out: &mut impl FnMut(&'env [u8])) {
        let Range { start, end } = batch.range;
        let first = self.starts.partition_point(|begin| *begin <= start) - 1;
        for (buffer, begin) in self.buffers[first..].iter().zip(&self.starts[first..]) {
            if *begin >= end {
                break;
            }
            let index = |place: u64| usize::try_from(place - begin).expect("within a buffer");
            self.each_of(buffer, index(start.max(*begin))..index(end).min(buffer.len()), out);
        }
    }
    fn memory(&self) -> Vec<MemoryRange> {
        self.buffers.iter().map(|buffer| MemoryRange::of(*buffer)).collect()
    }
}
