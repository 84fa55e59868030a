//! One-sentence descriptions that name only what can be seen.

use crate::world::edits::Inventory;
use crate::world::look::{Hour, Part, Season, Weather};
use crate::world::rng::Draw;
use crate::world::scene::{Scene, Theme};
use crate::world::terrain::Water;

/// The word for a scene's water.
fn water(scene: &Scene) -> &'static str {
    match scene.terrain.water {
        Water::Sea { .. } => "the sea",
        Water::River { .. } => "a river",
        _ => "a lake",
    }
}

/// A caption; the first way of saying for index 0, others for higher indices.
pub fn caption(scene: &Scene, inventory: &Inventory, index: usize) -> String {
    let d = Draw::new(scene.seed).child("caption").at(index);
    let houses = inventory.sees(Part::Wall) || inventory.sees(Part::Roof);
    let wet = inventory.sees(Part::Water);
    let subject = match (houses, scene.facts.houses) {
        (true, n) if n > 3 => *d.pick("many", &["a village", "several houses", "a small village"]),
        (true, n) if n > 1 => *d.pick("few", &["houses", "a few houses", "some houses"]),
        (true, _) => *d.pick("one", &["a house", "a cottage", "a small house"]),
        (false, _) if inventory.sees(Part::Leaves) => "trees",
        (false, _) => "a landscape",
    };
    let place = if wet {
        format!("by {}", water(scene))
    } else if inventory.sees(Part::Road) {
        "by a road".to_owned()
    } else if scene.theme == Theme::Woods {
        "in the woods".to_owned()
    } else {
        "in green country".replace("green ", if scene.season == Season::Winter { "snowy " } else { "green " })
    };
    let mut extras: Vec<&str> = Vec::new();
    for (part, word) in [
        (Part::Mountain, "mountains"),
        (Part::Boat, "a boat"),
        (Part::Car, "a car"),
        (Part::Leaves, "trees"),
        (Part::Fence, "a fence"),
        (Part::Road, "a road"),
        (Part::Lamp, "lamps"),
        (Part::Sign, "a sign"),
    ] {
        let said = (part == Part::Leaves && subject == "trees") || (part == Part::Road && place.contains("road"));
        if inventory.sees(part) && !said {
            extras.push(word);
        }
    }
    let keep = 2 + d.index("keep", 2);
    extras.truncate(keep);
    let with = match extras.as_slice() {
        [] => String::new(),
        [one] => format!(" with {one}"),
        [first @ .., last] => format!(" with {} and {last}", first.join(", ")),
    };
    let when = match (scene.look.light.hour, scene.look.light.weather) {
        (Hour::Night, _) => " at night",
        (Hour::Sunset, _) => " at sunset",
        (Hour::Dawn, _) => " at dawn",
        (_, Weather::Rain) => " in the rain",
        (_, Weather::Fog) => " in fog",
        (_, Weather::Storm) => " under a stormy sky",
        _ => match scene.season {
            Season::Spring => " in spring",
            Season::Summer => " in summer",
            Season::Autumn => " in autumn",
            Season::Winter => " in winter",
        },
    };
    format!("{subject} {place}{with}{when}")
}
