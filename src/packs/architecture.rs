//! How many numbers a published network holds, by formula from what its config says: for the room and the memory that a
//! model takes before any of it is here, and to hold the sizes in `models.toml` against.
//!
//! One function a layer, then one struct a family with the fields of its published config. Formulas follow the layers'
//! definitions: diffusers' UNet2DConditionModel and AutoencoderKL, transformers' CLIP, Llama and LLaVA, timm's
//! VisionTransformer, Depth-Anything-V2's DPT head.

use serde::{Deserialize, Serialize};

/// A fully connected layer with its biases.
const fn linear(inputs: u64, outputs: u64) -> u64 {
    inputs * outputs + outputs
}

/// A convolution with its biases.
const fn convolution(inputs: u64, outputs: u64, kernel: u64) -> u64 {
    inputs * outputs * kernel * kernel + outputs
}

/// A layer or group norm with weight and bias.
const fn norm(channels: u64) -> u64 {
    2 * channels
}

/// What a model is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Architecture {
    /// An editor like InstructPix2Pix: UNet, autoencoder and CLIP's text encoder.
    Editor(Editor),
    /// A vision transformer.
    Vit(Vit),
    /// A Llama-like decoder.
    Decoder(Decoder),
    /// A vision transformer's tokens in a decoder, through two layers.
    Llava(Llava),
    /// A DINOv2 and a DPT head.
    DepthAnything(DepthAnything),
}

impl Architecture {
    /// How many numbers its files hold.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        match self {
            Self::Editor(editor) => editor.unet() + editor.autoencoder() + editor.text_encoder(),
            Self::Vit(vit) => vit.parameters(),
            Self::Decoder(decoder) => decoder.parameters(),
            Self::Llava(llava) => llava.parameters(),
            Self::DepthAnything(model) => model.parameters(),
        }
    }

    /// Bytes of its weights in memory, at so many bytes a number.
    #[must_use]
    pub fn weight_bytes(&self, each: f64) -> u64 {
        (self.parameters() as f64 * each) as u64
    }
}

/// An editor's config; absent fields are those of Stable Diffusion 1.5 with the four channels of the picture added.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Editor {
    /// Channels of the UNet's levels.
    pub channels: Vec<u64>,
    /// Residual blocks a level.
    pub layers: u64,
    /// Channels that the UNet takes.
    pub inputs: u64,
    /// Channels of the latents.
    pub latents: u64,
    /// Width of the text that it attends to.
    pub text: u64,
    /// Channels of the autoencoder's levels.
    pub autoencoder: Vec<u64>,
    /// Layers of the text encoder.
    pub text_layers: u64,
    /// Tokens that the text encoder knows.
    pub vocabulary: u64,
    /// Tokens of a sentence.
    pub positions: u64,
}

impl Default for Editor {
    fn default() -> Self {
        Self {
            channels: vec![320, 640, 1280, 1280],
            layers: 2,
            inputs: 8,
            latents: 4,
            text: 768,
            autoencoder: vec![128, 256, 512, 512],
            text_layers: 12,
            vocabulary: 49_408,
            positions: 77,
        }
    }
}

/// Two norms and convolutions; `time` is the width of the time step's embedding, 0 where there is none.
const fn residual(inputs: u64, outputs: u64, time: u64) -> u64 {
    let shortcut = if inputs == outputs { 0 } else { convolution(inputs, outputs, 1) };
    let shift = if time == 0 { 0 } else { linear(time, outputs) };
    norm(inputs) + convolution(inputs, outputs, 3) + shift + norm(outputs) + convolution(outputs, outputs, 3) + shortcut
}

/// Diffusers' spatial transformer: attention to itself and to the text, and a gated feed-forward.
const fn spatial(channels: u64, text: u64) -> u64 {
    let to_itself = 3 * channels * channels + linear(channels, channels);
    let to_text = channels * channels + 2 * text * channels + linear(channels, channels);
    let forward = linear(channels, 8 * channels) + linear(4 * channels, channels);
    norm(channels) + 2 * convolution(channels, channels, 1) + 3 * norm(channels) + to_itself + to_text + forward
}

impl Editor {
    fn unet(&self) -> u64 {
        let Some((first, last)) = self.channels.first().copied().zip(self.channels.last().copied()) else { return 0 };
        let (time, levels) = (4 * first, self.channels.len());
        let mut sum = convolution(self.inputs, first, 3) + linear(first, time) + linear(time, time);
        let mut inputs = first;
        for (level, channels) in self.channels.iter().copied().enumerate() {
            // All but the last level attend.
            let attention = if level + 1 < levels { self.layers * spatial(channels, self.text) } else { 0 };
            let more = self.layers.saturating_sub(1) * residual(channels, channels, time);
            let smaller = if level + 1 < levels { convolution(channels, channels, 3) } else { 0 };
            sum += residual(inputs, channels, time) + more + attention + smaller;
            inputs = channels;
        }
        sum += 2 * residual(last, last, time) + spatial(last, self.text);
        let mut before = last;
        for (level, channels) in self.channels.iter().copied().enumerate().rev() {
            // What the way down left behind is put beside: the last of each level comes from the level above it.
            let above = self.channels[level.saturating_sub(1)];
            for layer in 0..=self.layers {
                let beside = if layer == self.layers { above } else { channels };
                let inputs = if layer == 0 { before } else { channels };
                sum += residual(inputs + beside, channels, time);
            }
            let attention = if level + 1 < levels { (self.layers + 1) * spatial(channels, self.text) } else { 0 };
            sum += attention + if level > 0 { convolution(channels, channels, 3) } else { 0 };
            before = channels;
        }
        sum + norm(first) + convolution(first, self.latents, 3)
    }

    fn autoencoder(&self) -> u64 {
        let widths = &self.autoencoder;
        let Some((first, last)) = widths.first().copied().zip(widths.last().copied()) else { return 0 };
        let middle = 2 * residual(last, last, 0) + norm(last) + 4 * linear(last, last);
        let side = |order: &mut dyn Iterator<Item = u64>, mut inputs: u64, layers: u64| {
            let mut sum = 0;
            for (level, channels) in order.enumerate() {
                let between = if level + 1 < widths.len() { convolution(channels, channels, 3) } else { 0 };
                sum += residual(inputs, channels, 0) + (layers - 1) * residual(channels, channels, 0) + between;
                inputs = channels;
            }
            sum
        };
        let encoder = convolution(3, first, 3)
            + side(&mut widths.iter().copied(), first, self.layers.max(1))
            + middle
            + norm(last)
            + convolution(last, 2 * self.latents, 3);
        let decoder = convolution(self.latents, last, 3)
            + middle
            + side(&mut widths.iter().rev().copied(), last, self.layers + 1)
            + norm(first)
            + convolution(first, 3, 3);
        encoder
            + decoder
            + convolution(2 * self.latents, 2 * self.latents, 1)
            + convolution(self.latents, self.latents, 1)
    }

    fn text_encoder(&self) -> u64 {
        let width = self.text;
        let layer = 4 * linear(width, width) + linear(width, 4 * width) + linear(4 * width, width) + 2 * norm(width);
        (self.vocabulary + self.positions) * width + self.text_layers * layer + norm(width)
    }
}

/// A vision transformer's config; absent fields are those of ViT-B/16 at 224 pixels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Vit {
    /// Width of the stream.
    pub width: u64,
    /// Blocks.
    pub depth: u64,
    /// Side of a patch in pixels.
    pub patch: u64,
    /// Rows of the table of positions; 0 for rotary angles.
    pub positions: u64,
    /// Register tokens.
    pub registers: u64,
    /// Whether branches have scales.
    pub layer_scale: bool,
    /// Whether a norm stands before the blocks, and the patch embedding has no biases (CLIP).
    pub norm_pre: bool,
    /// Whether queries, keys and values have biases.
    pub qkv_bias: bool,
    /// Classes of a classifier that lies in the files too.
    pub classes: u64,
}

impl Default for Vit {
    fn default() -> Self {
        Self {
            width: 768,
            depth: 12,
            patch: 16,
            positions: 197,
            registers: 0,
            layer_scale: false,
            norm_pre: false,
            qkv_bias: true,
            classes: 0,
        }
    }
}

impl Vit {
    fn parameters(&self) -> u64 {
        let width = self.width;
        let embedding = 3 * self.patch * self.patch * width + if self.norm_pre { norm(width) } else { width };
        let tokens = (1 + self.registers + self.positions) * width;
        let projections = 3 * width * width + if self.qkv_bias { 3 * width } else { 0 };
        let scales = if self.layer_scale { 2 * width } else { 0 };
        let forward = linear(width, 4 * width) + linear(4 * width, width);
        let block = projections + linear(width, width) + forward + 2 * norm(width) + scales;
        let classifier = if self.classes > 0 { linear(width, self.classes) } else { 0 };
        embedding + tokens + self.depth * block + norm(width) + classifier
    }
}

/// A decoder's config; absent fields are those of Llama 7B.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Decoder {
    /// Tokens that it knows.
    pub vocabulary: u64,
    /// Width of the stream.
    pub width: u64,
    /// Width inside the gated feed-forward layers.
    pub inner: u64,
    /// Layers.
    pub layers: u64,
    /// Query heads.
    pub heads: u64,
    /// Key and value heads.
    pub key_value_heads: u64,
    /// Channels of a head.
    pub head: u64,
    /// Whether the output layer is the token table.
    pub tied: bool,
    /// Whether queries, keys and values have biases (Qwen 2).
    pub qkv_bias: bool,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            vocabulary: 32_000,
            width: 4096,
            inner: 11_008,
            layers: 32,
            heads: 32,
            key_value_heads: 32,
            head: 128,
            tied: false,
            qkv_bias: false,
        }
    }
}

impl Decoder {
    fn parameters(&self) -> u64 {
        let (queries, others) = (self.heads * self.head, self.key_value_heads * self.head);
        let attention = 2 * self.width * queries + 2 * self.width * others;
        let biases = if self.qkv_bias { queries + 2 * others } else { 0 };
        let layer = attention + biases + 3 * self.width * self.inner + 2 * self.width;
        let tables = if self.tied { 1 } else { 2 };
        tables * self.vocabulary * self.width + self.layers * layer + self.width
    }
}

/// A LLaVA's config; absent fields are those of LLaVA-1.5-7B with CLIP ViT-L/14 at 336 pixels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Llava {
    /// The decoder.
    pub decoder: Decoder,
    /// The picture tower.
    pub tower: Vit,
    /// Whether the tower is not in the files but has to be put beside them.
    pub without_tower: bool,
    /// Whether each layer has keys and values of its own for high-resolution tokens (FlexAttention).
    pub high_resolution: bool,
}

impl Default for Llava {
    fn default() -> Self {
        let tower = Vit { width: 1024, depth: 24, patch: 14, positions: 577, norm_pre: true, ..Vit::default() };
        Self { decoder: Decoder::default(), tower, without_tower: false, high_resolution: false }
    }
}

impl Llava {
    fn parameters(&self) -> u64 {
        let width = self.decoder.width;
        let projector = linear(self.tower.width, width) + linear(width, width);
        let others = self.decoder.key_value_heads * self.decoder.head;
        let second = if self.high_resolution { self.decoder.layers * 2 * width * others } else { 0 };
        let tower = if self.without_tower { 0 } else { self.tower.parameters() };
        self.decoder.parameters() + tower + projector + second
    }
}

/// A Depth-Anything-V2's config.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DepthAnything {
    /// The DINOv2.
    pub vit: Vit,
    /// Channels that its four layers are brought to.
    pub neck: [u64; 4],
    /// Channels of the fused planes.
    pub fusion: u64,
    /// Channels before the last layer.
    pub hidden: u64,
}

impl DepthAnything {
    fn parameters(&self) -> u64 {
        let [finest, fine, _, coarse] = self.neck;
        let projects: u64 = self.neck.iter().map(|channels| convolution(self.vit.width, *channels, 1)).sum();
        let resizes = convolution(finest, finest, 4) + convolution(fine, fine, 2) + convolution(coarse, coarse, 3);
        // To the common width without biases.
        let narrow: u64 = self.neck.iter().map(|channels| channels * self.fusion * 9).sum();
        let refine = convolution(self.fusion, self.fusion, 1) + 4 * convolution(self.fusion, self.fusion, 3);
        let out = convolution(self.fusion, self.fusion / 2, 3)
            + convolution(self.fusion / 2, self.hidden, 3)
            + convolution(self.hidden, 1, 1);
        self.vit.parameters() + projects + resizes + narrow + 4 * refine + out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts of the published checkpoints (spec/sane.md section 8.2, fit3d.md section 5.1, flexattention.md section 4.1).
    #[test]
    fn the_formulas_give_the_published_counts() {
        let editor = Editor::default();
        assert_eq!(
            (editor.unet(), editor.autoencoder(), editor.text_encoder()),
            (859_532_484, 83_653_863, 123_060_480)
        );
        assert_eq!(Editor { inputs: 4, ..Editor::default() }.unet(), 859_520_964);
        let dinov2 = |width: u64| Vit { width, patch: 14, positions: 1370, layer_scale: true, ..Vit::default() };
        assert_eq!((dinov2(384).parameters(), dinov2(768).parameters()), (22_056_192, 86_579_712));
        assert_eq!(Vit { positions: 1369, registers: 4, ..dinov2(384) }.parameters(), 22_057_344);
        let clip = Vit { positions: 577, norm_pre: true, ..Vit::default() };
        assert_eq!((clip.parameters(), Vit::default().parameters()), (86_091_264, 85_798_656));
        assert_eq!(Vit { positions: 196, layer_scale: true, ..Vit::default() }.parameters(), 85_816_320);
        assert_eq!(Decoder::default().parameters(), 6_738_415_616);
        let llava = Llava { high_resolution: true, ..Llava::default() };
        assert_eq!(llava.tower.parameters(), 303_507_456);
        assert_eq!(llava.parameters(), 8_136_644_608);
        let qwen = Decoder {
            vocabulary: 152_064,
            width: 3584,
            inner: 18_944,
            layers: 28,
            heads: 28,
            key_value_heads: 4,
            qkv_bias: true,
            ..Decoder::default()
        };
        assert_eq!(qwen.parameters(), 7_615_616_512);
    }

    /// The counts of this project's own small files, which have no published ones beside them.
    #[test]
    fn the_formulas_hold_for_files_that_are_here() {
        let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/fixtures");
        let counted = |path: &str| {
            let opened = crate::packs::weights::Weights::open(&fixtures.join(path), &Default::default()).unwrap();
            // What only training needs is no part of a network.
            let token = opened.facts("backbone.embeddings.mask_token").map_or(0, |facts| facts.shape[1] as u64);
            opened.parameters() - token
        };
        // A feed-forward of twice the width where published ones have four times.
        let vit = Vit { width: 32, depth: 4, patch: 14, positions: 17, layer_scale: true, ..Vit::default() };
        let narrower = 4 * 2 * 2 * 32 * 32 + 4 * 2 * 32;
        let depth = DepthAnything { vit, neck: [6, 8, 10, 12], fusion: 8, hidden: 4 };
        assert_eq!(depth.parameters() - narrower, counted("depth_anything"));
    }
}
