//! Features that were computed already: switching maps, layers and panes never runs a network again.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use image::RgbImage;

use super::extract::{ExtractSettings, LayerTokens};
use crate::picture::resize::{Fit, SizeRequest};

/// A picture's pixels, told apart by a hash over all of them: two versions with the same pixels are one picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PictureKey(u64, (u32, u32));

impl PictureKey {
    /// The key of a picture; reads all its pixels, so not for the UI thread.
    #[must_use]
    pub fn of(picture: &RgbImage) -> Self {
        let mut hash = DefaultHasher::new();
        hash.write(picture.as_raw());
        Self(hash.finish(), picture.dimensions())
    }
}

/// Which features: picture × model × layer × how the picture is looked at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FeatureKey {
    picture: PictureKey,
    model: PathBuf,
    layer: usize,
    normed: bool,
    size: Option<SizeRequest>,
    fit: Fit,
    /// Mean and standard deviation bit by bit, where they are not the model's own.
    normalisation: Option<[u32; 6]>,
    /// The device and precision the model runs in.
    compute: String,
}

impl FeatureKey {
    /// The key of one layer (0 to the model's depth) of a picture under these settings.
    #[must_use]
    pub fn new(
        picture: PictureKey,
        model: impl Into<PathBuf>,
        compute: impl Into<String>,
        layer: usize,
        settings: &ExtractSettings,
    ) -> Self {
        let bits = |n: crate::packs::backbone::Normalisation| {
            [n.mean[0], n.mean[1], n.mean[2], n.std[0], n.std[1], n.std[2]].map(f32::to_bits)
        };
        Self {
            picture,
            model: model.into(),
            layer,
            normed: settings.normed,
            size: settings.size,
            fit: settings.fit,
            normalisation: settings.normalisation.map(bits),
            compute: compute.into(),
        }
    }
}

/// What is kept of one layer of one picture.
#[derive(Clone, Debug)]
pub struct CachedLayer {
    /// The tokens.
    pub tokens: LayerTokens,
    /// Whether the picture is one colour everywhere.
    pub one_colour: bool,
}

#[derive(Debug)]
struct Entry {
    layer: CachedLayer,
    used: u64,
}

#[derive(Debug, Default)]
struct Kept {
    entries: HashMap<FeatureKey, Entry>,
    clock: u64,
}

/// Features within a budget of memory, those unused for longest dropped first. Cheap to clone; clones share it.
#[derive(Clone, Debug)]
pub struct FeatureCache {
    budget: usize,
    kept: Arc<Mutex<Kept>>,
}

impl FeatureCache {
    /// An empty cache for at most `budget` bytes.
    #[must_use]
    pub fn new(budget: usize) -> Self {
        Self { budget, kept: Arc::default() }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The features of that key, if they are kept.
    #[must_use]
    pub fn get(&self, key: &FeatureKey) -> Option<CachedLayer> {
        let mut kept = self.kept();
        kept.clock += 1;
        let clock = kept.clock;
        let entry = kept.entries.get_mut(key)?;
        entry.used = clock;
        Some(entry.layer.clone())
    }

    /// Keeps features, dropping older ones where the budget asks for it; what exceeds the budget alone is not kept.
    pub fn insert(&self, key: FeatureKey, layer: CachedLayer) {
        let bytes = layer.tokens.patches.bytes();
        if bytes > self.budget {
            return;
        }
        let mut kept = self.kept();
        kept.clock += 1;
        let used = kept.clock;
        kept.entries.remove(&key);
        while sum(&kept) + bytes > self.budget {
            let oldest = kept.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone());
            match oldest {
                Some(oldest) => kept.entries.remove(&oldest),
                None => break,
            };
        }
        kept.entries.insert(key, Entry { layer, used });
    }

    /// Bytes of the features kept now.
    #[must_use]
    pub fn bytes(&self) -> usize {
        sum(&self.kept())
    }

    /// Drops everything.
    pub fn clear(&self) {
        self.kept().entries.clear();
    }
}

fn sum(kept: &Kept) -> usize {
    kept.entries.values().map(|entry| entry.layer.tokens.patches.bytes()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::grid::tests::grid;

    fn layer(value: f32) -> CachedLayer {
        let patches = grid(2, 2, 3, vec![value; 12]);
        CachedLayer { tokens: LayerTokens { layer: 1, patches, class: None, registers: Vec::new() }, one_colour: false }
    }

    fn key(picture: u8, model: &str, layer: usize, settings: &ExtractSettings) -> FeatureKey {
        let picture = PictureKey::of(&RgbImage::from_pixel(3, 2, image::Rgb([picture; 3])));
        FeatureKey::new(picture, model, "CPU, f32", layer, settings)
    }

    #[test]
    fn everything_that_changes_features_changes_the_key() {
        let usual = ExtractSettings::default();
        let cache = FeatureCache::new(10_000);
        cache.insert(key(1, "a", 2, &usual), layer(7.0));
        assert_eq!(cache.get(&key(1, "a", 2, &usual)).unwrap().tokens.patches.tokens()[0], 7.0);
        let others = [
            key(2, "a", 2, &usual),
            key(1, "b", 2, &usual),
            key(1, "a", 3, &usual),
            key(1, "a", 2, &ExtractSettings { normed: false, ..usual.clone() }),
            key(1, "a", 2, &ExtractSettings { fit: Fit::Pad, ..usual.clone() }),
            key(1, "a", 2, &ExtractSettings { size: Some(SizeRequest::Source), ..usual.clone() }),
            key(1, "a", 2, &ExtractSettings { size: Some(SizeRequest::Source), ..ExtractSettings::paper() }),
        ];
        assert!(others.iter().all(|key| cache.get(key).is_none()));
    }

    #[test]
    fn the_oldest_goes_first_and_what_is_too_large_is_not_kept() {
        let usual = ExtractSettings::default();
        let size = layer(0.0).tokens.patches.bytes();
        let cache = FeatureCache::new(2 * size);
        for picture in [1, 2] {
            cache.insert(key(picture, "a", 1, &usual), layer(0.0));
        }
        assert!(cache.get(&key(1, "a", 1, &usual)).is_some());
        cache.insert(key(3, "a", 1, &usual), layer(0.0));
        assert!(cache.get(&key(2, "a", 1, &usual)).is_none());
        assert!(cache.get(&key(1, "a", 1, &usual)).is_some());
        assert_eq!(cache.bytes(), 2 * size);
        cache.insert(key(3, "a", 1, &usual), layer(1.0));
        assert_eq!(cache.bytes(), 2 * size);
        FeatureCache::new(size - 1).insert(key(1, "a", 1, &usual), layer(0.0));
        cache.clear();
        assert_eq!(cache.bytes(), 0);
    }
}
