//! `ask` against the published FlexAttention code and against transformers' LLaVA (tests/reference/flexattention.py): tiny
//! random models in every published layout, opened as a person's folder would be.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::Tensor;
use glassbox::ask::record::Ending;
use glassbox::ask::settings::{AskSettings, AttentionMode};
use glassbox::engine::jobs::ask::{AskChoice, AskEvent, AskJob, AskResult};
use glassbox::engine::{Engine, JobError};
use glassbox::ops::device::{DeviceChoice, Precision};
use image::RgbImage;
use safetensors::SafeTensors;

use crate::fixtures::{folders, path, relative_l2, tensors, values};

/// The picture that the reference script draws.
fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let bright = x > width / 2 && x < width * 3 / 4 && y > height / 4 && y < height / 2;
        let b = if bright { 250 } else { (x * y / 7) % 200 };
        image::Rgb([((x * 5 + y) % 256) as u8, ((y * 3 + (x / 4) * 20) % 256) as u8, b as u8])
    })
}

struct Case {
    choice: AskChoice,
    picture: Arc<RgbImage>,
    question: String,
    count: usize,
    expected: HashMap<String, Tensor>,
}

fn case(name: &str) -> Case {
    let folder = path(&format!("ask/{name}"));
    let bytes = std::fs::read(folder.join("expected.safetensors")).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let facts = header.metadata().clone().unwrap();
    let number = |key: &str| facts[key].parse::<u32>().unwrap();
    Case {
        choice: choice(name, &folder),
        picture: Arc::new(picture(number("width"), number("height"))),
        question: facts["question"].clone(),
        count: number("count") as usize,
        expected: tensors(&format!("ask/{name}/expected.safetensors")),
    }
}

fn choice(name: &str, folder: &Path) -> AskChoice {
    AskChoice {
        name: name.to_owned(),
        path: folder.to_path_buf(),
        device: DeviceChoice::Cpu,
        precision: Precision::F32,
        weights: glassbox::ask::model::WeightBits::Full,
    }
}

fn engine() -> Engine {
    Engine::start(1 << 30, Arc::new(|| {})).unwrap()
}

fn job(case: &Case) -> AskJob {
    let settings = AskSettings { max_tokens: case.count, ..AskSettings::default() };
    AskJob { settings, trace: true, ..AskJob::new(Arc::clone(&case.picture), case.choice.clone(), &case.question) }
}

fn traced(result: &AskResult) -> &HashMap<String, Tensor> {
    result.trace.tensors().unwrap()
}

#[test]
fn every_layout_gives_the_references_tensors_and_tokens() {
    let engine = engine();
    for name in folders("ask") {
        let case = case(&name);
        let result = engine.submit(job(&case)).wait().unwrap();
        let found = traced(&result);
        let small = found["input"].contiguous().unwrap();
        let step = |x: &Tensor, dim: usize| {
            let places = (0..x.dim(dim).unwrap() as u32).step_by(7).collect::<Vec<_>>();
            let places = Tensor::new(places, x.device()).unwrap();
            x.index_select(&places, dim).unwrap()
        };
        let mut compared = 0;
        for (key, wanted) in &case.expected {
            let there = if key == "input_small" { step(&step(&small, 2), 3) } else { found[key].clone() };
            assert_eq!(there.dims(), wanted.dims(), "{name}: {key}");
            let distance = relative_l2(&values(&there), &values(wanted));
            let exact = key.starts_with("selection") || key == "tokens" || key == "input_ids";
            let limit = if exact { 0.0 } else { 1e-3 };
            assert!(distance <= limit, "{name}: {key} is {distance:.1e} apart");
            compared += 1;
        }
        let flex = name.starts_with("flex");
        println!("{name}: {compared} tensors");
        assert_eq!(found.contains_key("high_res"), flex, "{name}");
        assert_eq!(found.keys().any(|key| key.starts_with("selection")), flex, "{name}");
        assert_eq!(result.answer.tokens.len(), values(&case.expected["tokens"]).len(), "{name}");
    }
}

#[test]
fn full_attention_is_flex_with_everything_selected_and_low_is_without_any() {
    let engine = engine();
    let case = case("flex-wide");
    let logits = |attention: AttentionMode, threshold: Option<f32>| {
        let mut job = job(&case);
        job.settings = AskSettings { attention, threshold, max_tokens: 4, ..AskSettings::default() };
        let result = engine.submit(job).wait().unwrap();
        (values(&traced(&result)["logits"]), result.answer)
    };
    let (full, answer) = logits(AttentionMode::Full, None);
    assert!(answer.tokens[0].layers[11].read.as_ref().unwrap().on.iter().all(|on| *on));
    assert!(answer.cost.share_of_full() <= 1.0 + 1e-9 && answer.cost.share_of_full() > 0.999);
    let (flex, answer) = logits(AttentionMode::Flex, None);
    assert!(answer.cost.share_of_full() < 0.999);
    let (low, answer) = logits(AttentionMode::Low, None);
    assert!(answer.tokens.iter().flat_map(|token| &token.layers).all(|layer| layer.read.is_none()));
    assert!(relative_l2(&full[..420], &flex[..420]) > 1e-3 && relative_l2(&low[..420], &flex[..420]) > 1e-3);
    // A threshold of 0 selects every cell in which any patch is above the smallest.
    let (all, answer) = logits(AttentionMode::Flex, Some(0.0));
    let cells = answer.tokens[0].layers[10].selected.as_ref().unwrap();
    assert!(cells.count() > 70, "{}", cells.count());
    assert!(relative_l2(&all[..420], &full[..420]) < relative_l2(&flex[..420], &full[..420]));
}

#[test]
fn a_conversation_gives_the_numbers_of_a_fresh_one() {
    let case = case("flex-tall");
    let ask = |engine: &Engine, question: &str, attention: AttentionMode, turns: bool| {
        let mut job = job(&case);
        job.question = question.to_owned();
        job.settings.attention = attention;
        if turns {
            let first = glassbox::ask::conversation::Turn { question: "what is it?".into(), answer: "a sign".into() };
            job.turns = vec![first];
        }
        engine.submit(job).wait().unwrap()
    };
    let warm = engine();
    ask(&warm, "what is it?", AttentionMode::Low, false);
    ask(&warm, "what is it?", AttentionMode::Flex, false);
    let second = ask(&warm, "how many?", AttentionMode::Flex, true);
    let fresh = ask(&engine(), "how many?", AttentionMode::Flex, true);
    assert!(second.answer.reused_tokens > 20 && fresh.answer.reused_tokens == 0);
    assert_eq!(second.answer.cost.encoding, 0.0);
    for (key, wanted) in traced(&fresh) {
        let distance = relative_l2(&values(&traced(&second)[key]), &values(wanted));
        assert!(distance < 1e-5, "{key}: {distance:.1e}");
    }
}

#[test]
fn answers_end_at_the_limit_or_where_a_person_stops_them() {
    let engine = engine();
    let case = case("flex-one");
    let result = engine.submit(job(&case)).wait().unwrap();
    assert_eq!((result.answer.ending, result.answer.tokens.len()), (Ending::TokenLimit, 1));
    let mut stopped = job(&case);
    stopped.settings.max_tokens = 40;
    stopped.stop.stop();
    let result = engine.submit(stopped).wait().unwrap();
    assert_eq!((result.answer.ending, result.answer.tokens.len()), (Ending::Stopped, 1));
}

#[test]
fn a_cancelled_answer_leaves_the_conversation_usable() {
    let engine = engine();
    let case = case("flex-wide");
    let whole =
        engine.submit(job(&case)).wait().unwrap().answer.tokens.iter().map(|token| token.id).collect::<Vec<_>>();
    for _ in 0..3 {
        let ticket = engine.submit(job(&case));
        ticket.monitor.cancel();
        assert!(matches!(ticket.wait(), Ok(_) | Err(JobError::Cancelled)));
    }
    // Stopped after the first token through the stream of tokens, which is when a person would.
    let (sender, tokens) = std::sync::mpsc::channel();
    let mut streamed = job(&case);
    streamed.events = Some(sender);
    let ticket = engine.submit(streamed);
    assert!(tokens.iter().any(|event| matches!(event, AskEvent::Token(token) if token.id == whole[0])));
    ticket.monitor.cancel();
    assert!(matches!(ticket.wait(), Ok(_) | Err(JobError::Cancelled)));
    let again = engine.submit(job(&case)).wait().unwrap().answer;
    assert_eq!(again.tokens.iter().map(|token| token.id).collect::<Vec<_>>(), whole);
    assert!(again.reused_tokens > 0);
    // Yes is no token of this vocabulary.
    assert!(again.yes_no.is_none());
}
