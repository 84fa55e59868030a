//! The Ask lens on a small random model: asking, looking into the answer, asking again in other ways, exporting, stopping,
//! and what goes wrong.

use std::path::Path;

use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};
use glassbox::app::Glassbox;

use crate::stand_in::{STEPS, WISH, Window, click, has, has_part, leave, opened, type_into, until, value};

/// Settings that open the lens with the random model `name`, answers of at most `tokens` tokens.
pub(crate) fn settings(name: &str, tokens: usize, theme: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/fixtures/ask").join(name);
    let folder = serde_json::to_string(&folder).unwrap();
    format!(
        r#"{{"theme": "{theme}", "lens": "ask", "ask": {{"model": {folder}, "folders": [{folder}], "max_tokens": {tokens}}}}}"#
    )
}

/// A window on the landscape whose random model has answered one question.
pub(crate) fn answered(window: &Window, theme: &str) -> Harness<'static, Glassbox> {
    window.settings(&settings("flex-wide", 6, theme));
    let mut h = window.open(Some("lake village.png"));
    until(&mut h, "the field", |h| has(h, "Question"));
    ask(&mut h, "what is this?");
    until(&mut h, "the answer", |h| has_part(h, "first word"));
    h
}

fn ask(h: &mut Harness<'_, Glassbox>, question: &str) {
    type_into(h, "Question", question);
    leave(h);
    until(h, "the model", |h| !has_part(h, "Looking at the model"));
    click(h, "Ask the question");
}

fn answers(h: &Harness<'_, Glassbox>) -> usize {
    h.query_all_by_label("Copy the answer").count()
}

#[test]
fn a_question_is_answered_and_its_map_is_tested() {
    let window = Window::new();
    let mut h = answered(&window, "dark");
    assert_eq!(value(&h, "Question"), "");
    assert!(has_part(&h, "high-resolution tokens"));
    assert!(has_part(&h, "of reading everything"));
    // What the model saw is in the status line.
    assert!(has_part(&h, " tokens"));
    // What it read, cut out of the picture.
    assert!(has_part(&h, "Read part of"));
    click(&mut h, "Attention");
    until(&mut h, "the share of the picture", |h| has_part(h, "of the attention went to the picture"));
    click(&mut h, "Read closely");

    // The same question, reading less: nothing at high resolution.
    click(&mut h, "Ask with low");
    until(&mut h, "the second answer", |h| answers(h) == 2 && has_part(h, "In this mode nothing is read"));
    // Both answers side by side, then one alone.
    click(&mut h, "Side by side with another answer");
    click(&mut h, "Flex · Original");
    until(&mut h, "both names", |h| has_part(h, "Picture: Low · Original: "));
    click(&mut h, "Side by side with another answer");
    click(&mut h, "This answer alone");
    until(&mut h, "one picture", |h| has(h, "Picture: Original"));
    click(&mut h, "Ask with full");
    until(&mut h, "the third answer", |h| answers(h) == 3 && has_part(h, "(100 %)"));

    // Without the place that was read, and that place alone.
    click(&mut h, "Without the region");
    until(&mut h, "an answer without the region", |h| answers(h) == 4 && has_part(h, "without the region"));
    click(&mut h, "Only the region");
    until(&mut h, "an answer about the region", |h| answers(h) == 5 && has_part(h, "only the region"));

    // A question is taken back into the field, and an exchange removed.
    h.query_all_by_label("Change the question").next().unwrap().click_accesskit();
    until(&mut h, "the question in the field", |h| value(h, "Question") == "what is this?");
    h.query_all_by_label("Remove this question").last().unwrap().click_accesskit();
    until(&mut h, "four answers", |h| answers(h) == 4);
}

#[test]
fn what_was_read_becomes_a_region_of_the_edit_lens() {
    let window = Window::new();
    let mut h = answered(&window, "dark");
    click(&mut h, "Use what was read as a region");
    until(&mut h, "the word of it", |h| has_part(h, "Kept the region read for"));
    click(&mut h, "Edit");
    until(&mut h, "the edit panel", |h| has(h, "Add an instruction"));
    click(&mut h, "Add an instruction");
    type_into(&mut h, "Instruction 1", "light the windows");
    leave(&mut h);
    click(&mut h, "Region of instruction 1");
    click(&mut h, "More regions");
    until(&mut h, "the region's name", |h| has_part(h, "read for"));
}

#[test]
fn a_conversation_is_written_down_with_its_maps() {
    let window = Window::new();
    let mut h = answered(&window, "dark");
    ask(&mut h, "and now?");
    until(&mut h, "the second answer", |h| answers(h) == 2);
    let path = window.path("questions.md");
    *window.answers.0.lock().unwrap() = Some(path.clone());
    click(&mut h, "Export the conversation…");
    until(&mut h, "the file", |_| path.exists());
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("**what is this?**") && text.contains("**and now?**"), "{text}");
    assert!(window.path("questions 1.png").exists() && window.path("questions 2.png").exists());
}

#[test]
fn an_answer_is_stopped_and_what_came_is_kept() {
    let window = Window::new();
    window.settings(&settings("flex-wide", 1000, "dark"));
    let mut h = window.open(Some("lake village.png"));
    until(&mut h, "the field", |h| has(h, "Question"));
    ask(&mut h, "what is this?");
    until(&mut h, "the way to stop", |h| has(h, "Stop the answer") || answers(h) == 1);
    if has(&h, "Stop the answer") {
        click(&mut h, "Stop the answer");
    }
    until(&mut h, "the end of it", |h| !has(h, "Stop the answer"));
    // Stopped in time, at the end of what the model takes, or before a word: each is said, and one can ask again.
    assert!(has_part(&h, "Stopped") || has_part(&h, "Cut") || answers(&h) == 1);
    ask(&mut h, "again?");
    until(&mut h, "a new answer or its progress", |h| has(h, "Stop the answer") || answers(h) >= 1);
}

#[test]
fn a_folder_that_is_no_model_is_told_in_one_sentence() {
    let window = Window::new();
    let empty = window.path("empty");
    std::fs::create_dir_all(&empty).unwrap();
    let folder = serde_json::to_string(&empty).unwrap();
    window.settings(&format!(r#"{{"lens": "ask", "ask": {{"model": {folder}, "folders": [{folder}]}}}}"#));
    let mut h = window.open(Some("lake village.png"));
    until(&mut h, "the fault", |h| has_part(h, "config.json"));
    type_into(&mut h, "Question", "what is this?");
    leave(&mut h);
    h.step();
    let button = h.get_by_label("Ask the question");
    assert!(button.accesskit_node().is_disabled());
}

#[test]
fn without_a_model_the_lens_is_not_offered() {
    let window = Window::new();
    let h = opened(&window);
    assert!(!has(&h, "Ask"));
}

#[test]
fn every_instruction_of_an_edit_is_checked() {
    let window = Window::new();
    window.settings(&settings("flex-wide", 4, "dark").replace(r#""lens": "ask""#, r#""lens": "edit""#));
    let mut h = crate::stand_in::proposed(&window);
    window.work.gate.open(STEPS);
    click(&mut h, "Run with 3 instructions");
    until(&mut h, "the version", |h| has(h, &format!("Version: {WISH}")));
    click(&mut h, "Ask");
    until(&mut h, "the checks", |h| has(h, "Check the edit") && has_part(h, "is there snow on the roofs?"));
    click(&mut h, "Check every instruction");
    until(&mut h, "all answers", |h| {
        let told = h.query_all_by_label_contains("; before:");
        let lines: Vec<String> = told.filter_map(|node| node.accesskit_node().value()).collect();
        lines.len() == 3 && lines.iter().all(|line| !line.contains('…') && !line.contains("not asked"))
    });
}

#[test]
fn the_field_has_the_keyboard_when_the_lens_opens() {
    let window = Window::new();
    window.settings(&settings("flex-wide", 4, "dark").replace(r#""lens": "ask""#, r#""lens": "edit""#));
    let mut h = opened(&window);
    h.get_by_label("Wish").focus();
    h.step();
    h.step();
    h.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::Num4);
    until(&mut h, "the field with the keyboard", |h| {
        h.query_all_by_label("Question").next().is_some_and(|field| field.accesskit_node().is_focused())
    });
    for _ in 0..4 {
        h.step();
    }
    assert!(h.get_by_label("Question").accesskit_node().is_focused());
}

/// The folder that keeps the only document.
fn kept(window: &Window) -> std::path::PathBuf {
    let sessions = window.path("home").join("data").join("sessions");
    std::fs::read_dir(&sessions).unwrap().next().unwrap().unwrap().path()
}

fn answer_files(window: &Window) -> usize {
    let names = std::fs::read_dir(kept(window)).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().starts_with("answer-")).count()
}

#[test]
fn a_conversation_is_kept_with_its_picture() {
    let window = Window::new();
    let mut h = answered(&window, "dark");
    click(&mut h, "New conversation");
    ask(&mut h, "and now?");
    until(&mut h, "the second answer", |h| answers(h) == 2);
    drop(h);
    assert_eq!(answer_files(&window), 2);
    // As after a crash: the work is there again, its questions with it.
    std::fs::write(kept(&window).join("open"), b"").unwrap();
    let mut h = window.open(None);
    until(&mut h, "both answers", |h| answers(h) == 2 && has_part(h, "A new conversation"));
    h.query_all_by_value("what is this?").next().unwrap().click_accesskit();
    until(&mut h, "what it read", |h| has_part(h, "Read part of") && has_part(h, "of reading everything"));
    // It goes on, and one is removed for good.
    ask(&mut h, "what else?");
    until(&mut h, "the third answer", |h| answers(h) == 3);
    h.query_all_by_label("Remove this question").next().unwrap().click_accesskit();
    until(&mut h, "two answers", |h| answers(h) == 2);
    drop(h);
    assert_eq!(answer_files(&window), 2);
    // A file that is damaged costs its own answer alone.
    let damaged = std::fs::read_dir(kept(&window)).unwrap().map(|entry| entry.unwrap().path());
    let damaged = damaged.filter(|path| path.extension().is_some_and(|ending| ending == "safetensors")).min().unwrap();
    std::fs::write(&damaged, b"no answer").unwrap();
    std::fs::write(kept(&window).join("open"), b"").unwrap();
    let mut h = window.open(None);
    until(&mut h, "the other answer", |h| answers(h) == 1 && has_part(h, "Not everything could be brought back"));
}
