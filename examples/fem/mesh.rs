//! A mesh of triangles, the exact solution on it, and a picture.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

/// How far a point is moved at most, in each direction, as a share of the distance between points. At a quarter a
/// triangle could be without area.
const JITTER: f64 = 0.2;
/// Pixels along an edge of the picture.
const PIXELS: u16 = 720;

pub(super) type Point = [f64; 2];

/// Triangles, counter-clockwise, and the inner points, whose values are unknown.
pub(super) struct Mesh {
    pub(super) points: Vec<Point>,
    pub(super) triangles: Vec<[usize; 3]>,
    /// The number of a point's unknown. None: the point is at the edge.
    pub(super) unknown: Vec<Option<usize>>,
    /// Unknowns and the triangles at their points, in order.
    pub(super) touching: Vec<(usize, usize)>,
}

impl Mesh {
    /// A mesh of the square from -1 to 1 without the quarter below and right of its centre, with `size` cells along the
    /// edges of a quarter.
    pub(super) fn new(size: usize, seed: u64) -> Self {
        let mut mesh = Self { points: Vec::new(), triangles: Vec::new(), unknown: Vec::new(), touching: Vec::new() };
        let (mut random, mut unknowns) = (Random(seed), 0..);
        let width = 2 * size + 1;
        let mut number = vec![0; width * width];
        for (y, x) in (0..width).flat_map(|y| (0..width).map(move |x| (y, x))) {
            if x > size && y < size {
                continue;
            }
            let inner = 0 < x && x < 2 * size && 0 < y && y < 2 * size && !(x >= size && y <= size);
            let shift = if inner { [(); 2].map(|()| JITTER * random.next()) } else { [0.0; 2] };
            let place = |at: usize, shift: f64| (at as f64 - size as f64 + shift) / size as f64;
            number[y * width + x] = mesh.points.len();
            mesh.points.push([place(x, shift[0]), place(y, shift[1])]);
            mesh.unknown.push(if inner { unknowns.next() } else { None });
        }
        for (y, x) in (0..2 * size).flat_map(|y| (0..2 * size).map(move |x| (y, x))) {
            if x >= size && y < size {
                continue;
            }
            let at = y * width + x;
            let [a, b, c, d] = [at, at + 1, at + width + 1, at + width].map(|at| number[at]);
            let length = |from: usize, to: usize| {
                let across = minus(mesh.points[to], mesh.points[from]);
                dot(&across, &across)
            };
            let halves = if length(a, c) < length(b, d) { [[a, b, c], [a, c, d]] } else { [[a, b, d], [b, c, d]] };
            mesh.triangles.extend(halves);
        }
        for (triangle, corners) in mesh.triangles.iter().enumerate() {
            mesh.touching.extend(corners.iter().filter_map(|corner| Some((mesh.unknown[*corner]?, triangle))));
        }
        mesh.touching.sort_unstable();
        mesh
    }

    pub(super) fn unknowns(&self) -> usize {
        self.touching.last().map_or(0, |(last, _)| last + 1)
    }

    /// How far two unknowns in a triangle are from each other at most, by number. It is at least 1.
    pub(super) fn reach(&self) -> usize {
        let spread = |corners: &[usize; 3]| {
            let unknowns = || corners.iter().filter_map(|corner| self.unknown[*corner]);
            Some(unknowns().max()? - unknowns().min()?)
        };
        self.triangles.iter().filter_map(spread).fold(1, usize::max)
    }

    /// The exact solution for a load of 1: the sag under the load, and what a corner of this kind adds, which has no slope
    /// there that is finite.
    pub(super) fn exact([x, y]: Point) -> f64 {
        let angle = y.atan2(x);
        let angle = if angle < 0.0 { angle + std::f64::consts::TAU } else { angle };
        let square = x * x + y * y;
        square.cbrt() * (angle * 2.0 / 3.0).sin() - square / 4.0
    }

    /// The value at a point: an unknown one, or one at the edge.
    fn value(&self, values: &[f64], point: usize) -> f64 {
        self.unknown[point].map_or_else(|| Self::exact(self.points[point]), |unknown| values[unknown])
    }

    /// How far values are from the exact solution: the root of the integral of the square.
    pub(super) fn error(&self, values: &[f64]) -> f64 {
        let square = |corners: &[usize; 3]| {
            let [a, b, c] = corners.map(|corner| self.points[corner]);
            let sides = [[0, 1], [1, 2], [2, 0]].map(|side| {
                let [from, to] = side.map(|end| corners[end]);
                let middle = [0, 1].map(|axis| (self.points[from][axis] + self.points[to][axis]) / 2.0);
                let between = (self.value(values, from) + self.value(values, to)) / 2.0;
                (between - Self::exact(middle)).powi(2)
            });
            cross(minus(b, a), minus(c, a)) / 6.0 * sides.iter().sum::<f64>()
        };
        self.triangles.iter().map(square).sum::<f64>().sqrt()
    }
}

/// The generator splitmix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
struct Random(u64);

impl Random {
    /// A number between -1 and 1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }
}

pub(super) fn minus(to: Point, from: Point) -> Point {
    [to[0] - from[0], to[1] - from[1]]
}

pub(super) fn cross(one: Point, other: Point) -> f64 {
    one[0] * other[1] - one[1] * other[0]
}

pub(super) fn dot(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}

// ---- the picture ---------------------------------------------------------------------------------------------------

/// Draws values: the lowest are black, higher ones red, then yellow, then white. Large triangles have dark edges.
pub(super) fn draw(path: &Path, mesh: &Mesh, values: &[f64]) -> Result<(), png::EncodingError> {
    let values: Vec<f64> = (0..mesh.points.len()).map(|point| mesh.value(values, point)).collect();
    let (least, most) =
        values.iter().fold((f64::MAX, f64::MIN), |(least, most), value| (least.min(*value), most.max(*value)));
    let width = usize::from(PIXELS);
    #[expect(clippy::cast_possible_truncation, reason = "at most 255")]
    let shade = |value: f64, from: f64| (((value - least) / (most - least) * 3.0 - from).clamp(0.0, 1.0) * 255.0) as u8;
    let mut colours = vec![160; 3 * width * width];
    for corners in &mesh.triangles {
        let [a, b, c] = corners.map(|corner| mesh.points[corner].map(|at| (at + 1.0) / 2.0 * f64::from(PIXELS)));
        let twice = cross(minus(b, a), minus(c, a));
        #[expect(clippy::cast_possible_truncation, reason = "within the picture")]
        let within = |axis: usize| {
            let ends = [f64::min, f64::max].map(|of| of(of(a[axis], b[axis]), c[axis]) as usize);
            ends[0]..width.min(ends[1] + 1)
        };
        for (y, x) in within(1).flat_map(|y| within(0).map(move |x| (y, x))) {
            let at = [x as f64 + 0.5, y as f64 + 0.5];
            let shares = [(b, c), (c, a), (a, b)].map(|(from, to)| cross(minus(to, from), minus(at, from)) / twice);
            let nearest = shares.iter().copied().fold(1.0, f64::min);
            if nearest < 0.0 {
                continue;
            }
            let value = shares.iter().zip(corners).map(|(share, corner)| share * values[*corner]).sum::<f64>();
            let place = 3 * ((width - 1 - y) * width + x);
            let is_edge = nearest * twice.sqrt() < 0.7 && twice > 150.0;
            for (from, colour) in [0.0, 1.0, 2.0].into_iter().zip(&mut colours[place..]) {
                *colour = if is_edge { shade(value, from) / 2 } else { shade(value, from) };
            }
        }
    }
    let mut encoder = png::Encoder::new(BufWriter::new(File::create(path)?), PIXELS.into(), PIXELS.into());
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&colours)?;
    writer.finish()
}
