//! Cache lines: who has each one, and what it costs to get it.
//!
//! A line is in one cache to be written, or in several to be read. A miss takes the time from the farthest cache that
//! has to give the line up, or from the nearest one that can be read from. While a line goes to a new owner it cannot
//! go to another one: so a word that all write serialises them, first come first served. A plain store waits in the
//! store buffer, and a locked instruction or a fence waits for it. Plain data that is touched one after the other is
//! fetched at once.

use std::panic::Location;

use super::books::Map;
use super::{Model, catch_up, with};
use crate::sync::watched::Kind;

/// So many actors fit into the sets of this model.
pub(crate) const ACTORS: usize = 320;
const WORDS: usize = ACTORS / 64;
const BYTES: usize = 64;
/// So soon after the last miss a miss of plain data overlaps with it, and costs an eighth.
const OVERLAP: u64 = 25;
const NOBODY: usize = usize::MAX;

#[derive(Debug)]
struct Line {
    /// Who may write it, or [`NOBODY`].
    owner: usize,
    /// Who has it.
    sharers: [u64; WORDS],
    /// Until then it is on its way.
    busy: u64,
    /// Another actor than the first one has touched it.
    is_shared: bool,
}

impl Line {
    fn has(&self, who: usize) -> bool {
        self.sharers[who / 64] >> (who % 64) & 1 == 1
    }

    fn add(&mut self, who: usize) {
        self.sharers[who / 64] |= 1 << (who % 64);
    }

    fn others(&self, who: usize) -> impl Iterator<Item = usize> {
        let bits = |(word, bits): (usize, &u64)| {
            let mut left = *bits;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros() as usize)?;
                left &= left - 1;
                Some(word * 64 + bit)
            })
        };
        self.sharers.iter().enumerate().flat_map(bits).filter(move |other| *other != who)
    }
}

/// Each actor's store that is still on its way, and when its last plain miss was over.
#[derive(Clone, Copy, Debug)]
struct Buffers {
    until: u64,
    line: usize,
    place: &'static Location<'static>,
    plain: u64,
}

#[derive(Debug)]
pub(super) struct Lines {
    lines: Map<usize, Line>,
    buffers: Vec<Buffers>,
}

impl Lines {
    pub(super) fn new(actors: usize) -> Self {
        assert!(actors <= ACTORS, "{actors} actors, at most {ACTORS}");
        let empty = Buffers { until: 0, line: 0, place: Location::caller(), plain: 0 };
        Self { lines: Map::default(), buffers: vec![empty; actors] }
    }
}

/// An access by the running actor.
pub(crate) fn access(address: usize, kind: Kind, place: &'static Location<'static>) {
    let is_hit = with(|model| model.hits(address / BYTES, kind));
    if !is_hit {
        catch_up(); // others may come first
        with(|model| model.misses(address / BYTES, kind, place));
    }
    if !is_hit || kind == Kind::Rmw {
        catch_up();
    }
}

/// A full fence.
pub(crate) fn fence() {
    with(|model| {
        model.drain();
        model.now += model.costs.fence;
    });
    catch_up();
}

impl Model {
    /// An access that finds its line, or a line that nobody has touched yet.
    fn hits(&mut self, line: usize, kind: Kind) -> bool {
        if kind == Kind::Rmw {
            self.drain();
        }
        let who = self.who;
        let found = self.lines.lines.entry(line).or_insert_with(|| {
            let mut fresh = Line { owner: who, sharers: [0; WORDS], busy: 0, is_shared: false };
            fresh.add(who);
            fresh
        });
        let reads = matches!(kind, Kind::Load | Kind::Read);
        let hits = found.owner == who || (reads && found.has(who));
        self.books.spent[who].shared += u64::from(found.is_shared && hits);
        if hits {
            self.now += if kind == Kind::Rmw { self.costs.rmw } else { self.costs.hit };
        }
        hits
    }

    fn misses(&mut self, line: usize, kind: Kind, place: &'static Location<'static>) {
        let (who, costs, machine, now) = (self.who, self.costs, self.machine, self.now);
        let Lines { lines, buffers } = &mut self.lines;
        let (found, buffer) = (lines.get_mut(&line).expect("somebody has it"), &mut buffers[who]);
        found.is_shared = true;
        self.books.spent[who].shared += 1;
        let start = now.max(found.busy);
        let away = |other| costs.line(machine, self.core[other], self.core[who]);
        let (mut takes, occupied);
        if matches!(kind, Kind::Load | Kind::Read) {
            takes = found.others(who).map(away).min().unwrap_or(costs.hit);
            occupied = if found.owner == NOBODY { costs.share } else { takes };
            found.owner = NOBODY;
        } else {
            takes = found.others(who).map(away).max().unwrap_or(costs.hit);
            occupied = takes;
            found.owner = who;
            found.sharers = [0; WORDS];
        }
        found.add(who);
        found.busy = start + occupied;
        if matches!(kind, Kind::Read | Kind::Write) {
            if now < buffer.plain + OVERLAP {
                takes = (takes / 8).max(1);
            }
            buffer.plain = start + takes;
        }
        let done = start + takes;
        if kind == Kind::Store {
            if done > buffer.until {
                *buffer = Buffers { until: done, line, place, plain: buffer.plain };
            }
            self.now += costs.hit;
            return;
        }
        self.books.lose(who, line, place, done - now, start - now);
        self.now = done + if kind == Kind::Rmw { costs.rmw } else { 0 };
    }

    /// Waits until the stores of the running actor have reached its cache.
    fn drain(&mut self) {
        let Buffers { until, line, place, .. } = self.lines.buffers[self.who];
        if until > self.now {
            self.books.lose(self.who, line, place, until - self.now, 0);
            self.now = until;
        }
    }
}
