//! `glassbox edit`: one SANE edit from a picture file to a picture file, or the same again from a recipe.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Args;
use image::RgbImage;
use serde_json::json;

use super::device::DeviceArgs;
use super::progress::Foreground;
use super::specify::CaptionerArgs;
use super::word;
use crate::edit::contributions::Contributions;
use crate::edit::draws::Draws;
use crate::edit::recipe::Recipe;
use crate::edit::request::{EditRequest, EditSettings, Specific};
use crate::edit::scheduler::SchedulerKind;
use crate::edit::specify::{DEFAULT_COUNT, DEFAULT_SEED};
use crate::engine::jobs::edit::{EditJob, EditResult, EditorChoice};
use crate::engine::jobs::specify::{LanguageChoice, SpecifyJob};
use crate::packs::manifest::{Defaults, Role};
use crate::packs::store::Store;
use crate::picture::Picture;
use crate::picture::decode::{DecodeLimits, open};
use crate::picture::encode::{Format, SaveOptions, save};
use crate::picture::heatmap::Map;
use crate::picture::metadata::read_recipe;
use crate::picture::region::Region;
use crate::picture::resize::{Fit, SizeRequest, WorkingPlan};

/// Edit a picture by an instruction, however vague.
#[derive(Debug, Args)]
pub(super) struct EditArgs {
    /// The picture.
    image: PathBuf,
    /// What you wish, perhaps vaguely: "make it feel like winter".
    #[arg(short, long, value_name = "TEXT")]
    instruction: Option<String>,
    /// A concrete instruction, with its weight if it is not 1: "put snow on the roofs=1.2". May be repeated; without
    /// any, the pack's language model proposes them.
    #[arg(short, long, value_name = "TEXT[=WEIGHT]", allow_hyphen_values = true)]
    specific: Vec<String>,
    /// Bounds instruction N (from 1) to the light parts of a mask picture.
    #[arg(long, value_name = "N=MASK.png")]
    region: Vec<String>,
    /// Where the result goes (.png, .jpg or .webp).
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// A pack, a model, or a folder in diffusers layout.
    #[arg(long, default_value = "starter", value_name = "NAME|DIR")]
    pack: String,
    /// The editor alone, without concrete instructions.
    #[arg(long, conflicts_with_all = ["specific", "count"])]
    plain: bool,
    /// How many instructions are proposed.
    #[arg(short = 'k', long, default_value_t = DEFAULT_COUNT, value_name = "K")]
    count: usize,
    /// Who proposes them: a pack, a model, a folder, a GGUF file, or the address of an OpenAI-compatible server; the
    /// pack's own language model if absent.
    #[arg(long, value_name = "NAME|DIR|FILE|URL")]
    specifier: Option<String>,
    /// The model's name on that server.
    #[arg(long, value_name = "NAME")]
    server_model: Option<String>,
    #[command(flatten)]
    captioner: CaptionerArgs,
    /// What the picture shows; else the pack's language model says it.
    #[arg(long, value_name = "TEXT")]
    caption: Option<String>,
    /// Denoising steps.
    #[arg(long, value_name = "N")]
    steps: Option<usize>,
    /// s_T: how strongly the wish itself pushes.
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    guidance: Option<f64>,
    /// s_S: how strongly the concrete instructions push.
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    specific_guidance: Option<f64>,
    /// s_I: how strongly the source picture holds.
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    image_guidance: Option<f64>,
    /// euler-ancestral, euler, ddim, dpm-solver or dpm-solver-karras.
    #[arg(long, value_name = "NAME")]
    scheduler: Option<SchedulerKind>,
    /// Size the model works at: the longer side, WxH, or "source".
    #[arg(long, value_name = "SIZE")]
    size: Option<SizeRequest>,
    /// How a picture of another shape comes to that size: pad, crop or squash.
    #[arg(long, value_name = "HOW", value_parser = word::<Fit>)]
    fit: Option<Fit>,
    /// The random draws.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Shares one strength between the wish and the concrete instructions.
    #[arg(long)]
    keep_strength: bool,
    /// Gives the model's own pixels, enlarged, instead of putting the change onto the source's fine detail.
    #[arg(long)]
    no_detail: bool,
    /// Keeps the source's pixels outside the regions, with an edge this many pixels soft.
    #[arg(long, value_name = "PIXELS")]
    keep_outside: Option<f32>,
    /// Writes a PNG and an NPY an instruction into this folder: what each did.
    #[arg(long, value_name = "DIR")]
    contributions: Option<PathBuf>,
    /// Runs again what a result was made with: a recipe, or a picture that carries one. Other options override it.
    #[arg(long, value_name = "FILE")]
    recipe: Option<PathBuf>,
    /// Takes the random draws from this file (tensors `init` and `steps`).
    #[arg(long, value_name = "FILE.safetensors")]
    noise: Option<PathBuf>,
    /// Writes the intermediate tensors to this file.
    #[arg(long, value_name = "FILE.safetensors")]
    trace: Option<PathBuf>,
    #[command(flatten)]
    on: DeviceArgs,
    /// Prints one JSON object, and no progress.
    #[arg(long)]
    json: bool,
}

/// Runs `glassbox edit …`.
///
/// # Errors
/// One sentence: what could not be read, run or written.
pub(super) fn run(args: &EditArgs) -> Result<()> {
    Format::from_path(&args.output)?;
    let store = Store::open()?;
    let (editor, defaults) = EditorChoice::find(&store, &args.pack, args.on.device, args.on.precision)?;
    let picture = open(&args.image, &DecodeLimits::default())?;
    let foreground = Foreground::start(args.json)?;
    let request = request(args, &store, picture, defaults.as_ref(), &foreground)?;
    let draws = args.noise.as_deref().map(Draws::open).transpose()?;
    let job = EditJob { request: request.clone(), editor, draws, trace: args.trace.is_some() };
    let result = foreground.run(job)?;

    let source = &request.picture;
    let options = SaveOptions {
        recipe: Some(result.recipe.to_text()),
        protected: vec![args.image.clone()],
        ..SaveOptions::default()
    };
    let saved = save(&args.output, &result.outcome.picture, source.alpha.as_deref(), &options)?;
    if let Some(path) = &args.trace {
        result.trace.save(path)?;
    }
    if let Some(folder) = &args.contributions {
        write_contributions(folder, &result.outcome.contributions, &result.outcome.plan, &source.rgb)?;
    }
    report(args, &request, &result, &saved.notes)
}

/// The request that the options, on top of the recipe and the model's defaults, make.
fn request(
    args: &EditArgs,
    store: &Store,
    picture: Picture,
    defaults: Option<&Defaults>,
    foreground: &Foreground,
) -> Result<EditRequest> {
    let recipe = args.recipe.as_deref().map(open_recipe).transpose()?;
    let mut request = match &recipe {
        Some(recipe) => recipe.request(picture)?,
        None => EditRequest {
            picture,
            instruction: String::new(),
            caption: String::new(),
            specifics: Vec::new(),
            settings: defaults.map_or_else(|| Ok(EditSettings::default()), EditSettings::of_model)?,
        },
    };
    if let Some(instruction) = &args.instruction {
        request.instruction.clone_from(instruction);
    }
    if let Some(caption) = &args.caption {
        request.caption.clone_from(caption);
    }
    override_settings(&mut request.settings, args);
    if !args.specific.is_empty() {
        request.specifics = args.specific.iter().map(|text| specific(text)).collect::<Result<_>>()?;
    } else if !request.settings.plain && request.specifics.is_empty() && args.count > 0 {
        propose(&mut request, args, store, foreground)?;
    }
    for bound in &args.region {
        let (number, path) = bound.split_once('=').context("--region wants N=MASK.png, such as 1=roofs.png")?;
        let index = number.trim().parse::<usize>().ok().and_then(|n| n.checked_sub(1));
        let count = request.specifics.len();
        let Some(specific) = index.and_then(|index| request.specifics.get_mut(index)) else {
            bail!("--region {bound}: there is no instruction {number}; there are {count}");
        };
        let mask = open(Path::new(path), &DecodeLimits::default())?;
        let grey = image::DynamicImage::ImageRgb8(RgbImage::clone(&mask.rgb)).to_luma8();
        specific.region = Some(Region::from_mask(grey, request.picture.size()));
    }
    Ok(request)
}

fn override_settings(settings: &mut EditSettings, args: &EditArgs) {
    settings.plain |= args.plain;
    settings.keep_strength |= args.keep_strength;
    settings.keep_detail &= !args.no_detail;
    settings.steps = args.steps.unwrap_or(settings.steps);
    settings.guidance = args.guidance.unwrap_or(settings.guidance);
    settings.specific_guidance = args.specific_guidance.unwrap_or(settings.specific_guidance);
    settings.image_guidance = args.image_guidance.unwrap_or(settings.image_guidance);
    settings.scheduler = args.scheduler.unwrap_or(settings.scheduler);
    settings.seed = args.seed.unwrap_or(settings.seed);
    settings.keep_outside = args.keep_outside.or(settings.keep_outside);
    settings.size = args.size.or(settings.size);
    settings.fit = args.fit.unwrap_or(settings.fit);
}

/// Lets the language model describe the picture and propose the instructions.
fn propose(request: &mut EditRequest, args: &EditArgs, store: &Store, foreground: &Foreground) -> Result<()> {
    if request.instruction.trim().is_empty() {
        bail!("say what to change: --instruction \"make it feel like winter\"");
    }
    // A folder or a pack without a language model of its own takes the starter's.
    let name = match &args.specifier {
        Some(name) => name,
        None if store.find(&args.pack, Role::Specifier).is_ok() && store.manifest().pack(&args.pack).is_some() => {
            &args.pack
        }
        None => "starter",
    };
    let model = LanguageChoice::find(store, name, args.server_model.as_deref(), args.on.device, args.on.precision)?;
    let model = args.captioner.apply(model, store)?;
    let proposal = foreground.run(SpecifyJob {
        picture: Arc::clone(&request.picture.rgb),
        wish: request.instruction.clone(),
        caption: Some(request.caption.clone()).filter(|caption| !caption.trim().is_empty()),
        count: args.count,
        avoid: Vec::new(),
        seed: DEFAULT_SEED,
        model,
    })?;
    if let Some(notice) = proposal.notice {
        writeln!(std::io::stderr(), "{notice}")?;
    }
    request.caption = proposal.caption;
    request.specifics = proposal.specifics.into_iter().map(Specific::new).collect();
    Ok(())
}

/// "put snow on the roofs=1.2" is the text with weight 1.2; what does not end in a number is all text.
fn specific(text: &str) -> Result<Specific> {
    let (words, weight) = match text.rsplit_once('=') {
        Some((words, number)) if number.trim().parse::<f32>().is_ok_and(f32::is_finite) => {
            (words, number.trim().parse().unwrap_or(1.0))
        }
        _ => (text, 1.0),
    };
    if words.trim().is_empty() {
        bail!("--specific {text:?} has no words");
    }
    Ok(Specific { weight, ..Specific::new(words.trim()) })
}

/// Reads a recipe from its own file, or from a picture that carries one.
fn open_recipe(path: &Path) -> Result<Recipe> {
    let is_json = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
    let text = if is_json {
        std::fs::read_to_string(path).with_context(|| format!("reading the recipe {}", path.display()))?
    } else {
        let recipe = read_recipe(path)?.filter(|recipe| !recipe.json.is_empty());
        recipe.with_context(|| format!("{} carries no recipe of Glassbox", path.display()))?.json
    };
    Recipe::from_json(&text).with_context(|| path.display().to_string())
}

/// Writes `1-put-snow-on-the-roofs.png` and `.npy`, and so on, and `shares.csv`.
fn write_contributions(
    folder: &Path,
    contributions: &Contributions,
    plan: &WorkingPlan,
    source: &RgbImage,
) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("making the folder {}", folder.display()))?;
    let (width, height) = contributions.grid;
    for one in &contributions.instructions {
        let map = Map { values: &one.product, width, height };
        let slug: String = one.text.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).take(48).collect();
        let stem = folder.join(format!("{}-{}", one.specific + 1, slug.trim_matches('-')));
        map.save_png(&with_ending(&stem, "png"), plan, source)?;
        let path = with_ending(&stem, "npy");
        map.save_npy(&path).with_context(|| format!("writing {}", path.display()))?;
    }
    let mut csv = String::from("step");
    for one in &contributions.instructions {
        csv.push_str(&format!(",\"{}\"", one.text.replace('"', "\"\"")));
    }
    csv.push('\n');
    let steps = contributions.instructions.first().map_or(0, |one| one.share.len());
    for step in 0..steps {
        csv.push_str(&(step + 1).to_string());
        for one in &contributions.instructions {
            csv.push_str(&format!(",{}", one.share[step]));
        }
        csv.push('\n');
    }
    let path = folder.join("shares.csv");
    crate::picture::atomic::write(&path, |out| std::io::Write::write_all(out, csv.as_bytes()))
        .with_context(|| format!("writing {}", path.display()))
}

/// The stem with an ending; unlike `Path::with_extension` a full stop in the text survives.
fn with_ending(stem: &Path, ending: &str) -> PathBuf {
    let mut name = stem.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

/// Says what was done, to stdout.
#[allow(clippy::print_stdout, reason = "results go to stdout")]
fn report(args: &EditArgs, request: &EditRequest, result: &EditResult, notes: &[String]) -> Result<()> {
    let outcome = &result.outcome;
    let share = |place: usize| {
        let found = outcome.contributions.instructions.iter().find(|one| one.specific == place);
        found.map(crate::edit::contributions::Contribution::mean_share)
    };
    if args.json {
        let shares: Vec<_> = (0..request.specifics.len()).map(share).collect();
        let mut recipe: serde_json::Value =
            serde_json::from_str(&result.recipe.to_json()).context("the recipe as JSON")?;
        for specific in recipe["specifics"].as_array_mut().into_iter().flatten() {
            specific.as_object_mut().map(|fields| fields.remove("region"));
        }
        println!(
            "{}",
            json!({
                "output": args.output, "recipe": recipe, "shares": shares, "seconds": outcome.seconds,
                "seconds_per_step": outcome.seconds_per_step, "working": outcome.plan.describe(), "notes": notes,
            })
        );
        return Ok(());
    }
    if !request.caption.is_empty() {
        println!("caption: {}", request.caption);
    }
    for (place, specific) in request.specifics.iter().enumerate() {
        let weight = if specific.weight == 1.0 { String::new() } else { format!(", weight {}", specific.weight) };
        let share = share(place).map_or_else(|| ", off".to_owned(), |share| format!(", {:.0} %", share * 100.0));
        println!("{}. {}{weight}{share}", place + 1, specific.text);
    }
    println!("working size: {}", outcome.plan.describe());
    for note in request.picture.facts.notes.iter().chain(notes) {
        println!("note: {note}");
    }
    let (width, height) = outcome.picture.dimensions();
    println!(
        "{}: {width} × {height}, seed {}, {:.1} s ({:.2} s a step)",
        args.output.display(),
        request.settings.seed,
        outcome.seconds,
        outcome.seconds_per_step
    );
    Ok(())
}
