//! Every format there and back, and every way a file can be wrong.

use std::fs;

use proptest::prelude::*;

use super::*;
use crate::splats::Unobserved;
use crate::splats::gaussians::{MAX_SH_DEGREE, sh_coefficients};
use crate::splats::harmonics;
use crate::splats::tiles::tests::cloud;

fn read(path: &Path) -> Result<Opened, SplatError> {
    open(path, &OpenOptions { available: Some(1 << 28), features: None }, &Unobserved)
}

/// What is said of a file with these bytes, without its name.
fn said(name: &str, bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    let text = read(&path).unwrap_err().to_string();
    assert!(!text.contains('\n'), "one sentence: {text}");
    text.replace(&path.display().to_string(), "X")
}

fn written(name: &str, scene: &Gaussians) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    save(&path, scene, &Unobserved).unwrap();
    fs::read(path).unwrap()
}

/// A PLY file with these columns, all of them f32 but for the first, and one row of numbers a Gaussian.
fn ply(columns: &[&str], count: usize, rows: &[f32]) -> Vec<u8> {
    let properties: String = columns.iter().map(|name| format!("property float {name}\n")).collect();
    let header = format!("ply\nformat binary_little_endian 1.0\nelement vertex {count}\n{properties}end_header\n");
    let mut bytes = header.into_bytes();
    bytes.extend(rows.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}

const LEAST: [&str; 14] = [
    "rot_3", "rot_2", "rot_1", "rot_0", "f_dc_2", "f_dc_1", "f_dc_0", "opacity", "scale_0", "scale_1", "scale_2", "z",
    "y", "x",
];
const ROW: [f32; 14] = [0.0, 0.0, 0.0, 1.0, 0.3, 0.2, 0.1, 2.0, -1.0, -2.0, -3.0, 7.0, 6.0, 5.0];

#[test]
fn a_ply_file_comes_back_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scene.ply");
    for degree in 0..=MAX_SH_DEGREE {
        let mut parts = cloud(300, degree, 7).into_parts();
        parts.antialiased = degree == 1;
        let features = parts.features.as_mut().unwrap();
        features.model = Some("a backbone".to_owned());
        features.confidence = if degree == 2 { (0..300).map(|index| index as f32).collect() } else { Vec::new() };
        let scene = Gaussians::new(parts).unwrap();
        save(&path, &scene, &Unobserved).unwrap();
        let found = read(&path).unwrap();
        assert_eq!((found.format, found.notes.len()), (Format::Ply, 0));
        let (a, b) = (found.scene.parts(), scene.parts());
        assert_eq!((&a.positions, &a.log_scales, &a.rotations), (&b.positions, &b.log_scales, &b.rotations));
        assert_eq!((&a.opacity_logits, &a.sh, &a.features), (&b.opacity_logits, &b.sh, &b.features));
        assert_eq!((a.sh_degree, a.antialiased), (degree, degree == 1));
    }
    // FiT3D's columns stand between the harmonics and the opacity.
    let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
    assert!(text.contains("property float f_rest_44\nproperty float sem_0\n"));
    assert!(text.contains("property float sem_36\nproperty float opacity\nproperty float scale_0\n"));
}

#[test]
fn columns_are_found_by_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scene.ply");
    let mut columns = LEAST.to_vec();
    columns.extend(["feature_1", "strange", "feature_10", "feature_0"]);
    let mut row = ROW.to_vec();
    row.extend([11.0, 99.0, 12.0, 10.0]);
    fs::write(&path, ply(&columns, 1, &row)).unwrap();
    let scene = read(&path).unwrap().scene;
    assert_eq!((scene.positions()[0], scene.log_scales()[0]), ([5.0, 6.0, 7.0], [-1.0, -2.0, -3.0]));
    assert_eq!((scene.rotations()[0], scene.sh()), ([1.0, 0.0, 0.0, 0.0], &[0.1, 0.2, 0.3][..]));
    assert_eq!(scene.features().unwrap().values, [10.0, 11.0, 12.0]);
    // Channel-major in the file, coefficient by coefficient in memory.
    let rest: Vec<String> = (0..9).map(|index| format!("f_rest_{index}")).collect();
    let mut columns = LEAST.to_vec();
    columns.extend(rest.iter().map(String::as_str));
    let mut row = ROW.to_vec();
    row.extend((0..9).map(|value| value as f32));
    fs::write(&path, ply(&columns, 1, &row)).unwrap();
    let scene = read(&path).unwrap().scene;
    assert_eq!((scene.sh_degree(), &scene.sh()[3..]), (1, &[0.0, 3.0, 6.0, 1.0, 4.0, 7.0, 2.0, 5.0, 8.0][..]));
}

#[test]
fn spz_keeps_what_its_bits_can_hold() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scene.spz");
    for degree in 0..=MAX_SH_DEGREE {
        let scene = cloud(200, degree, 8);
        save(&path, &scene, &Unobserved).unwrap();
        let found = read(&path).unwrap();
        assert_eq!((found.format, found.features), (Format::Spz, Some(side_file(&path))));
        let found = found.scene;
        let near = |a: &[f32], b: &[f32], most: f32| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= most);
        for index in 0..scene.len() {
            assert!(near(&found.positions()[index], &scene.positions()[index], 1.3e-4));
            assert!(near(&found.log_scales()[index], &scene.log_scales()[index], 0.032));
            let (a, b) = (found.rotations()[index], scene.rotations()[index]);
            let cosine: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
            assert!(cosine.abs() > 0.99999, "{a:?} {b:?}");
            assert!((found.opacity(index) - scene.opacity(index)).abs() < 0.0021);
            let (a, b) = (found.sh_of(index), scene.sh_of(index));
            assert!(near(&a[..3], &b[..3], 0.014) || b[..3].iter().any(|value| value.abs() > 3.3));
            // The others are held up to a little under 1.
            let clamped: Vec<f32> = b[3..].iter().map(|value| value.clamp(-0.992, 0.992)).collect();
            assert!(near(&a[3..], &clamped, 0.0085), "{degree}");
            assert!(a[3..].iter().zip(&b[3..]).all(|(a, b)| b.abs() > 0.98 || (a - b).abs() < 0.004), "{degree}");
        }
        let (a, b) = (found.features().unwrap(), scene.features().unwrap());
        assert!(a.dim == b.dim && near(&a.values, &b.values, 2e-3));
        assert_eq!(found.sh_degree(), degree);
    }
}

#[test]
fn spz_turns_axes_so_that_colours_stay() {
    let scene = cloud(20, 3, 9);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.spz");
    save(&path, &scene, &Unobserved).unwrap();
    let found = read(&path).unwrap().scene;
    for index in 0..scene.len() {
        let direction = [0.48, -0.6, 0.64];
        let (a, b) =
            (harmonics::colour(found.sh_of(index), 3, direction), harmonics::colour(scene.sh_of(index), 3, direction));
        let inside = scene.sh_of(index).iter().all(|value| value.abs() < 0.99);
        assert!(!inside || a.iter().zip(b).all(|(a, b)| (a - b).abs() < 0.02), "{a:?} {b:?}");
    }
}

/// The table of contents of version 4 with its streams.
fn spz4(count: u32, streams: &[(&[u8], u64)]) -> Vec<u8> {
    let mut bytes = 0x5053_474eu32.to_le_bytes().to_vec();
    bytes.extend(4u32.to_le_bytes());
    bytes.extend(count.to_le_bytes());
    bytes.extend([0, 12, 1, streams.len() as u8]);
    bytes.extend(32u32.to_le_bytes());
    bytes.extend([0; 12]);
    for (stream, plain) in streams {
        bytes.extend((stream.len() as u64).to_le_bytes());
        bytes.extend(plain.to_le_bytes());
    }
    streams.iter().for_each(|(stream, _)| bytes.extend(*stream));
    bytes
}

/// A Zstandard frame that holds its bytes as they are.
fn stored(bytes: &[u8]) -> Vec<u8> {
    // Magic, one segment with a size of one byte, and one last raw block.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x20, bytes.len() as u8];
    frame.extend(&(((bytes.len() as u32) << 3) | 1).to_le_bytes()[..3]);
    frame.extend(bytes);
    frame
}

#[test]
fn spz_of_version_four_is_read_stream_by_stream() {
    let one = |at: i32| at.to_le_bytes()[..3].to_vec();
    let position: Vec<u8> = [4096, -8192, 2048].into_iter().flat_map(one).collect();
    // The largest part is w, and x is −1/√2.
    let turn = ((3u32 << 30) | ((512 | 511) << 20)).to_le_bytes();
    let streams = [&position[..], &[51], &[128, 0, 255], &[160, 144, 0], &turn].map(stored);
    let sizes = [9, 1, 3, 3, 4];
    let all: Vec<(&[u8], u64)> = streams.iter().map(Vec::as_slice).zip(sizes).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.spz");
    fs::write(&path, spz4(1, &all)).unwrap();
    let scene = read(&path).unwrap().scene;
    assert_eq!((scene.positions()[0], scene.log_scales()[0]), ([1.0, 2.0, -0.5], [0.0, -1.0, -10.0]));
    assert!((scene.opacity(0) - 0.2).abs() < 1e-6 && scene.antialiased());
    let [w, x, y, z] = scene.rotations()[0];
    assert!((w - 0.5f32.sqrt()).abs() < 1e-6 && (x + 0.5f32.sqrt()).abs() < 1e-6 && y == 0.0 && z == 0.0);
    assert!((scene.sh()[1] + 0.5 / 0.15).abs() < 1e-6);
    let mut wrong = all.clone();
    wrong[2].1 = 4;
    assert!(said("a.spz", &spz4(1, &wrong)).contains("table of contents that does not fit"));
    assert!(said("a.spz", &spz4(1, &all[..4])).contains("damaged table of contents"));
    let mut torn = spz4(1, &all);
    torn[32 + 80] = 0;
    assert!(said("a.spz", &torn).contains("its compressed data cannot be read"));
}

#[test]
fn splat_files_hold_linear_scales_and_bytes() {
    let mut row: Vec<u8> =
        [1.0f32, 2.0, 3.0, 1.0, std::f32::consts::E, 0.5].iter().flat_map(|v| v.to_le_bytes()).collect();
    row.extend([255, 0, 128, 51, 255, 128, 128, 0]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.splat");
    fs::write(&path, &row).unwrap();
    let found = read(&path).unwrap();
    let scene = found.scene;
    assert_eq!((found.format, scene.positions()[0]), (Format::Splat, [1.0, 2.0, 3.0]));
    assert!((scene.log_scales()[0][1] - 1.0).abs() < 1e-6 && (scene.opacity(0) - 0.2).abs() < 1e-6);
    let colour = harmonics::colour(scene.sh(), 0, [0.0, 0.0, 1.0]);
    assert!((colour[0] - 1.0).abs() < 1e-6 && colour[1].abs() < 1e-6);
    let [w, x, _, z] = scene.rotations()[0];
    assert!(w > 0.7 && x == 0.0 && z < -0.7);
}

/// 300 Gaussians in two chunks, packed by hand.
fn compressed(harmonics: bool) -> Vec<u8> {
    let ranges = [
        "min_x",
        "min_y",
        "min_z",
        "max_x",
        "max_y",
        "max_z",
        "min_scale_x",
        "min_scale_y",
        "min_scale_z",
        "max_scale_x",
        "max_scale_y",
        "max_scale_z",
    ];
    let mut header = "ply\nformat binary_little_endian 1.0\nelement chunk 2\n".to_owned();
    ranges.iter().for_each(|name| header.push_str(&format!("property float {name}\n")));
    header.push_str("element vertex 300\n");
    for name in ["packed_position", "packed_rotation", "packed_scale", "packed_color"] {
        header.push_str(&format!("property uint {name}\n"));
    }
    if harmonics {
        header.push_str("element sh 300\n");
        (0..9).for_each(|index| header.push_str(&format!("property uchar f_rest_{index}\n")));
    }
    header.push_str("end_header\n");
    let mut bytes = header.into_bytes();
    for chunk in 0..2 {
        let low = -1.0 - chunk as f32;
        let row = [low, low, low, 1.0, 2.0, 3.0, -6.0, -6.0, -6.0, -2.0, -2.0, -2.0];
        bytes.extend(row.iter().flat_map(|value: &f32| value.to_le_bytes()));
    }
    for index in 0..300u32 {
        let position = (2047 << 21) | ((index % 1024) << 11);
        let turn = ((index % 4) << 30) | (512 << 20) | (512 << 10) | 512;
        let word = [position, turn, 2047, 0xff80_00cc];
        bytes.extend(word.iter().flat_map(|word| word.to_le_bytes()));
    }
    if harmonics {
        bytes.extend((0..300).flat_map(|_| [0, 128, 255, 1, 2, 3, 4, 5, 6]));
    }
    bytes
}

#[test]
fn compressed_ply_is_unpacked_chunk_by_chunk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ply");
    fs::write(&path, compressed(true)).unwrap();
    let found = read(&path).unwrap();
    let scene = found.scene;
    assert_eq!((found.format, scene.len(), scene.sh_degree()), (Format::CompressedPly, 300, 1));
    assert_eq!((scene.positions()[0], scene.positions()[299][2]), ([1.0, -1.0, -1.0], -2.0));
    assert!((scene.positions()[255][1] - (-1.0 + 3.0 * 255.0 / 1023.0)).abs() < 1e-6);
    assert_eq!(scene.log_scales()[7], [-6.0, -6.0, -2.0]);
    assert!(scene.rotations()[2][2] > 0.99 && scene.rotations()[3][3] > 0.99);
    assert!((scene.opacity(0) - 0.8).abs() < 1e-6);
    // Red's three come first in the file: −4, about 0, and 4.
    assert_eq!((scene.sh_of(9)[3], scene.sh_of(9)[9]), (-4.0, 4.0));
    assert!((scene.sh_of(9)[6] - 0.0156).abs() < 1e-3);
    fs::write(&path, compressed(false)).unwrap();
    assert_eq!(read(&path).unwrap().scene.sh_degree(), 0);
}

#[test]
fn whatever_is_wrong_is_one_clear_sentence() {
    let whole = ply(&LEAST, 1, &ROW);
    let other = |from: &str, to: &str| {
        let at = whole.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        [&whole[..at], to.as_bytes(), &whole[at + from.len()..]].concat()
    };
    let without = |names: &[&str]| {
        let kept: Vec<&str> = LEAST.into_iter().filter(|name| !names.contains(name)).collect();
        said("a.ply", &ply(&kept, 1, &ROW[..kept.len()]))
    };
    let with = |index: usize, value: f32| {
        let mut row = ROW;
        row[index] = value;
        said("a.ply", &ply(&LEAST, 1, &row))
    };
    assert_eq!(said("a.ply", b""), "X is empty");
    assert_eq!(
        said("a.obj", b"v 1 2 3"),
        "X is no scene that can be read: it is neither a .ply, a .splat nor a .spz file"
    );
    assert_eq!(said("a.ply", b"ply\nformat"), "X ends in the middle of its header");
    let long = [&b"ply\ncomment "[..], &vec![b'a'; 2 << 20]].concat();
    assert_eq!(said("a.ply", &long), "X has a header that is too long");
    assert_eq!(said("a.ply", &whole[..whole.len() - 5]), "X claims 1 Gaussians and ends after 0: it is not whole");
    assert_eq!(
        said("a.ply", &other("vertex 1", "vertex 4294967296")),
        "X claims 4294967296 Gaussians and ends after 1: it is not whole"
    );
    assert!(said("a.ply", &other("vertex 1", "vertex 99999999999999999999")).contains("which is no number"));
    assert_eq!(said("a.ply", &other("vertex 1", "vertex 0")), "X holds no Gaussians");
    assert_eq!(said("a.ply", &other("vertex", "face")), "X is a PLY file without vertices");
    assert!(said("a.ply", &other("binary_little_endian", "ascii")).contains("only binary_little_endian can be read"));
    assert_eq!(
        said("a.ply", &other("property float x", "property half x")),
        "X has numbers of an unknown kind, \"half\""
    );
    // A row that is shorter than it says: the stride is wrong.
    assert!(said("a.ply", &other("property float x", "property double x")).contains("it is not whole"));
    assert!(
        said("a.ply", &other("property float x", "property list uchar int x")).contains("lists among its vertices")
    );
    assert_eq!(without(&["scale_1"]), "X has no property \"scale_1\", which every Gaussian needs");
    assert!(without(&["f_dc_1", "rot_2"]).ends_with("every Gaussian needs: rot_2, f_dc_1"));
    assert_eq!(
        said("a.ply", &ply(&["x", "y", "z", "red"], 1, &ROW[..4])),
        "X is a point cloud without Gaussians: its points have no scale, rotation and opacity"
    );
    let unusable = |what: &str| format!("X cannot be used: no Gaussian of it can be used: 1 has {what}");
    assert_eq!(with(13, f32::NAN), unusable("values that are no numbers"));
    assert_eq!(with(3, 0.0), unusable("a rotation of length zero"));
    assert_eq!(with(9, f32::INFINITY), unusable("an infinite scale"));
    let rest = [&LEAST[..], &["f_rest_0", "f_rest_1"]].concat();
    assert!(said("a.ply", &ply(&rest, 1, &[&ROW[..], &[0.0; 2]].concat())).contains("has 2 columns f_rest_…"));
    assert!(said("a.splat", &[1; 33]).contains("no whole number of Gaussians"));
    assert_eq!(said("a.splat", &[255; 32]), unusable("values that are no numbers"));
    let spz = written("a.spz", &cloud(50, 1, 3));
    assert_eq!(said("a.spz", &spz[..spz.len() / 2]), "X ends too early: it is not whole");
    assert!(said("a.spz", b"NGSP\x07\0\0\0\x01\0\0\0\0\x0c\0\0").contains("version 7"));
    assert!(said("a.spz", b"NGSP").contains("ends too early"));
    let chunks = compressed(false);
    assert!(said("a.ply", &chunks[..chunks.len() - 1]).contains("it is not whole"));
}

#[test]
fn the_unusable_few_are_left_out_with_a_note() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ply");
    let mut rows = [ROW; 3].concat();
    rows[14 + 5] = f32::NAN;
    fs::write(&path, ply(&LEAST, 3, &rows)).unwrap();
    let found = read(&path).unwrap();
    assert_eq!((found.scene.len(), found.left_out.count()), (2, 1));
    assert_eq!(found.notes, ["1 Gaussian was left out: 1 has values that are no numbers; 2 remain"]);
}

#[test]
fn what_memory_cannot_hold_is_refused_before_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ply");
    save(&path, &cloud(100, 0, 1), &Unobserved).unwrap();
    let little = OpenOptions { available: Some(1000), features: None };
    assert!(matches!(open(&path, &little, &Unobserved), Err(SplatError::OutOfMemory { available: 1000, .. })));
    // A kilobyte that unfolds to a gigabyte: the claim is beyond what gzip can do.
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let header = [&b"NGSP\x03\0\0\0"[..], &20_000_000u32.to_le_bytes(), &[0, 12, 0, 0]].concat();
    std::io::Write::write_all(&mut gzip, &header).unwrap();
    let bytes = gzip.finish().unwrap();
    let path = folder.path().join("a.spz");
    fs::write(&path, bytes).unwrap();
    let text = open(&path, &OpenOptions::default(), &Unobserved).unwrap_err().to_string();
    assert!(text.contains("claims 20000000 Gaussians, which its"), "{text}");
}

#[test]
fn features_beside_a_scene_must_fit_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.spz");
    let (scene, fewer) = (cloud(30, 0, 1), cloud(29, 0, 1));
    save(&path, &scene, &Unobserved).unwrap();
    save_features(&side_file(&path), fewer.features().unwrap(), 29).unwrap();
    let text = read(&path).unwrap_err().to_string();
    assert!(text.ends_with("holds 37 features for each of 29 Gaussians, and the scene has 30 Gaussians"), "{text}");
    fs::write(side_file(&path), b"nonsense").unwrap();
    assert!(read(&path).unwrap_err().to_string().contains("is no safetensors file"));
    assert_eq!(side_file(Path::new("d/a.compressed.ply")), Path::new("d/a.features.safetensors"));
}

fn sources() -> Vec<(&'static str, Vec<u8>)> {
    let scene = cloud(40, 1, 11);
    let bare = scene.clone().with_features(None).unwrap();
    let splat: Vec<u8> = (0..20)
        .flat_map(|index| {
            let floats: Vec<u8> =
                [index as f32, 1.0, 2.0, 0.1, 0.2, 0.3].iter().flat_map(|v: &f32| v.to_le_bytes()).collect();
            [floats, vec![9, 8, 7, 200, 200, 128, 100, 128]].concat()
        })
        .collect();
    let position: Vec<u8> = vec![1; 18];
    let streams = [&position[..], &[51; 2], &[128; 6], &[160; 6], &[7; 8]].map(stored);
    let all: Vec<(&[u8], u64)> = streams.iter().map(Vec::as_slice).zip([18, 2, 6, 6, 8]).collect();
    vec![
        ("a.ply", written("a.ply", &scene)),
        ("a.ply", compressed(true)),
        ("a.splat", splat),
        ("a.spz", written("a.spz", &bare)),
        ("a.spz", spz4(2, &all)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Bytes changed, cut, doubled and pushed in anywhere: a sentence or a scene, never a panic, and never more Gaussians
    /// than the bytes can hold.
    #[test]
    fn damaged_files_never_panic(
        which in 0usize..5,
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), 0u8..5, any::<u8>()), 1..6),
        early in any::<bool>(),
    ) {
        let (name, mut bytes) = sources().swap_remove(which);
        for (at, kind, byte) in changes {
            if bytes.is_empty() {
                break;
            }
            // Headers are where lies do most.
            let reach = if early { bytes.len().min(800) } else { bytes.len() };
            let at = at.index(reach);
            match kind {
                0 => bytes[at] = byte,
                1 => bytes[at] ^= 1 << (byte % 8),
                2 => bytes.truncate(at),
                3 => bytes.insert(at, byte),
                _ => {
                    bytes.remove(at);
                }
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, &bytes).unwrap();
        match read(&path) {
            Ok(found) => {
                let parts = found.scene.parts();
                prop_assert!(found.scene.len() <= bytes.len() * 1032 / 9);
                prop_assert_eq!(parts.sh.len(), found.scene.len() * 3 * sh_coefficients(parts.sh_degree));
            }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    /// Numbers in the header of a PLY file replaced by others.
    #[test]
    fn lying_headers_never_panic(count in prop_oneof![0u64..100, any::<u64>()], chunks in any::<u32>()) {
        let packed = String::from_utf8_lossy(&compressed(true)[..900]).into_owned();
        let rest = &compressed(true)[packed.find("end_header\n").unwrap() + 11..];
        let head = &packed[..packed.find("end_header\n").unwrap() + 11];
        let head = head.replace("vertex 300", &format!("vertex {count}")).replace("chunk 2", &format!("chunk {chunks}"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ply");
        fs::write(&path, [head.as_bytes(), rest].concat()).unwrap();
        if let Ok(found) = read(&path) {
            prop_assert!(found.scene.len() <= 300);
        }
    }
}
