//! Light and air: what the sky looks like in each hour and weather, and what it does to the light below.

use glam::Vec3;

use crate::world::look::{Air, Hour, Look, Part, Weather};
use crate::world::noise::{fractal, hash2, smoothstep};
use crate::world::palette::luminance;
use crate::world::rng::Draw;

/// The numbers behind an hour and a weather. Radiances are linear, 1 is about a white wall in the sun.
#[derive(Clone, Copy, Debug)]
pub struct Atmosphere {
    /// unit vector towards the sun or moon
    pub sun: Vec3,
    pub sun_colour: Vec3,
    /// light from the sky and from the ground
    pub above: Vec3,
    pub below: Vec3,
    pub zenith: Vec3,
    pub horizon: Vec3,
    /// glow around the sun
    pub glow: Vec3,
    pub haze: Vec3,
    /// extinction a metre
    pub haze_density: f32,
    pub cover: f32,
    pub cloud_lit: Vec3,
    pub cloud_dark: Vec3,
    pub stars: f32,
    /// radius of the disc, radians; 0 hides it
    pub disc: f32,
    pub disc_colour: Vec3,
    pub wind: f32,
    pub seed: u32,
}

fn v(x: f32, y: f32, z: f32) -> Vec3 {
    Vec3::new(x, y, z)
}

impl Atmosphere {
    /// The air of a scene; sun positions are the scene's own choices.
    pub fn new(air: Air, clouds: f32, draw: Draw) -> Self {
        let d = draw.child("sun");
        let side = if d.chance("side", 0.5) { 1.0 } else { -1.0 };
        // azimuth 0 is straight ahead
        let (azimuth, elevation) = match air.hour {
            Hour::Noon => (side * d.range("azimuth", 1.15, 2.45), d.range("elevation", 0.55, 0.95)),
            Hour::Dawn => (-side * d.range("azimuth.dawn", 0.5, 1.1), d.range("elevation.dawn", 0.16, 0.26)),
            Hour::Sunset => (side * d.range("azimuth.sunset", 0.25, 0.62), d.range("elevation.sunset", 0.085, 0.15)),
            Hour::Night => (side * d.range("azimuth.night", 0.25, 0.6), d.range("elevation.night", 0.24, 0.32)),
        };
        let sun = v(azimuth.sin() * elevation.cos(), elevation.sin(), azimuth.cos() * elevation.cos());
        let mut a = match air.hour {
            Hour::Noon => Self {
                sun,
                sun_colour: v(1.0, 0.93, 0.80) * 2.75,
                above: v(0.46, 0.60, 0.86) * 0.92,
                below: v(0.26, 0.25, 0.19) * 0.8,
                zenith: v(0.085, 0.235, 0.60),
                horizon: v(0.56, 0.74, 0.92),
                glow: v(1.0, 0.9, 0.7) * 0.25,
                haze: v(0.58, 0.72, 0.88),
                haze_density: 0.0016,
                cover: clouds,
                cloud_lit: v(1.30, 1.26, 1.20),
                cloud_dark: v(0.62, 0.70, 0.82),
                stars: 0.0,
                disc: 0.028,
                disc_colour: v(1.0, 0.95, 0.8) * 4.0,
                wind: 0.0,
                seed: 0,
            },
            Hour::Dawn => Self {
                sun,
                sun_colour: v(1.0, 0.68, 0.50) * 2.1,
                above: v(0.50, 0.50, 0.72) * 0.85,
                below: v(0.26, 0.21, 0.20) * 0.8,
                zenith: v(0.16, 0.28, 0.56),
                horizon: v(1.0, 0.70, 0.58),
                glow: v(1.0, 0.62, 0.42) * 0.6,
                haze: v(0.86, 0.70, 0.68),
                haze_density: 0.0034,
                cover: clouds,
                cloud_lit: v(1.20, 0.86, 0.78),
                cloud_dark: v(0.52, 0.48, 0.62),
                stars: 0.0,
                disc: 0.034,
                disc_colour: v(1.0, 0.75, 0.5) * 4.0,
                wind: 0.0,
                seed: 0,
            },
            Hour::Sunset => Self {
                sun,
                sun_colour: v(1.0, 0.46, 0.17) * 2.6,
                above: v(0.50, 0.38, 0.52) * 0.78,
                below: v(0.30, 0.19, 0.15) * 0.8,
                zenith: v(0.13, 0.16, 0.40),
                horizon: v(1.15, 0.50, 0.20),
                glow: v(1.1, 0.46, 0.12) * 0.9,
                haze: v(0.82, 0.46, 0.32),
                haze_density: 0.0028,
                cover: (clouds + 0.08).min(0.7),
                cloud_lit: v(1.28, 0.58, 0.30),
                cloud_dark: v(0.34, 0.24, 0.38),
                stars: 0.0,
                disc: 0.036,
                disc_colour: v(1.0, 0.62, 0.25) * 5.0,
                wind: 0.0,
                seed: 0,
            },
            Hour::Night => Self {
                sun,
                sun_colour: v(0.42, 0.56, 0.95) * 0.30,
                above: v(0.20, 0.28, 0.55) * 0.27,
                below: v(0.10, 0.13, 0.22) * 0.18,
                zenith: v(0.008, 0.016, 0.052),
                horizon: v(0.042, 0.072, 0.155),
                glow: v(0.22, 0.30, 0.48) * 0.22,
                haze: v(0.032, 0.052, 0.11),
                haze_density: 0.0022,
                cover: clouds * 0.7,
                cloud_lit: v(0.11, 0.14, 0.22),
                cloud_dark: v(0.025, 0.034, 0.065),
                stars: 1.0,
                disc: 0.040,
                disc_colour: v(1.0, 0.97, 0.86) * 1.6,
                wind: 0.0,
                seed: 0,
            },
        };
        a.wind = draw.range("clouds.shift", 0.0, 50.0);
        a.seed = draw.bits("clouds.seed") as u32;
        a.weather(air);
        a
    }

    /// Covers the sky and softens the light.
    fn weather(&mut self, air: Air) {
        let warm = match air.hour {
            Hour::Noon => v(1.0, 1.02, 1.05),
            Hour::Dawn => v(0.92, 0.84, 0.86),
            Hour::Sunset => v(0.82, 0.62, 0.58),
            Hour::Night => v(0.05, 0.065, 0.105),
        };
        let mut cover_all = |light: f32, sky: f32, sun: f32, dense: f32| {
            let grey = warm * sky;
            self.zenith = grey * 0.80;
            self.horizon = grey * 1.02;
            self.glow *= 0.08;
            self.haze = grey * 0.95;
            self.haze_density = dense;
            let total = luminance(self.sun_colour);
            self.above = self.above * 0.35 + warm * light * 0.65;
            self.below = self.below * 0.6 + warm * light * 0.16;
            self.sun_colour = (self.sun_colour * 0.4 + warm * total * 0.6) * sun;
            self.cover = 1.0;
            self.cloud_lit = grey * 1.10;
            self.cloud_dark = grey * 0.66;
            self.stars = 0.0;
            self.disc = 0.0;
        };
        match air.weather {
            Weather::Clear => {}
            Weather::Overcast => cover_all(1.18, 0.72, 0.16, 0.0026),
            Weather::Fog => cover_all(1.12, 0.80, 0.08, 0.022),
            Weather::Rain => cover_all(0.82, 0.46, 0.07, 0.0068),
            Weather::Snowfall => cover_all(1.12, 0.74, 0.10, 0.0072),
            Weather::Storm => {
                cover_all(0.52, 0.24, 0.10, 0.0042);
                self.cloud_dark *= 0.55;
                self.horizon = warm * v(0.34, 0.36, 0.34);
                self.zenith *= 0.7;
            }
        }
        if air.weather == Weather::Fog {
            self.cloud_lit = self.horizon;
            self.cloud_dark = self.horizon * 0.97;
            self.zenith = self.horizon * 0.96;
        }
    }

    /// Radiance of the sky in a unit direction; `pixel` is the angle of a pixel. Also returns what of it glows.
    pub fn sky(&self, dir: Vec3, look: &Look, pixel: f32) -> (Vec3, Vec3) {
        let up = dir.y.max(0.0);
        let t = 1.0 - (-up * 3.4).exp();
        let mut colour = self.horizon.lerp(self.zenith, t);
        let towards = dir.dot(self.sun).clamp(-1.0, 1.0);
        let near = towards.max(0.0);
        colour += self.glow * (0.55 * near.powi(6) * (1.0 - t * 0.6) + 0.9 * near.powi(48) + 1.2 * near.powi(320));
        let mut glowing = Vec3::ZERO;
        if self.stars > 0.0 && up > 0.02 {
            colour += self.star(dir, pixel) * self.stars * smoothstep(0.02, 0.25, up);
        }
        if self.disc > 0.0 {
            let angle = towards.acos();
            let cover = smoothstep(self.disc + pixel, self.disc - pixel, angle);
            if cover > 0.0 {
                let mut disc = self.disc_colour;
                if self.stars > 0.0 {
                    // the moon's grey plains
                    let side = dir - self.sun;
                    let spots = fractal(side.x / self.disc * 1.3 + 7.0, side.y / self.disc * 1.3, 11, 3);
                    disc *= 0.72 + 0.5 * smoothstep(0.35, 0.65, spots);
                }
                colour = colour.lerp(disc, cover);
                glowing += disc * cover * 0.5;
            }
        }
        if let Some(paint) = look.paint[Part::Sky as usize] {
            // new hue, the old gradient of brightness
            let light = luminance(colour) / luminance(self.horizon.lerp(self.zenith, 0.5)).max(1e-4);
            let strength = luminance(self.horizon).clamp(0.03, 1.0);
            colour = paint * light.clamp(0.4, 1.8) * (0.25 + 0.75 * strength);
        }
        if self.cover > 0.02 && dir.y > 0.0 {
            let (density, lit) = self.cloud(dir);
            let density = density * smoothstep(0.0, 0.10, dir.y);
            if density > 0.0 {
                let edge = self.glow * near.powi(10) * 1.2;
                let mut cloud = self.cloud_dark.lerp(self.cloud_lit, lit) + edge;
                // far clouds sink into the haze
                cloud = self.horizon.lerp(cloud, smoothstep(0.02, 0.24, dir.y));
                if let Some(paint) = look.paint[Part::Sky as usize] {
                    let light = luminance(cloud);
                    cloud = cloud.lerp(paint * light * 1.5, 0.35);
                }
                colour = colour.lerp(cloud, density);
                glowing *= 1.0 - density;
            }
        }
        (colour, glowing)
    }

    /// Density and brightness of the clouds in a direction.
    fn cloud(&self, dir: Vec3) -> (f32, f32) {
        let k = 1.0 / (dir.y + 0.13);
        let (x, z) = (dir.x * k * 1.25 + self.wind, dir.z * k * 1.25 + self.wind * 0.7);
        let body = fractal(x, z, self.seed, 5);
        let threshold = 0.80 - 0.55 * self.cover;
        let soft = if self.cover >= 1.0 { 0.42 } else { 0.14 };
        let density = smoothstep(threshold - 0.03, threshold + soft, body);
        if density <= 0.0 {
            return (0.0, 0.0);
        }
        let toward = Vec3::new(self.sun.x, 0.0, self.sun.z).normalize_or_zero() * 0.22;
        let beyond = fractal(x + toward.x, z + toward.z, self.seed, 3);
        let lit = (0.62 + (body - beyond) * 2.6 - (body - threshold) * 0.9).clamp(0.0, 1.0);
        (density * 0.96, lit)
    }

    fn star(&self, dir: Vec3, pixel: f32) -> Vec3 {
        let scale = 46.0;
        let (azimuth, elevation) = (dir.x.atan2(dir.z), dir.y.asin());
        let (x, y) = (azimuth * scale * 0.75, elevation * scale);
        let (cx, cy) = (x.floor(), y.floor());
        let h = hash2(cx as i32, cy as i32, self.seed ^ 0x57A2);
        if h % 100 > 34 {
            return Vec3::ZERO;
        }
        let at = |shift: u32| 0.2 + 0.6 * ((h >> shift) & 255) as f32 / 255.0;
        let (dx, dy) = ((x - cx - at(8)) / (scale * 0.75), (y - cy - at(16)) / scale);
        let size = (pixel * 0.62).max(0.0009);
        let fall = (-(dx * dx + dy * dy) / (size * size)).exp();
        let magnitude = ((h >> 24) as f32 / 255.0).powi(4) * 1.5 + 0.16;
        let tint = if h & 1 == 0 { v(0.85, 0.92, 1.0) } else { v(1.0, 0.95, 0.84) };
        tint * magnitude * fall
    }

    /// Light arriving at a distance through the haze: share of the haze, 0…1.
    #[inline]
    pub fn haze_share(&self, distance: f32) -> f32 {
        1.0 - (-distance * self.haze_density).exp()
    }

    /// Colour of the haze in a direction: brighter towards the sun.
    pub fn haze_colour(&self, dir: Vec3) -> Vec3 {
        let near = dir.dot(self.sun).max(0.0);
        self.haze + self.glow * 0.35 * near.powi(6)
    }
}
