//! Edits: changes of a look, each with its ground truth by rendering again with everything else equal.

use super::look::{Falling, Foliage, Grade, Hour, Look, Part, Season, Weather};
use super::palette::{PAINTS, paint};
use super::render::Truth;
use super::scene::Scene;

/// A local change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    SnowRoofs,
    SnowGround,
    SnowTrees,
    SnowMountains,
    FreezeWater,
    BareTrees,
    OrangeLeaves,
    Blossom,
    FallenLeaves,
    Flowers,
    DryGrass,
    OvercastSky,
    SunsetSky,
    StarrySky,
    ClearSky,
    StormSky,
    LitWindows,
    LitLamps,
    GroundFog,
    WetRoad,
}

impl State {
    pub const ALL: [State; 20] = [
        State::SnowRoofs,
        State::SnowGround,
        State::SnowTrees,
        State::SnowMountains,
        State::FreezeWater,
        State::BareTrees,
        State::OrangeLeaves,
        State::Blossom,
        State::FallenLeaves,
        State::Flowers,
        State::DryGrass,
        State::OvercastSky,
        State::SunsetSky,
        State::StarrySky,
        State::ClearSky,
        State::StormSky,
        State::LitWindows,
        State::LitLamps,
        State::GroundFog,
        State::WetRoad,
    ];

    pub fn name(self) -> &'static str {
        match self {
            State::SnowRoofs => "snow-roofs",
            State::SnowGround => "snow-ground",
            State::SnowTrees => "snow-trees",
            State::SnowMountains => "snow-mountains",
            State::FreezeWater => "freeze-water",
            State::BareTrees => "bare-trees",
            State::OrangeLeaves => "orange-leaves",
            State::Blossom => "blossom",
            State::FallenLeaves => "fallen-leaves",
            State::Flowers => "flowers",
            State::DryGrass => "dry-grass",
            State::OvercastSky => "overcast-sky",
            State::SunsetSky => "sunset-sky",
            State::StarrySky => "starry-sky",
            State::ClearSky => "clear-sky",
            State::StormSky => "storm-sky",
            State::LitWindows => "lit-windows",
            State::LitLamps => "lit-lamps",
            State::GroundFog => "ground-fog",
            State::WetRoad => "wet-road",
        }
    }

    /// The part it changes.
    pub fn part(self) -> Part {
        match self {
            State::SnowRoofs => Part::Roof,
            State::SnowGround | State::FallenLeaves | State::Flowers | State::DryGrass | State::GroundFog => {
                Part::Ground
            }
            State::SnowTrees | State::BareTrees | State::OrangeLeaves | State::Blossom => Part::Leaves,
            State::SnowMountains => Part::Mountain,
            State::FreezeWater => Part::Water,
            State::OvercastSky | State::SunsetSky | State::StarrySky | State::ClearSky | State::StormSky => Part::Sky,
            State::LitWindows => Part::Window,
            State::LitLamps => Part::Lamp,
            State::WetRoad => Part::Road,
        }
    }
}

/// The parts that can be repainted.
pub const PAINTABLE: [Part; 11] = [
    Part::Roof,
    Part::Wall,
    Part::Door,
    Part::Car,
    Part::Boat,
    Part::Leaves,
    Part::Ground,
    Part::Water,
    Part::Fence,
    Part::Road,
    Part::Sky,
];

/// One change of a scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Edit {
    Season(Season),
    Hour(Hour),
    Weather(Weather),
    Grade(Grade),
    State(State),
    /// a part and the index of a paint in `PAINTS`
    Recolour(Part, usize),
}

impl Edit {
    /// Every edit there is.
    pub fn all() -> Vec<Edit> {
        let mut all = Vec::new();
        all.extend([Season::Spring, Season::Summer, Season::Autumn, Season::Winter].map(Edit::Season));
        all.extend([Hour::Dawn, Hour::Noon, Hour::Sunset, Hour::Night].map(Edit::Hour));
        all.extend(
            [Weather::Clear, Weather::Overcast, Weather::Fog, Weather::Rain, Weather::Snowfall, Weather::Storm]
                .map(Edit::Weather),
        );
        all.extend(
            [
                Grade::Warmer,
                Grade::Cooler,
                Grade::Brighter,
                Grade::Darker,
                Grade::Contrast,
                Grade::Vintage,
                Grade::Monochrome,
                Grade::Saturated,
                Grade::Faded,
            ]
            .map(Edit::Grade),
        );
        all.extend(State::ALL.map(Edit::State));
        for part in PAINTABLE {
            all.extend((0..PAINTS.len()).map(|paint| Edit::Recolour(part, paint)));
        }
        all
    }

    /// The family of edits it belongs to, for scores.
    pub fn kind(self) -> &'static str {
        match self {
            Edit::Season(_) => "season",
            Edit::Hour(_) => "hour",
            Edit::Weather(_) => "weather",
            Edit::Grade(_) => "grade",
            Edit::State(_) => "state",
            Edit::Recolour(..) => "recolour",
        }
    }

    /// Its name on the command line and in metadata, such as `recolour/roof/blue`.
    pub fn name(self) -> String {
        match self {
            Edit::Season(season) => format!("season/{season:?}").to_lowercase(),
            Edit::Hour(hour) => format!("hour/{hour:?}").to_lowercase(),
            Edit::Weather(weather) => format!("weather/{weather:?}").to_lowercase(),
            Edit::Grade(grade) => format!("grade/{grade:?}").to_lowercase(),
            Edit::State(state) => format!("state/{}", state.name()),
            Edit::Recolour(part, paint) => format!("recolour/{}/{}", part.name(), PAINTS[paint].0),
        }
    }

    /// The edit of that name.
    pub fn parse(name: &str) -> Option<Edit> {
        Self::all().into_iter().find(|edit| edit.name() == name)
    }

    /// Changes the look.
    pub fn apply(self, look: &mut Look) {
        match self {
            Edit::Season(season) => {
                look.set_season(season);
                if season == Season::Winter && look.light.weather == Weather::Clear && look.light.hour == Hour::Noon {
                    look.set_weather(Weather::Overcast);
                }
            }
            Edit::Hour(hour) => look.set_hour(hour),
            Edit::Weather(weather) => look.set_weather(weather),
            Edit::Grade(grade) => look.grades.push(grade),
            Edit::State(state) => state.apply(look),
            Edit::Recolour(part, index) => look.paint[part as usize] = paint(PAINTS[index].0),
        }
    }
}

impl State {
    fn apply(self, look: &mut Look) {
        match self {
            State::SnowRoofs => look.snow_roof = 1.0,
            State::SnowGround => look.snow_ground = 1.0,
            State::SnowTrees => look.snow_tree = 1.0,
            State::SnowMountains => look.snow_mountain = 1.0,
            State::FreezeWater => look.ice = 1.0,
            State::BareTrees => look.foliage = Foliage::Bare,
            State::OrangeLeaves => look.foliage = Foliage::Orange,
            State::Blossom => look.foliage = Foliage::Blossom,
            State::FallenLeaves => look.fallen_leaves = 0.9,
            State::Flowers => look.flowers = 0.9,
            State::DryGrass => look.dry_grass = 1.0,
            State::OvercastSky => look.sky.weather = Weather::Overcast,
            State::StormSky => look.sky.weather = Weather::Storm,
            State::ClearSky => {
                look.sky.weather = Weather::Clear;
                look.sky.hour = Hour::Noon;
                look.clouds = 0.1;
            }
            State::SunsetSky => {
                look.sky.weather = Weather::Clear;
                look.sky.hour = Hour::Sunset;
            }
            State::StarrySky => {
                look.sky.weather = Weather::Clear;
                look.sky.hour = Hour::Night;
                look.clouds = 0.1;
            }
            State::LitWindows => look.windows_lit = 1.0,
            State::LitLamps => look.lamps_lit = 1.0,
            State::GroundFog => look.ground_fog = 1.0,
            State::WetRoad => look.wet_road = 1.0,
        }
        if look.falling != Falling::Nothing && matches!(self, State::ClearSky | State::SunsetSky | State::StarrySky) {
            look.falling = Falling::Nothing;
        }
    }
}

/// The share of the picture that each part covers, 0…1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Inventory {
    pub area: [f32; Part::COUNT],
    pub shedding: bool,
}

/// Below this share a part is not worth naming.
const SEEN: f32 = 0.004;

impl Inventory {
    /// Counts the classes of a rendered view.
    pub fn new(scene: &Scene, truth: &Truth) -> Self {
        let mut area = [0.0; Part::COUNT];
        let share = 1.0 / truth.class.len().max(1) as f32;
        for class in &truth.class {
            if let Some(slot) = area.get_mut(usize::from(*class)) {
                *slot += share;
            }
        }
        Self { area, shedding: scene.facts.shedding > 0 }
    }

    /// Whether a part is large enough to be named.
    pub fn sees(&self, part: Part) -> bool {
        let least = match part {
            Part::Door | Part::Window | Part::Lamp => SEEN * 0.3,
            Part::Car | Part::Boat | Part::Fence | Part::Sign => SEEN * 0.6,
            _ => SEEN,
        };
        self.area[part as usize] >= least
    }

    /// Whether the picture has what the edit changes.
    pub fn allows(&self, edit: Edit) -> bool {
        match edit {
            Edit::Season(_) | Edit::Hour(_) | Edit::Weather(_) | Edit::Grade(_) => true,
            Edit::State(state) => {
                let needs_shedding = matches!(state, State::BareTrees | State::OrangeLeaves | State::Blossom);
                self.sees(state.part()) && (!needs_shedding || self.shedding)
            }
            Edit::Recolour(part, _) => self.sees(part),
        }
    }
}
