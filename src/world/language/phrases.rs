//! The ways to ask for each edit: synonyms multiplied with templates.

use crate::world::edits::{Edit, State};
use crate::world::look::{Grade, Hour, Part, Season, Weather};
use crate::world::palette::PAINTS;

fn cross(templates: &[&str], words: &[&str]) -> Vec<String> {
    templates.iter().flat_map(|t| words.iter().map(|w| t.replace("{}", w))).collect()
}

/// Imperative clauses in lower case; the first is the plainest.
pub fn clauses(edit: Edit) -> Vec<String> {
    const TURN: [&str; 5] =
        ["make it {}", "turn it into {}", "change the scene to {}", "show it as {}", "let it be {}"];
    match edit {
        Edit::Season(s) => match s {
            Season::Winter => cross(&TURN, &["winter", "a winter scene", "a snowy winter day", "deep winter"]),
            Season::Spring => cross(&TURN, &["spring", "a spring scene", "a spring day", "springtime"]),
            Season::Summer => cross(&TURN, &["summer", "a summer scene", "a green summer day", "summertime"]),
            Season::Autumn => cross(&TURN, &["autumn", "an autumn scene", "fall", "an autumn day"]),
        },
        Edit::Hour(h) => match h {
            Hour::Dawn => cross(&TURN, &["dawn", "early morning", "sunrise", "daybreak"]),
            Hour::Noon => cross(&TURN, &["noon", "midday", "daytime", "broad daylight"]),
            Hour::Sunset => cross(&TURN, &["sunset", "evening", "dusk at sunset", "sundown"]),
            Hour::Night => cross(&TURN, &["night", "nighttime", "the middle of the night", "a night scene"]),
        },
        Edit::Weather(w) => match w {
            Weather::Clear => cross(&TURN, &["a clear day", "fine weather", "sunny weather", "clear weather"]),
            Weather::Overcast => cross(&TURN, &["an overcast day", "cloudy weather", "a grey day", "overcast weather"]),
            Weather::Fog => cross(&TURN, &["a foggy day", "foggy weather", "thick fog", "a misty day"]),
            Weather::Rain => cross(
                &["make it {}", "let it be {}", "change the weather to {}", "show {}"],
                &["rain", "rainy", "a rainy day", "pouring rain"],
            ),
            Weather::Snowfall => cross(
                &["make it {}", "show {}", "change the weather to {}", "add {}"],
                &["falling snow", "snowfall", "snowy weather", "snowflakes"],
            ),
            Weather::Storm => cross(&TURN, &["a storm", "stormy weather", "a thunderstorm", "a stormy day"]),
        },
        Edit::Grade(g) => {
            const IT: [&str; 4] =
                ["make the picture {}", "make it {}", "make the whole image {}", "let the photo be {}"];
            match g {
                Grade::Warmer => cross(&IT, &["warmer", "warmer in colour", "a bit warmer", "warm toned"]),
                Grade::Cooler => cross(&IT, &["cooler", "colder in colour", "a bit cooler", "cool toned"]),
                Grade::Brighter => cross(&IT, &["brighter", "lighter", "much brighter", "less dark"]),
                Grade::Darker => cross(&IT, &["darker", "less bright", "much darker", "dimmer"]),
                Grade::Contrast => cross(&IT, &["more contrasty", "high contrast", "stronger in contrast", "punchier"]),
                Grade::Vintage => cross(&IT, &["vintage", "sepia", "look like an old photo", "old fashioned"]),
                Grade::Monochrome => cross(&IT, &["black and white", "monochrome", "greyscale", "colourless"]),
                Grade::Saturated => cross(&IT, &["more saturated", "more colourful", "vivid", "richer in colour"]),
                Grade::Faded => cross(&IT, &["faded", "washed out", "pale", "less saturated"]),
            }
        }
        Edit::State(s) => match s {
            State::SnowRoofs => cross(
                &["put snow on the {}", "cover the {} with snow", "add snow to the {}", "let snow lie on the {}"],
                &["roofs", "roof", "rooftops", "house roofs"],
            ),
            State::SnowGround => cross(
                &["put snow on the {}", "cover the {} with snow", "add snow to the {}", "let snow lie on the {}"],
                &["ground", "grass", "land", "meadow"],
            ),
            State::SnowTrees => cross(
                &["put snow on the {}", "cover the {} with snow", "add snow to the {}", "let snow lie on the {}"],
                &["trees", "branches", "treetops", "tree crowns"],
            ),
            State::SnowMountains => cross(
                &["put snow on the {}", "cover the {} with snow", "add snow to the {}", "let snow lie on the {}"],
                &["mountains", "mountain tops", "peaks", "hills behind"],
            ),
            State::FreezeWater => cross(
                &["turn the {} to ice", "freeze the {}", "cover the {} with ice", "make the {} frozen"],
                &["water", "lake", "river", "water surface"],
            ),
            State::BareTrees => cross(
                &[
                    "make the {} bare",
                    "take the leaves off the {}",
                    "remove the leaves from the {}",
                    "let the {} lose their leaves",
                ],
                &["trees", "branches", "leafy trees", "tree crowns"],
            ),
            State::OrangeLeaves => cross(
                &[
                    "turn the {} orange and red",
                    "give the {} autumn colours",
                    "make the {} autumnal",
                    "colour the {} like in fall",
                ],
                &["leaves", "trees", "foliage", "tree leaves"],
            ),
            State::Blossom => cross(
                &["put blossom on the {}", "make the {} bloom", "cover the {} with pink blossom", "let the {} blossom"],
                &["trees", "branches", "tree crowns", "treetops"],
            ),
            State::FallenLeaves => cross(
                &[
                    "scatter fallen leaves on the {}",
                    "put autumn leaves on the {}",
                    "cover the {} with fallen leaves",
                    "add fallen leaves to the {}",
                ],
                &["ground", "grass", "meadow", "lawn"],
            ),
            State::Flowers => cross(
                &[
                    "put flowers in the {}",
                    "let flowers grow in the {}",
                    "add wild flowers to the {}",
                    "fill the {} with flowers",
                ],
                &["grass", "meadow", "lawn", "fields"],
            ),
            State::DryGrass => cross(
                &["make the {} dry", "dry out the {}", "turn the {} dry and brown", "let the {} wither"],
                &["grass", "meadow", "lawn", "ground"],
            ),
            State::OvercastSky => cross(
                &[
                    "make the {} overcast",
                    "cover the {} with clouds",
                    "turn the {} grey and cloudy",
                    "fill the {} with grey clouds",
                ],
                &["sky", "whole sky", "sky above", "heavens"],
            ),
            State::SunsetSky => cross(
                &[
                    "give it a sunset {}",
                    "turn the {} into a sunset",
                    "paint a sunset in the {}",
                    "make the {} glow like sunset",
                ],
                &["sky", "whole sky", "sky above", "heavens"],
            ),
            State::StarrySky => cross(
                &["put stars in the {}", "make the {} starry", "turn the {} dark with stars", "fill the {} with stars"],
                &["sky", "whole sky", "sky above", "heavens"],
            ),
            State::ClearSky => cross(
                &[
                    "make the {} clear and blue",
                    "clear the {}",
                    "remove the clouds from the {}",
                    "give it a clear blue {}",
                ],
                &["sky", "whole sky", "sky above", "heavens"],
            ),
            State::StormSky => cross(
                &[
                    "put dark storm clouds in the {}",
                    "make the {} stormy",
                    "fill the {} with dark clouds",
                    "darken the {} with storm clouds",
                ],
                &["sky", "whole sky", "sky above", "heavens"],
            ),
            State::LitWindows => cross(
                &[
                    "light the {}",
                    "turn on the light in the {}",
                    "make the {} glow",
                    "let warm light shine from the {}",
                ],
                &["windows", "house windows", "window panes", "windows of the houses"],
            ),
            State::LitLamps => cross(
                &["light the {}", "turn on the {}", "make the {} glow", "switch the {} on"],
                &["lamps", "street lamps", "lanterns", "street lights"],
            ),
            State::GroundFog => cross(
                &[
                    "put fog over the {}",
                    "add mist over the {}",
                    "let fog drift over the {}",
                    "cover the {} with low fog",
                ],
                &["ground", "grass", "land", "meadow"],
            ),
            State::WetRoad => cross(
                &["make the {} wet", "wet the {}", "let the {} shine with rain", "put puddles on the {}"],
                &["road", "street", "path", "lane"],
            ),
        },
        Edit::Recolour(part, paint) => {
            let colour = PAINTS.get(paint).map_or("red", |p| p.0);
            let words: &[&str] = match part {
                Part::Roof => &["roof", "roofs", "house roof", "rooftops"],
                Part::Wall => &["walls", "house walls", "house", "wall"],
                Part::Door => &["door", "front door", "doors", "house door"],
                Part::Car => &["car", "car on the road", "vehicle", "automobile"],
                Part::Boat => &["boat", "boat hull", "hull of the boat", "boat on the water"],
                Part::Leaves => &["leaves", "trees", "foliage", "tree leaves"],
                Part::Ground => &["grass", "ground", "meadow", "lawn"],
                Part::Water => &["water", "lake", "water surface", "river"],
                Part::Fence => &["fence", "wooden fence", "fences", "garden fence"],
                Part::Road => &["road", "street", "path", "lane"],
                _ => &["sky", "whole sky", "sky above", "heavens"],
            };
            cross(
                &[
                    "make the {} COLOUR",
                    "paint the {} COLOUR",
                    "colour the {} COLOUR",
                    "turn the {} COLOUR",
                    "change the {} to COLOUR",
                ],
                words,
            )
            .into_iter()
            .map(|text| text.replace("COLOUR", colour))
            .collect()
        }
    }
}
