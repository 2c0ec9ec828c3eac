//! Boards: lists of work from which workers choose, each the same places again and again.
//!
//! Who puts up a board gives out as many tickets as it has places, and whoever has a ticket takes one place. Each seat
//! begins at a place of its own, the same one each time, and goes on to the right. If that is taken, or there is no more,
//! it jumps to the middle of the widest gap, and leaves the left half to whoever comes from there. So workers that are as
//! fast as each other take the same places each time, and one that is slow is helped. (E. P. Markatos and others,
//! "Using processor affinity in loop scheduling on shared-memory multiprocessors", 1994, deal out loops in a similar
//! way.)
//!
//! # Protocol
//! * put up: (B1) Count the board's turn up. Then give out the tickets.
//! * choose, with a ticket: (B2) Swap the number of the turn into the word of a place. If another number was there, the
//!   place is this thread's. Else (B3) try another place.
//!
//! The race: two threads see that a place is free. Both swap, and one of them finds the number of the turn.
//!
//! There are as many tickets as places. So who has a ticket finds a free place. Others may take it while this thread looks
//! for it: then it looks again.
//!
//! A board is put up again when all that was on it is done. Then each place has the number of the turn before.
//!
//! # Edges
//! All accesses are relaxed: tickets make visible what was done before the board was put up.
//! | edge | writer | reader | makes visible | model |
//! |---|---|---|---|---|
//! | `boards.take` | B2: one swap | B2 | nothing; it gives a place to one thread | `loom_boards_give_each_place_once` |

use std::ops::Range;

use crate::sync::CachePadded;
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Where workers begin is counted in parts of a board, of which there are so many.
const WHOLE: u64 = 1 << 16;
/// Nobody has begun at any board from this seat.
const NOWHERE: u32 = u32::MAX;

/// Boards whose places are parts of one list; see the module.
pub(crate) struct Boards {
    /// The turn of each board.
    turns: Box<[AtomicU32]>,
    /// The turn in which each place of the list was taken last.
    taken: Box<[AtomicU32]>,
    /// By seat.
    lanes: Box<[CachePadded<Lane>]>,
}

/// How the occupant of a seat goes through boards. Only the occupant touches it.
struct Lane {
    /// Where it begins, in parts of [`WHOLE`].
    start: AtomicU32,
    /// The boards at which it was lately, the last one first: a board may be put up while it is at another one.
    marks: [Mark; MARKS],
}

/// How far a lane is at a board.
#[derive(Default)]
struct Mark {
    /// The board, and its turn.
    at: AtomicU64,
    /// The place where it goes on.
    next: AtomicU32,
}

const MARKS: usize = 4;

impl Boards {
    /// So many boards, with so many places in all. The first `workers` seats are evenly spread; others begin in a gap.
    pub(crate) fn new(boards: usize, places: usize, workers: usize, seats: usize) -> Self {
        let words = |count: usize| (0..count).map(|_| AtomicU32::new(0)).collect();
        let start = |seat: usize| if seat < workers { part(seat, workers) } else { NOWHERE };
        let marks = || std::array::from_fn(|_| Mark::default());
        let lane = |seat| Lane { start: AtomicU32::new(start(seat)), marks: marks() };
        Self {
            turns: words(boards),
            taken: words(places),
            lanes: (0..seats).map(|seat| CachePadded::new(lane(seat))).collect(),
        }
    }

    /// Puts up a board of which nothing is left from the time before. The caller gives out a ticket for each place.
    pub(crate) fn put_up(&self, board: u32) {
        let turn = &self.turns[board as usize];
        turn.store(turn.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed); // (B1)
    }

    /// Chooses one of the places of a board, for the occupant of a seat, which has a ticket.
    pub(crate) fn choose(&self, board: u32, places: &Range<u32>, seat: usize) -> u32 {
        let turn = self.turns[board as usize].load(Ordering::Relaxed);
        let lane = &self.lanes[seat];
        let known = lane.comes_to(u64::from(board) << 32 | u64::from(turn));
        let own = known.or_else(|| lane.begins(places));
        let place = own.filter(|place| *place < places.end && self.takes(*place, turn)).unwrap_or_else(|| {
            let elsewhere = self.jump(places, turn);
            if known.is_none() {
                lane.start.store(part((elsewhere - places.start) as usize, places.len()), Ordering::Relaxed);
            }
            elsewhere
        });
        lane.marks[0].next.store(place + 1, Ordering::Relaxed);
        place
    }

    /// Takes the place in the middle of the widest gap.
    fn jump(&self, places: &Range<u32>, turn: u32) -> u32 {
        loop {
            // (B3)
            let gap = self.widest_gap(places, turn);
            let middle = gap.start + (gap.end - gap.start) / 2;
            if middle < places.end && self.takes(middle, turn) {
                return middle;
            }
        }
    }

    /// Takes a place, if it is free.
    fn takes(&self, place: u32, turn: u32) -> bool {
        let taken = &self.taken[place as usize];
        if taken.load(Ordering::Relaxed) == turn {
            return false;
        }
        #[cfg(all(test, loom))]
        if crate::sync::imp_loom::weakened("boards.take") {
            taken.store(turn, Ordering::Relaxed);
            return true;
        }
        taken.swap(turn, Ordering::Relaxed) != turn // (B2)
    }

    fn widest_gap(&self, places: &Range<u32>, turn: u32) -> Range<u32> {
        let (mut widest, mut start) = (places.end..places.end, places.start);
        for place in places.start..=places.end {
            if place == places.end || self.taken[place as usize].load(Ordering::Relaxed) == turn {
                if place - start > widest.end - widest.start {
                    widest = start..place;
                }
                start = place + 1;
            }
        }
        widest
    }
}

impl Lane {
    /// Puts the mark of a board and turn in front. Returns where it goes on there, if it was there lately.
    fn comes_to(&self, at: u64) -> Option<u32> {
        let found = self.marks.iter().position(|mark| mark.at.load(Ordering::Relaxed) == at);
        let next = found.map(|found| self.marks[found].next.load(Ordering::Relaxed));
        for place in (0..found.unwrap_or(MARKS - 1)).rev() {
            self.marks[place + 1].at.store(self.marks[place].at.load(Ordering::Relaxed), Ordering::Relaxed);
            self.marks[place + 1].next.store(self.marks[place].next.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        self.marks[0].at.store(at, Ordering::Relaxed);
        self.marks[0].next.store(next.unwrap_or(0), Ordering::Relaxed);
        next
    }

    /// Where it begins at a board, if it has begun at one before.
    fn begins(&self, places: &Range<u32>) -> Option<u32> {
        let start = self.start.load(Ordering::Relaxed);
        let of_board = u64::from(start) * places.len() as u64 / WHOLE;
        (start != NOWHERE).then(|| places.start + u32::try_from(of_board).expect("less than there are"))
    }
}

/// The least number of parts that leads to this place of so many.
fn part(place: usize, all: usize) -> u32 {
    u32::try_from((place as u64 * WHOLE).div_ceil(all as u64)).expect("at most all")
}

#[cfg(all(test, not(any(loom, coherence))))]
mod tests {
    use super::*;

    /// The board is put up, and seats take all places in this order, again and again. Returns who took each place.
    fn turn(boards: &Boards, places: u32, mut order: impl Iterator<Item = usize>) -> Vec<usize> {
        boards.put_up(0);
        let mut by = vec![usize::MAX; places as usize];
        for _ in 0..places {
            let seat = order.next().expect("an endless order");
            let place = boards.choose(0, &(0..places), seat) as usize;
            assert_eq!(by[place], usize::MAX, "taken once");
            by[place] = seat;
        }
        by
    }

    #[test]
    fn workers_take_the_same_places_whoever_comes_first() {
        let boards = Boards::new(1, 8, 2, 3);
        let halves = [0, 0, 0, 0, 1, 1, 1, 1];
        assert_eq!(turn(&boards, 8, [0, 1].into_iter().cycle()), halves);
        assert_eq!(turn(&boards, 8, [1, 0].into_iter().cycle()), halves);
        assert_eq!(turn(&boards, 8, [1, 1, 0, 0].into_iter().cycle()), halves);
    }

    #[test]
    fn a_slow_worker_is_helped_and_keeps_its_place() {
        let boards = Boards::new(1, 8, 2, 3);
        let slow = || [0, 1, 1, 1].into_iter().cycle();
        assert_eq!(turn(&boards, 8, slow()), [0, 0, 1, 1, 1, 1, 1, 1]);
        assert_eq!(turn(&boards, 8, slow()), [0, 0, 1, 1, 1, 1, 1, 1]);
        assert_eq!(turn(&boards, 8, [0, 1].into_iter().cycle()), [0, 0, 0, 0, 1, 1, 1, 1]);
    }

    #[test]
    fn a_guest_finds_a_place_of_its_own_and_goes_back_to_it() {
        let boards = Boards::new(1, 8, 2, 3);
        let halves = [0, 0, 0, 0, 2, 2, 2, 2];
        assert_eq!(turn(&boards, 8, [0, 2].into_iter().cycle()), halves);
        assert_eq!(turn(&boards, 8, [2, 0].into_iter().cycle()), halves);
    }

    /// While it is at a board, a worker puts up others, goes through them, and comes back.
    #[test]
    fn a_worker_comes_back_to_where_it_was() {
        let boards = Boards::new(9, 8 + 8 * 4, 2, 2);
        let inner = |number: u32| 8 + 4 * number..12 + 4 * number;
        for _ in 0..3 {
            boards.put_up(0);
            let mut by = vec![2; 8];
            for step in 0..8 {
                let seat = step % 2;
                let place = boards.choose(0, &(0..8), seat);
                by[place as usize] = seat;
                boards.put_up(place + 1);
                for expected in [[0, 1, 2, 3], [2, 3, 1, 0]][seat] {
                    assert_eq!(boards.choose(place + 1, &inner(place), seat), inner(place).start + expected);
                }
            }
            assert_eq!(by, [0, 0, 0, 0, 1, 1, 1, 1]);
        }
    }

    #[test]
    fn a_worker_alone_takes_all_and_boards_may_be_of_any_size() {
        for (places, seats) in [(1, 1), (2, 3), (3, 7), (100, 3), (1000, 33)] {
            let boards = Boards::new(1, places as usize, seats, seats);
            for alone in 0..seats {
                assert_eq!(turn(&boards, places, std::iter::repeat(alone)), vec![alone; places as usize]);
            }
            turn(&boards, places, (0..seats).cycle());
        }
    }
}
