//! `glassbox specify` as a person runs it: the starter language model on a sample picture, without any download.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::io::{Read, Write};
use std::process::{Command, Output};

use serde_json::Value;

fn specify(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_glassbox"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).arg("specify").args(arguments);
    command.output().expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn proposal(arguments: &[&str]) -> Value {
    let output = specify(&[&["assets/samples/lake-village.png", "--json"], arguments].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn lines(proposal: &Value) -> Vec<String> {
    serde_json::from_value(proposal["specifics"].clone()).unwrap()
}

#[test]
fn a_vague_wish_becomes_as_many_instructions_as_asked_for() {
    let first = proposal(&["-i", "make it feel like winter"]);
    let caption = first["caption"].as_str().unwrap();
    assert!(caption.contains("village") || caption.contains("house"), "{caption}");
    let three = lines(&first);
    assert_eq!(three.len(), 3, "{first}");
    assert_eq!(first["notice"], Value::Null);
    assert_eq!(proposal(&["-i", "make it feel like winter"]), first);

    // One more, beside those that are there.
    let mut arguments = vec!["-i", "make it feel like winter", "-k", "1", "--seed", "7", "--caption", caption];
    for line in &three {
        arguments.extend(["--avoid", line.as_str()]);
    }
    let one = lines(&proposal(&arguments));
    assert_eq!(one.len(), 1);
    assert!(!three.contains(&one[0]), "{one:?} again, beside {three:?}");
}

#[test]
fn prose_goes_to_stdout_and_progress_to_stderr() {
    let output = specify(&["assets/samples/farm.png", "-i", "make it spooky", "--caption", "a farm with trees"]);
    assert!(output.status.success());
    assert!(text(&output.stdout).starts_with("caption: a farm with trees\n"));
    assert!(text(&output.stderr).contains("Writing instructions"));
}

#[test]
fn a_server_that_sees_describes_the_picture_and_none_leaves_it_undescribed() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut piece = [0; 4096];
        while !request.ends_with(b"}") {
            let read = stream.read(&mut piece).unwrap();
            request.extend_from_slice(&piece[..read]);
        }
        let body = r#"{"choices": [{"message": {"content": "a farm with a barn and trees"}}]}"#;
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        text(&request)
    });
    let described = proposal(&["-i", "make it spooky", "--captioner", &url, "--captioner-model", "eye"]);
    assert_eq!(described["caption"], "a farm with a barn and trees");
    let request = server.join().unwrap();
    assert!(request.contains(r#""model":"eye""#) && request.contains("data:image/jpeg;base64,"), "{request}");

    let blind = proposal(&["-i", "make it spooky", "--captioner", "none"]);
    assert_eq!(blind["caption"], "");
    assert!(blind["notice"].as_str().unwrap().contains("was not described"));
}

#[test]
fn what_cannot_be_done_is_said_in_one_sentence() {
    for (arguments, code, words) in [
        (vec!["assets/samples/farm.png", "-i", "x", "-k", "7"], 2, "1..=6"),
        (vec!["assets/samples/farm.png"], 2, "--instruction"),
        (vec!["nothing-here.png", "-i", "x"], 1, "nothing-here.png"),
        (vec!["assets/samples/farm.png", "-i", " ", "--caption", "a farm"], 1, "say what you wish"),
        (vec!["assets/samples/farm.png", "-i", "x", "--specifier", "nobody"], 1, "nobody"),
        (vec!["assets/samples/farm.png", "-i", "x", "--captioner", "nobody"], 1, "nobody"),
        (vec!["assets/samples/farm.png", "-i", "x", "--specifier", "Cargo.toml"], 1, "Cargo.toml"),
        (vec!["assets/samples/farm.png", "-i", "x", "--specifier", "assets/starter/editor"], 1, "config.json"),
    ] {
        let output = specify(&arguments);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
        assert!(error.contains(words) && output.stdout.is_empty(), "{arguments:?}: {error}");
    }
}
