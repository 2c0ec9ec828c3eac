//! Programs of tasks, and how they are drawn.
//!
//! A program is drawn with any numbers, and then [settled](Program::settle): each number becomes that of something
//! which the step may access at its place.

use std::ops::Range;

use proptest::prelude::*;

/// How many data there are that tasks access as a whole.
pub(super) const GIVEN: usize = 6;
/// How many values are in the data that is cut, and how long the parts are, in either way of cutting.
pub(super) const WHOLE: usize = 20;
pub(super) const CUTS: [usize; 2] = [7, 5];
/// Ways of cutting it into tiles: how wide the matrix is, and how many rows and columns a tile has.
pub(super) const TILINGS: [(usize, (usize, usize)); 2] = [(5, (3, 2)), (4, (2, 3))];
/// How many items a stream has.
pub(super) const ITEMS: u64 = 5;

/// The values of a part.
pub(super) fn part(way: usize, number: usize) -> Range<usize> {
    let len = CUTS[way];
    let start = number % WHOLE.div_ceil(len) * len;
    start..(start + len).min(WHOLE)
}

/// How many tiles there are from above to below, and from left to right.
fn tiles((width, (rows, columns)): (usize, (usize, usize))) -> (usize, usize) {
    ((WHOLE / width).div_ceil(rows), width.div_ceil(columns))
}

/// The place of a tile among all, by rows and columns of tiles.
pub(super) fn place_of_tile(way: usize, number: usize) -> (usize, usize) {
    let (down, across) = tiles(TILINGS[way]);
    (number % down, number / down % across)
}

/// The values of a tile, row by row.
pub(super) fn tile(way: usize, number: usize) -> impl Iterator<Item = usize> {
    let ((width, (rows, columns)), (row, column)) = (TILINGS[way], place_of_tile(way, number));
    let columns = column * columns..width.min((column + 1) * columns);
    let rows = row * rows..(WHOLE / width).min((row + 1) * rows);
    rows.flat_map(move |row| columns.clone().map(move |column| row * width + column))
}

/// What a step does: with given data, by its number, or with what earlier steps have made, by theirs.
#[derive(Clone, Debug)]
pub(super) enum Does {
    Nothing,
    Read(usize),
    Write(usize),
    ReadTwo(usize, usize),
    ReadWrite(usize, usize),
    WriteTwo(usize, usize),
    /// Takes data, and nobody accesses it any more.
    Take(usize),
    /// Takes the first, and writes the second.
    TakeWrite(usize, usize),
    Result(usize),
    /// Reads a result, and writes data.
    ResultWrite(usize, usize),
    WriteResult(usize),
    TakeResult(usize),
    /// Takes a result, and writes data.
    TakeResultWrite(usize, usize),
    /// Reads several results.
    Results(Vec<usize>),
    /// Makes a result without a value; reads one; takes one.
    Unit,
    ReadUnit(usize),
    TakeUnit(usize),
    /// Reads or writes the part with this number, in either way of cutting; or all.
    PartRead(usize, usize),
    PartWrite(usize, usize),
    /// Reads or writes the tile with this number, in either way of cutting.
    TileRead(usize, usize),
    TileWrite(usize, usize),
    WholeRead,
    WholeWrite,
    WholeTake,
    /// A stream that reads data, or a result.
    Stream(usize),
    StreamOfResult(usize),
    /// A stream that reads one thing, and then one that reads another.
    Streams(usize, usize),
}

/// Something that steps access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thing {
    Data(usize),
    Whole,
    /// What this step has made.
    Made(usize),
}

impl Does {
    pub(super) fn is_stream(&self) -> bool {
        matches!(self, Self::Stream(_) | Self::StreamOfResult(_) | Self::Streams(..))
    }

    /// What it writes.
    pub(super) fn writes(&self) -> Vec<Thing> {
        match *self {
            Self::Write(a) | Self::ReadWrite(_, a) | Self::TakeWrite(_, a) => vec![Thing::Data(a)],
            Self::ResultWrite(_, a) | Self::TakeResultWrite(_, a) => vec![Thing::Data(a)],
            Self::WriteTwo(a, b) => vec![Thing::Data(a), Thing::Data(b)],
            Self::WriteResult(step) => vec![Thing::Made(step)],
            Self::PartWrite(..) | Self::TileWrite(..) | Self::WholeWrite => vec![Thing::Whole],
            _ => Vec::new(),
        }
    }

    /// What it takes.
    pub(super) fn takes(&self) -> Option<Thing> {
        match *self {
            Self::Take(a) | Self::TakeWrite(a, _) => Some(Thing::Data(a)),
            Self::TakeResult(step) | Self::TakeResultWrite(step, _) | Self::TakeUnit(step) => Some(Thing::Made(step)),
            Self::WholeTake => Some(Thing::Whole),
            _ => None,
        }
    }
}

/// Where something is to be.
#[derive(Clone, Debug)]
pub(super) enum Home {
    /// Nobody says.
    Unsaid,
    Spread,
    /// On one of the machine's nodes.
    Node(usize),
    /// Near given data, or, if that is given later, nobody says.
    Near(usize),
}

#[derive(Clone, Debug)]
pub(super) struct Step {
    /// Its place in program order.
    pub(super) number: usize,
    pub(super) does: Does,
    pub(super) rounds: u64,
    pub(super) home: Home,
    pub(super) priority: i32,
    /// An earlier step that it comes after, whatever it accesses.
    pub(super) after: Option<usize>,
}

/// A part of a program.
#[derive(Clone, Debug)]
pub(super) enum Item {
    Step(Step),
    /// Goes through the items so many times.
    Repeat(u64, Vec<Item>),
    /// Goes through the items until this data is enough, but so many times at most.
    Until(usize, u64, Vec<Item>),
    /// Goes through the items if this data is even.
    When(usize, Vec<Item>),
}

pub(super) fn is_enough(value: u64) -> bool {
    value.is_multiple_of(3)
}

#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) items: Vec<Item>,
    /// The homes of given data, then of the data that is cut, then of its parts and tiles.
    pub(super) homes: Vec<Home>,
    /// Whether its steps may fail. If so it has no streams: their sources stop then, and what waits for them does not
    /// fire.
    pub(super) may_fail: bool,
}

impl Program {
    /// Its steps, in program order.
    pub(super) fn steps(&self) -> Vec<&Step> {
        fn add<'a>(items: &'a [Item], steps: &mut Vec<&'a Step>) {
            for item in items {
                match item {
                    Item::Step(step) => steps.push(step),
                    Item::Repeat(_, items) | Item::Until(_, _, items) | Item::When(_, items) => add(items, steps),
                }
            }
        }
        let mut steps = Vec::new();
        add(&self.items, &mut steps);
        steps
    }

    fn settle(mut self) -> Self {
        let mut scope = Scope {
            may_fail: self.may_fail,
            steps: 0,
            data: (0..GIVEN).collect(),
            has_whole: true,
            results: Vec::new(),
            units: Vec::new(),
            open: Vec::new(),
        };
        scope.settle(&mut self.items);
        self
    }
}

/// What an earlier step has made.
#[derive(Clone, Copy)]
struct Made {
    step: usize,
    /// How many of the blocks that are open now it was made in.
    depth: usize,
}

/// What may be accessed at a place in the program.
struct Scope {
    may_fail: bool,
    steps: usize,
    /// Data that nobody has taken, and whether nobody has taken that which is cut.
    data: Vec<usize>,
    has_whole: bool,
    results: Vec<Made>,
    units: Vec<Made>,
    /// The blocks around the place.
    open: Vec<Block>,
}

#[derive(Clone, Copy)]
struct Block {
    /// Whether it may be gone through several times.
    is_repeated: bool,
    /// Whether it may be left out.
    is_optional: bool,
}

impl Scope {
    fn settle(&mut self, items: &mut [Item]) {
        for item in items {
            match item {
                Item::Step(step) => self.step(step),
                Item::Repeat(times, items) => self.block(items, *times > 1, *times == 0),
                Item::Until(data, most, items) => {
                    self.block(items, true, *most == 0);
                    *data = self.given(*data);
                }
                Item::When(data, items) => {
                    *data = self.given(*data);
                    self.block(items, false, true);
                }
            }
        }
    }

    /// What is made in a block that may be left out is not accessed outside.
    fn block(&mut self, items: &mut [Item], is_repeated: bool, is_optional: bool) {
        let (first, depth) = (self.steps, self.open.len());
        self.open.push(Block { is_repeated, is_optional });
        self.settle(items);
        self.open.pop();
        for list in [&mut self.results, &mut self.units] {
            list.retain(|made| made.step < first || !is_optional);
            list.iter_mut().for_each(|made| made.depth = made.depth.min(depth));
        }
    }

    fn given(&self, number: usize) -> usize {
        self.data[number % self.data.len()]
    }

    /// Two different data.
    fn two(&self, a: usize, b: usize) -> (usize, usize) {
        let len = self.data.len();
        (self.given(a), self.data[(a % len + 1 + b % (len - 1)) % len])
    }

    /// Whether something may be taken that was made in so many of the blocks around: a block that is repeated would
    /// take it again.
    fn may_take(&self, depth: usize) -> bool {
        !self.open[depth..].iter().any(|block| block.is_repeated)
    }

    /// Takes given data, if that is possible; some must be left.
    fn take(&mut self, data: usize) -> bool {
        let takes = self.may_take(0) && self.data.len() > 3;
        self.data.retain(|other| !takes || *other != data);
        takes
    }

    fn made(list: &[Made], number: usize) -> Option<usize> {
        (!list.is_empty()).then(|| list[number % list.len()].step)
    }

    fn result(&self, number: usize) -> Option<usize> {
        Self::made(&self.results, number)
    }

    /// Takes a result, if that is possible.
    fn take_result(&mut self, step: usize) -> bool {
        let depth = self.results.iter().find(|made| made.step == step).map(|made| made.depth);
        let takes = depth.is_some_and(|depth| self.may_take(depth));
        self.results.retain(|made| !takes || made.step != step);
        takes
    }

    /// Reads or takes a unit. If a loop makes it again, and only a branch takes it, the plan takes it for gone
    /// afterwards, whatever the branch did the last time (`docs/limits.md`): such a unit is read.
    fn unit(&mut self, number: usize, takes: bool) -> Does {
        let Some(step) = Self::made(&self.units, number) else { return Does::Unit };
        let place = self.units.iter().position(|made| made.step == step).expect("it is in the list");
        let depth = self.units[place].depth;
        let (around, entered) = self.open.split_at(depth);
        let is_unknown = around.iter().any(|block| block.is_repeated) && entered.iter().any(|block| block.is_optional);
        if !takes || is_unknown || !self.may_take(depth) {
            return Does::ReadUnit(step);
        }
        self.units.remove(place);
        Does::TakeUnit(step)
    }

    fn step(&mut self, step: &mut Step) {
        step.number = self.steps;
        step.does = self.does(&step.does);
        step.after = step.after.filter(|_| self.steps > 0 && !step.does.is_stream()).map(|after| after % self.steps);
        let list = if matches!(step.does, Does::Unit) { &mut self.units } else { &mut self.results };
        list.push(Made { step: self.steps, depth: self.open.len() });
        self.steps += 1;
    }

    fn does(&mut self, does: &Does) -> Does {
        let may_stream = self.open.is_empty() && !self.may_fail;
        match *does {
            Does::Read(a) => Does::Read(self.given(a)),
            Does::Write(a) => Does::Write(self.given(a)),
            Does::ReadTwo(a, b) => {
                let (a, b) = self.two(a, b);
                Does::ReadTwo(a, b)
            }
            Does::ReadWrite(a, b) => {
                let (a, b) = self.two(a, b);
                Does::ReadWrite(a, b)
            }
            Does::WriteTwo(a, b) => {
                let (a, b) = self.two(a, b);
                Does::WriteTwo(a, b)
            }
            Does::Take(a) => {
                let a = self.given(a);
                if self.take(a) { Does::Take(a) } else { Does::Read(a) }
            }
            Does::TakeWrite(a, b) => {
                let (a, b) = self.two(a, b);
                if self.take(a) { Does::TakeWrite(a, b) } else { Does::ReadWrite(a, b) }
            }
            Does::Result(far) => self.result(far).map_or(Does::Nothing, Does::Result),
            Does::ResultWrite(far, b) => {
                let b = self.given(b);
                self.result(far).map_or(Does::Write(b), |step| Does::ResultWrite(step, b))
            }
            Does::WriteResult(far) => self.result(far).map_or(Does::Nothing, Does::WriteResult),
            Does::TakeResult(far) => match self.result(far) {
                Some(step) if self.take_result(step) => Does::TakeResult(step),
                found => found.map_or(Does::Nothing, Does::Result),
            },
            Does::TakeResultWrite(far, b) => {
                let b = self.given(b);
                match self.result(far) {
                    Some(step) if self.take_result(step) => Does::TakeResultWrite(step, b),
                    found => found.map_or(Does::Write(b), |step| Does::ResultWrite(step, b)),
                }
            }
            Does::Results(ref far) => Does::Results(far.iter().filter_map(|far| self.result(*far)).collect()),
            Does::ReadUnit(far) => self.unit(far, false),
            Does::TakeUnit(far) => self.unit(far, true),
            Does::PartRead(..) | Does::PartWrite(..) | Does::WholeRead | Does::WholeWrite if self.has_whole => {
                does.clone()
            }
            Does::TileRead(..) | Does::TileWrite(..) if self.has_whole => does.clone(),
            Does::WholeTake if self.has_whole => {
                self.has_whole = !self.may_take(0);
                if self.has_whole { Does::WholeRead } else { Does::WholeTake }
            }
            Does::Stream(a) if may_stream => Does::Stream(self.given(a)),
            Does::StreamOfResult(far) if may_stream => self.result(far).map_or(Does::Nothing, Does::StreamOfResult),
            Does::Streams(a, b) if may_stream => Does::Streams(self.given(a), self.given(b)),
            Does::Unit => Does::Unit,
            _ => Does::Nothing,
        }
    }
}

fn does() -> impl Strategy<Value = Does> {
    let any = || 0..1000_usize;
    let two = || (any(), any());
    prop_oneof![
        1 => Just(Does::Nothing),
        4 => any().prop_map(Does::Read),
        3 => any().prop_map(Does::Write),
        2 => two().prop_map(|(a, b)| Does::ReadTwo(a, b)),
        2 => two().prop_map(|(a, b)| Does::ReadWrite(a, b)),
        1 => two().prop_map(|(a, b)| Does::WriteTwo(a, b)),
        1 => any().prop_map(Does::Take),
        1 => two().prop_map(|(a, b)| Does::TakeWrite(a, b)),
        4 => any().prop_map(Does::Result),
        2 => two().prop_map(|(a, b)| Does::ResultWrite(a, b)),
        1 => any().prop_map(Does::WriteResult),
        2 => any().prop_map(Does::TakeResult),
        1 => two().prop_map(|(a, b)| Does::TakeResultWrite(a, b)),
        2 => prop::collection::vec(any(), 0..7).prop_map(Does::Results),
        1 => Just(Does::Unit),
        1 => any().prop_map(Does::ReadUnit),
        1 => any().prop_map(Does::TakeUnit),
        3 => (0..2_usize, 0..4_usize).prop_map(|(way, number)| Does::PartRead(way, number)),
        3 => (0..2_usize, 0..4_usize).prop_map(|(way, number)| Does::PartWrite(way, number)),
        3 => (0..2_usize, 0..6_usize).prop_map(|(way, number)| Does::TileRead(way, number)),
        4 => (0..2_usize, 0..6_usize).prop_map(|(way, number)| Does::TileWrite(way, number)),
        1 => Just(Does::WholeRead),
        1 => Just(Does::WholeWrite),
        1 => Just(Does::WholeTake),
        1 => any().prop_map(Does::Stream),
        2 => any().prop_map(Does::StreamOfResult),
        1 => two().prop_map(|(a, b)| Does::Streams(a, b)),
    ]
}

fn home() -> impl Strategy<Value = Home> {
    prop_oneof![
        6 => Just(Home::Unsaid),
        1 => Just(Home::Spread),
        3 => (0..1000_usize).prop_map(Home::Node),
        1 => (0..GIVEN).prop_map(Home::Near),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let rounds = prop_oneof![6 => Just(0), 3 => 1..4_u64, 1 => 20..200_u64];
    let priority = prop_oneof![6 => Just(0), 1 => -1..3_i32];
    let after = prop::option::weighted(0.1, 0..1000_usize);
    (does(), rounds, home(), priority, after).prop_map(|(does, rounds, home, priority, after)| Step {
        number: 0,
        does,
        rounds,
        home,
        priority,
        after,
    })
}

/// Programs of fewer than `count` items, some of them blocks; some without any home.
pub(super) fn programs(count: usize) -> impl Strategy<Value = Program> {
    let item = step().prop_map(Item::Step).prop_recursive(3, 40, 6, |inner| {
        let block = prop::collection::vec(inner.clone(), 0..6);
        let (data, times) = (0..1000_usize, 0..4_u64);
        prop_oneof![
            8 => inner,
            1 => (times.clone(), block.clone()).prop_map(|(times, items)| Item::Repeat(times, items)),
            1 => (data.clone(), times, block.clone()).prop_map(|(data, most, items)| Item::Until(data, most, items)),
            1 => (data, block).prop_map(|(data, items)| Item::When(data, items)),
        ]
    });
    let parts: usize = CUTS.iter().map(|len| WHOLE.div_ceil(*len)).sum();
    let tiles: usize = TILINGS.iter().map(|way| tiles(*way)).map(|(down, across)| down * across).sum();
    let homes = prop::collection::vec(home(), GIVEN + 1 + parts + tiles);
    (prop::collection::vec(item, 1..count), homes, any::<bool>(), prop::bool::weighted(0.7)).prop_map(
        |(mut items, mut homes, may_fail, has_homes)| {
            if !has_homes {
                homes.fill(Home::Unsaid);
                each_step(&mut items, &mut |step| step.home = Home::Unsaid);
            }
            Program { items, homes, may_fail }.settle()
        },
    )
}

fn each_step(items: &mut [Item], change: &mut impl FnMut(&mut Step)) {
    for item in items {
        match item {
            Item::Step(step) => change(step),
            Item::Repeat(_, items) | Item::Until(_, _, items) | Item::When(_, items) => each_step(items, change),
        }
    }
}
