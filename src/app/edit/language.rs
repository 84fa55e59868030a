//! Who describes pictures and writes instructions: the person's choice, as the settings keep it and as a job takes it.
//!
//! To add a source: one variant of [`Language`] and [`Kind`] each, its fields in [`LanguageSettings`], its part of the
//! dialog (`language_dialog`), and what it means to the library (`work`).

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::work::short_name;
use crate::picture::paths;

/// A source of captions and instructions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Language {
    /// The small model that comes with the program.
    Starter,
    /// A model in a folder or file of this machine.
    Files(PathBuf),
    /// A server with OpenAI's interface that the person named.
    Server {
        /// Its address, as typed.
        address: String,
        /// The model's name there; `None`: the only one it offers.
        model: Option<String>,
    },
    /// The person.
    ByHand,
}

/// Who describes the picture, where the writer is not the starter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Describer {
    /// The starter model, on this machine.
    #[default]
    Starter,
    /// Who writes also looks: a model that sees, or a server, which is then sent the picture.
    Same,
    /// Nobody; the person may.
    Nobody,
}

impl Describer {
    pub(crate) const ALL: [(Self, &'static str); 3] =
        [(Self::Starter, "The starter"), (Self::Same, "The same"), (Self::Nobody, "Nobody")];

    fn name(self) -> &'static str {
        match self {
            Self::Starter => "starter",
            Self::Same => "same",
            Self::Nobody => "nobody",
        }
    }
}

impl From<Describer> for String {
    fn from(describer: Describer) -> Self {
        describer.name().to_owned()
    }
}

impl From<String> for Describer {
    /// What this version does not know sends no picture anywhere.
    fn from(name: String) -> Self {
        Self::ALL.into_iter().map(|(one, _)| one).find(|one| one.name() == name).unwrap_or_default()
    }
}

/// Which of them is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub(crate) enum Kind {
    #[default]
    Starter,
    Files,
    Server,
    ByHand,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Starter, Self::Files, Self::Server, Self::ByHand];

    /// Its name in the settings file.
    fn name(self) -> &'static str {
        match self {
            Self::Starter => "starter",
            Self::Files => "files",
            Self::Server => "server",
            Self::ByHand => "by-hand",
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Starter => "The starter model",
            Self::Files => "A model on this machine",
            Self::Server => "A server",
            Self::ByHand => "Nobody: I write them myself",
        }
    }

    pub(crate) fn about(self) -> &'static str {
        match self {
            Self::Starter => "Comes with Glassbox and runs here. Small: it knows scenes like the sample pictures.",
            Self::Files => "A chat model: a folder with config.json, tokenizer and safetensors, or a GGUF file.",
            Self::Server => "With OpenAI's interface: Ollama, llama.cpp, vLLM, LM Studio or one far away.",
            Self::ByHand => "Nothing is proposed; you add the lines.",
        }
    }
}

impl From<Kind> for String {
    fn from(kind: Kind) -> Self {
        kind.name().to_owned()
    }
}

impl From<String> for Kind {
    /// What this version does not know is the starter, so that settings of another version still open.
    fn from(name: String) -> Self {
        Self::ALL.into_iter().find(|kind| kind.name() == name).unwrap_or_default()
    }
}

/// The choice with everything that was typed for it, also for the sources that are not chosen now. Keys of servers are
/// not among it: they come from the environment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct LanguageSettings {
    pub(crate) kind: Kind,
    /// Folder or file of the model.
    pub(crate) path: String,
    pub(crate) address: String,
    /// The model's name at the server; empty: the only one it offers.
    pub(crate) server_model: String,
    /// Who describes the picture for it.
    pub(crate) describer: Describer,
}

impl LanguageSettings {
    /// What a job takes.
    pub(crate) fn chosen(&self) -> Language {
        match self.kind {
            Kind::Starter => Language::Starter,
            Kind::Files => Language::Files(paths::clean(&self.path)),
            Kind::Server => {
                let model = Some(self.server_model.trim().to_owned()).filter(|model| !model.is_empty());
                Language::Server { address: self.address.trim().to_owned(), model }
            }
            Kind::ByHand => Language::ByHand,
        }
    }

    /// Whether there is somebody who describes pictures.
    pub(crate) fn describes(&self) -> bool {
        self.lacks().is_none() && (self.kind == Kind::Starter || self.describer != Describer::Nobody)
    }

    /// Why it cannot be asked, if it cannot.
    pub(crate) fn lacks(&self) -> Option<&'static str> {
        match self.kind {
            Kind::Files if self.path.trim().is_empty() => Some("The language model's folder or file is not named yet."),
            Kind::Server if self.address.trim().is_empty() => Some("The server's address is not named yet."),
            Kind::ByHand => Some("You write the instructions."),
            Kind::Starter | Kind::Files | Kind::Server => None,
        }
    }

    /// In a few words, for buttons.
    pub(crate) fn title(&self) -> String {
        match self.kind {
            Kind::Starter => "Starter model".to_owned(),
            Kind::Files if self.lacks().is_none() => short_name(&paths::clean(&self.path).display().to_string()),
            Kind::Server if self.lacks().is_none() => host(&self.address),
            Kind::Files => "A model on this machine".to_owned(),
            Kind::Server => "A server".to_owned(),
            Kind::ByHand => "By hand".to_owned(),
        }
    }
}

/// The machine in an address, whether or not it is a whole one.
pub(crate) fn host(address: &str) -> String {
    let address = address.trim();
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or(rest).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_survive_a_file_and_unknown_ones_are_the_starter() {
        for kind in Kind::ALL {
            let settings = LanguageSettings {
                kind,
                path: "/m".into(),
                address: "http://a:1/v1".into(),
                describer: Describer::Same,
                ..Default::default()
            };
            let text = serde_json::to_string(&settings).unwrap();
            assert_eq!(serde_json::from_str::<LanguageSettings>(&text).unwrap(), settings);
        }
        let future: LanguageSettings = serde_json::from_str(r#"{"kind": "telepathy", "path": "/m"}"#).unwrap();
        assert_eq!((future.kind, future.path.as_str()), (Kind::Starter, "/m"));
    }

    #[test]
    fn what_is_typed_becomes_what_a_job_takes() {
        let typed = LanguageSettings {
            kind: Kind::Server,
            path: " '/models/my model' ".into(),
            address: " http://localhost:11434/v1 ".into(),
            server_model: "  ".into(),
            describer: Describer::Nobody,
        };
        assert_eq!(typed.chosen(), Language::Server { address: "http://localhost:11434/v1".into(), model: None });
        assert_eq!(typed.title(), "localhost:11434");
        let files = LanguageSettings { kind: Kind::Files, ..typed.clone() };
        assert_eq!(files.chosen(), Language::Files(PathBuf::from("/models/my model")));
        assert_eq!(files.title(), "my model");
        assert!(files.lacks().is_none() && !files.describes());
        assert!(LanguageSettings::default().describes());
        assert!(LanguageSettings { path: " ".into(), ..files }.lacks().is_some());
    }
}
