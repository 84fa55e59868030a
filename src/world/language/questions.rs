//! How people ask about a picture: many wordings of every kind of question.
//!
//! `{x}` and `{y}` stand for what is asked about.

use super::is_held_out;
use crate::world::rng::Draw;

/// What a question is about, by what its answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// the word on a sign
    Word,
    /// the number on a sign
    Number,
    /// how many windows are lit
    Windows,
    /// the colour of a thing
    Colour,
    /// which of two things is nearer
    Nearer,
    /// whether something is there
    Presence,
    /// left, middle or right
    Place,
    /// whether an edit has been made
    Edit,
}

impl Kind {
    pub const ALL: [Kind; 8] =
        [Kind::Word, Kind::Number, Kind::Windows, Kind::Colour, Kind::Nearer, Kind::Presence, Kind::Place, Kind::Edit];

    /// The name in data sets and tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Word => "word",
            Kind::Number => "number",
            Kind::Windows => "windows",
            Kind::Colour => "colour",
            Kind::Nearer => "nearer",
            Kind::Presence => "presence",
            Kind::Place => "place",
            Kind::Edit => "edit",
        }
    }

    fn templates(self) -> &'static [&'static str] {
        match self {
            Kind::Word => &[
                "what is written on {x}?",
                "what does {x} say?",
                "which word is on {x}?",
                "read {x}",
                "what can you read on {x}?",
                "what is the text on {x}?",
                "what's written on {x}?",
                "what word does {x} show?",
                "read the word on {x}",
                "what stands on {x}?",
                "which word do you see on {x}?",
                "tell me what {x} says",
            ],
            Kind::Number => &[
                "which number is on {x}?",
                "what number is on {x}?",
                "what is the number on {x}?",
                "read the number on {x}",
                "what number does {x} show?",
                "which number do you see on {x}?",
                "what's the number on {x}?",
                "tell me the number on {x}",
                "which number is written on {x}?",
                "what is written on {x}?",
                "what does {x} say?",
            ],
            Kind::Windows => &[
                "how many lit windows are there?",
                "how many windows are lit?",
                "count the lit windows",
                "how many lit windows do you see?",
                "how many windows are bright?",
                "in how many windows is there light?",
                "how many windows have light?",
                "number of lit windows?",
                "how many windows glow?",
                "how many lit windows can be seen?",
            ],
            Kind::Colour => &[
                "what colour is {x}?",
                "which colour is {x}?",
                "what is the colour of {x}?",
                "which colour does {x} have?",
                "what colour does {x} have?",
                "tell me the colour of {x}",
                "what's the colour of {x}?",
                "name the colour of {x}",
                "what color is {x}?",
                "in which colour is {x} painted?",
            ],
            Kind::Nearer => &[
                "which is nearer, {x} or {y}?",
                "what is nearer, {x} or {y}?",
                "which is closer, {x} or {y}?",
                "is {x} or {y} nearer?",
                "is {x} or {y} closer?",
                "which one is nearer: {x} or {y}?",
                "what is closer to the camera, {x} or {y}?",
                "which of {x} and {y} is nearer?",
            ],
            Kind::Presence => &[
                "is there {x}?",
                "can you see {x}?",
                "do you see {x}?",
                "is there {x} in the picture?",
                "does the picture show {x}?",
                "is {x} in the picture?",
                "is {x} visible?",
                "is there {x} anywhere?",
                "can {x} be seen?",
            ],
            Kind::Place => &[
                "where is {x}?",
                "on which side is {x}?",
                "where do you see {x}?",
                "where in the picture is {x}?",
                "is {x} left, middle or right?",
                "which side is {x} on?",
                "where can {x} be found?",
                "in which part of the picture is {x}?",
            ],
            Kind::Edit => &["{x}?", "{x} now?", "{x} in the picture?", "{x} here?"],
        }
    }
}

/// Up to `count` wordings of a question about `x` (and `y`), from those kept for evaluation or from the others.
#[must_use]
pub fn ask(kind: Kind, x: &str, y: &str, draw: Draw, count: usize, held_out: bool) -> Vec<String> {
    let clauses: Vec<String> = kind.templates().iter().map(|t| t.replace("{x}", x).replace("{y}", y)).collect();
    wordings(&clauses, draw, count, held_out)
}

/// Up to `count` of the clauses, as somebody would type them. A clause is kept for evaluation by its words alone, in
/// whatever frame it stands; where no clause is, all of them serve.
#[must_use]
pub fn wordings(clauses: &[String], draw: Draw, count: usize, held_out: bool) -> Vec<String> {
    const FRAMES: [&str; 8] = ["{}", "{}", "{}", "{}", "{}", "please: {}", "tell me, {}", "look closely: {}"];
    let apart: Vec<&String> = clauses.iter().filter(|text| is_held_out(text) == held_out).collect();
    let from: Vec<&String> = if apart.is_empty() { clauses.iter().collect() } else { apart };
    let mut out: Vec<String> = Vec::new();
    if from.is_empty() {
        return out;
    }
    for attempt in 0..count * 12 {
        if out.len() == count {
            break;
        }
        let d = draw.at(attempt);
        let clause = from[d.index("clause", from.len())];
        let mut text = d.pick("frame", &FRAMES).replace("{}", clause);
        if d.chance("capital", 0.6) {
            let mut letters = text.chars();
            text = letters.next().map_or(String::new(), |c| c.to_uppercase().collect::<String>() + letters.as_str());
        }
        if d.chance("bare", 0.12) {
            text = text.trim_end_matches('?').to_owned();
        }
        if !out.contains(&text) {
            out.push(text);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wordings_for_training_and_evaluation_never_meet() {
        let bare = |text: &str| {
            let text = text.to_lowercase();
            let text = ["please: ", "tell me, ", "look closely: "].iter().fold(text, |t, f| t.replace(f, ""));
            text.trim_end_matches('?').to_owned()
        };
        for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Edit) {
            for x in ["the sign", "the left sign", "a car", "the door"] {
                let train: Vec<String> =
                    ask(kind, x, "the boat", Draw::new(1), 40, false).iter().map(|t| bare(t)).collect();
                let held = ask(kind, x, "the boat", Draw::new(2), 40, true);
                let has_both = Kind::templates(kind)
                    .iter()
                    .map(|t| is_held_out(&t.replace("{x}", x).replace("{y}", "the boat")))
                    .fold([false, false], |[a, b], held| [a || held, b || !held]);
                if has_both == [true, true] {
                    assert!(held.iter().all(|text| !train.contains(&bare(text))), "{kind:?} {x}");
                }
                assert!(train.len() > 4 && !held.is_empty());
            }
        }
    }
}
