//! The molecules themselves: what a step and sorting do to those of a slab.

use std::ops::Range;

use super::{Args, Shape};

/// Molecules pull at each other up to this distance.
const CUTOFF: f64 = 2.5;
/// So much wider are cells, at least: a molecule may go half of that before it is sorted again.
const SKIN: f64 = 0.5;
/// How many molecules there are in a unit of volume, where they are densest.
const DENSITY: f64 = 0.8;

type Vector = [f64; 3];

/// Where the molecules of a slab are, cell by cell.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Places {
    /// For each cell, which of the places is its first one; and how many there are.
    starts: Vec<usize>,
    places: Vec<Vector>,
}

/// How the molecules of a slab move, in the order of their places.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Motion {
    names: Vec<usize>,
    /// Half a step before.
    speeds: Vec<Vector>,
    /// Where they were when they were sorted into cells.
    homes: Vec<Vector>,
}

/// What is added up over a layer of cells.
#[derive(Clone, Copy, Default, PartialEq)]
pub(super) struct Sums {
    pub(super) kinetic: f64,
    pub(super) potential: f64,
    /// The largest square of a way since the molecules were sorted.
    pub(super) way: f64,
}

impl Sums {
    pub(super) fn total(&self) -> f64 {
        self.kinetic + self.potential
    }
}

/// All slabs.
pub(super) type State = (Vec<Places>, Vec<Motion>);

/// The names, places and speeds of a slab's molecules.
pub(super) fn molecules<'a>(
    (places, motion): (&'a Places, &'a Motion),
) -> impl Iterator<Item = (usize, Vector, Vector)> {
    let names = motion.names.iter().zip(&places.places).zip(&motion.speeds);
    names.map(|((&name, &place), &speed)| (name, place, speed))
}

/// Molecules in a periodic box, which is cut into cells; so many layers of cells are a slab.
#[derive(Clone)]
pub(super) struct Fluid {
    /// How long an edge of the box is.
    edge: f64,
    /// How many cells there are along an edge.
    pub(super) cells: usize,
    layers: usize,
    time_step: f64,
    /// So many steps after they were sorted molecules are sorted again.
    pub(super) sort: u64,
    /// The square of the distance from which on two molecules do not pull at each other.
    reach: f64,
    /// The energy of two molecules at that distance, which is taken off.
    offset: f64,
    /// The square of how far a molecule may go before it is sorted again.
    way: f64,
    /// Where the molecules are first, and their speeds.
    first: Vec<(Vector, Vector)>,
}

impl Fluid {
    pub(super) fn new(args: &Args) -> Self {
        let count = args.molecules as usize;
        let (sites, edge) = sites(args.shape, count);
        let mut random = Random(args.seed);
        let mut speeds: Vec<Vector> =
            sites.iter().map(|_| [(); 3].map(|()| random.normal() * args.temperature.sqrt())).collect();
        for axis in 0..3 {
            let mean = speeds.iter().map(|speed| speed[axis]).sum::<f64>() / count as f64;
            speeds.iter_mut().for_each(|speed| speed[axis] -= mean);
        }
        let reach = CUTOFF.min(edge - SKIN);
        #[expect(clippy::cast_possible_truncation, reason = "a box of a million molecules has some hundreds")]
        let cells = (edge / (reach + SKIN)) as usize;
        Self {
            edge,
            cells,
            layers: usize::from(args.slab).min(cells),
            time_step: args.time_step,
            sort: args.sort.into(),
            reach: reach * reach,
            offset: potential(reach.powi(-6)),
            way: ((edge / cells as f64 - reach) / 2.0).powi(2),
            first: sites.into_iter().map(|site| site.map(|x| x + edge / 2.0)).zip(speeds).collect(),
        }
    }

    /// The same, but all of it is one slab.
    pub(super) fn in_one_slab(&self) -> Self {
        Self { layers: self.cells, ..self.clone() }
    }

    pub(super) fn slabs(&self) -> usize {
        self.cells.div_ceil(self.layers)
    }

    /// The layers of a slab.
    fn layers_of(&self, slab: usize) -> Range<usize> {
        let first = slab * self.layers;
        first..self.cells.min(first + self.layers)
    }

    /// The slabs below, at and above one.
    pub(super) fn around(&self, slab: usize) -> [usize; 3] {
        let slabs = self.slabs();
        [(slab + slabs - 1) % slabs, slab, (slab + 1) % slabs]
    }

    pub(super) fn start(&self) -> State {
        let all = || self.first.iter().enumerate().map(|(name, &(place, speed))| (name, place, speed));
        let mut state = (vec![Places::default(); self.slabs()], vec![Motion::default(); self.slabs()]);
        for (slab, (places, motion)) in state.0.iter_mut().zip(&mut state.1).enumerate() {
            self.fill(slab, all(), places, motion);
        }
        state
    }

    /// Sorts those of the molecules that are in a slab into its cells, and in a cell by name.
    fn fill(
        &self,
        slab: usize,
        molecules: impl Iterator<Item = (usize, Vector, Vector)>,
        places: &mut Places,
        motion: &mut Motion,
    ) {
        let layers = self.layers_of(slab);
        let mut own: Vec<(usize, usize, Vector, Vector)> = molecules
            .filter_map(|(name, place, speed)| {
                let place = place.map(|x| x - self.edge * (x / self.edge).floor());
                #[expect(clippy::cast_possible_truncation, reason = "the number of a cell, or else of the last one")]
                let [x, y, z] = place.map(|x| ((x / self.edge * self.cells as f64) as usize).min(self.cells - 1));
                let cell = |z: usize| (z * self.cells + y) * self.cells + x;
                layers.contains(&z).then(|| (cell(z - layers.start), name, place, speed))
            })
            .collect();
        own.sort_unstable_by_key(|&(cell, name, ..)| (cell, name));
        let cells = layers.len() * self.cells * self.cells;
        places.starts = (0..=cells).map(|cell| own.partition_point(|molecule| molecule.0 < cell)).collect();
        places.places = own.iter().map(|molecule| molecule.2).collect();
        motion.names = own.iter().map(|molecule| molecule.1).collect();
        motion.speeds = own.iter().map(|molecule| molecule.3).collect();
        motion.homes.clone_from(&places.places);
    }

    /// Makes a slab of those below, at and above it: molecules change to the cells where they are by now.
    pub(super) fn sort(&self, slab: usize, from: [(&Places, &Motion); 3], places: &mut Places, motion: &mut Motion) {
        let [below, own, above] = from;
        let sources = [own, below, above].into_iter().take(self.slabs()); // of two slabs or one some are the same
        self.fill(slab, sources.flat_map(molecules), places, motion);
    }

    /// Moves the molecules of a slab by a step: the speeds of its motion change, and `to` is where they are then.
    ///
    /// What pulls at a molecule is added up in the order of cells and names, so that it does not matter how the cells
    /// are cut into slabs.
    pub(super) fn step(
        &self,
        slab: usize,
        [below, own, above]: [&Places; 3],
        motion: &mut Motion,
        to: &mut Places,
    ) -> Vec<Sums> {
        let layers = self.layers_of(slab);
        to.starts.clone_from(&own.starts);
        to.places.clear();
        let beneath = self.layers_of(self.around(slab)[0]).len() - 1; // the uppermost layer of the slab below
        let layer = |z: usize| {
            let layer = z - layers.start;
            let down = if layer > 0 { (own, layer - 1) } else { (below, beneath) };
            let up = if z + 1 < layers.end { (own, layer + 1) } else { (above, 0) };
            let [dz_down, dz, dz_up] = self.beside(z).map(|beside| beside.1);
            let planes = [(down, dz_down), ((own, layer), dz), (up, dz_up)];
            let mut sums = Sums::default();
            for (y, x) in (0..self.cells).flat_map(|y| (0..self.cells).map(move |x| (y, x))) {
                for number in self.cell(own, layer, y, x) {
                    let place = own.places[number];
                    let mut pull = Pull::default();
                    let gaps = [(place[0], x), (place[1], y), (place[2], z)].map(|(at, row)| self.gaps(at, row));
                    for (((slab, layer), dz), gap_z) in planes.into_iter().zip(gaps[2]) {
                        for ((y, dy), gap_y) in self.beside(y).into_iter().zip(gaps[1]) {
                            for ((x, dx), gap_x) in self.beside(x).into_iter().zip(gaps[0]) {
                                if gap_x + gap_y + gap_z < self.reach {
                                    let from = [place[0] - dx, place[1] - dy, place[2] - dz];
                                    pull.add(self, from, &slab.places[self.cell(slab, layer, y, x)]);
                                }
                            }
                        }
                    }
                    let half = self.time_step / 2.0;
                    let speed = add(motion.speeds[number], pull.force, half);
                    sums.kinetic += square(speed) / 2.0;
                    sums.potential += pull.energy / 2.0; // the other half is the other molecule's
                    let speed = add(speed, pull.force, half);
                    let next = add(place, speed, self.time_step);
                    let way = square(add(next, motion.homes[number], -1.0));
                    sums.way = if way < self.way { sums.way.max(way) } else { f64::INFINITY };
                    motion.speeds[number] = speed;
                    to.places.push(next);
                }
            }
            sums
        };
        layers.clone().map(layer).collect()
    }

    /// Which of a slab's molecules are in a cell.
    fn cell(&self, slab: &Places, layer: usize, y: usize, x: usize) -> Range<usize> {
        let cell = (layer * self.cells + y) * self.cells + x;
        slab.starts[cell]..slab.starts[cell + 1]
    }

    /// The squares of how far a molecule in a row of cells is, at least, from those that belong into the rows beside it.
    fn gaps(&self, place: f64, row: usize) -> [f64; 3] {
        let (width, way) = (self.edge / self.cells as f64, self.way.sqrt());
        let (start, end) = (row as f64 * width, (row + 1) as f64 * width);
        [place - start - way, 0.0, end - place - way].map(|gap| gap.max(0.0).powi(2))
    }

    /// A row of cells between those beside it. With each comes how far it is to be moved: where the box ends it begins
    /// again.
    fn beside(&self, row: usize) -> [(usize, f64); 3] {
        let before = if row == 0 { (self.cells - 1, -self.edge) } else { (row - 1, 0.0) };
        let behind = if row + 1 == self.cells { (0, self.edge) } else { (row + 1, 0.0) };
        [before, (row, 0.0), behind]
    }
}

/// What pulls at a molecule.
#[derive(Default)]
struct Pull {
    force: Vector,
    energy: f64,
}

impl Pull {
    fn add(&mut self, fluid: &Fluid, place: Vector, others: &[Vector]) {
        for other in others {
            let apart = [place[0] - other[0], place[1] - other[1], place[2] - other[2]];
            let distance = square(apart);
            if distance < fluid.reach && distance > 0.0 {
                let six = (distance * distance * distance).recip();
                let force = (48.0 * six * six - 24.0 * six) / distance;
                self.force = add(self.force, apart, force);
                self.energy += potential(six) - fluid.offset;
            }
        }
    }
}

/// The energy of two molecules, of one by the sixth power of their distance.
fn potential(six: f64) -> f64 {
    4.0 * (six * six - six)
}

/// One vector and so many times another one.
fn add(a: Vector, b: Vector, times: f64) -> Vector {
    [a[0] + b[0] * times, a[1] + b[1] * times, a[2] + b[2] * times]
}

fn square(a: Vector) -> f64 {
    a[0] * a[0] + a[1] * a[1] + a[2] * a[2]
}

// ---- the start -----------------------------------------------------------------------------------------------------

/// Where so many molecules are first, from the middle of the box, and how long its edge is: on a cubic lattice, of
/// which some sites stay free.
fn sites(shape: Shape, count: usize) -> (Vec<Vector>, f64) {
    let spacing = DENSITY.cbrt().recip();
    let lattice = |at_least: usize| {
        let along = (1..).find(|along| along * along * along >= at_least).expect("a number has a root");
        let middle = along as f64 / 2.0 - 0.5;
        let site = move |site| {
            [site % along, site / along % along, site / along / along].map(|x| spacing * (x as f64 - middle))
        };
        ((0..along * along * along).map(site).collect::<Vec<Vector>>(), spacing * along as f64)
    };
    match shape {
        Shape::Bulk => {
            let (all, edge) = lattice(count);
            ((0..count).map(|number| all[number * all.len() / count]).collect(), edge)
        }
        Shape::Droplet => {
            let (mut all, edge) = lattice(2 * count); // a ball fills half of a cube
            all.sort_by(|a, b| square(*a).total_cmp(&square(*b)));
            all.truncate(count);
            (all, 2.0 * edge)
        }
    }
}

/// Random numbers: Steele, Lea and Flood, Fast splittable pseudorandom number generators, 2014.
struct Random(u64);

impl Random {
    /// A number from 0 to 1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// About as many numbers lie beside 0 as in a normal distribution.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.next()).sum::<f64>() - 6.0
    }
}
