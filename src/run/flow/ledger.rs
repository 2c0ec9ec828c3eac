//! What a stage counts in a run: items, batches, time. Items are counted by place in the stream.
//!
//! A failure report names the index of the item in the stream: the number of items in all batches *before* it, plus its
//! index in its batch. Batches end in any order, so a single sum would not tell which batches it covers. Therefore sums
//! are kept over *islands*: an island is a number of adjacent pieces that have ended.
//!
//! # Rows
//! If all workers entered their pieces into one list of islands, they would wait for its lock, once a batch. So each
//! seat has a row in the [`Ledger`] of each stage, which only the thread at the seat writes, by plain stores. In the row
//! are the sums for the report, the counts of the piece that is being driven ([`super::frame`]), and one island: the
//! last of those that the seat has made. A piece that lies behind it makes it longer; any other piece begins a new one.
//!
//! The pieces of one seat need not be adjacent: other seats drive those in between. So a seat may make as many islands
//! as there are batches. Those that are not the last one are kept for all stages together ([`super::islands`]), where
//! the islands of different seats meet.
//!
//! Entries to a row never overlap. A thread that waits in the middle of a piece works only on what it waits for, which
//! is not in this run, and an entry calls no user code. Threads that sit at a seat one after the other are ordered by
//! the claim to it.
//!
//! # Reading
//! While a run goes on, nobody reads a row but its seat, and whoever asks how far it has come: for a hint each word will
//! do as it is. When the run is over, [`Ledger::sums`] and [`Ledger::before`]
//! read all rows; the tokens of the run's jobs order that ([`crate::sync::quiescence`]). Sums do not depend on how the
//! pieces are divided into islands. So the answers are the same in every schedule.

use std::ops::Range;
use std::time::Duration;

use super::frame::Frame;
use super::islands::{APART, load, store};
use super::order::Key;
use crate::sync::atomic::AtomicU64;

// The first words of a row.
/// The run that the row belongs to. A row of an earlier run counts for nothing; so no run has to begin with a walk over
/// all seats.
const RUN: usize = 0;
const NANOS: usize = 1;
/// How many items were dropped.
const DROPPED: usize = 2;
/// Where the last island begins; its end is the first place behind it.
const START: usize = 3;
const END: usize = 4;
const HEAD: usize = 5;

/// The counts of one stage; see the module documentation.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// One row per seat: the head, the number of batches, the sampled nanoseconds of each operator, the counts of the
    /// piece that is being driven, those of the last island, and those of all other pieces.
    rows: Box<[AtomicU64]>,
    /// The distance from one row to the next, in words.
    stride: usize,
    /// How many words there are for batches and samples: one more than operators.
    samples: usize,
    /// How many columns of counts a piece has.
    width: usize,
    /// How many runs have begun.
    runs: u64,
    /// How many items were dropped when the run was over.
    left: u64,
}

/// What a stage counted in the run that is over.
#[derive(Debug)]
pub(crate) struct Sums {
    pub(crate) batches: u64,
    pub(crate) time: Duration,
    /// How many items of the stage's input were dropped.
    pub(crate) dropped: u64,
    /// The sampled nanoseconds of each operator.
    pub(crate) sampled: Vec<u64>,
    /// The counts of all pieces, broken ones included, by column.
    pub(crate) counts: Vec<u64>,
}

impl Ledger {
    /// A ledger for a stage of `ops` operators with `width` counts, in a pool with `seats` seats.
    pub(crate) fn new(ops: usize, width: usize, seats: usize) -> Self {
        let samples = 1 + ops;
        let stride = HEAD + samples + 3 * width + APART;
        let rows = (0..seats * stride).map(|_| AtomicU64::new(0)).collect();
        Self { rows, stride, samples, width, runs: 0, left: 0 }
    }

    /// Begins a run.
    pub(crate) fn reset(&mut self) {
        self.runs += 1;
        self.left = 0;
    }

    /// Counts items that were dropped when the run was over.
    pub(crate) fn drop_left(&mut self, count: u64) {
        self.left += count;
    }

    /// The row of a seat, for the thread at the seat.
    pub(super) fn row(&self, seat: usize) -> Row<'_> {
        let row = self.row_at(seat);
        if load(&row.head[RUN]) != self.runs {
            row.begin_run();
        }
        row
    }

    fn row_at(&self, seat: usize) -> Row<'_> {
        let row = &self.rows[seat * self.stride..][..self.stride - APART];
        let (head, words) = row.split_first_chunk().expect("longer than the head");
        Row { ledger: self, head, words }
    }

    /// The rows of the run that is over.
    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let rows = (0..self.rows.len() / self.stride).map(|seat| self.row_at(seat));
        rows.filter(|row| load(&row.head[RUN]) == self.runs)
    }

    /// What was counted in the run that is over.
    pub(crate) fn sums(&self) -> Sums {
        let (sampled, counts) = (vec![0; self.samples - 1], vec![0; self.width]);
        let mut sums = Sums { batches: 0, time: Duration::ZERO, dropped: self.left, sampled, counts };
        for row in self.rows() {
            let Parts { samples, last, others, .. } = row.parts();
            sums.batches += load(&samples[0]);
            sums.time += Duration::from_nanos(load(&row.head[NANOS]));
            sums.dropped += load(&row.head[DROPPED]);
            add(&mut sums.sampled, samples[1..].iter().map(load));
            add(&mut sums.counts, last.iter().map(load));
            add(&mut sums.counts, others.iter().map(load));
        }
        sums
    }

    /// The sum of one count over the pieces before a place, as far as they are in the last islands of rows, in the run
    /// that is over. The caller makes sure that all of these have ended, and that the piece at that place broke off.
    pub(crate) fn before(&self, place: Key, column: usize) -> u64 {
        let before = self.rows().filter(|row| row.place().end <= place);
        before.map(|row| load(&row.parts().last[column])).sum()
    }

    /// How many columns of counts a piece has.
    pub(crate) fn width(&self) -> usize {
        self.width
    }
}

/// The row of one seat.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    ledger: &'a Ledger,
    head: &'a [AtomicU64; HEAD],
    /// The words behind the head.
    words: &'a [AtomicU64],
}

/// What is behind the head of a row.
pub(super) struct Parts<'a> {
    /// The number of batches, then sampled nanoseconds by operator.
    pub(super) samples: &'a [AtomicU64],
    /// The counts of the piece that is being driven.
    pub(super) columns: &'a [AtomicU64],
    /// The counts of the last island.
    pub(super) last: &'a [AtomicU64],
    /// The counts of all other pieces: those that broke off, and those in earlier islands. Also what is of no piece.
    others: &'a [AtomicU64],
}

impl<'a> Row<'a> {
    #[cold]
    fn begin_run(self) {
        let Parts { samples, last, others, .. } = self.parts();
        let words = self.head.iter().chain(samples).chain(last).chain(others);
        words.for_each(|word| store(word, 0));
        store(&self.head[RUN], self.ledger.runs);
    }

    #[inline]
    pub(super) fn parts(self) -> Parts<'a> {
        let Ledger { samples, width, .. } = *self.ledger;
        let (samples, rest) = self.words.split_at(samples);
        let (columns, rest) = rest.split_at(width);
        let (last, rest) = rest.split_at(width);
        Parts { samples, columns, last, others: &rest[..width] }
    }

    /// The place of the last island. It is empty if there is none.
    fn place(self) -> Range<Key> {
        let [start, end] = [START, END].map(|word| Key::of_word(load(&self.head[word])));
        start..end
    }

    pub(super) fn add_time(self, time: Duration) {
        add_to(&self.head[NANOS], u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(super) fn add_dropped(self, count: u64) {
        add_to(&self.head[DROPPED], count);
    }

    /// Adds to one count, of no piece.
    pub(super) fn add_count(self, column: usize, count: u64) {
        add_to(&self.parts().others[column], count);
    }

    /// Enters a piece that broke off.
    pub(super) fn add_broken(self, frame: &Frame<'_>) {
        self.parts().others.iter().zip(frame.counts()).for_each(|(sum, count)| add_to(sum, count));
    }

    /// Enters the pieces in `place`, as one. If they begin a new island, `put` gets the last one, and its counts.
    #[inline]
    pub(super) fn add(self, place: &Range<Key>, frame: &Frame<'_>, put: impl FnOnce(&Range<Key>, &[AtomicU64])) {
        if load(&self.head[END]) != place.start.word() {
            self.begin_island(place.start, put);
        }
        store(&self.head[END], place.end.word());
        frame.last.iter().zip(frame.counts()).for_each(|(sum, count)| add_to(sum, count));
    }

    #[inline(never)]
    fn begin_island(self, start: Key, put: impl FnOnce(&Range<Key>, &[AtomicU64])) {
        let (place, Parts { last, others, .. }) = (self.place(), self.parts());
        if !place.is_empty() {
            put(&place, last);
            others.iter().zip(last).for_each(|(sum, count)| add_to(sum, load(count)));
        }
        store(&self.head[START], start.word());
        last.iter().for_each(|sum| store(sum, 0));
    }
}

/// Adds to a word of a row; for the thread at the seat.
fn add_to(word: &AtomicU64, more: u64) {
    store(word, load(word) + more);
}

fn add(sums: &mut [u64], more: impl Iterator<Item = u64>) {
    sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
}

#[cfg(all(test, not(any(loom, coherence))))]
mod tests {
    use std::ops::Range;

    use proptest::prelude::*;

    use super::super::islands::{Islands, LEAST_JOINED, ROOM};
    use super::{Frame, Key, Ledger};

    const SEATS: usize = 4;
    const STAGES: usize = 2;

    /// The pieces of 1000 batches in stream order: one to three parts each.
    fn pieces() -> Vec<Range<Key>> {
        let parts = |n: u64| (0..=u32::try_from(n % 3).expect("small")).map(move |part| (n, part));
        let ends = |(n, part)| if u64::from(part) == n % 3 { Key::new(n + 1, 0) } else { Key::new(n, part + 1) };
        (0..1000).flat_map(parts).map(|(n, part)| Key::new(n, part)..ends((n, part))).collect()
    }

    /// What a run counts.
    struct Books {
        ledgers: [Ledger; STAGES],
        islands: Islands,
    }

    impl Books {
        fn new() -> Self {
            Self {
                ledgers: std::array::from_fn(|stage| Ledger::new(1, 2 + stage, SEATS)),
                islands: Islands::new(3, SEATS),
            }
        }

        fn reset(&mut self) {
            self.ledgers.iter_mut().for_each(Ledger::reset);
            self.islands.reset();
        }

        /// Enters a piece with the counts 1 and its number, at a seat.
        fn enter(&self, stage: usize, seat: usize, piece: &Range<Key>, broken: bool) {
            let row = self.ledgers[stage].row(seat);
            let frame = Frame::new(row);
            frame.set(0, 1);
            frame.set(1, piece.start.number());
            frame.driven(1);
            if broken {
                row.add_broken(&frame);
            } else {
                row.add(piece, &frame, |place, counts| self.islands.put(seat, stage, place, counts));
            }
        }

        fn before(&self, stage: usize, place: Key, column: usize) -> u64 {
            self.ledgers[stage].before(place, column) + self.islands.before(stage, place, column)
        }
    }

    proptest! {
        /// `ways` says which of the pieces in flight ends next, and at which seat; one piece breaks off.
        #[test]
        fn any_order_and_any_seats_give_the_same_sums(
            ways in prop::collection::vec((0..64_usize, 0..SEATS), 1..500),
            in_flight in 1..64_usize,
            broken in 0..1999_usize,
            runs in 1..3,
        ) {
            let pieces = pieces();
            let numbers = |pieces: &[Range<Key>]| pieces.iter().map(|piece| piece.start.number()).sum::<u64>();
            let mut books = Books::new();
            for _ in 0..runs {
                books.reset();
                let mut coming = 0..pieces.len();
                let mut flying: Vec<usize> = coming.by_ref().take(in_flight).collect();
                let mut ways = ways.iter().cycle();
                while !flying.is_empty() {
                    let (which, seat) = ways.next().expect("a cycle");
                    let piece = flying.remove(which % flying.len());
                    for stage in 0..STAGES {
                        books.enter(stage, (seat + stage) % SEATS, &pieces[piece], piece == broken);
                    }
                    flying.extend(coming.next());
                    let most = STAGES * (1 + in_flight + 1 + SEATS) + SEATS * ROOM;
                    prop_assert!(books.islands.listed() < LEAST_JOINED.max(2 * most));
                }
                for (stage, ledger) in books.ledgers.iter().enumerate() {
                    let sums = ledger.sums();
                    prop_assert_eq!(sums.batches, pieces.len() as u64);
                    prop_assert_eq!(&sums.counts[..2], &[pieces.len() as u64, numbers(&pieces)]);
                    prop_assert!(sums.counts[2..].iter().all(|count| *count == 0));
                    let place = pieces[broken].start;
                    prop_assert_eq!(books.before(stage, place, 0), broken as u64);
                    prop_assert_eq!(books.before(stage, place, 1), numbers(&pieces[..broken]));
                }
                prop_assert!(books.islands.joined() <= STAGES * (2 + SEATS), "nothing is in flight");
            }
        }
    }

    #[test]
    fn pieces_in_order_are_one_island() {
        let mut books = Books::new();
        books.reset();
        pieces().iter().for_each(|piece| books.enter(0, 0, piece, false));
        assert_eq!(books.islands.joined(), 0, "it is in the row");
        assert_eq!(books.before(0, Key::new(1000, 0), 0), pieces().len() as u64);
    }

    #[test]
    fn a_buffer_is_emptied_only_when_it_is_full() {
        let mut books = Books::new();
        books.reset();
        for (n, piece) in pieces().iter().step_by(2).enumerate() {
            books.enter(0, 0, piece, false);
            assert_eq!(books.islands.listed(), n.saturating_sub(1) / ROOM * ROOM);
        }
    }
}
