//! Where models are on this machine: those that come with the program, those in the model folder, those the person
//! named, and those that other programs keep in the hub's cache (which is only read).

use std::path::{Path, PathBuf};

use directories::{BaseDirs, ProjectDirs};

use super::PackError;
use super::manifest::{Manifest, Model, Role};

/// The list of models together with the places where their files may be.
#[derive(Debug, Clone)]
pub struct Store {
    manifest: Manifest,
    places: Places,
}

/// The folders that are looked in.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// Where the program's assets may be, in the order they are tried.
    pub assets: Vec<PathBuf>,
    /// Where fetched models are kept, one folder a model, named by its id.
    pub models: Option<PathBuf>,
    /// Other programs' hub caches (`models--OWNER--NAME/snapshots/REVISION`).
    pub hub_caches: Vec<PathBuf>,
    /// The user's own list.
    pub own_list: Option<PathBuf>,
}

/// A model found on this machine.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its folder or file.
    pub path: PathBuf,
    /// Its entry in the list; `None` for a folder that the person named.
    pub model: Option<Model>,
}

impl Places {
    /// The places on this machine. `GLASSBOX_ASSETS` and `GLASSBOX_MODELS` in the environment come first.
    #[must_use]
    pub fn of_this_machine() -> Self {
        let own = ProjectDirs::from("", "", "glassbox");
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let mut assets: Vec<PathBuf> = variable("GLASSBOX_ASSETS").into_iter().collect();
        if let Some(beside) = std::env::current_exe().ok().as_deref().and_then(Path::parent) {
            assets.push(beside.join("assets"));
            assets.push(beside.join("../share/glassbox"));
            assets.push(beside.join("../Resources/assets"));
        }
        assets.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("assets"));
        assets.extend(own.as_ref().map(|own| own.data_dir().join("assets")));
        let hub_caches = variable("HF_HUB_CACHE")
            .or_else(|| variable("HF_HOME").map(|home| home.join("hub")))
            .or_else(|| BaseDirs::new().map(|dirs| dirs.home_dir().join(".cache/huggingface/hub")));
        Self {
            assets,
            models: variable("GLASSBOX_MODELS").or_else(|| own.as_ref().map(|own| own.data_dir().join("models"))),
            hub_caches: hub_caches.into_iter().collect(),
            own_list: own.as_ref().map(|own| own.config_dir().join("models.toml")),
        }
    }
}

impl Store {
    /// The store of this machine.
    ///
    /// # Errors
    /// If the user's own list cannot be used.
    pub fn open() -> Result<Self, PackError> {
        Self::at(Places::of_this_machine())
    }

    /// A store over `places`.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn at(places: Places) -> Result<Self, PackError> {
        let manifest = match &places.own_list {
            Some(own) => Manifest::with_own(own)?,
            None => Manifest::built_in()?,
        };
        Ok(Self { manifest, places })
    }

    /// The list of models and packs.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The folders that are looked in.
    #[must_use]
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// The folder of `model`, or its file where it is one, if it is on this machine. Only its presence is looked at, not
    /// its content.
    #[must_use]
    pub fn locate(&self, model: &Model) -> Option<PathBuf> {
        if let Some(path) = model.path.as_ref().filter(|path| path.exists()) {
            return Some(path.clone());
        }
        let bundled = model.folder.as_ref().map(|folder| self.places.assets.iter().map(move |root| root.join(folder)));
        let fetched = self.places.models.as_ref().map(|root| root.join(&model.id));
        let cached = model.repository.iter().flat_map(|repository| {
            let caches = self.places.hub_caches.iter();
            caches.filter_map(move |cache| snapshot(cache, repository, model.revision.as_deref()))
        });
        let candidates = bundled.into_iter().flatten().chain(fetched).chain(cached).filter(|path| path.is_dir());
        match &model.file {
            Some(file) => candidates.map(|folder| folder.join(file)).find(|path| path.is_file()),
            None => candidates.into_iter().next(),
        }
    }

    /// The model meant by `name` for `role`: a folder or file, a model's id, or a pack's id.
    ///
    /// # Errors
    /// [`PackError::Unknown`] if it is none of these, [`PackError::NotHere`] if its files are not on this machine.
    pub fn find(&self, name: &str, role: Role) -> Result<Found, PackError> {
        let model = match self.manifest.pack(name) {
            Some(pack) => {
                let id = pack.models.get(&role).ok_or_else(|| PackError::OtherModel {
                    path: PathBuf::from(name),
                    detail: format!("this pack has no {role}"),
                })?;
                self.manifest.model(id)
            }
            None => self.manifest.model(name),
        };
        let Some(model) = model else {
            let path = Path::new(name);
            if path.exists() {
                return Ok(Found { path: path.to_path_buf(), model: None });
            }
            let ids = self.manifest.packs.iter().map(|pack| pack.id.as_str());
            let ids = ids.chain(self.manifest.models.iter().map(|model| model.id.as_str()));
            return Err(PackError::Unknown { name: name.into(), known: ids.collect::<Vec<_>>().join(", ") });
        };
        if !model.roles.contains(&role) {
            return Err(PackError::OtherModel { path: PathBuf::from(name), detail: format!("it is no {role}") });
        }
        match self.locate(model) {
            Some(path) => Ok(Found { path, model: Some(model.clone()) }),
            None => Err(PackError::NotHere { id: model.id.clone(), advice: self.advice(model) }),
        }
    }

    /// What to do about a model that is not here.
    fn advice(&self, model: &Model) -> String {
        match (&model.repository, &model.path) {
            (_, Some(path)) => format!("its folder {} is gone", path.display()),
            (Some(repository), None) => {
                let what = match &model.file {
                    Some(file) => format!("the file {file} of the repository {repository}"),
                    None => format!("the repository {repository}"),
                };
                format!(
                    "fetch {what} with `glassbox models fetch {}` or on the Models page, or name a folder that has it",
                    model.id
                )
            }
            (None, None) => {
                "it comes with the program, but its assets folder was not found; set GLASSBOX_ASSETS to it".into()
            }
        }
    }
}

/// The snapshot of `repository` in the hub cache `cache`: that of the pinned revision if it is there, else the one that
/// `refs/main` names.
fn snapshot(cache: &Path, repository: &str, revision: Option<&str>) -> Option<PathBuf> {
    let folder = cache.join(format!("models--{}", repository.replace('/', "--")));
    let snapshots = folder.join("snapshots");
    let mut names: Vec<String> =
        std::fs::read_dir(&snapshots).ok()?.filter_map(|item| item.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    let pinned = revision.and_then(|revision| names.iter().find(|name| name.starts_with(revision)));
    let main = std::fs::read_to_string(folder.join("refs/main")).unwrap_or_default();
    let name = pinned.or_else(|| names.iter().find(|name| *name == main.trim()))?;
    Some(snapshots.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_folders() {
        let root = tempfile::tempdir().unwrap();
        let places = Places {
            assets: vec![root.path().join("nowhere"), root.path().join("assets")],
            models: Some(root.path().join("models")),
            hub_caches: vec![root.path().join("hub")],
            own_list: Some(root.path().join("models.toml")),
        };
        let make = |path: &str| std::fs::create_dir_all(root.path().join(path)).unwrap();
        let find = |name: &str| Store::at(places.clone()).unwrap().find(name, Role::Editor);

        assert!(find("starter").unwrap_err().to_string().contains("GLASSBOX_ASSETS"));
        make("assets/starter/editor");
        let found = find("starter").unwrap();
        assert!(found.path.ends_with("assets/starter/editor"));
        assert_eq!(found.model.unwrap().id, "starter-editor");

        assert!(find("instruct-pix2pix").unwrap_err().to_string().contains("timbrooks/instruct-pix2pix"));
        make("hub/models--timbrooks--instruct-pix2pix/snapshots/31519b5cb02a7fd89b906d88731cd4d6a7bbf88d");
        assert!(find("paper").unwrap().path.ends_with("31519b5cb02a7fd89b906d88731cd4d6a7bbf88d"));
        make("models/instruct-pix2pix");
        assert!(find("paper").unwrap().path.ends_with("models/instruct-pix2pix"));

        assert!(find("starter-language").unwrap_err().to_string().contains("no editor"));

        // One file of a repository that holds several models.
        let backbone = |name: &str| Store::at(places.clone()).unwrap().find(name, Role::Backbone);
        let absent = backbone("fit3d-mae-base").unwrap_err().to_string();
        assert!(absent.contains("the file mae_base_finetuned.pth of the repository yuanwenyue/FiT3D"), "{absent}");
        make("hub/models--yuanwenyue--FiT3D/snapshots/0123");
        make("hub/models--yuanwenyue--FiT3D/refs");
        std::fs::write(root.path().join("hub/models--yuanwenyue--FiT3D/refs/main"), "0123").unwrap();
        assert!(backbone("fit3d-mae-base").is_err());
        let file = root.path().join("hub/models--yuanwenyue--FiT3D/snapshots/0123/mae_base_finetuned.pth");
        std::fs::write(&file, "x").unwrap();
        assert_eq!(backbone("fit3d-mae-base").unwrap().path, file);
        let unknown = find("no-such-model").unwrap_err().to_string();
        assert!(unknown.contains("starter") && unknown.contains("hq-edit"), "{unknown}");
        let folder = root.path().to_str().unwrap();
        assert!(find(folder).unwrap().model.is_none());

        let own = format!(
            "[[model]]\nid='mine'\nname='Mine'\nroles=['editor']\nlayout='diffusers'\npath={folder:?}\nlicence={{name='MIT'}}\n"
        );
        std::fs::write(root.path().join("models.toml"), own).unwrap();
        assert_eq!(find("mine").unwrap().path, root.path());
    }
}
