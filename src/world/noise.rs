//! Value noise and hashes: the source of every texture, cloud and hill of the world.

/// A well-mixed 32-bit hash of a lattice point.
#[inline]
pub fn hash2(x: i32, y: i32, seed: u32) -> u32 {
    let mut h =
        (x as u32).wrapping_mul(0x8DA6_B343) ^ (y as u32).wrapping_mul(0xD816_3841) ^ seed.wrapping_mul(0xCB1A_B31F);
    h ^= h >> 15;
    h = h.wrapping_mul(0x2C1B_3C6D);
    h ^= h >> 12;
    h = h.wrapping_mul(0x297A_2D39);
    h ^ (h >> 15)
}

/// A hash as a number in 0..1.
#[inline]
pub fn unit2(x: i32, y: i32, seed: u32) -> f32 {
    (hash2(x, y, seed) >> 8) as f32 * (1.0 / 16_777_216.0)
}

/// Smooth value noise in 0..1 with lattice spacing 1.
#[inline]
pub fn value(x: f32, y: f32, seed: u32) -> f32 {
    let (fx, fy) = (x.floor(), y.floor());
    let (ix, iy) = (fx as i32, fy as i32);
    let (tx, ty) = (x - fx, y - fy);
    let sx = tx * tx * (3.0 - 2.0 * tx);
    let sy = ty * ty * (3.0 - 2.0 * ty);
    let a = unit2(ix, iy, seed);
    let b = unit2(ix.wrapping_add(1), iy, seed);
    let c = unit2(ix, iy.wrapping_add(1), seed);
    let d = unit2(ix.wrapping_add(1), iy.wrapping_add(1), seed);
    let top = a + (b - a) * sx;
    let bottom = c + (d - c) * sx;
    top + (bottom - top) * sy
}

/// Fractal sum of `octaves` layers of value noise, in 0..1, mean one half.
#[inline]
pub fn fractal(mut x: f32, mut y: f32, seed: u32, octaves: u32) -> f32 {
    let mut sum = 0.0;
    let mut amplitude = 0.5;
    let mut total = 0.0;
    for octave in 0..octaves {
        sum += amplitude * value(x, y, seed.wrapping_add(octave.wrapping_mul(101)));
        total += amplitude;
        amplitude *= 0.5;
        let (nx, ny) = (1.6 * x + 1.2 * y + 3.1, -1.2 * x + 1.6 * y + 7.7);
        x = nx;
        y = ny;
    }
    sum / total
}

/// Ridged noise in 0..1: sharp crests, for mountains.
pub fn ridged(mut x: f32, mut y: f32, seed: u32, octaves: u32) -> f32 {
    let mut sum = 0.0;
    let mut amplitude = 0.5;
    let mut total = 0.0;
    for octave in 0..octaves {
        let n = 1.0 - (2.0 * value(x, y, seed.wrapping_add(octave.wrapping_mul(57))) - 1.0).abs();
        sum += amplitude * n * n;
        total += amplitude;
        amplitude *= 0.48;
        let (nx, ny) = (1.6 * x + 1.2 * y + 1.3, -1.2 * x + 1.6 * y + 5.1);
        x = nx;
        y = ny;
    }
    sum / total
}

/// 0 below `low`, 1 above `high`, smooth between.
#[inline]
pub fn smoothstep(low: f32, high: f32, x: f32) -> f32 {
    let t = ((x - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}
