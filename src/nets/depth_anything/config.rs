//! What a Depth-Anything-V2 is made of, read from its tensors' shapes and from transformers' `config.json` where there is
//! one.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::nets::vit::{Resampling, VitConfig, VitError};

/// What the numbers of the last layer mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reading {
    /// Relative inverse distance: a · (1 / distance) + b with a and b unknown, 0 and above, larger is nearer.
    Disparity,
    /// Distance, up to this many metres.
    Metric(f64),
}

/// A Depth-Anything-V2's shape.
#[derive(Clone, Debug, PartialEq)]
pub struct DepthAnythingConfig {
    /// The DINOv2 below the head.
    pub vit: VitConfig,
    /// The blocks of it (1 is the first) whose tokens the head reads.
    pub layers: [usize; 4],
    /// Channels that these are brought to.
    pub neck: [usize; 4],
    /// Channels of the fused planes; even.
    pub fusion: usize,
    /// Channels before the last layer.
    pub hidden: usize,
    /// What comes out.
    pub reading: Reading,
}

impl DepthAnythingConfig {
    /// Reads a checkpoint: `json` is transformers' `config.json` (null where there is none), `backbone` the config of its
    /// vision transformer in timm's terms, `shapes` all tensors as `backbone.*` under timm's names and `depth_head.*` under
    /// the authors' names.
    ///
    /// # Errors
    /// One clause: which tensor is missing, or what contradicts what.
    pub fn of(
        json: &Value,
        backbone: &Value,
        shapes: &BTreeMap<String, Vec<usize>>,
        resampling: Resampling,
    ) -> Result<Self, VitError> {
        let inner =
            shapes.iter().filter_map(|(name, shape)| Some((name.strip_prefix("backbone.")?.to_owned(), shape.clone())));
        let mut vit = VitConfig::of(backbone, &inner.collect())?;
        vit.resampling = resampling;
        let shape = |name: String| match shapes.get(&name).map(Vec::as_slice) {
            Some([outputs, inputs, _, _]) => Ok((*outputs, *inputs)),
            Some(other) => Err(VitError::Unsupported(format!("its {name} has the shape {other:?}"))),
            None => Err(VitError::Missing(name)),
        };
        let mut neck = [0; 4];
        for (index, channels) in neck.iter_mut().enumerate() {
            *channels = shape(format!("depth_head.projects.{index}.weight"))?.0;
        }
        let fusion = shape("depth_head.scratch.layer1_rn.weight".to_owned())?.0;
        let hidden = shape("depth_head.scratch.output_conv2.0.weight".to_owned())?.0;
        let config = Self { layers: layers(json, vit.depth)?, neck, fusion, hidden, reading: reading(json)?, vit };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), VitError> {
        let unsupported = |text: String| Err(VitError::Unsupported(text));
        // Far beyond any published network, and small enough that no product of three of them overflows.
        let sizes = [self.fusion, self.hidden].into_iter().chain(self.neck);
        if let Some(size) = sizes.into_iter().find(|size| !(1..=1 << 14).contains(size)) {
            return unsupported(format!("a depth head with {size} channels cannot be built"));
        }
        if self.fusion % 2 == 1 {
            return unsupported(format!("a depth head cannot halve {} channels", self.fusion));
        }
        if let Some(layer) = self.layers.iter().find(|layer| !(1..=self.vit.depth).contains(*layer)) {
            return unsupported(format!("its head reads block {layer}, and there are {}", self.vit.depth));
        }
        if !self.vit.final_norm {
            return Err(VitError::Missing("backbone.norm.weight".to_owned()));
        }
        Ok(())
    }

    /// Bytes of activations at the peak of a pass over a grid of `rows` × `columns` patches, in f32.
    #[must_use]
    pub fn bytes(&self, rows: usize, columns: usize) -> u64 {
        let patches = (rows as u64).saturating_mul(columns as u64);
        // The four layers' tokens; the fused planes at eight points a patch, three at a time; then the planes before the
        // last layer at every pixel.
        let tokens = 8 * self.vit.width as u64;
        let fused = 64 * 3 * self.fusion as u64;
        let pixels = (self.vit.patch * self.vit.patch) as u64 * (self.fusion as u64 / 2 + 2 * self.hidden as u64 + 1);
        let head = patches.saturating_mul(4 * (tokens + fused.max(pixels)));
        self.vit.cost(rows, columns).bytes.saturating_add(head)
    }
}

/// The blocks that are read: as the config says; else the authors' choice for the three sizes, which is the end of each
/// quarter, but one more block for the first of ViT-L's.
fn layers(json: &Value, depth: usize) -> Result<[usize; 4], VitError> {
    let backbone = json.get("backbone_config").unwrap_or(&Value::Null);
    let whole = |value: &Value| value.as_u64().and_then(|value| usize::try_from(value).ok());
    let named = |value: &Value| value.as_str().and_then(|name| name.strip_prefix("stage")?.parse().ok());
    let said = |key: &str, read: &dyn Fn(&Value) -> Option<usize>| -> Result<Option<[usize; 4]>, VitError> {
        let Some(list) = backbone.get(key).and_then(Value::as_array) else { return Ok(None) };
        let found: Vec<usize> = list.iter().filter_map(read).collect();
        let wrong =
            || VitError::Unsupported(format!("its config says {key} = {list:?}, where four blocks are expected"));
        <[usize; 4]>::try_from(found).map(Some).map_err(|_| wrong())
    };
    if let Some(layers) =
        said("out_indices", &whole)?.map_or_else(|| said("out_features", &named), |found| Ok(Some(found)))?
    {
        return Ok(layers);
    }
    if !depth.is_multiple_of(4) {
        return Err(VitError::Unsupported(format!("nothing says which of its {depth} blocks the depth head reads")));
    }
    let quarter = depth / 4;
    Ok([if depth == 24 { 5 } else { quarter }, 2 * quarter, 3 * quarter, depth])
}

fn reading(json: &Value) -> Result<Reading, VitError> {
    match json.get("depth_estimation_type").and_then(Value::as_str) {
        None | Some("relative") => Ok(Reading::Disparity),
        Some("metric") => {
            let most = json.get("max_depth").and_then(Value::as_f64).filter(|most| *most > 0.0 && most.is_finite());
            let most =
                most.ok_or_else(|| VitError::Unsupported("its config gives no max_depth in metres".to_owned()))?;
            Ok(Reading::Metric(most))
        }
        Some(other) => Err(VitError::Unsupported(format!("its config says depth_estimation_type = {other:?}"))),
    }
}
