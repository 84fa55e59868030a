//! Cameras of every kind, written by hand.

use std::fs;

use glam::{DVec2, DVec3};
use proptest::prelude::*;
use serde_json::json;

use super::*;

/// A camera at (1, 2, 3) that looks along −x with y down.
fn wanted() -> Camera {
    Camera::look_at(DVec3::new(1.0, 2.0, 3.0), DVec3::new(0.0, 2.0, 3.0), DVec3::NEG_Y, 1.0, (64, 48)).unwrap()
}

fn like(found: &Camera, wanted: &Camera) {
    let apart = |a: DVec3, b: DVec3| (a - b).length() < 1e-9;
    assert!(apart(found.eye(), wanted.eye()), "{} {}", found.eye(), wanted.eye());
    assert!(found.axes().iter().zip(wanted.axes()).all(|(a, b)| apart(*a, b)), "{found:?}");
    assert!((found.focal - wanted.focal).length() < 1e-9 && (found.principal - wanted.principal).length() < 1e-9);
    assert_eq!((found.width, found.height), (wanted.width, wanted.height));
}

fn list() -> serde_json::Value {
    let camera = wanted();
    let [x, y, z] = camera.axes();
    let rows: Vec<[f64; 3]> = (0..3).map(|row| [x[row], y[row], z[row]]).collect();
    json!([{"id": 0, "img_name": "DSC_1", "width": 64, "height": 48, "position": camera.eye().to_array(),
        "rotation": rows, "fx": camera.focal.x, "fy": camera.focal.y}])
}

fn frames() -> serde_json::Value {
    let camera = wanted();
    let [x, y, z] = camera.axes();
    let eye = camera.eye();
    let mut rows: Vec<Vec<f64>> = (0..3).map(|row| vec![x[row], -y[row], -z[row], eye[row]]).collect();
    rows.push(vec![0.0, 0.0, 0.0, 1.0]);
    json!({"fl_x": camera.focal.x, "fl_y": camera.focal.y, "cx": 32.0, "cy": 24.0, "w": 64, "h": 48, "k1": 0.0,
        "frames": [{"file_path": "images/a.png", "transform_matrix": rows}]})
}

fn colmap_text(folder: &Path) {
    let camera = wanted();
    let q = camera.orientation().conjugate();
    let t = camera.translation;
    let f = camera.focal.x;
    fs::write(folder.join("cameras.txt"), format!("# comment\n7 PINHOLE 64 48 {f} {f} 32 24\n")).unwrap();
    let line =
        |id: usize, name: &str| format!("{id} {} {} {} {} {} {} {} 7 {name}\n", q.w, q.x, q.y, q.z, t.x, t.y, t.z);
    let images = format!("# two lines a picture\n{}1.5 2.5 -1\n{}\n", line(2, "b b.png"), line(1, "sub/a.png"));
    fs::write(folder.join("images.txt"), images).unwrap();
}

fn colmap_binary() -> (Vec<u8>, Vec<u8>) {
    let camera = wanted();
    let q = camera.orientation().conjugate();
    let mut cameras = 1u64.to_le_bytes().to_vec();
    cameras.extend(7u32.to_le_bytes());
    cameras.extend(0u32.to_le_bytes());
    cameras.extend([64u64, 48].iter().flat_map(|side| side.to_le_bytes()));
    cameras.extend([camera.focal.x, 32.0, 24.0].iter().flat_map(|value| value.to_le_bytes()));
    let mut images = 1u64.to_le_bytes().to_vec();
    images.extend(3u32.to_le_bytes());
    let t = camera.translation;
    images.extend([q.w, q.x, q.y, q.z, t.x, t.y, t.z].iter().flat_map(|value| value.to_le_bytes()));
    images.extend(7u32.to_le_bytes());
    images.extend(b"a.png\0");
    images.extend(2u64.to_le_bytes());
    images.extend([0u8; 48]);
    (cameras, images)
}

#[test]
fn all_four_kinds_say_the_same_camera() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cams.json");
    fs::write(&file, list().to_string()).unwrap();
    let found = open(&file, None).unwrap();
    like(&found.cameras[0].camera, &wanted());
    assert_eq!((found.cameras[0].name.as_str(), found.notes.len()), ("DSC_1", 0));
    fs::write(&file, list()[0].to_string()).unwrap();
    like(&open(&file, None).unwrap().cameras[0].camera, &wanted());
    fs::write(&file, frames().to_string()).unwrap();
    let found = open(&file, None).unwrap();
    like(&found.cameras[0].camera, &wanted());
    assert_eq!((found.cameras[0].name.as_str(), found.cameras[0].picture.as_str()), ("a.png", "images/a.png"));

    let sparse = folder.path().join("sparse/0");
    fs::create_dir_all(&sparse).unwrap();
    colmap_text(&sparse);
    let found = open(folder.path(), None).unwrap();
    found.cameras.iter().for_each(|named| like(&named.camera, &wanted()));
    let names: Vec<&str> = found.cameras.iter().map(|named| named.name.as_str()).collect();
    assert_eq!(names, ["b b.png", "a.png"]);

    let (cameras, images) = colmap_binary();
    fs::write(sparse.join("cameras.bin"), cameras).unwrap();
    fs::write(sparse.join("images.bin"), images).unwrap();
    like(&open(folder.path(), None).unwrap().cameras[0].camera, &wanted());
}

#[test]
fn blenders_angle_needs_a_size() {
    let mut value = frames();
    let object = value.as_object_mut().unwrap();
    for key in ["fl_x", "fl_y", "cx", "cy", "w", "h"] {
        object.remove(key);
    }
    object.insert("camera_angle_x".into(), json!(2.0 * (32.0 / wanted().focal.x).atan()));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("transforms.json");
    fs::write(&file, value.to_string()).unwrap();
    like(&open(&file, Some((64, 48))).unwrap().cameras[0].camera, &wanted());
    assert!(open(folder.path(), None).unwrap_err().to_string().ends_with("how large its pictures are; give a size"));
}

#[test]
fn faults_are_sentences() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.json");
    let said = |value: serde_json::Value| {
        fs::write(&file, value.to_string()).unwrap();
        let text = open(&file, None).unwrap_err().to_string();
        text.strip_prefix(&format!("{} ", file.display())).unwrap_or_else(|| panic!("{text}")).to_owned()
    };
    assert_eq!(said(json!([])), "holds no cameras");
    assert_eq!(said(json!({"a": 1})), "holds no cameras: it is neither a list of them nor has it \"frames\"");
    let without = |key: &str| {
        let mut value = list();
        value[0].as_object_mut().unwrap().remove(key);
        value
    };
    assert_eq!(said(without("rotation")), "has a camera (number 0) without a usable \"rotation\"");
    assert_eq!(said(without("fx")), "has a camera (number 0) without a usable \"fx\"");
    let mut value = list();
    value[0]["width"] = json!(-3);
    assert!(said(value).contains("a picture of 0 × 48 pixels"));
    let mut value = list();
    value[0]["rotation"] = json!([[1, 0, 0], [0, 1, 0], [0, 0, 0]]);
    assert!(said(value).contains("its rotation is no rotation"));
    let mut value = frames();
    value["k1"] = json!(0.1);
    fs::write(&file, value.to_string()).unwrap();
    assert_eq!(open(&file, None).unwrap().notes.len(), 1);
    assert!(open(folder.path(), None).unwrap_err().to_string().contains("neither a COLMAP model"));

    let text = |cameras: &str| {
        colmap_text(folder.path());
        fs::write(folder.path().join("cameras.txt"), cameras).unwrap();
        open(&folder.path().join("images.txt"), None).unwrap_err().to_string()
    };
    assert!(text("7 OPENCV 64 48 50 50 32 24 0.1 0 0 0\n").contains("bends the picture"));
    assert!(text("7 CUBE 64 48 50\n").contains("unknown model"));
    assert!(text("8 PINHOLE 64 48 50 50 32 24\n").contains("names a lens, number 7"));
    assert!(text("7 PINHOLE 64\n").contains("a line that cannot be read"));
    let lens = DVec2::splat(50.0);
    fs::write(folder.path().join("cameras.txt"), format!("7 SIMPLE_RADIAL 64 48 {} 32 24 0\n", lens.x)).unwrap();
    assert_eq!(open(&folder.path().join("images.txt"), None).unwrap().cameras[0].camera.focal, lens);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn changed_colmap_files_are_refused_or_read(at in 0usize..200, byte in any::<u8>(), cut in any::<bool>()) {
        let folder = tempfile::tempdir().unwrap();
        let (cameras, images) = colmap_binary();
        for (name, mut bytes) in [("cameras.bin", cameras), ("images.bin", images)] {
            let at = at % bytes.len();
            if cut { bytes.truncate(at) } else { bytes[at] = byte }
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        if let Ok(found) = open(folder.path(), None) {
            prop_assert!(found.cameras.iter().all(|named| named.camera.checked().is_ok()));
        }
    }
}
