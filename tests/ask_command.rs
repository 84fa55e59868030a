//! `glassbox ask` as a person runs it: the real program on the fixtures' tiny random models, so that it needs no download.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use candle_core::{DType, Device, Tensor};
use image::{Rgb, RgbImage};
use serde_json::Value;

fn model(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/fixtures/ask").join(name);
    path.to_str().unwrap().to_owned()
}

fn glassbox(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_glassbox"));
    // What is converted goes into this test's own cache.
    command.env("XDG_CACHE_HOME", folder.join("cache")).env("HOME", folder);
    command.current_dir(folder).arg("ask").args(arguments).output().expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs it, which must succeed; gives stdout.
fn ask(folder: &Path, arguments: &[&str]) -> String {
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

fn scene(folder: &Path) {
    let picture = RgbImage::from_fn(90, 50, |x, y| Rgb([(x * 5 % 256) as u8, (y * 7 % 256) as u8, 90]));
    picture.save(folder.join("scene.png")).unwrap();
}

fn logits(path: &Path) -> Vec<f32> {
    let tensors = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
    let logits: &Tensor = &tensors["logits"];
    logits.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn relative_l2(found: &[f32], wanted: &[f32]) -> f64 {
    let of = |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v) * f64::from(v)).sum::<f64>();
    (of(&mut found.iter().zip(wanted).map(|(a, b)| a - b)) / of(&mut wanted.iter().copied())).sqrt()
}

#[test]
fn an_answer_comes_with_its_heatmap_trace_and_cost() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    scene(at);
    let flex = model("flex-wide");
    let common = ["scene.png", "what is on the sign?", "--pack", &flex, "--max-tokens", "5"];
    let more = ["--json", "--heatmap", "map.png", "--trace", "trace.safetensors"];
    let said: Value = serde_json::from_str(&ask(at, &[&common[..], &more[..]].concat())).unwrap();
    assert_eq!(said["tokens"].as_array().unwrap().len(), 5);
    assert_eq!((said["attention"].as_str(), said["ending"].as_str()), (Some("flex"), Some("token limit")));
    let layers = said["tokens"][0]["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 12);
    assert!(layers[8]["read"].is_null() && !layers[8]["selected"].as_array().unwrap().is_empty());
    assert_eq!(layers[9]["read"], layers[8]["selected"]);
    let share = said["cost"]["share_of_full"].as_f64().unwrap();
    assert!(share > 0.0 && share <= 1.0);
    let map = image::open(at.join("map.png")).unwrap().to_rgb8();
    assert!(map.width() == 90 && map.height() > 50, "the colour bar is below");
    let trace = candle_core::safetensors::load(at.join("trace.safetensors"), &Device::Cpu).unwrap();
    for name in ["input_ids", "input", "low_res", "high_res", "tokens", "logits", "attention.4.0", "selection.4.8"] {
        assert!(trace.contains_key(name), "{name}");
    }
    // Prose is the same answer.
    assert_eq!(ask(at, &common).trim(), said["answer"].as_str().unwrap());
}

#[test]
fn modes_templates_layouts_and_regions_are_heeded() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    scene(at);
    RgbImage::from_fn(90, 50, |x, _| Rgb([if x < 30 { 255 } else { 0 }; 3])).save(at.join("left.png")).unwrap();
    let run = |pack: &str, more: &[&str]| {
        let pack = model(pack);
        let arguments = ["scene.png", "what?", "--pack", &pack, "--max-tokens", "3", "--json"];
        let trace = ["--trace", "t.safetensors"];
        let said: Value = serde_json::from_str(&ask(at, &[&arguments[..], more, &trace[..]].concat())).unwrap();
        (said, logits(&at.join("t.safetensors")))
    };
    let (_, flex) = run("flex-wide", &[]);
    let mut seen = vec![flex.clone()];
    let others: [&[&str]; 6] = [
        &["--attention", "low"],
        &["--attention", "full"],
        &["--template", "llava_v1"],
        &["--without", "left.png"],
        &["--only", "left.png"],
        &["--unread", "left.png"],
    ];
    for more in others {
        let (said, found) = run("flex-wide", more);
        assert!(seen.iter().all(|other| relative_l2(&found, other) > 1e-4), "{more:?} changes nothing");
        if more[0] == "--unread" {
            let cells = said["tokens"][0]["layers"][9]["read"].as_array().unwrap();
            assert!(cells.iter().all(|cell| cell.as_u64().unwrap() % 9 > 2), "{cells:?}");
        }
        seen.push(found);
    }
    for (pack, template) in [("own-plain", "vicuna_v1"), ("hf-crop", "vicuna_v1"), ("hf-pad", "vicuna_v1")] {
        let (said, _) = run(pack, &["--heatmap", "map.png"]);
        assert_eq!((said["template"].as_str(), said["view"]["cells"].as_u64()), (Some(template), Some(0)));
    }
    // The same seed gives the same answer.
    let warm = ["--temperature", "1.5", "--top-p", "0.9", "--seed", "3"];
    assert_eq!(run("flex-wide", &warm).0["answer"], run("flex-wide", &warm).0["answer"]);
}

#[test]
fn weights_of_few_bits_give_about_the_same_and_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    scene(at);
    let pack = model("flex-wide");
    let run = |bits: &str| {
        let arguments = ["scene.png", "what?", "--pack", &pack, "--max-tokens", "1", "--weights", bits];
        ask(at, &[&arguments[..], &["--trace", "t.safetensors"]].concat());
        logits(&at.join("t.safetensors"))
    };
    let full = run("full");
    let kept = |at: &Path| -> Vec<PathBuf> {
        let found = std::fs::read_dir(at.join("cache/glassbox/converted"));
        found.map_or_else(|_| Vec::new(), |files| files.map(|file| file.unwrap().path()).collect())
    };
    assert!(kept(at).is_empty());
    let eight = run("8");
    assert_eq!(kept(at).len(), 1);
    let eight_apart = relative_l2(&eight, &full);
    let four_apart = relative_l2(&run("4"), &full);
    assert!(eight_apart < 0.1 && four_apart > eight_apart && four_apart < 1.0, "{eight_apart} {four_apart}");
    assert_eq!(kept(at).len(), 2);
    assert_eq!(run("8"), eight);
}

#[test]
fn conversations_share_what_was_read() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    scene(at);
    let pack = model("flex-tall");
    let said = ask(at, &["scene.png", "what?", "how many?", "--pack", &pack, "--max-tokens", "2", "--json"]);
    let answers = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>();
    assert_eq!(answers.len(), 2);
    assert_eq!(answers[0]["cost"]["reused_tokens"], 0);
    assert!(answers[1]["cost"]["reused_tokens"].as_u64().unwrap() > 16);
    assert_eq!(answers[1]["cost"]["encoding_operations"], 0.0);
}

#[test]
fn bad_input_is_handled_or_refused_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    scene(at);
    let pack = model("flex-one");
    let with = |picture: &str, question: &str| {
        glassbox(at, &[picture, question, "--pack", &pack, "--max-tokens", "1"]).status.success()
    };
    RgbImage::new(1, 1).save(at.join("dot.png")).unwrap();
    RgbImage::new(20_000, 200).save(at.join("strip.png")).unwrap();
    assert!(with("dot.png", "what?") && with("strip.png", "what?"));
    let refused = |more: &[&str]| fault(at, &[&["scene.png"], more].concat());
    assert!(refused(&["  ", "--pack", &pack]).contains("no question"));
    assert!(refused(&["</s>", "--pack", &pack]).contains("no question"));
    let long = "what is it ".repeat(1000);
    let said = refused(&[&long, "--pack", &pack]);
    assert!(said.contains("tokens") && said.contains("new conversation"), "{said}");
    assert!(refused(&["what?", "--pack", &pack, "--temperature", "99"]).contains("temperature"));
    assert!(refused(&["what?", "--pack", &pack, "--heatmap", "map.jpg"]).contains("PNG"));
    assert!(refused(&["what?", "--pack", &pack, "--max-tokens", "0"]).contains("at least 1"));
    assert!(fault(at, &["nothing.png", "what?", "--pack", &pack]).contains("nothing.png"));
    assert!(refused(&["what?", "--pack", "nowhere"]).contains("nowhere"));

    // Broken copies of a good folder.
    let copy = |name: &str| {
        let target = at.join(name);
        std::fs::create_dir(&target).unwrap();
        for file in std::fs::read_dir(model("flex-wide")).unwrap().map(|file| file.unwrap()) {
            std::fs::copy(file.path(), target.join(file.file_name())).unwrap();
        }
        target
    };
    let shard = copy("shard");
    std::fs::remove_file(shard.join("model-00002-of-00003.safetensors")).unwrap();
    let said = refused(&["what?", "--pack", "shard"]);
    assert!(said.contains("model-00002-of-00003.safetensors"), "{said}");
    let config = copy("config");
    let change = |key: &str, value: Value| {
        let mut all: Value = serde_json::from_slice(&std::fs::read(config.join("config.json")).unwrap()).unwrap();
        let old = std::mem::replace(&mut all[key], value);
        std::fs::write(config.join("config.json"), all.to_string()).unwrap();
        let said = refused(&["what?", "--pack", "config"]);
        all[key] = old;
        std::fs::write(config.join("config.json"), all.to_string()).unwrap();
        said
    };
    assert!(change("hidden_size", 40.into()).contains("[40"), "shapes are named");
    assert!(change("mm_projector_type", "other".into()).contains("projector"));
    assert!(change("num_attention_heads", 0.into()).contains("heads"));
    assert!(change("num_hidden_layers", 8.into()).contains("cannot be"));
    let cut = copy("cut");
    let shard = cut.join("model-00001-of-00003.safetensors");
    let bytes = std::fs::read(&shard).unwrap();
    std::fs::write(&shard, &bytes[..bytes.len() / 2]).unwrap();
    assert!(refused(&["what?", "--pack", "cut"]).contains("cut short"));
}

#[test]
fn the_starter_model_reads_a_sign_where_it_looks_closely() {
    let folder = tempfile::tempdir().unwrap();
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/samples/beach-sign.png");
    let question = [sample.to_str().unwrap(), "what is written on the sign?"];
    let in_mode = |mode: &str| ask(folder.path(), &[&question[..], &["--attention", mode]].concat());
    assert_eq!(in_mode("flex").trim(), "BEACH");
    assert_ne!(in_mode("low").trim(), "BEACH");
    let map = folder.path().join("map.png");
    ask(folder.path(), &[&question[..], &["--heatmap", map.to_str().unwrap()]].concat());
    let map = image::open(map).unwrap().to_rgb8();
    // The letters are 490 to 665 from the left, 530 to 570 from the top; yellow is what was read most, deep blue not at all.
    let lit = |x: u32, y: u32| {
        let [r, _, b] = map.get_pixel(x, y).0;
        i32::from(r) - i32::from(b)
    };
    assert!(lit(530, 550) > lit(100, 900) + 60, "{} {}", lit(530, 550), lit(100, 900));
}
