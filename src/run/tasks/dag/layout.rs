//! The layout of a task graph: what the plan knows of it, as lists that a run goes through.

use std::cmp::Reverse;

use super::boards::NodeBoards;
use super::loose::{Cut, Loose};
use super::targets::{fire, fire_loosened, fire_part, fire_stuck, fire_ticket};
use super::{Dag, index};
use crate::pool::work::job::Target;
use crate::run::lists::Lists;
use crate::run::tasks::parts::{DagParts, Home, Joint};
use crate::run::tasks::record::Code;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use crate::sync::countdown::FixedCountdown;

impl<'env> Dag<'env> {
    /// Lays out a graph.
    pub(crate) fn new(parts: DagParts<'env>) -> Self {
        let DagParts { records, blocks, tasks, ends, joints, before, homes, times, .. } = parts;
        let DagParts { priorities, is_known, is_ordered, workers, seats, blocks_of, .. } = parts;
        let (groups, nodes) = (index(ends.len()), index(ends.len() + joints.len()));
        let is_pass = |joint: &&Joint| matches!(joint, Joint::Pass);
        let passes = joints[2 * blocks.len()..].iter().take_while(is_pass).count();
        let firing = groups + index(2 * blocks.len() + passes); // so many nodes fire
        let after = Lists::new(nodes as usize, before.pairs().map(|(to, from)| (from, to)));
        let before: Vec<u32> = (0..nodes).map(|node| index(before.of(node).len())).collect();
        let alone = |node: u32| before[node as usize] == 1 && node < firing;
        let homes: Box<[Home]> = if homes.iter().any(Option::is_some) { homes.into() } else { Box::default() };
        let home = |node: u32| homes.get(node as usize).copied().flatten();
        let urgency = urgencies(&after, &before, &times, &priorities);
        let urgent = |node: u32| urgency[node as usize];
        let (first, mut list) = after.into_parts();
        let mut lone = vec![0_u32; nodes as usize];
        for (node, lone) in lone.iter_mut().enumerate() {
            let own = &mut list[first[node] as usize..first[node + 1] as usize];
            *lone = index(own.iter().filter(|to| alone(**to)).count());
            own.sort_unstable_by(|left, right| {
                let (one, other) = if alone(*left) { (right, left) } else { (left, right) };
                let kinds = alone(*right).cmp(&alone(*left)).then(home(*left).cmp(&home(*right)));
                kinds.then(urgent(*one).cmp(&urgent(*other))).then(other.cmp(one))
            });
        }
        let roots = index(list.len());
        list.extend((0..firing).filter(|node| before[*node as usize] == 0));
        list[roots as usize..].sort_by_key(|node| (home(*node), Reverse(urgent(*node))));
        let is_worth_it = NodeBoards::are_worth_it(&times, is_known, !blocks.is_empty(), workers);
        let boards = (is_worth_it && workers > 1 && homes.is_empty()).then(|| {
            let of_nodes = first.iter().zip(&lone).map(|(first, lone)| *first as usize..(first + lone) as usize);
            let parts = of_nodes.chain(std::iter::once(roots as usize..list.len()));
            Box::new(NodeBoards::new(&mut list, parts, urgent, (workers, seats)))
        });
        let is_gate = |node: &u32| matches!(joints[(*node - groups) as usize], Joint::Gate { .. });
        let open = (groups..nodes).filter(|node| before[*node as usize] == 0 && is_gate(node)).collect();
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let of_group = |((start, end), is_ordered): ((u32, &u32), &bool)| {
            let own = &tasks.order[start as usize..*end as usize];
            let least = own.iter().map(|task| tasks.rank(*task)).min().expect("a group has tasks");
            (least, Cut::of(own, *is_ordered))
        };
        let (least, mut cuts): (Vec<u32>, Vec<Cut>) = starts.zip(&ends).zip(&is_ordered).map(of_group).unzip();
        let has_several =
            |group: u32| ends[group as usize] - group.checked_sub(1).map_or(0, |one| ends[one as usize]) > 1;
        let can_be_loosened = |node: &u32| *node < groups && before[*node as usize] > 1 && has_several(*node);
        for (group, cut) in cuts.iter_mut().enumerate().filter(|(_, cut)| **cut == Cut::Never) {
            if list[first[group] as usize..first[group + 1] as usize].iter().any(can_be_loosened) {
                *cut = Cut::Ahead;
            }
        }
        Self {
            target: Target::new(if homes.is_empty() { fire::<false> } else { fire::<true> }, None),
            parts: Target::new(if homes.is_empty() { fire_part::<false> } else { fire_part::<true> }, None),
            tickets: Target::new(fire_ticket, None),
            boards,
            goes_by_level: priorities.is_empty(),
            run: std::ptr::null(),
            code: Code::new(records, &tasks.order, &ends),
            least: least.into(),
            cuts: cuts.into(),
            loose: Loose::new(),
            stuck: Target::new(if homes.is_empty() { fire_stuck::<false> } else { fire_stuck::<true> }, None),
            loosened: Target::new(if homes.is_empty() { fire_loosened::<false> } else { fire_loosened::<true> }, None),
            missing: before.iter().map(|before| FixedCountdown::new(*before)).collect(),
            holders: ends.iter().map(|_| FixedCountdown::new(1)).collect(),
            before: before.into(),
            first: first.into(),
            lone: lone.into(),
            list: list.into(),
            roots,
            open,
            homes,
            limit: AtomicU32::new(u32::MAX),
            // What is known stands until it is measured again.
            nanos: times.iter().map(|time| AtomicU64::new(if is_known { time << 1 } else { 0 })).collect(),
            shares: ends.iter().map(|_| AtomicU64::new(0)).collect(),
            sums: if blocks.is_empty() { Box::default() } else { ends.iter().map(|_| AtomicU64::new(0)).collect() },
            expected: times.into(),
            is_known,
            is_surprised: AtomicBool::new(false),
            times_all: false,
            by_times: is_known,
            closely: None,
            parity: 0,
            round: 0,
            skipped: (0..tasks.order.len().div_ceil(64)).map(|_| AtomicU64::new(0)).collect(),
            gone: Mutex::new(Vec::new()),
            is_whole: true,
            joints: joints.into(),
            firing,
            blocks: blocks.into(),
            blocks_of: blocks_of.into(),
            left_out: AtomicBool::new(false),
            tasks,
            ends: ends.into(),
        }
    }
}

/// How urgent each node is: the highest priority of the groups that wait for it, and its own; and how many nanoseconds the
/// longest path takes that begins with it. `after` are the nodes that wait for each, and `before` counts those that it waits
/// for. `times` and `priorities` are those of groups.
fn urgencies(after: &Lists, before: &[u32], times: &[u64], priorities: &[i32]) -> Vec<(i32, u64)> {
    let mut missing = before.to_vec();
    let mut order: Vec<u32> = (0..).zip(before).filter(|(_, before)| **before == 0).map(|(node, _)| node).collect();
    let mut next = 0;
    while let Some(node) = order.get(next).copied() {
        next += 1;
        for to in after.of(node) {
            missing[*to as usize] -= 1;
            if missing[*to as usize] == 0 {
                order.push(*to);
            }
        }
    }
    let mut urgencies = vec![(0, 0); before.len()];
    for node in order.into_iter().rev() {
        let at = node as usize;
        let own = (priorities.get(at).copied().unwrap_or(0), times.get(at).copied().unwrap_or(0));
        let behind = after.of(node).iter().map(|to| urgencies[*to as usize]);
        let (priority, path) = behind.fold((own.0, 0), |all, one| (all.0.max(one.0), all.1.max(one.1)));
        urgencies[at] = (priority, own.1 + path);
    }
    urgencies
}
