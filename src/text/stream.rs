//! Turning tokens into text while they come, without ever showing half a character.
//!
//! A character may be spread over several tokens, and a token's text may depend on the one before it (a leading
//! space). So each token is decoded together with its predecessors since the last character that was complete, and
//! text is given out only when it ends in a whole character.

use tokenizers::Tokenizer;

/// How many tokens are decoded together at most while a character is incomplete: no character has more bytes.
const LONGEST: usize = 8;

/// Decodes a stream of tokens.
#[derive(Debug)]
pub struct Detokeniser<'a> {
    tokenizer: &'a Tokenizer,
    ids: Vec<u32>,
    /// Where the tokens begin that are decoded for context.
    context: usize,
    /// Where the tokens begin whose text has not been given out.
    pending: usize,
}

impl<'a> Detokeniser<'a> {
    /// A stream at its beginning.
    #[must_use]
    pub fn new(tokenizer: &'a Tokenizer) -> Self {
        Self { tokenizer, ids: Vec::new(), context: 0, pending: 0 }
    }

    /// Takes a token and returns the text that is complete with it, often nothing.
    pub fn push(&mut self, id: u32) -> String {
        self.ids.push(id);
        let known = self.decode(self.context, self.pending);
        let all = self.decode(self.context, self.ids.len());
        let stuck = self.ids.len() - self.pending >= LONGEST;
        if all.len() <= known.len() || (all.ends_with(char::REPLACEMENT_CHARACTER) && !stuck) {
            return String::new();
        }
        self.context = self.pending;
        self.pending = self.ids.len();
        behind(&known, &all).to_owned()
    }

    /// The rest, when no token follows: bytes that never became a character are left out.
    pub fn finish(self) -> String {
        let known = self.decode(self.context, self.pending);
        let all = self.decode(self.context, self.ids.len());
        behind(&known, &all).trim_end_matches(char::REPLACEMENT_CHARACTER).to_owned()
    }

    fn decode(&self, from: usize, to: usize) -> String {
        // An id outside the vocabulary decodes to nothing.
        self.tokenizer.decode(&self.ids[from..to], true).unwrap_or_default()
    }
}

/// What `all` adds to `known`.
fn behind<'a>(known: &str, all: &'a str) -> &'a str {
    match all.strip_prefix(known) {
        Some(rest) => rest,
        None => {
            let mut start = known.len().min(all.len());
            while !all.is_char_boundary(start) {
                start += 1;
            }
            &all[start..]
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Detokeniser;
    use crate::text::test_tokenizers::{byte_level, sentence_pieces};

    /// The tokens' text as it streams, piece by piece.
    fn stream(tokenizer: &tokenizers::Tokenizer, ids: &[u32]) -> Vec<String> {
        let mut stream = Detokeniser::new(tokenizer);
        let mut pieces = ids.iter().map(|id| stream.push(*id)).collect::<Vec<_>>();
        pieces.push(stream.finish());
        pieces
    }

    #[test]
    fn a_character_of_several_tokens_comes_out_whole() {
        let tokenizer = byte_level();
        let ids = tokenizer.encode("an ❄ é 雪", false).unwrap().get_ids().to_vec();
        let pieces = stream(&tokenizer, &ids);
        assert_eq!(pieces.concat(), "an ❄ é 雪");
        assert!(pieces.iter().all(|piece| !piece.contains(char::REPLACEMENT_CHARACTER)));
        assert!(pieces.contains(&"❄".to_owned()));
    }

    #[test]
    fn leading_spaces_of_words_survive() {
        let tokenizer = sentence_pieces();
        let ids = tokenizer.encode("put snow on it", false).unwrap().get_ids().to_vec();
        assert!(ids.len() > 3);
        assert_eq!(stream(&tokenizer, &ids).concat(), "put snow on it");
    }

    proptest! {
        #[test]
        fn streams_what_the_whole_decodes_to(text in "[a-z ❄é雪🎉\n]{0,30}") {
            for tokenizer in [byte_level(), sentence_pieces()] {
                let ids = tokenizer.encode(text.as_str(), false).unwrap().get_ids().to_vec();
                let whole = tokenizer.decode(&ids, true).unwrap();
                prop_assert_eq!(stream(&tokenizer, &ids).concat(), whole);
            }
        }

        #[test]
        fn any_tokens_give_whole_characters(ids in prop::collection::vec(0u32..300, 0..60)) {
            let tokenizer = byte_level();
            let pieces = stream(&tokenizer, &ids);
            // Bytes that are no text at all may show as one replacement character in the end, never a panic.
            let shown = pieces.concat();
            prop_assert!(shown.len() <= ids.len() * 4 + 4);
        }
    }
}
