//! Depth models: a head on a vision transformer, in a folder with `config.json` and weights side by side.

use std::path::{Path, PathBuf};

use super::weights::{WeightOptions, Weights};
use super::{PackError, read_json_as};
use crate::nets::depth_head::{DepthHeadConfig, LAYOUT};

/// A depth head's folder, opened.
#[derive(Debug)]
pub struct DepthFolder {
    /// Its config.
    pub config: DepthHeadConfig,
    /// Its weights.
    pub weights: Weights,
    /// The folder of the backbone that it reads.
    pub backbone: PathBuf,
}

impl DepthFolder {
    /// Opens `path`.
    ///
    /// # Errors
    /// If it is no depth head, or its files are missing or damaged, in one sentence.
    pub fn open(path: &Path) -> Result<Self, PackError> {
        let file = path.join("config.json");
        let config: DepthHeadConfig = read_json_as(&file)?;
        if config.layout != LAYOUT {
            return Err(PackError::config(
                &file,
                format!("its layout is {:?}, and {LAYOUT:?} is read here", config.layout),
            ));
        }
        let weights = Weights::open(path, &WeightOptions::default())?;
        let backbone = path.join(&config.backbone);
        Ok(Self { config, weights, backbone })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_starter_opens_and_others_are_refused() {
        let starter = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/starter/depth");
        let opened = DepthFolder::open(&starter).unwrap();
        assert_eq!((opened.config.width, opened.config.points), (192, 4));
        assert!(opened.backbone.join("config.json").is_file());
        let folder = tempfile::tempdir().unwrap();
        assert!(DepthFolder::open(folder.path()).unwrap_err().to_string().contains("config.json"));
        let config = std::fs::read_to_string(starter.join("config.json")).unwrap().replace(LAYOUT, "other");
        std::fs::write(folder.path().join("config.json"), config).unwrap();
        assert!(DepthFolder::open(folder.path()).unwrap_err().to_string().contains("\"other\""));
    }
}
