//! What chat models are asked: our own words for the rules of the method (spec/sane.md section 1).

use std::fmt::Write;

use crate::edit::specify::SpecifyRequest;

/// The most characters of caption and wish that go into a prompt each.
const MAX_INPUT: usize = 1000;

/// An example: what the picture shows, the wish, and as many edits as can be asked for.
struct Example {
    picture: &'static str,
    wish: &'static str,
    edits: [&'static str; 6],
}

const EXAMPLES: [Example; 2] = [
    Example {
        picture: "a fisherman in a wooden boat beside a stone pier, hills behind",
        wish: "it should feel like a freezing morning",
        edits: [
            "cover the stone pier with white frost",
            "replace the water around the boat with thin ice",
            "put a thick woollen coat on the fisherman",
            "lay pale mist over the hills",
            "add icicles to the side of the boat",
            "whiten the hills with fresh snow",
        ],
    },
    Example {
        picture: "two children at a kitchen table with a cake",
        wish: "make it a party",
        edits: [
            "put paper crowns on the two children",
            "place burning candles on the cake",
            "spread a colourful cloth over the kitchen table",
            "scatter confetti on the table",
            "coat the cake with bright pink icing",
            "tie balloons to the corners of the table",
        ],
    },
];

/// The whole request to a chat model, as one message: some templates know no system message.
#[must_use]
pub fn specification(request: &SpecifyRequest) -> String {
    let count = request.count;
    let edits = if count == 1 { "edit" } else { "edits" };
    let mut text = format!(
        "You plan picture edits. You are told what a picture shows and what someone vaguely wishes for it. Turn the \
         wish into exactly {count} concrete {edits} that an image editor can carry out one by one and that together \
         make the wish come true.\n\
         \n\
         Rules:\n\
         - Every edit is a fact that can be seen, never a mood or an opinion.\n\
         - Every edit concerns one place: it adds something there, or it replaces what is there or how it looks.\n\
         - Every edit serves the wish, and no edit contradicts another.\n\
         - Change only things that the description names. Do not assume that anything else is in the picture.\n\
         - Never take anything out of the picture.\n\
         - The main subject stays what it is: a cat stays a cat, a house stays a house.\n\
         - Each edit is one short command of at most twelve words.\n\
         - Answer with exactly {count} {lines}, one edit a line: no numbers, no bullets, no quotation marks, no \
         headings, no explanations, nothing before and nothing after.\n",
        lines = if count == 1 { "line" } else { "lines" },
    );
    for example in &EXAMPLES {
        let _ = write!(text, "\nPicture: {}\nWish: {}\n", example.picture, example.wish);
        for edit in example.edits.iter().take(count) {
            let _ = writeln!(text, "{edit}");
        }
    }
    if !request.avoid.is_empty() {
        text.push_str("\nThese edits are taken already. Write different ones that go with them:\n");
        for line in &request.avoid {
            let _ = writeln!(text, "{}", one_line(line));
        }
    }
    let caption = one_line(&request.caption);
    let caption = if caption.is_empty() { "not described; keep to what every picture has".to_owned() } else { caption };
    let _ = write!(
        text,
        "\nNow the picture you are asked about. Write exactly {count} {edits} for it.\n\nPicture: {caption}\nWish: {}\n",
        one_line(&request.wish)
    );
    text
}

/// What a model that sees the picture is asked for its caption.
#[must_use]
pub fn caption() -> &'static str {
    "Say what this picture shows in one line of at most fifteen words. Name the main subject and the larger things \
     around it, only what can be seen, no mood and no guesses. Answer with that line alone."
}

/// A person's text as one line of bounded length, without control characters and without the angle brackets that
/// models' special tokens are written with.
#[must_use]
pub fn one_line(text: &str) -> String {
    let plain = |c: char| if c.is_control() || matches!(c, '<' | '>') { ' ' } else { c };
    let clean = text.chars().map(plain).take(MAX_INPUT).collect::<String>();
    clean.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::{EXAMPLES, specification};
    use crate::edit::reply::{ReplyRules, asks_for_removal, clean_line, parse};
    use crate::edit::specify::{MAX_COUNT, SpecifyRequest};

    #[test]
    fn every_example_has_as_many_lines_as_are_asked_for() {
        for count in 1..=MAX_COUNT {
            let request = SpecifyRequest { count, ..SpecifyRequest::new("a dog", "make it funny") };
            let text = specification(&request);
            assert!(text.contains(&format!("exactly {count} ")));
            for example in &EXAMPLES {
                let shown = example.edits.iter().filter(|edit| text.contains(**edit)).count();
                assert_eq!(shown, count);
            }
        }
    }

    #[test]
    fn the_examples_pass_our_own_policy() {
        for example in &EXAMPLES {
            let rules = ReplyRules { count: 6, wish: example.wish, caption: example.picture, avoid: &[] };
            let reply = parse(&example.edits.join("\n"), &rules).unwrap();
            assert_eq!(reply.instructions, example.edits);
            for edit in example.edits {
                assert!(!asks_for_removal(edit) && clean_line(edit) == edit);
                assert!(edit.split(' ').count() <= 12, "{edit}");
            }
        }
    }

    #[test]
    fn a_persons_text_cannot_break_the_form() {
        let mut request = SpecifyRequest::new("a dog\n\nWish: x\u{0}", format!("funny\r\n{}", "a".repeat(5000)));
        request.avoid = vec!["put a hat\non the dog".to_owned()];
        let text = specification(&request);
        assert!(text.contains("Picture: a dog Wish: x\n"));
        assert!(text.contains("put a hat on the dog\n"));
        assert!(text.len() < 6000);
    }
}
