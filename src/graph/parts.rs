//! Parts of data, as data of their own.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::panic::Location;
use std::sync::Arc;

use super::Graph;
use super::access::{Access, AccessAt, ForeignData, private, slot_of, there};
use crate::plan::draft::{Draft, Mode, SlotAccess, SlotId, Torn};
use crate::plan::{Data, Place};
use crate::run::slot::{Gone, Slot};

impl<'env> Graph<'env> {
    /// Cuts data into parts of `len` items each; the last one has what is left. Tasks access a part by
    /// [`read`](Part::read) or [`write`](Part::write), and get a slice.
    ///
    /// Tasks on different parts may run at the same time. An access to the whole waits for the accesses to all parts before
    /// it, and those after it wait for it. Data may be cut in several ways: parts that overlap exclude each other.
    ///
    /// How many parts there are depends on the length that the data has now. Should a later run find the data longer, the
    /// last part has the rest; should it be shorter, parts behind its end are empty.
    ///
    /// If a task panics while it writes a part, the whole is absent after the run.
    ///
    /// Two things are defects, which [`plan`](Graph::plan) reports: the length 0, and data that is not made by
    /// [`data`](Graph::data), as nobody knows its length.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let numbers = g.data((1..=1000).collect::<Vec<u64>>());
    /// for part in g.chunks(&numbers, 300) {
    ///     g.task(part.write(), |part| part.iter_mut().for_each(|x| *x *= 2));
    /// }
    /// let sum = g.task(numbers.read(), |numbers| numbers.iter().sum::<u64>());
    /// assert_eq!(pool.run(g)?.take(sum), 1_001_000);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[must_use]
    #[track_caller]
    pub fn chunks<T: Send + 'env>(&self, data: &Data<Vec<T>>, len: usize) -> Vec<Part<T>> {
        let location = Location::caller();
        let mut draft = self.draft.borrow_mut();
        let whole = match slot_of(&draft, data) {
            Ok(whole) if draft.is_given(data.slot) && len > 0 => whole,
            other => {
                let what = match other {
                    Err(ForeignData) => "it cuts data of another graph".to_owned(),
                    Ok(_) if len == 0 => "chunks(0): parts have at least 1 item".to_owned(),
                    Ok(_) => format!("it cuts '{}', whose length is not known before a run", self.names.get(data.op())),
                };
                draft.defect(self.names.add("chunks", location), what);
                return Vec::new();
            }
        };
        #[expect(unsafe_code, reason = "nothing runs")]
        // SAFETY: (1) the graph is being described: nothing runs.
        let items = unsafe { whole.read() }.map_or(0, Vec::len);
        let name = self.names.get(data.op());
        let mut add = |start: usize| {
            let end = if items - start > len { start + len } else { usize::MAX };
            let op = self.names.add("chunk", location);
            let slot = draft.add_part(data.slot, start..end, op);
            let part =
                Data::new(Arc::clone(&self.names), slot, op).named(&format!("{name}[{start}..{}]", end.min(items)));
            Part { part, whole: data.slot, items: start..end, marker: PhantomData }
        };
        (0..items).step_by(len).map(&mut add).collect()
    }
}

/// A handle to a part of data, made by [`Graph::chunks`].
///
/// A clone is a handle to the same part.
pub struct Part<T> {
    /// The part as data: its name, its place, and whether a task has stopped while it wrote it.
    part: Data<Torn>,
    whole: SlotId,
    items: Range<usize>,
    marker: PhantomData<fn(T) -> T>,
}

impl<T> Part<T> {
    /// Access for reading: the task gets `&[T]`. Other readers may run at the same time.
    #[must_use]
    pub fn read(&self) -> ReadPart<T> {
        ReadPart(self.clone())
    }

    /// Access for writing: the task gets `&mut [T]`. No other access to the part happens at the same time.
    #[must_use]
    pub fn write(&self) -> WritePart<T> {
        WritePart(self.clone())
    }

    /// Names the part. Until then it is called after the data and the items: `field[0..1024]`.
    #[expect(clippy::must_use_candidate, reason = "the name is given, whether the handle is used or not")]
    pub fn named(self, name: &str) -> Self {
        Self { part: self.part.named(name), ..self }
    }

    /// Says where the part is at home, as [`Data::place`] does for data.
    #[expect(clippy::must_use_candidate, reason = "the place is set, whether the handle is used or not")]
    pub fn place(self, place: Place<'_>) -> Self {
        Self { part: self.part.place(place), ..self }
    }

    fn bind(&self, draft: &Draft<'_>, mode: Mode, list: &mut Vec<SlotAccess>) -> Result<PartAt<T>, ForeignData> {
        let torn = slot_of(draft, &self.part)?;
        list.push(SlotAccess::new(self.part.slot, mode));
        #[expect(unsafe_code, reason = "slots are kept without their types")]
        // SAFETY: (1) the part was made with a handle of this slot, and handles are invariant in `T`.
        let whole = unsafe { draft.slot(self.whole) };
        Ok(PartAt { whole, torn, items: self.items.clone() })
    }
}

impl<T> Clone for Part<T> {
    fn clone(&self) -> Self {
        Self { part: self.part.clone(), items: self.items.clone(), ..*self }
    }
}

impl<T> fmt::Debug for Part<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Part").field(&self.part).finish()
    }
}

/// Access to a part of data for reading, made by [`Part::read`].
#[derive(Debug)]
pub struct ReadPart<T>(Part<T>);
/// Access to a part of data for writing, made by [`Part::write`].
#[derive(Debug)]
pub struct WritePart<T>(Part<T>);

/// Where a part is.
#[derive(Debug)]
#[expect(unnameable_types, reason = "the engine's")]
pub struct PartAt<T> {
    whole: Slot<Vec<T>>,
    torn: Slot<Torn>,
    items: Range<usize>,
}

impl<T> PartAt<T> {
    /// The first item of the part, and how many there are.
    ///
    /// # Safety
    /// (1) The whole is present, and no other thread accesses the vector itself, though others may access its items.
    #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
    #[inline]
    unsafe fn slice(&self) -> (*mut T, usize) {
        // SAFETY: (1); (2) this looks only at where the items are and how many there are.
        let whole = unsafe { self.whole.read() };
        // SAFETY: (1).
        let whole = unsafe { there(whole) };
        let end = self.items.end.min(whole.len());
        let start = self.items.start.min(end);
        // A vector has a raw pointer to its items. So what is made of it here may write them, though the vector is
        // borrowed for reading.
        // SAFETY: within the vector, or at its end.
        (unsafe { whole.as_ptr().cast_mut().add(start) }, end - start)
    }
}

impl<T> private::Sealed for ReadPart<T> {
    type Slots = PartAt<T>;
}

#[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
impl<'a, T: Send + Sync> AccessAt<'a> for ReadPart<T> {
    type Ref = &'a [T];
    #[inline]
    unsafe fn fetch(part: &PartAt<T>) -> &'a [T] {
        // SAFETY: (1).
        let (first, len) = unsafe { part.slice() };
        // SAFETY: (1) nobody writes these items; (2) only a type that is `Sync` can be read.
        unsafe { std::slice::from_raw_parts(first, len) }
    }
}

#[expect(private_interfaces, reason = "sealed: called by the graph")]
impl<T: Send + Sync> Access for ReadPart<T> {
    fn bind(&self, draft: &Draft<'_>, list: &mut Vec<SlotAccess>) -> Result<PartAt<T>, ForeignData> {
        self.0.bind(draft, Mode::Read, list)
    }
}

impl<T> private::Sealed for WritePart<T> {
    type Slots = PartAt<T>;
}

#[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
impl<'a, T: Send> AccessAt<'a> for WritePart<T> {
    type Ref = &'a mut [T];
    #[inline]
    unsafe fn fetch(part: &PartAt<T>) -> &'a mut [T] {
        // SAFETY: (1).
        let (first, len) = unsafe { part.slice() };
        // SAFETY: (1) nobody else accesses these items.
        unsafe { std::slice::from_raw_parts_mut(first, len) }
    }
}

#[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
#[expect(private_interfaces, reason = "sealed: called by the graph")]
impl<T: Send> Access for WritePart<T> {
    fn bind(&self, draft: &Draft<'_>, list: &mut Vec<SlotAccess>) -> Result<PartAt<T>, ForeignData> {
        self.0.bind(draft, Mode::Write, list)
    }

    /// Others may access the other parts now, so the whole is not dropped before the run is over.
    unsafe fn torn(part: &PartAt<T>, gone: &mut Gone) {
        // SAFETY: (1) the task has the part, and what is noted of it.
        unsafe { part.torn.replace(Some(Torn)) };
        gone.add(&part.torn);
    }
}
