//! A cheap look at a latent: a linear map from latent channels to colour, fitted to the picture that is edited.
//!
//! Every autoencoder of this family keeps a picture's colours nearly linear in its latent channels. The map is found by
//! least squares between the source picture, averaged over the autoencoder's cells, and its own latents; so it fits any
//! model, published or starter, and costs next to nothing.

use image::{Rgb, RgbImage};

/// colour = matrix · latent + offset, one row a colour channel.
#[derive(Clone, Debug)]
pub struct LatentPreview {
    /// `[3][channels + 1]`, the offset last.
    rows: Vec<Vec<f64>>,
    width: usize,
    height: usize,
}

impl LatentPreview {
    /// Fits the map. `picture` is the working picture, `latents` `[channels, h, w]` its latents.
    #[must_use]
    pub fn fit(picture: &RgbImage, latents: &[f32], width: usize, height: usize) -> Self {
        let plane = width * height;
        let channels = latents.len() / plane.max(1);
        let cell_means = cell_means(picture, width, height);
        let n = channels + 1;
        let basis = |c: usize, at: usize| if c == channels { 1.0 } else { f64::from(latents[c * plane + at]) };
        // Normal equations, with a trace of ridge so that a flat picture has a solution too.
        let mut normal = vec![vec![0.0; n + 3]; n];
        for (at, means) in cell_means.iter().enumerate() {
            let values: Vec<f64> = (0..n).map(|c| basis(c, at)).collect();
            for (row, b) in normal.iter_mut().zip(&values) {
                for (sum, value) in row.iter_mut().zip(values.iter().chain(means)) {
                    *sum += b * value;
                }
            }
        }
        for (i, row) in normal.iter_mut().enumerate() {
            row[i] += 1e-4 * plane as f64 + 1e-9;
        }
        let rows = solve(normal, n);
        Self { rows, width, height }
    }

    /// The colours of a latent `[channels, h, w]`, one pixel a cell.
    #[must_use]
    pub fn show(&self, latents: &[f32]) -> RgbImage {
        let plane = self.width * self.height;
        RgbImage::from_fn(self.width as u32, self.height as u32, |x, y| {
            let at = y as usize * self.width + x as usize;
            let colour = |row: &Vec<f64>| {
                let (offset, factors) = row.split_last().unwrap_or((&0.0, &[]));
                let sum: f64 =
                    factors.iter().enumerate().map(|(c, factor)| factor * f64::from(latents[c * plane + at])).sum();
                (sum + offset).clamp(0.0, 255.0).round() as u8
            };
            Rgb([colour(&self.rows[0]), colour(&self.rows[1]), colour(&self.rows[2])])
        })
    }
}

/// The mean colour of every cell, row-major.
fn cell_means(picture: &RgbImage, width: usize, height: usize) -> Vec<[f64; 3]> {
    let (cell_w, cell_h) = ((picture.width() as usize / width).max(1), (picture.height() as usize / height).max(1));
    let mut means = vec![[0.0; 3]; width * height];
    for (x, y, pixel) in picture.enumerate_pixels() {
        let (cx, cy) = (x as usize / cell_w, y as usize / cell_h);
        if cx < width && cy < height {
            for (sum, value) in means[cy * width + cx].iter_mut().zip(pixel.0) {
                *sum += f64::from(value) / (cell_w * cell_h) as f64;
            }
        }
    }
    means
}

/// Gauss–Jordan with partial pivoting on `[n][n + 3]`; returns the three solutions.
fn solve(mut system: Vec<Vec<f64>>, n: usize) -> Vec<Vec<f64>> {
    for column in 0..n {
        let pivot =
            (column..n).max_by(|a, b| system[*a][column].abs().total_cmp(&system[*b][column].abs())).unwrap_or(column);
        system.swap(column, pivot);
        let head = system[column][column];
        if head.abs() < 1e-12 {
            continue;
        }
        for value in &mut system[column] {
            *value /= head;
        }
        let pivot_row = system[column].clone();
        for (row, values) in system.iter_mut().enumerate() {
            if row != column {
                let factor = values[column];
                for (value, pivot_value) in values.iter_mut().zip(&pivot_row) {
                    *value -= factor * pivot_value;
                }
            }
        }
    }
    (0..3).map(|colour| (0..n).map(|i| system[i][n + colour]).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Latents that are an invertible linear map of the colours: the fit finds the way back.
    #[test]
    fn finds_the_colours_of_linear_latents() {
        let (width, height) = (8, 6);
        let colour = |x: usize, y: usize| [(x * 30) as u8, (y * 40) as u8, ((x * y * 5) % 200) as u8];
        let picture = RgbImage::from_fn(64, 48, |x, y| Rgb(colour(x as usize / 8, y as usize / 8)));
        let plane = width * height;
        let mut latents = vec![0.0; 4 * plane];
        for at in 0..plane {
            let [r, g, b] = colour(at % width, at / width).map(|v| f32::from(v) / 127.5 - 1.0);
            let mixed = [r + 0.5 * g, g - 0.25 * b, b + 0.1 * r, 0.3 * r - g];
            for (c, value) in mixed.into_iter().enumerate() {
                latents[c * plane + at] = value;
            }
        }
        let shown = LatentPreview::fit(&picture, &latents, width, height).show(&latents);
        for (x, y, pixel) in shown.enumerate_pixels() {
            for (found, wanted) in pixel.0.into_iter().zip(colour(x as usize, y as usize)) {
                assert!(found.abs_diff(wanted) <= 2, "{x} {y}: {found} is not {wanted}");
            }
        }
    }

    #[test]
    fn a_flat_picture_has_a_preview_too() {
        let picture = RgbImage::from_pixel(16, 16, Rgb([10, 200, 90]));
        let shown = LatentPreview::fit(&picture, &[0.5; 16], 2, 2).show(&[0.5; 16]);
        assert!(shown.get_pixel(0, 0).0.into_iter().zip([10, 200, 90]).all(|(a, b)| a.abs_diff(b) <= 3));
    }
}
