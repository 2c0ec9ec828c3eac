//! Counts of the pieces of a run by place, for all stages: what the rows of the ledgers ([`super::ledger`]) have no room
//! for.
//!
//! # Protocol
//! A seat that begins a new island in a stage puts the last one here: first into a buffer that only the thread at the
//! seat writes. When the buffer is full, its islands go into a list that the seats share, under a lock: once in
//! [`ROOM`] pieces or more. In the list the islands of different seats meet.
//!
//! # Bounds
//! Where two islands of a stage in the list are not adjacent, there is a piece between them that is not in the list: it
//! is in flight, in a row or in a buffer. So once adjacent islands are [joined](List::join), there is at most one island
//! for each stage, and one for each piece in flight, each row and each place in a buffer. To sort the list for that each
//! time would take as long as the list is, for `ROOM` islands. So they are joined when they have become twice as many as
//! after the last time.

use std::ops::Range;

use super::order::Key;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{CachePadded, Mutex};

/// How many islands the buffer of a seat has room for.
pub(super) const ROOM: usize = 32;
/// How many islands there are in the list at least before they are joined.
pub(super) const LEAST_JOINED: usize = 4 * ROOM;
/// Unused words between the rows of two seats, so that they share no cache line and no pair of adjacent lines.
pub(super) const APART: usize = 16;

// The first words of a buffer.
/// The run that the buffer belongs to. What an earlier run left counts for nothing; so no run has to begin with a walk
/// over all seats.
const RUN: usize = 0;
/// How many islands are in the buffer.
const COUNT: usize = 1;
const HEAD: usize = 2;

/// How many words of an island in a buffer come before its counts: stage, start and end.
const PLACE: usize = 3;

/// The islands of all stages of a run, but for the last one of each row; see the module documentation.
#[derive(Debug)]
pub(crate) struct Islands {
    /// One buffer per seat.
    buffers: Box<[AtomicU64]>,
    /// The distance from one buffer to the next, in words.
    stride: usize,
    /// How many runs have begun.
    runs: u64,
    list: CachePadded<Mutex<List>>,
}

impl Islands {
    /// For stages of at most `width` counts each, in a pool with `seats` seats.
    pub(crate) fn new(width: usize, seats: usize) -> Self {
        let stride = HEAD + ROOM * (PLACE + width) + APART;
        let buffers = (0..seats * stride).map(|_| AtomicU64::new(0)).collect();
        Self { buffers, stride, runs: 0, list: CachePadded::new(Mutex::new(List::new(width))) }
    }

    /// Begins a run.
    pub(crate) fn reset(&mut self) {
        self.runs += 1;
        self.list.get_mut().clear();
    }

    /// Puts an island here; for the thread at the seat.
    #[inline(never)]
    pub(super) fn put(&self, seat: usize, stage: usize, place: &Range<Key>, counts: &[AtomicU64]) {
        let (head, room) = self.buffer(seat);
        let mut count = self.count(head);
        if count == ROOM {
            self.list.lock().take(room);
            count = 0;
        }
        let words = [stage as u64, place.start.word(), place.end.word()].into_iter().chain(counts.iter().map(load));
        let island = room.chunks_exact(room.len() / ROOM).nth(count).expect("there is room");
        island.iter().zip(words.chain(std::iter::repeat(0))).for_each(|(word, value)| store(word, value));
        store(&head[RUN], self.runs);
        store(&head[COUNT], count as u64 + 1);
    }

    /// The sum of one count of a stage over the pieces that are here and lie before a place. Asked when the run is over.
    pub(crate) fn before(&self, stage: usize, place: Key, column: usize) -> u64 {
        self.all().before(stage, place, column)
    }

    /// All islands of the run that is over.
    fn all(&self) -> List {
        let mut all = self.list.lock().clone();
        for (head, room) in (0..self.buffers.len() / self.stride).map(|seat| self.buffer(seat)) {
            let words = self.count(head) * (room.len() / ROOM);
            all.push(&room[..words]);
        }
        all
    }

    /// The head of a seat's buffer, and the room for islands.
    fn buffer(&self, seat: usize) -> (&[AtomicU64], &[AtomicU64]) {
        self.buffers[seat * self.stride..][..self.stride - APART].split_at(HEAD)
    }

    /// How many islands of this run are in the buffer with this head.
    fn count(&self, head: &[AtomicU64]) -> usize {
        let is_of_run = load(&head[RUN]) == self.runs;
        if is_of_run { usize::try_from(load(&head[COUNT])).expect("at most `ROOM`") } else { 0 }
    }

    /// How many islands are in the list.
    #[cfg(all(test, not(any(loom, coherence))))]
    pub(super) fn listed(&self) -> usize {
        self.list.lock().islands.len()
    }

    /// How many islands there are once all are joined, in the run that is over.
    #[cfg(all(test, not(any(loom, coherence))))]
    pub(super) fn joined(&self) -> usize {
        let mut all = self.all();
        all.join();
        assert_eq!(all.lines.len(), all.width * (all.islands.len() + all.free.len()), "no line is lost");
        all.islands.len()
    }
}

/// Reads a word of a seat's row. Relaxed: only the thread at the seat writes it, and nobody else reads it before the run
/// is over.
pub(super) fn load(word: &AtomicU64) -> u64 {
    word.load(Ordering::Relaxed)
}

/// Writes a word of a seat's row; for the thread at the seat.
pub(super) fn store(word: &AtomicU64, value: u64) {
    word.store(value, Ordering::Relaxed); // as above
}

/// The list that all seats share; see the module documentation.
#[derive(Clone, Debug)]
struct List {
    width: usize,
    /// In no order.
    islands: Vec<Island>,
    /// Lines of `width` counts, one after the other.
    lines: Vec<u64>,
    /// The lines that belong to no island.
    free: Vec<usize>,
    /// How many islands there must be before they are joined again.
    full: usize,
}

#[derive(Clone, Copy, Debug)]
struct Island {
    stage: u64,
    start: Key,
    /// The first place behind the island.
    end: Key,
    /// Where in `lines` its counts begin.
    line: usize,
}

impl List {
    fn new(width: usize) -> Self {
        let most = LEAST_JOINED + ROOM;
        let (islands, free) = (Vec::with_capacity(most), Vec::with_capacity(most));
        Self { width, islands, lines: Vec::with_capacity(most * width), free, full: LEAST_JOINED }
    }

    fn clear(&mut self) {
        self.islands.clear();
        self.lines.clear();
        self.free.clear();
        self.full = LEAST_JOINED;
    }

    /// Takes islands out of a buffer.
    fn push(&mut self, words: &[AtomicU64]) {
        for island in words.chunks_exact(PLACE + self.width) {
            let line = self.free.pop().unwrap_or_else(|| {
                let line = self.lines.len();
                self.lines.resize(line + self.width, 0);
                line
            });
            let (place, counts) = island.split_at(PLACE);
            self.lines[line..].iter_mut().zip(counts).for_each(|(to, count)| *to = load(count));
            let (stage, [start, end]) = (load(&place[0]), [1, 2].map(|word| Key::of_word(load(&place[word]))));
            self.islands.push(Island { stage, start, end, line });
        }
    }

    /// Takes islands out of a buffer, and joins all islands if they are many.
    #[cold]
    fn take(&mut self, words: &[AtomicU64]) {
        self.push(words);
        if self.islands.len() >= self.full {
            self.join();
            self.full = LEAST_JOINED.max(2 * self.islands.len());
        }
    }

    /// Makes one island of those that are adjacent.
    fn join(&mut self) {
        let Self { width, islands, lines, free, .. } = self;
        islands.sort_unstable_by_key(|island| (island.stage, island.start));
        islands.dedup_by(|next, island| {
            let are_adjacent = (island.stage, island.end) == (next.stage, next.start);
            if are_adjacent {
                island.end = next.end;
                (0..*width).for_each(|column| lines[island.line + column] += lines[next.line + column]);
                free.push(next.line);
            }
            are_adjacent
        });
    }

    fn before(&self, stage: usize, place: Key, column: usize) -> u64 {
        let before = self.islands.iter().filter(|island| island.stage == stage as u64 && island.end <= place);
        before.map(|island| self.lines[island.line + column]).sum()
    }
}
