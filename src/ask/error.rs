//! Why a question has no answer, in types for the engine and sentences for the person.

use crate::nets::watcher::Cancelled;
use crate::packs::PackError;

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nothing was asked.
    #[error("there is no question: write what you want to know about the picture")]
    NoQuestion,
    /// Question, picture and earlier turns are longer than the model can take.
    #[error(
        "the conversation has {tokens} tokens ({picture} of them for the picture), and the model takes {most}; ask in \
         fewer words, or start a new conversation"
    )]
    TooLong {
        /// Tokens of the prompt.
        tokens: usize,
        /// Those of the picture.
        picture: usize,
        /// What the model takes.
        most: usize,
    },
    /// The picture has no pixels.
    #[error("a picture of {0} × {1} pixels shows nothing to ask about")]
    NoPicture(u32, u32),
    /// The region lies outside the picture or is empty.
    #[error("the region is empty; mark at least one pixel of the picture")]
    EmptyRegion,
    /// A setting out of its range.
    #[error("{0}")]
    Setting(String),
    /// The model cannot do what was asked.
    #[error("{0}")]
    Model(String),
    /// The model's files.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// A network failed, or the run was cancelled inside one.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
    /// The run was cancelled between two tokens.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}
