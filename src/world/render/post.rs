//! From light to picture: glow around lamps, what falls from the sky, tone curve, photometric grades.

use glam::Vec3;
use rayon::prelude::*;

use crate::world::look::{Falling, Grade, Hour, Look};
use crate::world::noise::{hash2, smoothstep, unit2};
use crate::world::palette::{luminance, to_srgb};

/// Adds the spread of what glows: two blurs of a quarter-size picture.
pub fn bloom(colour: &mut [Vec3], glow: &[Vec3], width: usize, height: usize) {
    if glow.iter().all(|g| *g == Vec3::ZERO) {
        return;
    }
    let k = 4;
    let (w, h) = (width.div_ceil(k), height.div_ceil(k));
    let mut small = vec![Vec3::ZERO; w * h];
    for y in 0..height {
        for x in 0..width {
            small[(y / k) * w + x / k] += glow[y * width + x] / (k * k) as f32;
        }
    }
    let narrow = blur(&small, w, h, (height as f32 / 160.0 / k as f32 * 2.0).max(0.7));
    let wide = blur(&small, w, h, (height as f32 / 34.0 / k as f32 * 2.0).max(1.2));
    colour.par_chunks_mut(width).enumerate().for_each(|(y, row)| {
        for (x, c) in row.iter_mut().enumerate() {
            let fx = ((x as f32 + 0.5) / k as f32 - 0.5).clamp(0.0, w as f32 - 1.001);
            let fy = ((y as f32 + 0.5) / k as f32 - 0.5).clamp(0.0, h as f32 - 1.001);
            let (ix, iy) = (fx as usize, fy as usize);
            let (tx, ty) = (fx - ix as f32, fy - iy as f32);
            let at = |b: &[Vec3]| {
                let s = |i: usize, j: usize| b[(iy + j).min(h - 1) * w + (ix + i).min(w - 1)];
                s(0, 0).lerp(s(1, 0), tx).lerp(s(0, 1).lerp(s(1, 1), tx), ty)
            };
            *c += at(&narrow) * 0.55 + at(&wide) * 0.75;
        }
    });
}

/// Gaussian-like blur: three box passes each way.
fn blur(source: &[Vec3], w: usize, h: usize, sigma: f32) -> Vec<Vec3> {
    let radius = (sigma.round() as usize).max(1);
    let mut a = source.to_vec();
    let mut b = vec![Vec3::ZERO; w * h];
    for _ in 0..3 {
        for y in 0..h {
            box_line(&a[y * w..(y + 1) * w], &mut b[y * w..(y + 1) * w], radius);
        }
        let mut line = vec![Vec3::ZERO; h];
        let mut out = vec![Vec3::ZERO; h];
        for x in 0..w {
            for y in 0..h {
                line[y] = b[y * w + x];
            }
            box_line(&line, &mut out, radius);
            for y in 0..h {
                a[y * w + x] = out[y];
            }
        }
    }
    a
}

fn box_line(from: &[Vec3], to: &mut [Vec3], radius: usize) {
    let n = from.len();
    let share = 1.0 / (2 * radius + 1) as f32;
    let mut sum: Vec3 = from[..radius.min(n)].iter().copied().sum();
    for i in 0..n {
        if i + radius < n {
            sum += from[i + radius];
        }
        if i > radius {
            sum -= from[i - radius - 1];
        }
        to[i] = sum * share;
    }
}

/// Filmic tone curve, linear light to 0…1.
fn tone(x: f32) -> f32 {
    let x = x.max(0.0) * 0.80;
    (x * (2.51 * x + 0.03) / (x * (2.43 * x + 0.59) + 0.14)).clamp(0.0, 1.0)
}

/// Finished sRGB picture in 0…1 from linear light.
pub fn develop(colour: &[Vec3], look: &Look, width: usize, height: usize, seed: u32) -> Vec<Vec3> {
    let mut out = vec![Vec3::ZERO; colour.len()];
    out.par_chunks_mut(width).enumerate().for_each(|(y, row)| {
        for (x, o) in row.iter_mut().enumerate() {
            let c = colour[y * width + x];
            *o = Vec3::new(to_srgb(tone(c.x)), to_srgb(tone(c.y)), to_srgb(tone(c.z)));
        }
    });
    fall(&mut out, look, width, height, seed);
    for grade in &look.grades {
        apply(&mut out, *grade, width, height);
    }
    out
}

/// Draws rain or snow over the finished picture.
fn fall(out: &mut [Vec3], look: &Look, width: usize, height: usize, seed: u32) {
    let scale = height as f32 / 256.0;
    let night = look.light.hour == Hour::Night;
    match look.falling {
        Falling::Nothing => {}
        Falling::Snow => {
            let flake = if night { Vec3::new(0.62, 0.68, 0.80) } else { Vec3::new(0.97, 0.98, 1.0) };
            for i in 0..620 {
                let r = |k: i32| unit2(i, k, seed ^ 0x51_0E);
                let near = r(3) * r(3);
                let radius = (0.55 + 1.5 * near) * scale;
                disc(out, width, height, r(1) * width as f32, r(2) * height as f32, radius, flake, 0.55 + 0.35 * r(4));
            }
        }
        Falling::Rain => {
            let streak = if night { Vec3::new(0.45, 0.50, 0.62) } else { Vec3::new(0.80, 0.84, 0.90) };
            for i in 0..520 {
                let r = |k: i32| unit2(i, k, seed ^ 0x7A17);
                let long = (6.0 + 13.0 * r(3)) * scale;
                let (mut x, mut y) = (r(1) * width as f32 * 1.1, r(2) * height as f32 * 1.1 - long);
                let steps = (long * 1.5) as usize + 1;
                let (dx, dy) = (-0.14 * long / steps as f32, long / steps as f32);
                let alpha = (0.10 + 0.16 * r(4)) * if scale < 1.5 { 1.0 } else { 0.9 };
                for _ in 0..steps {
                    disc(out, width, height, x, y, 0.42 * scale.max(0.8), streak, alpha * 0.66);
                    x += dx;
                    y += dy;
                }
            }
        }
    }
}

#[allow(clippy::too_many_arguments)]
fn disc(out: &mut [Vec3], width: usize, height: usize, x: f32, y: f32, radius: f32, colour: Vec3, alpha: f32) {
    let reach = radius + 1.0;
    let (x0, x1) = ((x - reach).floor().max(0.0) as usize, (x + reach).ceil().max(0.0) as usize);
    let (y0, y1) = ((y - reach).floor().max(0.0) as usize, (y + reach).ceil().max(0.0) as usize);
    for py in y0..y1.min(height) {
        for px in x0..x1.min(width) {
            let d = (px as f32 + 0.5 - x).hypot(py as f32 + 0.5 - y);
            let a = alpha * smoothstep(radius + 0.6, (radius - 0.6).max(0.0), d);
            if a > 0.0 {
                let o = &mut out[py * width + px];
                *o = o.lerp(colour, a);
            }
        }
    }
}

/// A photometric change of a finished sRGB picture (0…1); usable on any picture.
pub fn apply(out: &mut [Vec3], grade: Grade, width: usize, height: usize) {
    let curve = |c: Vec3| -> Vec3 {
        match grade {
            Grade::Warmer => Vec3::new(c.x * 1.09 + 0.02, c.y * 1.0 + 0.004, c.z * 0.82),
            Grade::Cooler => Vec3::new(c.x * 0.83, c.y * 0.98, c.z * 1.08 + 0.03),
            Grade::Brighter => c.map(|x| x.max(0.0).powf(0.72) * 1.03 + 0.02),
            Grade::Darker => c.map(|x| x.max(0.0).powf(1.25) * 0.66),
            Grade::Contrast => c.map(|x| {
                let s = x.clamp(0.0, 1.0);
                let steep = s * s * (3.0 - 2.0 * s);
                let twice = steep * steep * (3.0 - 2.0 * steep);
                0.15 * s + 0.45 * steep + 0.40 * twice
            }),
            Grade::Vintage => {
                let l = luminance(c);
                let sepia = Vec3::new(l * 1.05 + 0.06, l * 0.90 + 0.035, l * 0.66 + 0.02);
                (c * 0.28 + sepia * 0.72) * 0.90 + Vec3::new(0.05, 0.04, 0.02)
            }
            Grade::Monochrome => Vec3::splat(0.30 * c.x + 0.59 * c.y + 0.11 * c.z),
            Grade::Saturated => {
                let l = Vec3::splat(0.30 * c.x + 0.59 * c.y + 0.11 * c.z);
                l + (c - l) * 1.65
            }
            Grade::Faded => {
                let l = Vec3::splat(0.30 * c.x + 0.59 * c.y + 0.11 * c.z);
                (l + (c - l) * 0.55) * 0.72 + Vec3::new(0.19, 0.18, 0.18)
            }
        }
    };
    let vignette = grade == Grade::Vintage;
    out.par_chunks_mut(width).enumerate().for_each(|(y, row)| {
        for (x, o) in row.iter_mut().enumerate() {
            let mut c = curve(*o);
            if vignette {
                let d = (x as f32 / width as f32 - 0.5).hypot(y as f32 / height as f32 - 0.5);
                c *= 1.0 - 0.42 * smoothstep(0.38, 0.75, d);
            }
            *o = c.clamp(Vec3::ZERO, Vec3::ONE);
        }
    });
}

/// Rounds 0…1 to bytes with half a step of ordered noise, so that smooth skies do not band.
pub fn bytes(picture: &[Vec3], width: usize) -> Vec<u8> {
    let mut out = vec![0; picture.len() * 3];
    out.par_chunks_mut(width * 3).enumerate().for_each(|(y, row)| {
        for x in 0..width {
            let c = picture[y * width + x];
            let dither = (hash2(x as i32, y as i32, 9) & 255) as f32 / 255.0 - 0.5;
            for (k, v) in [c.x, c.y, c.z].into_iter().enumerate() {
                row[x * 3 + k] = (v * 255.0 + 0.5 + dither * 0.7).clamp(0.0, 255.0) as u8;
            }
        }
    });
    out
}
