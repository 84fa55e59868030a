//! Question and earlier turns as the tokens of a prompt (spec 4.3).
//!
//! The picture stands in the first question. The text is cut there, each part is tokenised on its own as LLaVA does, and
//! the picture's tokens come between the parts.

use serde::{Deserialize, Serialize};
use tokenizers::Tokenizer;

use super::error::AskError;
use super::settings::Template;

/// An earlier question with its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// What was asked.
    pub question: String,
    /// What was answered.
    pub answer: String,
}

/// What stands for the picture in a list of tokens; no vocabulary has it.
pub const PICTURE: i64 = -200;

/// The end of an answer, between turns.
const TURN_END: &str = "</s>";

impl Template {
    /// What comes before the first question.
    #[must_use]
    pub fn system(self) -> &'static str {
        match self {
            Self::VicunaV1 => {
                "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, \
                 detailed, and polite answers to the user's questions. "
            }
            Self::LlavaV1 => {
                "A chat between a curious human and an artificial intelligence assistant. The assistant gives helpful, \
                 detailed, and polite answers to the human's questions. "
            }
            Self::Plain => "",
        }
    }

    /// "vicuna_v1", "llava_v1", "plain": as on the command line and in `config.json`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::VicunaV1 => "vicuna_v1",
            Self::LlavaV1 => "llava_v1",
            Self::Plain => "plain",
        }
    }

    /// The text before the picture and the text after it, up to where the answer begins.
    fn around(self, turns: &[Turn], question: &str) -> (String, String) {
        let mut after = String::new();
        for turn in turns {
            after.push_str(if after.is_empty() { "\n" } else { "USER: " });
            after.push_str(&clean(&turn.question));
            after.push_str(" ASSISTANT: ");
            after.push_str(&clean(&turn.answer));
            after.push_str(TURN_END);
        }
        after.push_str(if after.is_empty() { "\n" } else { "USER: " });
        after.push_str(&clean(question));
        after.push_str(" ASSISTANT:");
        (format!("{}USER: ", self.system()), after)
    }
}

/// A person's text without what could be taken for a special token, and without blanks around.
fn clean(text: &str) -> String {
    let mut text = text.trim().to_owned();
    for special in ["<image>", "<s>", "</s>", "<pad>", "<unk>"] {
        while text.contains(special) {
            text = text.replace(special, "");
        }
    }
    text.trim().to_owned()
}

/// The tokens of a prompt, [`PICTURE`] where the picture stands.
///
/// `end` is the token that ends a turn: between turns it is put as a token, whatever its text would become.
///
/// # Errors
/// When nothing was asked, or the tokenizer fails.
pub fn encode(
    tokenizer: &Tokenizer,
    template: Template,
    turns: &[Turn],
    question: &str,
    end: Option<u32>,
) -> Result<Vec<i64>, AskError> {
    if clean(question).is_empty() {
        return Err(AskError::NoQuestion);
    }
    let (before, after) = template.around(turns, question);
    let mut ids = tokens(tokenizer, &before)?;
    let first = ids.first().copied().filter(|_| begins_with_special(tokenizer, &ids));
    ids.push(PICTURE);
    // The parts between the ends of turns, each put behind the one before without a beginning of its own.
    for (place, part) in after.split(TURN_END).enumerate() {
        if place > 0 {
            match end {
                Some(end) => ids.push(i64::from(end)),
                None => ids.extend(without(tokens(tokenizer, TURN_END)?, first)),
            }
        }
        ids.extend(without(tokens(tokenizer, part)?, first));
    }
    Ok(ids)
}

/// The tokens of a text with what the tokenizer puts around it.
fn tokens(tokenizer: &Tokenizer, text: &str) -> Result<Vec<i64>, AskError> {
    let encoding = tokenizer.encode(text, true);
    let encoding = encoding.map_err(|error| AskError::Model(format!("its tokenizer failed ({error})")))?;
    Ok(encoding.get_ids().iter().map(|id| i64::from(*id)).collect())
}

/// Whether the first token is one that the tokenizer put there.
fn begins_with_special(tokenizer: &Tokenizer, ids: &[i64]) -> bool {
    let added = tokenizer.get_added_tokens_decoder();
    let first = ids.first().and_then(|id| u32::try_from(*id).ok());
    first.and_then(|id| added.get(&id)).is_some_and(|token| token.special)
}

/// `ids` without the token that begins a sequence.
fn without(mut ids: Vec<i64>, first: Option<i64>) -> Vec<i64> {
    if first.is_some() && ids.first().copied() == first {
        ids.remove(0);
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::test_tokenizers::byte_level;

    fn turn(question: &str, answer: &str) -> Turn {
        Turn { question: question.to_owned(), answer: answer.to_owned() }
    }

    #[test]
    fn the_words_are_those_of_the_templates() {
        let (before, after) = Template::VicunaV1.around(&[], " what is it? ");
        assert!(before.starts_with("A chat between a curious user") && before.ends_with("questions. USER: "));
        assert_eq!(after, "\nwhat is it? ASSISTANT:");
        assert!(Template::LlavaV1.around(&[], "x").0.contains("human's questions"));
        assert_eq!(Template::Plain.around(&[], "x").0, "USER: ");
        let turns = [turn("what?", "a dog"), turn("where?", "left")];
        let (_, after) = Template::Plain.around(&turns, "how many?");
        assert_eq!(after, "\nwhat? ASSISTANT: a dog</s>USER: where? ASSISTANT: left</s>USER: how many? ASSISTANT:");
    }

    #[test]
    fn no_text_of_a_person_becomes_a_special_token() {
        assert_eq!(clean(" <ima<image>ge> a </s>"), "a");
        let tokenizer = byte_level();
        assert!(matches!(encode(&tokenizer, Template::Plain, &[], " </s> ", None), Err(AskError::NoQuestion)));
    }

    #[test]
    fn turns_begin_as_the_conversation_so_far() {
        let tokenizer = byte_level();
        let of =
            |turns: &[Turn], question: &str| encode(&tokenizer, Template::Plain, turns, question, Some(0)).unwrap();
        let first = of(&[], "what?");
        assert_eq!(first.iter().filter(|id| **id == PICTURE).count(), 1);
        let second = of(&[turn("what?", "a dog")], "where?");
        assert!(second.starts_with(&first));
        assert_eq!(second.iter().filter(|id| **id == 0).count(), 1);
    }
}
