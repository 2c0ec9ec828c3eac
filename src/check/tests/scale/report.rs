//! What came of a load, in words and figures.

use std::cmp::Reverse;
use std::fmt::Write as _;

use super::loads::Load;
use super::{Outcome, Setup, simulate};
use crate::sync::coherence::books::{Loss, Map, Place};

/// A word, or words that stand at the same place in many seats, runs or stages.
#[derive(Debug, Default)]
pub(super) struct Word {
    /// Nanoseconds lost between pieces of work, on all lines of this kind, and on the worst one.
    pub(super) all: u64,
    pub(super) worst: u64,
    pub(super) lines: u64,
    idle: u64,
    queued: u64,
    misses: u64,
    /// Where, the worst first, with the nanoseconds.
    places: Vec<(Place, u64)>,
}

impl Outcome {
    /// The share of the greedy ideal.
    pub(super) fn share(&self, load: &Load, workers: usize) -> f64 {
        load.ideal(workers as u64) as f64 / self.time as f64
    }

    fn sum(&self, of: impl Fn(&crate::sync::coherence::books::Spent) -> u64) -> u64 {
        self.books.spent.iter().map(of).sum()
    }

    /// Nanoseconds of work, and of what came between pieces of work.
    pub(super) fn busy(&self) -> u64 {
        self.sum(|spent| spent.work + spent.stalled)
    }

    /// The words by the time that was lost on them. What stands at the same place of the code counts as one word.
    pub(super) fn words(&self) -> Vec<Word> {
        let mut lines: Map<usize, Vec<(Place, Loss)>> = Map::default();
        self.books.losses().for_each(|(line, place, loss)| lines.entry(line).or_default().push((place, loss)));
        let mut words: Map<(&str, u32), Word> = Map::default();
        for (_, mut places) in lines {
            let key = |(place, loss): &(Place, Loss)| {
                (Reverse(loss.busy), Reverse(loss.idle), place.file(), place.line(), place.column())
            };
            places.sort_by(|a, b| key(a).cmp(&key(b)));
            let first = places[0].0;
            let word = words.entry((first.file(), first.line())).or_default();
            let busy = places.iter().map(|(_, loss)| loss.busy).sum();
            word.all += busy;
            word.worst = word.worst.max(busy);
            word.lines += 1;
            for (place, loss) in places {
                word.idle += loss.idle;
                word.queued += loss.queued;
                word.misses += loss.misses;
                match word
                    .places
                    .iter_mut()
                    .find(|(there, _)| there.file() == place.file() && there.line() == place.line())
                {
                    Some((_, nanos)) => *nanos += loss.busy,
                    None => word.places.push((place, loss.busy)),
                }
            }
        }
        let mut words: Vec<Word> = words.into_values().collect();
        words
            .iter_mut()
            .for_each(|word| word.places.sort_by_key(|(place, nanos)| (Reverse(*nanos), place.file(), place.line())));
        words.sort_by_key(|word| (Reverse(word.all), word.places[0].0.file(), word.places[0].0.line()));
        words
    }

    /// One line, and one for each of the `top` words.
    fn text(&self, load: &Load, setup: &Setup, top: usize) -> String {
        let Setup { workers, seed, .. } = *setup;
        let all = (self.time * workers as u64) as f64;
        let percent = |nanos: u64| 100.0 * nanos as f64 / all;
        let [jobs, parks, near, node, afar] = self.engine;
        let per_piece = |count: u64| count as f64 / load.pieces as f64;
        let mut text = format!(
            "{:9} {workers:3} workers, seed {seed}: {:.3} ms, {:.3} of the ideal; work {:.1} %, stalled {:.1} %, asleep {:.1} %, \
             spinning {:.1} %, system {:.1} %\n",
            load.name,
            self.time as f64 / 1e6,
            self.share(load, workers),
            percent(self.sum(|spent| spent.work)),
            percent(self.sum(|spent| spent.stalled)),
            percent(self.sum(|spent| spent.asleep)),
            percent(self.sum(|spent| spent.spun)),
            percent(self.sum(|spent| spent.system)),
        );
        if !self.timeline.is_empty() {
            let points: Vec<String> = self.timeline.iter().map(|share| format!("{:.0}", 100.0 * share)).collect();
            writeln!(text, "    percent at work, from time to time: {}", points.join(" ")).expect("a string");
        }
        if top == 0 {
            return text;
        }
        let locks = self.books.locks();
        let taken: u64 = locks.iter().map(|(_, count)| count).sum();
        writeln!(
            text,
            "    {jobs} jobs, {} wake-ups, {parks} parks, {} heavy fences, steals {near} {node} {afar}; a piece: {:.2} locks, \
             {:.2} accesses to shared lines, {:.2} misses",
            self.books.wakes,
            self.books.heavy_fences,
            per_piece(taken),
            per_piece(self.sum(|spent| spent.shared)),
            per_piece(self.books.misses),
        )
        .expect("a string");
        let name = |place: &Place| format!("{}:{}", place.file().trim_start_matches("src/"), place.line());
        let most: Vec<String> = locks.iter().take(5).map(|(place, count)| format!("{} {count}", name(place))).collect();
        writeln!(text, "    locks: {}", most.join(", ")).expect("a string");
        let busy = self.busy() as f64 / 100.0;
        for word in self.words().iter().take(top).filter(|word| word.all + word.idle > 0) {
            let places: Vec<String> = word
                .places
                .iter()
                .take(4)
                .map(|(place, nanos)| format!("{} {:.1}", name(place), *nanos as f64 / busy))
                .collect();
            writeln!(
                text,
                "    busy {:5.1} % (worst of {} lines {:.1}), idle {:5.1} %, queued {:5.1} %, {} misses: {}",
                word.all as f64 / busy,
                word.lines,
                word.worst as f64 / busy,
                percent(word.idle),
                percent(word.queued),
                word.misses,
                places.join(", "),
            )
            .expect("a string");
        }
        text
    }
}

/// `SCALE="load=fork-10 workers=64 seed=1 l3=8 socket=32 top=10"`: one load. `load` may be `list`. With
/// `every=20` it tells how many workers were at work, every 20 us. With `least=80` the
/// load must reach 80 % of the ideal, and with `word=5` no word may take more than 5 % of the busy time.
#[test]
#[expect(clippy::print_stdout, reason = "this is what it is for")]
fn scale_one() {
    let Ok(text) = std::env::var("SCALE") else { return };
    let (mut load, mut setup, mut top, mut least, mut word) = (None, Setup::new(64, 1), 0, 0, 100);
    for option in text.split_whitespace() {
        let (key, value) = option.split_once('=').unwrap_or_else(|| panic!("{option}: key=value"));
        let number = || value.parse::<usize>().unwrap_or_else(|_| panic!("{option}: a number"));
        match key {
            "load" if value == "list" => {
                super::loads::ALL.iter().for_each(|load| println!("{:9} {}", load.name, load.about));
                return;
            }
            "load" => load = Some(Load::named(value).unwrap_or_else(|| panic!("{value}: no such load; load=list"))),
            "workers" => setup.workers = number(),
            "seed" => setup.seed = number() as u64,
            "l3" => setup.machine.l3 = number(),
            "socket" => setup.machine.socket = number(),
            "top" => top = number(),
            "every" => setup.every = 1000 * number() as u64,
            "least" => least = number(),
            "word" => word = number(),
            _ => panic!("{option}: load, workers, seed, l3, socket, top, every, least or word"),
        }
    }
    let load = load.expect("load=NAME");
    let outcome = simulate(setup, |pool, meter| load.run(pool, meter));
    print!("{}", outcome.text(load, &setup, top));
    let share = 100.0 * outcome.share(load, setup.workers);
    assert!(share >= least as f64, "{share:.1} % of the ideal, the bar is {least} %");
    let worst = outcome.words().iter().map(|word| word.worst).max().unwrap_or(0) as f64 * 100.0 / outcome.busy() as f64;
    assert!(worst <= word as f64, "a word takes {worst:.1} % of the busy time, the bar is {word} %");
}
