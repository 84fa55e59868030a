//! Geometry: triangles with what the shader must know about them, and the builders of houses, trees and props.

pub mod house;
pub mod land;
pub mod props;
pub mod tree;

use glam::{Vec2, Vec3};

use super::look::Part;

/// The pattern that the shader draws on a surface; `uv` is in metres unless stated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Texture {
    Plain,
    Land,
    Water,
    Tiles,
    Planks,
    Plaster,
    Stone,
    /// uv in 0..1 over the window; the object of the triangle decides which windows are lit
    Glass,
    /// uv in 0..1 over the door
    Door,
    Foliage,
    Conifer,
    Bark,
    /// uv in 0..1 over the board; the number is an index into the scene's words
    Board(u16),
    Metal,
    LampGlass,
    Sail,
}

/// When a triangle exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    Always,
    /// leaves that fall
    Leafy,
    /// twigs that show when the leaves have fallen
    Bare,
}

#[derive(Clone, Debug)]
pub struct Triangle {
    pub p: [Vec3; 3],
    /// unit vertex normals
    pub n: [Vec3; 3],
    pub uv: [Vec2; 3],
    /// albedo, linear light
    pub colour: Vec3,
    /// brightness of this triangle relative to its kind, stays when the part is repainted
    pub tone: f32,
    pub part: Part,
    pub texture: Texture,
    pub layer: Layer,
    /// whether a new paint of the part covers this triangle
    pub paintable: bool,
    pub object: u16,
}

/// How the next triangles look.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    pub part: Part,
    pub texture: Texture,
    pub layer: Layer,
    pub colour: Vec3,
    pub tone: f32,
    pub paintable: bool,
    pub object: u16,
}

impl Style {
    pub fn new(part: Part, texture: Texture, colour: Vec3, object: u16) -> Self {
        Self { part, texture, layer: Layer::Always, colour, tone: 1.0, paintable: true, object }
    }

    /// The same part in a colour of its own, which repainting leaves alone.
    pub fn fixed(self, texture: Texture, colour: Vec3) -> Self {
        Self { texture, colour, paintable: false, ..self }
    }

    pub fn tone(self, tone: f32) -> Self {
        Self { tone, ..self }
    }

    pub fn layer(self, layer: Layer) -> Self {
        Self { layer, ..self }
    }
}

/// A position and a heading about the vertical: local +z is the front's back, local −z faces the viewer at yaw 0.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    pub origin: Vec3,
    sin: f32,
    cos: f32,
}

impl Frame {
    pub fn new(origin: Vec3, yaw: f32) -> Self {
        Self { origin, sin: yaw.sin(), cos: yaw.cos() }
    }

    pub fn turn(&self, v: Vec3) -> Vec3 {
        Vec3::new(v.x * self.cos + v.z * self.sin, v.y, -v.x * self.sin + v.z * self.cos)
    }

    pub fn at(&self, x: f32, y: f32, z: f32) -> Vec3 {
        self.origin + self.turn(Vec3::new(x, y, z))
    }
}

#[derive(Clone, Debug, Default)]
pub struct Mesh {
    pub triangles: Vec<Triangle>,
}

impl Mesh {
    /// A flat triangle whose front is the side from which its corners run counter-clockwise.
    pub fn triangle(&mut self, p: [Vec3; 3], uv: [Vec2; 3], style: Style) {
        let n = (p[1] - p[0]).cross(p[2] - p[0]).normalize_or_zero();
        if n == Vec3::ZERO {
            return;
        }
        self.smooth(p, [n; 3], uv, style);
    }

    pub fn smooth(&mut self, p: [Vec3; 3], n: [Vec3; 3], uv: [Vec2; 3], style: Style) {
        self.triangles.push(Triangle {
            p,
            n,
            uv,
            colour: style.colour,
            tone: style.tone,
            part: style.part,
            texture: style.texture,
            layer: style.layer,
            paintable: style.paintable,
            object: style.object,
        });
    }

    /// A quadrilateral, counter-clockwise from the front; uv runs 0..`size` from the first corner.
    pub fn quad(&mut self, p: [Vec3; 4], size: Vec2, style: Style) {
        let uv = [Vec2::ZERO, Vec2::new(size.x, 0.0), size, Vec2::new(0.0, size.y)];
        self.triangle([p[0], p[1], p[2]], [uv[0], uv[1], uv[2]], style);
        self.triangle([p[0], p[2], p[3]], [uv[0], uv[2], uv[3]], style);
    }

    /// A box from `low` to `high` in the frame.
    pub fn cuboid(&mut self, frame: &Frame, low: Vec3, high: Vec3, style: Style) {
        let c = |x: bool, y: bool, z: bool| {
            frame.at(if x { high.x } else { low.x }, if y { high.y } else { low.y }, if z { high.z } else { low.z })
        };
        let s = high - low;
        let (f, t) = (false, true);
        self.quad([c(f, f, f), c(f, t, f), c(t, t, f), c(t, f, f)], Vec2::new(s.y, s.x), style);
        self.quad([c(t, f, t), c(t, t, t), c(f, t, t), c(f, f, t)], Vec2::new(s.y, s.x), style);
        self.quad([c(f, f, t), c(f, t, t), c(f, t, f), c(f, f, f)], Vec2::new(s.y, s.z), style);
        self.quad([c(t, f, f), c(t, t, f), c(t, t, t), c(t, f, t)], Vec2::new(s.y, s.z), style);
        self.quad([c(f, t, f), c(f, t, t), c(t, t, t), c(t, t, f)], Vec2::new(s.z, s.x), style);
        self.quad([c(t, f, f), c(t, f, t), c(f, f, t), c(f, f, f)], Vec2::new(s.z, s.x), style);
    }

    /// A tapering tube between two points, open at the ends.
    pub fn tube(&mut self, from: Vec3, to: Vec3, r0: f32, r1: f32, sides: usize, style: Style) {
        let axis = (to - from).normalize_or_zero();
        if axis == Vec3::ZERO {
            return;
        }
        let side = axis.any_orthonormal_vector();
        let other = axis.cross(side);
        let length = (to - from).length();
        let ring = |i: usize| {
            let a = std::f32::consts::TAU * i as f32 / sides as f32;
            side * a.cos() + other * a.sin()
        };
        for i in 0..sides {
            let (a, b) = (ring(i), ring(i + 1));
            let (u0, u1) = (i as f32 * 0.3, (i + 1) as f32 * 0.3);
            let p = [from + a * r0, from + b * r0, to + b * r1, to + a * r1];
            self.smooth(
                [p[0], p[1], p[2]],
                [a, b, b],
                [Vec2::new(u0, 0.0), Vec2::new(u1, 0.0), Vec2::new(u1, length)],
                style,
            );
            if r1 > 0.0 {
                self.smooth(
                    [p[0], p[2], p[3]],
                    [a, b, a],
                    [Vec2::new(u0, 0.0), Vec2::new(u1, length), Vec2::new(u0, length)],
                    style,
                );
            }
        }
    }
}
