//! The same vision transformers under the names of other libraries, brought to timm's: Meta's own files of DINOv2 and
//! DINOv3, and the transformers library's ViT, DINOv2 (with or without registers) and DINOv3.
//!
//! Which layout a checkpoint has is told by its tensors. Names are of transformers 5 and of the files it published before,
//! and of facebookresearch/dinov2 and dinov3.

use serde_json::{Value, json};

/// Whose names the tensors have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::packs) enum Layout {
    /// timm's, or Meta's, which differ in a few words.
    Timm,
    /// The transformers library's.
    Transformers {
        /// What stands before all names of the network ("dinov2." where a classifier wraps it).
        prefix: String,
        /// Whether the feed-forward has a gate of its own.
        gated: bool,
    },
}

impl Layout {
    /// Told by the names of all tensors.
    pub(in crate::packs) fn of(names: &[&str]) -> Self {
        fn embedding(name: &str) -> Option<&str> {
            ["projection.weight", "weight"]
                .iter()
                .find_map(|end| name.strip_suffix(end)?.strip_suffix("patch_embeddings.")?.strip_suffix("embeddings."))
        }
        match names.iter().find_map(|name| embedding(name)) {
            Some(prefix) => Self::Transformers {
                prefix: prefix.to_owned(),
                gated: names.iter().any(|name| name.ends_with("mlp.gate_proj.weight")),
            },
            None => Self::Timm,
        }
    }

    /// The name that timm gives a tensor; `None` for what only training needs.
    pub(in crate::packs) fn timm_name(&self, name: &str) -> Option<String> {
        match self {
            Self::Timm => of_meta(name),
            Self::Transformers { prefix, gated } => match name.strip_prefix(prefix.as_str()) {
                Some(rest) => of_transformers(rest, *gated),
                // A classifier's, beside the network.
                None => Some(name.to_owned()),
            },
        }
    }
}

/// Meta's files call registers and the gated feed-forward otherwise, and carry what training alone needs.
fn of_meta(name: &str) -> Option<String> {
    match name {
        "mask_token" => None,
        "register_tokens" | "storage_tokens" => Some("reg_token".into()),
        _ if name.starts_with("local_cls_norm.") => None,
        _ => Some(
            name.replace(".mlp.w12.", ".mlp.fc1.")
                .replace(".mlp.w1.", ".mlp.fc1_g.")
                .replace(".mlp.w2.", ".mlp.fc1_x.")
                .replace(".mlp.w3.", ".mlp.fc2."),
        ),
    }
}

/// What stands behind "layer.N." in transformers' names, and behind "blocks.N." in timm's.
const IN_BLOCKS: [(&str, &str); 20] = [
    ("layernorm_before.", "norm1."),
    ("layernorm_after.", "norm2."),
    ("attention.attention.query.", "attn.q_proj."),
    ("attention.attention.key.", "attn.k_proj."),
    ("attention.attention.value.", "attn.v_proj."),
    ("attention.output.dense.", "attn.proj."),
    ("attention.q_proj.", "attn.q_proj."),
    ("attention.k_proj.", "attn.k_proj."),
    ("attention.v_proj.", "attn.v_proj."),
    ("attention.o_proj.", "attn.proj."),
    ("layer_scale1.lambda1", "ls1.gamma"),
    ("layer_scale2.lambda1", "ls2.gamma"),
    ("mlp.weights_in.", "mlp.fc1."),
    ("mlp.weights_out.", "mlp.fc2."),
    ("mlp.gate_proj.", "mlp.fc1_g."),
    ("mlp.down_proj.", "mlp.fc2."),
    ("intermediate.dense.", "mlp.fc1."),
    ("output.dense.", "mlp.fc2."),
    ("norm1.", "norm1."),
    ("norm2.", "norm2."),
];

fn of_transformers(name: &str, gated: bool) -> Option<String> {
    if let Some(rest) = name.strip_prefix("embeddings.") {
        return match rest {
            "mask_token" => None,
            "cls_token" => Some("cls_token".into()),
            "register_tokens" => Some("reg_token".into()),
            "position_embeddings" => Some("pos_embed".into()),
            _ => {
                let part = rest.strip_prefix("patch_embeddings.").map(|part| part.trim_start_matches("projection."));
                Some(part.map_or_else(|| name.to_owned(), |part| format!("patch_embed.proj.{part}")))
            }
        };
    }
    if let Some(part) = name.strip_prefix("layernorm.") {
        return Some(format!("norm.{part}"));
    }
    let in_layers = ["encoder.layer.", "model.layer.", "layer.", "encoder.layers.", "layers."]
        .iter()
        .find_map(|start| name.strip_prefix(start)?.split_once('.'));
    let Some((index, rest)) = in_layers else { return Some(name.to_owned()) };
    if let Some(part) = rest.strip_prefix("mlp.up_proj.") {
        return Some(format!("blocks.{index}.mlp.{}.{part}", if gated { "fc1_x" } else { "fc1" }));
    }
    let found = IN_BLOCKS.iter().find_map(|(theirs, timms)| Some((timms, rest.strip_prefix(theirs)?)));
    Some(
        found.map_or_else(|| format!("blocks.{index}.{rest}"), |(timms, part)| format!("blocks.{index}.{timms}{part}")),
    )
}

/// transformers' `config.json` in timm's terms: the same facts under timm's keys, as far as tensors do not show them.
/// Any other JSON is given back as it is.
pub(in crate::packs) fn timm_config(config: Value) -> Value {
    let Some(kind) = config.get("model_type").and_then(Value::as_str).map(str::to_owned) else { return config };
    if config.get("architecture").is_some() {
        return config;
    }
    let mut arguments = serde_json::Map::new();
    let names = [
        ("num_hidden_layers", "depth"),
        ("num_attention_heads", "num_heads"),
        ("image_size", "img_size"),
        ("num_register_tokens", "reg_tokens"),
        ("layer_norm_eps", "norm_eps"),
        ("rope_theta", "rope_temperature"),
    ];
    for (theirs, timms) in names {
        if let Some(value) = config.get(theirs).filter(|value| !value.is_null()) {
            arguments.insert(timms.to_owned(), value.clone());
        }
    }
    // The gated feed-forward has its own activation, and no other is built here.
    let gated = ["use_gated_mlp", "use_swiglu_ffn"].iter().any(|key| config.get(*key) == Some(&Value::Bool(true)));
    if let Some(activation) = config.get("hidden_act").filter(|_| !gated) {
        arguments.insert("act_layer".to_owned(), activation.clone());
    }
    if kind.contains("dinov3") {
        for (key, value) in
            [("use_rot_pos_emb", json!(true)), ("rope_type", json!("dinov3")), ("rope_rotate_half", json!(true))]
        {
            arguments.insert(key.to_owned(), value);
        }
    }
    json!({ "architecture": kind, "model_args": arguments })
}

/// `preprocessor_config.json` of the transformers library as timm's `pretrained_cfg`.
pub(in crate::packs) fn preprocessing(described: &Value) -> Value {
    let mut facts = serde_json::Map::new();
    for (theirs, timms) in [("image_mean", "mean"), ("image_std", "std")] {
        if let Some(value) = described.get(theirs).filter(|value| !value.is_null()) {
            facts.insert(timms.to_owned(), value.clone());
        }
    }
    Value::Object(facts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renamed(names: &[&str]) -> Vec<Option<String>> {
        let layout = Layout::of(names);
        names.iter().map(|name| layout.timm_name(name)).collect()
    }

    #[test]
    fn every_generation_of_transformers_names_means_the_same() {
        let old = [
            "dinov2.embeddings.patch_embeddings.projection.weight",
            "dinov2.embeddings.mask_token",
            "dinov2.embeddings.position_embeddings",
            "dinov2.encoder.layer.7.attention.attention.query.weight",
            "dinov2.encoder.layer.7.attention.output.dense.bias",
            "dinov2.encoder.layer.7.layer_scale2.lambda1",
            "dinov2.layernorm.bias",
            "classifier.weight",
        ];
        let timms = [
            Some("patch_embed.proj.weight"),
            None,
            Some("pos_embed"),
            Some("blocks.7.attn.q_proj.weight"),
            Some("blocks.7.attn.proj.bias"),
            Some("blocks.7.ls2.gamma"),
            Some("norm.bias"),
            Some("classifier.weight"),
        ];
        assert_eq!(renamed(&old), timms.map(|name| name.map(str::to_owned)));
        let new =
            ["embeddings.patch_embeddings.weight", "layer.11.mlp.up_proj.bias", "layer.11.attention.o_proj.weight"];
        let timms = ["patch_embed.proj.weight", "blocks.11.mlp.fc1.bias", "blocks.11.attn.proj.weight"];
        assert_eq!(renamed(&new), timms.map(|name| Some(name.to_owned())));
        let gated =
            ["embeddings.patch_embeddings.weight", "model.layer.0.mlp.gate_proj.weight", "layer.0.mlp.up_proj.weight"];
        let timms = ["patch_embed.proj.weight", "blocks.0.mlp.fc1_g.weight", "blocks.0.mlp.fc1_x.weight"];
        assert_eq!(renamed(&gated), timms.map(|name| Some(name.to_owned())));
    }

    #[test]
    fn a_transformers_config_says_what_timms_would() {
        let config = json!({"model_type": "dinov3_vit", "num_attention_heads": 6, "rope_theta": 100.0, "hidden_act": "gelu",
            "num_register_tokens": 4, "image_size": 224, "layer_norm_eps": 1e-5});
        let read = timm_config(config);
        assert_eq!(read["architecture"], "dinov3_vit");
        assert_eq!(read["model_args"]["num_heads"], 6);
        assert_eq!(read["model_args"]["act_layer"], "gelu");
        let timms = json!({"architecture": "vit_small_patch14_dinov2", "model_type": "anything"});
        assert_eq!(timm_config(timms.clone()), timms);
        assert_eq!(timm_config(Value::Null), Value::Null);
    }
}
