//! What the person chose, kept between runs: one small JSON file, written whole or not at all.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ask::settings::AskChoices;
use super::edit::language::LanguageSettings;
use super::features::settings::FeatureSettings;
use super::folders::Folders;
use super::lens::LensKind;
use super::splats::settings::SplatSettings;
use crate::ops::device::{DeviceChoice, Precision};

/// Light, dark, or as the system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ThemeChoice {
    System,
    #[default]
    Dark,
    Light,
}

/// All settings. Fields this version does not know are kept as they were.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Settings {
    pub(crate) theme: ThemeChoice,
    /// Interface scale, 1 = as the system says.
    pub(crate) zoom: f32,
    /// Pictures opened last, newest first.
    pub(crate) recent: Vec<PathBuf>,
    /// Where the last dialog was.
    pub(crate) folder: Option<PathBuf>,
    pub(crate) filmstrip_open: bool,
    /// The lens that is open.
    pub(crate) lens: LensKind,
    /// The editor: a model's or pack's name, or a folder.
    pub(crate) editor: String,
    /// Who describes pictures and writes instructions.
    pub(crate) language_model: LanguageSettings,
    /// What was chosen in the Features lens.
    pub(crate) features: FeatureSettings,
    /// What was chosen in the Splats lens.
    pub(crate) splats: SplatSettings,
    /// What was chosen in the Ask lens.
    pub(crate) ask: AskChoices,
    pub(crate) device: DeviceChoice,
    pub(crate) precision: Precision,
    /// Shows the picture while it forms.
    pub(crate) preview: bool,
    /// Exported pictures carry how they were made.
    pub(crate) recipe_in_files: bool,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            theme: ThemeChoice::default(),
            zoom: 1.0,
            recent: Vec::new(),
            folder: None,
            filmstrip_open: true,
            lens: LensKind::default(),
            editor: "starter".to_owned(),
            language_model: LanguageSettings::default(),
            features: FeatureSettings::default(),
            splats: SplatSettings::default(),
            ask: AskChoices::default(),
            device: DeviceChoice::Auto,
            precision: Precision::Auto,
            preview: true,
            recipe_in_files: true,
            unknown: Map::new(),
        }
    }
}

const RECENT: usize = 12;

impl Settings {
    /// Puts `path` in front of the recent pictures.
    pub(crate) fn remember(&mut self, path: &Path) {
        self.recent.retain(|known| known != path);
        self.recent.insert(0, path.to_owned());
        self.recent.truncate(RECENT);
        self.folder = path.parent().map(Path::to_owned).or(self.folder.take());
    }
}

/// The settings and their file.
#[derive(Debug)]
pub(crate) struct SettingsStore {
    pub(crate) now: Settings,
    saved: Settings,
    file: PathBuf,
}

impl SettingsStore {
    /// Reads the settings; a file that cannot be understood is kept beside the new one under another name.
    pub(crate) fn load(folders: &Folders) -> (Self, Option<String>) {
        let file = folders.config.join("settings.json");
        let (now, complaint) = match std::fs::read(&file) {
            Err(_) => (Settings::default(), None),
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(settings) => (settings, None),
                Err(error) => {
                    let aside = file.with_extension("json.unreadable");
                    let kept = std::fs::rename(&file, &aside).is_ok();
                    let place = if kept { format!(" It is kept as {}.", aside.display()) } else { String::new() };
                    (Settings::default(), Some(format!("The settings file could not be read ({error}).{place}")))
                }
            },
        };
        (Self { saved: now.clone(), now, file }, complaint)
    }

    /// Writes the settings if they changed since the last time.
    ///
    /// # Errors
    /// One sentence if the file cannot be written; the old file is then as it was.
    pub(crate) fn save_if_changed(&mut self) -> Result<(), String> {
        if self.now == self.saved {
            return Ok(());
        }
        self.saved = self.now.clone();
        write_json(&self.file, &self.now)
    }
}

/// Writes `value` as JSON, whole or not at all, making the folder if need be.
pub(crate) fn write_json(file: &Path, value: &impl Serialize) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{} could not be written: {error}", file.display());
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let text = serde_json::to_vec_pretty(value).map_err(|e| failed(e.into()))?;
    crate::picture::atomic::write(file, |out| out.write_all(&text)).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_with_fields_of_another_version() {
        let home = tempfile::tempdir().unwrap();
        let folders = Folders::below(home.path());
        std::fs::create_dir_all(&folders.config).unwrap();
        std::fs::write(folders.config.join("settings.json"), r#"{"theme": "light", "from_the_future": [1, 2]}"#)
            .unwrap();
        let (mut store, complaint) = SettingsStore::load(&folders);
        assert_eq!((store.now.theme, complaint), (ThemeChoice::Light, None));
        store.now.remember(Path::new("/pictures/a.png"));
        store.now.remember(Path::new("/pictures/b.png"));
        store.now.remember(Path::new("/pictures/a.png"));
        store.save_if_changed().unwrap();
        let text = std::fs::read_to_string(folders.config.join("settings.json")).unwrap();
        assert!(text.contains("from_the_future"));
        let (again, _) = SettingsStore::load(&folders);
        assert_eq!(again.now.recent, [Path::new("/pictures/a.png"), Path::new("/pictures/b.png")]);
    }

    #[test]
    fn an_unreadable_file_is_set_aside_and_said() {
        let home = tempfile::tempdir().unwrap();
        let folders = Folders::below(home.path());
        std::fs::create_dir_all(&folders.config).unwrap();
        std::fs::write(folders.config.join("settings.json"), "{ half").unwrap();
        let (store, complaint) = SettingsStore::load(&folders);
        assert_eq!(store.now, Settings::default());
        assert!(complaint.is_some());
        assert_eq!(std::fs::read(folders.config.join("settings.json.unreadable")).unwrap(), b"{ half");
    }
}
