//! The settings of a run, folded away behind one line that says what they are.

use egui::{CollapsingHeader, ComboBox, DragValue, RichText, Ui};

use super::actions::any_seed;
use super::draft::Draft;
use crate::app::icons::Icon;
use crate::app::theme::{palette, space};
use crate::app::widgets::buttons::{IconButton, TextButton, hint, segmented, toggle};
use crate::app::widgets::sliders::{Scale, fixed_label, labelled};
use crate::edit::request::EditSettings;
use crate::edit::scheduler::SchedulerKind;
use crate::picture::resize::{Fit, SizeRequest};

/// Draws them. `usual`: what the editor runs with by default; `size`: the picture's.
pub(super) fn settings(ui: &mut Ui, draft: &mut Draft, usual: &EditSettings, size: (u32, u32)) {
    seed(ui, draft);
    ui.add_space(2.0);
    let any_specific = draft.active() > 0;
    let summary = format!("Settings   {} steps · {}", draft.settings.steps, in_short(&draft.settings, any_specific));
    let in_full = format!("Strength: {}", strengths(&draft.settings, any_specific));
    let text = RichText::new(summary).color(palette(ui.ctx()).muted);
    let header = CollapsingHeader::new(text).id_salt("settings").default_open(false).show_unindented(ui, |ui| {
        let settings = &mut draft.settings;
        ui.add_space(space::XS);
        strength(ui, settings, usual);
        ui.add_space(space::S);
        stepping(ui, settings, usual);
        ui.add_space(space::S);
        working_size(ui, settings, usual, size);
        ui.add_space(space::S);
        keeping(ui, settings);
        ui.add_space(space::S);
        let back = EditSettings { seed: settings.seed, ..usual.clone() };
        let reset = TextButton::new("Back to this editor's usual settings").icon(Icon::Restore).quiet();
        if reset.enabled(*settings != back).show(ui).clicked() {
            *settings = back;
        }
    });
    header.header_response.accessible_name("Settings of the run").on_hover_text(in_full);
}

/// What a run follows how strongly, as it uses it: a shared strength is shown divided.
pub(super) fn strengths(settings: &EditSettings, any_specific: bool) -> String {
    let (wish, instructions) = settings.text_scales(any_specific);
    let mut words = format!("wish {}", plain(wish));
    if any_specific {
        words.push_str(&format!(" · instructions {}", plain(instructions)));
    }
    words.push_str(&format!(" · picture {}", plain(settings.image_guidance)));
    words
}

/// The same for one line of the panel: wish and instructions as one sum.
fn in_short(settings: &EditSettings, any_specific: bool) -> String {
    let (wish, instructions) = settings.text_scales(any_specific);
    let more = if any_specific { format!(" + {}", plain(instructions)) } else { String::new() };
    format!("text {}{more} · image {}", plain(wish), plain(settings.image_guidance))
}

/// 7.5, but 7 and not 7.0.
fn plain(value: f64) -> String {
    format!("{value:.2}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn seed(ui: &mut Ui, draft: &mut Draft) {
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = space::XS;
        let help = "The random draws of a run. The same seed with the same settings gives the same picture.";
        fixed_label(ui, "Seed", 46.0).on_hover_text(help);
        let field = DragValue::new(&mut draft.settings.seed).speed(0.0);
        ui.add_sized([110.0, 26.0], field).accessible_name("Seed").on_hover_text(help);
        if IconButton::new(Icon::Dice, "Another seed").show(ui).clicked() {
            draft.settings.seed = any_seed();
        }
        let (icon, name) = if draft.keep_seed {
            (Icon::Lock, "The seed stays. Click for a new one with every run")
        } else {
            (Icon::Unlock, "Every run takes a new seed. Click to keep it")
        };
        if IconButton::new(icon, name).selected(draft.keep_seed).show(ui).clicked() {
            draft.keep_seed = !draft.keep_seed;
        }
        if IconButton::new(Icon::Copy, "Copy the seed").show(ui).clicked() {
            ui.ctx().copy_text(draft.settings.seed.to_string());
        }
    });
}

fn strength(ui: &mut Ui, settings: &mut EditSettings, usual: &EditSettings) {
    let scale = |default: f64| Scale::new(0.0..=20.0, default, 0.1, 1);
    let help = "How strongly the wish itself is followed. Higher changes more, lower keeps more.";
    labelled(ui, "Wish", help, &mut settings.guidance, &scale(usual.guidance));
    let help = "How strongly the instructions are followed, all of them together. 0 leaves only the wish.";
    ui.add_enabled_ui(!settings.plain, |ui| {
        labelled(ui, "Instructions", help, &mut settings.specific_guidance, &scale(usual.specific_guidance));
    });
    let help =
        "How strongly the result holds on to the picture. Higher keeps more, lower changes more; 1 to 2 is usual.";
    let image = Scale::new(0.5..=5.0, usual.image_guidance, 0.05, 2);
    labelled(ui, "Hold the picture", help, &mut settings.image_guidance, &image);
    let help = "Wish and instructions share the strength of the wish instead of adding up. Gentler, with less risk of overdone colours.";
    ui.add_enabled_ui(!settings.plain, |ui| toggle(ui, &mut settings.keep_strength, "Share the strength", help));
    let help = "Runs the editor with the wish only, without the instructions: the plain editor, for comparison.";
    toggle(ui, &mut settings.plain, "The wish alone", help);
}

fn stepping(ui: &mut Ui, settings: &mut EditSettings, usual: &EditSettings) {
    let help = "Denoising steps. More takes longer and is a little finer; below 10 is a sketch.";
    let mut steps = settings.steps as f64;
    let scale = Scale::new(1.0..=100.0, usual.steps as f64, 1.0, 0);
    if labelled(ui, "Steps", help, &mut steps, &scale).changed() || steps as usize != settings.steps {
        settings.steps = steps.round().clamp(1.0, 100.0) as usize;
    }
    ui.horizontal(|ui| {
        fixed_label(ui, "Scheduler", 116.0);
        let width = ui.available_width() - 8.0;
        ComboBox::from_id_salt("scheduler")
            .width(width)
            .selected_text(settings.scheduler.title())
            .show_ui(ui, |ui| {
                for kind in SchedulerKind::ALL {
                    ui.selectable_value(&mut settings.scheduler, kind, kind.title());
                }
            })
            .response
            .accessible_name("Scheduler")
            .on_hover_text("How the steps are taken. Euler ancestral is what the method's paper uses.");
    });
}

/// The choices of a working size.
#[derive(Clone, Copy, PartialEq)]
enum Size {
    Usual,
    Longer,
    Source,
}

fn working_size(ui: &mut Ui, settings: &mut EditSettings, usual: &EditSettings, size: (u32, u32)) {
    let side = match usual.size {
        Some(SizeRequest::LongerSide(side)) => Some(side),
        _ => None,
    };
    let mut choice = match settings.size {
        size if size == usual.size => Size::Usual,
        None => Size::Usual,
        Some(SizeRequest::Source) => Size::Source,
        Some(SizeRequest::LongerSide(_) | SizeRequest::Exact(..)) => Size::Longer,
    };
    ui.label("The model works at");
    let own = side.map_or_else(|| "its own".to_owned(), |side| format!("{side} px"));
    let choices = [(Size::Usual, own.as_str()), (Size::Longer, "chosen"), (Size::Source, "full size")];
    if segmented(ui, "Working size", &mut choice, &choices) {
        settings.size = match choice {
            Size::Usual => usual.size,
            Size::Longer => Some(SizeRequest::LongerSide(side.unwrap_or(512) / 2 * 3)),
            Size::Source => Some(SizeRequest::Source),
        };
    }
    match &mut settings.size {
        Some(SizeRequest::LongerSide(longer)) if choice == Size::Longer => {
            let mut value = f64::from(*longer);
            let scale = Scale::new(64.0..=1536.0, f64::from(side.unwrap_or(512)), 32.0, 0).suffix(" px");
            labelled(
                ui,
                "Longer side",
                "In pixels. Models work best near the size they were trained at.",
                &mut value,
                &scale,
            );
            *longer = value.round().clamp(8.0, 16_384.0) as u32;
        }
        Some(SizeRequest::Exact(w, h)) => {
            hint(ui, format!("{w} × {h}, from a recipe"));
        }
        Some(SizeRequest::Source) => {
            hint(ui, format!("{} × {}: needs much memory and time for large pictures", size.0, size.1));
        }
        Some(SizeRequest::LongerSide(_)) | None => {}
    }
    if size.0 != size.1 {
        ui.horizontal(|ui| {
            fixed_label(ui, "Other proportions", 116.0);
            let fits = [(Fit::Pad, "Pad"), (Fit::Crop, "Crop"), (Fit::Squash, "Squash")];
            segmented(ui, "Fit", &mut settings.fit, &fits);
        });
        hint(
            ui,
            match settings.fit {
                Fit::Pad => "All of the picture, proportions kept; edges are mirrored where needed.",
                Fit::Crop => "Only the middle is edited; what sticks out stays as it is.",
                Fit::Squash => "All of the picture, squeezed into the model's proportions.",
            },
        );
    }
}

fn keeping(ui: &mut Ui, settings: &mut EditSettings) {
    let help = "The model works on a smaller picture. This puts its change onto the full-size original, so that fine detail stays.";
    toggle(ui, &mut settings.keep_detail, "Keep fine detail", help);
    let mut outside = settings.keep_outside.is_some();
    let help = "Takes the original's own pixels wherever no instruction's region is. Needs a region on every instruction that is on.";
    if toggle(ui, &mut outside, "Keep pixels outside the regions", help).changed() {
        settings.keep_outside = outside.then_some(12.0);
    }
    if let Some(feather) = &mut settings.keep_outside {
        let mut value = f64::from(*feather);
        let scale = Scale::new(0.0..=200.0, 12.0, 1.0, 0).suffix(" px");
        labelled(ui, "Soft edge", "Width of the transition, inside the regions.", &mut value, &scale);
        *feather = value as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_strength_is_shown_as_the_run_divides_it() {
        let shared = EditSettings {
            guidance: 1.0,
            specific_guidance: 2.333_333,
            image_guidance: 1.5,
            keep_strength: true,
            ..EditSettings::default()
        };
        assert_eq!(in_short(&shared, true), "text 0.3 + 0.7 · image 1.5");
        assert_eq!(strengths(&shared, true), "wish 0.3 · instructions 0.7 · picture 1.5");
        // A lone wish has all of it.
        assert_eq!(in_short(&shared, false), "text 1 · image 1.5");
        assert_eq!(strengths(&shared, false), "wish 1 · picture 1.5");
        let apart = EditSettings { keep_strength: false, ..shared };
        assert_eq!(in_short(&apart, true), "text 1 + 2.33 · image 1.5");
    }
}
