//! Starting the window: is there a display, what is asked of the graphics adapter, what happens when it fails.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eframe::egui_wgpu::{WgpuSetup, WgpuSetupCreateNew};
use egui::ViewportBuilder;

use super::{Glassbox, Setup, crash};

const HEADLESS: &str = "Without a window there are `glassbox edit`, `glassbox specify`, `glassbox features`, `glassbox world` and `glassbox models`.";

/// Opens the window and returns when it is closed.
pub(super) fn run(picture: Option<PathBuf>) -> anyhow::Result<()> {
    if !has_display(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty())) {
        anyhow::bail!("there is no display to open a window on. {HEADLESS}");
    }
    crash::leave_notes(Setup::default().folders.crash_notes());
    let again = Reopen::default();
    let mut picture = picture;
    // A graphics device that was lost does not come back; a new window has a new one.
    for _ in 0..=REOPENED {
        open(picture.take(), &again)?;
        if lock(&again).is_none() {
            break;
        }
    }
    Ok(())
}

/// How often a window is opened again after its graphics device was lost.
const REOPENED: usize = 3;

/// What a window leaves to the next one, because its graphics device was lost.
pub(super) struct Left {
    /// The folder of the open document.
    pub(super) folder: Option<PathBuf>,
    /// The open scene, with the eye on it and what was done to it.
    pub(super) scene: Option<super::splats::Remains>,
}

/// It, once there is something.
pub(super) type Reopen = Arc<Mutex<Option<Left>>>;

/// What is in it, whoever panicked while holding it.
pub(super) fn lock(reopen: &Reopen) -> MutexGuard<'_, Option<Left>> {
    reopen.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open(picture: Option<PathBuf>, again: &Reopen) -> anyhow::Result<()> {
    let mut options = eframe::NativeOptions {
        viewport: ViewportBuilder::default()
            .with_title("Glassbox")
            .with_app_id("glassbox")
            .with_inner_size([1280.0, 820.0])
            .with_min_inner_size([720.0, 480.0])
            .with_drag_and_drop(true),
        // What is on the screen is what is in the file.
        dithering: false,
        ..eframe::NativeOptions::default()
    };
    ask_for_what_the_adapter_has(&mut options.wgpu_options.wgpu_setup);
    let setup = Setup { picture, ..Setup::default() };
    let again = Arc::clone(again);
    let create = move |cc: &eframe::CreationContext<'_>| -> Result<Box<dyn eframe::App>, _> {
        let before = lock(&again).take();
        let mut app = Glassbox::new(cc, setup)?;
        app.reopen(&cc.egui_ctx, again, before);
        Ok(Box::new(app))
    };
    eframe::run_native("glassbox", options, Box::new(create))
        .map_err(|error| anyhow::anyhow!("the window could not be opened ({error}). {HEADLESS}"))
}

/// Whether a window can appear. Only X11 and Wayland systems say so in their environment.
fn has_display(is_set: impl Fn(&str) -> bool) -> bool {
    let by_environment = cfg!(all(unix, not(target_os = "macos"), not(target_os = "android")));
    !by_environment || is_set("WAYLAND_DISPLAY") || is_set("WAYLAND_SOCKET") || is_set("DISPLAY")
}

/// The default asks OpenGL adapters for less than they have and caps textures below what large pictures want.
fn ask_for_what_the_adapter_has(setup: &mut WgpuSetup) {
    if let WgpuSetup::CreateNew(WgpuSetupCreateNew { device_descriptor, .. }) = setup {
        *device_descriptor = Arc::new(|adapter| wgpu::DeviceDescriptor {
            label: Some("glassbox"),
            required_limits: adapter.limits(),
            required_features: adapter.features() & crate::splats::gpu::device::wanted_features(),
            ..wgpu::DeviceDescriptor::default()
        });
    }
}

/// What a graphics device says.
pub(super) enum Complaint {
    /// It refused something.
    Refused(String),
    /// It is gone.
    Lost,
}

/// What the graphics device complains of, instead of ending the program.
pub(super) fn listen_to_the_device(cc: &eframe::CreationContext<'_>) -> Receiver<Complaint> {
    let (sender, complaints) = channel();
    if let Some(state) = &cc.wgpu_render_state {
        let info = state.adapter.get_info();
        tracing::info!(adapter = info.name, backend = ?info.backend, "graphics");
        let report = |sender: Sender<Complaint>, ctx: egui::Context, kind: fn(String) -> Complaint| {
            move |message: String| {
                tracing::error!("graphics: {message}");
                // The window may already be gone; then nobody needs to know.
                let _ = sender.send(kind(message));
                ctx.request_repaint();
            }
        };
        let uncaptured = report(sender.clone(), cc.egui_ctx.clone(), Complaint::Refused);
        state.device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| uncaptured(error.to_string())));
        let lost = report(sender, cc.egui_ctx.clone(), |_| Complaint::Lost);
        state.device.set_device_lost_callback(move |reason, message| {
            if reason != wgpu::DeviceLostReason::Destroyed {
                lost(message);
            }
        });
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(all(unix, not(target_os = "macos")))]
    fn a_machine_without_a_display_is_recognised() {
        assert!(!has_display(|_| false));
        assert!(has_display(|name| name == "DISPLAY"));
        assert!(has_display(|name| name == "WAYLAND_DISPLAY"));
    }

    fn one_splat() -> crate::splats::Gaussians {
        let parts = crate::splats::gaussians::Parts {
            positions: vec![[1.0, 2.0, 3.0]],
            log_scales: vec![[-2.0; 3]],
            rotations: vec![[1.0, 0.0, 0.0, 0.0]],
            opacity_logits: vec![2.0],
            sh: vec![0.5; 3],
            ..crate::splats::gaussians::Parts::default()
        };
        crate::splats::Gaussians::new(parts).unwrap()
    }

    /// The window itself, drawn by nobody: what the graphics device says is put into its channel.
    #[test]
    fn after_a_lost_device_the_next_window_has_the_work() {
        use egui_kittest::Harness;

        let home = tempfile::tempdir().unwrap();
        let picture = home.path().join("озеро 湖.png");
        image::RgbImage::from_pixel(40, 30, image::Rgb([90, 120, 150])).save(&picture).unwrap();
        let open = |picture: Option<PathBuf>, again: &Reopen| {
            let folders = super::super::Folders::below(home.path());
            let setup = Setup { picture, folders, samples: Vec::new(), scene: None, ..Setup::default() };
            let (again, before) = (Arc::clone(again), lock(again).take());
            let mut setup = Some(setup);
            Harness::builder().allow_missing_glyphs().build_eframe(move |cc| {
                let mut app = Glassbox::new(cc, setup.take().expect("built once")).expect("a thread");
                app.reopen(&cc.egui_ctx, again, before);
                app
            })
        };
        let until = |h: &mut Harness<'_, Glassbox>, there: &dyn Fn(&Glassbox) -> bool| {
            for _ in 0..4000 {
                h.step();
                if there(h.state()) {
                    return;
                }
                std::thread::park_timeout(std::time::Duration::from_millis(1));
            }
            panic!("it did not come: {:?}", h.state().notices.headlines());
        };
        let again = Reopen::default();
        let mut h = open(Some(picture), &again);
        until(&mut h, &|app| app.document.is_some());
        let scene = home.path().join("one.ply");
        crate::splats::io::save(&scene, &one_splat(), &crate::splats::Unobserved).unwrap();
        let ctx = h.ctx.clone();
        h.state_mut().open_path(&ctx, scene);
        until(&mut h, &|app| app.splats.scene_name().is_some());
        h.state_mut().approach_scene(0.5);
        let document = h.state_mut().document.as_mut().unwrap();
        document.draft.wish = "make it feel like winter".to_owned();
        let folder = document.folder.clone();
        let before = h.state().splats.distance();
        let (sender, complaints) = channel();
        h.state_mut().graphics = complaints;
        // A refusal is told and the window lives on; a loss ends it.
        sender.send(Complaint::Refused("validation".to_owned())).unwrap();
        h.step();
        let closes = |h: &Harness<'_, Glassbox>| {
            h.output().viewport_output.values().any(|out| out.commands.contains(&egui::ViewportCommand::Close))
        };
        assert!(!closes(&h) && h.state().notices.headlines().contains(&"The graphics driver reported a fault"));
        sender.send(Complaint::Lost).unwrap();
        h.step();
        assert!(closes(&h));
        assert_eq!(lock(&again).as_ref().unwrap().folder, Some(folder));
        drop(h);

        let mut h = open(None, &again);
        assert!(lock(&again).is_none(), "the next window does not open another");
        until(&mut h, &|app| app.document.is_some());
        let app = h.state();
        assert_eq!(app.document.as_ref().unwrap().draft.wish, "make it feel like winter");
        assert_eq!(app.document.as_ref().unwrap().name(), "озеро 湖.png");
        assert_eq!(app.splats.scene_name(), Some("one.ply"), "the scene is there, and the eye where it was");
        assert!((app.splats.distance() - before).abs() < 1e-9);
        assert!(app.notices.headlines().contains(&"The graphics device was lost"));
    }
}
