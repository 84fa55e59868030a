//! The rasteriser: triangles to a buffer of visible triangle and depth, one band of rows a task.

use glam::{Mat3, Vec3};
use rayon::prelude::*;

use crate::world::build::{Layer, Triangle};
use crate::world::scene::Camera;

/// No triangle: the sky.
pub const NONE: u32 = u32::MAX;

/// Nearest distance that is drawn, metres.
const NEAR: f32 = 0.4;
const BAND: usize = 32;

/// A pinhole camera with its picture size. Pixel centres lie at +0.5.
#[derive(Clone, Copy, Debug)]
pub struct View {
    pub eye: Vec3,
    /// rows: right, up, forward
    pub axes: [Vec3; 3],
    /// focal length in pixels
    pub focal: f32,
    pub width: usize,
    pub height: usize,
}

impl View {
    pub fn new(camera: &Camera, width: usize, height: usize) -> Self {
        let (right, up, forward) = camera.axes();
        let focal = 0.5 * height as f32 / camera.half_tan;
        Self { eye: camera.eye, axes: [right, up, forward], focal, width, height }
    }

    /// The same view with `factor` times the pixels a side.
    pub fn scaled(&self, factor: f32) -> Self {
        Self {
            focal: self.focal * factor,
            width: (self.width as f32 * factor).round() as usize,
            height: (self.height as f32 * factor).round() as usize,
            ..*self
        }
    }

    /// The direction through a picture point, scaled so that its forward part is 1.
    #[inline]
    pub fn ray(&self, px: f32, py: f32) -> Vec3 {
        let x = (px - 0.5 * self.width as f32) / self.focal;
        let y = (0.5 * self.height as f32 - py) / self.focal;
        self.axes[0] * x + self.axes[1] * y + self.axes[2]
    }

    /// Camera coordinates (right, up, forward) of a point.
    #[inline]
    pub fn to_camera(&self, p: Vec3) -> Vec3 {
        let d = p - self.eye;
        Vec3::new(d.dot(self.axes[0]), d.dot(self.axes[1]), d.dot(self.axes[2]))
    }

    /// Picture point and forward distance of a point before the camera.
    pub fn project(&self, p: Vec3) -> Option<(f32, f32, f32)> {
        let c = self.to_camera(p);
        (c.z > NEAR).then(|| {
            let s = self.focal / c.z;
            (0.5 * self.width as f32 + c.x * s, 0.5 * self.height as f32 - c.y * s, c.z)
        })
    }

    /// World to camera rotation, rows right, up, forward.
    pub fn rotation(&self) -> Mat3 {
        Mat3::from_cols(self.axes[0], self.axes[1], self.axes[2]).transpose()
    }
}

/// What is visible at each sample. Depth is kept as 1 / forward distance (perspective) or as height towards the light.
#[derive(Clone, Debug)]
pub struct Visible {
    pub width: usize,
    pub height: usize,
    pub triangle: Vec<u32>,
    pub near: Vec<f32>,
}

#[derive(Clone, Copy)]
struct Flat {
    x: [f32; 3],
    y: [f32; 3],
    k: [f32; 3],
    id: u32,
}

/// Cuts a polygon at `inside(p) >= 0`; at most one corner more than before.
fn clip(polygon: &[Vec3], inside: impl Fn(Vec3) -> f32) -> Vec<Vec3> {
    let mut out = Vec::with_capacity(polygon.len() + 1);
    for (i, a) in polygon.iter().enumerate() {
        let b = polygon[(i + 1) % polygon.len()];
        let (da, db) = (inside(*a), inside(b));
        if da >= 0.0 {
            out.push(*a);
        }
        if (da >= 0.0) != (db >= 0.0) {
            out.push(a.lerp(b, da / (da - db)));
        }
    }
    out
}

fn exists(layer: Layer, bare: bool) -> bool {
    match layer {
        Layer::Always => true,
        Layer::Leafy => !bare,
        Layer::Bare => bare,
    }
}

/// Which triangles a camera sees. With `mirror`, the world above the water is turned upside down first.
pub fn perspective(triangles: &[Triangle], view: &View, bare: bool, mirror: bool) -> Visible {
    let (w, h) = (view.width as f32, view.height as f32);
    let flats: Vec<Flat> = triangles
        .par_iter()
        .enumerate()
        .with_min_len(2048)
        .fold(Vec::new, |mut out: Vec<Flat>, (id, t)| {
            if !exists(t.layer, bare) || (mirror && t.part == crate::world::look::Part::Water) {
                return out;
            }
            let mut corners = t.p;
            if mirror {
                if corners.iter().all(|p| p.y <= 0.0) {
                    return out;
                }
                for p in &mut corners {
                    p.y = -p.y;
                }
            }
            let c = corners.map(|p| view.to_camera(p));
            if c.iter().all(|p| p.z < NEAR) {
                return out;
            }
            // outside one side of the view
            let (lx, ly) = (0.5 * w / view.focal, 0.5 * h / view.focal);
            if c.iter().all(|p| p.x > lx * p.z)
                || c.iter().all(|p| p.x < -lx * p.z)
                || c.iter().all(|p| p.y > ly * p.z)
                || c.iter().all(|p| p.y < -ly * p.z)
            {
                return out;
            }
            let mut emit = |p: [Vec3; 3]| {
                let s = p.map(|q| view.focal / q.z);
                out.push(Flat {
                    x: [0, 1, 2].map(|i| 0.5 * w + p[i].x * s[i]),
                    y: [0, 1, 2].map(|i| 0.5 * h - p[i].y * s[i]),
                    k: p.map(|q| 1.0 / q.z),
                    id: id as u32,
                });
            };
            let dips = mirror && corners.iter().any(|p| p.y > 0.0);
            if c.iter().all(|p| p.z >= NEAR) && !dips {
                emit(c);
            } else {
                let mut polygon = c.to_vec();
                if dips {
                    let polygon_world = clip(&corners, |p| -p.y);
                    polygon = polygon_world.into_iter().map(|p| view.to_camera(p)).collect();
                }
                let polygon = clip(&polygon, |p| p.z - NEAR);
                for i in 1..polygon.len().saturating_sub(1) {
                    emit([polygon[0], polygon[i], polygon[i + 1]]);
                }
            }
            out
        })
        .reduce(Vec::new, |mut a, mut b| {
            if a.is_empty() {
                return b;
            }
            a.append(&mut b);
            a
        });
    fill(&flats, view.width, view.height)
}

/// Which triangles a parallel light sees: `axes` are right, up and towards the light, `centre` maps to the middle, `scale` is pixels a metre.
pub fn parallel(
    triangles: &[Triangle],
    axes: &[Vec3; 3],
    centre: Vec3,
    scale: f32,
    size: usize,
    bare: bool,
) -> Visible {
    let half = 0.5 * size as f32;
    let flats: Vec<Flat> = triangles
        .par_iter()
        .enumerate()
        .with_min_len(2048)
        .filter_map(|(id, t)| {
            if !exists(t.layer, bare) || t.part == crate::world::look::Part::Water {
                return None;
            }
            let c = t.p.map(|p| {
                let d = p - centre;
                Vec3::new(half + d.dot(axes[0]) * scale, half - d.dot(axes[1]) * scale, d.dot(axes[2]))
            });
            let outside = c.iter().all(|p| p.x < 0.0)
                || c.iter().all(|p| p.y < 0.0)
                || c.iter().all(|p| p.x > 2.0 * half)
                || c.iter().all(|p| p.y > 2.0 * half);
            (!outside).then(|| Flat { x: c.map(|p| p.x), y: c.map(|p| p.y), k: c.map(|p| p.z), id: id as u32 })
        })
        .collect();
    fill(&flats, size, size)
}

fn fill(flats: &[Flat], width: usize, height: usize) -> Visible {
    let mut triangle = vec![NONE; width * height];
    // perspective depths are positive, so anything wins over an empty sample; light heights may be negative
    let mut near = vec![f32::NEG_INFINITY; width * height];
    let bands = height.div_ceil(BAND);
    let mut bins: Vec<Vec<u32>> = vec![Vec::new(); bands];
    for (index, f) in flats.iter().enumerate() {
        let low = f.y[0].min(f.y[1]).min(f.y[2]);
        let high = f.y[0].max(f.y[1]).max(f.y[2]);
        if high < 0.0 || low >= height as f32 {
            continue;
        }
        let first = (low.max(0.0) as usize) / BAND;
        let last = ((high as usize).min(height - 1)) / BAND;
        for bin in &mut bins[first..=last] {
            bin.push(index as u32);
        }
    }
    triangle
        .par_chunks_mut(BAND * width)
        .zip(near.par_chunks_mut(BAND * width))
        .zip(bins.par_iter())
        .enumerate()
        .for_each(|(band, ((triangle, near), bin))| {
            let top = band * BAND;
            let rows = triangle.len() / width;
            for index in bin {
                draw(&flats[*index as usize], top, rows, width, triangle, near);
            }
        });
    Visible { width, height, triangle, near }
}

#[inline]
fn draw(f: &Flat, top: usize, rows: usize, width: usize, triangle: &mut [u32], near: &mut [f32]) {
    let [x0, x1, x2] = f.x;
    let [y0, y1, y2] = f.y;
    let area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0);
    if area == 0.0 || !area.is_finite() {
        return;
    }
    let inverse = 1.0 / area;
    let left = (x0.min(x1).min(x2) - 0.5).ceil().max(0.0);
    let right = (x0.max(x1).max(x2) - 0.5).floor().min(width as f32 - 1.0);
    let low = (y0.min(y1).min(y2) - 0.5).ceil().max(top as f32);
    let high = (y0.max(y1).max(y2) - 0.5).floor().min((top + rows) as f32 - 1.0);
    if left > right || low > high {
        return;
    }
    // barycentric weights b1, b2 as planes over the picture
    let (b1x, b1y) = ((y2 - y0) * inverse, (x0 - x2) * inverse);
    let (b2x, b2y) = ((y0 - y1) * inverse, (x1 - x0) * inverse);
    let (dk1, dk2) = (f.k[1] - f.k[0], f.k[2] - f.k[0]);
    let kx = b1x * dk1 + b2x * dk2;
    for row in low as usize..=high as usize {
        let py = row as f32 + 0.5 - y0;
        let px = left + 0.5 - x0;
        let mut b1 = b1x * px + b1y * py;
        let mut b2 = b2x * px + b2y * py;
        let mut k = f.k[0] + b1 * dk1 + b2 * dk2;
        let base = (row - top) * width;
        for column in left as usize..=right as usize {
            if b1 >= 0.0 && b2 >= 0.0 && b1 + b2 <= 1.0 && k > near[base + column] {
                near[base + column] = k;
                triangle[base + column] = f.id;
            }
            b1 += b1x;
            b2 += b2x;
            k += kx;
        }
    }
}
