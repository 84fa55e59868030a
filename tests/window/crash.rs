//! The program is killed in the middle of a run: what was finished is there when it is started again.
//!
//! The window that dies runs in a process of its own: this same test program, told by the environment.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::stand_in::{STEPS, WISH, Window, click, has, has_part, proposed, until, value};

const HOME: &str = "GLASSBOX_TEST_HOME";

/// Finishes one run, is in the middle of a second, says so and waits for its end.
#[test]
#[ignore = "is started, and killed, by the test below"]
fn a_window_that_will_be_killed() {
    let Some(home) = std::env::var_os(HOME).map(PathBuf::from) else { return };
    let window = Window::at(&home);
    let mut h = proposed(&window);
    window.work.gate.open(STEPS);
    click(&mut h, "Run with 3 instructions");
    until(&mut h, "the version", |h| has(h, &format!("Version: {WISH}")));
    click(&mut h, "Edit");
    click(&mut h, "Run with 3 instructions");
    window.work.gate.open(STEPS / 2);
    until(&mut h, "the middle of the second run", |h| has(h, "Step 2 of 4"));
    // The thread that keeps work writes a moment after the version is in the window.
    let sessions = window.path("home").join("data").join("sessions");
    until(&mut h, "the version on the disk", |_| {
        let folders = std::fs::read_dir(&sessions).into_iter().flatten().flatten();
        folders
            .map(|folder| std::fs::read_to_string(folder.path().join("document.json")).unwrap_or_default())
            .any(|text| text.contains("version-1.png"))
    });
    let mut out = std::io::stdout();
    writeln!(out, "\nin the middle").unwrap();
    out.flush().unwrap();
    // Until it is killed, or the test that started it is gone.
    let _ = std::io::stdin().lines().count();
}

#[test]
fn killed_in_its_second_run_it_loses_no_finished_version() {
    let window = Window::new();
    let mut dying = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::a_window_that_will_be_killed", "--ignored", "--nocapture"])
        .env(HOME, window.path(""))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(dying.stdout.take().unwrap()).lines();
    let said = lines.map_while(Result::ok).find(|line| line == "in the middle");
    dying.kill().unwrap();
    dying.wait().unwrap();
    assert!(said.is_some(), "the window ended by itself");

    let mut h = window.open(None);
    until(&mut h, "the version", |h| has(h, &format!("Version: {WISH}")));
    assert!(has_part(&h, "is back as it was"));
    assert_eq!(value(&h, "Wish"), WISH);
    assert_eq!(value(&h, "Instruction 3"), "make the sky overcast");
    assert!(!has(&h, "Step 2 of 4"), "the run that was not finished is no version");
    click(&mut h, "Result");
    until(&mut h, "the contributions", |h| has(h, "Show the map of 3"));
    // And it goes on: the same again makes a second version.
    click(&mut h, "Edit");
    window.work.gate.open(STEPS);
    click(&mut h, "Run with 3 instructions");
    until(&mut h, "a second version", |h| {
        egui_kittest::kittest::Queryable::query_all_by_label(h, &format!("Version: {WISH}")).count() == 2
    });
}
