//! Chains of tasks, the levels of chains, and the order that comes of these.

use super::super::draft::index;
use super::super::grouping::Grouping;
use crate::run::lists::Lists;
use crate::run::room;
use crate::run::tasks::parts::TaskAt;

/// Chains of tasks; joints and stages are chains of their own, without tasks. A chain has the number of its first rank.
pub(super) struct Chains {
    /// By rank: the chain that it is in; where one begins, the level of that, marked with [`BEGINS`].
    of: Vec<u32>,
    /// How many tasks follow the first one of each chain. Empty if none does.
    more: Vec<u32>,
    levels: Vec<Level>,
}

/// Set in [`Chains::of`] where a chain begins.
const BEGINS: u32 = 1 << 31;

/// Chains that wait for each other in no way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    /// Behind the position of the last task; until these are known, how many tasks there are.
    pub(super) end: u32,
    /// Whether there are joints or stages too.
    pub(super) is_mixed: bool,
    /// Whether each task is a chain.
    pub(super) is_plain: bool,
}

impl Chains {
    /// `are_alike` tells of a task and the one before whether they may be in one group.
    pub(super) fn new(
        before: &Lists,
        is_task: impl Fn(u32) -> bool,
        are_alike: impl Fn(u32, u32) -> bool,
        grouping: Grouping,
    ) -> Self {
        let ranks = before.len();
        assert!(ranks < BEGINS as usize, "fewer than 2^31 tasks");
        // A bit for each rank that waits for this one, and no more than fit. Empty if none waits for one alone.
        let mut after = Vec::new();
        if before.has_one_alone() {
            after = vec![0_u8; ranks];
            before.all().iter().for_each(|from| after[*from as usize] = after[*from as usize] << 1 | 1);
        }
        let (mut of, mut more, mut levels) = (room::list(ranks), Vec::new(), Vec::new());
        for (rank, own) in (0..).zip(before.iter()) {
            if let [from] = own
                && grouping == Grouping::Auto
                && is_task(rank)
                && after[*from as usize] == 1
                && is_task(*from)
                && are_alike(*from, rank)
            {
                if more.is_empty() {
                    more = room::filled(0_u32, ranks);
                }
                let (chain, level) = chain_of(&of, *from);
                more[chain as usize] += 1;
                let level: &mut Level = &mut levels[level as usize];
                (level.end, level.is_plain) = (level.end + 1, false);
                of.push(chain);
                continue;
            }
            let level = own.iter().map(|from| chain_of(&of, *from).1 + 1).fold(0, u32::max);
            of.push(level | BEGINS);
            if level as usize == levels.len() {
                levels.push(Level { end: 0, is_mixed: false, is_plain: true });
            }
            let level = &mut levels[level as usize];
            if is_task(rank) { level.end += 1 } else { level.is_mixed = true }
        }
        Self { of, more, levels }
    }

    /// The chain of a rank.
    pub(super) fn of(&self, rank: u32) -> u32 {
        chain_of(&self.of, rank).0
    }

    /// Whether a chain begins with a rank.
    pub(super) fn begins(&self, rank: u32) -> bool {
        self.of[rank as usize] & BEGINS != 0
    }

    /// The tasks in the order in which they fire. `record` is that of a rank, if it is a task. `sort` sorts the chains of a level, if
    /// these have an order.
    pub(super) fn order(
        &mut self,
        tasks: usize,
        record: impl Fn(u32) -> Option<u32>,
        sort: Option<impl Fn(&mut [u32])>,
    ) -> Vec<TaskAt> {
        let mut end = 0;
        let mut next: Vec<u32> = Vec::with_capacity(self.levels.len());
        for level in &mut self.levels {
            next.push(end);
            end += level.end;
            level.end = end;
        }
        let mut order = room::filled(TaskAt::default(), tasks);
        if sort.is_none() && self.more.is_empty() {
            for (rank, level) in (0..).zip(&self.of) {
                if let Some(record) = record(rank) {
                    let next = &mut next[(level & !BEGINS) as usize];
                    order[*next as usize] = TaskAt::new(record, true);
                    *next += 1;
                }
            }
            return order;
        }
        let firsts = sort.map(|sort| self.sorted(next.clone(), &record, sort));
        self.more.resize(self.of.len(), 0); // from now on, of each chain that has begun the next position
        for (rank, of) in (0..).zip(&self.of) {
            let Some(record) = record(rank) else { continue };
            let begins = of & BEGINS != 0;
            let place = if begins {
                let next = &mut next[(of & !BEGINS) as usize];
                let place = firsts.as_ref().map_or(*next, |firsts| firsts[rank as usize]);
                let more = &mut self.more[rank as usize];
                *next += 1 + *more;
                *more = place + 1;
                place
            } else {
                let next = &mut self.more[*of as usize];
                *next += 1;
                *next - 1
            };
            order[place as usize] = TaskAt::new(record, begins);
        }
        order
    }

    /// The first position of each chain, if those of each level are sorted. `next` are the first positions of levels.
    fn sorted(&self, mut next: Vec<u32>, record: impl Fn(u32) -> Option<u32>, sort: impl Fn(&mut [u32])) -> Vec<u32> {
        let mut firsts = vec![0; self.of.len()];
        let chains = (0..index(self.of.len())).filter(|rank| self.begins(*rank) && record(*rank).is_some());
        let of_level = chains.map(|chain| (self.of[chain as usize] & !BEGINS, chain));
        let (first, mut list) = Lists::new(self.levels.len(), of_level).into_parts();
        for (own, next) in first.windows(2).zip(&mut next) {
            let own = &mut list[own[0] as usize..own[1] as usize];
            sort(own);
            for chain in own.iter().map(|chain| *chain as usize) {
                firsts[chain] = *next;
                *next += 1 + self.more.get(chain).copied().unwrap_or(0);
            }
        }
        firsts
    }

    pub(super) fn into_levels(self) -> Vec<Level> {
        self.levels
    }
}

/// The chain of a rank, and the level of that. `of` as in [`Chains`].
#[inline]
fn chain_of(of: &[u32], rank: u32) -> (u32, u32) {
    let own = of[rank as usize];
    if own & BEGINS != 0 { (rank, own & !BEGINS) } else { (own, of[own as usize] & !BEGINS) }
}
