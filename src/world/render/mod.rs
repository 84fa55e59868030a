//! From a scene and a look to pictures: what is visible is found once, every look is then only shading.

pub mod font;
pub mod ground;
pub mod post;
pub mod raster;
pub mod shade;
pub mod shadow;
pub mod sky;

use std::collections::BTreeMap;
use std::sync::Arc;

use glam::{Vec2, Vec3};
use rayon::prelude::*;

use self::ground::GroundMap;
use self::raster::{NONE, View, Visible, perspective};
use self::shade::{Mirror, Radiance, Shader, Spot, land_part, weights};
use self::shadow::Shadow;
use self::sky::Atmosphere;
use super::build::{Texture, Triangle};
use super::look::{Look, Part};
use super::scene::{Camera, Scene};

/// Samples a side of a pixel.
const SUPER: usize = 2;

/// An 8-bit sRGB picture, rows from the top.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    pub width: usize,
    pub height: usize,
    /// `[height, width, 3]`
    pub rgb: Vec<u8>,
}

/// Ground truth besides colour, at pixel centres.
#[derive(Clone, Debug)]
pub struct Truth {
    pub width: usize,
    pub height: usize,
    /// distance along the viewing axis, metres; 0 for the sky
    pub depth: Vec<f32>,
    /// unit normals in world axes, `[height, width, 3]`; 0 for the sky
    pub normal: Vec<f32>,
    /// object number; 65535 for the sky
    pub object: Vec<u16>,
    /// `Part` number
    pub class: Vec<u8>,
}

struct Geometry {
    main: Visible,
    mirror: Option<Visible>,
    map: GroundMap,
}

/// Renders one view of a scene under any number of looks.
pub struct Renderer<'a> {
    scene: &'a Scene,
    view: View,
    geometry: BTreeMap<bool, Arc<Geometry>>,
    shadows: BTreeMap<(bool, u8), Arc<Shadow>>,
}

impl<'a> Renderer<'a> {
    pub fn new(scene: &'a Scene, camera: &Camera, width: usize, height: usize) -> Self {
        Self {
            scene,
            view: View::new(camera, width.max(1), height.max(1)),
            geometry: BTreeMap::new(),
            shadows: BTreeMap::new(),
        }
    }

    pub fn view(&self) -> &View {
        &self.view
    }

    fn geometry(&mut self, bare: bool) -> Arc<Geometry> {
        let (scene, view) = (self.scene, self.view);
        self.geometry
            .entry(bare)
            .or_insert_with(|| {
                let triangles = &scene.mesh.triangles;
                let main = perspective(triangles, &view.scaled(SUPER as f32), bare, false);
                let wet =
                    main.triangle.iter().any(|id| *id != NONE && triangles[*id as usize].texture == Texture::Water);
                let mirror = wet.then(|| perspective(triangles, &view.scaled(0.5), bare, true));
                Arc::new(Geometry { main, mirror, map: GroundMap::new(&scene.terrain, triangles, bare) })
            })
            .clone()
    }

    fn shadow(&mut self, bare: bool, look: &Look, sun: Vec3) -> Arc<Shadow> {
        let size = if self.view.height > 500 { 2048 } else { 1024 };
        let triangles = &self.scene.mesh.triangles;
        self.shadows
            .entry((bare, look.light.hour as u8))
            .or_insert_with(|| Arc::new(Shadow::new(triangles, sun, size, bare)))
            .clone()
    }

    /// The finished picture.
    pub fn render(&mut self, look: &Look) -> Picture {
        let (width, height) = (self.view.width, self.view.height);
        let bare = look.is_bare();
        let geometry = self.geometry(bare);
        let light = Atmosphere::new(look.light, look.clouds, self.scene.draw);
        let sky = Atmosphere::new(look.sky, look.clouds, self.scene.draw);
        let shadow = self.shadow(bare, look, light.sun);
        let mut shader =
            Shader { scene: self.scene, look, light, sky, shadow: &shadow, map: &geometry.map, mirror: None };
        let mirror = geometry.mirror.as_ref().map(|visible| self.mirror(&shader, visible, &geometry.main));
        shader.mirror = mirror.as_ref();
        let mut colour = vec![Vec3::ZERO; width * height];
        let mut glow = vec![Vec3::ZERO; width * height];
        let fine = self.view.scaled(SUPER as f32);
        let triangles = &self.scene.mesh.triangles;
        colour.par_chunks_mut(width).zip(glow.par_chunks_mut(width)).enumerate().for_each(|(y, (colours, glows))| {
            for x in 0..width {
                let r = self.pixel(&shader, &geometry.main, &fine, triangles, x, y);
                colours[x] = r.colour;
                glows[x] = r.glow;
            }
        });
        post::bloom(&mut colour, &glow, width, height);
        let picture = post::develop(&colour, look, width, height, self.scene.draw.bits("fall") as u32);
        Picture { width, height, rgb: post::bytes(&picture, width) }
    }

    /// Shades a pixel: once where its samples agree, else once for each different surface.
    fn pixel(
        &self,
        shader: &Shader,
        main: &Visible,
        fine: &View,
        triangles: &[Triangle],
        x: usize,
        y: usize,
    ) -> Radiance {
        let mut samples = [(NONE, 0.0_f32); SUPER * SUPER];
        for j in 0..SUPER {
            for i in 0..SUPER {
                let k = (y * SUPER + j) * main.width + x * SUPER + i;
                samples[j * SUPER + i] = (main.triangle[k], main.near[k]);
            }
        }
        let first = samples[0].0;
        if samples.iter().all(|s| same(triangles, first, s.0)) {
            let near = samples.iter().map(|s| s.1).sum::<f32>() / samples.len() as f32;
            let (px, py) = ((x * SUPER) as f32 + 0.5 * SUPER as f32, (y * SUPER) as f32 + 0.5 * SUPER as f32);
            return self.sample(shader, fine, first, near, px, py, SUPER as f32);
        }
        let mut sum = Radiance::default();
        for (k, (id, near)) in samples.iter().enumerate() {
            let px = (x * SUPER + k % SUPER) as f32 + 0.5;
            let py = (y * SUPER + k / SUPER) as f32 + 0.5;
            let r = self.sample(shader, fine, *id, *near, px, py, SUPER as f32);
            // bright edges are tamed before they are averaged, or they would never look smooth
            let weight = 1.0 / samples.len() as f32;
            sum.colour += r.colour.min(Vec3::splat(2.2)) * weight;
            sum.glow += r.glow * weight;
        }
        sum
    }

    #[allow(clippy::too_many_arguments)]
    fn sample(&self, shader: &Shader, view: &View, id: u32, near: f32, px: f32, py: f32, pixel: f32) -> Radiance {
        let ray = view.ray(px, py);
        if id == NONE {
            let dir = ray.normalize();
            let (colour, glow) = shader.sky.sky(dir, shader.look, pixel / view.focal);
            return Radiance { colour, glow };
        }
        let t = &shader.scene.mesh.triangles[id as usize];
        let mut spot = spot(t, view, ray, 1.0 / near, pixel);
        if t.texture == Texture::Water {
            spot.uv = Vec2::new(px / view.width as f32, py / view.height as f32);
        }
        shader.shade(t, &spot)
    }

    /// The world upside down, only where water is seen.
    fn mirror(&self, shader: &Shader, visible: &Visible, main: &Visible) -> Mirror {
        let (width, height) = (visible.width, visible.height);
        let view = self.view.scaled(0.5);
        let triangles = &self.scene.mesh.triangles;
        // rows that hold water, with a margin for the waves
        let is_wet = |y: usize| {
            let row = &main.triangle[y * main.width..(y + 1) * main.width];
            row.iter().any(|id| *id != NONE && triangles[*id as usize].texture == Texture::Water)
        };
        let wet: Vec<usize> = (0..main.height).filter(|y| is_wet(*y)).collect();
        let scale = main.height as f32 / height as f32;
        let margin = height / 12 + 2;
        let first = wet.first().map_or(0, |y| ((*y as f32 / scale) as usize).saturating_sub(margin));
        let last = wet.last().map_or(0, |y| ((*y as f32 / scale) as usize + margin).min(height));
        let mut colour = vec![Vec3::ZERO; width * height];
        colour.par_chunks_mut(width).enumerate().filter(|(y, _)| (first..last).contains(y)).for_each(|(y, row)| {
            for (x, c) in row.iter_mut().enumerate() {
                let k = y * width + x;
                let (px, py) = (x as f32 + 0.5, y as f32 + 0.5);
                let ray = view.ray(px, py);
                let id = visible.triangle[k];
                *c = if id == NONE {
                    let mut dir = ray.normalize();
                    dir.y = dir.y.abs().max(0.012);
                    shader.sky.sky(dir.normalize(), shader.look, 1.0 / view.focal).0
                } else {
                    let t = &triangles[id as usize];
                    let mut at = view.eye + ray / visible.near[k];
                    at.y = -at.y;
                    let distance = (at - view.eye).length();
                    let dir = Vec3::new(ray.x, -ray.y, ray.z).normalize();
                    shader.shade(t, &spot_at(t, at, dir, distance, distance / view.focal)).colour
                };
            }
        });
        Mirror { width, height, colour }
    }

    /// Depth, normals and ids at pixel centres.
    pub fn truth(&self, look: &Look) -> Truth {
        let view = self.view;
        let (width, height) = (view.width, view.height);
        let triangles = &self.scene.mesh.triangles;
        let visible = perspective(triangles, &view, look.is_bare(), false);
        let mut truth = Truth {
            width,
            height,
            depth: vec![0.0; width * height],
            normal: vec![0.0; width * height * 3],
            object: vec![u16::MAX; width * height],
            class: vec![Part::Sky as u8; width * height],
        };
        for k in 0..width * height {
            let id = visible.triangle[k];
            if id == NONE {
                continue;
            }
            let t = &triangles[id as usize];
            let near = visible.near[k];
            let ray = view.ray((k % width) as f32 + 0.5, (k / width) as f32 + 0.5);
            let s = spot(t, &view, ray, 1.0 / near, 1.0);
            truth.depth[k] = 1.0 / near;
            truth.normal[3 * k] = s.n.x;
            truth.normal[3 * k + 1] = s.n.y;
            truth.normal[3 * k + 2] = s.n.z;
            truth.object[k] = t.object;
            truth.class[k] = if t.texture == Texture::Land { land_part(self.scene, s.p, s.uv.x) } else { t.part } as u8;
        }
        truth
    }
}

/// Whether two samples may be shaded as one: the same triangle, or neighbours of one smooth surface.
fn same(triangles: &[Triangle], a: u32, b: u32) -> bool {
    if a == b {
        return true;
    }
    if a == NONE || b == NONE {
        return false;
    }
    let (s, t) = (&triangles[a as usize], &triangles[b as usize]);
    matches!(s.texture, Texture::Land | Texture::Water)
        && s.texture == t.texture
        && s.n[0].dot(t.n[0]) > 0.97
        && (s.p[0] - t.p[0]).length_squared() < 900.0
}

fn spot(t: &Triangle, view: &View, ray: Vec3, depth: f32, pixel: f32) -> Spot {
    let p = view.eye + ray * depth;
    let distance = ray.length() * depth;
    spot_at(t, p, ray.normalize(), distance, distance * pixel / view.focal)
}

fn spot_at(t: &Triangle, p: Vec3, dir: Vec3, distance: f32, foot: f32) -> Spot {
    let w = weights(t, p);
    let mut n = (t.n[0] * w[0] + t.n[1] * w[1] + t.n[2] * w[2]).normalize_or(Vec3::Y);
    if n.dot(dir) > 0.0 && !matches!(t.texture, Texture::Land | Texture::Foliage) {
        n = -n;
    }
    let uv = t.uv[0] * w[0] + t.uv[1] * w[1] + t.uv[2] * w[2];
    Spot { p, dir, distance, foot, uv, n }
}
