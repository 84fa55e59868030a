//! Bringing results out: what is on the screen at full size, features, clusters, the basis.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use egui::{Color32, Context, Popup, Ui};
use image::{Rgb, RgbImage};

use super::PaneNow;
use super::maps::Content;
use super::panes::{MapKind, Slot};
use crate::app::Glassbox;
use crate::app::background::Background;
use crate::app::icons::Icon;
use crate::app::opening::Purpose;
use crate::app::widgets::buttons::TextButton;
use crate::features::Placement;
use crate::features::legend::{self, Entry, Key, Legend};
use crate::features::upsample::{Upsampling, labels};
use crate::picture::encode::{self, SaveOptions};
use crate::picture::{atomic, npy};

/// What is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum What {
    /// All panes as they are on the screen, each at its picture's size.
    Screen,
    /// The numbers of the active pane, `[rows, columns, dim]`.
    Features,
    /// The clusters of the active pane: a table, and a picture of their numbers.
    Clusters,
    /// The basis of the active pane.
    Basis,
}

impl What {
    const ALL: [Self; 4] = [Self::Screen, Self::Features, Self::Clusters, Self::Basis];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Screen => "What is shown, at full size (PNG)…",
            Self::Features => "Features (NPY)…",
            Self::Clusters => "Clusters (CSV, and PNG of indices)…",
            Self::Basis => "PCA basis (safetensors)…",
        }
    }

    /// In the list of commands.
    pub(crate) fn command(self) -> &'static str {
        match self {
            Self::Screen => "Export the shown maps…",
            Self::Features => "Export features…",
            Self::Clusters => "Export clusters…",
            Self::Basis => "Export the PCA basis…",
        }
    }

    fn ending(self) -> &'static str {
        match self {
            Self::Screen => "png",
            Self::Features => "npy",
            Self::Clusters => "csv",
            Self::Basis => "safetensors",
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Self::Screen => "PNG",
            Self::Features => "NumPy array",
            Self::Clusters => "CSV, with PNG beside it",
            Self::Basis => "PCA basis",
        }
    }
}

/// A pane to be drawn at full size.
struct Shot {
    rgb: Arc<RgbImage>,
    map: Option<(Content, Placement)>,
    /// What is written below, where that is wanted.
    legend: Option<Legend>,
}

/// Pixels of an exported picture of all panes; beyond, panes become smaller.
const MOST_PIXELS: f64 = 120e6;

impl Glassbox {
    /// The button below the panel, with its menu.
    pub(super) fn export_menu(&mut self, ui: &mut Ui) {
        let button = TextButton::new("Export map").icon(Icon::Export).show(ui);
        let mut chosen = None;
        Popup::menu(&button).show(|ui| {
            ui.set_min_width(240.0);
            for what in What::ALL {
                if ui.add_enabled(self.can_export_features(what), egui::Button::new(what.title())).clicked() {
                    chosen = Some(what);
                    ui.close();
                }
            }
            ui.separator();
            let bar = &mut self.settings.now.features.display.bar_in_files;
            ui.checkbox(bar, "Title, colour bar and legend below");
        });
        if let Some(what) = chosen {
            self.ask_where_to_export_features(ui.ctx(), what);
        }
    }

    /// Whether there is something of that kind.
    pub(in crate::app) fn can_export_features(&self, what: What) -> bool {
        let Some(seen) = self.active_seen().and_then(PaneNow::seen) else { return false };
        match what {
            What::Screen | What::Features => true,
            What::Clusters => {
                self.features.active_pane().map == MapKind::Clusters
                    && self.features.analysis.clusters(seen.id).is_some()
            }
            What::Basis => {
                self.features.active_pane().map == MapKind::Pca && self.features.analysis.pca(seen.id).is_some()
            }
        }
    }

    /// The name that a file of it gets.
    pub(in crate::app) fn suggested_features_name(&self, what: What) -> Option<String> {
        let stem = Path::new(self.document.as_ref()?.name()).file_stem()?.to_string_lossy().into_owned();
        let words = match what {
            What::Screen => self.features.active_pane().map.title().to_lowercase(),
            What::Features => "features".to_owned(),
            What::Clusters => "clusters".to_owned(),
            What::Basis => "basis".to_owned(),
        };
        Some(format!("{stem} - {words}.{}", what.ending()))
    }

    pub(in crate::app) fn ask_where_to_export_features(&mut self, ctx: &Context, what: What) {
        let Some(suggested) = self.suggested_features_name(what) else { return };
        let (dialogs, ctx) = (Arc::clone(self.dialogs()), ctx.clone());
        let folder = self.settings.now.folder.clone();
        self.ask_for_file(Purpose::Features(what), move || {
            let choice = dialogs.save(folder.as_deref(), &suggested, &[(what.kind(), &[what.ending()])]);
            ctx.request_repaint();
            Ok(choice)
        });
    }

    /// Writes it, in the background.
    pub(in crate::app) fn export_features_to(&mut self, ctx: &Context, what: What, path: &Path) {
        self.settings.now.folder = path.parent().map(Path::to_owned);
        let path = path.with_extension(what.ending());
        let task = match what {
            What::Screen => self.export_screen(ctx, path),
            What::Features => self.export_numbers(ctx, path),
            What::Clusters => self.export_clusters(ctx, path),
            What::Basis => self.export_basis(ctx, path),
        };
        if let Some(task) = task {
            self.set_exporting(task);
        }
    }

    fn export_screen(&self, ctx: &Context, path: PathBuf) -> Option<Background<Vec<String>>> {
        let document = self.document.as_ref()?;
        let display = &self.settings.now.features.display;
        let (how, opacity, with_legends) = (display.upsampling, display.opacity as f32, display.bar_in_files);
        let shots: Vec<Shot> = (self.features.nows.iter().enumerate())
            .map(|(index, now)| Shot {
                rgb: Arc::clone(&now.rgb),
                map: self
                    .features
                    .paints
                    .get(index)
                    .and_then(|paint| paint.map())
                    .map(|(content, place)| (content.clone(), place.clone())),
                legend: with_legends.then(|| self.legend(index, now)),
            })
            .collect();
        let source = document.original().picture.path.clone();
        let ctx = ctx.clone();
        Some(Background::start("export maps", move || {
            let picture = compose(&shots, how, opacity);
            let options = SaveOptions { protected: source.into_iter().collect(), ..SaveOptions::default() };
            let saved = encode::save(&path, &picture, None, &options).map_err(|error| error.to_string());
            ctx.request_repaint();
            let saved = saved?;
            Ok(std::iter::once(format!("Exported {}", path.display())).chain(saved.notes).collect())
        }))
    }

    /// How the map of a pane is to be read.
    fn legend(&self, index: usize, now: &PaneNow) -> Legend {
        let features = &self.features;
        let model = match now.pane.slot {
            Slot::Both => "A + B".to_owned(),
            slot => self.model_name(slot).map(|name| features.backbones.title(&name)).unwrap_or_default(),
        };
        let mut title = format!("{}, {model}, {}", now.title, now.pane.map.title());
        let place = now.seen().map(|seen| seen.tokens.patches.placement());
        let key = match features.paints.get(index).and_then(|paint| paint.map()) {
            Some((Content::Values { range, scale, .. }, _)) => {
                if let (MapKind::Similarity, Some(query), Some(place)) = (now.pane.map, features.query(), place) {
                    title.push_str(&format!(" to {}", query.subject.words(place)));
                }
                Key::Bar { scale: *scale, range: *range, unit: now.pane.map.unit().to_owned() }
            }
            Some((Content::Labels { .. }, _)) => Key::Clusters(self.entries(now)),
            _ => {
                let basis =
                    now.seen().and_then(|seen| features.analysis.pca(seen.id)).map(|(_, of)| of.basis.explained());
                if let Some(explained) = basis.filter(|_| now.pane.map == MapKind::Pca) {
                    let components = self.settings.now.features.pca.components;
                    let part = |at: usize| {
                        format!("{} ({:.0} %)", at + 1, 100.0 * explained.get(at).copied().unwrap_or_default())
                    };
                    let [red, green, blue] = components.map(part);
                    title.push_str(&format!(": components {red}, {green}, {blue} as red, green, blue"));
                }
                Key::None
            }
        };
        Legend { title, key }
    }

    /// The clusters of a pane that are shown in it, the largest first.
    fn entries(&self, now: &PaneNow) -> Vec<Entry> {
        let Some((_, of)) = now.seen().and_then(|seen| self.features.analysis.clusters(seen.id)) else {
            return Vec::new();
        };
        let as_paper = self.settings.now.features.clusters.as_paper;
        let places = of.clustering.colours();
        let all = of.sizes.iter().sum::<usize>().max(1);
        let mut entries = Vec::new();
        for (label, (place, size)) in places.iter().zip(of.sizes.iter()).enumerate() {
            if *size > 0 && !self.features.hidden.contains(place) {
                let [r, g, b, _] = super::maps::cluster_colour(as_paper, label, *place, places.len()).to_array();
                let name = self.features.cluster_name(*place, label);
                entries.push(Entry { colour: Rgb([r, g, b]), name, share: *size as f32 / all as f32 });
            }
        }
        entries
    }

    fn export_numbers(&self, ctx: &Context, path: PathBuf) -> Option<Background<Vec<String>>> {
        let grid = self.active_seen()?.seen()?.tokens.patches.clone();
        let ctx = ctx.clone();
        Some(Background::start("export features", move || {
            let shape = [grid.height(), grid.width(), grid.dim()];
            let written = npy::write(&path, &shape, grid.tokens());
            ctx.request_repaint();
            written.map_err(|error| format!("{} could not be written: {error}", path.display()))?;
            Ok(vec![
                format!("Exported {}", path.display()),
                format!(
                    "An array of {} × {} × {} numbers (rows, columns, features), f32.",
                    shape[0], shape[1], shape[2]
                ),
            ])
        }))
    }

    fn export_clusters(&self, ctx: &Context, path: PathBuf) -> Option<Background<Vec<String>>> {
        let now = self.active_seen()?;
        let seen = now.seen()?;
        let (_, of) = self.features.analysis.clusters(seen.id)?;
        let of = of.clone();
        let as_paper = self.settings.now.features.clusters.as_paper;
        let places = of.clustering.colours();
        let mut table = String::from("cluster,name,colour,patches,share\n");
        let own = of.clustering.labels(of.place).to_vec();
        for (label, place) in places.iter().enumerate() {
            let colour = super::maps::cluster_colour(as_paper, label, *place, places.len());
            let name = self.features.cluster_name(*place, label).replace('"', "\"\"");
            let size = of.sizes.get(label).copied().unwrap_or(0);
            let share = size as f32 / own.len().max(1) as f32;
            let [r, g, b, _] = colour.to_array();
            table.push_str(&format!("{},\"{name}\",#{r:02x}{g:02x}{b:02x},{size},{share:.4}\n", label + 1));
        }
        let (place, rgb) = (seen.tokens.patches.placement().clone(), Arc::clone(&now.rgb));
        let how = self.settings.now.features.display.upsampling;
        let source = self.document.as_ref().and_then(|document| document.original().picture.path.clone());
        let ctx = ctx.clone();
        Some(Background::start("export clusters", move || {
            let size = rgb.dimensions();
            // 1 is the first cluster of the table, as in its first column.
            let numbers: Vec<u8> =
                labels(&own, &place, size, how, Some(&rgb)).into_iter().map(|label| label.min(254) as u8 + 1).collect();
            let indices = path.with_extension("png");
            if source.is_some_and(|source| encode::same_file(&source, &indices)) {
                ctx.request_repaint();
                return Err(format!(
                    "The clusters' numbers would be written over the opened picture {}; choose another name.",
                    indices.display()
                ));
            }
            let written = image::GrayImage::from_raw(size.0, size.1, numbers)
                .ok_or_else(|| "the map has another size".to_owned())
                .and_then(|grey| {
                    atomic::write(&path, |out| out.write_all(table.as_bytes()))
                        .map_err(|error| format!("{} could not be written: {error}", path.display()))?;
                    let mut bytes = std::io::Cursor::new(Vec::new());
                    grey.write_to(&mut bytes, image::ImageFormat::Png).map_err(|error| error.to_string())?;
                    atomic::write(&indices, |out| out.write_all(bytes.get_ref()))
                        .map_err(|error| format!("{} could not be written: {error}", indices.display()))
                });
            ctx.request_repaint();
            written?;
            Ok(vec![
                format!("Exported {}", path.display()),
                format!("The cluster of every pixel, counted from 1, is in {}.", indices.display()),
            ])
        }))
    }

    fn export_basis(&self, ctx: &Context, path: PathBuf) -> Option<Background<Vec<String>>> {
        let seen = self.active_seen()?.seen()?;
        let (_, of) = self.features.analysis.pca(seen.id)?;
        let basis = Arc::clone(&of.basis);
        let model = self.model_name(self.features.active_pane().slot.first())?;
        let ctx = ctx.clone();
        Some(Background::start("export a basis", move || {
            let saved = basis.save(&path, &model);
            ctx.request_repaint();
            saved.map_err(|error| format!("{} could not be written: {error}", path.display()))?;
            Ok(vec![
                format!("Exported {}", path.display()),
                format!("{} components of {} numbers.", basis.count(), basis.dim()),
            ])
        }))
    }
}

impl Slot {
    /// The model that is named first.
    pub(super) fn first(self) -> Self {
        if self == Self::B { Self::B } else { Self::A }
    }
}

/// The panes side by side, as they lie on the screen, each with its map over its picture.
fn compose(shots: &[Shot], how: Upsampling, opacity: f32) -> RgbImage {
    let columns = if shots.len() == 4 { 2 } else { shots.len().max(1) };
    let gap = if shots.len() > 1 { 8 } else { 0 };
    let whole: f64 = shots.iter().map(|shot| f64::from(shot.rgb.width()) * f64::from(shot.rgb.height())).sum();
    let share = (MOST_PIXELS / whole.max(1.0)).sqrt().min(1.0);
    let pictures: Vec<RgbImage> = shots.iter().map(|shot| draw(shot, how, opacity, share)).collect();
    if pictures.len() == 1 {
        return pictures.into_iter().next().unwrap_or_default();
    }
    let width = pictures.iter().map(RgbImage::width).max().unwrap_or(1);
    let height = pictures.iter().map(RgbImage::height).max().unwrap_or(1);
    let rows = pictures.len().div_ceil(columns) as u32;
    let columns = columns as u32;
    let size = (width * columns + gap * (columns - 1), height * rows + gap * (rows - 1));
    let mut sheet = RgbImage::from_pixel(size.0, size.1, Rgb([255; 3]));
    for (at, picture) in pictures.iter().enumerate() {
        let (column, row) = (at as u32 % columns, at as u32 / columns);
        image::imageops::replace(
            &mut sheet,
            picture,
            i64::from(column * (width + gap)),
            i64::from(row * (height + gap)),
        );
    }
    sheet
}

fn draw(shot: &Shot, how: Upsampling, opacity: f32, share: f64) -> RgbImage {
    let side = |v: u32| ((f64::from(v) * share) as u32).max(1);
    let size = (side(shot.rgb.width()), side(shot.rgb.height()));
    let mut picture = if size == shot.rgb.dimensions() {
        RgbImage::clone(&shot.rgb)
    } else {
        crate::picture::resample::resize_rgb(&shot.rgb, size, crate::picture::resample::Filter::Bilinear)
    };
    let Some((content, place)) = &shot.map else { return picture };
    let map = content.enlarged(place, size, how, &shot.rgb);
    for (pixel, over) in picture.pixels_mut().zip(&map.pixels) {
        if *over == Color32::TRANSPARENT {
            continue;
        }
        let mix =
            |below: u8, above: u8| (f32::from(below) + (f32::from(above) - f32::from(below)) * opacity).round() as u8;
        let above = over.to_array();
        *pixel = Rgb([mix(pixel.0[0], above[0]), mix(pixel.0[1], above[1]), mix(pixel.0[2], above[2])]);
    }
    match &shot.legend {
        Some(legend) => legend::below(&picture, legend),
        None => picture,
    }
}
