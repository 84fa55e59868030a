//! `glassbox features` as a person runs it: the real program on the fixtures' tiny backbones, so that it needs no download.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use candle_core::{DType, Device, Tensor};

fn backbone(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/fixtures/vit").join(name);
    path.to_str().unwrap().to_owned()
}

fn glassbox(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_glassbox"));
    // Converted pickles go into this test's own cache.
    command.env("XDG_CACHE_HOME", folder.join("cache")).env("HOME", folder);
    command.current_dir(folder).arg("features").args(arguments).output().expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs it, which must succeed; gives stdout.
fn features(folder: &Path, arguments: &[&str]) -> String {
    let output = glassbox(folder, arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// Runs it, which must fail with one sentence; gives that.
fn fault(folder: &Path, arguments: &[&str]) -> String {
    let output = glassbox(folder, arguments);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let said = text(&output.stderr);
    let last = said.lines().last().unwrap_or_default().to_owned();
    assert!(last.starts_with("glassbox: ") && !said.contains("panicked"), "{said}");
    last
}

fn sample(folder: &Path, name: &str, width: u32, height: u32) -> PathBuf {
    let path = folder.join(name);
    let picture = image::RgbImage::from_fn(width, height, |x, y| {
        let inside = (x as i32 - width as i32 / 2).pow(2) + (y as i32 - height as i32 / 2).pow(2) < 300;
        if inside { image::Rgb([230, 60, 40]) } else { image::Rgb([(x * 2) as u8, (y * 3) as u8, 120]) }
    });
    picture.save(&path).unwrap();
    path
}

fn tensors(path: &Path) -> std::collections::HashMap<String, Tensor> {
    candle_core::safetensors::load(path, &Device::Cpu).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Every family, at sizes it was not made for, against the tokens in its fixture.
#[test]
fn a_trace_holds_input_tokens_and_grid() {
    let folder = tempfile::tempdir().unwrap();
    for (name, prefix) in [("dinov2", 1), ("dinov2-reg", 5), ("clip", 1), ("mae", 1), ("deit3", 1), ("dinov3", 5)] {
        let io = tensors(&Path::new(&backbone(name)).join("io.safetensors"));
        let bytes = &io["picture.1"];
        let (height, width, _) = bytes.dims3().unwrap();
        let pixels = bytes.flatten_all().unwrap().to_vec1::<u8>().unwrap();
        image::RgbImage::from_raw(width as u32, height as u32, pixels)
            .unwrap()
            .save(folder.path().join("p.png"))
            .unwrap();
        let size = format!("{width}x{height}");
        let model = backbone(name);
        features(folder.path(), &["p.png", "--model", &model, "--size", &size, "--trace", "t.safetensors"]);
        let trace = tensors(&folder.path().join("t.safetensors"));
        assert_eq!(trace["input"].dims(), [1, 3, height, width]);
        let grid = values(&trace["grid"]);
        let patches = (grid[0] * grid[1]) as usize;
        let wanted = io["tokens.1"].narrow(0, prefix, patches).unwrap();
        assert_eq!(trace["tokens"].dims(), wanted.dims(), "{name}");
        let (found, wanted) = (values(&trace["tokens"]), values(&wanted));
        let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v).powi(2)).sum::<f64>().sqrt();
        let distance = norm(&mut found.iter().zip(&wanted).map(|(a, b)| a - b)) / norm(&mut wanted.iter().copied());
        assert!(distance <= 1e-4, "{name} strays by {distance:.1e}");
    }
}

#[test]
fn maps_of_several_pictures_share_a_basis_and_are_the_pictures_size() {
    let folder = tempfile::tempdir().unwrap();
    sample(folder.path(), "Été 日本.png", 90, 60);
    sample(folder.path(), "other.png", 84, 84);
    let model = backbone("dinov2-reg");
    let said = features(
        folder.path(),
        &[
            "Été 日本.png",
            "other.png",
            "--model",
            &model,
            "--size",
            "112",
            "--pca",
            "pca.png",
            "--kmeans",
            "k.png",
            "--clusters",
            "5",
            "--similar-to",
            "45,30",
            "like.png",
            "--npy",
            "f.npy",
            "--save-basis",
            "basis.safetensors",
        ],
    );
    assert!(said.contains("Été 日本.png: 112×70 → 8×5 patches of 32 features, layer 2"), "{said}");
    assert!(said.contains("other.png: 112×112 → 8×8 patches"), "{said}");
    assert!(said.contains("components explain") && said.contains("clusters of"), "{said}");
    let open = |name: &str| image::open(folder.path().join(name)).unwrap().to_rgb8();
    for map in ["pca", "k", "like"] {
        assert_eq!(open(&format!("{map}-Été 日本.png")).dimensions(), (90, 60));
        assert_eq!(open(&format!("{map}-other.png")).dimensions(), (84, 84));
    }
    let colours: HashSet<[u8; 3]> =
        open("k-other.png").pixels().chain(open("k-Été 日本.png").pixels()).map(|p| p.0).collect();
    assert!((2..=5).contains(&colours.len()), "{colours:?}");
    // A point is most like itself: its patch has the scale's last colour.
    let like = open("like-Été 日本.png");
    assert!(like.pixels().all(|pixel| pixel.0[0] <= like.get_pixel(45, 30).0[0]));
    let npy = std::fs::read(folder.path().join("f-other.npy")).unwrap();
    assert!(String::from_utf8_lossy(&npy[..128]).contains("'shape': (8, 8, 32)"));
    assert_eq!(npy.len(), 128 + 8 * 8 * 32 * 4);

    // The kept basis paints a picture alone as it was painted among others, but for the range.
    let alone = ["other.png", "--model", &model, "--size", "112", "--basis", "basis.safetensors", "--pca", "a.png"];
    features(folder.path(), &alone);
    features(folder.path(), &[&alone[..7], &["--pca", "b.png", "--pixels", "patches"]].concat());
    assert_eq!(open("b.png").dimensions(), (8, 8));
    let (a, b) = (open("a.png"), open("b.png"));
    assert_eq!(a.get_pixel(5, 5), b.get_pixel(0, 0));
    assert_eq!(a.get_pixel(83, 47), b.get_pixel(7, 4));
}

/// Everything the window brings out: norms, differences, tables and indices of clusters, legends.
#[test]
fn numbers_tables_and_legends_are_written_too() {
    let folder = tempfile::tempdir().unwrap();
    sample(folder.path(), "a.png", 84, 70);
    sample(folder.path(), "b.png", 84, 70);
    image::RgbImage::from_fn(
        84,
        70,
        |x, y| if x < 42 { image::Rgb([200, 40, 40]) } else { image::Rgb([9, y as u8, 90]) },
    )
    .save(folder.path().join("b.png"))
    .unwrap();
    let model = backbone("dinov2-reg");
    let open = |name: &str| image::open(folder.path().join(name)).unwrap().to_rgb8();
    let base = ["a.png", "b.png", "--model", &model, "--paper"];
    features(
        folder.path(),
        &[&base[..], &["--clusters", "4", "--clusters-csv", "k.csv", "--clusters-png", "k.png", "--norm", "n.png"]]
            .concat(),
    );
    let table = std::fs::read_to_string(folder.path().join("k-a.csv")).unwrap();
    assert_eq!(table.lines().count(), 5, "{table}");
    let patches: usize =
        table.lines().skip(1).map(|line| line.split(',').nth(2).unwrap().parse::<usize>().unwrap()).sum();
    assert_eq!(patches, 30);
    // The paper's colours, in the paper's order.
    assert!(table.contains("1,#1f77b4,"), "{table}");
    let numbers: HashSet<u8> = open("k-a.png").pixels().map(|pixel| pixel.0[0]).collect();
    assert!(numbers.iter().all(|number| (1..=4).contains(number)), "{numbers:?}");
    assert_eq!(open("n-b.png").dimensions(), (84, 70));

    // Between two pictures, with a legend below; between two models.
    let range = ["--difference", "d.png", "--legend", "--value-range", "0,0.5", "--colours", "grey"];
    features(folder.path(), &[&base[..], &range].concat());
    let map = open("d-b.png");
    assert!(map.width() >= 84 && map.height() > 70 + 20, "{:?}", map.dimensions());
    assert!(!folder.path().join("d-a.png").exists());
    let other = backbone("dinov2");
    let models = ["a.png", "--model", &other, "--beside", &model, "--size", "84x70", "--difference", "m.png"];
    features(folder.path(), &models);
    assert_eq!(open("m.png").dimensions(), (84, 70));
    let alone = ["a.png", "--model", &model, "--difference", "x.png"];
    assert!(fault(folder.path(), &alone).contains("between two pictures"));

    // A box, the class token and a register.
    for (subject, out) in [("0,0,40,40", "box.png"), ("class", "class.png"), ("register:2", "register.png")] {
        features(folder.path(), &["a.png", "--model", &model, "--size", "84", "--similar-to", subject, out]);
        assert_eq!(open(out).dimensions(), (84, 70));
    }
    let without =
        |model: &str, subject| fault(folder.path(), &["a.png", "--model", model, "--similar-to", subject, "x.png"]);
    assert!(without(&model, "register:9").contains("4 registers"));
    assert!(without(&model, "0,0,1,1").contains("no patch has its middle"));
}

#[test]
fn a_run_repeats_and_says_json() {
    let folder = tempfile::tempdir().unwrap();
    sample(folder.path(), "p.png", 64, 48);
    let model = backbone("deit3");
    let run = |out: &str| {
        let said = features(
            folder.path(),
            &[
                "p.png",
                "--model",
                &model,
                "--size",
                "source",
                "--layer",
                "2",
                "--no-norm",
                "--kmeans",
                out,
                "--clusters",
                "4",
                "--pca",
                "pca.png",
                "--foreground",
                "--range",
                "percentiles",
                "--json",
            ],
        );
        serde_json::from_str::<serde_json::Value>(&said).unwrap()
    };
    let (first, second) = (run("a.png"), run("b.png"));
    assert_eq!(
        std::fs::read(folder.path().join("a.png")).unwrap(),
        std::fs::read(folder.path().join("b.png")).unwrap()
    );
    assert_eq!(first["clusters"], second["clusters"]);
    assert_eq!(first["pictures"][0]["grid"], serde_json::json!([3, 4]));
    assert_eq!(first["pictures"][0]["layer"], 2);
    let sizes: u64 = first["clusters"].as_array().unwrap().iter().map(|c| c["size"].as_u64().unwrap()).sum();
    assert_eq!(sizes, 12);
    assert!(first["explained"][0].as_f64().unwrap() > 0.0);
}

#[test]
fn a_fit3d_pickle_beside_the_original() {
    let folder = tempfile::tempdir().unwrap();
    sample(folder.path(), "p.png", 70, 42);
    let (original, tuned) = (backbone("dinov2"), backbone("fit3d.pth"));
    let said = features(
        folder.path(),
        &["p.png", "--model", &original, "--beside", &tuned, "--size", "70", "--imagenet", "--npy", "both.npy"],
    );
    assert!(said.contains("5×3 patches of 96 features"), "{said}");
    let npy = std::fs::read(folder.path().join("both.npy")).unwrap();
    assert!(String::from_utf8_lossy(&npy[..128]).contains("'shape': (3, 5, 96)"));
}

#[test]
fn wrong_inputs_get_one_sentence_each() {
    let folder = tempfile::tempdir().unwrap();
    sample(folder.path(), "p.png", 64, 64);
    sample(folder.path(), "dot.png", 1, 1);
    image::RgbImage::from_pixel(64, 64, image::Rgb([9, 9, 9])).save(folder.path().join("flat.png")).unwrap();
    let model = backbone("mae");
    let with = |more: &[&str]| -> Vec<String> {
        let all = [&["p.png", "--model", model.as_str()], more].concat();
        all.into_iter().map(str::to_owned).collect()
    };
    let said = |more: &[&str]| {
        let all = with(more);
        fault(folder.path(), &all.iter().map(String::as_str).collect::<Vec<_>>())
    };
    assert!(fault(folder.path(), &["dot.png", "--model", &model, "--pca", "o.png"]).contains("less than one patch"));
    assert!(said(&["--kmeans", "o.png", "--clusters", "20"]).contains("20 clusters cannot be made of 9 patches"));
    assert!(said(&["--kmeans", "o.png", "--clusters", "1"]).contains("choose 2 to 64"));
    assert!(said(&["--layer", "7", "--npy", "o.npy"]).contains("layers 1 to 3"));
    assert!(said(&["--size", "16", "--pca", "o.png"]).contains("at least 2 patches"));
    assert!(said(&["--pca", "p.png"]).contains("never overwritten"));
    assert!(said(&["--pca", "map.tiff"]).contains("must end in"));
    assert!(said(&["--similar-to", "900,3", "o.png"]).contains("there is no patch"));
    assert!(said(&["--similar-to", "here", "o.png"]).contains("X,Y"));
    assert!(said(&["--components", "1,2,40", "--pca", "o.png"]).contains("no component 40"));
    let other = backbone("dinov2");
    assert!(said(&["--beside", &other, "--npy", "o.npy"]).contains("cannot be paired"));
    std::fs::write(folder.path().join("basis.safetensors"), b"<html>").unwrap();
    assert!(said(&["--basis", "basis.safetensors", "--pca", "o.png"]).contains("web page"));
    // One colour everywhere: what is seen are positions alone, and that is said.
    let flat = features(folder.path(), &["flat.png", "--model", &model, "--pca", "flat-map.png"]);
    assert!(flat.contains("note: the picture is one colour everywhere"), "{flat}");
    for output in ["o.png", "o.npy"] {
        assert!(!folder.path().join(output).exists(), "{output} was written by a run that failed");
    }

    // Models that are none, and a model that lacks a tensor.
    let models = |name: &str| fault(folder.path(), &["p.png", "--model", name, "--pca", "o.png"]);
    let editor = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/fixtures/edit/folders/classic");
    assert!(models(editor.to_str().unwrap()).contains("not a feature backbone"));
    assert!(models("no-such-model").contains("dinov2-small"));
    let copy = folder.path().join("copy");
    std::fs::create_dir(&copy).unwrap();
    std::fs::copy(Path::new(&model).join("config.json"), copy.join("config.json")).unwrap();
    let mut weights = tensors(&Path::new(&model).join("model.safetensors"));
    weights.remove("blocks.1.mlp.fc2.weight");
    candle_core::safetensors::save(&weights, copy.join("model.safetensors")).unwrap();
    assert!(
        models("copy").contains("model.safetensors lacks the tensor blocks.1.mlp.fc2.weight"),
        "{}",
        models("copy")
    );
    let other = std::collections::HashMap::from([(
        "layer1.0.conv1.weight".to_owned(),
        Tensor::zeros(4, DType::F32, &Device::Cpu).unwrap(),
    )]);
    candle_core::safetensors::save(&other, copy.join("model.safetensors")).unwrap();
    assert!(models("copy").contains("no vision transformer in timm's layout"), "{}", models("copy"));
}

#[test]
fn usage_errors_exit_with_two() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        vec!["p.png"],
        vec!["--model", "x"],
        vec!["p.png", "--model", "x", "--components", "1,2"],
        vec!["p.png", "--model", "x", "--fit", "stretch"],
        vec!["p.png", "--model", "x", "--similar-to", "1,2"],
        vec!["p.png", "--model", "x", "--noise", "n.safetensors"],
        vec!["p.png", "--model", "x", "--value-range", "3,1"],
        vec!["p.png", "--model", "x", "--paper", "--size", "64"],
    ] {
        assert_eq!(glassbox(folder.path(), &arguments).status.code(), Some(2), "{arguments:?}");
    }
}

/// The backbone that comes with the program, on a sample picture that comes with it.
#[test]
fn the_starter_backbone_tells_the_parts_of_a_sample_picture_apart() {
    let folder = tempfile::tempdir().unwrap();
    let picture = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/samples/lake-village.png");
    let arguments = ["--model", "starter", "--pca", "out.png", "--kmeans", "k.png", "--clusters", "6"];
    let said = features(folder.path(), &[&[picture.to_str().unwrap()], &arguments[..]].concat());
    assert!(said.contains("→ 32×24 patches of 192 features, layer 6"), "{said}");
    let open = |name: &str| image::open(folder.path().join(name)).unwrap().to_rgb8();
    let (size, map, clusters) = (image::open(&picture).unwrap().to_rgb8().dimensions(), open("out.png"), open("k.png"));
    assert_eq!((map.dimensions(), clusters.dimensions()), (size, size));
    let colours: HashSet<[u8; 3]> = clusters.pixels().map(|pixel| pixel.0).collect();
    assert_eq!(colours.len(), 6);
    assert!(map.pixels().map(|pixel| pixel.0).collect::<HashSet<_>>().len() > 200);
    // The sky at the top is one thing, and the village before the lake is no sky.
    let row = |share: f64| -> Vec<[u8; 3]> {
        (0..size.0).map(|x| clusters.get_pixel(x, (f64::from(size.1) * share) as u32).0).collect()
    };
    let (sky, village) = (row(0.05), row(0.7));
    let most = |colours: &[[u8; 3]]| colours.iter().filter(|colour| **colour == sky[0]).count();
    assert!(most(&sky) * 10 > sky.len() * 9, "{} of {}", most(&sky), sky.len());
    assert!(most(&village) * 10 < village.len(), "{} of {}", most(&village), village.len());
}

#[test]
fn an_evaluation_finds_more_in_the_starter_backbone_than_in_an_untrained_one_or_in_pixels() {
    let evaluate = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_glassbox"));
        command.args(["evaluate", "features"]).args(arguments).output().expect("the program runs")
    };
    let output = evaluate(&["--scenes", "8", "--size", "224", "--json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = found["features"].as_array().unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row["features"].as_str().unwrap()).collect();
    assert_eq!(names, ["starter", "untrained", "pixels"]);
    let score = |row: usize, key: &str| rows[row][key].as_f64().unwrap();
    for other in [1, 2] {
        assert!(score(0, "mean_iou") > 1.5 * score(other, "mean_iou"), "{found}");
        assert!(score(0, "accuracy") > score(other, "accuracy") + 0.1, "{found}");
        assert!(score(0, "log_depth_rmse") < 0.7 * score(other, "log_depth_rmse"), "{found}");
        assert!(score(0, "cluster_rand") > score(other, "cluster_rand"), "{found}");
    }
    assert!(rows[0]["iou"]["sky"].as_f64().unwrap() > 0.7, "{found}");
    for (arguments, words) in
        [(vec!["--scenes", "1"], "at least two scenes"), (vec!["--size", "9"], "between 32 and 2048")]
    {
        let output = evaluate(&arguments);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains(words), "{}", text(&output.stderr));
    }
}
