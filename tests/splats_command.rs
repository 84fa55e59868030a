//! `glassbox render`, `lift` and `world --splats` as a person runs them: the real program, on scenes it makes itself and
//! on the parity fixtures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use candle_core::{DType, Device, Tensor};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/fixtures").join(name)
}

fn glassbox(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_glassbox"));
    command.env("XDG_CACHE_HOME", folder.join("cache")).env("HOME", folder);
    command.current_dir(folder).args(arguments).output().expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs it, which must succeed; gives stdout.
fn done(folder: &Path, arguments: &[&str]) -> String {
    let output = glassbox(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Runs it, which must fail with one sentence; gives that.
fn fault(folder: &Path, arguments: &[&str]) -> String {
    let output = glassbox(folder, arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", text(&output.stderr));
    let said = text(&output.stderr);
    let last = said.lines().last().unwrap_or_default().to_owned();
    assert!(last.starts_with("glassbox: ") && !said.contains("panicked"), "{said}");
    last
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// A scene of the parity fixtures as a person has it: a PLY file and a list of cameras.
fn scene(folder: &Path, name: &str) -> std::collections::HashMap<String, Tensor> {
    let tensors = candle_core::safetensors::load(fixture("splats").join(name), &Device::Cpu).unwrap();
    let column = |name: &str| values(&tensors[name]);
    let (n, k) = (tensors["sh"].dims()[0], tensors["sh"].dims()[1]);
    let mut columns: Vec<(String, Vec<f32>)> = Vec::new();
    let mut put = |names: &[&str], from: &[f32]| {
        let width = from.len() / n;
        for (at, name) in names.iter().enumerate() {
            columns.push(((*name).to_owned(), from.iter().skip(at).step_by(width).copied().collect()));
        }
    };
    put(&["opacity"], &column("opacity_logits"));
    put(&["x", "y", "z"], &column("positions"));
    put(&["rot_0", "rot_1", "rot_2", "rot_3"], &column("rotations"));
    put(&["scale_0", "scale_1", "scale_2"], &column("log_scales"));
    let sh = column("sh");
    for channel in 0..3 {
        for coefficient in 0..k {
            let name = match coefficient {
                0 => format!("f_dc_{channel}"),
                _ => format!("f_rest_{}", channel * (k - 1) + coefficient - 1),
            };
            columns.push((name, (0..n).map(|i| sh[(i * k + coefficient) * 3 + channel]).collect()));
        }
    }
    if let Some(features) = tensors.get("values") {
        let width = features.dims()[1];
        let features = values(features);
        for channel in 0..width {
            columns.push((format!("sem_{channel}"), features.iter().skip(channel).step_by(width).copied().collect()));
        }
    }
    let properties: String = columns.iter().map(|(name, _)| format!("property float {name}\n")).collect();
    let mut bytes =
        format!("ply\nformat binary_little_endian 1.0\nelement vertex {n}\n{properties}end_header\n").into_bytes();
    for row in 0..n {
        bytes.extend(columns.iter().flat_map(|(_, values)| values[row].to_le_bytes()));
    }
    std::fs::write(folder.join("scene.ply"), bytes).unwrap();
    let doubles = |name: &str| tensors[name].to_vec1::<f64>().unwrap();
    let cameras = (0..).take_while(|index| tensors.contains_key(&format!("camera.{index}"))).map(|index| {
        let (pose, lens) = (doubles(&format!("camera.{index}")), doubles(&format!("lens.{index}")));
        let turn = |row: usize, column: usize| pose[3 * row + column];
        let eye: Vec<f64> = (0..3).map(|at| -(0..3).map(|row| turn(row, at) * pose[9 + row]).sum::<f64>()).collect();
        let rows: Vec<Vec<f64>> = (0..3).map(|row| (0..3).map(|column| turn(column, row)).collect()).collect();
        serde_json::json!({"id": index, "img_name": format!("view {index}"), "width": lens[4] as u32,
            "height": lens[5] as u32, "position": eye, "rotation": rows, "fx": lens[0], "fy": lens[1]})
    });
    let cameras: serde_json::Value = cameras.collect();
    std::fs::write(folder.join("cameras.json"), cameras.to_string()).unwrap();
    tensors
}

fn apart(found: &[f32], wanted: &[f32]) -> (f64, f64) {
    assert_eq!(found.len(), wanted.len());
    let all = found.iter().zip(wanted).map(|(a, b)| f64::from((a - b).abs()));
    (all.clone().sum::<f64>() / found.len() as f64, all.fold(0.0, f64::max))
}

/// The floats of an NPY file, with its header.
fn npy(path: &Path) -> (String, Vec<f32>) {
    let bytes = std::fs::read(path).unwrap();
    let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let values = bytes[10 + length..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    (text(&bytes[10..10 + length]), values)
}

#[test]
fn a_trace_is_the_references_picture() {
    let folder = tempfile::tempdir().unwrap();
    for (name, views) in [("plain", 2), ("far", 1), ("extremes", 2)] {
        let tensors = scene(folder.path(), &format!("{name}.safetensors"));
        for view in 0..views {
            let number = view.to_string();
            done(
                folder.path(),
                &[
                    "render",
                    "scene.ply",
                    "--camera",
                    "cameras.json",
                    "--view",
                    &number,
                    "-o",
                    "a.png",
                    "--trace",
                    "t.safetensors",
                ],
            );
            let found = candle_core::safetensors::load(folder.path().join("t.safetensors"), &Device::Cpu).unwrap();
            for (ours, theirs, unit) in [("colour", "picture", 1.0), ("alpha", "alpha", 1.0), ("depth", "depth", 5.0)] {
                let wanted = &tensors[&format!("{theirs}.{view}")];
                assert_eq!(found[ours].dims(), wanted.dims());
                let (mean, most) = apart(&values(&found[ours]), &values(wanted));
                // spec/splats.md section 3.3; a camera's position goes through JSON.
                assert!(mean <= 2e-6 * unit && most <= 5e-3 * unit, "{name}.{view} {ours}: {mean:.1e} {most:.1e}");
            }
            let picture = image::open(folder.path().join("a.png")).unwrap().into_rgb8();
            let colour = values(&found["colour"]);
            let bytes: Vec<u8> = colour.iter().map(|value| (value * 255.0).round().clamp(0.0, 255.0) as u8).collect();
            assert_eq!(picture.as_raw(), &bytes);
        }
    }
}

#[test]
fn every_mode_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let tensors = scene(folder.path(), "plain.safetensors");
    let camera = ["render", "scene.ply", "--camera", "cameras.json", "--view", "view 0"];
    let with = |more: &[&str]| done(folder.path(), &[&camera[..], more].concat());
    for mode in ["rgb", "depth", "normals", "opacity", "count", "pca", "clusters", "similarity"] {
        let name = format!("{mode}.png");
        with(&["--mode", mode, "-o", &name, "--clusters", "5", "--similar-to", "34,20"]);
        let picture = image::open(folder.path().join(name)).unwrap().into_rgb8();
        assert_eq!(picture.dimensions(), (68, 40));
        let colours: std::collections::HashSet<[u8; 3]> = picture.pixels().map(|pixel| pixel.0).collect();
        assert!(colours.len() > 8, "{mode} has {} colours", colours.len());
    }
    let told = with(&["--mode", "features", "-o", "f.npy", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&report["gaussians"], &report["shape"]), (&280.into(), &serde_json::json!([40, 68, 5])));
    let (header, features) = npy(&folder.path().join("f.npy"));
    assert!(header.contains("(40, 68, 5)"), "{header}");
    let (mean, most) = apart(&features, &values(&tensors["blended.0"]));
    assert!(mean < 6e-6 && most < 0.015, "{mean:.1e} {most:.1e}");
    let likeness = {
        with(&["--mode", "similarity", "--similar-to", "34,20", "-o", "s.npy"]);
        npy(&folder.path().join("s.npy")).1
    };
    assert!((likeness[20 * 68 + 34] - 1.0).abs() < 1e-5);
    // Another size, a background that shines through, and one of its own.
    with(&["--size", "34x20", "-o", "b.png", "--background", "transparent"]);
    let picture = image::open(folder.path().join("b.png")).unwrap().into_rgba8();
    assert_eq!(picture.dimensions(), (34, 20));
    assert!(picture.pixels().any(|pixel| pixel.0[3] == 0) && picture.pixels().any(|pixel| pixel.0[3] > 200));
    with(&["-o", "c.png", "--background", "255,0,0"]);
    assert_eq!(image::open(folder.path().join("c.png")).unwrap().into_rgb8().get_pixel(0, 0).0, [255, 0, 0]);
    // Without a camera the scene is framed.
    done(folder.path(), &["render", "scene.ply", "-o", "d.jpg", "--size", "60x60"]);
}

#[test]
fn the_sample_scene_shows_colours_and_features_to_its_cameras() {
    let folder = tempfile::tempdir().unwrap();
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/samples");
    let at = |name: &str| samples.join(name).to_str().unwrap().to_owned();
    let (scene, cameras) = (at("river-cottage.spz"), at("river-cottage.cameras.json"));
    for mode in ["rgb", "pca", "clusters"] {
        let name = format!("{mode}.png");
        let size = ["--size", "160x120", "--mode", mode, "-o", &name];
        let told = done(folder.path(), &[&["render", &scene, "--camera", &cameras, "--view", "4"], &size[..]].concat());
        assert!(told.contains("Gaussians, 160 × 120 pixels"), "{told}");
        let picture = image::open(folder.path().join(name)).unwrap().into_rgb8();
        // The ground and the water fill the lower half.
        let dark = picture.enumerate_pixels().filter(|(_, y, pixel)| *y > 60 && pixel.0.iter().all(|value| *value < 8));
        assert!(dark.count() < 100, "{mode}");
    }
}

#[test]
fn faults_are_one_sentence_and_leave_no_file() {
    let folder = tempfile::tempdir().unwrap();
    scene(folder.path(), "inside.safetensors");
    let whole = std::fs::read(folder.path().join("scene.ply")).unwrap();
    std::fs::write(folder.path().join("torn.ply"), &whole[..whole.len() - 7]).unwrap();
    let many = text(&whole[..54]).replace("vertex 400", "vertex 4294967296");
    std::fs::write(folder.path().join("many.ply"), [many.as_bytes(), &whole[54..]].concat()).unwrap();
    let render = |scene: &str, more: &[&str]| fault(folder.path(), &[&["render", scene, "-o", "x.png"], more].concat());
    assert!(render("torn.ply", &[]).contains("claims 400 Gaussians and ends after 399: it is not whole"));
    assert!(render("many.ply", &[]).contains("4294967296"), "{}", render("many.ply", &[]));
    assert!(render("none.ply", &[]).contains("none.ply cannot be read"));
    assert!(render("scene.ply", &["--camera", "scene.ply"]).contains("is no JSON file that can be read"));
    assert!(render("scene.ply", &["--camera", "cameras.json", "--view", "9"]).contains("there is no camera \"9\""));
    assert!(render("scene.ply", &["--mode", "pca"]).contains("has no features; `glassbox lift`"));
    assert!(
        fault(folder.path(), &["render", "scene.ply", "--mode", "features", "-o", "x.png"]).contains("ends in .npy")
    );
    assert!(fault(folder.path(), &["render", "scene.ply", "-o", "x.gif"]).contains("must end in"));
    assert!(!folder.path().join("x.png").exists());
    assert_eq!(
        glassbox(folder.path(), &["render", "scene.ply", "--size", "0x4", "-o", "x.png"]).status.code(),
        Some(2)
    );
}

/// The whole way: a scene of the world, features of its photographs lifted onto it, and what is then seen of them.
#[test]
fn a_synthetic_scene_is_made_lifted_and_seen() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let made = ["world", "--seed", "8", "--splats", "w", "--views", "3", "--size", "112x84", "--gaussians", "4000"];
    assert!(done(folder.path(), &made).contains("Gaussians, 3 cameras"));
    // Seen from where it was seen from, it looks like the photograph.
    let first = ["render", "w/scene.ply", "--camera", "w/cameras.json", "--view", "view-000.png"];
    done(folder.path(), &[&first[..], &["-o", "again.png", "--trace", "t.safetensors"]].concat());
    let [again, photograph] =
        ["again.png", "w/images/view-000.png"].map(|name| image::open(at(name)).unwrap().into_rgb8());
    let alpha = values(&candle_core::safetensors::load(at("t.safetensors"), &Device::Cpu).unwrap()["alpha"]);
    let pixels = again.pixels().zip(photograph.pixels()).zip(&alpha).filter(|(_, a)| **a > 0.9);
    let off: Vec<f64> = pixels
        .map(|((a, b), _)| a.0.iter().zip(b.0).map(|(a, b)| f64::from(a.abs_diff(b))).sum::<f64>() / 3.0)
        .collect();
    let mean = off.iter().sum::<f64>() / off.len() as f64;
    assert!(off.len() > 4000 && mean < 25.0, "{} pixels, {mean}", off.len());

    let backbone = fixture("vit/dinov2-reg");
    let lift = ["lift", "w/scene.ply", "--cameras", "w", "--images", "w/images", "--size", "112x84"];
    let model = ["--model", backbone.to_str().unwrap()];
    let told = done(folder.path(), &[&lift[..], &model, &["-o", "lifted.ply", "--json"]].concat());
    let report: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&report["views"], &report["missing"]), (&3.into(), &0.into()));
    assert!(report["seen"].as_u64().unwrap() > 2000, "{report}");
    // The same bytes again, and with fewer channels beside an SPZ file.
    done(folder.path(), &[&lift[..], &model, &["-o", "again.ply"]].concat());
    assert_eq!(std::fs::read(at("lifted.ply")).unwrap(), std::fs::read(at("again.ply")).unwrap());
    done(folder.path(), &[&lift[..], &model, &["--channels", "6", "-o", "small.spz"]].concat());
    assert!(at("small.features.safetensors").is_file());
    let look = |scene: &str, mode: &str, out: &str| {
        done(folder.path(), &["render", scene, "--camera", "w/cameras.json", "--mode", mode, "-o", out]);
    };
    look("small.spz", "pca", "pca.png");
    look("lifted.ply", "features", "f.npy");
    // Blended back they are like what the backbone saw of the same photograph, more than like what it saw elsewhere.
    let picture = at("w/images/view-000.png");
    done(
        folder.path(),
        &["features", picture.to_str().unwrap(), model[0], model[1], "--size", "112x84", "--npy", "own.npy"],
    );
    let (_, blended) = npy(&at("f.npy"));
    let (header, own) = npy(&at("own.npy"));
    assert!(header.contains("(6, 8, "), "{header}");
    let dim = own.len() / 48;
    let cosine = |a: &[f32], b: &[f32]| {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(1e-12)
    };
    let (mut here, mut there, mut count) = (0.0, 0.0, 0.0);
    for patch in 0..48 {
        let (row, column) = (patch / 8, patch % 8);
        let pixel = (row * 14 + 7) * 112 + column * 14 + 7;
        if alpha[pixel] > 0.9 {
            let feature = &blended[pixel * dim..][..dim];
            here += cosine(feature, &own[patch * dim..][..dim]);
            there += cosine(feature, &own[(47 - patch) * dim..][..dim]);
            count += 1.0;
        }
    }
    assert!(count > 15.0 && here / count > there / count + 0.05, "{count}: {} and {}", here / count, there / count);

    let missing = fault(
        folder.path(),
        &["lift", "w/scene.ply", "--cameras", "w", "--images", "cache", model[0], model[1], "-o", "x.ply"],
    );
    assert!(missing.contains("there is no folder") || missing.contains("none of the 3 photographs"), "{missing}");
}

/// FiT3D's way on the starter backbone: held out photographs are compared for both methods, and the decoder that is written
/// brings a view to the backbone's width.
#[test]
fn features_are_fitted_and_decoded() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    done(
        folder.path(),
        &["world", "--seed", "9", "--splats", "w", "--views", "5", "--size", "112x84", "--gaussians", "3000"],
    );
    let backbone = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/starter/backbone");
    let lift = ["lift", "w/scene.ply", "--cameras", "w", "--images", "w/images", "--size", "112x84", "--model"];
    let fit =
        ["--method", "fit", "--channels", "16", "--steps", "150", "--held-out", "5", "--curve", "c.png", "--json"];
    let told = done(folder.path(), &[&lift[..], &[backbone.to_str().unwrap()], &fit, &["-o", "fitted.ply"]].concat());
    let report: serde_json::Value = serde_json::from_str(&told).unwrap();
    let number = |value: &serde_json::Value| value.as_f64().unwrap();
    assert_eq!((&report["views"], &report["held_out"], &report["dim"]), (&4.into(), &1.into(), &16.into()));
    let loss: Vec<f64> = report["fit"]["loss"].as_array().unwrap().iter().map(number).collect();
    let (first, last) = (loss[0], loss[140..].iter().sum::<f64>() / 10.0);
    assert!(loss.len() == 150 && last < 0.75 * first, "{first} {last}");
    for agreement in [&report["mean_agreement"], &report["fit"]["agreement"]] {
        let cosine = number(&agreement["cosine"]);
        assert!(cosine > 0.2 && cosine <= 1.0 && number(&agreement["l1"]) > 0.0, "{report}");
    }
    assert!(image::open(at("c.png")).unwrap().width() > 100);
    let look = ["render", "fitted.ply", "--camera", "w/cameras.json", "--mode", "features", "-o"];
    done(folder.path(), &[&look[..], &["own.npy"]].concat());
    done(folder.path(), &[&look[..], &["wide.npy", "--decoder", "fitted.decoder.safetensors"]].concat());
    assert!(npy(&at("own.npy")).0.contains("(84, 112, 16)"));
    assert!(npy(&at("wide.npy")).0.contains("(84, 112, 192)"));
    let other = fault(folder.path(), &[&look[..], &["x.npy", "--decoder", "w/cameras.json"]].concat());
    assert!(!other.is_empty() && !at("x.npy").exists(), "{other}");
}

#[test]
fn a_picture_becomes_a_scene() {
    let folder = tempfile::tempdir().unwrap();
    let picture = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/samples/lake-village.png");
    let picture = picture.to_str().unwrap();
    let told = done(folder.path(), &["lift", "--picture", picture, "--gaussians", "5000", "-o", "p.ply", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert!(report["gaussians"].as_u64().is_some_and(|count| (4000..=5000).contains(&count)), "{report}");
    assert_eq!(report["dim"], 192);
    assert!(report["nearest"].as_f64().unwrap() < report["farthest"].as_f64().unwrap());
    done(folder.path(), &["render", "p.ply", "--mode", "pca", "--size", "96x64", "-o", "pca.png"]);
    assert_eq!(report["relative"], false);
    // A model that tells distances only in proportion to each other.
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/fixtures/depth_anything");
    let by = ["lift", "--picture", picture, "--depth", tiny.to_str().unwrap(), "--gaussians", "2000", "-o", "d.ply"];
    assert!(done(folder.path(), &by).contains("in proportion"));
    let report: serde_json::Value =
        serde_json::from_str(&done(folder.path(), &[&by[..], &["--json"]].concat())).unwrap();
    assert!(report["relative"] == true && report["nearest"].as_f64().unwrap() < 1.5, "{report}");
    // Neither a scene nor a picture, and both, are usage errors.
    assert_eq!(glassbox(folder.path(), &["lift", "-o", "x.ply"]).status.code(), Some(2));
    let both = ["lift", "p.ply", "--picture", picture, "-o", "x.ply"];
    assert_eq!(glassbox(folder.path(), &both).status.code(), Some(2));
}
