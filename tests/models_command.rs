//! `glassbox models` as a person runs it: a tiny editor fetched from a hub on this machine, checked, used and repaired.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

mod hub;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use hub::{Hub, Reply, Sending};
use serde_json::Value;

const EDITOR: &str = "someone/tiny-editor";
const BACKBONE: &str = "someone/tiny-backbone";

/// A person's machine: folders of its own, and a hub.
struct Person {
    folder: tempfile::TempDir,
    hub: Hub,
    token: Option<&'static str>,
}

impl Person {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config/glassbox");
        std::fs::create_dir_all(&config).unwrap();
        let list = format!(
            r#"
            [[model]]
            id = "tiny-editor"
            name = "Tiny"
            roles = ["editor"]
            layout = "diffusers"
            repository = "{EDITOR}"
            licence = {{ name = "MIT" }}

            [[model]]
            id = "tiny-backbone"
            name = "Tiny"
            roles = ["backbone"]
            layout = "timm"
            repository = "{BACKBONE}"
            licence = {{ name = "CC-BY-NC-4.0", link = "https://example.org/terms" }}

            [[pack]]
            id = "tiny"
            name = "Tiny"
            models = {{ editor = "tiny-editor", backbone = "tiny-backbone", depth = "starter-depth" }}
            "#
        );
        std::fs::write(config.join("models.toml"), list).unwrap();
        let hub = Hub::start();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        hub.put_folder(EDITOR, &root.join("tests/parity/fixtures/edit/folders/blocks"));
        hub.put(EDITOR, "README.md", "what it is");
        hub.put(EDITOR, "unet/diffusion_pytorch_model.bin", "the same again as a pickle");
        hub.put_folder(BACKBONE, &root.join("assets/starter/depth"));
        let picture = image::RgbImage::from_fn(60, 40, |x, y| image::Rgb([(x * 4) as u8, (y * 6) as u8, 120]));
        picture.save(folder.path().join("in.png")).unwrap();
        Self { folder, hub, token: None }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_glassbox"));
        let home = self.folder.path();
        for name in
            ["HF_TOKEN", "HF_TOKEN_PATH", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "HUGGING_FACE_HUB_TOKEN", "RUST_LOG"]
        {
            command.env_remove(name);
        }
        command
            .env("HOME", home)
            .env("XDG_CONFIG_HOME", home.join("config"))
            .env("XDG_CACHE_HOME", home.join("cache"))
            .env("XDG_DATA_HOME", home.join("data"))
            .env("GLASSBOX_MODELS", home.join("models"))
            .env("HF_HOME", home.join("hf"))
            .env("HF_ENDPOINT", self.hub.address())
            .envs(self.token.map(|token| ("HF_TOKEN", token)))
            .current_dir(home)
            .args(arguments);
        command.output().expect("the program runs")
    }

    /// Runs what must succeed; gives stdout.
    fn does(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Runs what must fail; gives the sentence.
    fn fails(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stderr).lines().last().unwrap().to_owned()
    }

    fn state(&self, id: &str) -> Value {
        let listed: Value = serde_json::from_str(&self.does(&["models", "list", "--json"])).unwrap();
        listed["models"].as_array().unwrap().iter().find(|one| one["model"]["id"] == id).unwrap()["state"].clone()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn an_editor_is_fetched_verified_used_repaired_and_removed() {
    let person = Person::new();
    assert_eq!(person.state("tiny-editor"), "available");
    // Every connection breaks once on the way.
    person.hub.hook(|request, reply| {
        if request.at_storage && request.nth == 0 {
            let half = reply.body.len() / 2;
            reply.sent(Sending::CutAfter(half))
        } else {
            reply
        }
    });
    let output = person.run(&["models", "fetch", "tiny-editor"]);
    let (said, shown) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{shown}");
    assert!(said.starts_with("tiny-editor (12 files, ") && said.contains("is fetched and checked"), "{said}");
    assert!(shown.contains("Asking which files there are") && shown.contains("Fetching"), "{shown}");
    assert_eq!(person.state("tiny-editor"), "installed");
    person.hub.unhook();

    assert!(person.does(&["models", "verify", "tiny-editor"]).lines().all(|line| line.starts_with("good")));
    let edit = ["edit", "in.png", "-i", "snow", "-s", "snow", "-o", "out.png", "--size", "32", "--steps", "1"];
    person.does(&[&edit[..], &["--pack", "tiny-editor"]].concat());
    assert!(person.path("out.png").is_file());
    assert_eq!(
        person.does(&["models", "where", "tiny-editor"]).trim(),
        person.path("models/tiny-editor").to_str().unwrap()
    );

    // One bit.
    let file = person.path("models/tiny-editor/vae/diffusion_pytorch_model.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    let output = person.run(&["models", "verify", "tiny-editor"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("fetch the model again to repair it"), "{}", text(&output.stdout));
    person.hub.forget();
    let fetched: Value = serde_json::from_str(&person.does(&["models", "fetch", "tiny-editor", "--json"])).unwrap();
    assert_eq!(fetched["models"][0]["source"], "fetched");
    let resolved = person.hub.seen().into_iter().filter(|request| request.path.contains("/resolve/")).count();
    assert_eq!(resolved, 1, "only the damaged file");
    person.does(&["models", "verify", "tiny-editor"]);
    let again: Value = serde_json::from_str(&person.does(&["models", "fetch", "tiny-editor", "--json"])).unwrap();
    assert_eq!(again["models"][0]["source"], "here");

    assert!(person.does(&["models", "remove", "tiny-editor"]).contains("are free again"));
    assert_eq!(person.state("tiny-editor"), "available");
    assert!(person.fails(&["models", "remove", "tiny-editor"]).contains("nothing of tiny-editor"));
}

#[test]
fn a_pack_is_fetched_with_its_terms_accepted_and_its_gates_open() {
    let mut person = Person::new();
    person.hub.gate(BACKBONE, "hf_good");
    let refused = person.fails(&["models", "fetch", "tiny-backbone"]);
    assert!(refused.contains("CC-BY-NC-4.0") && refused.contains("--accept-licence"), "{refused}");
    assert!(person.hub.seen().is_empty());
    let gated = person.fails(&["models", "fetch", "tiny", "--accept-licence"]);
    assert!(gated.contains(&format!("{}/{BACKBONE}", person.hub.address())) && gated.contains("HF_TOKEN"), "{gated}");
    person.token = Some("hf_good");
    let said = person.does(&["models", "fetch", "tiny", "--accept-licence"]);
    assert!(said.contains("starter-depth comes with the program"), "{said}");
    assert_eq!((person.state("tiny-backbone"), person.state("tiny-editor")), ("installed".into(), "installed".into()));
}

#[test]
fn an_interrupted_fetch_is_listed_as_such_and_a_page_is_no_model() {
    let person = Person::new();
    person.hub.hook(
        |request, reply| {
            if request.at_storage { Reply::new(200, "<!doctype html><html>Sign in</html>") } else { reply }
        },
    );
    let said = person.fails(&["models", "fetch", "tiny-editor"]);
    assert!(said.contains("is not the file: it is a web page"), "{said}");
    assert_eq!(person.state("tiny-editor"), "partial");
    assert!(person.does(&["models", "list"]).contains("begun, "));
    let edit = ["edit", "in.png", "-i", "snow", "-s", "snow", "-o", "out.png", "--pack", "tiny-editor"];
    assert!(person.fails(&edit).contains("glassbox models fetch tiny-editor"));
    person.does(&["models", "remove", "tiny-editor"]);
    assert_eq!(person.state("tiny-editor"), "available");
    assert!(person.fails(&["models", "fetch", "nobody"]).contains("nobody"));
}

#[test]
fn a_folder_on_this_disk_is_imported_and_used() {
    let person = Person::new();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/fixtures/edit/folders/classic");
    let said = person.does(&["models", "import", fixture.to_str().unwrap(), "--id", "mine"]);
    assert!(said.contains("in the list as mine (editor)"), "{said}");
    assert_eq!(person.state("mine"), "own");
    let edit = ["edit", "in.png", "-i", "snow", "-s", "snow", "-o", "out.png", "--size", "32", "--steps", "1"];
    person.does(&[&edit[..], &["--pack", "mine"]].concat());
    assert!(person.fails(&["models", "import", "in.png"]).contains("in.png"));
    assert!(person.fails(&["models", "remove", "mine"]).contains("by hand"));
}
