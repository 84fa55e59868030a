//! Spherical harmonics: the colour of a Gaussian from the direction it is seen in.
//!
//! Constants and signs as 3DGS stores them (spec/fit3d.md section 8.1); the direction is in the world's axes.

use super::gaussians::{MAX_SH_DEGREE, sh_coefficients};

/// The constant function, 1 / (2√π): colour = ½ + C0 · coefficient.
pub const C0: f32 = 0.282_094_79;
const C1: f32 = 0.488_602_52;
const C2: [f32; 5] = [1.092_548_4, -1.092_548_4, 0.315_391_57, -1.092_548_4, 0.546_274_2];
const C3: [f32; 7] = [-0.590_043_6, 2.890_611_4, -0.457_045_8, 0.373_176_34, -0.457_045_8, 1.445_305_7, -0.590_043_6];

/// The values of the basis functions in a direction of length 1; those beyond `degree` are 0.
#[must_use]
pub fn basis(degree: usize, [x, y, z]: [f32; 3]) -> [f32; sh_coefficients(MAX_SH_DEGREE)] {
    let mut values = [0.0; sh_coefficients(MAX_SH_DEGREE)];
    values[0] = C0;
    if degree >= 1 {
        values[1] = -C1 * y;
        values[2] = C1 * z;
        values[3] = -C1 * x;
    }
    if degree >= 2 {
        let (xx, yy, zz) = (x * x, y * y, z * z);
        values[4] = C2[0] * x * y;
        values[5] = C2[1] * y * z;
        values[6] = C2[2] * (2.0 * zz - xx - yy);
        values[7] = C2[3] * x * z;
        values[8] = C2[4] * (xx - yy);
        if degree >= 3 {
            values[9] = C3[0] * y * (3.0 * xx - yy);
            values[10] = C3[1] * x * y * z;
            values[11] = C3[2] * y * (4.0 * zz - xx - yy);
            values[12] = C3[3] * z * (2.0 * zz - 3.0 * xx - 3.0 * yy);
            values[13] = C3[4] * x * (4.0 * zz - xx - yy);
            values[14] = C3[5] * z * (xx - yy);
            values[15] = C3[6] * x * (xx - 3.0 * yy);
        }
    }
    values
}

/// The colour, max(0, ½ + Σ c·Y), of a Gaussian with the coefficients `sh` `[k, 3]` seen along `direction` (from the eye,
/// length 1), by its first `degree` degrees. sRGB-encoded as the photographs it was fitted to; may be above 1.
#[must_use]
pub fn colour(sh: &[f32], degree: usize, direction: [f32; 3]) -> [f32; 3] {
    let mut sum = [0.0f32; 3];
    let basis = basis(degree, direction);
    for (value, coefficients) in basis.iter().take(sh_coefficients(degree)).zip(sh.chunks_exact(3)) {
        for channel in 0..3 {
            sum[channel] += value * coefficients[channel];
        }
    }
    sum.map(|value| (value + 0.5).max(0.0))
}

/// The constant coefficient of a colour that looks the same from everywhere.
#[must_use]
pub fn constant(colour: [f32; 3]) -> [f32; 3] {
    colour.map(|value| (value - 0.5) / C0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_functions_are_orthonormal_over_the_sphere() {
        // Midpoints in z and azimuth have equal area.
        let (rings, steps) = (160, 40);
        let mut sums = [[0.0f64; 16]; 16];
        for ring in 0..rings {
            let z = (2.0 * (ring as f32 + 0.5) / rings as f32) - 1.0;
            for step in 0..steps {
                let (sin, cos) = (std::f32::consts::TAU * step as f32 / steps as f32).sin_cos();
                let across = (1.0 - z * z).sqrt();
                let values = basis(3, [across * cos, across * sin, z]);
                for i in 0..16 {
                    for j in 0..16 {
                        sums[i][j] += f64::from(values[i]) * f64::from(values[j]);
                    }
                }
            }
        }
        let area = 4.0 * std::f64::consts::PI / f64::from(rings * steps);
        for (i, row) in sums.iter().enumerate() {
            for (j, sum) in row.iter().enumerate() {
                let wanted = if i == j { 1.0 } else { 0.0 };
                assert!((sum * area - wanted).abs() < 3e-3, "{i} {j}: {}", sum * area);
            }
        }
    }

    #[test]
    fn constant_colours_come_back_and_nothing_is_below_black() {
        let sh = constant([0.2, 0.5, 1.25]);
        let seen = colour(&sh, 0, [0.0, 0.0, 1.0]);
        assert!(seen.iter().zip([0.2, 0.5, 1.25]).all(|(a, b)| (a - b).abs() < 1e-6));
        assert_eq!(colour(&[-9.0; 3], 0, [1.0, 0.0, 0.0]), [0.0; 3]);
    }
}
