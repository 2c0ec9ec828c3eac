//! The flow itself: what a step does to a strip of the channel.
//!
//! Walls and the cylinder throw back half a cell away from where it came from. So does the left end, which moves (Ladd,
//! Numerical simulations of particulate suspensions via a discretized Boltzmann equation, 1994). The right end throws
//! back the opposite (Ginzburg, Verhaeghe and d'Humières, Two-relaxation-time lattice Boltzmann scheme, 2008).

/// So many adjacent cells of a row are a block, which the compiler takes at once.
const LANES: usize = 4;
/// For each direction, how much moves that way in each cell of a block.
type Block = [[f64; LANES]; 9];
/// How far the directions go to the right, and upwards, in a step.
const RIGHT: [isize; 9] = [0, 1, 0, -1, 0, 1, -1, -1, 1];
const UP: [isize; 9] = [0, 0, 1, 0, -1, 1, 1, -1, -1];
/// How much moves that way where all is at rest.
const WEIGHTS: [f64; 9] = {
    let (straight, oblique) = (1.0 / 9.0, 1.0 / 36.0);
    [4.0 / 9.0, straight, straight, straight, straight, oblique, oblique, oblique, oblique]
};
/// The directions the other way round.
const OPPOSITE: [usize; 9] = [0, 3, 4, 1, 2, 7, 8, 5, 6];
/// The square of the speed of sound, in cells a step.
const SOUND: f64 = 1.0 / 3.0;

/// A channel between two walls, cut into strips of some rows. The flow comes in at the left and leaves at the right.
///
/// A row of a field is nine rows of numbers: for each direction, how much moves that way in each cell.
pub(super) struct Channel {
    pub(super) width: usize,
    pub(super) height: usize,
    /// Of a strip.
    pub(super) rows: usize,
    /// The speed of what flows in, at the middle.
    inflow: f64,
    /// What part of the way to balance a cell goes in a step.
    relaxation: f64,
    /// For each block, the cells and directions in which the cylinder throws back what the cell has sent the other way.
    bounces: Vec<Vec<(usize, usize)>>,
}

/// What is known of a field as a whole.
#[derive(Default)]
pub(super) struct Sums {
    pub(super) density: f64,
    /// Squared; infinite if it is not below the speed of sound.
    pub(super) fastest: f64,
    pub(super) drag: f64,
    pub(super) lift: f64,
}

impl Channel {
    pub(super) fn new(height: usize, rows: usize, reynolds: f64, inflow: f64) -> Self {
        let width = (height * 220).div_ceil(41).next_multiple_of(LANES);
        let mut channel = Self { width, height, rows, inflow, relaxation: 0.0, bounces: Vec::new() };
        let viscosity = channel.mean_inflow() * channel.diameter() / reynolds;
        channel.relaxation = 1.0 / (viscosity / SOUND + 0.5);
        let bounces = |(x, y): (usize, usize)| {
            let all = (0..LANES).flat_map(|lane| (0..9).map(move |i| (lane, i)));
            all.filter(|&(lane, i)| channel.is_solid(x + lane, y, 0) || channel.is_solid(x + lane, y, i)).collect()
        };
        let blocks = (0..height).flat_map(|y| (0..width).step_by(LANES).map(move |x| (x, y)));
        channel.bounces = blocks.map(bounces).collect();
        channel
    }

    /// How many numbers a row has.
    pub(super) fn row(&self) -> usize {
        9 * self.width
    }

    /// How many numbers a strip has.
    pub(super) fn strip(&self) -> usize {
        self.row() * self.rows
    }

    fn diameter(&self) -> f64 {
        self.height as f64 / 4.1
    }

    fn mean_inflow(&self) -> f64 {
        self.inflow * 2.0 / 3.0
    }

    /// Whether it is in the cylinder whence a cell gets what moves in this direction.
    pub(super) fn is_solid(&self, x: usize, y: usize, direction: usize) -> bool {
        let (x, y) = (x as f64 + 0.5 - RIGHT[direction] as f64, y as f64 + 0.5 - UP[direction] as f64);
        let centre = 2.0 * self.diameter();
        (x - centre).hypot(y - centre) < self.diameter() / 2.0
    }

    /// How fast it flows in at a row: a parabola.
    fn inflow(&self, y: usize) -> f64 {
        let (y, height) = (y as f64 + 0.5, self.height as f64);
        4.0 * self.inflow * y * (height - y) / (height * height)
    }

    /// It flows everywhere as it flows in, but not in the cylinder.
    pub(super) fn start(&self) -> Vec<f64> {
        let mut field = Vec::with_capacity(self.row() * self.height);
        for y in 0..self.height {
            for i in 0..9 {
                let speed = |x| if self.is_solid(x, y, 0) { 0.0 } else { self.inflow(y) };
                field.extend((0..self.width).map(|x| balance(i, 1.0, speed(x), 0.0)));
            }
        }
        field
    }

    /// Makes a strip, which begins at the row `first`, of the new field of those below, at and above it in the old one.
    /// Gives the square of the largest speed, which is infinite if it is not below the speed of sound.
    pub(super) fn step(&self, first: usize, [below, own, above]: [&[f64]; 3], out: &mut [f64]) -> f64 {
        let len = self.row();
        let (mut cells, mut fastest) = ([[0.0; LANES]; 9], [0.0; LANES]);
        for (row, out) in out.chunks_exact_mut(len).enumerate() {
            let (y, at) = (first + row, row * len);
            let below = match row {
                _ if y == 0 => None,
                0 => Some(&below[below.len() - len..]),
                _ => Some(&own[at - len..at]),
            };
            let above = match at + len {
                _ if y + 1 == self.height => None,
                end if end == own.len() => Some(&above[..len]),
                end => Some(&own[end..end + len]),
            };
            let own = &own[at..at + len];
            for x in (0..self.width).step_by(LANES) {
                self.stream([below, Some(own), above], own, x, &mut cells);
                if x == 0 {
                    self.flow_in(y, own, &mut cells);
                }
                if x + LANES == self.width {
                    self.flow_out(own, &mut cells);
                }
                for &(lane, i) in &self.bounces[(y * self.width + x) / LANES] {
                    cells[i][lane] = own[OPPOSITE[i] * self.width + x + lane];
                }
                self.relax(&mut cells, &mut fastest);
                for (i, moving) in cells.iter().enumerate() {
                    out[i * self.width + x..][..LANES].copy_from_slice(moving);
                }
            }
        }
        fastest.into_iter().fold(0.0, f64::max)
    }

    /// Gets what moves into a block, from the rows below, at and above it. A wall throws back what was sent there. At
    /// both ends of the row it is something or other: what lies beside it in memory.
    fn stream(&self, rows: [Option<&[f64]>; 3], own: &[f64], x: usize, cells: &mut Block) {
        for i in 0..9 {
            let from = match rows[1_usize.wrapping_add_signed(-UP[i])] {
                Some(row) => &row[(i * self.width + x).wrapping_add_signed(-RIGHT[i])..],
                None => &own[OPPOSITE[i] * self.width + x..],
            };
            cells[i].copy_from_slice(&from[..LANES]);
        }
    }

    /// The left end is like a wall that moves as fast as it flows in.
    fn flow_in(&self, y: usize, own: &[f64], cells: &mut Block) {
        for i in [1, 5, 8] {
            cells[i][0] = own[OPPOSITE[i] * self.width] + 2.0 * WEIGHTS[i] * self.inflow(y) / SOUND;
        }
    }

    /// At the right end the density is 1.
    fn flow_out(&self, own: &[f64], cells: &mut Block) {
        let last = self.width - 1;
        let (_, right, up) = self.moments(own, last);
        for i in [3, 6, 7] {
            let both = balance(i, 1.0, right, up) + balance(OPPOSITE[i], 1.0, right, up);
            cells[i][LANES - 1] = both - own[OPPOSITE[i] * self.width + last];
        }
    }

    /// Lets the cells of a block come nearer to balance. Takes down the largest squared speeds.
    fn relax(&self, cells: &mut Block, fastest: &mut [f64; LANES]) {
        let (mut density, mut right, mut up) = (cells[0], [0.0; LANES], [0.0; LANES]);
        for i in [1, 2, 5, 6] {
            for lane in 0..LANES {
                let (there, back) = (cells[i][lane], cells[OPPOSITE[i]][lane]);
                density[lane] += there + back;
                right[lane] += RIGHT[i] as f64 * (there - back);
                up[lane] += UP[i] as f64 * (there - back);
            }
        }
        let mut common = [0.0; LANES];
        for lane in 0..LANES {
            right[lane] /= density[lane];
            up[lane] /= density[lane];
            fastest[lane] = fastest[lane].max(checked_square(density[lane], right[lane], up[lane]));
            common[lane] = 1.0 - 1.5 * (right[lane] * right[lane] + up[lane] * up[lane]);
            cells[0][lane] += self.relaxation * (WEIGHTS[0] * density[lane] * common[lane] - cells[0][lane]);
        }
        for i in [1, 2, 5, 6] {
            for lane in 0..LANES {
                let along = RIGHT[i] as f64 * right[lane] + UP[i] as f64 * up[lane];
                let weight = WEIGHTS[i] * density[lane];
                let both = common[lane] + 4.5 * along * along;
                let (there, back) = (cells[i][lane], cells[OPPOSITE[i]][lane]);
                cells[i][lane] = there + self.relaxation * (weight * (both + 3.0 * along) - there);
                cells[OPPOSITE[i]][lane] = back + self.relaxation * (weight * (both - 3.0 * along) - back);
            }
        }
    }

    /// The density of a cell, and its speed to the right and upwards.
    pub(super) fn moments(&self, row: &[f64], x: usize) -> (f64, f64, f64) {
        let (mut density, mut right, mut up) = (0.0, 0.0, 0.0);
        for i in 0..9 {
            let moving = row[i * self.width + x];
            density += moving;
            right += RIGHT[i] as f64 * moving;
            up += UP[i] as f64 * moving;
        }
        (density, right / density, up / density)
    }

    pub(super) fn sums(&self, field: &[f64]) -> Sums {
        let (mut sums, mut cells) = (Sums::default(), 0_u32);
        for (y, row) in field.chunks_exact(self.row()).enumerate() {
            for x in (0..self.width).filter(|&x| !self.is_solid(x, y, 0)) {
                let (density, right, up) = self.moments(row, x);
                sums.density += density;
                sums.fastest = sums.fastest.max(checked_square(density, right, up));
                cells += 1;
                for i in (0..9).filter(|&i| self.is_solid(x, y, OPPOSITE[i])) {
                    sums.drag += 2.0 * RIGHT[i] as f64 * row[i * self.width + x];
                    sums.lift += 2.0 * UP[i] as f64 * row[i * self.width + x];
                }
            }
        }
        let force = self.mean_inflow().powi(2) * self.diameter() / 2.0;
        Sums { density: sums.density / f64::from(cells), drag: sums.drag / force, lift: sums.lift / force, ..sums }
    }
}

/// How much moves in a direction where all is in balance, with this density and speed.
fn balance(direction: usize, density: f64, right: f64, up: f64) -> f64 {
    let along = (RIGHT[direction] as f64 * right + UP[direction] as f64 * up) / SOUND;
    WEIGHTS[direction] * density * (1.0 + along + 0.5 * along * along - (right * right + up * up) * (0.5 / SOUND))
}

/// The square of a speed, or infinity where the flow has broken down.
fn checked_square(density: f64, right: f64, up: f64) -> f64 {
    let square = right * right + up * up;
    if density > 0.0 && square < SOUND { square } else { f64::INFINITY }
}
