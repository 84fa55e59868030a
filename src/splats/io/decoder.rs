//! The decoder of a scene's features in a file beside it: safetensors with one convolution's weights `[width, channels, 3,
//! 3]` under the name of FiT3D's own checkpoints, `0.weight` (spec/fit3d.md section 1.1).

use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::features::numbers;
use crate::picture::atomic;
use crate::splats::SplatError;
use crate::splats::fit::Decoder;

/// FiT3D's name for the weights.
const NAME: &str = "0.weight";
/// The largest file that is read: far more than 64 channels to the widest backbone need.
const MOST_BYTES: u64 = 1 << 30;

/// Where the decoder of a scene lies: `garden.decoder.safetensors` beside `garden.ply`.
#[must_use]
pub fn decoder_file(scene: &Path) -> PathBuf {
    let stem = scene.file_stem().unwrap_or_default().to_string_lossy();
    let stem = stem.strip_suffix(".compressed").unwrap_or(&stem);
    scene.with_file_name(format!("{stem}.decoder.safetensors"))
}

/// Reads a decoder.
///
/// # Errors
/// [`SplatError::File`] in one sentence, or [`SplatError::Io`].
pub fn open_decoder(path: &Path) -> Result<Decoder, SplatError> {
    let name = || path.display().to_string();
    let fault = |fault: String| SplatError::File { path: name(), fault };
    let unreadable = |source| SplatError::Io { path: name(), doing: "read", source };
    let length = std::fs::metadata(path).map_err(unreadable)?.len();
    if length > MOST_BYTES {
        return Err(fault(format!("has {length} bytes, far more than a decoder")));
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    let tensors = SafeTensors::deserialize(&bytes)
        .map_err(|error| fault(format!("is no safetensors file that can be read ({error})")))?;
    let Ok(weights) = tensors.tensor(NAME) else {
        return Err(fault(format!("holds no tensor named {NAME:?}, as the decoder of a scene does")));
    };
    let &[width, inner, 3, 3] = weights.shape() else {
        let text = format!("holds weights of the shape {:?}, and [width, channels, 3, 3] is needed", weights.shape());
        return Err(fault(text));
    };
    let values =
        numbers(&weights).ok_or_else(|| fault("holds weights that are neither f32, f16 nor bf16".to_owned()))?;
    Decoder::new(inner, width, values).map_err(|error| fault(format!("cannot be used: {error}")))
}

/// Writes a decoder, whole or not at all.
///
/// # Errors
/// [`SplatError::Io`] if the file cannot be written.
pub fn save_decoder(path: &Path, decoder: &Decoder) -> Result<(), SplatError> {
    let failed = |source| SplatError::Io { path: path.display().to_string(), doing: "written", source };
    let other = |error: safetensors::SafeTensorError| failed(std::io::Error::other(error.to_string()));
    let values: Vec<u8> = decoder.weights.iter().flat_map(|value| value.to_le_bytes()).collect();
    let shape = vec![decoder.width, decoder.inner, 3, 3];
    let tensor = TensorView::new(Dtype::F32, shape, &values).map_err(other)?;
    let bytes = safetensors::serialize([(NAME, tensor)], None).map_err(other)?;
    atomic::write(path, |out| std::io::Write::write_all(out, &bytes)).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoders_come_back_and_others_are_refused_in_a_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let path = decoder_file(&folder.path().join("garden.compressed.ply"));
        assert!(path.ends_with("garden.decoder.safetensors"));
        let decoder = Decoder::new(2, 3, (0..54).map(|at| at as f32 * 0.5).collect()).unwrap();
        save_decoder(&path, &decoder).unwrap();
        assert_eq!(open_decoder(&path).unwrap(), decoder);
        let fault = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            open_decoder(&path).unwrap_err().to_string()
        };
        assert!(fault(b"nothing").contains("is no safetensors file"));
        let zeros = [0; 36];
        let other = |name: &str, shape: Vec<usize>| {
            let tensor = TensorView::new(Dtype::F32, shape, &zeros).unwrap();
            safetensors::serialize([(name, tensor)], None).unwrap()
        };
        assert!(fault(&other("1.weight", vec![1, 1, 3, 3])).contains("no tensor named \"0.weight\""));
        assert!(fault(&other(NAME, vec![9, 1])).contains("the shape [9, 1]"));
        assert!(open_decoder(&folder.path().join("none")).unwrap_err().to_string().contains("cannot be read"));
    }
}
