//! Fetching models from a hub that behaves well and badly: nothing wrong is ever taken for good, nothing good is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

mod hub;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use glassbox::packs::diffusers::EditorFolder;
use glassbox::packs::fetch::{
    Disk, Event, FetchError, FetchObserver, FetchOptions, Fetched, HubSettings, ModelState, Patience, Progress, Source,
    Stage, ThisDisk, Token, Wish, fetch, record::Record, remove, state,
};
use glassbox::packs::manifest::Model;
use glassbox::packs::store::{Places, Store};
use glassbox::packs::verify;
use hub::{Hub, Reply, Sending};

const EDITOR: &str = "someone/tiny-editor";
const BACKBONE: &str = "someone/tiny-backbone";
const WEIGHTS: &str = "model.safetensors";

/// A machine with a store of its own and a hub.
struct Place {
    folder: tempfile::TempDir,
    hub: Hub,
    settings: HubSettings,
}

impl Place {
    /// A hub with an editor and a backbone of 20 kB.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let own = format!(
            r#"
            [[model]]
            id = "tiny-editor"
            name = "Tiny"
            roles = ["editor"]
            layout = "diffusers"
            repository = "{EDITOR}"
            licence = {{ name = "MIT" }}

            [[model]]
            id = "tiny.backbone"
            name = "Tiny"
            roles = ["backbone"]
            layout = "timm"
            repository = "{BACKBONE}"
            licence = {{ name = "CC-BY-NC-4.0", link = "https://example.org/terms" }}
            "#
        );
        std::fs::write(folder.path().join("own.toml"), own).unwrap();
        let hub = Hub::start();
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/fixtures/edit/folders/blocks");
        hub.put_folder(EDITOR, &fixtures);
        hub.put(BACKBONE, "config.json", "{\"architecture\": \"vit_tiny\"}");
        hub.put(BACKBONE, WEIGHTS, weights(1));
        hub.put(BACKBONE, "README.md", "what it is");
        let patience = Patience {
            stall: Duration::from_secs(20),
            crawl: 1,
            tries: 4,
            back_off: Duration::from_millis(1),
            longest: Duration::from_millis(200),
            glance: Duration::from_millis(1),
        };
        let settings = HubSettings { patience, ..HubSettings::at(hub.address()) };
        Self { folder, hub, settings }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn store(&self) -> Store {
        Store::at(Places {
            assets: Vec::new(),
            models: Some(self.path("models")),
            hub_caches: vec![self.path("hub")],
            own_list: Some(self.path("own.toml")),
        })
        .unwrap()
    }

    fn model(&self, id: &str) -> Model {
        self.store().manifest().model(id).unwrap().clone()
    }

    fn fetch_on(&self, id: &str, disk: &dyn Disk, observer: &dyn FetchObserver) -> Result<Fetched, FetchError> {
        let options = FetchOptions { hub: &self.settings, disk, accept_licence: true };
        fetch(&self.store(), &self.model(id), &options, observer)
    }

    fn fetch(&self, id: &str) -> Result<Fetched, FetchError> {
        self.fetch_on(id, &ThisDisk, &())
    }

    fn state(&self, id: &str) -> ModelState {
        state(&self.store(), &self.model(id))
    }

    /// The backbone is there, as published.
    fn assert_whole(&self) {
        let folder = self.path("models/tiny.backbone");
        assert_eq!(self.state("tiny.backbone"), ModelState::Installed(folder.clone()));
        assert_eq!(std::fs::read(folder.join(WEIGHTS)).unwrap(), self.hub.content(BACKBONE, WEIGHTS));
        let mut names: Vec<_> =
            std::fs::read_dir(&folder).unwrap().map(|item| item.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, ["config.json", "glassbox.json", WEIGHTS]);
        assert!(!self.path("models/.fetching/tiny.backbone").exists());
    }

    /// Nothing that could be taken for a model is there.
    fn assert_absent(&self) {
        assert!(!self.path("models/tiny.backbone").exists());
        assert!(self.store().locate(&self.model("tiny.backbone")).is_none());
    }
}

/// A whole safetensors file of 20 kB.
fn weights(seed: u8) -> Vec<u8> {
    let header = r#"{"a":{"dtype":"U8","shape":[20000],"data_offsets":[0,20000]}}   "#;
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend((0..20_000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8 ^ seed));
    file
}

/// Requests for the content of the weights, whose hash does not change.
fn is_weights(request: &hub::Request) -> bool {
    request.path.contains("/blobs/")
}

#[test]
fn an_editor_is_fetched_checked_and_opened() {
    let mut place = Place::new();
    place.settings.token = Token::new("hf_secret");
    assert_eq!(place.state("tiny-editor"), ModelState::Available);
    let fetched = place.fetch("tiny-editor").unwrap();
    assert_eq!((fetched.source, fetched.files), (Source::Fetched, 12));
    assert_eq!(place.state("tiny-editor"), ModelState::Installed(fetched.path.clone()));
    assert!(EditorFolder::open(&fetched.path).is_ok());
    assert!(verify::verify(&fetched.path).unwrap().iter().all(|file| file.fault.is_none()));
    let record = Record::read(&fetched.path).unwrap();
    assert_eq!((record.commit.as_str(), record.files.len()), (place.hub.commit(EDITOR).as_str(), 12));

    // The token went to the hub and nowhere else.
    let seen = place.hub.seen();
    assert!(seen.iter().any(|request| request.at_storage));
    for request in seen {
        let token = request.header("authorization");
        assert_eq!(token, (!request.at_storage).then_some("Bearer hf_secret"), "{}", request.path);
    }

    // A second fetch asks for nothing that is here.
    place.hub.forget();
    assert_eq!(place.fetch("tiny-editor").unwrap().source, Source::Here);
    assert!(place.hub.seen().iter().all(|request| request.path.starts_with("/api/")));
    assert!(remove(&place.store(), &place.model("tiny-editor")).unwrap() > 600_000);
    assert_eq!(place.state("tiny-editor"), ModelState::Available);
}

#[test]
fn a_connection_that_breaks_at_every_tenth_costs_nothing_twice() {
    let place = Place::new();
    let total = weights(1).len();
    place.hub.hook(move |request, reply| {
        // Whatever is asked for, a tenth of the file comes.
        if is_weights(request) { reply.sent(Sending::CutAfter(total / 10 + 1)) } else { reply }
    });
    place.fetch("tiny.backbone").unwrap();
    place.assert_whole();
    assert_eq!(place.hub.sent(BACKBONE, WEIGHTS), total);
    let asked: Vec<_> = place.hub.seen().into_iter().filter(is_weights).collect();
    assert_eq!(asked.len(), 10);
    assert!(asked.iter().skip(1).all(|request| request.header("if-range").is_some()));
}

#[test]
fn an_interrupted_fetch_goes_on_after_a_restart() {
    let mut place = Place::new();
    place.settings.patience.tries = 1;
    let total = weights(1).len();
    place.hub.hook(
        move |request, reply| {
            if is_weights(request) { reply.sent(Sending::CutAfter(total / 4 + 1)) } else { reply }
        },
    );
    for quarter in 1..4u64 {
        let error = place.fetch("tiny.backbone").unwrap_err();
        assert!(matches!(error, FetchError::Dropped { .. }), "{error}");
        place.assert_absent();
        let ModelState::Partial { done, total: all } = place.state("tiny.backbone") else { panic!("not partial") };
        assert!(done >= quarter * (total as u64 / 4) && all > total as u64, "{done} of {all}");
    }
    place.fetch("tiny.backbone").unwrap();
    place.assert_whole();
    assert_eq!(place.hub.sent(BACKBONE, WEIGHTS), total);
}

#[test]
fn silence_and_slowness_are_given_up_and_gone_on_from() {
    for sending in [Sending::SilentAfter(9000), Sending::Dripping] {
        let mut place = Place::new();
        place.settings.patience.stall = Duration::from_millis(1500);
        place.settings.patience.crawl = 4000;
        place.hub.hook(
            move |request, reply| {
                if is_weights(request) && request.nth == 0 { reply.sent(sending) } else { reply }
            },
        );
        place.fetch("tiny.backbone").unwrap();
        place.assert_whole();
        assert_eq!(place.hub.seen().into_iter().filter(is_weights).count(), 2, "{sending:?}");
    }
    let mut place = Place::new();
    place.settings.patience = Patience { stall: Duration::from_millis(50), tries: 2, ..place.settings.patience };
    place.hub.hook(|_, reply| reply.sent(Sending::SilentAfter(0)));
    let error = place.fetch("tiny.backbone").unwrap_err();
    assert!(matches!(error, FetchError::Stalled { tries: 2, .. }), "{error}");
    assert!(error.to_string().contains("next to nothing for 0.05 s"), "{error}");
}

#[test]
fn what_is_not_the_file_is_refused_with_the_reason() {
    const PAGE: &str = "<!DOCTYPE html><html><body>Please sign in to this network</body></html>";
    const POINTER: &str = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 20072\n";
    type Spoiled = fn(Reply) -> Reply;
    let bad: [(&str, Spoiled, &str); 6] = [
        ("page", |_| Reply::new(200, PAGE), "a web page"),
        ("pointer", |_| Reply::new(200, POINTER), "a Git LFS pointer"),
        ("short", |_| Reply::new(200, &weights(1)[..9000]), "has 9000 bytes where"),
        ("long", |_| Reply::new(200, [weights(1), vec![0; 9]].concat()), "bytes where the published file has"),
        ("longer than it says", |reply| reply.with("content-length", "99999999"), "bytes where the published file has"),
        ("wrong", |_| Reply::new(200, weights(2)), "is not what was published"),
    ];
    for (name, spoil, words) in bad {
        let place = Place::new();
        place.hub.hook(move |request, reply| {
            // Also what was begun well is not to be spoilt.
            match request.nth {
                _ if !is_weights(request) => reply,
                0 => reply.sent(Sending::CutAfter(7000)),
                _ => spoil(reply),
            }
        });
        let error = place.fetch("tiny.backbone").unwrap_err().to_string();
        assert!(error.contains(words), "{name}: {error}");
        place.assert_absent();
        place.hub.unhook();
        place.fetch("tiny.backbone").unwrap();
        place.assert_whole();
    }
    // Without a length that could be compared: the end is counted.
    let place = Place::new();
    place.hub.hook(|request, reply| {
        if is_weights(request) { Reply::new(200, vec![b'x'; 30_000]).with("content-length", "30000") } else { reply }
    });
    assert!(matches!(place.fetch("tiny.backbone").unwrap_err(), FetchError::WrongLength { have: 30_000, .. }));
    place.assert_absent();
}

#[test]
fn a_file_that_changes_between_two_fetches_comes_whole_and_new() {
    let mut place = Place::new();
    place.settings.patience.tries = 1;
    place.hub.hook(|request, reply| if is_weights(request) { reply.sent(Sending::CutAfter(9000)) } else { reply });
    place.fetch("tiny.backbone").unwrap_err();
    place.hub.unhook();
    place.hub.put(BACKBONE, WEIGHTS, weights(7));
    place.fetch("tiny.backbone").unwrap();
    place.assert_whole();

    // Changed under a fetch that has its listing already.
    place.hub.put(BACKBONE, WEIGHTS, weights(8));
    place.hub.hook(|request, reply| {
        if request.path.contains("/resolve/") && request.path.ends_with(WEIGHTS) {
            reply.with("x-linked-etag", "\"".to_owned() + &hub::sha256(&weights(9)) + "\"")
        } else {
            reply
        }
    });
    let error = place.fetch("tiny.backbone").unwrap_err();
    assert!(matches!(error, FetchError::Changed { .. }), "{error}");
    // What was there is still there.
    assert_eq!(std::fs::read(place.path("models/tiny.backbone").join(WEIGHTS)).unwrap(), weights(7));
}

#[test]
fn a_storage_that_has_another_content_under_a_new_tag_sends_it_whole() {
    let place = Place::new();
    // The first try brings the beginning of something else, under its own tag.
    place.hub.hook(|request, reply| match request.nth {
        0 if is_weights(request) => Reply::new(200, weights(3)).with("etag", "\"other\"").sent(Sending::CutAfter(9000)),
        _ => reply,
    });
    place.fetch("tiny.backbone").unwrap();
    place.assert_whole();
    let second = place.hub.seen().into_iter().filter(is_weights).nth(1).unwrap();
    assert_eq!((second.header("range"), second.header("if-range")), (Some("bytes=9000-"), Some("\"other\"")));
}

#[test]
fn a_hub_that_is_busy_or_broken_is_asked_again_and_then_named() {
    for (status, code) in [(429, "TooMany"), (500, "Server"), (503, "Server")] {
        let place = Place::new();
        let failures = move |below: usize| {
            move |request: &hub::Request, reply: Reply| {
                let fails = !request.at_storage && request.nth < below;
                if fails { Reply::new(status, "later").with("retry-after", "0.01") } else { reply }
            }
        };
        place.hub.hook(failures(2));
        place.fetch("tiny.backbone").unwrap();
        place.assert_whole();

        let place = Place::new();
        place.hub.hook(failures(99));
        let error = place.fetch("tiny.backbone").unwrap_err();
        assert!(format!("{error:?}").starts_with(code), "{error:?}");
        assert_eq!(place.hub.seen().len(), 4);
    }
    // Who wants an hour gets it: the person is told instead of being kept waiting.
    let place = Place::new();
    place.hub.hook(|_, _| Reply::new(429, "later").with("retry-after", "3600"));
    assert!(matches!(place.fetch("tiny.backbone").unwrap_err(), FetchError::TooMany { .. }));
    assert_eq!(place.hub.seen().len(), 1);
}

#[test]
fn redirects_end_and_the_token_does_not_follow() {
    let mut place = Place::new();
    place.settings.token = Token::new("hf_secret");
    place.hub.hook(|request, reply| {
        if request.path.contains("/resolve/") {
            Reply::new(302, "").with("location", request.path.clone())
        } else {
            reply
        }
    });
    let error = place.fetch("tiny.backbone").unwrap_err();
    assert!(error.to_string().contains("in a circle"), "{error}");
    place.hub.hook(|request, reply| {
        if request.path.contains("/resolve/") {
            Reply::new(307, "").with("location", "file:///etc/passwd")
        } else {
            reply
        }
    });
    assert!(place.fetch("tiny.backbone").unwrap_err().to_string().contains("to nowhere"));
    // Small files by a relative redirect, as the hub does it now.
    let config = place.hub.content(BACKBONE, "config.json");
    place.hub.hook(move |request, reply| {
        if request.path.starts_with("/cached/") {
            Reply::new(200, config.clone())
        } else if request.path.ends_with("config.json") {
            Reply::new(307, "").with("location", "/cached/config.json?x=1")
        } else {
            reply
        }
    });
    place.fetch("tiny.backbone").unwrap();
    place.assert_whole();
    let strangers = place.hub.seen().into_iter().filter(|request| request.at_storage);
    assert!(strangers.into_iter().all(|request| request.header("authorization").is_none()));
}

/// A disk with so much room.
struct Small {
    room: AtomicU64,
    /// What it says of itself.
    says: u64,
}

impl Disk for Small {
    fn free(&self, _: &Path) -> Option<u64> {
        Some(self.says)
    }

    fn write(&self, file: &mut File, bytes: &[u8]) -> std::io::Result<()> {
        let room = self.room.load(Ordering::SeqCst);
        let fits = (room as usize).min(bytes.len());
        file.write_all(&bytes[..fits])?;
        self.room.store(room - fits as u64, Ordering::SeqCst);
        if fits < bytes.len() { Err(std::io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

#[test]
fn a_full_disk_loses_nothing() {
    let place = Place::new();
    let told = Small { room: AtomicU64::new(1 << 40), says: 20_000 };
    let error = place.fetch_on("tiny.backbone", &told, &()).unwrap_err();
    assert!(matches!(error, FetchError::NoRoom { free: 20_000, .. }), "{error}");
    assert!(error.to_string().contains("has 20 kB of free space, and 22 kB are needed"), "{error}");
    assert!(place.hub.seen().iter().all(|request| !is_weights(request)));

    let full = Small { room: AtomicU64::new(12_345), says: u64::MAX };
    let error = place.fetch_on("tiny.backbone", &full, &()).unwrap_err();
    assert!(matches!(error, FetchError::DiskFull { .. }), "{error}");
    place.assert_absent();
    full.room.store(u64::MAX, Ordering::SeqCst);
    place.hub.forget();
    place.fetch_on("tiny.backbone", &full, &()).unwrap();
    place.assert_whole();
    // What fitted was kept. A write is of 64 KiB at most, so here it was the whole file or none of it.
    assert!(place.hub.sent(BACKBONE, WEIGHTS) <= weights(1).len());
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let place = Place::new();
    // A file where the folder should be: refused to every user, root among them.
    std::fs::write(place.path("models"), "in the way").unwrap();
    let error = place.fetch("tiny.backbone").unwrap_err();
    assert!(matches!(&error, FetchError::Io { path, .. } if path.starts_with(place.path("models"))), "{error}");
    assert_eq!(std::fs::read(place.path("models")).unwrap(), b"in the way");
}

#[cfg(unix)]
#[test]
fn a_read_only_folder_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let models = place.path("models");
    std::fs::create_dir(&models).unwrap();
    std::fs::set_permissions(&models, std::fs::Permissions::from_mode(0o555)).unwrap();
    if File::create(models.join("probe")).is_ok() {
        // Root writes everywhere; the test above stands for this one.
        return;
    }
    let error = place.fetch("tiny.backbone").unwrap_err();
    std::fs::set_permissions(&models, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert!(error.to_string().contains("could not be made"), "{error}");
}

/// Holds the weights back until a second fetch waits for the first.
#[derive(Default)]
struct Waits(AtomicBool);

impl FetchObserver for Waits {
    fn stage(&self, stage: &Stage) {
        if *stage == Stage::Waiting {
            self.0.store(true, Ordering::SeqCst);
        }
    }
}

#[test]
fn two_instances_at_once_fetch_once() {
    let place = Place::new();
    let second = std::sync::Arc::new(Waits::default());
    let begun = std::sync::Arc::new(AtomicBool::new(false));
    let (waits, begins) = (std::sync::Arc::clone(&second), std::sync::Arc::clone(&begun));
    place.hub.hook(move |request, reply| {
        if is_weights(request) {
            begins.store(true, Ordering::SeqCst);
            while !waits.0.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
        }
        reply
    });
    std::thread::scope(|scope| {
        let first = scope.spawn(|| place.fetch("tiny.backbone"));
        while !begun.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        let other = place.fetch_on("tiny.backbone", &ThisDisk, &*second).unwrap();
        assert_eq!(other.source, Source::Here);
        assert_eq!(first.join().unwrap().unwrap().source, Source::Fetched);
    });
    place.assert_whole();
    assert_eq!(place.hub.sent(BACKBONE, WEIGHTS), weights(1).len());
}

/// Pauses or stops when so many bytes are there, and remembers what it was told.
struct Hand {
    at: u64,
    wish: Wish,
    done: AtomicU64,
    asked: AtomicUsize,
    events: Mutex<Vec<Event>>,
}

impl Hand {
    fn new(at: u64, wish: Wish) -> Self {
        Self { at, wish, done: AtomicU64::new(0), asked: AtomicUsize::new(0), events: Mutex::default() }
    }
}

impl FetchObserver for Hand {
    fn wish(&self) -> Wish {
        let over = self.done.load(Ordering::SeqCst) >= self.at;
        // A pause ends after it was asked for often enough.
        let long = self.wish == Wish::Pause && over && self.asked.fetch_add(1, Ordering::SeqCst) > 20;
        if over && !long { self.wish } else { Wish::Go }
    }

    fn progress(&self, progress: Progress) {
        self.done.fetch_max(progress.done, Ordering::SeqCst);
    }

    fn event(&self, event: &Event) {
        self.events.lock().unwrap().push(event.clone());
    }
}

#[test]
fn a_pause_lets_go_of_the_connection_and_a_stop_keeps_what_came() {
    for wish in [Wish::Pause, Wish::Stop] {
        let place = Place::new();
        // The rest of the file comes only to who asks again.
        place.hub.hook(|request, reply| {
            if is_weights(request) && request.nth == 0 { reply.sent(Sending::SilentAfter(9000)) } else { reply }
        });
        let hand = Hand::new(9000, wish);
        let fetched = place.fetch_on("tiny.backbone", &ThisDisk, &hand);
        if wish == Wish::Stop {
            assert!(matches!(fetched.unwrap_err(), FetchError::Cancelled));
            place.assert_absent();
            place.fetch("tiny.backbone").unwrap();
        } else {
            fetched.unwrap();
            let events = hand.events.lock().unwrap();
            assert!(events.contains(&Event::Begun { file: WEIGHTS.to_owned(), at: 9000 }), "{events:?}");
            assert!(!events.iter().any(|event| matches!(event, Event::Again { .. })), "{events:?}");
        }
        place.assert_whole();
        assert_eq!(place.hub.sent(BACKBONE, WEIGHTS), weights(1).len());
    }
}

#[test]
fn the_cache_of_other_programs_is_used_and_not_touched() {
    let place = Place::new();
    let cache = place.path("hub/models--someone--tiny-backbone");
    let commit = place.hub.commit(BACKBONE);
    let blob = cache.join("blobs").join(hub::sha256(&weights(1)));
    std::fs::create_dir_all(cache.join("blobs")).unwrap();

    // Damaged there: fetched instead.
    std::fs::write(&blob, weights(5)).unwrap();
    place.fetch("tiny.backbone").unwrap();
    place.assert_whole();
    remove(&place.store(), &place.model("tiny.backbone")).unwrap();

    // Whole there: copied, with the small file fetched.
    std::fs::write(&blob, weights(1)).unwrap();
    place.hub.forget();
    let hand = Hand::new(u64::MAX, Wish::Stop);
    place.fetch_on("tiny.backbone", &ThisDisk, &hand).unwrap();
    place.assert_whole();
    assert!(hand.events.lock().unwrap().contains(&Event::FromCache { file: WEIGHTS.to_owned() }));
    assert_eq!((place.hub.sent(BACKBONE, WEIGHTS), place.hub.sent(BACKBONE, "config.json")), (0, 28));
    remove(&place.store(), &place.model("tiny.backbone")).unwrap();

    // All of it there: used where it is.
    let snapshot = cache.join("snapshots").join(&commit);
    std::fs::create_dir_all(&snapshot).unwrap();
    std::fs::create_dir_all(cache.join("refs")).unwrap();
    std::fs::write(cache.join("refs/main"), &commit).unwrap();
    std::fs::write(snapshot.join("config.json"), place.hub.content(BACKBONE, "config.json")).unwrap();
    std::fs::write(snapshot.join(WEIGHTS), weights(1)).unwrap();
    let fetched = place.fetch("tiny.backbone").unwrap();
    assert_eq!((fetched.source, &fetched.path), (Source::Cache, &snapshot));
    assert_eq!(place.state("tiny.backbone"), ModelState::Cached(snapshot.clone()));
    assert!(!place.path("models/tiny.backbone").exists());
    assert!(remove(&place.store(), &place.model("tiny.backbone")).unwrap_err().to_string().contains("by hand"));
    assert_eq!(std::fs::read(&blob).unwrap(), weights(1));
}

#[test]
fn a_damaged_model_is_repaired_and_a_foreign_file_left_alone() {
    let place = Place::new();
    let fetched = place.fetch("tiny.backbone").unwrap();
    let file = fetched.path.join(WEIGHTS);
    let mut bytes = weights(1);
    bytes[15_000] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    // One bit is not seen by lengths and headers, but by the hash.
    assert_eq!(place.state("tiny.backbone"), ModelState::Installed(fetched.path.clone()));
    let faults: Vec<String> = verify::verify(&fetched.path)
        .unwrap()
        .iter()
        .filter_map(|file| file.fault.as_ref().map(ToString::to_string))
        .collect();
    assert!(faults.len() == 1 && faults[0].contains("not the published"), "{faults:?}");
    std::fs::write(&file, &bytes[..100]).unwrap();
    assert!(matches!(place.state("tiny.backbone"), ModelState::Damaged { .. }));
    place.hub.forget();
    place.fetch("tiny.backbone").unwrap();
    place.assert_whole();
    assert_eq!(place.hub.sent(BACKBONE, "config.json"), 0);

    // A folder that somebody else filled.
    std::fs::remove_file(fetched.path.join("glassbox.json")).unwrap();
    std::fs::write(fetched.path.join("config.json"), "{\"mine\": 1}").unwrap();
    let error = place.fetch("tiny.backbone").unwrap_err();
    assert!(matches!(&error, FetchError::InTheWay { path } if path.ends_with("config.json")), "{error}");
    assert_eq!(std::fs::read(fetched.path.join("config.json")).unwrap(), b"{\"mine\": 1}");
}

#[test]
fn gates_terms_and_being_offline_are_told_in_a_sentence() {
    let mut place = Place::new();
    place.hub.gate(BACKBONE, "hf_good");
    let error = place.fetch("tiny.backbone").unwrap_err().to_string();
    assert!(error.contains(&format!("{}/{BACKBONE}", place.hub.address())) && error.contains("HF_TOKEN"), "{error}");
    place.settings.token = Token::new("hf_bad");
    let error = place.fetch("tiny.backbone").unwrap_err();
    assert!(matches!(error, FetchError::Gated { token: true, .. }), "{error}");
    assert!(!error.to_string().contains("hf_bad") && !format!("{error:?}").contains("hf_bad"));
    place.settings.token = Token::new("hf_good");
    place.fetch("tiny.backbone").unwrap();
    place.assert_whole();
    remove(&place.store(), &place.model("tiny.backbone")).unwrap();

    let options = FetchOptions { hub: &place.settings, disk: &ThisDisk, accept_licence: false };
    let error = fetch(&place.store(), &place.model("tiny.backbone"), &options, &()).unwrap_err().to_string();
    assert!(error.contains("CC-BY-NC-4.0") && error.contains("https://example.org/terms"), "{error}");
    place.fetch("tiny.backbone").unwrap();
    // Once accepted, it is not asked for again.
    let options = FetchOptions { hub: &place.settings, disk: &ThisDisk, accept_licence: false };
    fetch(&place.store(), &place.model("tiny.backbone"), &options, &()).unwrap();

    place.settings.offline = true;
    place.hub.forget();
    assert_eq!(place.fetch("tiny.backbone").unwrap().source, Source::Here);
    assert!(place.fetch("tiny-editor").unwrap_err().to_string().contains("HF_HUB_OFFLINE"));
    assert!(place.hub.seen().is_empty());
}

#[test]
fn listings_that_lie_are_refused() {
    let entry = |path: &str| format!(r#"[{{"type":"file","path":"{path}","size":3,"oid":"00"}}]"#);
    let cases = [
        (entry("../../evil"), "is refused"),
        (entry("README.md"), "holds no config.json"),
        ("<html>sign in</html>".to_owned(), "a web page came"),
        ("{".to_owned(), "does not answer as a hub"),
    ];
    for (body, words) in cases {
        let place = Place::new();
        place.hub.hook(
            move |request, reply| {
                if request.path.contains("/tree/") { Reply::new(200, body.clone()) } else { reply }
            },
        );
        let error = place.fetch("tiny.backbone").unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
        place.assert_absent();
    }
    let place = Place::new();
    let mut model = place.model("tiny.backbone");
    model.repository = Some("someone/nothing".to_owned());
    let options = FetchOptions { hub: &place.settings, disk: &ThisDisk, accept_licence: true };
    let error = fetch(&place.store(), &model, &options, &()).unwrap_err();
    assert!(error.to_string().contains("someone/nothing"), "{error}");
    // A revision with its name cut short means the commit of the history that begins so.
    let commit = place.hub.commit(BACKBONE);
    let mut model = place.model("tiny.backbone");
    model.revision = Some(commit[..7].to_owned());
    assert_eq!(fetch(&place.store(), &model, &options, &()).unwrap().commit, commit);
    model.revision = Some("0000000".to_owned());
    assert!(matches!(fetch(&place.store(), &model, &options, &()).unwrap_err(), FetchError::NotFound { .. }));
}
