//! The Models page, against a hub on this machine: fetched, paused, checked, repaired, used, removed, imported.

use std::path::Path;

use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};
use glassbox::app::{Glassbox, ModelsAt};
use glassbox::packs::fetch::HubSettings;
use glassbox::packs::store::Places;

use crate::hub::{Hub, Sending};
use crate::stand_in::{Window, click, has, has_part, leave, opened, type_into, until};

const EDITOR: &str = "someone/tiny-editor";
const BACKBONE: &str = "someone/tiny-backbone";

/// A window whose hub has an editor and a backbone.
fn with_a_hub() -> (Window, Hub) {
    let mut window = Window::new();
    let list = format!(
        r#"
        [[model]]
        id = "tiny-editor"
        name = "Tiny editor"
        about = "For tests."
        roles = ["editor"]
        layout = "diffusers"
        repository = "{EDITOR}"
        megabytes = 1
        licence = {{ name = "MIT" }}

        [[model]]
        id = "tiny-backbone"
        name = "Tiny backbone"
        roles = ["backbone"]
        layout = "timm"
        repository = "{BACKBONE}"
        licence = {{ name = "CC-BY-NC-4.0" }}
        "#
    );
    std::fs::write(window.path("own.toml"), list).unwrap();
    let hub = Hub::start();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    hub.put_folder(EDITOR, &root.join("tests/parity/fixtures/edit/folders/blocks"));
    hub.put_folder(BACKBONE, &root.join("assets/starter/depth"));
    let places =
        Places { models: Some(window.path("models")), own_list: Some(window.path("own.toml")), ..Places::default() };
    window.models = ModelsAt { places, hub: HubSettings::at(hub.address()) };
    (window, hub)
}

fn page(window: &Window) -> Harness<'static, Glassbox> {
    let mut h = opened(window);
    leave(&mut h);
    h.key_press_modifiers(egui::Modifiers::COMMAND | egui::Modifiers::SHIFT, egui::Key::M);
    until(&mut h, "the list", |h| has(h, "Tiny editor: available"));
    h
}

#[test]
fn a_model_is_fetched_paused_checked_repaired_used_and_removed() {
    let (window, hub) = with_a_hub();
    // The first connection for the UNet falls silent half-way: time for a pause.
    hub.hook(|request, reply| {
        let unet = request.at_storage && request.nth == 0 && reply.body.len() > 400_000;
        if unet { reply.sent(Sending::SilentAfter(200_000)) } else { reply }
    });
    let mut h = page(&window);
    assert!(!has(&h, "Copy the path of Tiny editor") && !has(&h, "Remove Tiny editor"));
    click(&mut h, "Fetch Tiny editor");
    until(&mut h, "the progress", |h| has_part(h, "Fetching: ") && has(h, "Progress of Tiny editor"));
    click(&mut h, "Pause Tiny editor");
    until(&mut h, "the pause", |h| has_part(h, "Paused: "));
    click(&mut h, "Go on with Tiny editor");
    until(&mut h, "the model", |h| has(h, "Tiny editor: installed"));
    until(&mut h, "the outcome", |h| has_part(h, "Here and checked: 12 files."));
    let unet = "unet/diffusion_pytorch_model.safetensors";
    // That nothing comes twice is for tests/fetching.rs: here the pause may come before what was sent is read.
    assert_eq!(std::fs::read(window.path("models/tiny-editor").join(unet)).unwrap(), hub.content(EDITOR, unet));

    click(&mut h, "Check Tiny editor");
    until(&mut h, "the check", |h| has_part(h, "files are good"));
    let file = window.path("models/tiny-editor").join(unet);
    let mut bytes = std::fs::read(&file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    click(&mut h, "Check Tiny editor");
    until(&mut h, "the fault", |h| has_part(h, "not the published one any more"));
    click(&mut h, "Repair Tiny editor");
    until(&mut h, "the repair", |h| has_part(h, "Here and checked: 12 files."));
    assert_eq!(std::fs::read(&file).unwrap(), hub.content(EDITOR, unet));

    click(&mut h, "Use Tiny editor");
    until(&mut h, "the use", |h| has(h, "In use: Tiny editor"));
    click(&mut h, "Remove Tiny editor");
    click(&mut h, "Keep Tiny editor");
    click(&mut h, "Remove Tiny editor");
    click(&mut h, "Yes, remove Tiny editor");
    until(&mut h, "the removal", |h| has(h, "Tiny editor: available"));
    assert!(!window.path("models/tiny-editor").exists());
    click(&mut h, "Done");
    until(&mut h, "the end of the page", |h| !has(h, "Tiny editor: available"));
}

#[test]
fn terms_are_accepted_gates_explained_and_a_cancelled_fetch_goes_on() {
    let (window, hub) = with_a_hub();
    hub.gate(BACKBONE, "hf_good");
    let mut h = page(&window);
    let disabled = |h: &Harness<'_, Glassbox>| h.get_by_label("Fetch Tiny backbone").accesskit_node().is_disabled();
    assert!(disabled(&h));
    click(&mut h, "I accept that Tiny backbone must not be used commercially (CC-BY-NC-4.0)");
    until(&mut h, "the button", |h| !disabled(h));
    click(&mut h, "Fetch Tiny backbone");
    until(&mut h, "the reason", |h| has_part(h, "is open only to those who accepted its terms"));
    until(&mut h, "its state", |h| has(h, "Tiny backbone: partial"));

    hub.hook(|request, reply| if request.at_storage { reply.sent(Sending::SilentAfter(9000)) } else { reply });
    click(&mut h, "Fetch Tiny editor");
    until(&mut h, "the progress", |h| has_part(h, "Fetching: "));
    click(&mut h, "Cancel Tiny editor");
    until(&mut h, "the end", |h| has_part(h, "What has come is kept"));
    until(&mut h, "its state", |h| has(h, "Tiny editor: partial"));
    hub.unhook();
    click(&mut h, "Go on fetching Tiny editor");
    until(&mut h, "the model", |h| has(h, "Tiny editor: installed"));
}

#[test]
fn a_folder_on_this_machine_is_imported() {
    let (window, _hub) = with_a_hub();
    let mut h = page(&window);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/fixtures/edit/folders/classic");
    type_into(&mut h, "Folder or file of a model", folder.to_str().unwrap());
    click(&mut h, "Import");
    until(&mut h, "the model", |h| has(h, "classic: own"));
    type_into(&mut h, "Folder or file of a model", "/nowhere/at/all");
    click(&mut h, "Import");
    until(&mut h, "the complaint", |h| has_part(h, "/nowhere/at/all"));
}
