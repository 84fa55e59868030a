//! Reading `config.json` of diffusers and transformers: defaults for absent keys, unknown keys ignored, and a clear
//! error for a value that a network here cannot honour.

use candle_core::{Result, Tensor};
use serde::Deserialize;
use serde_json::Value;

use crate::ops::activation::{gelu_erf, gelu_tanh, quick_gelu, silu};

/// Why a network cannot be built from its `config.json`.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A key has a value that is valid for the reference library but not supported here, or contradicts another key.
    #[error("the {network} config says `{key}` = {value}, which is not supported: {reason}")]
    Unsupported {
        /// Which network the config is for.
        network: &'static str,
        /// The key in `config.json`.
        key: &'static str,
        /// Its value as JSON.
        value: String,
        /// What would be possible, or what it contradicts.
        reason: String,
    },
    /// The config does not have the form that the reference library writes.
    #[error("the {network} config cannot be read: {reason}")]
    Unreadable {
        /// Which network the config is for.
        network: &'static str,
        /// What the JSON reader says.
        reason: String,
    },
}

/// A config under scrutiny: its network's name for messages, and the JSON.
pub(super) struct Scrutiny<'a> {
    pub(super) network: &'static str,
    pub(super) json: &'a Value,
}

impl Scrutiny<'_> {
    /// The config as a struct of the keys that are used.
    pub(super) fn read<T: for<'de> Deserialize<'de>>(&self) -> std::result::Result<T, ConfigError> {
        T::deserialize(self.json)
            .map_err(|error| ConfigError::Unreadable { network: self.network, reason: error.to_string() })
    }

    /// Refuses `key`, with its value as the config has it.
    pub(super) fn refuse(&self, key: &'static str, reason: impl Into<String>) -> ConfigError {
        let value = self.json.get(key).map_or_else(|| "(absent)".to_owned(), Value::to_string);
        ConfigError::Unsupported { network: self.network, key, value, reason: reason.into() }
    }

    /// Allows only the given JSON values for `key`; an absent key passes, and so does a list of allowed values.
    pub(super) fn only(&self, key: &'static str, allowed: &[Value]) -> std::result::Result<(), ConfigError> {
        let fits = |value: &Value| allowed.iter().any(|other| same(value, other));
        let passes = match self.json.get(key) {
            None => true,
            Some(Value::Array(values)) => values.iter().all(fits),
            Some(value) => fits(value),
        };
        if passes {
            return Ok(());
        }
        let names: Vec<String> = allowed.iter().map(Value::to_string).collect();
        Err(self.refuse(key, format!("only {} works", names.join(" or "))))
    }

    /// Refuses `key` unless `holds`.
    pub(super) fn require(
        &self,
        holds: bool,
        key: &'static str,
        reason: impl FnOnce() -> String,
    ) -> std::result::Result<(), ConfigError> {
        if holds { Ok(()) } else { Err(self.refuse(key, reason())) }
    }

    /// The activation function that `key` names, `default` where the key is absent.
    pub(super) fn activation(
        &self,
        key: &'static str,
        default: Activation,
    ) -> std::result::Result<Activation, ConfigError> {
        match self.json.get(key) {
            None => Ok(default),
            Some(value) => value
                .as_str()
                .and_then(Activation::named)
                .ok_or_else(|| self.refuse(key, "known are silu, gelu, quick_gelu and the tanh gelu")),
        }
    }
}

/// Equality of JSON values in which 1 and 1.0 are the same number.
fn same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

/// A key that holds one value for all levels or a list with one for each.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrEach<T> {
    // Tried first, so that a list of lists is not taken for one value that is a list.
    Each(Vec<T>),
    One(T),
}

impl<T: Clone> OneOrEach<T> {
    /// One value a level, or nothing when the list has another length.
    pub(super) fn spread(&self, levels: usize) -> Option<Vec<T>> {
        match self {
            Self::One(value) => Some(vec![value.clone(); levels]),
            Self::Each(values) => (values.len() == levels).then(|| values.clone()),
        }
    }
}

/// The activation functions that the configs of diffusers and transformers name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// x · sigmoid(x).
    Silu,
    /// The exact gelu.
    GeluErf,
    /// The tanh approximation of gelu.
    GeluTanh,
    /// x · sigmoid(1.702 x).
    QuickGelu,
}

impl Activation {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "silu" | "swish" => Some(Self::Silu),
            "gelu" => Some(Self::GeluErf),
            "gelu_new" | "gelu_pytorch_tanh" => Some(Self::GeluTanh),
            "quick_gelu" => Some(Self::QuickGelu),
            _ => None,
        }
    }

    /// The function of every element.
    pub(super) fn apply(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Silu => silu(x),
            Self::GeluErf => gelu_erf(x),
            Self::GeluTanh => gelu_tanh(x),
            Self::QuickGelu => quick_gelu(x),
        }
    }
}
