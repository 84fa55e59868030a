//! Chat templates: a model's own Jinja program that turns messages into the one text it was trained on.
//!
//! Rendered as transformers renders them: blocks trimmed, Python's string methods at hand, `tojson` without escapes for
//! HTML, the tags that only mark what was generated taken for nothing (spec/rust-stack.md section 1).

use minijinja::value::Value;
use minijinja::{Environment, Error, ErrorKind, context};

/// Steps that a template may take before it counts as endless.
const FUEL: u64 = 2_000_000;

/// The most bytes of a template.
const MAX_TEMPLATE: usize = 1 << 20;

/// The name under which the one template is kept.
const NAME: &str = "chat";

/// Why a template cannot be used, in one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its chat template cannot be used ({0})")]
pub struct TemplateError(String);

impl From<Error> for TemplateError {
    fn from(error: Error) -> Self {
        let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        Self(detail.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect())
    }
}

/// A template that was read.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos: String,
    eos: String,
}

impl ChatTemplate {
    /// Reads a template; `bos` and `eos` are the texts of the first and last token that it may want to write.
    ///
    /// # Errors
    /// When it is no Jinja template, or larger than any.
    pub fn new(source: &str, bos: &str, eos: &str) -> Result<Self, TemplateError> {
        if source.len() > MAX_TEMPLATE {
            return Err(TemplateError(format!("it has {} bytes", source.len())));
        }
        let mut environment = Environment::new();
        let syntax = minijinja::syntax::SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?;
        environment.set_syntax(syntax);
        environment.set_fuel(Some(FUEL));
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |text: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, text))
        });
        environment.add_function("strftime_now", |format: String| today(&format));
        environment.add_filter("tojson", to_json);
        environment.add_template_owned(NAME, without_marks(source))?;
        Ok(Self { environment, bos: bos.to_owned(), eos: eos.to_owned() })
    }

    /// The prompt for one message of the person, up to where the model's answer begins.
    ///
    /// # Errors
    /// When the template refuses the conversation or does not come to an end.
    pub fn render(&self, message: &str) -> Result<String, TemplateError> {
        let text = self.environment.get_template(NAME)?.render(context! {
            messages => vec![context! { role => "user", content => message }],
            add_generation_prompt => true,
            // Models that can think aloud are asked not to: the lines alone are wanted.
            enable_thinking => false,
            bos_token => self.bos.as_str(),
            eos_token => self.eos.as_str(),
        })?;
        Ok(text)
    }
}

/// The tags around what a model generated mean nothing here; a condition that always holds has the same white space.
fn without_marks(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let Some(length) = rest[start..].find("%}") else { break };
        let tag = &rest[start + 2..start + length];
        let word = tag.trim_start_matches(['-', '+']).trim_end_matches(['-', '+']).trim();
        text.push_str(&rest[..start + 2]);
        match word {
            "generation" => text.push_str(&tag.replacen("generation", "if true", 1)),
            "endgeneration" => text.push_str(&tag.replacen("endgeneration", "endif", 1)),
            _ => text.push_str(tag),
        }
        text.push_str("%}");
        rest = &rest[start + length + 2..];
    }
    text + rest
}

/// The date that a template is told. It stays the same, so that the same seed gives the same proposal tomorrow.
fn today(format: &str) -> String {
    const PARTS: [(&str, &str); 11] = [
        ("%d", "01"),
        ("%b", "Jan"),
        ("%B", "January"),
        ("%m", "01"),
        ("%Y", "2026"),
        ("%y", "26"),
        ("%A", "Thursday"),
        ("%a", "Thu"),
        ("%H", "12"),
        ("%M", "00"),
        ("%S", "00"),
    ];
    PARTS.iter().fold(format.to_owned(), |text, (mark, part)| text.replace(mark, part))
}

/// JSON as Python writes it: a space after `,` and `:`, letters as they are.
fn to_json(value: &Value) -> Result<String, Error> {
    let json = serde_json::to_value(value)
        .map_err(|error| Error::new(ErrorKind::InvalidOperation, format!("no JSON: {error}")))?;
    let mut text = String::new();
    write_json(&json, &mut text);
    Ok(text)
}

fn write_json(value: &serde_json::Value, text: &mut String) {
    use serde_json::Value as Json;
    match value {
        Json::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                text.push_str(if index == 0 { "" } else { ", " });
                write_json(item, text);
            }
            text.push(']');
        }
        Json::Object(fields) => {
            text.push('{');
            for (index, (name, item)) in fields.iter().enumerate() {
                text.push_str(if index == 0 { "" } else { ", " });
                write_json(&Json::String(name.clone()), text);
                text.push_str(": ");
                write_json(item, text);
            }
            text.push('}');
        }
        plain => text.push_str(&plain.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(source: &str, message: &str) -> Result<String, TemplateError> {
        ChatTemplate::new(source, "<s>", "</s>")?.render(message)
    }

    #[test]
    fn writes_the_forms_that_families_of_models_use() {
        let marks = "{% for m in messages %}\n    {{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>' + '\\n' }}\n\
                     {%- endfor %}\n{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
        assert_eq!(render(marks, "hi").unwrap(), "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n");
        let brackets = "{{ bos_token }}{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}\
                        {{ raise_exception('roles must take turns') }}{% endif %}\
                        {{ '[INST] ' + m['content'].strip() + ' [/INST]' }}{% endfor %}";
        assert_eq!(render(brackets, " hi ").unwrap(), "<s>[INST] hi [/INST]");
        let turns = "{%- set ns = namespace(first=true) -%}{% for m in messages[::-1] %}{% if ns.first %}\
                     {{ '<start_of_turn>' ~ m.role }}{% set ns.first = false %}{% endif %}{% endfor %}";
        assert_eq!(render(turns, "hi").unwrap(), "<start_of_turn>user");
    }

    #[test]
    fn writes_what_transformers_writes() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/parity/fixtures/language/templates.json");
        let cases: Vec<std::collections::HashMap<String, String>> =
            serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        assert_eq!(cases.len(), 5);
        for case in cases {
            let template = ChatTemplate::new(&case["template"], &case["bos"], &case["eos"]).unwrap();
            assert_eq!(template.render(&case["message"]).unwrap(), case["rendered"], "{}", case["name"]);
        }
    }

    #[test]
    fn blocks_are_trimmed_as_in_the_reference() {
        let source = "{% if true %}\n  a\n  {% if true %}\n  b\n  {% endif %}\n{% endif %}\n";
        assert_eq!(render(source, "").unwrap(), "  a\n  b\n");
    }

    #[test]
    fn what_only_marks_the_generated_part_is_no_fault() {
        let source = "{% for m in messages %}a {%- generation -%} {{ m.content }} {%- endgeneration %} b{% endfor %}";
        assert_eq!(render(source, "hi").unwrap(), "ahi b");
    }

    #[test]
    fn python_methods_json_dates_and_skipped_rounds() {
        let source = "{% for w in messages[0].content.split(' ') %}{% if w.startswith('x') %}{% continue %}{% endif %}\
                      {{ w.upper() }},{% endfor %}{{ messages[0] | tojson }}";
        assert_eq!(render(source, "a x1 <é>").unwrap(), "A,<É>,{\"content\": \"a x1 <é>\", \"role\": \"user\"}");
        assert_eq!(render("{{ strftime_now('%d %b %Y') }}", "").unwrap(), "01 Jan 2026");
        assert_eq!(render("{{ enable_thinking is defined and enable_thinking is false }}", "").unwrap(), "True");
    }

    #[test]
    fn a_template_that_refuses_breaks_or_never_ends_is_told_in_one_line() {
        let fault = |source: &str| render(source, "hi").unwrap_err().to_string();
        assert!(fault("{{ raise_exception('no\\nsystem message') }}").contains("no system message"));
        assert!(fault("{% if %}").starts_with("its chat template cannot be used"));
        assert!(
            fault("{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}").contains("fuel")
        );
        assert!(fault(&"a".repeat(MAX_TEMPLATE + 1)).contains("bytes"));
    }
}
