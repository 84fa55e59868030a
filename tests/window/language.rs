//! Choosing who proposes instructions, and that the choice is kept and followed.

use std::path::PathBuf;

use glassbox::app::{Describer, Language};

use crate::stand_in::{WISH, Window, click, has, has_part, leave, opened, proposed, type_into, until};

#[test]
fn a_server_is_named_asked_remembered_and_used() {
    let window = Window::new();
    let mut h = opened(&window);
    click(&mut h, "Who proposes: Starter model");
    click(&mut h, "A server");
    assert!(has_part(&h, "the picture itself never is"));
    type_into(&mut h, "Address of the server", "http://localhost:1");
    click(&mut h, "Ask which models it has");
    until(&mut h, "the complaint", |h| has_part(h, "is the server running"));
    type_into(&mut h, "Address of the server", "1434");
    assert!(!has_part(&h, "is the server running"), "what was said of another address");
    click(&mut h, "Ask which models it has");
    click(&mut h, "llama3.2:3b");
    click(&mut h, "Done");
    until(&mut h, "the end of the dialog", |h| !has(h, "A server"));
    h.step();
    type_into(&mut h, "Wish", WISH);
    leave(&mut h);
    click(&mut h, "Propose instructions");
    until(&mut h, "the proposal", |h| has(h, "Instruction 3"));
    let server = Language::Server { address: "http://localhost:11434".into(), model: Some("llama3.2:3b".into()) };
    let asked = window.work.asked.lock().unwrap().last().cloned().expect("a question");
    assert_eq!((asked.language, asked.describer), (server.clone(), Describer::Starter));
    click(&mut h, "Who proposes: localhost:11434");
    click(&mut h, "The same");
    assert!(has_part(&h, "The picture, made small, and the wish are sent to localhost:11434"));
    click(&mut h, "Done");
    drop(h);
    let mut h = opened(&window);
    assert!(has(&h, "Who proposes: localhost:11434"));
    type_into(&mut h, "Wish", WISH);
    leave(&mut h);
    click(&mut h, "Propose instructions");
    until(&mut h, "the proposal", |h| has(h, "Instruction 3"));
    let asked = window.work.asked.lock().unwrap().last().cloned().expect("a question");
    assert_eq!((asked.language, asked.describer), (server, Describer::Same));
}

#[test]
fn a_folder_that_is_none_is_told_and_one_that_is_not_named_asks_nobody() {
    let window = Window::new();
    let mut h = opened(&window);
    type_into(&mut h, "Wish", WISH);
    click(&mut h, "Who proposes: Starter model");
    click(&mut h, "A model on this machine");
    click(&mut h, "Done");
    assert!(has_part(&h, "is not named yet"));
    click(&mut h, "Propose instructions");
    assert!(window.work.asked.lock().unwrap().is_empty());
    click(&mut h, "Who proposes: A model on this machine");
    type_into(&mut h, "Folder or file of the language model", "'/models/Модель 模型'");
    click(&mut h, "Look at it");
    until(&mut h, "the complaint", |h| has_part(h, "/models/Модель 模型 is not a folder"));
    click(&mut h, "Done");
    click(&mut h, "Propose instructions");
    until(&mut h, "the proposal", |h| has(h, "Instruction 3"));
    let files = Language::Files(PathBuf::from("/models/Модель 模型"));
    let asked = window.work.asked.lock().unwrap().last().cloned().expect("a question");
    assert_eq!(asked.language, files);
}

#[test]
fn by_hand_nothing_is_proposed_and_lines_are_written() {
    let window = Window::new();
    let mut h = proposed(&window);
    click(&mut h, "Who proposes: Starter model");
    click(&mut h, "Nobody: I write them myself");
    click(&mut h, "Done");
    assert!(!has(&h, "Propose others"));
    click(&mut h, "Write an instruction");
    type_into(&mut h, "Instruction 4", "light the windows");
    leave(&mut h);
    until(&mut h, "a run of four", |h| has(h, "Run with 4 instructions"));
    assert_eq!(window.work.asked.lock().unwrap().len(), 1, "only the proposal before");
}
