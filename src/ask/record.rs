//! What an answer leaves behind: for every token and layer where the model looked, for every word which tokens it has.
//!
//! A token is produced from the row of the token before it (the first from the last token of the prompt), so the rows kept
//! with a token are those of the pass that chose it (spec 6.2, point 8).

use std::ops::Range;
use std::sync::Arc;

use half::f16;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

use super::cost::Cost;
use super::dual_resolution::PictureView;
use super::settings::{AttentionMode, Template};

/// Which cells of the selection grid are on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cells {
    /// Cells along one side; 9 in the published model.
    pub side: usize,
    /// Row-major, `side²` of them.
    pub on: Vec<bool>,
}

impl Cells {
    /// A grid with every cell as `on` says.
    #[must_use]
    pub fn filled(side: usize, on: bool) -> Self {
        Self { side, on: vec![on; side * side] }
    }

    /// How many are on.
    #[must_use]
    pub fn count(&self) -> usize {
        self.on.iter().filter(|on| **on).count()
    }

    /// As many cells, chosen at random.
    #[must_use]
    pub fn scattered(&self, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut other = Self::filled(self.side, false);
        for cell in rand::seq::index::sample(&mut rng, self.on.len(), self.count()) {
            other.on[cell] = true;
        }
        other
    }

    /// Shared cells over cells of either; 1 where both have none.
    #[must_use]
    pub fn jaccard(&self, other: &Self) -> f32 {
        let pairs = || self.on.iter().zip(&other.on);
        let either = pairs().filter(|(a, b)| **a || **b).count();
        let both = pairs().filter(|(a, b)| **a && **b).count();
        if either == 0 { 1.0 } else { both as f32 / either as f32 }
    }
}

/// Where the attention of one row went, as shares that sum to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Shares {
    /// To the first token of the sequence, where attention that means nothing goes.
    pub first: f32,
    /// To the other words.
    pub words: f32,
    /// To the low-resolution tokens of the picture.
    pub low: f32,
    /// To the high-resolution tokens.
    pub high: f32,
}

/// What one layer did in the pass that chose a token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerRecord {
    /// Which layer, from 0.
    pub layer: usize,
    /// The last row's plain softmax over the low-resolution tokens, summed over heads, `[g²]` row-major; divide by
    /// [`LayerRecord::heads`] for the mean.
    #[serde(skip)]
    pub attention: Vec<f32>,
    /// How many heads were summed.
    pub heads: usize,
    /// The same a head, `[heads, g²]`; absent where it would take too much memory (long answers of large models).
    #[serde(skip)]
    pub by_head: Option<Arc<[f16]>>,
    /// The cells whose high-resolution tokens this layer read; `None` in layers that read none by their nature.
    #[serde(skip)]
    pub read: Option<Cells>,
    /// The attention on each high-resolution token that was read, summed over heads, cell after cell in the order of
    /// [`LayerRecord::read`], a cell's tokens in raster order.
    #[serde(skip)]
    pub read_attention: Vec<f32>,
    /// The cells that this layer selected for the next one; `None` in layers below the first that selects.
    #[serde(skip)]
    pub selected: Option<Cells>,
    /// Where the attention went that made this layer's output, mean over heads.
    pub shares: Shares,
    /// Low-resolution patches that draw attention whatever is asked (spec 6.2, point 1), as indices into `[g²]`.
    pub sinks: Vec<u32>,
}

/// One token of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// Its number in the vocabulary.
    pub id: u32,
    /// The text that became complete with it; the pieces of all tokens together are the answer. Empty where a character
    /// is not complete yet, and for the token that ended the answer.
    pub text: String,
    /// Natural logarithm of its probability at temperature 1.
    pub logprob: f32,
    /// The likeliest tokens at this place with their log-probabilities, best first, at most 5.
    pub likeliest: Vec<(u32, String, f32)>,
    /// Every layer, in order.
    pub layers: Vec<LayerRecord>,
    /// High-resolution tokens read, summed over the layers that read any.
    pub high_read: usize,
    /// Seconds of the pass that chose it.
    pub seconds: f64,
}

impl TokenRecord {
    /// Mean number of high-resolution tokens that a reading layer read.
    #[must_use]
    pub fn mean_high_read(&self) -> f32 {
        let readers = self.layers.iter().filter(|layer| layer.read.is_some()).count();
        if readers == 0 { 0.0 } else { self.high_read as f32 / readers as f32 }
    }
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The model ended its turn.
    Complete,
    /// The limit of tokens was reached.
    TokenLimit,
    /// The model takes no more tokens.
    ContextFull,
    /// The person stopped it; what had come is kept.
    Stopped,
}

/// The probabilities of a plain yes and a plain no as the first word of the answer, over all words.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct YesNo {
    /// Of "yes" in any case.
    pub yes: f32,
    /// Of "no" in any case.
    pub no: f32,
}

impl YesNo {
    /// The probability of yes if only yes and no count; 0.5 where neither has any.
    #[must_use]
    pub fn share(&self) -> f32 {
        let both = self.yes + self.no;
        if both > 0.0 { self.yes / both } else { 0.5 }
    }
}

/// An answer with all that is known of how it came about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// What was asked.
    pub question: String,
    /// What was answered, without the token that ended it.
    pub text: String,
    /// Its tokens, the ending one included where there was one.
    #[serde(skip)]
    pub tokens: Vec<Arc<TokenRecord>>,
    /// Why it ended.
    pub ending: Ending,
    /// How much of the picture was read.
    pub attention: AttentionMode,
    /// The words around question and answer.
    pub template: Template,
    /// What the model saw of the picture, and where it lies in the source.
    pub view: PictureView,
    /// What it took.
    pub cost: Cost,
    /// Yes and no as first words; `None` where the vocabulary does not tell them apart by one token.
    pub yes_no: Option<YesNo>,
    /// Tokens of the prompt, the picture's included.
    pub prompt_tokens: usize,
    /// How many of them were there from before (an earlier question of the conversation).
    pub reused_tokens: usize,
}

/// A word of an answer: the tokens that spell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Its letters, with the signs that stick to it and without blanks around.
    pub text: String,
    /// Which tokens, in [`Answer::tokens`].
    pub tokens: Range<usize>,
}

impl Answer {
    /// The words in order. A token that holds parts of two words counts for the one it begins.
    #[must_use]
    pub fn words(&self) -> Vec<Word> {
        words(self.tokens.iter().map(|token| token.text.as_str()))
    }

    /// The tokens that spell the answer: without the one that ended it, whose pass asks for nothing of the picture. All of
    /// them where there is no word.
    #[must_use]
    pub fn spoken(&self) -> Range<usize> {
        0..self.words().last().map_or(self.tokens.len(), |word| word.tokens.end)
    }

    /// The sum of the tokens' log-probabilities.
    #[must_use]
    pub fn logprob(&self) -> f32 {
        self.tokens.iter().map(|token| token.logprob).sum()
    }
}

/// Groups pieces of text into words at blanks.
fn words<'a>(pieces: impl Iterator<Item = &'a str>) -> Vec<Word> {
    let mut found: Vec<Word> = Vec::new();
    let mut open = false;
    let mut last = 0;
    for (index, piece) in pieces.enumerate() {
        last = index + 1;
        if piece.starts_with(char::is_whitespace) {
            open = false;
        }
        for (place, part) in piece.split(char::is_whitespace).enumerate() {
            if place > 0 {
                open = false;
            }
            if part.is_empty() {
                continue;
            }
            match found.last_mut().filter(|_| open) {
                Some(word) => {
                    word.text.push_str(part);
                    word.tokens.end = index + 1;
                }
                None => {
                    // Tokens without text of their own (parts of a character) belong to the word they lead to.
                    let start = found.last().map_or(0, |word| word.tokens.end).min(index);
                    found.push(Word { text: part.to_owned(), tokens: start..index + 1 });
                }
            }
            open = true;
        }
        if piece.ends_with(char::is_whitespace) {
            open = false;
        }
    }
    debug_assert!(found.iter().all(|word| word.tokens.end <= last));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pieces: &[&str]) -> Vec<(String, Range<usize>)> {
        words(pieces.iter().copied()).into_iter().map(|word| (word.text, word.tokens)).collect()
    }

    #[test]
    fn words_are_put_together_from_pieces() {
        assert_eq!(
            of(&[" it", " sa", "ys", " OPEN", ".", ""]),
            [("it".to_owned(), 0..1), ("says".to_owned(), 1..3), ("OPEN.".to_owned(), 3..5)]
        );
        // A character of two tokens, and one token with two words.
        assert_eq!(
            of(&["", "❄", " a b", "c"]),
            [("❄".to_owned(), 0..2), ("a".to_owned(), 2..3), ("bc".to_owned(), 2..4)]
        );
        assert!(of(&["", " ", "\n"]).is_empty());
    }

    #[test]
    fn scattered_cells_are_as_many_elsewhere_and_the_same_for_a_seed() {
        let mut cells = Cells::filled(5, false);
        cells.on[..4].fill(true);
        let scattered: Vec<Cells> = (0..20).map(|seed| cells.scattered(seed)).collect();
        assert!(scattered.iter().all(|other| other.count() == 4 && other.side == 5));
        assert_eq!(scattered[3], cells.scattered(3));
        assert!((0..25).all(|cell| scattered.iter().any(|other| other.on[cell])), "every cell has its turn");
    }

    #[test]
    fn cells_compare() {
        let mut a = Cells::filled(2, false);
        assert_eq!(a.jaccard(&Cells::filled(2, false)), 1.0);
        a.on[1] = true;
        assert_eq!((a.count(), a.jaccard(&Cells::filled(2, true))), (1, 0.25));
    }

    #[test]
    fn yes_and_no_share_what_they_have() {
        assert_eq!(YesNo { yes: 0.3, no: 0.1 }.share(), 0.75);
        assert_eq!(YesNo { yes: 0.0, no: 0.0 }.share(), 0.5);
    }
}
