//! A scene: composition, geometry and look, all drawn by name from one seed.
//!
//! Objects are placed by where they fall in the picture (a third from the left, thirty metres away …), so that every
//! scene has a main subject, a framed foreground and a horizon at a third.

use std::f32::consts::{PI, TAU};

use glam::{Vec2, Vec3};

use super::build::house::{House, HouseKind, house};
use super::build::tree::{Tree, TreeKind, rock, tree};
use super::build::{Mesh, Texture, land, props};
use super::look::{Air, Hour, Look, Season, Weather};
use super::palette::{Colours, hex};
use super::rng::Draw;
use super::terrain::{Field, Pad, Road, Terrain, Water};

/// Half the tangent of the vertical field of view (50°).
pub const HALF_TAN: f32 = 0.466_307_66;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    LakeVillage,
    MountainLake,
    CountryRoad,
    Coast,
    Farm,
    River,
    Street,
    Woods,
}

impl Theme {
    pub const ALL: [Theme; 8] = [
        Theme::LakeVillage,
        Theme::MountainLake,
        Theme::CountryRoad,
        Theme::Coast,
        Theme::Farm,
        Theme::River,
        Theme::Street,
        Theme::Woods,
    ];
    const WEIGHTS: [f32; 8] = [1.6, 1.1, 1.2, 1.1, 1.0, 1.0, 1.1, 0.8];
}

/// A pinhole camera: x right, y up, looking along +z at yaw and pitch 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Camera {
    pub eye: Vec3,
    /// turn to the right, radians
    pub yaw: f32,
    /// tilt upwards, radians
    pub pitch: f32,
    /// tangent of half the vertical field of view
    pub half_tan: f32,
}

impl Camera {
    /// Unit vectors to the right, up and forward.
    pub fn axes(&self) -> (Vec3, Vec3, Vec3) {
        let (sy, cy) = self.yaw.sin_cos();
        let (sp, cp) = self.pitch.sin_cos();
        let forward = Vec3::new(sy * cp, sp, cy * cp);
        let right = Vec3::new(cy, 0.0, -sy);
        (right, forward.cross(right), forward)
    }
}

/// A light that an edit can switch on.
#[derive(Clone, Copy, Debug)]
pub struct Light {
    pub at: Vec3,
    pub lamp: bool,
}

/// What the captions and edits must know about the objects.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub houses: usize,
    pub church: bool,
    pub barn: bool,
    pub conifers: usize,
    pub shedding: usize,
    pub cars: usize,
    pub boats: usize,
    pub sailing: bool,
    pub lamps: usize,
    pub paved: bool,
}

#[derive(Clone, Debug)]
pub struct Scene {
    pub seed: u64,
    pub theme: Theme,
    pub season: Season,
    pub camera: Camera,
    pub terrain: Terrain,
    pub colours: Colours,
    pub mesh: Mesh,
    pub lights: Vec<Light>,
    pub words: Vec<&'static str>,
    pub facts: Facts,
    pub look: Look,
    /// number of object ids in use
    pub objects: u16,
    pub(crate) draw: Draw,
}

/// Short words for signs.
pub const WORDS: &[&str] = &[
    "CAFE", "BAKERY", "HOTEL", "INN", "BAR", "TEA", "MILK", "EGGS", "BREAD", "FISH", "SHOP", "BANK", "POST", "TAXI",
    "BUS", "STOP", "EXIT", "OPEN", "CLOSED", "SALE", "FARM", "MILL", "BARN", "PARK", "ZOO", "BOOKS", "TOYS", "GIFTS",
    "ART", "MUSIC", "FERRY", "PORT", "DOCK", "PIER", "LAKE", "BEACH", "HILL", "VALE", "FORD", "WOOD", "GLEN", "MOOR",
    "NORTH", "SOUTH", "EAST", "WEST", "TOWN", "CITY", "SLOW", "FAST", "FREE", "KEEP", "OUT", "ROAD", "LANE", "WALK",
    "BIKE", "CAMP", "SKI", "SWIM", "BOAT", "RENT", "HONEY", "APPLES", "PEARS", "PLUMS", "CIDER", "CHEESE", "HAM",
    "PIZZA", "SOUP", "CAKE", "COFFEE", "ICE", "WATER", "GAS", "OIL", "TOOLS", "PAINT", "SALON", "CLINIC", "SCHOOL",
    "CHURCH", "MUSEUM", "HALL", "POOL", "GYM", "YOGA", "DENTAL", "OPTIC", "SHOES", "HATS", "WOOL", "SILK", "ROSE",
    "LILY", "OAK", "ELM", "FOX", "BEAR", "SWAN", "CROW", "12", "17", "21", "24", "30", "36", "40", "45", "50", "58",
    "63", "70", "77", "84", "90", "99",
];

/// Words for signs that are to be read: short ones, and numbers. All are in [`WORDS`] as well.
pub const READABLE: &[&str] = &[
    "CAFE", "HOTEL", "INN", "BAR", "TEA", "MILK", "EGGS", "FISH", "SHOP", "BANK", "POST", "TAXI", "BUS", "STOP",
    "EXIT", "OPEN", "SALE", "FARM", "MILL", "PARK", "ZOO", "BOOKS", "TOYS", "ART", "FERRY", "PORT", "LAKE", "BEACH",
    "HILL", "WOOD", "SLOW", "ROAD", "BIKE", "CAMP", "PIZZA", "ICE", "12", "17", "21", "24", "30", "36", "45", "58",
    "63", "70", "84", "99",
];

struct Placer {
    scene: Scene,
    /// whether signs stand where they can be read
    signposted: bool,
    taken: Vec<(f32, f32, f32)>,
    next: u16,
    /// the main subject's place in the picture: horizontal position (−1…1), half width, distance
    subject: Option<(f32, f32, f32)>,
}

impl Placer {
    fn object(&mut self) -> u16 {
        let id = self.next;
        self.next = self.next.saturating_add(1);
        id
    }

    /// The ground point at horizontal picture position `u` (−1 left edge, 1 right edge of a square) and distance `z`.
    fn spot(u: f32, z: f32) -> (f32, f32) {
        (u * HALF_TAN * z, z)
    }

    fn ground(&self, x: f32, z: f32) -> Vec3 {
        Vec3::new(x, self.scene.terrain.height(x, z), z)
    }

    fn is_open(&self, x: f32, z: f32, radius: f32, road_gap: f32) -> bool {
        self.scene.terrain.is_free(x, z, radius, road_gap)
            && self.taken.iter().all(|(tx, tz, tr)| (x - tx).hypot(z - tz) > radius + tr)
    }

    /// Whether something of this half width would stand before the main subject.
    fn hides_subject(&self, x: f32, z: f32, half_width: f32) -> bool {
        self.subject.is_some_and(|(u, half, distance)| {
            let here = x / (HALF_TAN * z);
            z < distance && (here - u).abs() < half + half_width / (HALF_TAN * z)
        })
    }

    fn take(&mut self, x: f32, z: f32, radius: f32) {
        self.taken.push((x, z, radius));
    }

    /// Tries spots until a house stands. Returns whether one does.
    fn house(
        &mut self,
        d: Draw,
        u: (f32, f32),
        z: (f32, f32),
        kind: Option<HouseKind>,
        scale: f32,
        main: bool,
    ) -> bool {
        let kind = kind.unwrap_or_else(|| match d.weighted("kind", &[3.0, 1.6]) {
            0 => HouseKind::Cottage,
            _ => HouseKind::Tall,
        });
        let size = scale
            * match kind {
                HouseKind::Cottage => Vec3::new(d.range("w", 7.0, 9.5), d.range("d", 5.6, 7.0), d.range("h", 2.8, 3.2)),
                HouseKind::Tall => Vec3::new(d.range("w", 6.0, 8.5), d.range("d", 6.0, 7.5), d.range("h", 5.4, 5.9)),
                HouseKind::Barn => Vec3::new(d.range("w", 8.0, 10.0), d.range("d", 9.0, 13.0), d.range("h", 3.9, 4.6)),
                HouseKind::Church => {
                    Vec3::new(d.range("w", 6.0, 7.0), d.range("d", 11.0, 14.0), d.range("h", 4.6, 5.4))
                }
            };
        let radius = 0.5 * size.x.hypot(size.y) + 0.6;
        for attempt in 0..24 {
            let a = d.child("try").at(attempt);
            let (x, z) = Self::spot(a.range("u", u.0, u.1), a.range("z", z.0, z.1));
            if !self.is_open(x, z, radius, 0.8) || (!main && self.hides_subject(x, z, radius)) {
                continue;
            }
            let colours = &self.scene.colours;
            let wall = colours.walls[usize::from(d.chance("wall.second", 0.35))].rgb;
            let height = self.scene.terrain.height(x, z);
            self.scene.terrain.pads.push(Pad { x, z, radius: radius + 0.5, height });
            // the front looks roughly at the viewer, turned towards the middle
            let towards = (-x).atan2(-z) + PI;
            let yaw = towards + d.range("yaw", 0.15, 0.62) * if d.chance("yaw.side", 0.5) { 1.0 } else { -1.0 };
            let wall_texture = match d.index("wall.texture", 4) {
                0 => Texture::Planks,
                1 => Texture::Stone,
                _ => Texture::Plaster,
            };
            let wall_texture = if kind == HouseKind::Barn { Texture::Planks } else { wall_texture };
            let item = House {
                at: Vec3::new(x, height, z),
                yaw,
                kind,
                size,
                roof: colours.roof.rgb,
                wall: if kind == HouseKind::Church { hex(0xEC_E8_DE) } else { wall },
                door: colours.door.rgb,
                roof_texture: Texture::Tiles,
                wall_texture,
            };
            let id = self.object();
            let light = house(&mut self.scene.mesh, &item, id, d.child("build"));
            self.scene.lights.push(Light { at: light, lamp: false });
            self.take(x, z, radius + 0.4);
            self.scene.facts.houses += 1;
            self.scene.facts.church |= kind == HouseKind::Church;
            self.scene.facts.barn |= kind == HouseKind::Barn;
            if main {
                self.subject = Some((x / (HALF_TAN * z), 0.62 * size.x / (HALF_TAN * z), z));
            }
            return true;
        }
        false
    }

    fn tree(&mut self, d: Draw, x: f32, z: f32, kind: TreeKind, height: f32) -> bool {
        let crown = match kind {
            TreeKind::Round => 0.36,
            TreeKind::Birch => 0.26,
            TreeKind::Conifer => 0.2,
            TreeKind::Poplar => 0.13,
            TreeKind::Bush => 0.8,
        } * height;
        if !self.is_open(x, z, crown * 0.8, -0.2) || self.hides_subject(x, z, crown) {
            return false;
        }
        let at = self.ground(x, z);
        let detail = match z {
            z if z < 34.0 => 2,
            z if z < 75.0 => 1,
            _ => 0,
        };
        let colours = &self.scene.colours;
        let colour = match kind {
            TreeKind::Conifer => colours.conifer,
            _ => colours.leaves[0].lerp(colours.leaves[1], d.unit("blend")),
        };
        let colour = colour
            * (Vec3::ONE + Vec3::new(d.range("r", -0.14, 0.14), d.range("g", -0.07, 0.07), d.range("b", -0.1, 0.1)));
        let id = self.object();
        tree(&mut self.scene.mesh, &Tree { at, kind, height, colour, detail }, id, d.child("build"));
        match kind {
            TreeKind::Conifer => self.scene.facts.conifers += 1,
            TreeKind::Bush => {}
            _ => self.scene.facts.shedding += 1,
        }
        self.take(x, z, crown * 0.62);
        true
    }
}

impl Scene {
    /// Composes the scene of a seed.
    pub fn new(seed: u64) -> Self {
        let draw = Draw::new(seed).child("scene");
        let theme = Theme::ALL[draw.weighted("theme", &Theme::WEIGHTS)];
        Self::with_theme(seed, theme)
    }

    /// Composes the scene of a seed with a theme of the caller's choice.
    pub fn with_theme(seed: u64, theme: Theme) -> Self {
        Self::compose(seed, theme, false)
    }

    /// Composes the scene of a seed with one or more signs near enough to be read, their words from [`READABLE`].
    pub fn signposted(seed: u64) -> Self {
        let theme = Theme::ALL[Draw::new(seed).child("scene").weighted("theme", &Theme::WEIGHTS)];
        Self::compose(seed, theme, true)
    }

    fn compose(seed: u64, theme: Theme, signposted: bool) -> Self {
        let draw = Draw::new(seed).child("scene");
        let mut terrain = Terrain::draw(draw);
        let side = if draw.chance("side", 0.5) { 1.0 } else { -1.0 };
        lay_out(&mut terrain, theme, side, draw.child("layout"));
        let (season, look) = draw_look(draw.child("look"));
        let c = draw.child("camera");
        let height = match theme {
            Theme::LakeVillage | Theme::Coast | Theme::River => c.range("height", 5.5, 9.0),
            Theme::MountainLake => c.range("height", 4.0, 7.0),
            Theme::Street => c.range("height", 3.4, 5.5),
            Theme::CountryRoad | Theme::Farm | Theme::Woods => c.range("height", 4.0, 7.0),
        };
        // the horizon lies at about a third from the top
        let horizon = c.range("horizon", 0.33, 0.43);
        let eye = Vec3::new(0.0, terrain.height(0.0, 0.0).max(0.3) + height, 0.0);
        let camera = Camera { eye, yaw: 0.0, pitch: -((0.5 - horizon) * 2.0 * HALF_TAN).atan(), half_tan: HALF_TAN };
        let colours = Colours::draw(draw);
        let list = if signposted { READABLE } else { WORDS };
        let words = (0..4).map(|i| *draw.child("words").at(i).pick("word", list)).collect();
        let mut placer = Placer {
            scene: Self {
                seed,
                theme,
                season,
                camera,
                terrain,
                colours,
                mesh: Mesh::default(),
                lights: Vec::new(),
                words,
                facts: Facts::default(),
                look,
                objects: 2,
                draw,
            },
            signposted,
            taken: vec![(0.0, 0.0, 8.0)],
            next: 2,
            subject: None,
        };
        populate(&mut placer, theme, side, draw.child("place"));
        let mut scene = placer.scene;
        scene.objects = placer.next;
        let mut ground = Mesh::default();
        land::land(&mut ground, &scene.terrain, 150);
        scene.mesh.triangles.append(&mut ground.triangles);
        scene
    }
}

/// Sets water, road, fields and mountains for a theme; `side` is where the main subject stands (1 right, −1 left).
fn lay_out(t: &mut Terrain, theme: Theme, side: f32, d: Draw) {
    let lake = |z: (f32, f32), rx: (f32, f32), rz: (f32, f32), u: f32| {
        let z = d.range("lake.z", z.0, z.1);
        Water::Lake {
            x: -side * u * HALF_TAN * z,
            z,
            rx: d.range("lake.rx", rx.0, rx.1),
            rz: d.range("lake.rz", rz.0, rz.1),
        }
    };
    let road = |u: f32, lean: f32, bend: f32, half: f32, end: f32, paved: bool| Road {
        x: u,
        lean,
        bend,
        period: d.range("road.period", 13.0, 22.0),
        phase: d.range("road.phase", 0.0, TAU),
        half,
        end,
        paved,
    };
    let mountains = |t: &mut Terrain, chance: f32, low: f32, high: f32| {
        if d.chance("mountains", chance) {
            t.mountains = d.range("mountains.height", low, high);
        }
    };
    match theme {
        Theme::LakeVillage => {
            t.water = lake((30.0, 36.0), (17.0, 24.0), (10.0, 13.0), 0.42);
            mountains(t, 0.75, 55.0, 100.0);
            if d.chance("road", 0.45) {
                t.road = Some(road(side * 5.5, side * 0.16, 1.2, 1.5, 70.0, d.chance("paved", 0.3)));
            }
        }
        Theme::MountainLake => {
            t.water = lake((36.0, 44.0), (26.0, 38.0), (15.0, 20.0), 0.22);
            t.mountains = d.range("mountains.height", 85.0, 140.0);
            t.hills *= 0.7;
        }
        Theme::CountryRoad => {
            mountains(t, 0.5, 40.0, 90.0);
            t.road = Some(road(
                -side * 2.5,
                side * d.range("lean", 0.02, 0.12),
                d.range("bend", 2.0, 4.5),
                1.9,
                160.0,
                d.chance("paved", 0.6),
            ));
            t.rolling = d.range("rolling.road", 0.8, 1.8);
            fields(t, d, 4);
        }
        Theme::Coast => {
            t.water = Water::Sea { shore: d.range("shore", 24.0, 30.0), slope: side * d.range("slope", 0.5, 0.9) };
            mountains(t, 0.45, 25.0, 60.0);
            t.rise = d.range("rise.coast", 0.05, 0.11);
            t.hills = d.range("hills.coast", 10.0, 24.0);
            if d.chance("road", 0.4) {
                t.road = Some(road(side * 7.0, side * 0.30, 1.0, 1.5, 62.0, d.chance("paved", 0.3)));
            }
        }
        Theme::Farm => {
            mountains(t, 0.4, 35.0, 80.0);
            fields(t, d, 7);
            t.road = Some(road(side * 2.0, side * 0.12, d.range("bend", 0.8, 2.0), 1.4, 60.0, false));
            if d.chance("pond", 0.3) {
                t.water = lake((24.0, 28.0), (6.0, 9.0), (4.0, 5.5), 0.6);
            }
        }
        Theme::River => {
            t.water = Water::River {
                x: -side * d.range("river.x", 3.0, 6.0),
                lean: -side * d.range("river.lean", 0.0, 0.18),
                bend: d.range("river.bend", 2.5, 5.5),
                width: d.range("river.width", 3.2, 5.2),
            };
            mountains(t, 0.65, 50.0, 110.0);
            if d.chance("road", 0.35) {
                t.road = Some(road(side * 9.0, side * 0.22, 0.8, 1.4, 80.0, false));
            }
        }
        Theme::Street => {
            mountains(t, 0.35, 40.0, 80.0);
            t.road =
                Some(road(-side * 1.0, side * d.range("lean", 0.0, 0.05), d.range("bend", 0.6, 2.2), 2.6, 150.0, true));
            t.rolling *= 0.4;
            t.rise *= 0.6;
        }
        Theme::Woods => {
            mountains(t, 0.5, 60.0, 110.0);
            if d.chance("pond", 0.35) {
                t.water = lake((26.0, 32.0), (9.0, 13.0), (5.5, 7.5), 0.5);
            } else if d.chance("path", 0.7) {
                t.road = Some(road(side * 1.0, side * 0.14, d.range("bend", 1.0, 2.4), 1.1, 46.0, false));
            }
        }
    }
}

fn fields(t: &mut Terrain, d: Draw, count: usize) {
    let angle = d.range("fields.angle", -0.5, 0.5);
    for i in 0..count {
        let f = d.child("field").at(i);
        let z = 34.0 + 17.0 * i as f32 * f.range("z", 0.8, 1.1);
        let x = f.range("u", -0.9, 0.9) * HALF_TAN * z;
        t.fields.push(Field {
            x,
            z,
            half_x: f.range("w", 9.0, 22.0),
            half_z: f.range("d", 6.0, 13.0),
            angle,
            kind: f.index("kind", 4) as u8,
        });
    }
}

fn draw_look(d: Draw) -> (Season, Look) {
    let season = [Season::Summer, Season::Spring, Season::Autumn, Season::Winter]
        [d.weighted("season", &[0.66, 0.11, 0.13, 0.10])];
    let hour = [Hour::Noon, Hour::Dawn, Hour::Sunset, Hour::Night][d.weighted("hour", &[0.76, 0.07, 0.10, 0.07])];
    let weather = [Weather::Clear, Weather::Overcast, Weather::Fog, Weather::Rain, Weather::Storm]
        [d.weighted("weather", &[0.82, 0.12, 0.02, 0.025, 0.015])];
    let mut look = Look::summer_noon();
    look.set_season(season);
    look.set_hour(hour);
    look.set_weather(weather);
    look.light = Air { hour, weather };
    look.clouds = d.range("clouds", 0.15, 0.75);
    if season == Season::Summer {
        look.flowers = if d.chance("flowers", 0.15) { d.range("flowers.amount", 0.4, 0.8) } else { 0.0 };
        look.dry_grass = if d.chance("dry", 0.06) { 0.8 } else { 0.0 };
    }
    (season, look)
}

fn populate(p: &mut Placer, theme: Theme, side: f32, d: Draw) {
    let third = side * d.range("third", 0.30, 0.42);
    let around = |u: f32, w: f32| (u - w, u + w);
    let h = d.child("house");
    // houses
    match theme {
        Theme::LakeVillage => {
            p.house(h.child("main"), around(third, 0.06), (27.0, 33.0), None, 1.05, true);
            if d.chance("church", 0.45) {
                p.house(
                    h.child("church"),
                    around(-side * 0.15, 0.25),
                    (52.0, 62.0),
                    Some(HouseKind::Church),
                    1.0,
                    false,
                );
            }
            let count = 3 + h.index("count", 4);
            for i in 0..count {
                p.house(h.at(i), (-0.95, 0.95), (40.0, 66.0), None, 1.0, false);
            }
        }
        Theme::MountainLake => {
            p.house(h.child("main"), around(third, 0.06), (26.0, 36.0), Some(HouseKind::Cottage), 0.95, true);
            if h.chance("second", 0.4) {
                p.house(
                    h.child("second"),
                    around(-side * 0.4, 0.3),
                    (58.0, 72.0),
                    Some(HouseKind::Cottage),
                    1.0,
                    false,
                );
            }
        }
        Theme::CountryRoad => {
            p.house(h.child("main"), around(third, 0.07), (26.0, 34.0), None, 1.05, true);
            let count = 1 + h.index("count", 4);
            for i in 0..count {
                p.house(h.at(i), (-0.9, 0.9), (40.0, 75.0), None, 1.0, false);
            }
        }
        Theme::Coast => {
            p.house(h.child("main"), around(third, 0.08), (24.0, 34.0), None, 1.0, true);
            let count = 2 + h.index("count", 5);
            for i in 0..count {
                p.house(h.at(i), if side > 0.0 { (0.1, 1.2) } else { (-1.2, -0.1) }, (34.0, 66.0), None, 1.0, false);
            }
        }
        Theme::Farm => {
            p.house(h.child("main"), around(third, 0.06), (30.0, 36.0), Some(HouseKind::Barn), 0.95, true);
            p.house(h.child("home"), around(-side * 0.35, 0.2), (34.0, 46.0), Some(HouseKind::Cottage), 1.05, false);
            if h.chance("third", 0.4) {
                p.house(h.child("third"), (-0.9, 0.9), (50.0, 70.0), None, 1.0, false);
            }
        }
        Theme::River => {
            p.house(h.child("main"), around(third + side * 0.05, 0.07), (25.0, 33.0), None, 1.0, true);
            let count = 1 + h.index("count", 4);
            for i in 0..count {
                p.house(h.at(i), (-0.95, 0.95), (38.0, 68.0), None, 1.0, false);
            }
        }
        Theme::Street => {
            for row in 0..6 {
                for s in [-1.0_f32, 1.0] {
                    let z = 22.0 + row as f32 * 11.5;
                    let r = p.scene.terrain.road.map_or(0.0, |road| road.centre(z));
                    let u = (r + s * 9.6) / (HALF_TAN * z);
                    let slot = h.at(row * 2 + usize::from(s > 0.0));
                    let church = row == 2 && s == side && h.chance("church", 0.3);
                    p.house(
                        slot,
                        around(u, 0.05),
                        (z, z + 2.5),
                        church.then_some(HouseKind::Church),
                        0.92,
                        row == 0 && s == side,
                    );
                }
            }
        }
        Theme::Woods => {
            p.house(h.child("main"), around(third * 0.9, 0.08), (25.0, 32.0), Some(HouseKind::Cottage), 1.0, true);
        }
    }
    furnish(p, theme, side, d);
    plant(p, theme, side, d.child("trees"));
}

/// Cars, boats, fences, lamps and signs.
fn furnish(p: &mut Placer, theme: Theme, side: f32, d: Draw) {
    // cars stand on the road
    if let Some(road) = p.scene.terrain.road {
        let chance = match theme {
            Theme::Street => 0.95,
            Theme::CountryRoad => 0.85,
            Theme::Woods => 0.35,
            _ => 0.55,
        };
        let c = d.child("car");
        let count = if c.chance("any", chance) {
            1 + usize::from(theme == Theme::Street && c.chance("second", 0.6))
        } else {
            0
        };
        for i in 0..count {
            let ci = c.at(i);
            let z = if i == 0 { ci.range("z", 16.0, 25.0) } else { ci.range("z2", 34.0, 50.0) };
            let lane = road.half * 0.42 * if ci.chance("lane", 0.5) { 1.0 } else { -1.0 };
            let x = road.centre(z) + lane;
            if x.abs() > HALF_TAN * z * 0.85 || p.scene.terrain.height(x, z) < 0.4 {
                continue;
            }
            let heading = road.slope(z).atan();
            let yaw = heading - PI / 2.0 + if lane > 0.0 { PI } else { 0.0 };
            let at = p.ground(x, z);
            let id = p.object();
            let colour = if i == 0 {
                p.scene.colours.car.rgb
            } else {
                hex(*ci.pick("paint", &[0xE4_E4_E0_u32, 0x2C_58_9C, 0xA8_30_2A, 0x3A_3E_44]))
            };
            props::car(&mut p.scene.mesh, at + Vec3::Y * 0.03, yaw, colour, id, ci.child("build"));
            p.take(x, z, 2.4);
            p.scene.facts.cars += 1;
        }
        // fence along the road
        let f = d.child("fence");
        if f.chance("road", if theme == Theme::Street { 0.15 } else { 0.6 }) {
            let s = if f.chance("side", 0.65) { -side } else { side };
            let offset = road.half + f.range("offset", 1.2, 2.2);
            let (from, to) = (f.range("from", 10.0, 15.0), f.range("to", 38.0, 60.0));
            let mut line = Vec::new();
            let mut z = from;
            while z < to {
                let x = road.centre(z) + s * offset;
                if p.scene.terrain.height(x, z) < 0.4
                    || p.taken.iter().skip(1).any(|(tx, tz, tr)| (x - tx).hypot(z - tz) < tr + 0.5)
                {
                    break;
                }
                line.push(p.ground(x, z));
                z += 2.2;
            }
            if line.len() > 3 {
                let id = p.object();
                for q in &line {
                    p.taken.push((q.x, q.z, 0.6));
                }
                let colour = p.scene.colours.fence.rgb;
                props::fence(
                    &mut p.scene.mesh,
                    &line,
                    f.range("height", 1.0, 1.25),
                    f.chance("pickets", 0.3),
                    colour,
                    id,
                );
            }
        }
    }
    // a garden fence before the main house when no road runs by
    let garden = p.scene.terrain.road.is_none() && d.chance("garden", 0.55);
    if let Some((u, _, distance)) = p.subject.filter(|_| garden) {
        let (cx, cz) = Placer::spot(u, distance);
        let f = d.child("garden.fence");
        let radius = f.range("radius", 7.2, 8.4);
        let mut line = Vec::new();
        for i in 0..14 {
            let a = PI * (0.08 + 0.84 * i as f32 / 13.0);
            let (x, z) = (cx - radius * a.cos(), cz - radius * a.sin());
            if p.scene.terrain.height(x, z) > 0.45
                && p.taken.iter().skip(1).all(|(tx, tz, tr)| (x - tx).hypot(z - tz) > tr + 0.3)
            {
                line.push(p.ground(x, z));
            }
        }
        let gap = line.windows(2).any(|w| (w[1] - w[0]).length() > 3.0);
        if line.len() > 6 && !gap {
            let id = p.object();
            for q in &line {
                p.taken.push((q.x, q.z, 0.5));
            }
            let colour = p.scene.colours.fence.rgb;
            props::fence(&mut p.scene.mesh, &line, 1.0, f.chance("pickets", 0.6), colour, id);
        }
    }
    // boats
    let water = p.scene.terrain.water;
    if water != Water::None {
        let b = d.child("boat");
        let count = match theme {
            Theme::Coast => 1 + b.index("count", 3),
            Theme::LakeVillage => 1 + usize::from(b.chance("second", 0.4)),
            Theme::MountainLake | Theme::River => usize::from(b.chance("any", 0.7)),
            _ => 0,
        };
        for i in 0..count {
            let bi = b.at(i);
            let sail = match theme {
                Theme::Coast => bi.chance("sail", 0.6),
                Theme::LakeVillage | Theme::MountainLake => bi.chance("sail", 0.4),
                _ => false,
            };
            let length = if sail { bi.range("length", 5.0, 6.5) } else { bi.range("length", 3.8, 4.8) };
            for attempt in 0..40 {
                let a = bi.child("try").at(attempt);
                let far = if i == 0 { 34.0 } else { 60.0 };
                let (x, z) = Placer::spot(a.range("u", -0.8, 0.8), a.range("z", 17.0, far));
                let t = &p.scene.terrain;
                let reach = length * 0.55;
                let deep = [(0.0, 0.0), (reach, 0.0), (-reach, 0.0), (0.0, reach), (0.0, -reach)]
                    .iter()
                    .all(|(dx, dz)| t.height(x + dx, z + dz) < -0.25);
                let apart = p.taken.iter().all(|(tx, tz, tr)| (x - tx).hypot(z - tz) > reach + tr);
                if deep && apart && !p.hides_subject(x, z, reach) {
                    let id = p.object();
                    let yaw = a.range("yaw", -0.6, 0.6) + if a.chance("turn", 0.5) { PI } else { 0.0 };
                    let colour = p.scene.colours.boat.rgb;
                    props::boat(&mut p.scene.mesh, x, z, yaw, length, sail, colour, id, bi.child("build"));
                    p.take(x, z, reach);
                    p.scene.facts.boats += 1;
                    p.scene.facts.sailing |= sail;
                    break;
                }
            }
        }
        // a pier from the near shore
        if matches!(theme, Theme::LakeVillage | Theme::MountainLake) && d.chance("pier", 0.6) {
            let t = d.child("pier");
            for attempt in 0..30 {
                let a = t.at(attempt);
                let (x, z) = Placer::spot(a.range("u", -0.75, 0.75), a.range("z", 17.0, 40.0));
                let h = p.scene.terrain.height(x, z);
                if !(0.28..0.62).contains(&h) {
                    continue;
                }
                let gradient = p.scene.terrain.normal(x, z, 1.0);
                let down = Vec3::new(gradient.x, 0.0, gradient.z).normalize_or_zero();
                let length = 7.0;
                let tip = Vec3::new(x, 0.0, z) + down * length;
                let middle = Vec3::new(x, 0.0, z) + down * length * 0.5;
                let wet =
                    p.scene.terrain.height(tip.x, tip.z) < -0.6 && p.scene.terrain.height(middle.x, middle.z) < -0.1;
                let clear = [0.2, 0.6, 1.0].iter().all(|f| {
                    let q = Vec3::new(x, 0.0, z) + down * length * *f;
                    p.taken.iter().all(|(tx, tz, tr)| (q.x - tx).hypot(q.z - tz) > tr + 1.0)
                });
                if wet && clear && down != Vec3::ZERO {
                    let id = p.object();
                    let terrain = p.scene.terrain.clone();
                    props::pier(&mut p.scene.mesh, Vec3::new(x, h, z), down, length, id, &terrain);
                    for f in [0.0, 0.35, 0.7, 1.0] {
                        let q = Vec3::new(x, 0.0, z) + down * length * f;
                        p.take(q.x, q.z, 1.4);
                    }
                    break;
                }
            }
        }
    }
    // lamps
    let l = d.child("lamp");
    let lamps = match theme {
        Theme::Street => 4 + l.index("count", 4),
        Theme::CountryRoad | Theme::LakeVillage | Theme::Coast => {
            usize::from(l.chance("any", 0.55)) * (1 + l.index("count", 3))
        }
        _ => usize::from(l.chance("any", 0.25)),
    };
    let mut placed = 0;
    for attempt in 0..lamps * 8 {
        if placed == lamps {
            break;
        }
        let a = l.at(attempt);
        let (x, z) = match p.scene.terrain.road {
            Some(road) => {
                let z = 15.0 + 9.0 * placed as f32 + a.range("z", 0.0, 5.0);
                let s = if theme == Theme::Street && placed % 2 == 1 { side } else { -side };
                (road.centre(z) + s * (road.half + 0.9), z)
            }
            None => Placer::spot(a.range("u", -0.8, 0.8), a.range("z", 16.0, 38.0)),
        };
        let open = p.scene.terrain.height(x, z) > 0.4
            && x.abs() < HALF_TAN * z * 1.2
            && p.taken.iter().all(|(tx, tz, tr)| (x - tx).hypot(z - tz) > 0.4 + tr)
            && !p.hides_subject(x, z, 0.5);
        if open {
            let at = p.ground(x, z);
            let id = p.object();
            let place = props::lamp(&mut p.scene.mesh, at, 3.7, id);
            p.scene.lights.push(Light { at: place, lamp: true });
            p.take(x, z, 0.5);
            p.scene.facts.lamps += 1;
            placed += 1;
        }
    }
    // signs
    let s = d.child("sign");
    let signs = match theme {
        Theme::Street => 1 + s.index("count", 3),
        _ if p.signposted => 1 + usize::from(s.chance("second", 0.4)),
        _ => usize::from(s.chance("any", 0.5)),
    };
    let (reach, highest) = if p.signposted { (0.75, 0.86) } else { (1.0, 0.8) };
    for i in 0..signs {
        let si = s.at(i);
        for attempt in 0..16 {
            let a = si.child("try").at(attempt);
            let (x, z) = match p.scene.terrain.road {
                Some(road) => {
                    let z = a.range("z", 13.0, 30.0 * reach);
                    let way = if a.chance("way", 0.5) { 1.0 } else { -1.0 };
                    (road.centre(z) + way * (road.half + a.range("gap", 1.3, 2.6)), z)
                }
                None => Placer::spot(a.range("u", -0.7, 0.7), a.range("z", 14.0, 26.0 * reach)),
            };
            let open = p.is_open(x, z, 0.9, -0.3) && !p.hides_subject(x, z, 1.0) && x.abs() < HALF_TAN * z * 0.9;
            if open {
                let at = p.ground(x, z);
                let id = p.object();
                let word = i.min(p.scene.words.len() - 1);
                let length = p.scene.words[word].len() as f32;
                let high = si.range("high", if p.signposted { 0.56 } else { 0.42 }, highest);
                let size = Vec2::new(high * (0.45 + 0.62 * length), high);
                let colour = hex(*si.pick("colour", &[0xF2_EC_DC_u32, 0x2E_6E_4E, 0x2C_54_8C, 0xE8_C0_48, 0xA8_34_2C]));
                let towards = (-x).atan2(-z) + PI;
                props::sign(
                    &mut p.scene.mesh,
                    at,
                    towards + si.range("yaw", -0.3, 0.3),
                    size,
                    si.range("post", 0.8, 1.5),
                    colour,
                    word as u16,
                    id,
                );
                p.take(x, z, 1.0);
                break;
            }
        }
    }
}

fn plant(p: &mut Placer, theme: Theme, side: f32, d: Draw) {
    // how the woods mix: round, birch, poplar, conifer
    let mix: [f32; 4] = match theme {
        Theme::MountainLake | Theme::Woods => [0.25, 0.15, 0.0, 1.0],
        _ => match d.index("mix", 4) {
            0 => [1.0, 0.2, 0.0, 0.1],
            1 => [0.7, 0.3, 0.0, 0.6],
            2 => [0.8, 0.1, 0.5, 0.0],
            _ => [0.9, 0.5, 0.1, 0.2],
        },
    };
    let kinds = [TreeKind::Round, TreeKind::Birch, TreeKind::Poplar, TreeKind::Conifer];
    let tall = |kind: TreeKind, t: Draw| match kind {
        TreeKind::Round => t.range("height", 6.0, 9.5),
        TreeKind::Birch => t.range("height", 6.5, 9.0),
        TreeKind::Poplar => t.range("height", 9.0, 13.0),
        TreeKind::Conifer => t.range("height", 6.5, 12.5),
        TreeKind::Bush => t.range("height", 0.8, 1.5),
    };
    // one big tree frames the picture opposite the main subject
    let f = d.child("frame");
    if f.chance("any", 0.75) {
        for attempt in 0..10 {
            let a = f.at(attempt);
            let (x, z) = Placer::spot(-side * a.range("u", 0.72, 0.98), a.range("z", 14.0, 20.0));
            let kind = if mix[3] > 0.5 && f.chance("conifer", 0.7) { TreeKind::Conifer } else { TreeKind::Round };
            let height =
                if kind == TreeKind::Conifer { a.range("height", 10.0, 13.0) } else { a.range("height", 8.0, 10.0) };
            if p.tree(a, x, z, kind, height) {
                break;
            }
        }
    }
    // company for the main house
    if let Some((u, half, distance)) = p.subject {
        let c = d.child("company");
        for i in 0..8 {
            let t = c.at(i);
            let (x, z) = Placer::spot(u + t.range("u", -2.6, 2.6) * half, distance + t.range("z", -2.0, 14.0));
            let kind = if t.chance("bush", 0.25) { TreeKind::Bush } else { kinds[t.weighted("kind", &mix)] };
            p.tree(t, x, z, kind, tall(kind, t));
        }
    }
    // trees and bushes of the middle ground, in clumps
    let clumps = d.child("clump");
    let count = 5 + clumps.index("count", 5);
    for i in 0..count {
        let c = clumps.at(i);
        let kind = kinds[c.weighted("kind", &mix)];
        let (cx, cz) = Placer::spot(c.range("u", -1.3, 1.3), c.range("z", 22.0, 62.0));
        let members = 2 + c.index("members", 5);
        for j in 0..members {
            let t = c.at(j);
            let kind = if t.chance("bush", 0.2) { TreeKind::Bush } else { kind };
            let spread = 2.5 + members as f32;
            p.tree(t, cx + t.range("x", -spread, spread), cz + t.range("z", -spread, spread), kind, tall(kind, t));
        }
    }
    // bushes in the foreground
    let b = d.child("bush");
    for i in 0..b.index("count", 7) {
        let t = b.at(i);
        let (x, z) = Placer::spot(t.range("u", -1.0, 1.0), t.range("z", 12.5, 24.0));
        p.tree(t, x, z, TreeKind::Bush, tall(TreeKind::Bush, t) * 0.8);
    }
    // woods behind, following a noise so that clearings stay
    let w = d.child("woods");
    let density = match theme {
        Theme::Woods => 210,
        Theme::MountainLake => 170,
        Theme::Street => 60,
        _ => 80 + w.index("density", 60),
    };
    let seed = w.bits("noise") as u32;
    let near = if theme == Theme::Woods { 34.0 } else { 62.0 };
    for i in 0..density {
        let t = w.at(i);
        let f = t.unit("z");
        let (x, z) = Placer::spot(t.range("u", -1.5, 1.5), near + (150.0 - near) * f);
        if super::noise::value(x / 26.0, z / 26.0, seed) < 0.42 {
            continue;
        }
        let kind = kinds[w.at(i / 12).weighted("kind", &mix)];
        p.tree(t, x, z, kind, tall(kind, t) * 1.1);
    }
    // rocks, mostly at the shore
    let r = d.child("rock");
    for i in 0..10 {
        let t = r.at(i);
        let (x, z) = Placer::spot(t.range("u", -1.0, 1.0), t.range("z", 12.0, 40.0));
        let h = p.scene.terrain.height(x, z);
        let shore = (-0.15..0.5).contains(&h);
        let off_road = p.scene.terrain.road.is_none_or(|road| road.distance(x, z) > road.half + 1.0);
        let apart = p.taken.iter().all(|(tx, tz, tr)| (x - tx).hypot(z - tz) > tr + 0.8);
        if apart && off_road && (shore || t.chance("inland", 0.3)) {
            let size = t.range("size", 0.3, 0.9);
            let at = p.ground(x, z);
            let id = p.object();
            let colour = p.scene.colours.rock;
            rock(&mut p.scene.mesh, at, size, colour, id, t.child("build"));
            p.take(x, z, size);
        }
    }
}
