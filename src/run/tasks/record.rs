//! Records: what a task is in memory, and how adjacent ones are called.
//!
//! A record is a closure with the addresses of its data and of its result. What records of one type have in common is
//! their [`Kind`]: above all a loop over adjacent records, in which the compiler has put the closure itself. So a task
//! costs a call only where the type changes.
//!
//! While a graph is described, records lie in the order of their descriptions ([`Records`]). A plan moves them into the
//! order in which they fire ([`Code`]).

use std::alloc::Layout;
use std::marker::PhantomData;
use std::ops::Range;
use std::ptr::NonNull;

use bumpalo::Bump;

use super::span::Cursor;
use crate::run::slot::Gone;
use crate::unwind;

/// What all records of a type have in common.
pub(crate) struct Kind {
    layout: Layout,
    /// Fires the records at some adjacent positions, the first of which is at this address, until the cursor stops it.
    /// Returns the first position that has not fired.
    ///
    /// # Safety
    /// (1) The address is that of a record of this kind, and the others follow it. (2) Each may fire now; see
    /// [`Fire::fire`].
    fire: unsafe fn(NonNull<u8>, Range<u32>, Cursor<'_>) -> u32,
    /// Calls [`Fire::torn`].
    ///
    /// # Safety
    /// (1) The address is that of a record of this kind. (2) As [`Fire::torn`].
    torn: unsafe fn(NonNull<u8>, &mut Gone),
    /// Drops a record. If its drop panics, the panic is swallowed. None: there is nothing to drop.
    drop: Option<unsafe fn(NonNull<u8>)>,
}

/// A task with its types.
pub(crate) trait Fire: Send {
    /// Fires the task: calls its closure once.
    ///
    /// # Safety
    /// (1) The data that it accesses is present, and no other thread accesses that data in a way that excludes this
    /// access. (2) Only this thread has the record.
    #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
    unsafe fn fire(&mut self);

    /// Called after `fire` has panicked: drops the data that the task may have half written, and notes which was given to it.
    ///
    /// # Safety
    /// (1), (2) As for `fire`.
    #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
    unsafe fn torn(&mut self, gone: &mut Gone);
}

/// A place for the kind of each type of task.
struct KindOf<T>(PhantomData<T>);

#[expect(unsafe_code, reason = "records are kept without their types")]
impl<T: Fire> KindOf<T> {
    const KIND: &'static Kind = &Kind {
        layout: Layout::new::<T>(),
        fire: Self::fire,
        torn: Self::torn,
        drop: if std::mem::needs_drop::<T>() { Some(Self::drop) } else { None },
    };

    unsafe fn fire(first: NonNull<u8>, positions: Range<u32>, cursor: Cursor<'_>) -> u32 {
        let mut record = first.cast::<T>();
        for position in positions.clone() {
            if !cursor.begins(position) {
                return position;
            }
            // SAFETY: it is a record of this kind.
            let task = unsafe { record.as_mut() };
            // SAFETY: (1), (2) passed on.
            unsafe { task.fire() };
            // SAFETY: the next record, or the end of the last one.
            record = unsafe { record.add(1) };
        }
        positions.end
    }

    unsafe fn torn(record: NonNull<u8>, gone: &mut Gone) {
        let mut record = record.cast::<T>();
        // SAFETY: it is a record of this kind.
        let task = unsafe { record.as_mut() };
        // SAFETY: (1), (2) passed on.
        unsafe { task.torn(gone) };
    }

    unsafe fn drop(record: NonNull<u8>) {
        // SAFETY: the caller has the record, and drops it once.
        unwind::drop_value(unsafe { record.cast::<T>().read() });
    }
}

/// The records of a graph that is being described.
pub(crate) struct Records<'env> {
    arena: Bump,
    list: Vec<(&'static Kind, NonNull<u8>)>,
    marker: PhantomData<dyn Fire + 'env>,
}

impl<'env> Records<'env> {
    pub(crate) fn new() -> Self {
        Self { arena: Bump::new(), list: Vec::new(), marker: PhantomData }
    }

    /// Adds a record, and returns its number.
    pub(crate) fn add<T: Fire + 'env>(&mut self, record: T) -> u32 {
        let number = u32::try_from(self.list.len()).expect("fewer than 2^32 tasks");
        self.list.push((KindOf::<T>::KIND, NonNull::from(self.arena.alloc(record)).cast()));
        number
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// A number that is the same for all records of the same kind.
    pub(crate) fn kind(&self, record: u32) -> usize {
        std::ptr::from_ref(self.list[record as usize].0).addr()
    }
}

impl Drop for Records<'_> {
    fn drop(&mut self) {
        for (kind, record) in self.list.drain(..) {
            drop_record(kind, record);
        }
    }
}

fn drop_record(kind: &Kind, record: NonNull<u8>) {
    if let Some(drop) = kind.drop {
        #[expect(unsafe_code, reason = "records are kept without their types")]
        // SAFETY: the caller owns the record, and does not touch it again.
        unsafe {
            drop(record);
        }
    }
}

/// Adjacent records of one kind in one group.
struct Row {
    kind: &'static Kind,
    first: NonNull<u8>,
    /// The position of the first record.
    start: u32,
}

impl Row {
    /// The address of the record at a position of the row.
    fn at(&self, position: u32) -> NonNull<u8> {
        #[expect(unsafe_code, reason = "records are kept without their types")]
        // SAFETY: the records of a row lie side by side.
        unsafe {
            self.first.add((position - self.start) as usize * self.kind.layout.size())
        }
    }
}

/// The records of a plan, in the order in which they fire.
pub(crate) struct Code<'env> {
    /// Sorted by position. Each ends where the next one begins.
    rows: Box<[Row]>,
    /// The first row of each group, and behind the last one.
    first: Box<[u32]>,
    /// How many records there are.
    len: u32,
    arena: Bump,
    marker: PhantomData<dyn Fire + 'env>,
}

#[expect(unsafe_code, reason = "owns its records")]
// SAFETY: (1) records are `Send`, by `Fire`; (2) it has the only addresses of them, and `fire` asks its callers to have
// the records to themselves.
unsafe impl Send for Code<'_> {}
#[expect(unsafe_code, reason = "owns its records")]
// SAFETY: see `Send`.
unsafe impl Sync for Code<'_> {}

impl<'env> Code<'env> {
    /// Moves records: the one with the number `order[p]` to position `p`. `ends` are the ends of the groups.
    pub(crate) fn new(mut records: Records<'env>, order: &[u32], ends: &[u32]) -> Self {
        debug_assert_eq!(records.len(), order.len(), "each record has a position");
        let list = std::mem::take(&mut records.list);
        let kind = |position: u32| list[order[position as usize] as usize].0;
        let (mut starts, mut firsts) = (Vec::new(), Vec::with_capacity(ends.len() + 1));
        let mut begin = 0;
        for end in ends {
            firsts.push(starts.len());
            let begins = |position: &u32| *position == begin || !std::ptr::eq(kind(*position), kind(position - 1));
            starts.extend((begin..*end).filter(begins));
            begin = *end;
        }
        firsts.push(starts.len());
        let first_rows = firsts.into_iter().map(|row| u32::try_from(row).expect("at most one for each record"));
        let len = begin;
        let bytes: usize = starts.iter().map(|start| kind(*start).layout.align()).sum::<usize>()
            + order.iter().map(|record| list[*record as usize].0.layout.size()).sum::<usize>();
        let arena = Bump::with_capacity(bytes);
        let mut rows: Vec<Row> = Vec::with_capacity(starts.len());
        // The arena gives out memory from its end on. So the last row comes first, and addresses grow with positions.
        let mut end = len;
        for start in starts.into_iter().rev() {
            let (kind, count) = (kind(start), (end - start) as usize);
            let size = kind.layout.size();
            let place = Layout::from_size_align(size * count, kind.layout.align()).expect("they were in memory before");
            let first = arena.alloc_layout(place);
            let row = Row { kind, first, start };
            for position in start..end {
                let (_, record) = list[order[position as usize] as usize];
                #[expect(unsafe_code, reason = "records are kept without their types")]
                // SAFETY: (1) the new place has room for this record; (2) records were moved out of the list, so that nobody
                // drops the old ones.
                unsafe {
                    row.at(position).copy_from_nonoverlapping(record, size);
                }
            }
            rows.push(row);
            end = start;
        }
        rows.reverse();
        Self { rows: rows.into(), first: first_rows.collect(), len, arena, marker: PhantomData }
    }

    /// Gives the records back. `numbers` are their numbers, by position.
    pub(super) fn take_apart(&mut self, numbers: impl Iterator<Item = u32>) -> Records<'env> {
        let rows = std::mem::take(&mut self.rows);
        let mut list: Vec<Option<(&'static Kind, NonNull<u8>)>> = vec![None; self.len as usize];
        let ends = rows.iter().skip(1).map(|row| row.start).chain([self.len]);
        let records = rows.iter().zip(ends).flat_map(|(row, end)| (row.start..end).map(|at| (row.kind, row.at(at))));
        numbers.zip(records).for_each(|(number, record)| list[number as usize] = Some(record));
        let list = list.into_iter().map(|record| record.expect("each record has a position")).collect();
        Records { arena: std::mem::take(&mut self.arena), list, marker: PhantomData }
    }

    /// How many rows there are.
    pub(super) fn rows(&self) -> usize {
        self.rows.len()
    }

    /// The row of a position in this group.
    fn row(&self, group: u32, position: u32) -> usize {
        let (first, end) = (self.first[group as usize] as usize, self.first[group as usize + 1] as usize);
        first + self.rows[first..end].partition_point(|row| row.start <= position) - 1
    }

    /// The position behind a row.
    fn end(&self, row: usize) -> u32 {
        self.rows.get(row + 1).map_or(self.len, |next| next.start)
    }

    /// Fires the records at these positions of a group, until the cursor stops it. Returns the first position that has not fired.
    ///
    /// # Safety
    /// (1) Each may fire now; see [`Fire::fire`].
    #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
    pub(super) unsafe fn fire(&self, group: u32, positions: Range<u32>, cursor: Cursor<'_>) -> u32 {
        let (mut at, mut row) = (positions.start, self.row(group, positions.start));
        while at < positions.end {
            let end = self.end(row).min(positions.end);
            let own = &self.rows[row];
            // SAFETY: (1) records of this row; (2) by (1).
            let stopped = unsafe { (own.kind.fire)(own.at(at), at..end, cursor) };
            if stopped < end {
                return stopped;
            }
            (at, row) = (end, row + 1);
        }
        at
    }

    /// Called after the record at this position of a group has panicked. Returns the data that is gone.
    ///
    /// # Safety
    /// (1) As [`Fire::torn`].
    #[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
    pub(super) unsafe fn torn(&self, group: u32, position: u32) -> Gone {
        let mut gone = Gone::default();
        let row = &self.rows[self.row(group, position)];
        // SAFETY: (1) a record of this row; (2) by (1).
        unsafe { (row.kind.torn)(row.at(position), &mut gone) };
        gone
    }
}

impl Drop for Code<'_> {
    fn drop(&mut self) {
        for (at, row) in self.rows.iter().enumerate().filter(|(_, row)| row.kind.drop.is_some()) {
            for position in row.start..self.end(at) {
                drop_record(row.kind, row.at(position));
            }
        }
    }
}
