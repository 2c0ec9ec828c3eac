//! What came of a load, in words and figures.

use std::cmp::Reverse;
use std::fmt::Write as _;

use super::loads::Load;
use super::{CORES, Outcome, Setup, simulate};
use crate::sync::coherence::books::{Loss, Map, Place};
use crate::sync::coherence::costs::Machine;

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

/// What `ci/scale.sh` asks for, one option a word.
#[derive(Debug)]
struct Asked {
    load: Option<&'static Load>,
    setup: Setup,
    /// How many words to print.
    top: usize,
    /// The least share of the ideal, and the most of the busy time that a word may take, in percent.
    least: f64,
    word: f64,
}

impl Asked {
    /// `load=fork-10 workers=64 seed=1 l3=8 socket=32 top=10`. With `every=20` the timeline tells how many workers were at
    /// work, every 20 us.
    fn parse(text: &str) -> Result<Self, String> {
        let mut asked = Self { load: None, setup: Setup::new(64, 1), top: 0, least: 0.0, word: 100.0 };
        for option in text.split_whitespace() {
            let (key, value) = option.split_once('=').ok_or_else(|| format!("{option}: options read KEY=VALUE"))?;
            let number = |from: usize, to: usize| match value.parse::<usize>() {
                Ok(number) if (from..=to).contains(&number) => Ok(number),
                _ => Err(format!("{option}: a number from {from} to {to}")),
            };
            match key {
                "load" => {
                    let names = || super::loads::ALL.iter().map(|load| load.name).collect::<Vec<_>>().join(" ");
                    let load = Load::named(value);
                    asked.load = Some(load.ok_or_else(|| format!("{value}: no such load; there are {}", names()))?);
                }
                "workers" => asked.setup.workers = number(1, CORES)?,
                "seed" => asked.setup.seed = number(0, 1_000_000)? as u64,
                "l3" => asked.setup.machine.l3 = number(1, CORES)?,
                "socket" => asked.setup.machine.socket = number(1, CORES)?,
                "top" => asked.top = number(0, 1000)?,
                "every" => asked.setup.every = 1000 * number(1, 1_000_000)? as u64,
                "least" => asked.least = number(0, 100)? as f64,
                "word" => asked.word = number(0, 100)? as f64,
                _ => return Err(format!("{option}: load, workers, seed, l3, socket, top, every, least or word")),
            }
        }
        let Machine { l3, socket } = asked.setup.machine;
        if !socket.is_multiple_of(l3) {
            return Err(format!("l3={l3} socket={socket}: a socket has whole L3 domains"));
        }
        Ok(asked)
    }
}

/// One load, as the variable `SCALE` asks for. `list` names the loads.
#[test]
#[expect(clippy::print_stdout, reason = "this is what it is for")]
#[expect(clippy::exit, reason = "who has mistyped an option wants no backtrace")]
fn scale_one() {
    let Ok(text) = std::env::var("SCALE") else { return };
    if text == "list" {
        return super::loads::ALL.iter().for_each(|load| println!("{:9} {}", load.name, load.about));
    }
    let refuse = |why: &str| -> ! {
        println!("{why}");
        std::process::exit(2)
    };
    let Asked { load, setup, top, least, word } = Asked::parse(&text).unwrap_or_else(|why| refuse(&why));
    let load = load.unwrap_or_else(|| refuse("load=NAME is missing"));
    let outcome = simulate(setup, |pool, meter| load.run(pool, meter));
    print!("{}", outcome.text(load, &setup, top));
    let share = 100.0 * outcome.share(load, setup.workers);
    if share < least {
        refuse(&format!("{text}: {share:.2} % of the ideal, the bar is {least} %"));
    }
    let worst = outcome.words().iter().map(|word| word.worst).max().unwrap_or(0) as f64 * 100.0 / outcome.busy() as f64;
    if worst > word {
        refuse(&format!("{text}: a word takes {worst:.2} % of the busy time, the bar is {word} %"));
    }
}

#[test]
fn options_that_mean_nothing_are_refused() {
    for (text, why) in [
        ("load=nonsense", "nonsense: no such load; there are w3f"),
        ("sum-20", "sum-20: options read KEY=VALUE"),
        ("workers=0", "workers=0: a number from 1 to 256"),
        ("workers=999", "workers=999: a number from 1 to 256"),
        ("seed=x", "seed=x: a number from 0"),
        ("l3=0", "l3=0: a number from 1"),
        ("l3=5", "l3=5 socket=32: a socket has whole L3 domains"),
        ("sed=2", "sed=2: load, workers, seed"),
    ] {
        let refused = Asked::parse(text).expect_err(text);
        assert!(refused.starts_with(why), "{text}: {refused}");
    }
    assert!(Asked::parse("load=w9 workers=256 l3=64 socket=64").is_ok());
}
