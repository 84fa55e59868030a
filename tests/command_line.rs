//! The real program, run as a person runs it: on the fixtures' tiny editors, so that it needs no download.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/fixtures/edit")
}

fn glassbox(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_glassbox")).current_dir(folder).args(arguments).output().expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs an edit on a fixture editor, which must succeed; gives stdout.
fn edit(folder: &Path, editor: &str, arguments: &[&str]) -> String {
    let pack = fixtures().join("folders").join(editor);
    let mut all = vec!["edit"];
    all.extend(arguments);
    all.extend(["--pack", pack.to_str().unwrap()]);
    let output = glassbox(folder, &all);
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

fn sample(folder: &Path, name: &str) {
    let picture = image::RgbImage::from_fn(60, 40, |x, y| image::Rgb([(x * 4) as u8, (y * 6) as u8, 120]));
    picture.save(folder.join(name)).unwrap();
}

#[test]
fn an_edit_its_contributions_and_its_recipe() {
    let folder = tempfile::tempdir().unwrap();
    sample(folder.path(), "Été 日本.png");
    let said = edit(
        folder.path(),
        "blocks",
        &[
            "Été 日本.png",
            "-i",
            "make it feel like winter",
            "-s",
            "put snow on the roofs=1.5",
            "-s",
            "ice = cold",
            "-o",
            "out.png",
            "--size",
            "32",
            "--steps",
            "3",
            "--seed",
            "9",
            "--contributions",
            "maps",
        ],
    );
    assert!(said.contains("1. put snow on the roofs, weight 1.5, "), "{said}");
    assert!(said.contains("2. ice = cold, "), "{said}");
    assert!(said.contains("60 × 40 → 32 × "), "{said}");
    let out = image::open(folder.path().join("out.png")).unwrap();
    assert_eq!((out.width(), out.height()), (60, 40));
    for name in ["1-put-snow-on-the-roofs.png", "1-put-snow-on-the-roofs.npy", "2-ice---cold.npy", "shares.csv"] {
        assert!(folder.path().join("maps").join(name).is_file(), "{name}");
    }
    let shares = std::fs::read_to_string(folder.path().join("maps/shares.csv")).unwrap();
    assert_eq!(shares.lines().count(), 4);

    // A result carries its recipe, and the recipe makes the same pixels again.
    let again = ["Été 日本.png", "--recipe", "out.png", "-o", "again.png", "--json"];
    let json: serde_json::Value = serde_json::from_str(&edit(folder.path(), "blocks", &again)).unwrap();
    assert_eq!(json["recipe"]["settings"]["seed"], 9);
    assert_eq!(json["recipe"]["specifics"][0]["weight"], 1.5);
    let pixels = |name: &str| image::open(folder.path().join(name)).unwrap().to_rgb8();
    assert_eq!(pixels("out.png"), pixels("again.png"));
    edit(folder.path(), "blocks", &["Été 日本.png", "--recipe", "out.png", "--seed", "10", "-o", "other.png"]);
    assert_ne!(pixels("out.png"), pixels("other.png"));
}

/// The reference's noise in, the reference's tensors out (names: design.md section 4).
#[test]
fn noise_and_trace_reproduce_the_reference() {
    let folder = tempfile::tempdir().unwrap();
    let run = fixtures().join("runs/ancestral-linspace-k3");
    let run_json: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(run.join("run.json")).unwrap()).unwrap();
    let field = |key: &str| run_json[key].to_string().trim_matches('"').to_owned();
    let mut arguments: Vec<String> = vec![
        run.join("source.png").to_str().unwrap().into(),
        "--instruction".into(),
        field("instruction"),
        "--steps".into(),
        field("steps"),
        "--guidance".into(),
        field("guidance_scale"),
        "--specific-guidance".into(),
        field("specific_guidance_scale"),
        "--image-guidance".into(),
        field("image_guidance_scale"),
        "--noise".into(),
        run.join("noise.safetensors").to_str().unwrap().into(),
    ];
    arguments.extend(["--size", "source", "--trace", "trace.safetensors", "-o", "out.png"].map(str::to_owned));
    for specific in run_json["specifics"].as_array().unwrap() {
        arguments.extend(["--specific".to_owned(), specific.as_str().unwrap().to_owned()]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // The run was made with a scheduler config of its own: a copy of the folder that holds it.
    let editor = folder.path().join("editor");
    copy(&fixtures().join("folders").join(field("folder")), &editor);
    let scheduler = run_json.get("scheduler_config").unwrap_or(&run_json["scheduler"]);
    if scheduler.is_object() {
        std::fs::write(editor.join("scheduler/scheduler_config.json"), scheduler.to_string()).unwrap();
    }
    let mut all = vec!["edit"];
    all.extend(arguments);
    all.extend(["--pack", "editor"]);
    let output = glassbox(folder.path(), &all);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let load = |path: &Path| candle_core::safetensors::load(path, &candle_core::Device::Cpu).unwrap();
    let (ours, theirs) = (load(&folder.path().join("trace.safetensors")), load(&run.join("trace.safetensors")));
    let numbers = |tensor: &candle_core::Tensor| -> Vec<f32> {
        tensor.to_dtype(candle_core::DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    };
    for (name, wanted) in theirs.iter().filter(|(name, _)| !name.starts_with("selection")) {
        let found = numbers(ours.get(name).unwrap_or_else(|| panic!("no {name} in the trace")));
        let wanted = numbers(wanted);
        assert_eq!(found.len(), wanted.len(), "{name}");
        let apart: f64 = found.iter().zip(&wanted).map(|(a, b)| f64::from(a - b).powi(2)).sum();
        let size: f64 = wanted.iter().map(|b| f64::from(*b).powi(2)).sum();
        assert!((apart / size.max(1e-12)).sqrt() < 1e-3, "{name} is off by {}", (apart / size).sqrt());
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for item in std::fs::read_dir(from).unwrap() {
        let item = item.unwrap();
        let target = to.join(item.file_name());
        if item.path().is_dir() {
            copy(&item.path(), &target);
        } else {
            std::fs::copy(item.path(), target).unwrap();
        }
    }
}

#[test]
fn faults_are_one_sentence_and_a_code() {
    let folder = tempfile::tempdir().unwrap();
    sample(folder.path(), "in.png");
    let pack = fixtures().join("folders/blocks");
    let pack = pack.to_str().unwrap();
    let cases: [(&[&str], i32, &str); 7] = [
        (&["edit", "none.png", "-i", "a", "-s", "b", "-o", "o.png", "--pack", pack], 1, "none.png"),
        (&["edit", "in.png", "-i", "a", "-s", "b", "-o", "o.xyz", "--pack", pack], 1, ".png, .jpg or .webp"),
        (&["edit", "in.png", "-i", "a", "-s", "b", "-o", "in.png", "--pack", pack], 1, "original is never overwritten"),
        (&["edit", "in.png", "-i", "a", "-s", "b", "-o", "o.png", "--pack", "nowhere"], 1, "nowhere"),
        (&["edit", "in.png", "-i", "a", "-s", "b", "-o", "o.png", "--recipe", "in.png"], 1, "no recipe"),
        (&["edit", "in.png", "-i", "a", "-o", "o.png", "--fit", "bend"], 2, "squash"),
        (&["edit", "in.png", "-i", "a", "-o", "o.png", "--size", "big"], 2, "640x480"),
    ];
    for (arguments, code, words) in cases {
        let mut arguments = arguments.to_vec();
        if arguments.contains(&"--recipe") {
            arguments.extend(["--pack", pack]);
        }
        if code == 1 {
            arguments.extend(["--steps", "1", "--size", "32"]);
        }
        let output = glassbox(folder.path(), &arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
        assert!(!folder.path().join("o.png").exists(), "{arguments:?}");
    }
}

#[test]
fn a_damaged_weight_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    sample(folder.path(), "in.png");
    let editor = folder.path().join("editor");
    copy(&fixtures().join("folders/blocks"), &editor);
    let file = editor.join("unet/diffusion_pytorch_model.safetensors");
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() - 100]).unwrap();
    let output = glassbox(folder.path(), &["edit", "in.png", "-i", "a", "-s", "b", "-o", "o.png", "--pack", "editor"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("unet/diffusion_pytorch_model.safetensors"), "{said}");
    let last = said.lines().last().unwrap();
    assert!(last.starts_with("glassbox: "), "{said}");
}
