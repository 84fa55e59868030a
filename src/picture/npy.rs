//! NPY files (NumPy's own format, version 1.0) for those who compute on: little-endian f32, row-major.

use std::io::{self, Write};
use std::path::Path;

use super::atomic;

/// Writes `values` as an array of `shape`, whole or not at all.
///
/// # Errors
/// If the shape does not fit the values, or the file cannot be written.
pub fn write(path: &Path, shape: &[usize], values: &[f32]) -> io::Result<()> {
    if shape.iter().product::<usize>() != values.len() {
        return Err(io::Error::other(format!("{} values have not the shape {shape:?}", values.len())));
    }
    let sides: Vec<String> = shape.iter().map(usize::to_string).collect();
    // A tuple of one element has a comma behind it.
    let tuple = if let [only] = sides.as_slice() { format!("({only},)") } else { format!("({})", sides.join(", ")) };
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {tuple}, }}");
    // Magic, version and length take 10 bytes; the whole is a multiple of 64 and ends in a line break.
    let padding = 63 - (10 + header.len()) % 64;
    header.extend(std::iter::repeat_n(' ', padding));
    header.push('\n');
    atomic::write(path, |out| {
        out.write_all(b"\x93NUMPY\x01\x00")?;
        out.write_all(&(header.len() as u16).to_le_bytes())?;
        out.write_all(header.as_bytes())?;
        for value in values {
            out.write_all(&value.to_le_bytes())?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_and_values_stand_where_numpy_looks_for_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("map.npy");
        for (shape, text) in [(vec![6], "(6,)"), (vec![2, 3], "(2, 3)"), (vec![1, 2, 3], "(1, 2, 3)")] {
            let values: Vec<f32> = (0..6).map(|v| v as f32 * 0.5).collect();
            write(&path, &shape, &values).unwrap();
            let bytes = std::fs::read(&path).unwrap();
            let start = bytes.len() - 24;
            assert_eq!((start % 64, bytes[start - 1]), (0, b'\n'));
            let header = String::from_utf8_lossy(&bytes[..start]);
            assert!(header.contains(&format!("'shape': {text}, ")), "{header}");
            assert_eq!(f32::from_le_bytes(bytes[start + 20..].try_into().unwrap()), 2.5);
        }
        assert!(write(&path, &[7], &[0.0; 6]).is_err());
    }
}
