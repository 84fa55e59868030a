//! How long the window's own thread is held up while the Features lens works on a photo of 4000 × 3000 pixels:
//! `cargo bench --bench frames`.
//!
//! The window is driven without a screen, by the names of its widgets; what is timed is each call of the app, which is
//! what a frame waits for: state, layout, and everything that is computed or copied for the graphics device on that
//! thread. Every phase prints its frames, their median and the longest. A frame of 60 a second has 16.7 ms; 33 ms is
//! where a person begins to see a stall.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs, reason = "a benchmark")]

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use eframe::App;
use egui::accesskit::Role;
use egui::{Key, Modifiers, Pos2, pos2};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use glassbox::app::{Choice, FileDialogs, Folders, Glassbox, Models, Setup};
use image::RgbImage;

/// The app with a watch on it.
struct Timed {
    app: Glassbox,
    spent: Arc<Mutex<Vec<Duration>>>,
    so_far: Duration,
}

impl App for Timed {
    fn logic(&mut self, ctx: &egui::Context, frame: &mut eframe::Frame) {
        let start = Instant::now();
        self.app.logic(ctx, frame);
        self.so_far = start.elapsed();
    }

    fn ui(&mut self, ui: &mut egui::Ui, frame: &mut eframe::Frame) {
        let start = Instant::now();
        self.app.ui(ui, frame);
        self.spent.lock().unwrap().push(self.so_far + start.elapsed());
    }
}

struct NoDialogs;

impl FileDialogs for NoDialogs {
    fn open_picture(&self, _: Option<&Path>) -> Choice {
        Choice::Nothing
    }

    fn save(&self, _: Option<&Path>, _: &str, _: &[(&str, &[&str])]) -> Choice {
        Choice::Nothing
    }
}

type Window = Harness<'static, Timed>;

struct Bench {
    window: Window,
    spent: Arc<Mutex<Vec<Duration>>>,
    longest: Duration,
}

impl Bench {
    fn step(&mut self) {
        self.window.step();
    }

    fn has(&self, label: &str) -> bool {
        self.window.query_all_by_label_contains(label).next().is_some()
    }

    /// Draws frames until there is something of that name, as a screen would: one in a few milliseconds.
    fn until(&mut self, label: &str) {
        self.wait(label, |bench| bench.has(label));
    }

    fn wait(&mut self, what: &str, there: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        loop {
            self.step();
            if there(self) {
                return;
            }
            assert!(start.elapsed() < Duration::from_secs(240), "{what} did not come");
            std::thread::park_timeout(Duration::from_millis(3));
        }
    }

    /// Until no pane is in the making.
    fn settle(&mut self) {
        for _ in 0..3 {
            self.step();
        }
        self.wait("the maps", |bench| !bench.has("in the making"));
    }

    fn click(&mut self, label: &str) {
        self.until(label);
        self.window.get_by_label(label).click_accesskit();
        self.step();
        self.step();
    }

    fn slide(&mut self, name: &str, value: f64) {
        self.window.get_by_role_and_label(Role::Slider, name).set_value_accesskit(value);
        self.step();
    }

    /// Moves the pointer over a pane, and the frames that follow.
    fn hover(&mut self, x: f32, y: f32) {
        let at = self.at(x, y);
        self.window.hover_at(at);
        self.step();
    }

    fn at(&self, x: f32, y: f32) -> Pos2 {
        let pane = self.window.query_all_by_label_contains("Pane 1: ").next().expect("a pane").rect();
        pos2(pane.left() + x * pane.width(), pane.top() + y * pane.height())
    }

    /// Prints what the frames of a phase took.
    fn phase(&mut self, name: &str, run: impl FnOnce(&mut Self)) {
        self.spent.lock().unwrap().clear();
        run(self);
        let mut spent = std::mem::take(&mut *self.spent.lock().unwrap());
        spent.sort_unstable();
        let Some(longest) = spent.last().copied() else { return };
        let ms = |time: Duration| 1e3 * time.as_secs_f64();
        println!(
            "{name:<44} {:>5} frames, median {:>5.1} ms, longest {:>5.1} ms",
            spent.len(),
            ms(spent[spent.len() / 2]),
            ms(longest)
        );
        self.longest = self.longest.max(longest);
    }
}

fn main() {
    let home = tempfile::tempdir().unwrap();
    let photo = home.path().join("photo.jpg");
    let small =
        image::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/samples/lake-village.png")).unwrap().to_rgb8();
    let large: RgbImage = image::imageops::resize(&small, 4000, 3000, image::imageops::FilterType::CatmullRom);
    large.save(&photo).unwrap();
    drop(large);
    let folders = Folders::below(home.path().join("home"));
    std::fs::create_dir_all(home.path().join("home/config")).unwrap();
    std::fs::write(home.path().join("home/config/settings.json"), r#"{"lens": "features"}"#).unwrap();

    let spent: Arc<Mutex<Vec<Duration>>> = Arc::default();
    let (watch, mut setup) = (
        Arc::clone(&spent),
        Some(Setup {
            picture: Some(photo),
            folders,
            dialogs: Arc::new(NoDialogs),
            workshop: Arc::new(Models),
            scene: None,
            samples: Vec::new(),
            models: glassbox::app::ModelsAt::default(),
            memory: glassbox::engine::memory::resident,
        }),
    );
    let builder = Harness::builder().with_size([1440.0, 900.0]).with_max_steps(8).allow_missing_glyphs();
    let window = builder.build_eframe(move |cc| {
        let app = Glassbox::new(cc, setup.take().expect("built once")).expect("a thread");
        Timed { app, spent: Arc::clone(&watch), so_far: Duration::ZERO }
    });
    let mut bench = Bench { window, spent, longest: Duration::ZERO };

    bench.phase("opening, and looking with the starter model", |b| b.until("These explain"));
    bench.phase("looking at two and a half times its size", |b| {
        b.click("Another");
        b.slide("Longer side", 1120.0);
        b.settle();
        if b.has("press “Look”") {
            b.click("Look");
        }
        b.wait("the features", |b| !b.has("in the making") && b.has("1120 × 840 → 80 × 60"));
        b.settle();
    });
    bench.phase("pointing over components", |b| (0..60).for_each(|i| b.hover(0.2 + 0.01 * i as f32, 0.5)));
    bench.phase("K-means, then 9, 20 and 64 clusters", |b| {
        b.click("K-means");
        b.settle();
        for count in [9.0, 20.0, 64.0] {
            b.slide("How many", count);
            b.settle();
        }
    });
    bench.phase("pointing over 64 clusters", |b| (0..60).for_each(|i| b.hover(0.2 + 0.01 * i as f32, 0.45)));
    bench.phase("similarity under the pointer", |b| {
        b.click("Similarity");
        (0..120).for_each(|i| b.hover(0.2 + 0.005 * i as f32, 0.3 + 0.003 * i as f32));
    });
    bench.phase("a lasso, and what is like it", |b| {
        b.click("Draw a lasso");
        let way: Vec<Pos2> = (0..200)
            .map(|i| i as f32 / 200.0 * std::f32::consts::TAU)
            .map(|turn| b.at(0.5 + 0.25 * turn.cos(), 0.5 + 0.25 * turn.sin()))
            .collect();
        b.window.hover_at(way[0]);
        b.step();
        b.window.drag_at(way[0]);
        for at in &way {
            b.window.hover_at(*at);
            b.step();
        }
        b.window.drop_at(way[way.len() - 1]);
        b.settle();
        b.click("Use the shape as region");
        b.settle();
        b.window.key_press(Key::Escape);
        b.step();
        b.window.key_press(Key::Escape);
        b.step();
    });
    bench.phase("upsampling along edges, every map", |b| {
        b.click("Along edges");
        for map in ["PCA", "K-means", "Norm", "Similarity", "PCA"] {
            b.click(map);
            b.settle();
        }
    });
    bench.phase("four panes of it", |b| {
        b.click("Four panes");
        b.settle();
        (0..40).for_each(|i| b.hover(0.2 + 0.01 * i as f32, 0.5));
    });
    bench.phase("zooming to actual size and moving", |b| {
        b.click("One pane");
        b.settle();
        b.window.key_press(Key::Num0);
        b.settle();
        for i in 0..40 {
            let (from, to) = (b.at(0.5, 0.5), b.at(0.5 - 0.004 * i as f32, 0.5));
            b.window.hover_at(from);
            b.window.drag_at(from);
            b.step();
            b.window.hover_at(to);
            b.step();
            b.window.drop_at(to);
            b.step();
        }
        b.window.key_press_modifiers(Modifiers::NONE, Key::F);
        b.settle();
    });
    println!("the longest of all: {:.1} ms", 1e3 * bench.longest.as_secs_f64());
}
