//! From what a language model wrote to a list of instructions: the reply policy (spec/sane.md section 5).
//!
//! Models answer with numbers, bullets, quotes, labels, JSON, code fences, thinking aloud, or prose around the lines
//! that were asked for. Everything here is a pure function of the text, and nothing a model writes can make it fail
//! in any way but a typed error.

use serde_json::Value;

/// What a reply is held against.
#[derive(Clone, Debug)]
pub struct ReplyRules<'a> {
    /// How many instructions were asked for; more are cut off.
    pub count: usize,
    /// The wish, as the person typed it: repeating it is no answer.
    pub wish: &'a str,
    /// The caption: repeating it is no answer.
    pub caption: &'a str,
    /// Instructions that the list has already or that were refused: saying them again is no answer.
    pub avoid: &'a [String],
}

/// The most characters one instruction may have; a longer one is prose, and the editor would not read to its end.
pub const MAX_CHARS: usize = 160;

/// The most bytes of a reply that are looked at.
const MAX_REPLY: usize = 64 * 1024;

/// What was in a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The instructions: at least one and at most as many as asked for, each one line without markers, no two alike.
    pub instructions: Vec<String>,
    /// Lines that were left out, and why.
    pub dropped: Vec<Dropped>,
}

/// A line that did not become an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// The line, cut to [`MAX_CHARS`], control characters replaced.
    pub line: String,
    /// Why.
    pub reason: Reason,
}

/// Why a line did not become an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// It asks for something to be taken away, which the method does not do.
    #[error("asks to remove something")]
    Removal,
    /// It says what another line, or one to be avoided, says already.
    #[error("says the same as another line")]
    Repeated,
    /// It only repeats the wish or the caption.
    #[error("only repeats the wish or the caption")]
    Echo,
    /// It talks to the person instead of giving an instruction.
    #[error("is not an instruction")]
    Chatter,
    /// It is longer than [`MAX_CHARS`].
    #[error("is too long")]
    TooLong,
    /// It holds control characters.
    #[error("holds control characters")]
    ControlCharacters,
    /// There were enough before it.
    #[error("is one more than asked for")]
    TooMany,
}

/// A reply without a single instruction.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// Nothing but white space, fences or thinking.
    #[error("the language model answered nothing")]
    Empty,
    /// There were lines, and each of them was refused.
    #[error("none of the {} lines of the answer is a usable instruction", .0.len())]
    NothingUsable(Vec<Dropped>),
}

/// Reads a reply of any bytes; what is not UTF-8 is treated as a control character.
///
/// # Errors
/// When not one instruction is left.
pub fn parse_bytes(reply: &[u8], rules: &ReplyRules<'_>) -> Result<Reply, ReplyError> {
    parse(&String::from_utf8_lossy(&reply[..reply.len().min(MAX_REPLY)]), rules)
}

/// Reads a reply.
///
/// # Errors
/// When not one instruction is left.
pub fn parse(reply: &str, rules: &ReplyRules<'_>) -> Result<Reply, ReplyError> {
    let reply = without_wrapping(reply);
    let lines = from_json(&reply).unwrap_or_else(|| from_lines(&reply, rules.count));
    let mut sieve = Sieve { rules, kept: Vec::new(), dropped: Vec::new() };
    for line in &lines {
        sieve.take(line);
    }
    if !sieve.kept.is_empty() {
        Ok(Reply { instructions: sieve.kept, dropped: sieve.dropped })
    } else if sieve.dropped.is_empty() {
        Err(ReplyError::Empty)
    } else {
        Err(ReplyError::NothingUsable(sieve.dropped))
    }
}

/// The start of a reply without thinking and control tokens.
#[must_use]
pub fn without_wrapping(reply: &str) -> String {
    without_tokens(&without_thinking(cut(reply, MAX_REPLY)))
}

/// One line without markers, labels, quotes and markup, white space made single; empty when nothing is left.
#[must_use]
pub fn clean_line(line: &str) -> String {
    let mut text = line.split_whitespace().collect::<Vec<_>>().join(" ");
    // Each pass takes something off the ends; what takes nothing off any more is clean.
    loop {
        let before = text.len();
        for strip in [without_emphasis, without_marker, without_label, without_quotes, without_tail] {
            let inner = strip(&text).trim();
            if inner.len() < text.len() {
                text = inner.to_owned();
            }
        }
        if text.len() == before {
            return text;
        }
    }
}

/// Whether an instruction asks for something to be taken away.
#[must_use]
pub fn asks_for_removal(line: &str) -> bool {
    const WORDS: [&str; 15] = [
        "remove",
        "removes",
        "removed",
        "removing",
        "delete",
        "deletes",
        "deleted",
        "deleting",
        "erase",
        "erases",
        "erased",
        "erasing",
        "eliminate",
        "eliminating",
        "eliminated",
    ];
    const PHRASES: [[&str; 2]; 9] = [
        ["get", "rid"],
        ["getting", "rid"],
        ["take", "away"],
        ["take", "out"],
        ["taking", "away"],
        ["wipe", "out"],
        ["cut", "out"],
        ["crop", "out"],
        ["strip", "away"],
    ];
    let words = words(line);
    words.iter().any(|word| WORDS.contains(&word.as_str()))
        || words.windows(2).any(|pair| PHRASES.iter().any(|phrase| pair[0] == phrase[0] && pair[1] == phrase[1]))
        || (words.first().is_some_and(|word| word == "take")
            && words.iter().any(|word| word == "away" || word == "out"))
}

/// Collects the lines that may stay.
struct Sieve<'a> {
    rules: &'a ReplyRules<'a>,
    kept: Vec<String>,
    dropped: Vec<Dropped>,
}

impl Sieve<'_> {
    fn take(&mut self, line: &str) {
        if line.trim().is_empty() || line.trim_start().starts_with("```") {
            return;
        }
        let controls = line.chars().any(|c| (c.is_control() && c != '\t') || c == char::REPLACEMENT_CHARACTER);
        let text = clean_line(line);
        let reason = if controls {
            Some(Reason::ControlCharacters)
        } else if text.is_empty() {
            // A marker with nothing behind it.
            return;
        } else {
            self.refuse(line, &text)
        };
        match reason {
            Some(reason) => {
                let shown = line.trim().chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
                self.dropped.push(Dropped { line: shown.take(MAX_CHARS).collect(), reason });
            }
            None => self.kept.push(text),
        }
    }

    fn refuse(&self, line: &str, text: &str) -> Option<Reason> {
        let same = |other: &str| words(other) == words(text);
        if text.chars().filter(|c| c.is_alphabetic()).count() < 2 || is_chatter(line, text) {
            Some(Reason::Chatter)
        } else if same(self.rules.wish) || same(self.rules.caption) || echoes_the_prompt(line) {
            Some(Reason::Echo)
        } else if text.chars().count() > MAX_CHARS {
            Some(Reason::TooLong)
        } else if asks_for_removal(text) {
            Some(Reason::Removal)
        } else if self.kept.iter().chain(self.rules.avoid).any(|other| same(other)) {
            Some(Reason::Repeated)
        } else if self.kept.len() >= self.rules.count {
            Some(Reason::TooMany)
        } else {
            None
        }
    }
}

/// The words of a line, lower case; what two lines have in common when they say the same.
fn words(line: &str) -> Vec<String> {
    line.to_lowercase()
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// At most `bytes` of a text, never through a character.
fn cut(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Takes out what stands between thinking tags; an open one swallows the rest, a lone closing one what is before it.
fn without_thinking(reply: &str) -> String {
    let mut text = reply.to_owned();
    for tag in ["think", "thinking", "thought", "reasoning", "analysis", "reflection"] {
        let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
        // ASCII lower case keeps every byte position.
        loop {
            let lower = text.to_ascii_lowercase();
            text = match (lower.find(&open), lower.find(&close)) {
                (Some(start), Some(end)) if start < end => {
                    format!("{}\n{}", &text[..start], &text[end + close.len()..])
                }
                (_, Some(end)) => text[end + close.len()..].to_owned(),
                (Some(start), None) => text[..start].to_owned(),
                (None, None) => break,
            };
        }
    }
    text
}

/// Takes out control tokens that leaked into the text.
fn without_tokens(reply: &str) -> String {
    const TOKENS: [&str; 8] = ["</s>", "<s>", "<eos>", "<bos>", "<pad>", "<end_of_turn>", "<start_of_turn>", "[/INST]"];
    let mut text = reply.to_owned();
    for token in TOKENS {
        text = text.replace(token, "\n");
    }
    let mut clean = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(start) = rest.find("<|") {
        let Some(length) = rest[start..].find("|>") else { break };
        clean.push_str(&rest[..start]);
        // Tokens are short and hold no white space; anything else is left alone.
        if length <= 40 && !rest[start..start + length].contains(char::is_whitespace) {
            clean.push('\n');
        } else {
            clean.push_str(&rest[start..start + length + 2]);
        }
        rest = &rest[start + length + 2..];
    }
    clean.push_str(rest);
    clean
}

/// The strings of the first JSON list or object in a reply; `None` when there is none, or it holds no strings.
fn from_json(reply: &str) -> Option<Vec<String>> {
    let fenced = reply.split("```").nth(1).map(|inner| inner.strip_prefix("json").unwrap_or(inner));
    for text in fenced.into_iter().chain([reply]) {
        let Some(start) = text.find(['[', '{']) else { continue };
        let json = &text[start..];
        let opens_json = json[1..].trim_start().starts_with(['"', '{', '[', '\'']);
        if !opens_json {
            continue;
        }
        let mut values = serde_json::Deserializer::from_str(json).into_iter::<Value>();
        let mut strings = Vec::new();
        match values.next() {
            Some(Ok(value)) => collect(&value, &mut strings, 0),
            // Cut short or slightly wrong: the strings that are whole.
            _ => strings = whole_strings(json),
        }
        if !strings.is_empty() {
            return Some(strings.iter().flat_map(|text| text.lines()).map(str::to_owned).collect());
        }
    }
    None
}

/// The texts in a JSON value: a list's strings; of an object the value under a telling key, else all its values.
fn collect(value: &Value, strings: &mut Vec<String>, depth: usize) {
    const KEYS: [&str; 12] = [
        "instructions",
        "edits",
        "modifications",
        "specifics",
        "lines",
        "answers",
        "output",
        "instruction",
        "edit",
        "modification",
        "text",
        "answer",
    ];
    if depth > 6 {
        return;
    }
    match value {
        Value::String(text) => strings.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| collect(item, strings, depth + 1)),
        Value::Object(fields) => match KEYS.iter().find_map(|key| fields.get(*key)) {
            Some(value) => collect(value, strings, depth + 1),
            None => fields.values().for_each(|value| collect(value, strings, depth + 1)),
        },
        _ => {}
    }
}

/// The double-quoted strings of broken JSON that are not keys.
fn whole_strings(json: &str) -> Vec<String> {
    let mut strings = Vec::new();
    let mut rest = json;
    while let Some(start) = rest.find('"') {
        let mut values = serde_json::Deserializer::from_str(&rest[start..]).into_iter::<String>();
        match values.next() {
            Some(Ok(text)) => {
                rest = &rest[start + values.byte_offset()..];
                if !rest.trim_start().starts_with(':') {
                    strings.push(text);
                }
            }
            _ => break,
        }
    }
    strings
}

/// The lines of a plain reply. Everything on one line, parted by `;` or numbers, counts as several lines when several
/// were asked for; a `;` among several lines parts nothing.
fn from_lines(reply: &str, count: usize) -> Vec<String> {
    let parts = |c: char| matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}');
    let lines = reply
        .split(parts)
        .filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with("```"))
        .map(str::to_owned)
        .collect::<Vec<_>>();
    match lines.as_slice() {
        [line] if count > 1 => {
            let numbered = at_numbers(line);
            if numbered.len() > 1 {
                numbered
            } else if line.contains(';') {
                line.split(';').map(str::to_owned).collect()
            } else {
                lines
            }
        }
        _ => lines,
    }
}

/// A line parted before ` 1. `, ` 2) ` … where these count up from one.
fn at_numbers(line: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut rest = line.trim();
    let mut number = 1;
    loop {
        let own = [format!("{number}. "), format!("{number}) ")];
        if !own.iter().any(|marker| rest.starts_with(marker.as_str())) {
            break;
        }
        number += 1;
        let next = [format!(" {number}. "), format!(" {number}) ")];
        match next.iter().filter_map(|marker| rest.find(marker.as_str())).min() {
            Some(end) => {
                parts.push(rest[..end].to_owned());
                rest = &rest[end + 1..];
            }
            None => {
                parts.push(rest.to_owned());
                break;
            }
        }
    }
    parts
}

/// Without Markdown's signs of emphasis and headings at both ends.
fn without_emphasis(text: &str) -> &str {
    let text = text.trim_start_matches('#').trim_start();
    let text = match text.strip_prefix("**") {
        Some(inner) => inner.trim_start_matches('*'),
        None => text,
    };
    let text = text.strip_suffix("**").unwrap_or(text);
    let text = text.strip_prefix("__").unwrap_or(text);
    text.strip_suffix("__").unwrap_or(text)
}

/// Without a bullet, number or letter of a list in front.
fn without_marker(text: &str) -> &str {
    const BULLETS: [char; 21] =
        ['-', '*', '+', '•', '‣', '▪', '▫', '●', '○', '◦', '·', '–', '—', '→', '➤', '►', '⁃', '✓', '✔', '☐', '>'];
    if let Some(rest) = text.strip_prefix(BULLETS.as_slice()) {
        return rest;
    }
    // An enclosed or key-cap digit.
    let mut chars = text.chars();
    if let Some('①'..='⑳' | '❶'..='❿') = chars.next() {
        return chars.as_str();
    }
    if let Some((digit, rest)) = text.split_once('\u{20e3}')
        && digit.trim_end_matches('\u{fe0f}').chars().all(|c| c.is_ascii_digit())
    {
        return rest;
    }
    let (opened, inner) = match text.strip_prefix(['(', '[']) {
        Some(inner) => (true, inner),
        None => (false, text),
    };
    let digits = inner.chars().take_while(char::is_ascii_digit).count();
    let (name, rest) = if (1..=3).contains(&digits) {
        inner.split_at(digits)
    } else {
        let letters = inner.chars().take_while(char::is_ascii_alphabetic).count();
        let name = &inner[..letters];
        let roman = (2..=4).contains(&letters) && name.chars().all(|c| matches!(c, 'i' | 'v' | 'x'));
        if letters != 1 && !roman {
            return text;
        }
        inner.split_at(letters)
    };
    let number = name.starts_with(|c: char| c.is_ascii_digit());
    let Some(sign) = rest.chars().next() else {
        // A number alone is no instruction.
        return if number { "" } else { text };
    };
    let after = &rest[sign.len_utf8()..];
    let closed = match sign {
        ')' | ']' => true,
        '.' => !opened && !after.starts_with(|c: char| c.is_ascii_digit()) && (number || after.starts_with(' ')),
        ':' => !opened && number,
        _ => false,
    };
    if closed {
        after
    } else if number && !opened && sign == ' ' {
        // "1 - …"
        after.strip_prefix(['-', '–', '—']).unwrap_or(text)
    } else {
        text
    }
}

/// The words that models put in front of an answer, with or without a number.
const LABELS: [&str; 25] = [
    "instruction",
    "instructions",
    "edit",
    "edits",
    "modification",
    "modifications",
    "answer",
    "answers",
    "output",
    "outputs",
    "result",
    "results",
    "response",
    "step",
    "change",
    "changes",
    "action",
    "suggestion",
    "specific",
    "specifics",
    "option",
    "line",
    "objective modification",
    "specific instruction",
    "specific edit",
];

/// What stands before the first colon, if it is a label: lower case, number and signs taken off.
fn label(text: &str) -> Option<(String, &str)> {
    let (before, after) = text.split_once(':')?;
    if before.len() > 40 {
        return None;
    }
    let name = before.to_lowercase();
    let name = name.trim_matches(|c: char| !c.is_alphabetic()).trim();
    Some((name.to_owned(), after))
}

fn without_label(text: &str) -> &str {
    match label(text) {
        Some((name, after)) if LABELS.contains(&name.as_str()) => after.trim_start_matches(['*', '_']),
        _ => text,
    }
}

fn without_quotes(text: &str) -> &str {
    const PAIRS: [(char, char); 10] = [
        ('"', '"'),
        ('\'', '\''),
        ('`', '`'),
        ('“', '”'),
        ('‘', '’'),
        ('«', '»'),
        ('„', '“'),
        ('‹', '›'),
        ('「', '」'),
        ('*', '*'),
    ];
    let unended = text.trim_end_matches([',', '.', ';']);
    for (open, close) in PAIRS {
        if let Some(inner) = unended.strip_prefix(open).and_then(|inner| inner.strip_suffix(close))
            && !inner.contains(open)
            && !inner.contains(close)
        {
            return inner;
        }
    }
    // A quote that was opened and never closed, or the other way round.
    for quote in ['"', '“', '”', '`'] {
        if text.matches(quote).count() == 1
            && let Some(inner) = text.strip_prefix(quote).or_else(|| unended.strip_suffix(quote))
        {
            return inner;
        }
    }
    text
}

fn without_tail(text: &str) -> &str {
    text.trim_end_matches([',', ';', '.', '\\'])
}

/// Lines that introduce, close or explain instead of instructing.
fn is_chatter(line: &str, text: &str) -> bool {
    const STARTS: [&str; 22] = [
        "here are",
        "here is",
        "here's",
        "sure",
        "certainly",
        "of course",
        "okay,",
        "ok,",
        "absolutely",
        "below are",
        "the following",
        "these are",
        "i have",
        "i've",
        "i will",
        "i'll",
        "i can",
        "i would",
        "i cannot",
        "i can't",
        "i'm sorry",
        "as an ai",
    ];
    const LABELS: [&str; 9] =
        ["note", "notes", "reason", "reasoning", "explanation", "rationale", "disclaimer", "warning", "tip"];
    let lower = text.to_lowercase();
    let starts = STARTS
        .iter()
        .any(|start| lower.strip_prefix(start).is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric())));
    let labelled = label(text).is_some_and(|(name, _)| LABELS.contains(&name.as_str()));
    let heading = line.trim_end().trim_end_matches(['*', '_']).ends_with(':');
    starts || labelled || heading || lower.starts_with("let me know") || lower.starts_with("hope this")
}

/// Lines that say the prompt again: its labels with what stood behind them.
fn echoes_the_prompt(line: &str) -> bool {
    const LABELS: [&str; 9] = [
        "caption",
        "image caption",
        "picture",
        "wish",
        "global instruction",
        "input caption",
        "description",
        "image",
        "rules",
    ];
    label(line).is_some_and(|(name, _)| LABELS.contains(&name.as_str()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{MAX_CHARS, Reason, ReplyError, ReplyRules, asks_for_removal, clean_line, parse, parse_bytes, words};

    fn rules(count: usize) -> ReplyRules<'static> {
        ReplyRules { count, wish: "make it feel like winter", caption: "a village by a lake", avoid: &[] }
    }

    fn lines(reply: &str) -> Vec<String> {
        parse(reply, &rules(3)).unwrap().instructions
    }

    const THREE: [&str; 3] = ["put snow on the roofs", "turn the lake to ice", "make the sky overcast"];

    #[test]
    fn understands_the_ways_in_which_models_list_things() {
        for reply in [
            "put snow on the roofs\nturn the lake to ice\nmake the sky overcast",
            "  put snow on the roofs  \r\n\r\nturn the lake to ice\r\nmake the sky overcast\r\n",
            "1. put snow on the roofs\n2. turn the lake to ice\n3. make the sky overcast",
            "1) put snow on the roofs\n2) turn the lake to ice\n3) make the sky overcast",
            "(1) put snow on the roofs\n[2] turn the lake to ice\n3: make the sky overcast",
            "1 - put snow on the roofs\n2 – turn the lake to ice\n3 — make the sky overcast",
            "a) put snow on the roofs\nb. turn the lake to ice\niii. make the sky overcast",
            "- put snow on the roofs\n* turn the lake to ice\n• make the sky overcast",
            "1️⃣ put snow on the roofs\n② turn the lake to ice\n→ make the sky overcast",
            "- 1. \"put snow on the roofs\"\n- 2. “turn the lake to ice”,\n- 3. 'make the sky overcast'.",
            "**1. put snow on the roofs**\n**2.** turn the lake to ice\n3. **make the sky overcast**",
            "Here are three edits:\n\nput snow on the roofs.\nturn the lake to ice.\nmake the sky overcast.",
            "Sure! Here you go\nput snow on the roofs\nturn the lake to ice\nmake the sky overcast\nLet me know!",
            "Instruction 1: put snow on the roofs\n**Edit 2:** turn the lake to ice\nOutput: make the sky overcast",
            "put snow on the roofs; turn the lake to ice; make the sky overcast",
            "1. put snow on the roofs 2. turn the lake to ice 3. make the sky overcast",
            "```\nput snow on the roofs\nturn the lake to ice\nmake the sky overcast\n```",
            "<think>The lake could freeze.\n1. maybe\n</think>\nput snow on the roofs\nturn the lake to ice\nmake the sky overcast",
            "so I should list edits</think>put snow on the roofs\nturn the lake to ice\nmake the sky overcast",
            "put snow on the roofs\nturn the lake to ice\nmake the sky overcast<|im_end|>\n<|im_start|>",
            "put snow on the roofs\nturn the lake to ice\nmake the sky overcast</s>",
            "[\"put snow on the roofs\", \"turn the lake to ice\", \"make the sky overcast\"]",
            "```json\n{\"instructions\": [\"put snow on the roofs\", \"turn the lake to ice\", \"make the sky overcast\"]}\n```",
            "Here it is: [{\"edit\": \"put snow on the roofs\"}, {\"edit\": \"turn the lake to ice\"}, {\"edit\": \"make the sky overcast\"}]",
            "{\"1\": \"put snow on the roofs\", \"2\": \"turn the lake to ice\", \"3\": \"make the sky overcast\"}",
            "[\"put snow on the roofs\", \"turn the lake to ice\", \"make the sky overcast\", \"put a",
        ] {
            assert_eq!(lines(reply), THREE, "{reply}");
        }
    }

    #[test]
    fn keeps_what_belongs_to_an_instruction() {
        for (line, kept) in [
            ("put 2 boats on the lake", "put 2 boats on the lake"),
            ("2 boats on the lake", "2 boats on the lake"),
            ("1.5 metres of snow on the road", "1.5 metres of snow on the road"),
            ("a boat on the lake", "a boat on the lake"),
            ("paint the word \"OPEN\" on the sign", "paint the word \"OPEN\" on the sign"),
            ("the sky: make it pink", "the sky: make it pink"),
            ("mix snow into the grass", "mix snow into the grass"),
            ("edit", "edit"),
            ("put a dog's hat on the dog", "put a dog's hat on the dog"),
            ("注意 屋根に雪を置く", "注意 屋根に雪を置く"),
        ] {
            assert_eq!(clean_line(line), kept);
        }
    }

    #[test]
    fn a_semicolon_among_several_lines_parts_nothing() {
        assert_eq!(lines("put snow on the roofs; thick and white\nturn the lake to ice").len(), 2);
        let one = parse("a; b or so", &rules(1)).unwrap();
        assert_eq!(one.instructions, ["a; b or so"]);
    }

    #[test]
    fn drops_what_is_no_instruction_and_says_why() {
        let reply = "Caption: a village by a lake\nmake it feel like winter\nremove the trees\nPut snow on the roofs\n\
                     put SNOW on the roofs.\nbell \u{7} rings\nNote: snow is white\n!!!\n";
        let reply =
            format!("{reply}{}\nturn the lake to ice\ndress the people warmly\nlight a fire", "long ".repeat(60));
        let parsed = parse(&reply, &rules(3)).unwrap();
        assert_eq!(parsed.instructions, ["Put snow on the roofs", "turn the lake to ice", "dress the people warmly"]);
        let reasons = parsed.dropped.iter().map(|dropped| dropped.reason).collect::<Vec<_>>();
        use Reason::{Chatter, ControlCharacters, Echo, Removal, Repeated, TooLong, TooMany};
        assert_eq!(reasons, [Echo, Echo, Removal, Repeated, ControlCharacters, Chatter, Chatter, TooLong, TooMany]);
    }

    #[test]
    fn what_is_to_be_avoided_is_not_proposed_again() {
        let avoid = ["Put snow on the roofs!".to_owned()];
        let rules = ReplyRules { avoid: &avoid, ..rules(2) };
        assert_eq!(parse("put snow on the roofs\nturn the lake to ice", &rules).unwrap().instructions, [THREE[1]]);
    }

    #[test]
    fn an_answer_without_instructions_is_a_typed_error() {
        for empty in ["", " \n\t\n", "```\n```", "<think>I never came to an end", "-\n*\n1.\n"] {
            assert_eq!(parse(empty, &rules(3)), Err(ReplyError::Empty), "{empty:?}");
        }
        let refused = parse("remove the trees\ndelete the lake", &rules(3));
        assert!(matches!(refused, Err(ReplyError::NothingUsable(lines)) if lines.len() == 2));
    }

    #[test]
    fn knows_removal_in_its_forms() {
        for line in [
            "Remove the car",
            "get rid of the fence",
            "take the car away",
            "erase the sign",
            "paint the wall and delete the door",
        ] {
            assert!(asks_for_removal(line), "{line}");
        }
        for line in [
            "replace the car with a sleigh",
            "hide the sun behind clouds",
            "put a snow-removal truck on the road",
            "make the trees bare",
        ] {
            assert!(!asks_for_removal(line), "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_valid_list_or_a_typed_error(bytes in prop::collection::vec(any::<u8>(), 0..400), count in 0usize..7) {
            holds(&bytes, count);
        }

        #[test]
        fn any_mixture_of_what_models_write_does_too(
            pieces in prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..40), count in 1usize..7
        ) {
            holds(pieces.concat().as_bytes(), count);
        }

        #[test]
        fn cleaning_twice_is_cleaning_once(pieces in prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..12)) {
            let once = clean_line(&pieces.concat());
            prop_assert_eq!(clean_line(&once), once);
        }

        #[test]
        fn plain_lines_come_back_unchanged(list in prop::collection::vec("[b-hj-u][a-z]{2,7}( [a-z]{3,8}){2,5}", 1..5)) {
            let distinct = list.iter().enumerate().all(|(i, a)| list[..i].iter().all(|b| words(a) != words(b)));
            prop_assume!(distinct && !list.iter().any(|line| asks_for_removal(line)));
            let parsed = parse(&list.join("\n"), &rules(list.len())).unwrap();
            prop_assert_eq!(parsed.instructions, list);
        }
    }

    const PIECES: [&str; 34] = [
        "put snow on the roofs",
        "turn the lake to ice",
        "remove the car",
        "\n",
        "\r\n",
        ";",
        "1.",
        "2)",
        " ",
        "- ",
        "* ",
        "\"",
        "“",
        "”",
        "'",
        "[",
        "]",
        "{",
        "}",
        ":",
        ",",
        "```",
        "json",
        "<think>",
        "</think>",
        "<|im_end|>",
        "</s>",
        "Edit 1",
        "\u{0}",
        "\u{2028}",
        "é",
        "雪",
        "1️⃣",
        "**",
    ];

    fn holds(bytes: &[u8], count: usize) {
        let rules = rules(count);
        let Ok(reply) = parse_bytes(bytes, &rules) else { return };
        assert!((1..=count).contains(&reply.instructions.len()));
        for (index, line) in reply.instructions.iter().enumerate() {
            assert!(!line.trim().is_empty() && line.trim() == line, "{line:?}");
            assert!(line.chars().count() <= MAX_CHARS);
            assert!(!line.chars().any(char::is_control), "{line:?}");
            assert!(!asks_for_removal(line), "{line:?}");
            assert_eq!(&clean_line(line), line);
            assert!(reply.instructions[..index].iter().all(|other| words(other) != words(line)), "{line:?}");
        }
    }
}
