//! Cuts the levels of a graph into groups.

use super::{Grouping, Shape, index};
use crate::run::tasks::parts::{TaskAt, Tasks};

/// Nanoseconds that a task takes, as long as nobody knows.
const UNKNOWN: u64 = 50;
/// A group takes so many nanoseconds at least, if there are more tasks that could be in it.
const LEAST: u64 = 400;
/// A group of one level takes so many nanoseconds at most, if it has several tasks. What waits for it starts when all of it has
/// ended, and a worker that waits for that longer than 20 us goes to sleep.
const MOST: u64 = 16_000;
/// A group of several levels takes so many nanoseconds at most: what is left of it can be taken away only task by task.
const MOST_IN_ORDER: u64 = 4000;
/// A level is cut into so many groups for each worker at most.
const CUTS: u64 = 4;
/// A level is cut into so many for each worker, if there are several, as long as nobody knows how long it takes. A worker that has
/// nothing to do gets a part of a group that takes long, so these are there for what waits for a whole group only.
const CUTS_AT_FIRST: u64 = 2;
/// A level that is repeated is cut into so many for each worker, as long as nobody knows how long it takes: a run may repeat it
/// a thousand times, and learns nothing on its way.
const CUTS_AGAIN: u64 = 16;
/// A level is cut into more groups than there are workers only if each takes so many nanoseconds. These are there for tasks that
/// take longer than before, and each group costs some tens of nanoseconds for every group behind it.
const WORTH: u64 = 2000;
/// After so many nanoseconds what one worker has done reaches another one. A level is one group if that is more than others
/// would save.
const HANDED: u64 = 1600;
/// Other bounds for a group of one level, if paths would be too long with [`MOST`].
const FINER: [u64; 2] = [4000, 1000];
/// So many nanoseconds a group costs beside its tasks, where workers take turns.
const JOB: u64 = 300;

/// The groups so far, in the order of levels.
#[derive(Default)]
pub(super) struct Groups {
    /// Behind the last position of each.
    pub(super) ends: Vec<u32>,
    /// What its tasks have in common, by number.
    pub(super) kinds: Vec<u32>,
    /// How many nanoseconds each takes.
    pub(super) times: Vec<u64>,
    /// Whether it has tasks of several levels.
    pub(super) is_ordered: Vec<bool>,
}

impl Groups {
    /// Whether a level of this kind that takes so long may be put into the last group.
    fn may_grow(&self, time: u64, kind: u32) -> bool {
        self.kinds.last() == Some(&kind) && self.times.last().is_some_and(|own| own + time <= MOST_IN_ORDER)
    }

    /// Whether a chain of this kind belongs in the last group, which has about this time as its aim.
    fn fits(&self, time: u64, kind: u32, target: u64) -> bool {
        let has_room = |own: &u64| time <= target && own + time / 2 <= target;
        self.kinds.last() == Some(&kind) && self.times.last().is_some_and(has_room)
    }

    /// How many chains [fit](Self::fits) in a group if each takes so long.
    fn fitting(time: u64, target: u64) -> usize {
        usize::try_from((target + time - time / 2) / time).map_or(usize::MAX, |count| count.max(1))
    }

    /// How many nanoseconds a group takes at most that has several tasks.
    fn coarsest(&self) -> u64 {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let several = starts.zip(&self.ends).zip(&self.times).filter(|((start, end), _)| *end - start > 1);
        several.map(|(_, time)| *time).max().unwrap_or(0)
    }

    /// Puts a chain into the last group, or into a new one. `end` is behind its last position.
    fn put(&mut self, end: u32, time: u64, kind: u32, is_in_last: bool) {
        match (self.ends.last_mut(), self.times.last_mut()) {
            (Some(own), Some(all)) if is_in_last => (*own, *all) = (end, *all + time),
            _ => {
                self.ends.push(end);
                self.kinds.push(kind);
                self.times.push(time);
                self.is_ordered.push(false);
            }
        }
    }
}

impl Shape {
    /// How many nanoseconds a group is to take, of a level that takes `total`, and `most` at most. `repeats`: the level is in a
    /// block.
    fn target(&self, total: u64, is_known: bool, repeats: bool, most: u64) -> u64 {
        if self.grouping == Grouping::Off {
            return 0;
        }
        let (own, least) = (total / self.workers as u64, if is_known { LEAST } else { UNKNOWN });
        let target = match (is_known, repeats) {
            (true, _) => own.min(WORTH.min(most).max(own / CUTS)),
            (false, true) => own / CUTS_AGAIN,
            (false, false) if self.workers == 1 => own,
            (false, false) => own / CUTS_AT_FIRST,
        };
        total.div_ceil((total / target.clamp(least, most)).max(1)) // equal chunks
    }

    /// Cuts levels into groups of `most` nanoseconds at most. `nanos` tells how long a record takes, if that is known.
    fn cut(&self, order: &[TaskAt], nanos: Option<&[u32]>, most: u64) -> Groups {
        let time = |task: TaskAt| nanos.map_or(UNKNOWN, |nanos| u64::from(nanos[task.record() as usize]));
        let is_known = nanos.is_some();
        let narrow = HANDED * self.workers as u64 / (self.workers as u64 - 1).max(1);
        let mut groups = Groups::default();
        let mut was_narrow = false; // the last level: it is one group, and others may be put into that
        let mut begin = 0;
        for level in &self.levels {
            let (own, first) = (&order[begin..level.end as usize], begin);
            begin = level.end as usize;
            let (Some(head), Some(last)) = (own.first(), own.last()) else {
                was_narrow = false;
                continue;
            };
            if let (None, true, true) = (nanos, level.is_plain, self.kinds.is_empty()) {
                let target = self.target(own.len() as u64 * UNKNOWN, false, self.repeats(*head), most);
                let mut end = first;
                for part in own.chunks(Groups::fitting(UNKNOWN, target)) {
                    end += part.len();
                    groups.put(index(end), part.len() as u64 * UNKNOWN, 0, false);
                }
                continue;
            }
            let chains = || own.chunk_by(|_, next| !next.is_free());
            let of_chain = |chain: &[TaskAt]| chain.iter().map(|task| time(*task)).sum::<u64>().max(1);
            let total = if is_known { chains().map(of_chain).sum() } else { own.len() as u64 * UNKNOWN };
            let is_alone = || own[1..].iter().all(|task| !task.is_free());
            let is_narrow = is_known && self.kind(*head) == self.kind(*last) && (total < narrow || is_alone());
            // A joint may wait for the groups before it, and tasks for the joint.
            let goes_on = is_narrow && was_narrow && !level.is_mixed && groups.may_grow(total, self.kind(*head));
            was_narrow = is_narrow;
            let target = if is_narrow { u64::MAX } else { self.target(total, is_known, self.repeats(*head), most) };
            let (mut is_open, count, mut end) = (goes_on, groups.ends.len(), first);
            for chain in chains() {
                let (time, kind) = (of_chain(chain), self.kind(chain[0]));
                end += chain.len();
                is_open = is_open && groups.fits(time, kind, target);
                groups.put(index(end), time, kind, is_open);
                is_open = true;
            }
            if goes_on {
                debug_assert_eq!(count, groups.ends.len(), "all of the level is in the last group");
                groups.is_ordered[count - 1] = true;
            }
        }
        groups
    }

    /// Cuts levels into groups, as coarse ones as are good. What waits for one task of a group waits for all of it. So paths take
    /// longer in coarse groups than in fine ones, and may take longer than all workers together take for everything.
    pub(super) fn best_cut(&self, tasks: &Tasks, nanos: Option<&[u32]>) -> Groups {
        let mut best = self.cut(&tasks.order, nanos, MOST);
        if nanos.is_none() || !self.is_free() || self.workers == 1 {
            return best;
        }
        let mut least = self.estimate(tasks, &best);
        for most in FINER {
            if best.coarsest() <= most {
                continue;
            }
            let finer = self.cut(&tasks.order, nanos, most);
            let estimate = self.estimate(tasks, &finer);
            if estimate < least {
                (best, least) = (finer, estimate);
            }
        }
        best
    }

    /// About how many nanoseconds a run takes with these groups: the share of each worker, and something for the longest path.
    /// As a rule other work is there while a path is gone through, so it counts for a third.
    fn estimate(&self, tasks: &Tasks, groups: &Groups) -> u64 {
        let (mut longest, mut all, mut begin) = (0, 0, 0);
        let mut ends = vec![0_u64; tasks.before.len()]; // by rank, of tasks: joints count as if they waited for nothing
        for (end, time) in groups.ends.iter().zip(&groups.times) {
            let own = &tasks.order[begin..*end as usize];
            begin = *end as usize;
            let ranks = || own.iter().map(|task| tasks.rank(*task));
            let before = ranks().flat_map(|rank| tasks.before.of(rank)).map(|from| ends[*from as usize]).max();
            let end = before.unwrap_or(0) + time + JOB;
            ranks().for_each(|rank| ends[rank as usize] = end);
            all += time + JOB;
            longest = longest.max(end);
        }
        all / self.workers as u64 + longest / 3
    }
}
