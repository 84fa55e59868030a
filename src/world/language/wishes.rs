//! Vague wishes and the specific changes each may mean.

use crate::world::edits::{Edit, Inventory, State};
use crate::world::look::{Grade, Weather};
use crate::world::rng::Draw;

/// A wish, how people put it, and the changes it may mean, the most telling first.
pub struct Wish {
    pub name: &'static str,
    pub texts: &'static [&'static str],
    pub specifics: &'static [Edit],
}

const fn s(state: State) -> Edit {
    Edit::State(state)
}

/// The wishes.
pub const WISHES: &[Wish] = &[
    Wish {
        name: "winter",
        texts: &[
            "make it feel like winter",
            "give it a wintry mood",
            "make it look like december",
            "make it frosty",
            "make it freezing cold",
            "bring in the winter",
        ],
        specifics: &[
            s(State::SnowRoofs),
            s(State::FreezeWater),
            s(State::SnowGround),
            s(State::OvercastSky),
            s(State::BareTrees),
            s(State::SnowTrees),
            s(State::SnowMountains),
        ],
    },
    Wish {
        name: "autumn",
        texts: &[
            "make it feel like autumn",
            "give it a fall mood",
            "make it look like october",
            "make it autumnal",
            "bring in the autumn",
            "make it feel like harvest time",
        ],
        specifics: &[
            s(State::OrangeLeaves),
            s(State::FallenLeaves),
            s(State::OvercastSky),
            s(State::DryGrass),
            s(State::GroundFog),
        ],
    },
    Wish {
        name: "spring",
        texts: &[
            "make it feel like spring",
            "give it a spring mood",
            "make it look like april",
            "make it fresh and blooming",
            "let spring arrive",
            "make nature wake up",
        ],
        specifics: &[s(State::Blossom), s(State::Flowers), s(State::ClearSky)],
    },
    Wish {
        name: "cosy",
        texts: &[
            "make it look cosy",
            "make it feel homely",
            "make it inviting",
            "make it warm and snug",
            "give it a cosy mood",
            "make it feel like home",
        ],
        specifics: &[s(State::LitWindows), s(State::LitLamps), s(State::SunsetSky), Edit::Grade(Grade::Warmer)],
    },
    Wish {
        name: "spooky",
        texts: &[
            "make it spooky",
            "make it look haunted",
            "make it creepy",
            "give it a scary mood",
            "make it feel like halloween",
            "make it eerie",
        ],
        specifics: &[s(State::StormSky), s(State::GroundFog), s(State::BareTrees), Edit::Grade(Grade::Darker)],
    },
    Wish {
        name: "evening",
        texts: &[
            "give it an evening mood",
            "make it golden hour",
            "make it feel like the end of the day",
            "make it romantic",
            "give it evening light",
            "make the day end",
        ],
        specifics: &[s(State::SunsetSky), s(State::LitWindows), s(State::LitLamps), Edit::Grade(Grade::Warmer)],
    },
    Wish {
        name: "night",
        texts: &[
            "make it feel like late at night",
            "make it look like bedtime",
            "let the stars come out",
            "make it feel like midnight",
            "give it a night mood",
            "make everyone go to sleep",
        ],
        specifics: &[s(State::StarrySky), s(State::LitWindows), s(State::LitLamps), Edit::Grade(Grade::Darker)],
    },
    Wish {
        name: "drought",
        texts: &[
            "make it look like a drought",
            "make it feel hot and dry",
            "make it look parched",
            "it has not rained for months",
            "make it a scorching summer",
            "make it a heat wave",
        ],
        specifics: &[s(State::DryGrass), s(State::ClearSky), Edit::Grade(Grade::Warmer)],
    },
    Wish {
        name: "gloomy",
        texts: &[
            "make it gloomy",
            "make it feel sad",
            "make it melancholic",
            "give it a bleak mood",
            "make it dreary",
            "make it look depressing",
        ],
        specifics: &[
            s(State::OvercastSky),
            s(State::WetRoad),
            s(State::GroundFog),
            s(State::BareTrees),
            Edit::Grade(Grade::Cooler),
        ],
    },
    Wish {
        name: "cheerful",
        texts: &[
            "make it cheerful",
            "make it look happy",
            "give it a sunny mood",
            "make it friendly",
            "make it joyful",
            "make it look like a postcard",
        ],
        specifics: &[s(State::ClearSky), s(State::Flowers), Edit::Grade(Grade::Saturated)],
    },
    Wish {
        name: "mysterious",
        texts: &[
            "make it mysterious",
            "like a dream",
            "make it mystical",
            "give it a dreamy mood",
            "make it look enchanted",
            "make it magical",
        ],
        specifics: &[s(State::GroundFog), s(State::StarrySky), s(State::LitLamps), s(State::LitWindows)],
    },
    Wish {
        name: "storm-coming",
        texts: &[
            "make it feel like a storm is coming",
            "make it dramatic",
            "make it threatening",
            "give it a dramatic mood",
            "make it ominous",
            "make it look dangerous",
        ],
        specifics: &[s(State::StormSky), s(State::WetRoad), Edit::Grade(Grade::Contrast)],
    },
    Wish {
        name: "christmas",
        texts: &[
            "make it feel like christmas",
            "give it a christmas mood",
            "make it festive for christmas",
            "make it a christmas card",
            "make santa come",
            "make it a white christmas",
        ],
        specifics: &[
            s(State::SnowRoofs),
            s(State::LitWindows),
            s(State::SnowTrees),
            s(State::SnowGround),
            s(State::LitLamps),
        ],
    },
    Wish {
        name: "old-days",
        texts: &[
            "make it look like the old days",
            "make it nostalgic",
            "give it a retro feel",
            "make it look a hundred years old",
            "make it feel like a memory",
            "like grandma's album",
        ],
        specifics: &[Edit::Grade(Grade::Vintage), s(State::OvercastSky), s(State::DryGrass)],
    },
    Wish {
        name: "after-rain",
        texts: &[
            "make it look like after the rain",
            "as if it had just rained",
            "make it damp",
            "make it feel wet",
            "the rain has just stopped",
            "give it a rainy mood",
        ],
        specifics: &[s(State::WetRoad), s(State::OvercastSky), s(State::GroundFog), Edit::Weather(Weather::Overcast)],
    },
    Wish {
        name: "summer-holiday",
        texts: &[
            "make it feel like summer holidays",
            "give it a holiday mood",
            "make it look like a summer postcard",
            "make it feel like july",
            "make it a lazy summer day",
            "as on vacation",
        ],
        specifics: &[s(State::ClearSky), s(State::Flowers), Edit::Grade(Grade::Saturated), Edit::Grade(Grade::Warmer)],
    },
    Wish {
        name: "morning",
        texts: &[
            "make it feel like early morning",
            "give it a fresh morning mood",
            "make it look like the day is just beginning",
            "make it feel like breakfast time",
            "a new day begins",
            "make it feel like waking up",
        ],
        specifics: &[s(State::GroundFog), s(State::SunsetSky), Edit::Grade(Grade::Brighter)],
    },
    Wish {
        name: "lonely",
        texts: &[
            "make it lonely",
            "make it look abandoned",
            "give it a deserted mood",
            "as if nobody lived here",
            "make it feel forgotten",
            "make it desolate",
        ],
        specifics: &[s(State::BareTrees), s(State::DryGrass), s(State::OvercastSky), Edit::Grade(Grade::Faded)],
    },
    Wish {
        name: "fairy-tale",
        texts: &[
            "make it a fairy tale",
            "make it look like a storybook",
            "make it whimsical",
            "like in a children's book",
            "make it charming",
            "make it feel like a fable",
        ],
        specifics: &[s(State::Blossom), s(State::Flowers), s(State::LitWindows), Edit::Grade(Grade::Saturated)],
    },
    Wish {
        name: "film-noir",
        texts: &[
            "make it look like film noir",
            "like an old crime film",
            "make it look like a detective film",
            "give it a noir mood",
            "make it mean and dark",
            "like a thriller",
        ],
        specifics: &[
            Edit::Grade(Grade::Monochrome),
            s(State::WetRoad),
            s(State::LitLamps),
            Edit::Grade(Grade::Contrast),
        ],
    },
    Wish {
        name: "arctic",
        texts: &[
            "make it arctic",
            "make it look like the north pole",
            "like in the far north",
            "make it icy",
            "make it feel like an ice age",
            "make it polar",
        ],
        specifics: &[
            s(State::FreezeWater),
            s(State::SnowGround),
            s(State::SnowMountains),
            s(State::SnowRoofs),
            Edit::Grade(Grade::Cooler),
        ],
    },
    Wish {
        name: "first-snow",
        texts: &[
            "the first snow has come",
            "make it feel like the first snow",
            "a light snow fell overnight",
            "make it lightly snowy",
            "a morning after snow",
            "snow came early this year",
        ],
        specifics: &[s(State::SnowRoofs), s(State::SnowGround), s(State::OvercastSky)],
    },
    Wish {
        name: "calm",
        texts: &[
            "make it calm",
            "make it peaceful",
            "give it a quiet mood",
            "make it serene",
            "make it tranquil",
            "make it soothing",
        ],
        specifics: &[s(State::GroundFog), s(State::ClearSky), Edit::Grade(Grade::Faded)],
    },
    Wish {
        name: "party",
        texts: &[
            "make it look like a party night",
            "make it feel like a festival",
            "as if everyone were celebrating",
            "make it lively at night",
            "make it feel like new year's eve",
            "a night of celebration",
        ],
        specifics: &[s(State::LitWindows), s(State::LitLamps), s(State::StarrySky), Edit::Grade(Grade::Saturated)],
    },
    Wish {
        name: "harvest",
        texts: &[
            "make it feel like harvest festival",
            "make it look ripe and golden",
            "like thanksgiving",
            "give it a september mood",
            "make it feel like the end of summer",
            "golden days of september",
        ],
        specifics: &[s(State::DryGrass), s(State::OrangeLeaves), Edit::Grade(Grade::Warmer)],
    },
    Wish {
        name: "apocalypse",
        texts: &[
            "make it apocalyptic",
            "like the end of the world",
            "make it look doomed",
            "make it hellish",
            "make it look like a disaster film",
            "make it post apocalyptic",
        ],
        specifics: &[s(State::StormSky), s(State::BareTrees), s(State::DryGrass), Edit::Grade(Grade::Darker)],
    },
    Wish {
        name: "wedding",
        texts: &[
            "make it fit for a wedding",
            "make it feel like a wedding day",
            "make it lovely",
            "make it pretty and delicate",
            "give it a tender mood",
            "make it feel like falling in love",
        ],
        specifics: &[s(State::Blossom), s(State::Flowers), s(State::ClearSky), Edit::Grade(Grade::Brighter)],
    },
    Wish {
        name: "november",
        texts: &[
            "make it feel like november",
            "give it a november mood",
            "make it damp and cold",
            "a grey november day",
            "make it look like late autumn",
            "as if winter were near",
        ],
        specifics: &[
            s(State::BareTrees),
            s(State::FallenLeaves),
            s(State::OvercastSky),
            s(State::GroundFog),
            Edit::Grade(Grade::Cooler),
        ],
    },
    Wish {
        name: "documentary",
        texts: &[
            "make it look like a newspaper photo",
            "make it documentary",
            "give it a serious tone",
            "make it sober",
            "make it look like press photography",
            "make it matter of fact",
        ],
        specifics: &[Edit::Grade(Grade::Monochrome), Edit::Grade(Grade::Contrast), s(State::OvercastSky)],
    },
    Wish {
        name: "countryside-idyll",
        texts: &[
            "make it an idyll",
            "make it idyllic",
            "make it feel like the good life in the country",
            "make it rustic",
            "make it pastoral",
            "make it feel like a farm holiday",
        ],
        specifics: &[s(State::Flowers), s(State::ClearSky), Edit::Grade(Grade::Warmer)],
    },
];

impl Wish {
    /// The specifics that concern what a picture shows, at most `count`.
    pub fn specifics_for(&self, inventory: &Inventory, count: usize) -> Vec<Edit> {
        self.specifics.iter().copied().filter(|edit| inventory.allows(*edit)).take(count).collect()
    }

    /// A choice of at most `count` of them in the order of the choice: the most telling usually first, but any may come.
    pub fn proposal(&self, inventory: &Inventory, draw: Draw, count: usize) -> Vec<Edit> {
        /// How much less likely each further place in the list is.
        const FALL: f32 = 0.6;
        let draw = draw.child("proposal");
        let mut left: Vec<(Edit, f32)> = self
            .specifics
            .iter()
            .zip(std::iter::successors(Some(1.0), |weight| Some(weight * FALL)))
            .filter(|(edit, _)| inventory.allows(**edit))
            .map(|(edit, weight)| (*edit, weight))
            .collect();
        let mut chosen = Vec::new();
        while chosen.len() < count && !left.is_empty() {
            let weights: Vec<f32> = left.iter().map(|(_, weight)| *weight).collect();
            chosen.push(left.remove(draw.at(chosen.len()).weighted("next", &weights)).0);
        }
        chosen
    }
}
