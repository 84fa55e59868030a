//! Making text: token after token until the model ends its turn, the limit is reached, or the person stops it.

use tokenizers::Tokenizer;

use crate::edit::specify::SpecifyError;
use crate::nets::watcher::Watcher;
use crate::text::sampling::{NoScores, Sampler, Sampling};
use crate::text::stream::Detokeniser;

/// A language model that scores the next token.
pub trait TokenModel {
    /// Takes tokens that follow all it took since [`TokenModel::restart`], and scores the one after them.
    ///
    /// # Errors
    /// When the pass fails or the watcher stops it.
    fn advance(&mut self, ids: &[u32], watcher: &dyn Watcher) -> candle_core::Result<Vec<f32>>;

    /// Forgets all it took.
    fn restart(&mut self);

    /// How many tokens it can take.
    fn context(&self) -> usize;
}

/// When to stop, and how tokens are chosen.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// The most tokens of an answer.
    pub max_tokens: usize,
    /// Tokens that end the answer; they are not part of it.
    pub stop_tokens: Vec<u32>,
    /// Texts that end the answer; they are not part of it.
    pub stop_texts: Vec<String>,
    /// Ends the answer after so many lines that are not blank.
    pub max_lines: Option<usize>,
}

impl From<NoScores> for SpecifyError {
    fn from(error: NoScores) -> Self {
        Self::Model(error.to_string())
    }
}

/// Lets the model answer a prompt of `ids`; `on_text` sees the answer as it comes.
///
/// # Errors
/// When the prompt and the answer do not fit into the model, the model fails, or the watcher stops it.
pub fn generate(
    model: &mut dyn TokenModel,
    tokenizer: &Tokenizer,
    ids: &[u32],
    limits: &Limits,
    on_text: &mut dyn FnMut(&str),
    watcher: &dyn Watcher,
) -> Result<String, SpecifyError> {
    if ids.is_empty() {
        return Err(SpecifyError::Model("the prompt has no tokens".to_owned()));
    }
    let room = model.context().saturating_sub(ids.len());
    if room == 0 {
        return Err(SpecifyError::Model(format!(
            "the prompt has {} tokens, the model takes {}",
            ids.len(),
            model.context()
        )));
    }
    model.restart();
    let mut sampler = Sampler::new(limits.sampling);
    let mut stream = Detokeniser::new(tokenizer);
    let mut answer = Answer { text: String::new(), shown: 0, limits };
    let mut scores = model.advance(ids, watcher)?;
    for produced in 0..limits.max_tokens.min(room) {
        watcher.checkpoint()?;
        if produced > 0 && answer.is_over() {
            break;
        }
        let token = sampler.choose(&scores)?;
        if limits.stop_tokens.contains(&token) {
            break;
        }
        answer.text.push_str(&stream.push(token));
        answer.show(on_text, false);
        if produced + 1 < limits.max_tokens.min(room) && !answer.is_over() {
            scores = model.advance(&[token], watcher)?;
        }
    }
    if !answer.is_over() {
        answer.text.push_str(&stream.finish());
    }
    answer.show(on_text, true);
    answer.text.truncate(answer.shown);
    Ok(answer.text)
}

/// What was written so far, and how much of it may be shown.
struct Answer<'a> {
    text: String,
    shown: usize,
    limits: &'a Limits,
}

impl Answer<'_> {
    /// Where the answer ends, if it has ended: before the first stop text, or after the last line that is wanted.
    fn end(&self) -> Option<usize> {
        let stops = self.limits.stop_texts.iter().filter(|stop| !stop.is_empty());
        let stop = stops.filter_map(|stop| self.text.find(stop.as_str())).min();
        let lines = self.limits.max_lines.and_then(|wanted| {
            let mut start = 0;
            let mut seen = 0;
            for (end, _) in self.text.match_indices('\n') {
                seen += usize::from(!self.text[start..end].trim().is_empty());
                start = end + 1;
                if seen >= wanted {
                    return Some(end);
                }
            }
            None
        });
        stop.into_iter().chain(lines).min()
    }

    fn is_over(&self) -> bool {
        self.end().is_some()
    }

    /// Shows what is certain: not the beginning of what may become a stop text.
    fn show(&mut self, on_text: &mut dyn FnMut(&str), last: bool) {
        let end = self.end().unwrap_or_else(|| {
            let held = if last { 0 } else { self.held_back() };
            self.text.len() - held
        });
        if end > self.shown {
            on_text(&self.text[self.shown..end]);
            self.shown = end;
        }
    }

    /// The longest end of the text that is the beginning of a stop text, in bytes.
    fn held_back(&self) -> usize {
        let starts = self.limits.stop_texts.iter().flat_map(|stop| {
            stop.char_indices().skip(1).map(|(end, _)| &stop[..end]).filter(|start| self.text.ends_with(start))
        });
        starts.map(str::len).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Limits, TokenModel, generate};
    use crate::edit::specify::SpecifyError;
    use crate::nets::watcher::{Cancelled, Unwatched, Watcher};
    use crate::text::sampling::Sampling;
    use crate::text::test_tokenizers::byte_level;

    /// Writes a given text whatever it is asked, then the stop token 0.
    struct Recital {
        tokens: Vec<u32>,
        at: usize,
        taken: usize,
        passes: usize,
    }

    impl Recital {
        fn of(text: &str) -> Self {
            let mut tokens = byte_level().encode(text, false).unwrap().get_ids().to_vec();
            tokens.push(0);
            Self { tokens, at: 0, taken: 0, passes: 0 }
        }
    }

    impl TokenModel for Recital {
        fn advance(&mut self, ids: &[u32], watcher: &dyn Watcher) -> candle_core::Result<Vec<f32>> {
            watcher.checkpoint()?;
            if self.taken > 0 {
                self.at += ids.len();
            }
            self.taken += ids.len();
            self.passes += 1;
            let mut scores = vec![0.0; 400];
            scores[self.tokens[self.at] as usize] = 5.0;
            Ok(scores)
        }

        fn restart(&mut self) {
            (self.at, self.taken) = (0, 0);
        }

        fn context(&self) -> usize {
            100
        }
    }

    fn limits() -> Limits {
        Limits {
            sampling: Sampling::greedy(),
            max_tokens: 60,
            stop_tokens: vec![0],
            stop_texts: vec!["STOP".to_owned(), "<end>".to_owned()],
            max_lines: None,
        }
    }

    fn run(text: &str, limits: &Limits) -> (String, Vec<String>) {
        let mut pieces = Vec::new();
        let mut on_text = |text: &str| pieces.push(text.to_owned());
        let tokenizer = byte_level();
        let answer = generate(&mut Recital::of(text), &tokenizer, &[5, 6], limits, &mut on_text, &Unwatched).unwrap();
        assert_eq!(pieces.concat(), answer);
        (answer, pieces)
    }

    #[test]
    fn ends_at_a_stop_token_a_stop_text_a_line_limit_or_the_token_limit() {
        assert_eq!(run("snow ❄ on it", &limits()).0, "snow ❄ on it");
        assert_eq!(run("snow STOP on it", &limits()).0, "snow ");
        assert_eq!(run("a < b <en <end> c", &limits()).0, "a < b <en ");
        assert_eq!(run("snow ST", &limits()).0, "snow ST");
        let two_lines = Limits { max_lines: Some(2), ..limits() };
        assert_eq!(run("one\n\ntwo\nthree\n", &two_lines).0, "one\n\ntwo");
        let short = Limits { max_tokens: 4, ..limits() };
        assert_eq!(run("abcdefgh", &short).0, "abcd");
    }

    #[test]
    fn nothing_of_a_stop_text_is_shown() {
        let (_, pieces) = run("snow STOP on it", &limits());
        assert!(pieces.iter().all(|piece| !piece.contains('S')));
    }

    #[test]
    fn a_prompt_that_does_not_fit_is_refused() {
        let tokenizer = byte_level();
        for prompt in [vec![], vec![5; 100]] {
            let outcome = generate(&mut Recital::of("x"), &tokenizer, &prompt, &limits(), &mut |_| {}, &Unwatched);
            assert!(matches!(outcome, Err(SpecifyError::Model(_))));
        }
    }

    #[test]
    fn stops_between_tokens_when_the_person_wants_it() {
        struct After(std::cell::Cell<usize>);
        impl Watcher for After {
            fn checkpoint(&self) -> candle_core::Result<()> {
                self.0.set(self.0.get() + 1);
                if self.0.get() > 6 { Err(Cancelled.into_candle()) } else { Ok(()) }
            }
        }
        let mut model = Recital::of("a long story that goes on");
        let tokenizer = byte_level();
        let outcome = generate(&mut model, &tokenizer, &[5], &limits(), &mut |_| {}, &After(std::cell::Cell::new(0)));
        assert!(matches!(outcome, Err(SpecifyError::Cancelled)));
        assert!(model.passes <= 4);
    }
}
