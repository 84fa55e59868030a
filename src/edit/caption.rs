//! Captioning: one short sentence that names what a picture shows (spec/sane.md section 1.1).
//!
//! The caption is all that the language model of the next stage knows about the picture, and the person may rewrite it.

use image::RgbImage;

use super::language::endpoint::EndpointError;
use super::reply::clean_line;
use super::specify::SpecifyError;
use crate::nets::watcher::Watcher;

/// The most characters a caption may have; longer ones are cut at a word.
pub const MAX_CHARS: usize = 200;

/// Why there is no caption.
#[derive(Debug, thiserror::Error)]
pub enum CaptionError {
    /// The person stopped it.
    #[error("cancelled")]
    Cancelled,
    /// The model answered nothing.
    #[error("the captioning model answered nothing; describe the picture by hand")]
    Empty,
    /// The model failed.
    #[error("the captioning model failed: {0}")]
    Model(String),
    /// The server that the person named failed.
    #[error(transparent)]
    Endpoint(EndpointError),
    /// The server took no picture.
    #[error("{0}; perhaps its model cannot see pictures")]
    Blind(EndpointError),
}

impl From<candle_core::Error> for CaptionError {
    fn from(error: candle_core::Error) -> Self {
        if super::specify::is_cancelled(&error) { Self::Cancelled } else { Self::Model(super::specify::plain(&error)) }
    }
}

impl From<SpecifyError> for CaptionError {
    fn from(error: SpecifyError) -> Self {
        match error {
            SpecifyError::Cancelled => Self::Cancelled,
            SpecifyError::Endpoint(error) => Self::Endpoint(error),
            other => Self::Model(other.to_string()),
        }
    }
}

/// Something that describes pictures.
pub trait Captioner: Send {
    /// Describes a picture in one line of at most [`MAX_CHARS`]. `on_text` is shown the words as they come.
    ///
    /// # Errors
    /// When it was stopped, or the model cannot be asked or says nothing.
    fn caption(
        &mut self,
        picture: &RgbImage,
        on_text: &mut dyn FnMut(&str),
        watcher: &dyn Watcher,
    ) -> Result<String, CaptionError>;
}

/// The caption in what a model wrote: its first line that says something, without labels, quotes and markers.
///
/// # Errors
/// When nothing is left.
pub fn parse(reply: &str) -> Result<String, CaptionError> {
    let reply = super::reply::without_wrapping(reply);
    let line = reply.lines().map(without_label).find(|line| line.chars().any(char::is_alphanumeric));
    let line = line.ok_or(CaptionError::Empty)?;
    let line = line.chars().filter(|c| !c.is_control() && *c != char::REPLACEMENT_CHARACTER).collect::<String>();
    Ok(shortened(&line).to_owned())
}

fn without_label(line: &str) -> String {
    const LABELS: [&str; 6] = ["caption", "description", "image caption", "picture", "image", "the caption"];
    let line = clean_line(line);
    match line.split_once(':') {
        Some((label, rest)) if LABELS.contains(&label.trim().to_lowercase().as_str()) => clean_line(rest),
        _ => line,
    }
}

fn shortened(line: &str) -> &str {
    match line.char_indices().nth(MAX_CHARS) {
        None => line,
        Some((end, _)) => line[..end].rsplit_once(' ').map_or(&line[..end], |(whole, _)| whole),
    }
}

#[cfg(test)]
mod tests {
    use super::{CaptionError, MAX_CHARS, parse};

    #[test]
    fn finds_the_caption_in_what_models_write() {
        for reply in [
            "a village by a lake",
            " A village by a lake.\n",
            "Caption: \"a village by a lake\"",
            "1. a village by a lake\n2. a snowy village by a lake",
            "<think>houses, water</think>\na village by a lake</s>",
            "**Description:** a village by a lake",
        ] {
            assert_eq!(parse(reply).unwrap().to_lowercase(), "a village by a lake", "{reply}");
        }
    }

    #[test]
    fn cuts_long_ones_at_a_word_and_refuses_empty_ones() {
        let long = parse(&"very ".repeat(100)).unwrap();
        assert!(long.chars().count() <= MAX_CHARS && long.ends_with("very"));
        for empty in ["", "\n\n", "...", "<think>", "Caption:"] {
            assert!(matches!(parse(empty), Err(CaptionError::Empty)), "{empty:?}");
        }
    }
}
