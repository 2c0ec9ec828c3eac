//! Parts of data, as data of their own.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::panic::Location;
use std::ptr::NonNull;
use std::sync::Arc;

use super::Graph;
use super::access::{Access, AccessAt, ForeignData, private, slot_of, there};
use crate::plan::draft::{Draft, Mode, SlotAccess, SlotId, Tiling, Torn};
use crate::plan::{Data, Place};
use crate::run::slot::{Gone, Slot};

impl<'env> Graph<'env> {
    /// Cuts data into parts of `len` items each; the last one has what is left. Tasks access a part by
    /// [`read`](Part::read) or [`write`](Part::write), and get a slice. [`tiles`](Self::tiles) cuts a matrix.
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
        let tiling = |items: usize| match len {
            0 => Err("chunks(0): parts have at least 1 item".to_owned()),
            _ => Ok((items > 0).then(|| Tiling::ranges(items, len))),
        };
        let parts = self.cut(data, tiling, ["chunks", "chunk"], Location::caller(), |name, items, _| {
            (items.clone(), format!("{name}[{}..{}]", items.start, items.end))
        });
        let mut parts = parts.unwrap_or_default();
        if let Some(last) = parts.last_mut() {
            last.items.end = usize::MAX;
        }
        parts.into_iter().map(Part).collect()
    }

    /// Cuts data. `tiling` is told how many items there are, and says how they are cut; None: there are none; an error: what is
    /// wrong. `each` is told the name of the data, and the rows and columns of a part, and says what it is, and its name. The
    /// error is a defect that was noted. `methods` are the operators: that which cuts, and that which each part is.
    pub(super) fn cut<T: Send + 'env, I>(
        &self,
        data: &Data<Vec<T>>,
        tiling: impl FnOnce(usize) -> Result<Option<Tiling>, String>,
        [method, part]: [&'static str; 2],
        location: &'static Location<'static>,
        each: impl Fn(&str, Range<usize>, Range<usize>) -> (I, String),
    ) -> Result<Vec<Piece<T, I>>, String> {
        let mut draft = self.draft.borrow_mut();
        let tiling = match slot_of(&draft, data) {
            Err(ForeignData) => Err("it cuts data of another graph".to_owned()),
            Ok(_) if !draft.is_given(data.slot) => {
                Err(format!("it cuts '{}', whose length is not known before a run", self.names.get(data.op())))
            }
            Ok(whole) => {
                #[expect(unsafe_code, reason = "nothing runs")]
                // SAFETY: (1) the graph is being described: nothing runs.
                let items = unsafe { whole.read() }.map_or(0, Vec::len);
                tiling(items)
            }
        };
        let tiling = match tiling {
            Ok(Some(tiling)) => tiling,
            Ok(None) => return Ok(Vec::new()),
            Err(what) => {
                draft.defect(self.names.add(method, location), &what);
                return Err(what);
            }
        };
        let name = self.names.get_own(data.op());
        let ops: Vec<usize> = tiling.parts().map(|_| self.names.add(part, location)).collect();
        let slots = draft.cut(data.slot, tiling, ops.iter().copied());
        let pieces = tiling.parts().zip(ops.into_iter().zip(slots)).map(|((rows, columns), (op, slot))| {
            let (items, name) = each(&name, rows, columns);
            let part = Data::new(Arc::clone(&self.names), slot, op).named(&name);
            Piece { part, whole: data.slot, items, marker: PhantomData }
        });
        Ok(pieces.collect())
    }
}

/// A part of data. `I` says which items it has.
pub(super) struct Piece<T, I> {
    /// The part as data: its name, its place, and whether a task has stopped while it wrote it.
    part: Data<Torn>,
    whole: SlotId,
    items: I,
    marker: PhantomData<fn(T) -> T>,
}

impl<T, I: Clone> Piece<T, I> {
    pub(super) fn named(self, name: &str) -> Self {
        Self { part: self.part.named(name), ..self }
    }

    pub(super) fn place(self, place: Place<'_>) -> Self {
        Self { part: self.part.place(place), ..self }
    }

    pub(super) fn bind(
        &self,
        draft: &Draft<'_>,
        mode: Mode,
        list: &mut Vec<SlotAccess>,
    ) -> Result<PieceAt<T, I>, ForeignData> {
        let torn = slot_of(draft, &self.part)?;
        list.push(SlotAccess::new(self.part.slot, mode));
        #[expect(unsafe_code, reason = "slots are kept without their types")]
        // SAFETY: (1) the part was made with a handle of this slot, and handles are invariant in `T`.
        let whole = unsafe { draft.slot(self.whole) };
        Ok(PieceAt { whole, torn, items: self.items.clone() })
    }
}

impl<T, I: Clone> Clone for Piece<T, I> {
    fn clone(&self) -> Self {
        Self { part: self.part.clone(), items: self.items.clone(), ..*self }
    }
}

impl<T, I> fmt::Debug for Piece<T, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.part.fmt(f)
    }
}

/// Where a part is.
#[derive(Debug)]
#[expect(unnameable_types, reason = "the engine's")]
pub struct PieceAt<T, I> {
    whole: Slot<Vec<T>>,
    torn: Slot<Torn>,
    pub(super) items: I,
}

#[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
impl<T, I> PieceAt<T, I> {
    /// The first item of the whole, and how many there are.
    ///
    /// # Safety
    /// (1) The whole is present, and no other thread accesses the vector itself, though others may access its items.
    #[inline]
    pub(super) unsafe fn whole(&self) -> (NonNull<T>, usize) {
        // SAFETY: (1); (2) this looks only at where the items are and how many there are.
        let whole = unsafe { self.whole.read() };
        // SAFETY: (1).
        let whole = unsafe { there(whole) };
        // A vector has a raw pointer to its items. So what is made of it here may write them, though the vector is
        // borrowed for reading.
        let first = whole.as_ptr().cast_mut();
        // SAFETY: that pointer is not null, also if there are no items.
        (unsafe { NonNull::new_unchecked(first) }, whole.len())
    }

    /// A task has stopped while it wrote the part. Others may access the other parts now, so the whole is not dropped before
    /// the run is over.
    ///
    /// # Safety
    /// (1) As for [`AccessAt::fetch`].
    pub(super) unsafe fn tear(&self, gone: &mut Gone) {
        // SAFETY: (1) the task has the part, and what is noted of it.
        unsafe { self.torn.replace(Some(Torn)) };
        gone.add(&self.torn);
    }
}

/// A handle to a part of data, made by [`Graph::chunks`].
///
/// A clone is a handle to the same part.
pub struct Part<T>(Piece<T, Range<usize>>);

impl<T> Part<T> {
    /// Access for reading: the task gets `&[T]`. Other readers may run at the same time.
    #[must_use]
    pub fn read(&self) -> ReadPart<T> {
        ReadPart(self.0.clone())
    }

    /// Access for writing: the task gets `&mut [T]`. No other access to the part happens at the same time.
    #[must_use]
    pub fn write(&self) -> WritePart<T> {
        WritePart(self.0.clone())
    }

    /// Names the part. Until then it is called after the data and the items: `field[0..1024]`.
    #[expect(clippy::must_use_candidate, reason = "the name is given, whether the handle is used or not")]
    pub fn named(self, name: &str) -> Self {
        Self(self.0.named(name))
    }

    /// Says where the part is at home, as [`Data::place`] does for data.
    #[expect(clippy::must_use_candidate, reason = "the place is set, whether the handle is used or not")]
    pub fn place(self, place: Place<'_>) -> Self {
        Self(self.0.place(place))
    }
}

impl<T> Clone for Part<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> fmt::Debug for Part<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Part").field(&self.0).finish()
    }
}

/// Where a range of items is.
pub(super) type PartAt<T> = PieceAt<T, Range<usize>>;

impl<T> PartAt<T> {
    /// The items of the part, as far as the data goes now.
    ///
    /// # Safety
    /// (1) The whole is present, and no other thread accesses the vector itself, though others may access its items.
    #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
    #[inline]
    unsafe fn locate(&self) -> NonNull<[T]> {
        // SAFETY: (1).
        let (first, len) = unsafe { self.whole() };
        let end = self.items.end.min(len);
        let start = self.items.start.min(end);
        // SAFETY: within the vector, or at its end.
        let first = unsafe { first.add(start) };
        NonNull::slice_from_raw_parts(first, end - start)
    }
}

/// Makes accesses to parts.
macro_rules! accesses {
    ($(
        $(#[$doc:meta])*
        $name:ident of $of:ty, [$($bound:ident)+] as $mode:expr, $ref:ty,
        fetch |$items:pat_param| $fetch:expr $(, torn $tear:ident)?;
    )*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name<T>(Piece<T, $of>);

        impl<T> private::Sealed for $name<T> {
            type Slots = PieceAt<T, $of>;
        }

        #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
        impl<'a, T: $($bound +)+> AccessAt<'a> for $name<T> {
            type Ref = $ref;
            #[inline]
            unsafe fn fetch(part: &PieceAt<T, $of>) -> $ref {
                // SAFETY: (1) who accesses the vector itself excludes this access.
                let $items = unsafe { part.locate() };
                $fetch
            }
        }

        #[expect(private_interfaces, reason = "sealed: called by the graph")]
        impl<T: $($bound +)+> Access for $name<T> {
            fn bind(&self, draft: &Draft<'_>, list: &mut Vec<SlotAccess>) -> Result<PieceAt<T, $of>, ForeignData> {
                self.0.bind(draft, $mode, list)
            }
            $(
                #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
                unsafe fn torn(part: &PieceAt<T, $of>, gone: &mut Gone) {
                    // SAFETY: (1) passed on.
                    unsafe { part.$tear(gone) };
                }
            )?
        }
    )*};
}
pub(super) use accesses;
accesses! {
    /// Access to a part of data for reading, made by [`Part::read`].
    ReadPart of Range<usize>, [Send Sync] as Mode::Read, &'a [T],
    // SAFETY: (1) nobody writes these items, which are a slice of a vector; (2) only a type that is `Sync` can be read.
    fetch |items| unsafe { items.as_ref() };
    /// Access to a part of data for writing, made by [`Part::write`].
    WritePart of Range<usize>, [Send] as Mode::Write, &'a mut [T],
    // SAFETY: (1) nobody else accesses these items, which are a slice of a vector.
    fetch |mut items| unsafe { items.as_mut() }, torn tear;
}
