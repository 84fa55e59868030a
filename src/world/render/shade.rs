//! What a point of a surface looks like under a look: texture, season, light, shadow, haze.

use glam::{Vec2, Vec3};

use super::ground::GroundMap;
use super::shadow::Shadow;
use super::sky::Atmosphere;
use crate::world::build::{Texture, Triangle};
use crate::world::look::{Foliage, Look, Part};
use crate::world::noise::{fractal, hash2, smoothstep, unit2, value};
use crate::world::palette::{hex, luminance};
use crate::world::scene::Scene;

/// Light leaving a point: `colour` towards the viewer, `glow` the share that spreads around lamps.
#[derive(Clone, Copy, Debug, Default)]
pub struct Radiance {
    pub colour: Vec3,
    pub glow: Vec3,
}

/// A point on a surface.
#[derive(Clone, Copy, Debug)]
pub struct Spot {
    pub p: Vec3,
    /// unit vector from the eye
    pub dir: Vec3,
    /// metres from the eye
    pub distance: f32,
    /// metres a pixel covers there
    pub foot: f32,
    pub uv: Vec2,
    pub n: Vec3,
}

/// What a material does with light.
struct Surface {
    albedo: Vec3,
    n: Vec3,
    /// share of mirror-like reflection at grazing view
    gloss: f32,
    /// how much light passes from behind (leaves, sails)
    soft: f32,
    glow: Vec3,
}

pub struct Shader<'a> {
    pub scene: &'a Scene,
    pub look: &'a Look,
    pub light: Atmosphere,
    pub sky: Atmosphere,
    pub shadow: &'a Shadow,
    pub map: &'a GroundMap,
    /// the water's mirror picture, when there is water in view
    pub mirror: Option<&'a Mirror>,
}

/// A small picture of the world upside down.
pub struct Mirror {
    pub width: usize,
    pub height: usize,
    pub colour: Vec<Vec3>,
}

impl Mirror {
    /// Bilinear sample at 0…1 picture coordinates.
    pub fn at(&self, u: f32, v: f32) -> Vec3 {
        let x = (u * self.width as f32 - 0.5).clamp(0.0, self.width as f32 - 1.001);
        let y = (v * self.height as f32 - 0.5).clamp(0.0, self.height as f32 - 1.001);
        let (ix, iy) = (x as usize, y as usize);
        let (fx, fy) = (x - ix as f32, y - iy as f32);
        let c = |dx: usize, dy: usize| {
            self.colour[(iy + dy).min(self.height - 1) * self.width + (ix + dx).min(self.width - 1)]
        };
        c(0, 0).lerp(c(1, 0), fx).lerp(c(0, 1).lerp(c(1, 1), fx), fy)
    }
}

/// How much of a detail of size `metres` is left when a pixel covers `foot` metres.
#[inline]
fn keep(metres: f32, foot: f32) -> f32 {
    (1.0 - (foot / metres - 0.35) / 0.9).clamp(0.0, 1.0)
}

/// A number of its own for the room behind a window.
fn room_number(t: &Triangle) -> u32 {
    hash2((t.p[0].x * 10.0) as i32, (t.p[0].z * 10.0 + t.p[0].y * 31.0) as i32, u32::from(t.object))
}

/// Whether light burns behind the window that the triangle belongs to: some rooms stay dark.
pub fn is_lit(t: &Triangle, look: &Look) -> bool {
    look.windows_lit > 0.0 && room_number(t) % 100 < 86
}

/// The point's place in a triangle.
#[inline]
pub fn weights(t: &Triangle, p: Vec3) -> [f32; 3] {
    let (a, b, c) = (t.p[1] - t.p[0], t.p[2] - t.p[0], p - t.p[0]);
    let (aa, ab, bb, ca, cb) = (a.dot(a), a.dot(b), b.dot(b), c.dot(a), c.dot(b));
    let d = aa * bb - ab * ab;
    if d.abs() < 1e-12 {
        return [1.0, 0.0, 0.0];
    }
    let v = (bb * ca - ab * cb) / d;
    let w = (aa * cb - ab * ca) / d;
    [1.0 - v - w, v, w]
}

/// The part a point of the land belongs to.
pub fn land_part(scene: &Scene, p: Vec3, mountain: f32) -> Part {
    if scene.terrain.road.as_ref().is_some_and(|road| p.y > 0.3 && road.distance(p.x, p.z) < road.half) {
        Part::Road
    } else if mountain > 7.0 {
        Part::Mountain
    } else {
        Part::Ground
    }
}

impl Shader<'_> {
    fn paint(&self, part: Part) -> Option<Vec3> {
        self.look.paint[part as usize]
    }

    /// Light from a surface point to the eye.
    pub fn shade(&self, t: &Triangle, spot: &Spot) -> Radiance {
        if t.texture == Texture::Water {
            return self.water(spot);
        }
        let s = self.surface(t, spot);
        let mut r = self.lit(&s, spot);
        r.glow = s.glow;
        r.colour += s.glow;
        self.through_air(r, spot)
    }

    fn through_air(&self, r: Radiance, spot: &Spot) -> Radiance {
        let mut share = self.light.haze_share(spot.distance);
        let mut haze = self.light.haze_colour(spot.dir);
        if self.look.ground_fog > 0.0 {
            // a layer that thins out with height, seen from above
            let low = (-(spot.p.y.max(0.0)) / 2.6).exp();
            let drift = 0.65 + 0.7 * fractal(spot.p.x / 13.0, spot.p.z / 9.0, 77, 2);
            let layer = 1.0 - (-(spot.distance * 0.030 * low * drift * self.look.ground_fog)).exp();
            let tint = (self.light.above * 0.62 + self.light.sun_colour * 0.14) * 0.95;
            haze = haze.lerp(tint, layer / (layer + share + 1e-4));
            share = 1.0 - (1.0 - share) * (1.0 - layer);
        }
        Radiance { colour: r.colour.lerp(haze, share), glow: r.glow * (1.0 - share) }
    }

    fn lit(&self, s: &Surface, spot: &Spot) -> Radiance {
        let sun = self.light.sun;
        let facing = s.n.dot(sun);
        let wrap =
            if s.soft > 0.0 { ((facing + 0.35 * s.soft) / (1.0 + 0.35 * s.soft)).max(0.0) } else { facing.max(0.0) };
        let through = s.soft * 0.28 * (-facing).max(0.0);
        let mut lit = Vec3::ZERO;
        if wrap + through > 0.0 {
            let bright = self.shadow.bright(spot.p + s.n * 0.05, spot.distance);
            lit += self.light.sun_colour * (wrap + through) * bright;
        }
        let open = self.map.openness(spot.p, s.n);
        let up = 0.5 + 0.5 * s.n.y;
        lit += self.light.below.lerp(self.light.above, up) * open;
        // lamps and windows
        let mut lamp = Vec3::ZERO;
        if self.look.lamps_lit > 0.0 || self.look.windows_lit > 0.0 {
            for source in &self.scene.lights {
                let (power, reach) =
                    if source.lamp { (self.look.lamps_lit * 2.3, 9.0) } else { (self.look.windows_lit * 0.9, 6.5) };
                if power <= 0.0 {
                    continue;
                }
                let d = source.at - spot.p;
                let q = d.length_squared();
                if q > reach * reach {
                    continue;
                }
                let distance = q.sqrt().max(0.2);
                let fade = 1.0 - q / (reach * reach);
                let face = (s.n.dot(d) / distance * 0.8 + 0.2).max(0.0);
                lamp += Vec3::new(1.0, 0.62, 0.28) * (power * face * fade * fade / (1.0 + 0.35 * q));
            }
        }
        let mut colour = s.albedo * (lit + lamp);
        if s.gloss > 0.0 {
            let mirror = spot.dir - s.n * (2.0 * spot.dir.dot(s.n));
            let grazing = (1.0 - (-spot.dir.dot(s.n)).clamp(0.0, 1.0)).powi(4);
            let share = s.gloss * (0.18 + 0.82 * grazing);
            let reflected = if mirror.y > 0.0 {
                let t = 1.0 - (-mirror.y * 3.4).exp();
                self.sky.horizon.lerp(self.sky.zenith, t)
            } else {
                self.light.below * 0.5
            };
            let half = (sun - spot.dir).normalize_or_zero();
            let spark = s.n.dot(half).max(0.0).powi(60) * facing.clamp(0.0, 1.0).sqrt();
            let bright = if spark > 0.01 { self.shadow.bright(spot.p + s.n * 0.05, spot.distance) } else { 0.0 };
            colour = colour * (1.0 - share * 0.7)
                + reflected * share
                + self.light.sun_colour * (spark * s.gloss * bright * 0.9);
        }
        Radiance { colour, glow: Vec3::ZERO }
    }

    fn snow(&self, p: Vec3) -> Vec3 {
        let n = value(p.x * 1.7, p.z * 1.7, 5) * 0.04 + value(p.x * 0.25, p.z * 0.25, 6) * 0.05;
        Vec3::new(0.66, 0.70, 0.77) * (0.95 + n)
    }

    /// Share of snow on something: more where it looks up and where the noise is high.
    fn snow_share(&self, amount: f32, p: Vec3, up: f32, edge: f32) -> f32 {
        if amount <= 0.0 {
            return 0.0;
        }
        let n = value(p.x * 0.9, p.z * 0.9, 41) * 0.6 + value(p.x * 2.9, p.z * 2.9 + p.y, 42) * 0.4;
        smoothstep(1.0 - amount, 1.0 - amount + edge, n * 0.35 + up * 0.75)
    }

    fn surface(&self, t: &Triangle, spot: &Spot) -> Surface {
        let p = spot.p;
        let foot = spot.foot;
        let mut n = spot.n;
        let painted = t.paintable.then(|| self.paint(t.part)).flatten();
        let base = painted.unwrap_or(t.colour) * t.tone;
        let (u, v) = (spot.uv.x, spot.uv.y);
        let mut gloss = 0.0;
        let mut soft = 0.0;
        let mut glow = Vec3::ZERO;
        let mut albedo = base;
        match t.texture {
            Texture::Land => return self.ground(t, spot),
            Texture::Water => {}
            Texture::Plain => {}
            Texture::Tiles => {
                let row = v / 0.38;
                let column = u / 0.34 + 0.5 * row.floor();
                let fine = keep(0.34, foot);
                let tile = unit2(column.floor() as i32, row.floor() as i32, u32::from(t.object)) - 0.5;
                let lip = 1.0 - 0.32 * smoothstep(0.22, 0.0, row.fract());
                let seam = 1.0 - 0.16 * smoothstep(0.12, 0.0, column.fract().min(1.0 - column.fract()));
                albedo *= 1.0 + (tile * 0.26 + lip * seam - 1.0) * fine - 0.05 * (1.0 - fine);
                albedo *= 0.94 + 0.12 * value(u * 0.7, v * 0.7, 9);
            }
            Texture::Planks => {
                let board = u / 0.24;
                let fine = keep(0.24, foot);
                let seam = 1.0 - 0.34 * smoothstep(0.10, 0.0, board.fract().min(1.0 - board.fract()));
                let tone = unit2(board.floor() as i32, 3, u32::from(t.object)) - 0.5;
                albedo *= 1.0 + (seam - 1.0 + tone * 0.12) * fine - 0.04 * (1.0 - fine);
                albedo *= 0.95 + 0.1 * value(u * 5.0, v * 0.8, 12);
            }
            Texture::Stone => {
                let row = v / 0.42;
                let column = u / 0.62 + 0.37 * row.floor() + 0.15 * unit2(row.floor() as i32, 1, 3);
                let fine = keep(0.3, foot);
                let tone = unit2(column.floor() as i32, row.floor() as i32, 17) - 0.5;
                let joint = smoothstep(0.0, 0.10, row.fract().min(1.0 - row.fract()))
                    * smoothstep(0.0, 0.07, column.fract().min(1.0 - column.fract()));
                albedo *= 1.0 + (tone * 0.22 + (joint - 1.0) * 0.22) * fine - 0.05 * (1.0 - fine);
            }
            Texture::Plaster => {
                albedo *= 0.93
                    + 0.11 * value(u * 1.1, v * 1.3, 21)
                    + 0.05 * (value(u * 7.0, v * 7.0, 22) - 0.5) * keep(0.2, foot);
                albedo *= 1.0 - 0.16 * smoothstep(0.9, 0.0, v);
            }
            Texture::Glass => {
                let edge = (u.min(1.0 - u) * 1.15).min(v.min(1.0 - v) * 1.4);
                let bar = ((u - 0.5).abs() * 1.15).min((v - 0.62).abs() * 1.4);
                let soften = foot * 0.7;
                let inside = smoothstep(0.10 - soften, 0.10 + soften + 0.005, edge)
                    * smoothstep(0.03 - soften, 0.03 + soften + 0.005, bar);
                let room = room_number(t);
                let tone = (room >> 8 & 255) as f32 / 255.0;
                let mut pane = Vec3::new(0.030, 0.042, 0.055) * (0.7 + 0.6 * tone);
                if is_lit(t, self.look) {
                    let warm = Vec3::new(1.0, 0.58 + 0.10 * tone, 0.20 + 0.14 * tone);
                    let curtain = 0.78 + 0.3 * v - 0.12 * smoothstep(0.36, 0.46, (u - 0.5).abs());
                    glow = warm * (1.55 + 0.8 * tone) * curtain * self.look.windows_lit * inside;
                    pane *= 0.5;
                }
                albedo = albedo.lerp(pane, inside);
                gloss = 0.75 * inside * (1.0 - 0.8 * self.look.windows_lit);
            }
            Texture::Door => {
                let panel = |low: f32, high: f32| {
                    let d = ((v - low).min(high - v)).min((u - 0.16).min(0.84 - u) * 0.55);
                    smoothstep(0.0, 0.03, d)
                };
                let inset = panel(0.08, 0.46).max(panel(0.52, 0.92));
                let rim = smoothstep(0.075, 0.045, u.min(1.0 - u).min((1.0 - v) * 1.8));
                albedo *= 0.86 + 0.2 * inset;
                albedo = albedo.lerp(hex(0xE4_DE_D0), rim);
                if (u - 0.80).hypot((v - 0.5) * 1.8) < 0.045 {
                    albedo = hex(0xC8_A8_50);
                }
            }
            Texture::Foliage | Texture::Conifer => {
                soft = 1.0;
                albedo = self.leaves(t, spot, painted);
                let share = self.snow_share(
                    self.look.snow_tree * if t.texture == Texture::Conifer { 1.0 } else { 0.9 },
                    p,
                    n.y * 0.9 + 0.1,
                    0.3,
                );
                if share > 0.0 {
                    albedo = albedo.lerp(self.snow(p), share * 0.95);
                }
            }
            Texture::Bark => {
                let ring = value(u * 3.0, v * 1.6, u32::from(t.object));
                if luminance(t.colour) > 0.4 {
                    albedo *= 1.0
                        - 0.75 * smoothstep(0.66, 0.76, value(u * 2.0, v * 5.0, u32::from(t.object))) * keep(0.2, foot);
                } else {
                    albedo *= 0.8 + 0.4 * ring;
                }
                if self.look.snow_tree > 0.0 {
                    let share = smoothstep(0.15, 0.6, n.y) * self.look.snow_tree;
                    albedo = albedo.lerp(self.snow(p), share * 0.9);
                }
            }
            Texture::Board(word) => {
                let word = self.scene.words.get(usize::from(word)).copied().unwrap_or("");
                let dark = luminance(base) < 0.3;
                let letter = if dark { hex(0xF4_F0_E4) } else { hex(0x26_2A_30) };
                let step = foot * 0.25 / 0.6;
                let mut cover = 0.0_f32;
                for dx in [-0.5, 0.5] {
                    for dy in [-0.5, 0.5] {
                        if super::font::ink(word, u + dx * step * 0.5, v + dy * step) {
                            cover += 0.25;
                        }
                    }
                }
                let rim = smoothstep(0.035, 0.02, (u.min(1.0 - u) * 2.2).min(v.min(1.0 - v)) - 0.035);
                let inner = smoothstep(0.0, 0.02, (u.min(1.0 - u) * 2.2).min(v.min(1.0 - v)) - 0.025);
                albedo = albedo.lerp(letter, cover.max(rim * inner * 0.8));
            }
            Texture::Metal => {
                gloss = if t.part == Part::Boat { 0.2 } else { 0.55 };
            }
            Texture::LampGlass => {
                if self.look.lamps_lit > 0.0 {
                    glow = Vec3::new(1.0, 0.74, 0.40) * 4.0 * self.look.lamps_lit;
                }
                gloss = 0.4;
            }
            Texture::Sail => soft = 1.0,
        }
        let look = self.look;
        // snow lies on roofs; on small things it lies when it lies on the ground
        let amount = match t.part {
            Part::Roof => look.snow_roof,
            Part::Fence | Part::Car | Part::Sign | Part::Lamp | Part::Rock | Part::Boat => look.snow_ground * 0.9,
            Part::Chimney => look.snow_roof,
            Part::Wall if t.texture == Texture::Stone || t.texture == Texture::Plain => look.snow_ground * 0.9,
            _ => 0.0,
        };
        if amount > 0.0 && n.y > 0.25 {
            let wide = if t.part == Part::Roof { 1.0 } else { smoothstep(0.45, 0.8, n.y) };
            let share = self.snow_share(amount, p, 0.4 + 0.6 * n.y, 0.25) * wide;
            albedo = albedo.lerp(self.snow(p), share);
            n = (n + Vec3::new(value(p.x * 2.0, p.z * 2.0, 3) - 0.5, 0.0, value(p.x * 2.0, p.z * 2.0, 4) - 0.5)
                * 0.16
                * share)
                .normalize();
            gloss *= 1.0 - share;
        }
        Surface { albedo, n, gloss, soft, glow }
    }

    fn leaves(&self, t: &Triangle, spot: &Spot, painted: Option<Vec3>) -> Vec3 {
        let p = spot.p;
        let sheds = t.texture == Texture::Foliage && t.layer == crate::world::build::Layer::Leafy;
        let own = unit2(i32::from(t.object as i16), 5, 77);
        let mut base = t.colour;
        if let Some(paint) = painted {
            base = paint * 0.85;
        } else if sheds {
            match self.look.foliage {
                Foliage::Green | Foliage::Bare => {}
                Foliage::Fresh => base = base.lerp(hex(0x9C_C8_4C), 0.6),
                Foliage::Orange => {
                    const AUTUMN: [u32; 5] = [0xD8_7A_1E, 0xC8_54_1C, 0xE0_A0_28, 0xB8_3C_20, 0xDC_8C_20];
                    base = hex(AUTUMN[(own * 4.99) as usize]);
                }
                Foliage::Blossom => {
                    const BLOSSOM: [u32; 3] = [0xF2_B8_CC, 0xF6_D8_E0, 0xEC_9C_BC];
                    let bloom = hex(BLOSSOM[(own * 2.99) as usize]);
                    let green = base.lerp(hex(0x8C_BC_50), 0.5);
                    let spots = value(p.x * 1.9 + p.z, p.y * 1.9 - p.z * 0.6, 61);
                    base = green.lerp(bloom, smoothstep(0.18, 0.42, spots));
                }
            }
        }
        let fine = keep(0.3, spot.foot);
        let grain = value((p.x + p.z * 0.63) * 3.1, (p.y - p.z * 0.41) * 3.1, 31) - 0.5;
        let clump = value((p.x + p.z * 0.71) * 0.9, (p.y + p.z * 0.33) * 0.9, 32) - 0.5;
        base * t.tone * (0.98 + grain * 0.42 * fine + clump * 0.34)
    }

    fn ground(&self, t: &Triangle, spot: &Spot) -> Surface {
        let (scene, look) = (self.scene, self.look);
        let terrain = &scene.terrain;
        let p = spot.p;
        let foot = spot.foot;
        let mountain = spot.uv.x;
        let part = land_part(scene, p, mountain);
        let mut n = spot.n;
        let patches = fractal(p.x / 9.0, p.z / 9.0, terrain.seed ^ 21, 3);
        let fine = keep(0.22, foot);
        let middle = keep(1.4, foot);
        let grain = value(p.x * 6.1, p.z * 6.1, 8) - 0.5;
        let tufts = value(p.x * 1.35, p.z * 1.35, 9) - 0.5;
        // grass
        let grass_paint = self.paint(Part::Ground);
        let mut grass = grass_paint.map_or(scene.colours.grass, |c| c * 0.8);
        if grass_paint.is_none() {
            let dry = smoothstep(0.45, 0.75, patches) * 0.4;
            grass = grass.lerp(grass * Vec3::new(1.35, 1.08, 0.72), dry);
            if look.dry_grass > 0.0 {
                grass = grass.lerp(hex(0xB8_9C_58) * (0.8 + 0.4 * patches), look.dry_grass * 0.85);
            }
        }
        let mut albedo = grass * (0.80 + 0.42 * patches + 0.42 * grain * fine + 0.34 * tufts * middle);
        let mut gloss = 0.0;
        let mut meadow = 1.0_f32;
        // fields
        if grass_paint.is_none() && mountain < 1.0 {
            for field in &terrain.fields {
                let (sin, cos) = field.angle.sin_cos();
                let (dx, dz) = (p.x - field.x, p.z - field.z);
                let (x, z) = (dx * cos + dz * sin, dz * cos - dx * sin);
                let wave = (value(p.x * 0.6, p.z * 0.6, 2) - 0.5) * 0.9;
                let edge = (field.half_x - x.abs()).min(field.half_z - z.abs()) + wave;
                let inside = smoothstep(0.0, 0.6, edge);
                if inside <= 0.0 || p.y < 0.7 {
                    continue;
                }
                let furrow = (x / 0.9).fract();
                let line =
                    smoothstep(0.0, 0.35, furrow.min(1.0 - furrow)) * keep(0.6, foot) + 0.5 * (1.0 - keep(0.6, foot));
                let crop = match field.kind {
                    0 => hex(0xD6_B2_5A) * (0.82 + 0.22 * line),
                    1 => hex(0x86_64_44) * (0.7 + 0.4 * line),
                    2 => hex(0x86_5E_40).lerp(scene.colours.leaves[0], 0.35 + 0.6 * line),
                    _ => hex(0xE2_C4_3C) * (0.85 + 0.2 * line),
                };
                let crop = crop * (0.9 + 0.2 * patches + 0.3 * grain * fine);
                albedo = albedo.lerp(crop, inside * 0.94);
                meadow *= 1.0 - inside;
            }
        }
        // steep banks show earth
        let steep = smoothstep(0.86, 0.70, n.y) * (1.0 - smoothstep(0.5, 3.0, mountain));
        albedo = albedo.lerp(hex(0x8A_74_54) * (0.8 + 0.4 * patches), steep * 0.8);
        meadow *= 1.0 - steep;
        // flowers and fallen leaves
        if part == Part::Ground && p.y > 0.5 && mountain < 1.0 {
            if look.flowers > 0.0 {
                let drift = smoothstep(0.35, 0.6, fractal(p.x / 5.0, p.z / 5.0, terrain.seed ^ 301, 2));
                let (share, colour) = dots(
                    p,
                    0.34,
                    foot,
                    0.55 * look.flowers * (0.25 + 0.75 * drift),
                    91,
                    &[0xFA_F4_EC, 0xF2_D0_3C, 0xE0_4E_4A, 0xC0_78_D0, 0xF4_9C_BC],
                );
                albedo = albedo.lerp(colour * 1.05, share * meadow);
            }
            if look.fallen_leaves > 0.0 {
                let drift = smoothstep(0.3, 0.62, fractal(p.x / 4.0, p.z / 4.0, terrain.seed ^ 302, 2));
                let (share, colour) = dots(
                    p,
                    0.30,
                    foot,
                    look.fallen_leaves * (0.25 + 0.75 * drift),
                    92,
                    &[0xC8_6A_1E, 0xA8_48_1C, 0xD8_98_2C, 0x94_5A_2A, 0xD0_7C_24],
                );
                albedo = albedo.lerp(colour * 0.95, share * (0.4 + 0.6 * meadow));
            }
        }
        // shore
        if terrain.water != crate::world::terrain::Water::None && p.y < 0.75 && mountain < 1.0 {
            let wave = (value(p.x * 0.8, p.z * 0.8, 14) - 0.5) * 0.22;
            let sand = smoothstep(0.62, 0.36, p.y + wave);
            let colour = hex(0xC6_B0_88) * (0.9 + 0.3 * grain * fine + 0.12 * tufts);
            let wet = smoothstep(0.16, 0.02, p.y);
            albedo = albedo.lerp(colour * (1.0 - 0.5 * wet), sand);
            gloss += 0.12 * wet * sand;
        }
        // mountains
        if mountain > 0.5 {
            let share = smoothstep(3.0, 9.0, mountain);
            let strata = fractal(p.x / 14.0 + p.y / 9.0, p.z / 14.0 - p.y / 5.0, 15, 3);
            let rock = self.paint(Part::Mountain).unwrap_or(scene.colours.rock) * (0.62 + 0.62 * strata);
            let green = scene.colours.conifer.lerp(scene.colours.grass, 0.35) * (0.7 + 0.6 * patches);
            let bare = smoothstep(
                0.35,
                0.85,
                mountain / terrain.mountains.max(1.0) * 1.15 + (strata - 0.5) * 0.5 + (0.8 - n.y) * 0.7,
            );
            albedo = albedo.lerp(green.lerp(rock, bare), share);
            let high = if terrain.mountains > 78.0 { 0.62 } else { 1.4 };
            let line = high + (0.06 - high) * look.snow_mountain;
            let level = mountain / terrain.mountains.max(1.0) + (strata - 0.5) * 0.22;
            let cap = smoothstep(line - 0.03, line + 0.09, level) * smoothstep(0.34, 0.62, n.y + (strata - 0.5) * 0.2);
            albedo = albedo.lerp(self.snow(p) * 0.97, cap);
        }
        // road
        let mut on_road = 0.0;
        if let Some(road) = &terrain.road {
            let d = road.distance(p.x, p.z);
            if d < road.half + 1.2 && p.y > 0.3 {
                let wobble = if road.paved { 0.0 } else { (value(p.x * 1.1, p.z * 1.1, 23) - 0.5) * 0.5 };
                let soft = foot.clamp(0.05, 0.4);
                on_road = smoothstep(road.half + soft + wobble * 0.5, road.half - soft + wobble * 0.5, d);
                let paint = self.paint(Part::Road);
                let verge = smoothstep(road.half + 1.0, road.half + 0.2, d) * 0.5;
                albedo = albedo.lerp(scene.colours.road * 0.8, verge * (1.0 - look.snow_ground));
                let surface = if road.paved {
                    let tar = paint.unwrap_or_else(|| hex(0x5A_5C_62))
                        * (0.92 + 0.22 * grain * fine + 0.16 * (patches - 0.5));
                    let dash = (p.z / 3.2).fract() < 0.5;
                    let wide = 0.075_f32;
                    let line = smoothstep(wide + foot * 0.6, (wide - foot * 0.6).max(0.0), d)
                        * f32::from(u8::from(dash))
                        * (wide / (foot * 0.5)).min(1.0);
                    let rim = smoothstep(wide + foot * 0.6, (wide - foot * 0.6).max(0.0), (d - road.half + 0.22).abs())
                        * (wide / (foot * 0.5)).min(1.0);
                    tar.lerp(hex(0xE8_E4_DA), (line * f32::from(u8::from(road.half > 1.7))).max(rim) * 0.8)
                } else {
                    let track = paint.unwrap_or(scene.colours.road) * (0.86 + 0.26 * patches + 0.4 * grain * fine);
                    let crown = smoothstep(0.34, 0.10, d + wobble) * 0.65 * middle;
                    if paint.is_some() { track } else { track.lerp(grass * 0.9, crown) }
                };
                albedo = albedo.lerp(surface, on_road);
            }
        }
        // wetness darkens and mirrors
        let wet = look.wet_road * on_road + look.wet_ground * 0.35 * (1.0 - on_road);
        if wet > 0.0 {
            let puddle = smoothstep(0.50, 0.62, fractal(p.x / 2.3, p.z / 2.3, 55, 2)) * on_road;
            albedo *= 1.0 - 0.42 * wet - 0.2 * puddle * wet;
            gloss += wet * (0.35 * on_road + 0.55 * puddle);
            n = n.lerp(Vec3::Y, puddle * wet * 0.9).normalize();
        }
        // snow
        if look.snow_ground > 0.0 && mountain < 9.0 && p.y > -0.1 {
            let up = 0.35 + 0.65 * smoothstep(0.55, 0.8, n.y);
            let mut share = self.snow_share(look.snow_ground, p, up, 0.3);
            if on_road > 0.0 {
                let rut = scene.terrain.road.as_ref().map_or(0.0, |road| {
                    let d = road.distance(p.x, p.z) / road.half;
                    smoothstep(0.2, 0.06, (d - 0.5).abs() + (tufts * 0.1)) * 0.55 + 0.12
                });
                share *= 1.0 - on_road * rut;
            }
            albedo = albedo.lerp(self.snow(p), share);
            let bump = Vec3::new(value(p.x * 0.8, p.z * 0.8, 33) - 0.5, 0.0, value(p.x * 0.8, p.z * 0.8, 34) - 0.5);
            n = (n + bump * 0.22 * share * middle).normalize();
            gloss *= 1.0 - share;
        }
        if part == Part::Ground && look.snow_ground < 0.5 {
            let bump = Vec3::new(grain * fine, 0.0, (value(p.x * 5.3, p.z * 5.3, 10) - 0.5) * fine);
            n = (n + bump * 0.35 * (1.0 - on_road)).normalize();
        }
        Surface { albedo: albedo * t.tone, n, gloss, soft: 0.0, glow: Vec3::ZERO }
    }

    fn water(&self, spot: &Spot) -> Radiance {
        let look = self.look;
        let p = spot.p;
        let calm = 1.0 / (1.0 + spot.distance * 0.012);
        let wave = |x: f32, z: f32| {
            fractal(x * 0.55, z * 1.15, 301, 2) + 0.35 * value(x * 2.4, z * 3.6, 302) * keep(0.35, spot.foot)
        };
        let e = 0.12;
        let here = wave(p.x, p.z);
        let (sx, sz) = (wave(p.x + e, p.z) - here, wave(p.x, p.z + e) - here);
        let strength = 0.16 * calm * if look.falling == crate::world::look::Falling::Rain { 1.7 } else { 1.0 };
        let n = Vec3::new(-sx / e * strength, 1.0, -sz / e * strength).normalize();
        let facing = (-spot.dir.dot(n)).clamp(0.0, 1.0);
        let fresnel = 0.03 + 0.97 * (1.0 - facing).powi(5);
        let floor = self.map.ground(p.x, p.z);
        let depth = (-floor).max(0.0);
        let shallow = smoothstep(0.7, 0.05, depth);
        let paint = self.paint(Part::Water);
        let light = self.light.above * 0.8 + self.light.sun_colour * self.light.sun.y.max(0.05) * 0.55;
        let deep = paint.map_or(self.scene.colours.water, |c| c * 1.1);
        let bed = hex(0xC6_B0_88) * 0.55;
        let body = deep.lerp(bed * 0.5 + deep * 0.5, shallow * if paint.is_some() { 0.25 } else { 0.7 });
        let bright = self.shadow.bright(p, spot.distance);
        let body_light =
            self.light.above * 0.8 * 0.72 + (light - self.light.above * 0.8) * (0.35 + 0.65 * bright) * 0.72;
        let mut colour = body * body_light;
        // mirror picture, wobbling
        let reflected = match self.mirror {
            Some(mirror) => {
                let (u, v) = (spot.uv.x, spot.uv.y);
                let wobble = 0.034 * calm * (n.x / strength.max(1e-3) * 0.16);
                let stretch = 0.05 * calm * (n.z / strength.max(1e-3) * 0.16);
                let mut sum = Vec3::ZERO;
                for k in [-1.0_f32, 0.0, 1.0] {
                    sum += mirror.at(u + wobble, v + stretch + k * 0.006);
                }
                sum / 3.0
            }
            None => self.sky.horizon,
        };
        let share = (fresnel * 0.88 + 0.10).min(0.92) * if paint.is_some() { 0.45 } else { 1.0 };
        colour = colour.lerp(reflected, share);
        // the sun's path on the water
        let half = (self.light.sun - spot.dir).normalize_or_zero();
        let spark = n.dot(half).max(0.0).powi(220);
        colour += self.light.sun_colour * spark * 0.9 * bright;
        let rim = smoothstep(0.10, 0.02, depth + (value(p.x * 2.0, p.z * 2.0, 71) - 0.5) * 0.06);
        colour = colour.lerp(light * 0.75, rim * 0.35);
        let mut r = Radiance { colour, glow: Vec3::ZERO };
        if look.ice > 0.0 {
            let cracks = {
                let a = fractal(p.x / 3.6, p.z / 3.6, 401, 3) - 0.5;
                let b = fractal(p.x / 6.0 + 9.0, p.z / 6.0, 402, 3) - 0.5;
                let wide = 0.006 + spot.foot * 0.012;
                smoothstep(wide * 2.0, wide * 0.6, a.abs()).max(smoothstep(wide * 2.0, wide * 0.6, b.abs()))
                    * keep(1.2, spot.foot)
            };
            let drift = smoothstep(0.46, 0.66, fractal(p.x / 7.0, p.z / 4.5, 403, 3));
            let base = Vec3::new(0.36, 0.51, 0.63) * (0.86 + 0.24 * fractal(p.x / 2.2, p.z / 2.2, 404, 2));
            let albedo = base.lerp(Vec3::new(0.66, 0.70, 0.77), (drift * 0.85).max(cracks * 0.5));
            let surface = Surface { albedo, n: Vec3::Y, gloss: 0.0, soft: 0.0, glow: Vec3::ZERO };
            let mut ice = self.lit(&surface, spot).colour;
            ice = ice.lerp(reflected, 0.20 * (1.0 - drift) + 0.2 * fresnel);
            r.colour = r.colour.lerp(ice, look.ice);
        }
        self.through_air(r, spot)
    }
}

/// Coloured dots on a lattice: share and colour at a point. Fades to an even tint when a pixel covers several dots.
fn dots(p: Vec3, cell: f32, foot: f32, amount: f32, seed: u32, colours: &[u32]) -> (f32, Vec3) {
    let (x, z) = (p.x / cell, p.z / cell);
    let (cx, cz) = (x.floor(), z.floor());
    let h = hash2(cx as i32, cz as i32, seed);
    let colour = hex(colours[(h >> 4) as usize % colours.len()]);
    let present = ((h >> 16) as f32 / 65_536.0) < amount;
    let at = |shift: u32| 0.3 + 0.4 * ((h >> shift) & 15) as f32 / 15.0;
    let d = (x - cx - at(8)).hypot(z - cz - at(12));
    let sharp = keep(cell * 0.9, foot);
    let dot = if present { smoothstep(0.30 + foot, 0.22, d) } else { 0.0 };
    let even = amount * 0.22;
    (dot * sharp + even * (1.0 - sharp) * 1.6, colour)
}
