//! What the examples that fuzz readers share: changing sound files into broken ones, and what the person asked for.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// Numbers that are large, negative, or no numbers at all, in one way of reading them or another.
const NUMBERS: [u64; 12] = [
    0,
    1,
    0x7f,
    0xff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x7f80_0000,
    0x7fc0_0000,
    u64::MAX >> 1,
    u64::MAX,
];

/// A sound file with one to four things changed. `words` are put into texts; pieces of the `others` are put in anywhere.
pub(crate) fn mutated(sound: &[u8], others: &[(PathBuf, Vec<u8>)], words: &[&str], draw: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = sound.to_vec();
    for _ in 0..draw.random_range(1..=4) {
        if bytes.is_empty() {
            break;
        }
        // Headers stand in front and matter most.
        let near = if draw.random_bool(0.5) { bytes.len().min(600) } else { bytes.len() };
        let at = draw.random_range(0..near);
        let end = (at + draw.random_range(1..=64)).min(bytes.len());
        let word = words[draw.random_range(0..words.len())];
        match draw.random_range(0..11) {
            0 => bytes[at] ^= 1 << draw.random_range(0..8),
            1 => bytes[at] = draw.random(),
            2 => bytes.truncate(at),
            3 => {
                bytes.drain(at..end);
            }
            4 => {
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            5 | 6 => {
                let number = NUMBERS[draw.random_range(0..NUMBERS.len())].to_le_bytes();
                let width = [1, 2, 4, 8][draw.random_range(0..4)];
                let end = (at + width).min(bytes.len());
                bytes[at..end].copy_from_slice(&number[..end - at]);
            }
            7 => {
                bytes.splice(at..end.min(at + draw.random_range(0..4)), word.bytes());
            }
            8 => {
                // A number written in text becomes another.
                let digits: Vec<usize> = (0..near).filter(|at| bytes[*at].is_ascii_digit()).collect();
                if !digits.is_empty() {
                    let at = digits[draw.random_range(0..digits.len())];
                    bytes.splice(at..=at, word.bytes());
                }
            }
            9 => {
                // A value behind a colon, a comma or an equals sign becomes another, so that the text stays well formed.
                let signs: Vec<usize> = (0..bytes.len()).filter(|at| b":,=".contains(&bytes[*at])).collect();
                if !signs.is_empty() {
                    let from = signs[draw.random_range(0..signs.len())] + 1;
                    let length = bytes[from..].iter().position(|byte| b",}]\n".contains(byte));
                    let to = length.map_or(bytes.len(), |length| from + length);
                    bytes.splice(from..to, word.bytes());
                }
            }
            _ => {
                let (_, other) = &others[draw.random_range(0..others.len())];
                let from = draw.random_range(0..other.len().max(1)).min(other.len());
                let to = (from + draw.random_range(1..=64)).min(other.len());
                bytes.splice(at..at, other[from..to].iter().copied());
            }
        }
    }
    bytes
}

/// What the person asked for, of `READER|all SECONDS [SEED]`: readers, how long each, and the seed.
pub(crate) fn arguments<'a>(program: &str, readers: &[&'a str]) -> Result<(Vec<&'a str>, Duration, u64)> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [reader, seconds, rest @ ..] = arguments.as_slice() else {
        bail!("usage: {program} READER|all SECONDS [SEED]; READER is one of {}", readers.join(", "));
    };
    let seed = rest.first().map_or(Ok(1), |seed| seed.parse()).context("the seed is a number")?;
    let seconds = Duration::from_secs(seconds.parse().context("the seconds are a number")?);
    let chosen: Vec<&str> = readers.iter().copied().filter(|name| reader == "all" || reader == name).collect();
    if chosen.is_empty() {
        bail!("there is no reader {reader:?}; there are {}", readers.join(", "));
    }
    Ok((chosen, seconds, seed))
}
