//! The look of a scene: everything that an edit may change without moving a single object.
//!
//! A scene is geometry plus a look. Rendering the same geometry under two looks gives an edit pair that is exact
//! wherever the looks agree.

use glam::Vec3;

/// What a surface belongs to. The order is the class id in exported id maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Part {
    Sky = 0,
    Ground,
    Mountain,
    Water,
    Road,
    Roof,
    Wall,
    Door,
    Window,
    Leaves,
    Trunk,
    Car,
    Boat,
    Fence,
    Lamp,
    Sign,
    Chimney,
    Rock,
}

impl Part {
    pub const COUNT: usize = 18;
    pub const ALL: [Part; Self::COUNT] = [
        Part::Sky,
        Part::Ground,
        Part::Mountain,
        Part::Water,
        Part::Road,
        Part::Roof,
        Part::Wall,
        Part::Door,
        Part::Window,
        Part::Leaves,
        Part::Trunk,
        Part::Car,
        Part::Boat,
        Part::Fence,
        Part::Lamp,
        Part::Sign,
        Part::Chimney,
        Part::Rock,
    ];

    /// The name used in metadata and edit names.
    pub fn name(self) -> &'static str {
        match self {
            Part::Sky => "sky",
            Part::Ground => "ground",
            Part::Mountain => "mountain",
            Part::Water => "water",
            Part::Road => "road",
            Part::Roof => "roof",
            Part::Wall => "wall",
            Part::Door => "door",
            Part::Window => "window",
            Part::Leaves => "leaves",
            Part::Trunk => "trunk",
            Part::Car => "car",
            Part::Boat => "boat",
            Part::Fence => "fence",
            Part::Lamp => "lamp",
            Part::Sign => "sign",
            Part::Chimney => "chimney",
            Part::Rock => "rock",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Season {
    Spring,
    Summer,
    Autumn,
    Winter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hour {
    Dawn,
    Noon,
    Sunset,
    Night,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Weather {
    Clear,
    Overcast,
    Fog,
    Rain,
    Snowfall,
    Storm,
}

/// The state of the air: what colours the light and the sky.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Air {
    pub hour: Hour,
    pub weather: Weather,
}

/// What falls from the sky.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Falling {
    Nothing,
    Rain,
    Snow,
}

/// The state of the leaves of the trees that shed them (conifers keep theirs).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Foliage {
    Green,
    Fresh,
    Orange,
    Blossom,
    Bare,
}

/// A photometric change, applied to the finished picture (sRGB).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Grade {
    Warmer,
    Cooler,
    Brighter,
    Darker,
    Contrast,
    Vintage,
    Monochrome,
    Saturated,
    Faded,
}

/// Everything an edit may change. Amounts are in 0..1.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// what lights the scene
    pub light: Air,
    /// what the sky shows; differs from `light` only after an edit of the sky alone
    pub sky: Air,
    /// cover of small clouds in a clear sky
    pub clouds: f32,
    pub foliage: Foliage,
    pub snow_ground: f32,
    pub snow_roof: f32,
    pub snow_tree: f32,
    pub snow_mountain: f32,
    pub ice: f32,
    pub fallen_leaves: f32,
    pub flowers: f32,
    pub dry_grass: f32,
    pub wet_road: f32,
    pub wet_ground: f32,
    pub ground_fog: f32,
    pub windows_lit: f32,
    pub lamps_lit: f32,
    pub falling: Falling,
    /// new paint of a part, linear light
    pub paint: [Option<Vec3>; Part::COUNT],
    /// applied in this order
    pub grades: Vec<Grade>,
}

impl Look {
    /// A clear summer noon.
    pub fn summer_noon() -> Self {
        let air = Air { hour: Hour::Noon, weather: Weather::Clear };
        Self {
            light: air,
            sky: air,
            clouds: 0.45,
            foliage: Foliage::Green,
            snow_ground: 0.0,
            snow_roof: 0.0,
            snow_tree: 0.0,
            snow_mountain: 0.0,
            ice: 0.0,
            fallen_leaves: 0.0,
            flowers: 0.0,
            dry_grass: 0.0,
            wet_road: 0.0,
            wet_ground: 0.0,
            ground_fog: 0.0,
            windows_lit: 0.0,
            lamps_lit: 0.0,
            falling: Falling::Nothing,
            paint: [None; Part::COUNT],
            grades: Vec::new(),
        }
    }

    /// Whether the trees that shed their leaves have done so: the one state that changes what is in front of what.
    pub fn is_bare(&self) -> bool {
        self.foliage == Foliage::Bare
    }

    /// Brings ground, roofs, trees and water into the state of a season.
    pub fn set_season(&mut self, season: Season) {
        self.foliage = match season {
            Season::Spring => Foliage::Blossom,
            Season::Summer => Foliage::Green,
            Season::Autumn => Foliage::Orange,
            Season::Winter => Foliage::Bare,
        };
        let winter = if season == Season::Winter { 1.0 } else { 0.0 };
        self.snow_ground = winter;
        self.snow_roof = winter;
        self.snow_tree = winter;
        self.snow_mountain = match season {
            Season::Winter => 1.0,
            Season::Spring => 0.3,
            Season::Summer | Season::Autumn => 0.0,
        };
        self.ice = winter;
        self.fallen_leaves = if season == Season::Autumn { 0.8 } else { 0.0 };
        self.flowers = if season == Season::Spring { 0.8 } else { 0.0 };
        self.dry_grass = if season == Season::Autumn { 0.35 } else { 0.0 };
    }

    /// Brings light, sky and lamps into the state of an hour, whatever the weather.
    pub fn set_hour(&mut self, hour: Hour) {
        self.light.hour = hour;
        self.sky.hour = hour;
        let lit = if hour == Hour::Night { 1.0 } else { 0.0 };
        self.windows_lit = lit;
        self.lamps_lit = lit;
    }

    /// Brings light, sky, fog and what falls into the state of a weather.
    pub fn set_weather(&mut self, weather: Weather) {
        self.light.weather = weather;
        self.sky.weather = weather;
        self.falling = match weather {
            Weather::Rain | Weather::Storm => Falling::Rain,
            Weather::Snowfall => Falling::Snow,
            Weather::Clear | Weather::Overcast | Weather::Fog => Falling::Nothing,
        };
        let wet = if self.falling == Falling::Rain { 1.0 } else { 0.0 };
        self.wet_road = wet;
        self.wet_ground = wet;
        self.ground_fog = 0.0;
        if weather == Weather::Clear {
            self.clouds = 0.3;
        }
    }
}
