//! What people say: instructions for edits, vague wishes, captions.

pub mod captions;
pub mod phrases;
pub mod questions;
pub mod wishes;

use super::rng::Draw;

/// Whether a sentence is kept from training, for evaluation: decided by its words alone, so the two sets cannot meet.
pub fn is_held_out(text: &str) -> bool {
    let bare: String = text.to_lowercase().chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    Draw::new(0x5EED).bits(&bare).is_multiple_of(5)
}

/// Up to `count` different ways to say one of the `clauses` (imperative, lower case), training or held-out ones.
pub fn say(clauses: &[String], draw: Draw, count: usize, held_out: bool) -> Vec<String> {
    const FRAMES: [&str; 16] = [
        "{}",
        "{}",
        "{}.",
        "please {}",
        "Please {}.",
        "can you {}?",
        "could you {}",
        "I want you to {}",
        "i'd like you to {}",
        "{} please",
        "now {}",
        "just {}",
        "let's {}",
        "try to {}",
        "{}, thanks",
        "would you {}?",
    ];
    let mut out: Vec<String> = Vec::new();
    if clauses.is_empty() {
        return out;
    }
    for attempt in 0..count * 40 {
        if out.len() == count {
            break;
        }
        let d = draw.at(attempt);
        let mut text = d.pick("frame", &FRAMES).replace("{}", clauses[d.index("clause", clauses.len())].as_str());
        match d.weighted("case", &[5.0, 4.0, 0.7]) {
            0 => {}
            1 => {
                let mut letters = text.chars();
                text =
                    letters.next().map_or(String::new(), |c| c.to_uppercase().collect::<String>() + letters.as_str());
            }
            _ => text = text.to_uppercase(),
        }
        if d.chance("typo", 0.08) {
            text = misspell(&text, d);
        }
        if is_held_out(&text) == held_out && !out.contains(&text) {
            out.push(text);
        }
    }
    out
}

/// Swaps, drops or doubles one letter.
fn misspell(text: &str, d: Draw) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    if letters.len() < 6 {
        return text.to_owned();
    }
    let at = 1 + d.index("typo.at", letters.len() - 3);
    match d.index("typo.kind", 3) {
        0 => letters.swap(at, at + 1),
        1 => {
            letters.remove(at);
        }
        _ => letters.insert(at, letters[at]),
    }
    letters.into_iter().collect()
}
