//! Long groups that become ready together are not dealt out: workers choose among them.
//!
//! A graph that runs again, or repeats a part of it, finds its data where it was left: what a worker has written last is in the
//! cache of its core. Another worker has to fetch it from there, and that may take longer than the group itself. So a node
//! whose successors take long puts up a board of them ([`crate::sync::boards`]), and queues *tickets*, each for one group.
//! Who fires a ticket chooses a group, that one if it can which it chose the time before.
//!
//! Tickets go from worker to worker as other jobs do. So a board says who takes which group, and never who has to wait.

use std::ops::Range;

use super::{Dag, index};
use crate::pool::work::job::{Job, word};
use crate::pool::work::worker::Worker;
use crate::run::Run;
use crate::sync::atomic::Ordering;
use crate::sync::boards::Boards;

/// Groups that take so many nanoseconds are worth a choice, which takes about a hundred.
const LONG: u64 = 10_000;
/// A board has so many places at most: who finds its own place taken looks at all of them.
const MOST: usize = 1 << 14;

/// The boards of a graph.
pub(super) struct NodeBoards {
    boards: Boards,
    /// By node, and then that of the groups without predecessors: whether it has a board.
    has_board: Box<[bool]>,
}

impl NodeBoards {
    /// Whether groups that take so long may be worth it. The times are guesses before they are `known`: then it may, if there are
    /// many groups, or something is repeated within a run.
    pub(super) fn are_worth_it(times: &[u64], is_known: bool, repeats: bool, workers: usize) -> bool {
        if is_known { times.iter().any(|time| *time >= LONG) } else { repeats || times.len() >= 2 * workers }
    }

    /// Boards for these parts of a list: one for each node, and one for the groups without predecessors. A part gets none if
    /// some of its nodes are more urgent than others, by priority or by the longest path behind them: it is in that order.
    /// Where each worker has several, it matters less which comes first. A part with a board is sorted by the numbers of
    /// its nodes, as neighbours are likely to share data.
    pub(super) fn new(
        list: &mut [u32],
        parts: impl Iterator<Item = Range<usize>>,
        urgency: impl Fn(u32) -> (i32, u64),
        (workers, seats): (usize, usize),
    ) -> Self {
        let has_board = |part: Range<usize>| {
            let part = &mut list[part];
            let (true, [first, .., last]) = (part.len() <= MOST, &*part) else { return false };
            let ((priority, longest), (least, shortest)) = (urgency(*first), urgency(*last));
            let most = if part.len() < 2 * workers { shortest + shortest / 4 } else { shortest.saturating_mul(2) };
            let is_alike = priority == least && longest <= most;
            if is_alike {
                part.sort_unstable();
            }
            is_alike
        };
        let has_board: Box<[bool]> = parts.map(has_board).collect();
        Self { boards: Boards::new(has_board.len(), list.len(), workers, seats), has_board }
    }
}

impl Dag<'_> {
    /// Makes the jobs of groups that wait for a node alone, or for none, and are ready now. They have these places.
    pub(super) fn jobs_of(&self, node: u32, places: Range<u32>) -> impl Fn(Range<u32>) -> Job {
        let is_long = || self.took(self.list[places.start as usize]) >= LONG;
        let boards = self.boards.as_ref().filter(|boards| boards.has_board[node as usize] && is_long());
        if let Some(boards) = boards {
            boards.boards.put_up(node);
        }
        move |part| match boards {
            Some(_) => self.tickets(node, index(part.len())),
            None => self.job(part.start, part.end),
        }
    }

    /// How many nanoseconds a group took when it was timed last. 0: it never was, or the node is no group.
    pub(super) fn took(&self, node: u32) -> u64 {
        self.nanos.get(node as usize).map_or(0, |nanos| nanos.load(Ordering::Relaxed) >> 1) // relaxed: a hint
    }

    /// So many tickets for the board of a node.
    fn tickets(&self, node: u32, count: u32) -> Job {
        Job { target: self.within(std::mem::offset_of!(Self, tickets)), payload: word(node, count) }
    }

    /// Queues all tickets but one, and fires the group that it chooses with that one.
    pub(super) fn fire_ticket(&self, node: u32, mut count: u32, run: &Run<'static>, worker: &Worker<'_>) {
        while count > 1 {
            worker.push_counted(self.tickets(node, count / 2)); // with a token for each
            count -= count / 2;
        }
        let places = match self.lone.get(node as usize) {
            Some(lone) => self.first[node as usize]..self.first[node as usize] + lone,
            None => self.roots..index(self.list.len()),
        };
        let boards = &self.boards.as_ref().expect("the node has put up its board").boards;
        self.fire_at::<false>(boards.choose(node, &places, worker.seat.index), run, worker);
    }
}
