//! Choosing the models: those that are here, or a folder that the person names.

use std::path::Path;
use std::sync::Arc;

use egui::{Button, Context, Popup, Ui};

use super::panes::Slot;
use super::{Between, Tool};
use crate::app::Glassbox;
use crate::app::icons::Icon;
use crate::app::lens::LensKind;
use crate::app::notices::Level;
use crate::app::opening::Purpose;
use crate::app::widgets::buttons::{TextButton, fitting};

/// What was chosen in a menu of models.
enum Chosen {
    Named(String),
    None,
    Folder,
}

impl Glassbox {
    /// The name of the model of a slot, as it is chosen.
    pub(super) fn model_name(&self, slot: Slot) -> Option<String> {
        let (a, b) = self.features.names_of_models(&self.settings.now.features);
        if slot == Slot::B { b } else { a }
    }

    /// The backbone of the Features lens, if any is on this machine.
    pub(in crate::app) fn first_backbone(&self) -> Option<String> {
        self.model_name(Slot::A)
    }

    /// What the person calls a backbone.
    pub(in crate::app) fn title_of_backbone(&self, name: &str) -> String {
        self.features.backbones.title(name)
    }

    /// A button with the model of that slot, `width` points wide (as wide as its words if `None`), and its menu.
    pub(super) fn model_menu(&mut self, ui: &mut Ui, slot: Slot, width: Option<f32>) {
        let name = self.model_name(slot);
        let title = match &name {
            Some(name) => self.features.backbones.title(name),
            None if slot == Slot::B => "None".to_owned(),
            None => "Choose one".to_owned(),
        };
        let shown = width.map_or_else(|| title.clone(), |width| fitting(ui, &title, width - 50.0));
        let mut button = TextButton::new(&shown).icon(Icon::Model);
        if let Some(width) = width {
            button = button.width(width);
        }
        let button = button.show(ui).accessible_name(format!("Model {}: {title}", slot.letter()));
        let help = if slot == Slot::B {
            "A second model to hold against A: its fine-tuned twin, for one"
        } else {
            "The model whose features are shown"
        };
        let button = button.on_hover_text(format!("{title}\n\n{help}"));
        let offers = self.features.backbones.list(&self.settings.now.features.folders);
        let mut chosen = None;
        Popup::menu(&button).show(|ui| {
            ui.set_min_width(260.0);
            if slot == Slot::B && ui.add(Button::selectable(name.is_none(), "None")).clicked() {
                chosen = Some(Chosen::None);
            }
            for offer in &offers {
                let item = ui.add(Button::selectable(name.as_ref() == Some(&offer.name), &offer.title));
                if item.on_hover_text(&offer.about).clicked() {
                    chosen = Some(Chosen::Named(offer.name.clone()));
                }
            }
            ui.separator();
            if ui.button("Choose a folder…").clicked() {
                chosen = Some(Chosen::Folder);
            }
            if chosen.is_some() {
                ui.close();
            }
        });
        match chosen {
            Some(Chosen::Named(name)) => self.choose_backbone(slot, Some(name)),
            Some(Chosen::None) => self.choose_backbone(slot, None),
            Some(Chosen::Folder) => self.ask_for_a_backbone(ui.ctx(), slot),
            None => {}
        }
    }

    /// The model A, in the top bar.
    pub(in crate::app) fn backbone_menu(&mut self, ui: &mut Ui) {
        self.model_menu(ui, Slot::A, None);
    }

    fn choose_backbone(&mut self, slot: Slot, name: Option<String>) {
        if let Some(name) = &name {
            // Its files may have changed since they were looked at.
            self.features.backbones.forget(name);
        }
        match slot {
            Slot::B => {
                self.features.between = if name.is_some() { Between::Models } else { Between::Versions };
                self.settings.now.features.b = name;
            }
            _ => self.settings.now.features.a = name,
        }
    }

    /// Asks for a folder in timm layout, or a weight file.
    pub(in crate::app) fn ask_for_a_backbone(&mut self, ctx: &Context, slot: Slot) {
        self.features.folder_for = slot;
        let (dialogs, ctx) = (Arc::clone(self.dialogs()), ctx.clone());
        let folder = self.settings.now.features.folders.first().cloned().or_else(|| self.settings.now.folder.clone());
        self.ask_for_file(Purpose::Backbone, move || {
            let choice = dialogs.choose_folder(folder.as_deref(), "Folder of a feature backbone");
            ctx.request_repaint();
            Ok(choice)
        });
    }

    /// As the command does: for model A, and the lens opens.
    pub(in crate::app) fn open_with_a_folder(&mut self, ctx: &Context) {
        self.ask_for_a_backbone(ctx, Slot::A);
    }

    /// A folder, or a file, was named.
    pub(in crate::app) fn backbone_from(&mut self, path: &Path) {
        if !path.exists() {
            let words = format!("{} is neither a folder nor a file.", path.display());
            self.notices.explain(Level::Error, "There is no backbone", words);
            return;
        }
        self.settings.now.features.remember(path);
        self.choose_backbone(self.features.folder_for, Some(path.display().to_string()));
        self.show_lens(LensKind::Features);
    }

    /// Tries again what failed: files may have come, memory may be free.
    pub(super) fn look_again(&mut self) {
        for slot in [Slot::A, Slot::B] {
            if let Some(name) = self.model_name(slot) {
                self.features.backbones.forget(&name);
            }
        }
        self.features.looking.try_again();
    }

    /// Stops what the lens has on the inference thread.
    pub(in crate::app) fn stop_looking(&mut self) {
        self.features.looking.stop(&self.engine);
    }

    /// The lens is left: what is half done there ends.
    pub(in crate::app) fn leave_features(&mut self) {
        self.features.drawing = None;
        self.features.tool = Tool::Point;
        self.features.cursor = None;
    }

    /// Takes what has come, whichever lens is open.
    pub(in crate::app) fn poll_features(&mut self) {
        for complaint in self.features.looking.poll() {
            self.notices.explain(Level::Error, "There are no features", super::looking::sentence(&complaint));
        }
        self.poll_region_of_features();
        self.poll_basis();
    }
}
