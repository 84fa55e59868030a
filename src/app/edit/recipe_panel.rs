//! The recipe of a version: everything it was made with, to be read, copied, run again and varied.

use egui::{Grid, RichText, Ui};

use super::controls;
use super::made::{How, Made};
use super::work;
use crate::app::Glassbox;
use crate::app::document::VersionId;
use crate::app::icons::Icon;
use crate::app::theme::{palette, space};
use crate::app::widgets::buttons::{IconButton, TextButton, section};

impl Glassbox {
    pub(super) fn recipe(&mut self, ui: &mut Ui, version: VersionId, made: &Made) {
        let mut copy = false;
        section(ui, "Recipe", |ui| {
            copy = IconButton::new(Icon::Copy, "Copy the recipe").show(ui).clicked();
        });
        if copy {
            self.copy_recipe(ui.ctx());
        }
        let base = self.document.as_ref().map_or("", |document| {
            let parent = document.version(version).parent.unwrap_or(0);
            document.version(parent).title.as_str()
        });
        facts(ui, made, base);
        ui.add_space(space::S);
        ui.horizontal_wrapped(|ui| {
            if TextButton::new("Set up again")
                .icon(Icon::Restore)
                .show(ui)
                .on_hover_text("Puts all of this into the Edit panel, to change and run")
                .clicked()
            {
                self.use_recipe(version);
            }
            if TextButton::new("Run again")
                .icon(Icon::Run)
                .show(ui)
                .on_hover_text("The same once more; it comes out the same")
                .clicked()
            {
                self.run_again(version, How::Run, made.draft.clone());
            }
            if TextButton::new("Vary the seed")
                .icon(Icon::Grid)
                .show(ui)
                .on_hover_text("Four runs that differ only in the seed, side by side")
                .clicked()
            {
                self.vary_seed(version);
            }
        });
    }
}

fn facts(ui: &mut Ui, made: &Made, base: &str) {
    let p = palette(ui.ctx());
    let recipe = &made.recipe;
    let s = &recipe.settings;
    let mut lines: Vec<(&str, String)> = Vec::new();
    if !recipe.instruction.trim().is_empty() {
        lines.push(("Wish", recipe.instruction.clone()));
    }
    if !recipe.caption.trim().is_empty() {
        lines.push(("Picture shows", recipe.caption.clone()));
    }
    for row in &made.draft.rows {
        let mut words = row.text.clone();
        if row.weight != 1.0 {
            words.push_str(&format!("  × {:.2}", row.weight));
        }
        if let Some(mask) = row.mask.as_ref().filter(|mask| !mask.is_empty()) {
            words.push_str(&format!("  in {:.0} %", mask.share() * 100.0));
        }
        if !row.enabled || s.plain {
            words.push_str("  (off)");
        }
        lines.push(("Instruction", words));
    }
    lines.push(("Made from", base.to_owned()));
    lines.push(("Seed", s.seed.to_string()));
    let any_specific = made.draft.active() > 0;
    let mut strength = controls::strengths(s, any_specific);
    if s.keep_strength && any_specific {
        strength.push_str(", shared");
    }
    lines.push(("Strength", strength));
    lines.push(("Steps", format!("{}, {}", s.steps, s.scheduler.title())));
    lines.push(("Size", made.working_in_words()));
    let mut kept: Vec<String> = Vec::new();
    if s.keep_detail {
        kept.push("fine detail".to_owned());
    }
    if s.keep_outside.is_some() {
        kept.push("pixels outside the regions".to_owned());
    }
    if !kept.is_empty() {
        lines.push(("Kept", kept.join(", ")));
    }
    let model = if recipe.model.fingerprint.is_empty() {
        recipe.model.name.clone()
    } else {
        format!("{} ({})", work::short_name(&recipe.model.name), recipe.model.fingerprint)
    };
    lines.push(("Editor", model));
    lines.push(("Ran on", format!("{}, {:.1} s", recipe.model.compute, recipe.seconds)));
    lines.push(("Glassbox", recipe.app.clone()));
    Grid::new("recipe").num_columns(2).min_row_height(16.0).spacing([space::M, space::XS]).show(ui, |ui| {
        for (name, value) in lines {
            ui.label(RichText::new(name).small().color(p.muted));
            let width = (ui.available_width()).max(120.0);
            ui.scope(|ui| {
                ui.set_max_width(width);
                ui.add(egui::Label::new(RichText::new(value).small()).wrap().selectable(true));
            });
            ui.end_row();
        }
    });
}
