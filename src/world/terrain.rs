//! The land: a height function with lake, river, sea, road and hills, and what covers each point of it.
//!
//! The camera stands at the origin and looks along +z; x is right, y is up, units are metres, water lies at y = 0.

use glam::Vec3;

use super::noise::{fractal, ridged, smoothstep, value};
use super::rng::Draw;

/// The kind of water a scene has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Water {
    None,
    /// an ellipse (centre x, z; radii x, z) with a wavy shore
    Lake {
        x: f32,
        z: f32,
        rx: f32,
        rz: f32,
    },
    /// everything beyond a shore line z = `shore` + `slope`·x
    Sea {
        shore: f32,
        slope: f32,
    },
    /// a band that winds along z
    River {
        x: f32,
        lean: f32,
        bend: f32,
        width: f32,
    },
}

/// A road that winds along z: x = `x` + `lean`·z + `bend`·sin(z / `period` + `phase`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Road {
    pub x: f32,
    pub lean: f32,
    pub bend: f32,
    pub period: f32,
    pub phase: f32,
    /// half the width
    pub half: f32,
    /// where it ends
    pub end: f32,
    pub paved: bool,
}

impl Road {
    pub fn centre(&self, z: f32) -> f32 {
        self.x + self.lean * z + self.bend * (z / self.period + self.phase).sin()
    }

    /// dx/dz of the centre line.
    pub fn slope(&self, z: f32) -> f32 {
        self.lean + self.bend / self.period * (z / self.period + self.phase).cos()
    }

    /// Distance from the centre line, metres (approximate, exact on straight parts).
    pub fn distance(&self, x: f32, z: f32) -> f32 {
        let slope = self.slope(z);
        let side = (x - self.centre(z)).abs() / (1.0 + slope * slope).sqrt();
        if z > self.end { side.hypot(z - self.end) } else { side }
    }
}

/// A levelled place, for a house.
#[derive(Clone, Copy, Debug)]
pub struct Pad {
    pub x: f32,
    pub z: f32,
    pub radius: f32,
    pub height: f32,
}

/// A ploughed or sown field: a rectangle whose sides follow `angle`.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    pub x: f32,
    pub z: f32,
    pub half_x: f32,
    pub half_z: f32,
    pub angle: f32,
    pub kind: u8,
}

#[derive(Clone, Debug)]
pub struct Terrain {
    pub seed: u32,
    pub rolling: f32,
    pub rise: f32,
    pub hills: f32,
    pub mountains: f32,
    pub mountain_scale: f32,
    pub water: Water,
    pub road: Option<Road>,
    pub pads: Vec<Pad>,
    pub fields: Vec<Field>,
}

impl Terrain {
    /// Land without water, road and pads.
    fn land(&self, x: f32, z: f32) -> f32 {
        let s = self.seed;
        let near = 1.1 + self.rise * (z - 18.0).max(0.0) * smoothstep(10.0, 60.0, z);
        let rolling = self.rolling * (fractal(x / 34.0 + 11.0, z / 34.0, s, 3) - 0.5) * 2.0;
        let r = (x * x + (z - 30.0) * (z - 30.0)).sqrt();
        let hills = if self.hills > 0.0 {
            self.hills * smoothstep(65.0, 170.0, r) * fractal(x / 75.0 + 3.0, z / 75.0 + 9.0, s ^ 77, 3)
        } else {
            0.0
        };
        near + rolling + hills + self.mountain(x, z)
    }

    /// The mountains' part of the height.
    pub fn mountain(&self, x: f32, z: f32) -> f32 {
        if self.mountains <= 0.0 {
            return 0.0;
        }
        let r = (x * x + (z - 30.0) * (z - 30.0)).sqrt();
        let ring = smoothstep(150.0, 300.0, r) * (1.0 - smoothstep(430.0, 580.0, r));
        if ring <= 0.0 {
            return 0.0;
        }
        let k = 1.0 / self.mountain_scale;
        let body = ridged(x * k + 5.0, z * k + 2.0, self.seed ^ 991, 4);
        let range = smoothstep(0.22, 0.75, fractal(x * k * 0.5 + 40.0, z * k * 0.5, self.seed ^ 313, 2));
        self.mountains * ring * (0.25 + 0.75 * body) * (0.35 + 0.65 * range)
    }

    /// How far inside the water a point is: > 0 is wet, about 1 well inside.
    pub fn wetness(&self, x: f32, z: f32) -> f32 {
        let wave = |scale: f32| value(x / scale + 91.0, z / scale, self.seed ^ 5) - 0.5;
        match self.water {
            Water::None => -10.0,
            Water::Lake { x: cx, z: cz, rx, rz } => {
                let d = ((x - cx) / rx).hypot((z - cz) / rz);
                if d > 3.0 {
                    return -4.0;
                }
                (1.0 - d + 0.32 * wave(11.0) + 0.12 * wave(4.0)) * 3.0
            }
            Water::Sea { shore, slope } => (z - shore - slope * x + 9.0 * wave(23.0) + 3.0 * wave(8.0)) / 7.0,
            Water::River { x: cx, lean, bend, width } => {
                let centre = cx + lean * z + bend * (z / 21.0).sin();
                let d = (x - centre).abs() + 2.2 * wave(9.0);
                (width - d) / 4.0
            }
        }
    }

    fn shaped(&self, x: f32, z: f32) -> f32 {
        let mut h = self.land(x, z);
        if self.water != Water::None {
            let w = self.wetness(x, z);
            // banks fall gently to the shore, then below it
            let bank = smoothstep(-2.6, 0.25, w);
            let floor = -0.35 - 1.1 * smoothstep(0.0, 1.2, w);
            let shore = h.min(0.35 + 0.25 * (-w).max(0.0));
            h += (shore - h) * bank;
            let wet = smoothstep(-0.35, 0.25, w);
            h += (floor - h) * wet;
            if w < -0.4 {
                h = h.max(0.25);
            }
        }
        h
    }

    /// Height of the ground at a point, metres above the water level.
    pub fn height(&self, x: f32, z: f32) -> f32 {
        let mut h = self.shaped(x, z);
        if let Some(road) = &self.road {
            let d = road.distance(x, z);
            let reach = road.half + 6.0;
            if d < reach && z < road.end + 6.0 {
                let level = self.shaped(road.centre(z.min(road.end)), z.min(road.end)).max(0.55);
                h += (level - h) * (1.0 - smoothstep(road.half + 0.4, reach, d));
            }
        }
        for pad in &self.pads {
            let d = (x - pad.x).hypot(z - pad.z);
            if d < pad.radius * 2.0 {
                h += (pad.height - h) * (1.0 - smoothstep(pad.radius, pad.radius * 2.0, d));
            }
        }
        h
    }

    /// Upward unit normal of the ground.
    pub fn normal(&self, x: f32, z: f32, step: f32) -> Vec3 {
        let dx = self.height(x + step, z) - self.height(x - step, z);
        let dz = self.height(x, z + step) - self.height(x, z - step);
        Vec3::new(-dx, 2.0 * step, -dz).normalize()
    }

    /// Whether a disc is dry, off the road and not on a slope.
    pub fn is_free(&self, x: f32, z: f32, radius: f32, road_gap: f32) -> bool {
        let clear = |px: f32, pz: f32| self.height(px, pz) > 0.5;
        let dry =
            clear(x, z) && clear(x + radius, z) && clear(x - radius, z) && clear(x, z + radius) && clear(x, z - radius);
        let off_road = self.road.as_ref().is_none_or(|road| road.distance(x, z) > road.half + radius + road_gap);
        dry && off_road
    }

    /// Draws the land's shape; theme-dependent values are set by the caller.
    pub fn draw(draw: Draw) -> Self {
        let draw = draw.child("terrain");
        Self {
            seed: draw.bits("seed") as u32,
            rolling: draw.range("rolling", 0.5, 1.4),
            rise: draw.range("rise", 0.015, 0.05),
            hills: draw.range("hills", 6.0, 22.0),
            mountains: 0.0,
            mountain_scale: draw.range("mountain.scale", 90.0, 150.0),
            water: Water::None,
            road: None,
            pads: Vec::new(),
            fields: Vec::new(),
        }
    }
}
