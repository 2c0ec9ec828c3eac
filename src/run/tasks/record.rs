//! Records: what a task is in memory, and how adjacent ones are called.
//!
//! A record is a closure with the addresses of its data and of its result. What records of one type have in common is
//! their [`Kind`]: above all a loop over adjacent records, in which the compiler has put the closure itself. So a task
//! costs a call only where the type changes.
//!
//! While a graph is described, records lie in the order of their descriptions ([`Records`]). A plan moves them into the
//! order in which they fire ([`Code`]), unless that is the same.

use std::alloc::Layout;
use std::marker::PhantomData;
use std::ops::{Range, RangeInclusive};
use std::ptr::NonNull;

use bumpalo::Bump;

use super::parts::TaskAt;
use super::span::Cursor;
use crate::run::few::{ByAddress, Few};
use crate::run::room::{self, push};
use crate::run::slot::Gone;
pub(crate) use crate::sync::user_code;
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

/// By what kinds are found: another number for each of adjacent ones.
fn hint(kind: ByAddress<Kind>) -> usize {
    const { assert!(size_of::<Kind>() >= 32) };
    kind.address() / 32
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
    /// The free rest of the last block of the arena. Adjacent records have adjacent addresses, but where a block ends.
    next: NonNull<u8>,
    left: usize,
    /// How large the next block is.
    block: usize,
    list: Vec<NonNull<u8>>,
    /// The kind of each, by number.
    of: Vec<u16>,
    kinds: Few<ByAddress<Kind>>,
    marker: PhantomData<dyn Fire + 'env>,
}

/// Sizes of blocks in bytes.
const BLOCKS: RangeInclusive<usize> = 256..=1 << 16;

impl<'env> Records<'env> {
    pub(crate) fn new() -> Self {
        Self::in_arena(Bump::new(), Vec::new())
    }

    fn in_arena(arena: Bump, list: Vec<NonNull<u8>>) -> Self {
        let (next, block, kinds) = (NonNull::dangling(), *BLOCKS.start(), Few::default());
        Self { arena, next, left: 0, block, list, of: Vec::new(), kinds, marker: PhantomData }
    }

    /// Adds a record.
    #[inline]
    pub(crate) fn add<T: Fire + 'env>(&mut self, record: T) {
        let kind = ByAddress(KindOf::<T>::KIND);
        let number = self.kinds.number(kind, hint(kind));
        let number = u16::try_from(number).expect("fewer than 2^16 types of tasks");
        let place = self.place(Layout::new::<T>());
        #[expect(unsafe_code, reason = "records are kept without their types")]
        // SAFETY: it is a place for a record of this type, and nobody else's.
        unsafe {
            place.cast::<T>().write(record);
        }
        push(&mut self.list, place);
        push(&mut self.of, number);
    }

    /// A place for a record.
    #[inline]
    fn place(&mut self, layout: Layout) -> NonNull<u8> {
        let gap = self.next.align_offset(layout.align());
        if gap.checked_add(layout.size()).is_none_or(|bytes| bytes > self.left) {
            return self.place_in_other_block(layout);
        }
        self.left -= gap + layout.size();
        #[expect(unsafe_code, reason = "gives out the parts of a block")]
        // SAFETY: there are so many bytes in the block.
        let place = unsafe { self.next.add(gap) };
        #[expect(unsafe_code, reason = "gives out the parts of a block")]
        // SAFETY: as above.
        let next = unsafe { place.add(layout.size()) };
        self.next = next;
        place
    }

    #[cold]
    fn place_in_other_block(&mut self, layout: Layout) -> NonNull<u8> {
        let least = self.block.max(layout.size());
        self.block = (2 * least).clamp(*BLOCKS.start(), *BLOCKS.end());
        // What is left in the arena's last piece, if that is more. Pieces grow with the arena.
        let bytes = least.max(self.arena.chunk_capacity().saturating_sub(layout.align()));
        let block = Layout::from_size_align(bytes, layout.align()).expect("it is larger, or has been in memory");
        (self.next, self.left) = (self.arena.alloc_layout(block), bytes);
        room::ask(self.next, bytes);
        self.place(layout)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// A number that is the same for all records of the same kind.
    #[inline]
    pub(crate) fn kind(&self, record: u32) -> u16 {
        self.of[record as usize]
    }

    fn kind_of(&self, record: u32) -> &'static Kind {
        self.kinds.get(u32::from(self.kind(record))).0
    }
}

impl Drop for Records<'_> {
    fn drop(&mut self) {
        for (record, kind) in self.list.drain(..).zip(&self.of) {
            drop_record(self.kinds.get(u32::from(*kind)).0, record);
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
    /// Puts records into the order in which they fire: that of the task `order[p]` is at position `p`. `ends` are the ends of the
    /// groups. If they lie in that order, by and large, they stay where they are.
    pub(crate) fn new(mut records: Records<'env>, order: &[TaskAt], ends: &[u32]) -> Self {
        debug_assert_eq!(records.len(), order.len(), "each record has a position");
        let parts = rows_of(&records, order, ends, Some(order.len() / WORTH_A_MOVE));
        let stay = parts.is_some();
        let (mut rows, first) =
            parts.or_else(|| rows_of(&records, order, ends, None)).expect("nothing that lies elsewhere ends a row");
        let len = u32::try_from(order.len()).expect("as many as records");
        let arena = if stay { std::mem::take(&mut records.arena) } else { moved(&records, order, &mut rows) };
        records.list = Vec::new(); // nobody drops them where they were
        Self { rows: rows.into(), first: first.into(), len, arena, marker: PhantomData }
    }

    /// Gives the records back. `order` are their tasks, by position.
    pub(super) fn take_apart(&mut self, order: &[TaskAt]) -> Records<'env> {
        let rows = std::mem::take(&mut self.rows);
        let list = vec![NonNull::dangling(); self.len as usize];
        let mut records = Records::in_arena(std::mem::take(&mut self.arena), list);
        records.of = vec![0; self.len as usize];
        let ends = rows.iter().skip(1).map(|row| row.start).chain([self.len]);
        for (row, end) in rows.iter().zip(ends) {
            let kind = ByAddress(row.kind);
            let kind = records.kinds.number(kind, hint(kind));
            for position in row.start..end {
                let record = order[position as usize].record() as usize;
                records.list[record] = row.at(position);
                records.of[record] = u16::try_from(kind).expect("there were no more before");
            }
        }
        records
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

/// The rows of records in this order, and the first row of each group, and behind the last one. `most`: a row ends where the next
/// record lies elsewhere, but that may be so often at most; none if it is more often.
fn rows_of(records: &Records<'_>, order: &[TaskAt], ends: &[u32], most: Option<usize>) -> Option<(Vec<Row>, Vec<u32>)> {
    let (mut rows, mut first, mut breaks) = (Vec::new(), Vec::with_capacity(ends.len() + 1), 0);
    let mut begin = 0;
    for end in ends {
        first.push(u32::try_from(rows.len()).expect("at most one for each record"));
        // What goes on with the row: the number of the kind, and the address.
        let mut next = None;
        for (position, task) in (begin..*end).zip(&order[begin as usize..*end as usize]) {
            let (place, number) = (records.list[task.record() as usize], records.kind(task.record()));
            match &mut next {
                Some((kind, _, _)) if *kind == number && most.is_none() => continue,
                Some((kind, address, size)) if *kind == number && *address == place.addr().get() => *address += *size,
                _ => {
                    breaks += usize::from(next.is_some_and(|(kind, ..)| kind == number));
                    if most.is_some_and(|most| breaks > most) {
                        return None;
                    }
                    let kind = records.kind_of(task.record());
                    let size = kind.layout.size();
                    rows.push(Row { kind, first: place, start: position });
                    next = Some((number, place.addr().get() + size, size));
                }
            }
        }
        begin = *end;
    }
    first.push(u32::try_from(rows.len()).expect("at most one for each record"));
    Some((rows, first))
}

/// Moves records to new memory, where those of a row lie side by side, and tells the rows. The old ones must not be used.
fn moved(records: &Records<'_>, order: &[TaskAt], rows: &mut [Row]) -> Bump {
    let len = u32::try_from(order.len()).expect("as many as positions");
    let ends = rows.iter().skip(1).map(|row| row.start).chain([len]);
    let layouts = rows.iter().map(|row| (row.kind.layout, row.start));
    let bytes = layouts.zip(ends).map(|((layout, start), end)| layout.size() * (end - start) as usize + layout.align());
    let bytes = bytes.sum();
    let mut arena = Bump::with_capacity(bytes);
    room::ask(arena.alloc_layout(Layout::array::<u8>(bytes).expect("they were in memory before")), bytes);
    arena.reset();
    // The arena gives out memory from its end on. So the last row comes first, and addresses grow with positions.
    let mut end = len;
    for row in rows.iter_mut().rev() {
        let (size, count) = (row.kind.layout.size(), (end - row.start) as usize);
        let place = Layout::from_size_align(size * count, row.kind.layout.align()).expect("they were in memory before");
        row.first = arena.alloc_layout(place);
        for position in row.start..end {
            let record = records.list[order[position as usize].record() as usize];
            #[expect(unsafe_code, reason = "records are kept without their types")]
            // SAFETY: (1) the new place has room for this record; (2) the caller forgets the old one.
            unsafe {
                row.at(position).copy_from_nonoverlapping(record, size);
            }
        }
        end = row.start;
    }
    arena
}

/// Records stay where they are if that makes a row more for so many of them at most.
const WORTH_A_MOVE: usize = 64;

impl Drop for Code<'_> {
    fn drop(&mut self) {
        for (at, row) in self.rows.iter().enumerate().filter(|(_, row)| row.kind.drop.is_some()) {
            for position in row.start..self.end(at) {
                drop_record(row.kind, row.at(position));
            }
        }
    }
}
