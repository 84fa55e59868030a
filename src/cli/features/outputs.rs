//! Where the maps of `glassbox features` go, in which size, and what is written below them.

use std::path::{Path, PathBuf};

use anyhow::Result;
use image::RgbImage;

use super::{FeaturesArgs, Pixels, Seen};
use crate::features::legend::{self, Key, Legend};
use crate::features::upsample::{self, Upsampling};
use crate::picture::encode::{Format, SaveOptions, save};

/// Where maps go and in which size.
pub(super) struct Outputs<'a> {
    args: &'a FeaturesArgs,
    /// For every picture what is put behind a file's name; nothing where there is one picture.
    suffixes: Vec<String>,
}

impl<'a> Outputs<'a> {
    /// Checks what can be checked before anything runs.
    pub(super) fn new(args: &'a FeaturesArgs) -> Result<Self> {
        let similar = args.similar_to.as_deref().and_then(|values| values.get(1)).map(PathBuf::from);
        let maps = [&args.pca, &args.kmeans, &similar, &args.norm, &args.difference, &args.clusters_png];
        for path in maps.into_iter().flatten() {
            Format::from_path(path)?;
        }
        let mut suffixes: Vec<String> = Vec::new();
        for path in &args.images {
            let stem = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
            let mut suffix = format!("-{stem}");
            let mut count = 1;
            while suffixes.contains(&suffix) {
                count += 1;
                suffix = format!("-{stem}-{count}");
            }
            suffixes.push(suffix);
        }
        if suffixes.len() == 1 {
            suffixes[0].clear();
        }
        Ok(Self { args, suffixes })
    }

    /// The file for picture `index`: "maps.png" becomes "maps-library.png" where there are several.
    pub(super) fn named(&self, path: &Path, index: usize) -> PathBuf {
        let suffix = self.suffixes.get(index).map_or("", String::as_str);
        if suffix.is_empty() {
            return path.to_owned();
        }
        let mut name = path.file_stem().map(std::ffi::OsStr::to_owned).unwrap_or_default();
        name.push(suffix);
        if let Some(ending) = path.extension() {
            name.push(".");
            name.push(ending);
        }
        path.with_file_name(name)
    }

    fn upsampling(&self) -> Option<Upsampling> {
        match self.args.pixels {
            Pixels::Patches => None,
            Pixels::Nearest => Some(Upsampling::Nearest),
            Pixels::Bilinear => Some(Upsampling::Bilinear),
            Pixels::Edges => Some(Upsampling::Edges),
        }
    }

    /// A map of a pixel a patch in the size that was asked for.
    pub(super) fn colours(&self, map: &RgbImage, seen: &Seen) -> RgbImage {
        match self.upsampling() {
            None => map.clone(),
            Some(how) => {
                upsample::colours(map, seen.grid.placement(), seen.picture.size(), how, Some(&seen.picture.rgb))
            }
        }
    }

    /// Numbers a patch in the size that was asked for, with that size.
    pub(super) fn values(&self, values: &[f32], seen: &Seen) -> ((u32, u32), Vec<f32>) {
        let size = seen.picture.size();
        match self.upsampling() {
            None => (grid_size(seen), values.to_vec()),
            Some(how) => (size, upsample::values(values, seen.grid.placement(), size, how, Some(&seen.picture.rgb))),
        }
    }

    /// Clusters a patch in the size that was asked for, with that size.
    pub(super) fn labels(&self, labels: &[u16], seen: &Seen) -> ((u32, u32), Vec<u16>) {
        let size = seen.picture.size();
        match self.upsampling() {
            None => (grid_size(seen), labels.to_vec()),
            Some(how) => (size, upsample::labels(labels, seen.grid.placement(), size, how, Some(&seen.picture.rgb))),
        }
    }

    /// Writes a map, with its legend below where that is wanted.
    pub(super) fn save(&self, path: &Path, map: &RgbImage, what: &str, seen: &Seen, key: Key) -> Result<()> {
        let options = SaveOptions { protected: self.args.images.clone(), ..SaveOptions::default() };
        let below = self.args.legend.then(|| {
            let name = seen.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            legend::below(map, &Legend { title: format!("{name}, {what}, {}", self.args.model), key })
        });
        save(path, below.as_ref().unwrap_or(map), None, &options)?;
        Ok(())
    }
}

fn grid_size(seen: &Seen) -> (u32, u32) {
    (seen.grid.width() as u32, seen.grid.height() as u32)
}
