//! The tensors of one component of a model (a UNet, a VAE, a text encoder …), from whichever files hold them.
//!
//! [`Weights`] opens one safetensors file, or several with an index, after [`header`](super::header) has checked each against its length.
//! Files are mapped into memory; where that is impossible or unwanted (network drives), each tensor is read when it is
//! asked for. [`Weights::var_builder`] feeds a network: it casts to the wanted precision, finds tensors under the names
//! that other generations of the libraries gave them, and records which were taken, so that [`Weights::unused`] can say
//! what a network left lying.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Device, Shape, Tensor};
use candle_nn::VarBuilder;
use candle_nn::var_builder::SimpleBackend;
use safetensors::Dtype;
use serde::Deserialize;

use super::file_bytes::FileBytes;
use super::{PackError, header, sniff};

/// How a component's files are opened.
#[derive(Debug, Clone, Default)]
pub struct WeightOptions {
    /// Read each tensor when it is asked for instead of mapping the files. Files on network drives, where a lost
    /// connection would end the program, are read in any case as far as such drives can be told.
    pub read_instead_of_map: bool,
}

/// The tensors of one component. Cheap to clone; clones share the record of what was taken.
#[derive(Debug, Clone)]
pub struct Weights {
    tensors: Arc<BTreeMap<String, Located>>,
    files: Arc<Vec<Arc<FileBytes>>>,
    taken: Arc<Mutex<BTreeSet<String>>>,
}

/// What is known of a tensor without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorFacts {
    /// How its numbers are stored.
    pub dtype: Dtype,
    /// Its shape as stored.
    pub shape: Vec<usize>,
    /// Its size as stored, in bytes.
    pub bytes: u64,
}

/// Where a tensor stands.
#[derive(Debug, Clone)]
struct Located {
    file: Arc<FileBytes>,
    entry: header::Entry,
}

/// Opens `path`, checks its header and returns the file with its tensors.
fn open_checked(path: &Path, options: &WeightOptions) -> Result<(Arc<FileBytes>, Vec<header::Entry>), PackError> {
    let mut file = File::open(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => PackError::missing(path, "a weight file that the model needs"),
        _ => PackError::Io { path: path.to_path_buf(), doing: "opened", source },
    })?;
    let entries = header::read(path, &mut file)?;
    Ok((Arc::new(FileBytes::new(path, file, options.read_instead_of_map)), entries))
}

/// The names under which a component's weights are published, in the order of preference. Full precision comes before
/// half because everything is cast to the working precision anyway.
const SINGLE_FILES: [&str; 4] = [
    "diffusion_pytorch_model.safetensors",
    "model.safetensors",
    "diffusion_pytorch_model.fp16.safetensors",
    "model.fp16.safetensors",
];

/// The index files of weights split over several files, in the order of preference.
const INDEX_FILES: [&str; 6] = [
    "diffusion_pytorch_model.safetensors.index.json",
    "model.safetensors.index.json",
    "diffusion_pytorch_model.safetensors.index.fp16.json",
    "model.safetensors.index.fp16.json",
    "diffusion_pytorch_model.fp16.safetensors.index.json",
    "model.fp16.safetensors.index.json",
];

/// The names of pickled weights, in the order of preference. They have to go through the converter.
const PICKLE_FILES: [&str; 4] =
    ["diffusion_pytorch_model.bin", "pytorch_model.bin", "diffusion_pytorch_model.fp16.bin", "pytorch_model.fp16.bin"];

/// The files of a component, as found in its folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ComponentFiles {
    /// One safetensors file.
    Single(PathBuf),
    /// An index that names several safetensors files.
    Index(PathBuf),
    /// One pickle, to be converted first.
    Pickle(PathBuf),
}

/// An index of weights split over several files.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The files that hold the weights of the component in `folder`, safetensors before pickles.
///
/// # Errors
/// [`PackError::Missing`] if there is none, [`PackError::Config`] if several unnamed ones leave the choice open.
pub fn find_files(folder: &Path) -> Result<ComponentFiles, PackError> {
    let there = |names: &[&str]| names.iter().map(|name| folder.join(name)).find(|path| path.is_file());
    if let Some(path) = there(&SINGLE_FILES) {
        return Ok(ComponentFiles::Single(path));
    }
    if let Some(path) = there(&INDEX_FILES) {
        return Ok(ComponentFiles::Index(path));
    }
    let mut others = Vec::new();
    if folder.is_dir() {
        for item in std::fs::read_dir(folder).map_err(PackError::io(folder, "listed"))? {
            let path = item.map_err(PackError::io(folder, "listed"))?.path();
            let extension = path.extension().and_then(|extension| extension.to_str());
            if extension.is_some_and(|extension| extension.eq_ignore_ascii_case("safetensors")) && path.is_file() {
                others.push(path);
            }
        }
    }
    match (others.as_slice(), there(&PICKLE_FILES)) {
        ([only], _) => Ok(ComponentFiles::Single(only.clone())),
        (_, Some(path)) => Ok(ComponentFiles::Pickle(path)),
        ([], None) => Err(PackError::missing(
            folder.join(if folder.is_dir() { SINGLE_FILES[0] } else { "" }).as_path(),
            "no weight file (*.safetensors or *.bin) was found there",
        )),
        (several, None) => Err(PackError::config(
            folder,
            format!("it holds {} safetensors files and none has a usual name, so the choice is open", several.len()),
        )),
    }
}

impl Weights {
    /// The weights of the component in `folder` (safetensors only; [`find_files`] tells of pickles, which have
    /// to be converted first), or of the one file `folder` is.
    ///
    /// # Errors
    /// If files are missing, cut short, mislabelled or contradict themselves.
    pub fn open(folder: &Path, options: &WeightOptions) -> Result<Self, PackError> {
        if folder.is_file() {
            return Self::open_file(folder, options);
        }
        match find_files(folder)? {
            ComponentFiles::Single(path) => Self::open_file(&path, options),
            ComponentFiles::Index(path) => Self::open_index(&path, options),
            ComponentFiles::Pickle(path) => Err(PackError::NotWeights { found: sniff::of_file(&path)?, path }),
        }
    }

    /// The weights in one safetensors file.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_file(path: &Path, options: &WeightOptions) -> Result<Self, PackError> {
        let (file, entries) = open_checked(path, options)?;
        let tensors =
            entries.into_iter().map(|entry| (entry.name.clone(), Located { file: Arc::clone(&file), entry })).collect();
        Ok(Self::of(tensors, vec![file]))
    }

    /// The weights split over the files that the index at `path` names. Every file must stand in the index's folder.
    ///
    /// # Errors
    /// As [`Self::open`], and if the index names a file outside its folder or a tensor that its file lacks.
    pub fn open_index(path: &Path, options: &WeightOptions) -> Result<Self, PackError> {
        let Index { weight_map } = super::read_json_as(path)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut tensors = BTreeMap::new();
        let mut files = Vec::new();
        for name in weight_map.values().collect::<BTreeSet<_>>() {
            let plain = Path::new(name).components().count() == 1 && !name.contains(['/', '\\', ':']) && name != "..";
            if !plain {
                return Err(PackError::Refused {
                    path: path.to_path_buf(),
                    detail: format!("it names a weight file outside its own folder ({name:?})"),
                });
            }
            let (file, entries) = open_checked(&folder.join(name), options)?;
            for entry in entries {
                let located = Located { file: Arc::clone(&file), entry };
                if let Some(first) = tensors.insert(located.entry.name.clone(), located.clone()) {
                    return Err(PackError::damaged(
                        file.path(),
                        format!(
                            "it holds the tensor {} which {} holds too",
                            located.entry.name,
                            first.file.path().display()
                        ),
                    ));
                }
            }
            files.push(file);
        }
        for (tensor, name) in &weight_map {
            let there = tensors.get(tensor).is_some_and(|located: &Located| located.file.path().ends_with(name));
            if !there {
                return Err(PackError::TensorMissing {
                    path: folder.join(name),
                    tensor: tensor.clone(),
                    expected: None,
                });
            }
        }
        Ok(Self::of(tensors, files))
    }

    fn of(tensors: BTreeMap<String, Located>, files: Vec<Arc<FileBytes>>) -> Self {
        Self { tensors: Arc::new(tensors), files: Arc::new(files), taken: Arc::default() }
    }

    /// The same tensors under other names: `rename` gives the new name of each stored one, or `None` to leave it out.
    /// The record of what was taken begins empty and speaks in the new names.
    ///
    /// # Errors
    /// [`PackError::Damaged`] if two tensors get one name.
    pub fn renamed(&self, mut rename: impl FnMut(&str) -> Option<String>) -> Result<Self, PackError> {
        let mut tensors = BTreeMap::new();
        for (old, located) in self.tensors.iter() {
            let Some(new) = rename(old) else { continue };
            if tensors.insert(new.clone(), located.clone()).is_some() {
                return Err(PackError::damaged(located.file.path(), format!("two of its tensors mean {new}")));
            }
        }
        Ok(Self { tensors: Arc::new(tensors), files: Arc::clone(&self.files), taken: Arc::default() })
    }

    /// These tensors and those of `other` together; the record of what was taken begins empty.
    ///
    /// # Errors
    /// [`PackError::Damaged`] if both have a tensor of one name.
    pub fn joined(&self, other: &Self) -> Result<Self, PackError> {
        let mut tensors = BTreeMap::clone(&self.tensors);
        for (name, located) in other.tensors.iter() {
            if tensors.insert(name.clone(), located.clone()).is_some() {
                return Err(PackError::damaged(
                    located.file.path(),
                    format!("it holds {name}, which another file has"),
                ));
            }
        }
        let files = self.files.iter().chain(other.files.iter()).cloned().collect();
        Ok(Self::of(tensors, files))
    }

    /// The names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// What is known of the tensor `name` (or of one of its other names) without reading it.
    #[must_use]
    pub fn facts(&self, name: &str) -> Option<TensorFacts> {
        let (_, located) = self.find(name)?;
        Some(TensorFacts {
            dtype: located.entry.dtype,
            shape: located.entry.shape.clone(),
            bytes: located.entry.bytes.end - located.entry.bytes.start,
        })
    }

    /// The files behind these weights.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| file.path())
    }

    /// How many numbers all tensors hold together.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        let count = |located: &Located| located.entry.shape.iter().map(|&side| side as u64).product::<u64>();
        self.tensors.values().map(count).sum()
    }

    /// Whether every file is mapped into memory (and none is read piece by piece).
    #[must_use]
    pub fn mapped(&self) -> bool {
        self.files.iter().all(|file| file.mapped())
    }

    /// A builder that feeds a network on `device` in the precision `dtype`.
    #[must_use]
    pub fn var_builder(&self, device: &Device, dtype: DType) -> VarBuilder<'static> {
        VarBuilder::from_backend(Box::new(self.clone()), dtype, device.clone())
    }

    /// The stored tensors that no builder of these weights has handed out, without the position indices that old text
    /// encoders store beside their weights.
    #[must_use]
    pub fn unused(&self) -> Vec<String> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = |name: &&String| !taken.contains(*name) && !name.ends_with("position_ids");
        self.tensors.keys().filter(counts).cloned().collect()
    }

    /// The tensor stored as `name` or under one of its other names, with the name it is stored under.
    fn find(&self, name: &str) -> Option<(String, &Located)> {
        std::iter::once(name.to_string())
            .chain(other_names(name))
            .find_map(|name| self.tensors.get(&name).map(|located| (name, located)))
    }

    /// Reads the tensor `name`, as `[shape]` if one is given and as stored otherwise.
    ///
    /// # Errors
    /// [`PackError::TensorMissing`], [`PackError::TensorShape`], or what reading brings.
    pub fn tensor(
        &self,
        name: &str,
        shape: Option<&[usize]>,
        dtype: DType,
        device: &Device,
    ) -> Result<Tensor, candle_core::Error> {
        let (stored_name, located) = self.find(name).ok_or_else(|| {
            candle_core::Error::wrap(PackError::TensorMissing {
                path: self.files.first().map_or_else(PathBuf::new, |file| file.path().to_path_buf()),
                tensor: name.to_string(),
                expected: shape.map(<[usize]>::to_vec),
            })
        })?;
        let Located { file, entry } = located;
        let wanted = shape.unwrap_or(&entry.shape);
        if wanted != entry.shape && trimmed(wanted) != trimmed(&entry.shape) {
            return Err(candle_core::Error::wrap(PackError::TensorShape {
                path: file.path().to_path_buf(),
                tensor: stored_name,
                expected: wanted.to_vec(),
                found: entry.shape.clone(),
            }));
        }
        let stored = DType::try_from(entry.dtype).map_err(|_| {
            candle_core::Error::wrap(PackError::damaged(
                file.path(),
                format!("the tensor {stored_name} is stored as {:?}, which no network here takes", entry.dtype),
            ))
        })?;
        let tensor = file
            .with(&entry.bytes, |bytes| Tensor::from_raw_buffer(bytes, stored, wanted, device))
            .map_err(candle_core::Error::wrap)??;
        let tensor = tensor.to_dtype(dtype)?;
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).insert(stored_name);
        Ok(tensor)
    }
}

/// A shape without its trailing ones: `[512, 512, 1, 1]`, a 1×1 convolution, is the same matrix as `[512, 512]`.
fn trimmed(shape: &[usize]) -> &[usize] {
    let used = shape.iter().rposition(|&side| side != 1).map_or(0, |last| last + 1);
    shape.get(..used).unwrap_or_default()
}

/// The other names that generations of the libraries gave the tensor `name`: with or without the text encoder's
/// `text_model.` in front, and the two namings of the VAE's attention (`to_q` was `query`, and so on).
fn other_names(name: &str) -> Vec<String> {
    const ATTENTION: [(&str, &str); 4] =
        [(".to_q.", ".query."), (".to_k.", ".key."), (".to_v.", ".value."), (".to_out.0.", ".proj_attn.")];
    let mut names = match name.strip_prefix("text_model.") {
        Some(rest) => vec![rest.to_string()],
        None => vec![format!("text_model.{name}")],
    };
    if name.contains("attentions.") {
        for (new, old) in ATTENTION {
            for (from, to) in [(new, old), (old, new)] {
                if name.contains(from) {
                    names.push(name.replace(from, to));
                }
            }
        }
    }
    names
}

impl SimpleBackend for Weights {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        _: candle_nn::Init,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        self.tensor(name, Some(shape.dims()), dtype, device)
    }

    fn get_unchecked(&self, name: &str, dtype: DType, device: &Device) -> candle_core::Result<Tensor> {
        self.tensor(name, None, dtype, device)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.find(name).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_files::{Stored, safetensors};
    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn two_tensors() -> Vec<u8> {
        safetensors(&[
            Stored::f32("conv_in.weight", &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
            Stored::f32("conv_in.bias", &[2], &[7.0, 8.0]),
        ])
    }

    fn open(bytes: &[u8]) -> Result<Weights, PackError> {
        let folder = folder();
        let path = folder.path().join("model.safetensors");
        std::fs::write(&path, bytes).unwrap();
        Weights::open(&path, &WeightOptions::default())
    }

    #[test]
    fn feeds_a_network_and_tells_what_it_left() {
        for read_instead_of_map in [false, true] {
            let folder = folder();
            std::fs::write(folder.path().join("model.safetensors"), two_tensors()).unwrap();
            let weights = Weights::open(folder.path(), &WeightOptions { read_instead_of_map }).unwrap();
            assert_eq!(weights.mapped(), !read_instead_of_map);
            assert_eq!(weights.parameters(), 8);
            let vb = weights.var_builder(&Device::Cpu, DType::F32).pp("conv_in");
            assert!(vb.contains_tensor("bias"));
            let weight = vb.get((2, 3), "weight").unwrap();
            assert_eq!(weight.to_vec2::<f32>().unwrap(), [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
            assert_eq!(weights.unused(), ["conv_in.bias"]);
            vb.get(2, "bias").unwrap();
            assert!(weights.unused().is_empty());
        }
    }

    #[test]
    fn casts_every_stored_float_to_the_wanted_precision() {
        let values = [0.5f32, -2.0, 1024.0];
        let half: Vec<u8> = values.iter().flat_map(|&v| half::f16::from_f32(v).to_le_bytes()).collect();
        let brain: Vec<u8> = values.iter().flat_map(|&v| half::bf16::from_f32(v).to_le_bytes()).collect();
        let double: Vec<u8> = values.iter().flat_map(|&v| f64::from(v).to_le_bytes()).collect();
        let weights = open(&safetensors(&[
            Stored::new("half", "F16", &[3], half),
            Stored::new("brain", "BF16", &[3], brain),
            Stored::new("double", "F64", &[3], double),
        ]))
        .unwrap();
        let vb = weights.var_builder(&Device::Cpu, DType::F32);
        for name in ["half", "brain", "double"] {
            assert_eq!(vb.get(3, name).unwrap().to_vec1::<f32>().unwrap(), values, "{name}");
        }
    }

    #[test]
    fn missing_and_misshaped_tensors_are_named_with_their_file() {
        let weights = open(&two_tensors()).unwrap();
        let vb = weights.var_builder(&Device::Cpu, DType::F32);
        let missing = vb.get((4, 4), "conv_out.weight").unwrap_err().to_string();
        assert!(
            missing.contains("model.safetensors lacks the tensor conv_out.weight (expected shape [4, 4])"),
            "{missing}"
        );
        let shape = vb.get((3, 2), "conv_in.weight").unwrap_err().to_string();
        assert!(shape.contains("conv_in.weight has the shape [2, 3] where [3, 2] is expected"), "{shape}");
        // What was refused was not taken.
        assert_eq!(weights.unused().len(), 2);
    }

    #[test]
    fn finds_tensors_under_the_names_of_other_generations() {
        let weights = open(&safetensors(&[
            Stored::f32("text_model.final_layer_norm.weight", &[1], &[1.0]),
            Stored::f32("encoder.layers.0.mlp.fc1.weight", &[1], &[2.0]),
            Stored::f32("encoder.mid_block.attentions.0.query.weight", &[2, 2, 1, 1], &[3.0; 4]),
            Stored::f32("encoder.mid_block.attentions.0.proj_attn.bias", &[2], &[4.0; 2]),
            Stored::f32("decoder.mid_block.attentions.0.to_out.0.bias", &[2], &[5.0; 2]),
            Stored::new("text_model.embeddings.position_ids", "I64", &[1, 1], vec![0; 8]),
        ]))
        .unwrap();
        let vb = weights.var_builder(&Device::Cpu, DType::F32);
        let first = |shape: &[usize], name: &str| {
            vb.get(shape, name).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()[0]
        };
        assert_eq!(first(&[1], "final_layer_norm.weight"), 1.0);
        assert_eq!(first(&[1], "text_model.encoder.layers.0.mlp.fc1.weight"), 2.0);
        assert_eq!(first(&[2, 2], "encoder.mid_block.attentions.0.to_q.weight"), 3.0);
        assert_eq!(first(&[2], "encoder.mid_block.attentions.0.to_out.0.bias"), 4.0);
        assert_eq!(first(&[2], "decoder.mid_block.attentions.0.proj_attn.bias"), 5.0);
        assert!(!vb.contains_tensor("encoder.mid_block.attentions.0.to_k.weight"));
        assert!(weights.unused().is_empty(), "position indices are not weights");
    }

    #[test]
    fn a_file_cut_anywhere_is_an_error() {
        let whole = two_tensors();
        for length in 0..whole.len() {
            let error = open(&whole[..length]).unwrap_err().to_string();
            assert!(error.contains("model.safetensors"), "{length}: {error}");
        }
        open(&whole).unwrap();
    }

    #[test]
    fn a_file_cut_after_opening_is_an_error_when_reading() {
        let folder = folder();
        let path = folder.path().join("model.safetensors");
        std::fs::write(&path, two_tensors()).unwrap();
        let weights = Weights::open(&path, &WeightOptions { read_instead_of_map: true }).unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(two_tensors().len() as u64 - 3).unwrap();
        let error = weights.tensor("conv_in.bias", None, DType::F32, &Device::Cpu).unwrap_err().to_string();
        assert!(error.contains("cut short"), "{error}");
    }

    #[test]
    fn shards_are_joined_and_their_index_is_not_trusted() {
        let folder = folder();
        let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
        let index = |map: &str| {
            write("model.safetensors.index.json", format!("{{\"weight_map\":{map}}}").as_bytes());
        };
        write("one.safetensors", &safetensors(&[Stored::f32("a", &[1], &[1.0])]));
        write("two.safetensors", &safetensors(&[Stored::f32("b", &[1], &[2.0])]));
        write("again.safetensors", &safetensors(&[Stored::f32("a", &[1], &[3.0])]));
        let open = || {
            Weights::open(folder.path(), &WeightOptions::default())
                .map(|weights| weights.names().collect::<Vec<_>>().join(" "))
        };

        index(r#"{"a":"one.safetensors","b":"two.safetensors"}"#);
        assert_eq!(open().unwrap(), "a b");
        index(r#"{"a":"one.safetensors","b":"three.safetensors"}"#);
        assert!(matches!(open(), Err(PackError::Missing { .. })));
        index(r#"{"a":"one.safetensors","c":"two.safetensors"}"#);
        assert!(matches!(open(), Err(PackError::TensorMissing { .. })));
        index(r#"{"a":"one.safetensors","b":"again.safetensors"}"#);
        assert!(matches!(open(), Err(PackError::Damaged { .. })));
        for outside in ["../one.safetensors", "/etc/passwd", "..", "a/b.safetensors", "c:\\\\x"] {
            index(&format!(r#"{{"a":"{outside}"}}"#));
            assert!(matches!(open(), Err(PackError::Refused { .. })), "{outside}");
        }
    }

    #[test]
    fn the_usual_names_are_found_in_their_order() {
        let folder = folder();
        let add = |name: &str| std::fs::write(folder.path().join(name), two_tensors()).unwrap();
        let found = || find_files(folder.path());
        assert!(matches!(found(), Err(PackError::Missing { .. })));
        add("pytorch_model.bin");
        assert!(matches!(found(), Ok(ComponentFiles::Pickle(path)) if path.ends_with("pytorch_model.bin")));
        add("odd.SAFETENSORS");
        assert!(matches!(found(), Ok(ComponentFiles::Single(path)) if path.ends_with("odd.SAFETENSORS")));
        add("model.safetensors.index.json");
        assert!(matches!(found(), Ok(ComponentFiles::Index(_))));
        add("model.fp16.safetensors");
        assert!(matches!(found(), Ok(ComponentFiles::Single(path)) if path.ends_with("model.fp16.safetensors")));
        add("model.safetensors");
        assert!(matches!(found(), Ok(ComponentFiles::Single(path)) if path.ends_with("model.safetensors")));
    }
}
