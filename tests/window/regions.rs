//! Regions: each tool, by pointer where it needs one, by key and by name where not.

use egui::{Event, Key, Modifiers, Pos2, Rect, pos2};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};
use glassbox::app::Glassbox;
use image::{GrayImage, Luma};

use crate::stand_in::{STEPS, WISH, Window, click, has, has_part, leave, proposed, until};

/// The share of the picture that instruction 1 acts on, as the panel says it, in percent.
fn share(h: &Harness<'_, Glassbox>) -> Option<u32> {
    let node = h.query_all_by_label_contains("of the picture, edge").next()?;
    let words = node.accesskit_node().value()?;
    words.split_once("acts on ")?.1.split(' ').next()?.parse().ok()
}

/// A place on the picture (0..=1 both ways) as a point of the window: the picture fits into the canvas.
fn at(h: &Harness<'_, Glassbox>, x: f32, y: f32) -> Pos2 {
    let canvas = h.query_all_by_label_contains("Picture: ").next().expect("a canvas").rect().shrink(14.0);
    let side = (canvas.width() / 320.0).min(canvas.height() / 240.0);
    let picture = Rect::from_center_size(canvas.center(), egui::vec2(320.0, 240.0) * side);
    pos2(picture.left() + x * picture.width(), picture.top() + y * picture.height())
}

fn drag(h: &mut Harness<'_, Glassbox>, points: &[(f32, f32)], modifiers: Modifiers) {
    let points: Vec<Pos2> = points.iter().map(|(x, y)| at(h, *x, *y)).collect();
    h.event(Event::ModifiersChanged(modifiers));
    h.hover_at(points[0]);
    h.step();
    h.drag_at(points[0]);
    h.step();
    for point in &points[1..] {
        h.hover_at(*point);
        h.step();
    }
    h.drop_at(points[points.len() - 1]);
    h.step();
    h.event(Event::ModifiersChanged(Modifiers::NONE));
    h.step();
}

fn tap(h: &mut Harness<'_, Glassbox>, key: Key) {
    h.key_press(key);
    h.step();
    h.step();
}

fn begun(window: &Window) -> Harness<'static, Glassbox> {
    let mut h = proposed(window);
    leave(&mut h);
    click(&mut h, "Region of instruction 1");
    h
}

#[test]
fn shapes_are_drawn_grown_inverted_cleared_and_undone() {
    let window = Window::new();
    let mut h = begun(&window);
    assert_eq!(share(&h), None, "nothing yet");

    tap(&mut h, Key::R);
    drag(&mut h, &[(0.0, 0.5), (0.5, 1.0)], Modifiers::NONE);
    let quarter = share(&h).expect("a rectangle");
    assert!((24..=26).contains(&quarter), "{quarter}");

    tap(&mut h, Key::L);
    drag(&mut h, &[(0.5, 0.5), (1.0, 0.5), (1.0, 1.0), (0.5, 1.0)], Modifiers::NONE);
    let half = share(&h).expect("a rectangle and a lasso");
    assert!((47..=53).contains(&half), "{half}");
    drag(&mut h, &[(0.5, 0.5), (1.0, 0.5), (1.0, 1.0), (0.5, 1.0)], Modifiers::ALT);
    assert!((22..=28).contains(&share(&h).expect("the rectangle")), "with Alt it takes away");

    // A polygon over the upper half: three clicks, a wrong one taken back, Enter.
    tap(&mut h, Key::P);
    for corner in [(0.0, 0.0), (1.0, 0.0), (0.3, 0.3)] {
        drag(&mut h, &[corner], Modifiers::NONE);
    }
    tap(&mut h, Key::Backspace);
    for corner in [(1.0, 0.5), (0.0, 0.5)] {
        drag(&mut h, &[corner], Modifiers::NONE);
    }
    tap(&mut h, Key::Enter);
    let most = share(&h).expect("a rectangle and a polygon");
    assert!((72..=78).contains(&most), "{most}");

    tap(&mut h, Key::S);
    let shrunk = share(&h).expect("a smaller one");
    assert!(shrunk < most, "{shrunk} after {most}");
    tap(&mut h, Key::G);
    assert!(share(&h).expect("a larger one") > shrunk);
    h.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    until(&mut h, "the smaller one again", |h| share(h) == Some(shrunk));
    tap(&mut h, Key::I);
    assert_eq!(share(&h), Some(100 - shrunk));
    tap(&mut h, Key::Delete);
    assert_eq!(share(&h), None);
    h.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    until(&mut h, "the region", |h| share(h) == Some(100 - shrunk));

    // A half drawn shape is left first, then the tool.
    tap(&mut h, Key::P);
    drag(&mut h, &[(0.5, 0.5)], Modifiers::NONE);
    tap(&mut h, Key::Escape);
    assert!(has(&h, "Lasso"));
    tap(&mut h, Key::Escape);
    assert!(!has(&h, "Lasso"));
    assert_eq!(share(&h), Some(100 - shrunk));
}

#[test]
fn the_brush_paints_and_its_size_follows_the_keys() {
    let window = Window::new();
    let mut h = begun(&window);
    drag(&mut h, &[(0.2, 0.5), (0.5, 0.5), (0.8, 0.5)], Modifiers::NONE);
    let thin = share(&h).expect("a stroke");
    click(&mut h, "Undo");
    until(&mut h, "no stroke", |h| share(h).is_none());
    for _ in 0..4 {
        tap(&mut h, Key::CloseBracket);
    }
    drag(&mut h, &[(0.2, 0.5), (0.5, 0.5), (0.8, 0.5)], Modifiers::NONE);
    let thick = share(&h).expect("a thick stroke");
    assert!(thick > 2 * thin, "{thick} after {thin}");
    tap(&mut h, Key::E);
    drag(&mut h, &[(0.2, 0.5), (0.5, 0.5), (0.8, 0.5)], Modifiers::NONE);
    assert_eq!(share(&h), None, "all of it erased");
}

#[test]
fn a_region_is_kept_for_other_instructions_and_comes_from_a_file() {
    let window = Window::new();
    let mask = GrayImage::from_fn(640, 480, |x, _| Luma([if x < 160 { 255 } else { 0 }]));
    mask.save(window.path("маска 面.png")).unwrap();
    GrayImage::from_pixel(64, 64, Luma([255])).save(window.path("square.png")).unwrap();
    let mut h = begun(&window);
    *window.answers.0.lock().unwrap() = Some(window.path("square.png"));
    click(&mut h, "More regions");
    click(&mut h, "Region from a file…");
    until(&mut h, "the complaint", |h| has_part(h, "the proportions of a region must be its own"));
    *window.answers.0.lock().unwrap() = Some(window.path("маска 面.png"));
    click(&mut h, "More regions");
    click(&mut h, "Region from a file…");
    until(&mut h, "the region", |h| share(h) == Some(25));

    click(&mut h, "More regions");
    click(&mut h, "Keep the region for other instructions");
    click(&mut h, "Done");
    click(&mut h, "More for instruction 3");
    click(&mut h, "Use region: put snow on the roofs");
    until(&mut h, "its name", |h| has_part(h, "put snow on the roofs: acts on 25 %"));
    window.work.gate.open(STEPS);
    click(&mut h, "Run with 3 instructions");
    until(&mut h, "the version", |h| has(h, &format!("Version: {WISH}")));
    let ran = window.work.ran.lock().unwrap().pop().unwrap();
    assert_eq!(ran.specifics[0].region, ran.specifics[2].region);
    assert!(ran.specifics[1].region.is_none());

    // It is kept with the work.
    drop(h);
    let sessions = window.path("home").join("data").join("sessions");
    let folder = std::fs::read_dir(&sessions).unwrap().next().unwrap().unwrap().path();
    std::fs::write(folder.join("open"), b"").unwrap();
    let mut h = window.open(None);
    until(&mut h, "the version", |h| has(h, &format!("Version: {WISH}")));
    click(&mut h, "Edit");
    click(&mut h, "More for instruction 2");
    until(&mut h, "the kept region", |h| has(h, "Use region: put snow on the roofs"));
}
