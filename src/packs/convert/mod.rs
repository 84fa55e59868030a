//! Turns PyTorch's pickled weights (`.bin`, `.pth`, `.ckpt`) into safetensors, once, in the cache folder.
//!
//! The zip container is read in place and nothing is extracted; the pickle in it is read as data by [`pickle`]. Tensors
//! come from the dictionary itself or from its `state_dict`; everything beside that one (optimiser states, settings) is
//! skipped. Where there are only dictionaries in the dictionary, their tensors are named `outer/inner`. The result is
//! written whole or not at all and checked like any other weight file before it counts.

mod pickle;

use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use sha2::{Digest, Sha256};
use zip::{CompressionMethod, ZipArchive};

use self::pickle::{Id, Node, Pickle, Tensor};
use super::sniff::{self, Content};
use super::{PackError, header};

/// The largest pickle that is read; the tensors are not in it.
const MAX_PICKLE: u64 = 64 << 20;

/// Told how many of how many bytes are written; breaking cancels.
pub type Progress<'a> = &'a dyn Fn(u64, u64) -> ControlFlow<()>;

/// A tensor found in the archive, with where its storage stands in the file.
struct Source {
    name: String,
    dtype: Dtype,
    tensor: Tensor,
    /// First byte of the storage in the file.
    start: u64,
}

impl Source {
    /// Bytes from the first element to behind the last, as they lie in the file; views were checked by [`check_view`].
    fn span(&self) -> u64 {
        let Tensor { shape, strides, .. } = &self.tensor;
        if shape.contains(&0) {
            return 0;
        }
        let last: u64 = shape.iter().zip(strides).map(|(side, stride)| (side - 1) * stride).sum();
        (last + 1) * width(self.dtype)
    }
}

/// The folder for converted weights on this machine.
///
/// # Errors
/// If the system names no folder for caches.
pub fn cache_folder() -> Result<PathBuf, PackError> {
    let own = directories::ProjectDirs::from("", "", "glassbox");
    own.map(|own| own.cache_dir().join("converted"))
        .ok_or_else(|| PackError::missing(Path::new("cache"), "this system names no folder for caches"))
}

/// The safetensors file with the weights of the pickle at `path`: made in `cache` if it is not there yet. The file's
/// place, size and time of change decide whether it is the same.
///
/// # Errors
/// [`PackError::Refused`] for what is not plain weights, [`PackError::Damaged`] for contradictions, or what reading and
/// writing bring.
pub fn converted(path: &Path, cache: &Path, progress: Progress<'_>) -> Result<PathBuf, PackError> {
    let facts = std::fs::metadata(path).map_err(PackError::io(path, "read"))?;
    let place = path.canonicalize().map_err(PackError::io(path, "found"))?;
    let mut key = Sha256::new();
    key.update(place.as_os_str().as_encoded_bytes());
    key.update(facts.len().to_le_bytes());
    let changed = facts.modified().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    key.update(changed.unwrap_or_default().as_nanos().to_le_bytes());
    let key: String = key.finalize().iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    let stem = path.file_stem().map_or_else(|| "weights".into(), |stem| stem.to_string_lossy().into_owned());
    let target = cache.join(format!("{stem}-{key}.safetensors"));
    if File::open(&target).is_ok_and(|mut file| header::read(&target, &mut file).is_ok()) {
        return Ok(target);
    }
    let sources = find(path, facts.len())?;
    std::fs::create_dir_all(cache).map_err(PackError::io(cache, "made"))?;
    write(path, &sources, &target, progress)?;
    Ok(target)
}

/// Checks that `path` is a pickle that could be converted, without converting it, and returns its number of tensors.
///
/// # Errors
/// As [`converted`].
pub fn inspect(path: &Path) -> Result<usize, PackError> {
    let length = std::fs::metadata(path).map_err(PackError::io(path, "read"))?.len();
    find(path, length).map(|sources| sources.len())
}

/// The tensors in the archive at `path`, of `length` bytes, in the order of their names.
fn find(path: &Path, length: u64) -> Result<Vec<Source>, PackError> {
    let refused = |detail: String| PackError::Refused { path: path.to_path_buf(), detail };
    match sniff::of_file(path)? {
        Content::Zip => {}
        Content::Pickle | Content::Tar => {
            return Err(refused(
                "it was saved by PyTorch before version 1.6, in a format that is not read here; load it in a newer PyTorch and save it again".into(),
            ));
        }
        found => return Err(PackError::NotWeights { path: path.to_path_buf(), found }),
    }
    let file = File::open(path).map_err(PackError::io(path, "opened"))?;
    let broken =
        |error: zip::result::ZipError| PackError::damaged(path, format!("its zip directory cannot be read ({error})"));
    let mut archive = ZipArchive::new(file).map_err(broken)?;
    if archive.has_overlapping_files().map_err(broken)? {
        return Err(refused("parts of its zip archive overlap".into()));
    }
    let description = archive.file_names().find(|name| name.ends_with("/data.pkl")).map(str::to_string);
    let description =
        description.ok_or_else(|| refused("it is a zip archive, but not one that PyTorch wrote".into()))?;
    let prefix = description.trim_end_matches("data.pkl").to_string();
    let big_endian = archive.by_name(&format!("{prefix}byteorder")).is_ok_and(|mut entry| {
        let mut order = Vec::new();
        entry.by_ref().take(8).read_to_end(&mut order).is_ok() && order.starts_with(b"big")
    });
    if big_endian {
        return Err(refused("its numbers are stored in big-endian order".into()));
    }
    let (start, size) = stored(&mut archive, &description, length, path)?;
    if size > MAX_PICKLE {
        return Err(refused(format!("its pickle has {size} bytes, far more than a description of weights needs")));
    }
    let mut bytes = Vec::new();
    let mut file = File::open(path).map_err(PackError::io(path, "opened"))?;
    file.seek(SeekFrom::Start(start)).map_err(PackError::io(path, "read"))?;
    file.take(size).read_to_end(&mut bytes).map_err(PackError::io(path, "read"))?;
    let pickle = Pickle::read(&bytes).map_err(refused)?;
    let mut sources = Vec::new();
    for (name, tensor) in tensors(&pickle, path)? {
        let dtype = dtype(&tensor.storage.kind)
            .ok_or_else(|| refused(format!("the tensor {name} has the unknown type {}", tensor.storage.kind)))?;
        let (start, length) = stored(&mut archive, &format!("{prefix}data/{}", tensor.storage.key), length, path)?;
        check_view(path, &name, &tensor, dtype, length)?;
        sources.push(Source { name, dtype, tensor, start });
    }
    sources.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(twice) = sources.windows(2).find(|pair| pair[0].name == pair[1].name) {
        return Err(PackError::damaged(path, format!("it holds the tensor {} twice", twice[0].name)));
    }
    // Tensors may share a storage, but not so often that a small file becomes a huge one.
    let total = sources.iter().try_fold(0u64, |total, source| total.checked_add(size_of(source)));
    if total.is_none_or(|total| total > 2 * length + (1 << 20)) {
        return Err(refused("its tensors would be far larger than the file itself".into()));
    }
    // A tensor of few numbers may lie scattered over all of a large storage, which has to be read for each.
    let spans = sources.iter().try_fold(0u64, |all, source| all.checked_add(source.span()));
    if spans.is_none_or(|spans| spans > length.saturating_mul(16).saturating_add(1 << 20)) {
        return Err(refused("its tensors are scattered over its data many times over".into()));
    }
    Ok(sources)
}

/// Where the uncompressed entry `name` stands in the file of `length` bytes: its first byte and its size.
fn stored(archive: &mut ZipArchive<File>, name: &str, length: u64, path: &Path) -> Result<(u64, u64), PackError> {
    let entry = archive.by_name(name).map_err(|_| PackError::damaged(path, format!("its archive lacks {name}")))?;
    if entry.compression() != CompressionMethod::Stored || entry.encrypted() || entry.size() != entry.compressed_size()
    {
        return Err(PackError::damaged(
            path,
            format!("the part {name} of its archive is packed, which PyTorch does not do"),
        ));
    }
    let end = entry.data_start().checked_add(entry.size());
    if end.is_none_or(|end| end > length) {
        return Err(PackError::Truncated { path: path.to_path_buf(), have: length, need: end.unwrap_or(u64::MAX) });
    }
    Ok((entry.data_start(), entry.size()))
}

/// The named tensors of the dictionary that holds the weights.
fn tensors(pickle: &Pickle, path: &Path) -> Result<Vec<(String, Tensor)>, PackError> {
    let nested = ["state_dict", "model_state_dict", "model"].iter().find_map(|key| {
        let id = pickle.entry(pickle.root, key)?;
        matches!(pickle.node(id), Node::Dict(_)).then_some(id)
    });
    let root: Id = nested.unwrap_or(pickle.root);
    let Node::Dict(entries) = pickle.node(root) else {
        return Err(PackError::Refused {
            path: path.to_path_buf(),
            detail: "its pickle is no dictionary of weights".into(),
        });
    };
    let mut found = Found { tensors: Vec::new(), entries: MOST_ENTRIES, names: MOST_NAMES };
    for (key, value) in entries {
        match (pickle.node(*key), pickle.node(*value)) {
            (Node::Text(name), Node::Tensor(tensor)) => found.add(path, "", name, tensor)?,
            (Node::Text(name), Node::Inert(class) | Node::Global(class)) => {
                return Err(PackError::Refused {
                    path: path.to_path_buf(),
                    detail: format!("among its weights, {name} is not a tensor but {class}"),
                });
            }
            _ => {}
        }
    }
    if found.tensors.is_empty() {
        // FiT3D's packs are dictionaries of scenes, which hold tensors and further dictionaries.
        found.inner(path, pickle, root, "", NESTED)?;
    }
    if found.tensors.is_empty() {
        return Err(PackError::Refused { path: path.to_path_buf(), detail: "it holds no tensors".into() });
    }
    Ok(found.tensors)
}

/// Dictionaries within dictionaries that are looked into.
const NESTED: usize = 3;
/// Entries that are looked at in all: a small pickle may hold one dictionary in very many places.
const MOST_ENTRIES: usize = 1 << 20;
/// The longest name of a tensor, in bytes; published ones have a hundred.
const LONGEST_NAME: usize = 4096;
/// Bytes of all names together: a pickle may hold one long name in very many places.
const MOST_NAMES: usize = 64 << 20;

/// The tensors that were found, and how much may still be looked at.
struct Found {
    tensors: Vec<(String, Tensor)>,
    entries: usize,
    names: usize,
}

impl Found {
    fn add(&mut self, path: &Path, prefix: &str, name: &str, tensor: &Tensor) -> Result<(), PackError> {
        let length = prefix.len() + name.len();
        let left = self.names.checked_sub(length).filter(|_| length <= LONGEST_NAME);
        let (Some(names), Some(entries)) = (left, self.entries.checked_sub(1)) else {
            let detail = "its tensors are too many, or their names too long, for any weights".to_owned();
            return Err(PackError::Refused { path: path.to_path_buf(), detail });
        };
        (self.names, self.entries) = (names, entries);
        self.tensors.push((format!("{prefix}{name}"), tensor.clone()));
        Ok(())
    }

    /// The tensors of the dictionaries in a dictionary, named `outer/inner`.
    fn inner(&mut self, path: &Path, pickle: &Pickle, root: Id, prefix: &str, levels: usize) -> Result<(), PackError> {
        let Node::Dict(entries) = pickle.node(root) else { return Ok(()) };
        for (key, value) in entries {
            if self.entries == 0 {
                return Ok(());
            }
            let Node::Text(key) = pickle.node(*key) else {
                self.entries -= 1;
                continue;
            };
            match pickle.node(*value) {
                Node::Tensor(tensor) => self.add(path, prefix, key, tensor)?,
                Node::Dict(_) if levels > 1 && prefix.len() + key.len() <= LONGEST_NAME => {
                    self.entries -= 1;
                    self.inner(path, pickle, *value, &format!("{prefix}{key}/"), levels - 1)?;
                }
                _ => self.entries -= 1,
            }
        }
        Ok(())
    }
}

/// The element type of a storage class.
fn dtype(kind: &str) -> Option<Dtype> {
    Some(match kind {
        "FloatStorage" => Dtype::F32,
        "HalfStorage" => Dtype::F16,
        "BFloat16Storage" => Dtype::BF16,
        "DoubleStorage" => Dtype::F64,
        "LongStorage" => Dtype::I64,
        "IntStorage" => Dtype::I32,
        "ShortStorage" => Dtype::I16,
        "CharStorage" => Dtype::I8,
        "ByteStorage" => Dtype::U8,
        "BoolStorage" => Dtype::BOOL,
        _ => return None,
    })
}

/// The bytes of one element.
fn width(dtype: Dtype) -> u64 {
    dtype.bitsize() as u64 / 8
}

/// The bytes of a tensor when written densely; shapes were checked by [`check_view`].
fn size_of(source: &Source) -> u64 {
    source.tensor.shape.iter().product::<u64>() * width(source.dtype)
}

/// Checks that a view stays within its storage of `length` bytes and has a size that can be counted.
fn check_view(path: &Path, name: &str, tensor: &Tensor, dtype: Dtype, length: u64) -> Result<(), PackError> {
    let elements = tensor.shape.iter().try_fold(width(dtype), |size, &side| size.checked_mul(side.max(1)));
    let last = tensor.shape.iter().zip(&tensor.strides).try_fold(tensor.offset, |last, (&side, &stride)| {
        last.checked_add(side.saturating_sub(1).checked_mul(stride)?)
    });
    let empty = tensor.shape.contains(&0);
    let end = last.and_then(|last| last.checked_add(1)?.checked_mul(width(dtype)));
    match (elements, end) {
        (Some(_), Some(end)) if empty || end <= length => Ok(()),
        _ => Err(PackError::damaged(path, format!("the tensor {name} reaches beyond its data"))),
    }
}

/// Writes `sources` to `target`, through a temporary file beside it.
fn write(path: &Path, sources: &[Source], target: &Path, progress: Progress<'_>) -> Result<(), PackError> {
    let total: u64 = sources.iter().map(size_of).sum();
    let folder = target.parent().unwrap_or(Path::new("."));
    let unwritable = |error: std::io::Error| PackError::io(target, "written")(error);
    let temporary = tempfile::NamedTempFile::new_in(folder).map_err(unwritable)?;
    let mut out = BufWriter::with_capacity(1 << 20, temporary);
    let mut listing = serde_json::Map::new();
    let mut at = 0;
    for source in sources {
        let end = at + size_of(source);
        listing.insert(
            source.name.clone(),
            serde_json::json!({ "dtype": source.dtype, "shape": source.tensor.shape, "data_offsets": [at, end] }),
        );
        at = end;
    }
    let mut text = serde_json::Value::Object(listing).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    out.write_all(&(text.len() as u64).to_le_bytes()).and_then(|()| out.write_all(&text)).map_err(unwritable)?;

    let mut file = File::open(path).map_err(PackError::io(path, "opened"))?;
    let mut done = 0;
    for source in sources {
        copy(&mut file, source, &mut out).map_err(|fault| match fault {
            Fault::Read(error) => PackError::io(path, "read")(error),
            Fault::Write(error) => PackError::io(target, "written")(error),
        })?;
        done += size_of(source);
        if progress(done, total).is_break() {
            return Err(PackError::Cancelled);
        }
    }
    let temporary = out.into_inner().map_err(|error| PackError::io(target, "written")(error.into_error()))?;
    temporary.as_file().sync_all().map_err(unwritable)?;
    temporary.persist(target).map_err(|error| PackError::io(target, "written")(error.error))?;
    let mut written = File::open(target).map_err(PackError::io(target, "opened"))?;
    header::read(target, &mut written).map(|_| ())
}

/// Which side of a copy failed.
enum Fault {
    Read(std::io::Error),
    Write(std::io::Error),
}

/// Copies one tensor's elements, dense and in order.
fn copy(file: &mut File, source: &Source, out: &mut impl Write) -> Result<(), Fault> {
    let Source { tensor, dtype, start, .. } = source;
    let width = width(*dtype);
    let size = size_of(source);
    if size == 0 {
        return Ok(());
    }
    let mut dense = 1;
    let contiguous = tensor.shape.iter().zip(&tensor.strides).rev().all(|(&side, &stride)| {
        let fits = side == 1 || stride == dense;
        dense *= side;
        fits
    });
    if contiguous {
        file.seek(SeekFrom::Start(start + tensor.offset * width)).map_err(Fault::Read)?;
        let mut left = size;
        let mut buffer = vec![0u8; 1 << 20];
        while left > 0 {
            let piece = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
            let piece = &mut buffer[..piece];
            file.read_exact(piece).map_err(Fault::Read)?;
            out.write_all(piece).map_err(Fault::Write)?;
            left -= piece.len() as u64;
        }
        return Ok(());
    }
    file.seek(SeekFrom::Start(start + tensor.offset * width)).map_err(Fault::Read)?;
    let mut storage = Vec::new();
    file.take(source.span()).read_to_end(&mut storage).map_err(Fault::Read)?;
    let mut index = vec![0u64; tensor.shape.len()];
    for _ in 0..size / width {
        let element = index.iter().zip(&tensor.strides).map(|(i, stride)| i * stride).sum::<u64>();
        let first = usize::try_from(element * width).unwrap_or(usize::MAX);
        let bytes = storage.get(first..first.saturating_add(dtype.bitsize() / 8));
        let bytes = bytes.ok_or_else(|| Fault::Read(std::io::ErrorKind::UnexpectedEof.into()))?;
        out.write_all(bytes).map_err(Fault::Write)?;
        for (position, &side) in index.iter_mut().zip(&tensor.shape).rev() {
            *position += 1;
            if *position < side {
                break;
            }
            *position = 0;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::super::weights::{WeightOptions, Weights};
    use super::*;

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/fixtures/pickles").join(name)
    }

    fn silent(_: u64, _: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn convert(path: &Path) -> Result<Weights, PackError> {
        let cache = tempfile::tempdir().unwrap();
        let converted = converted(path, cache.path(), &silent)?;
        Weights::open_file(&converted, &WeightOptions { read_instead_of_map: false })
    }

    /// Made by tests/reference/pickles.py.
    #[test]
    fn gives_exactly_the_tensors_that_pytorch_stored() {
        let expected = Weights::open_file(&fixture("expected.safetensors"), &WeightOptions::default()).unwrap();
        for name in ["good.bin", "lightning.ckpt"] {
            let ours = convert(&fixture(name)).unwrap();
            for tensor in expected.names() {
                assert_eq!(ours.facts(tensor), expected.facts(tensor), "{name}: {tensor}");
                let read = |weights: &Weights| {
                    let values = weights.tensor(tensor, None, DType::F64, &Device::Cpu).unwrap();
                    values.flatten_all().unwrap().to_vec1::<f64>().unwrap()
                };
                assert_eq!(read(&ours), read(&expected), "{name}: {tensor}");
            }
            let extra = usize::from(name == "good.bin"); // the parameter
            assert_eq!(ours.names().count(), expected.names().count() + extra, "{name}");
        }
    }

    #[test]
    fn hostile_files_are_refused_in_one_sentence() {
        let mut count = 0;
        for file in std::fs::read_dir(fixture("hostile")).unwrap() {
            let path = file.unwrap().path();
            let error = convert(&path).map(|weights| weights.names().count()).unwrap_err().to_string();
            assert!(error.contains(path.file_name().unwrap().to_str().unwrap()), "{error}");
            assert!(!error.contains('\n'), "{error}");
            count += 1;
        }
        assert_eq!(count, 52);
        let sentence = |name: &str| convert(&fixture(name)).unwrap_err().to_string();
        assert!(sentence("hostile/system.bin").contains(".system, which runs code"));
        assert!(
            sentence("hostile/object_among_weights.bin").contains("not a tensor but some_framework.callbacks.Callback")
        );
        assert!(sentence("hostile/expanded_to_terabytes.bin").contains("far larger than the file"));
        assert!(sentence("hostile/beyond_the_end.bin").contains("reaches beyond its data"));
        assert!(sentence("hostile/page.bin").contains("web page"));
        for (name, words) in [
            ("global_reduce", "names posix.system"),
            ("stack_global_by_memo", "names os.system"),
            ("pickle_in_pickle", "names pickle.loads"),
            ("build", "names types.FunctionType"),
            ("download", "names urllib.request.urlopen"),
            ("extension_2", "the instruction 0x83"),
            ("global_and_object", "names posix.system"),
            ("billion_laughs", "over and over"),
            ("long_name_everywhere", "names too long"),
            ("packed_bomb", "packed"),
            ("overlapping_parts", "overlap"),
        ] {
            let said = sentence(&format!("hostile/{name}.bin"));
            assert!(said.contains(words), "{name}: {said}");
        }
        assert!(sentence("legacy.bin").contains("before version 1.6"));
    }

    #[test]
    fn a_file_cut_or_changed_anywhere_never_panics() {
        let whole = std::fs::read(fixture("good.bin")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.bin");
        for length in (0..whole.len()).step_by(37) {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(find(&path, length as u64).is_err(), "{length}");
        }
        for at in (0..whole.len()).step_by(5) {
            let mut changed = whole.clone();
            changed[at] ^= 0xff;
            std::fs::write(&path, &changed).unwrap();
            // Either outcome is right (a changed weight is still a weight); what counts is that it ends.
            drop(find(&path, changed.len() as u64));
        }
    }

    #[test]
    fn a_conversion_is_kept_and_a_cancelled_one_leaves_nothing() {
        let cache = tempfile::tempdir().unwrap();
        let stop = |_, _| ControlFlow::Break(());
        assert!(matches!(converted(&fixture("good.bin"), cache.path(), &stop), Err(PackError::Cancelled)));
        assert_eq!(std::fs::read_dir(cache.path()).unwrap().count(), 0);
        let first = converted(&fixture("good.bin"), cache.path(), &silent).unwrap();
        // A second time nothing is written: the progress that would cancel is never asked.
        assert_eq!(converted(&fixture("good.bin"), cache.path(), &stop).unwrap(), first);
        // A damaged result is made again.
        std::fs::write(&first, b"cut").unwrap();
        assert_eq!(converted(&fixture("good.bin"), cache.path(), &silent).unwrap(), first);
        Weights::open_file(&first, &WeightOptions::default()).unwrap();
    }
}
