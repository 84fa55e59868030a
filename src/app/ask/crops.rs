//! "What it read": the strongest places of a map, cut out of the picture at its own resolution.

use egui::{Color32, ColorImage, Context, CornerRadius, Sense, StrokeKind, TextureHandle, TextureOptions, Ui, vec2};
use image::RgbImage;

use super::overlay::BOXES;
use crate::app::Glassbox;
use crate::app::theme::{self, palette};
use crate::app::widgets::buttons::hint;
use crate::ask::dual_resolution::SourceRect;
use crate::ask::heatmap::AnswerMap;

/// Pixels of a crop at most, a side.
const SIDE: u32 = 512;

/// The crops that were drawn last.
#[derive(Default)]
pub(super) struct Crops {
    of: Option<(u64, Vec<(usize, f32)>)>,
    textures: Vec<(TextureHandle, f32, (u32, u32))>,
}

impl Crops {
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// The part of `picture` at `place`, as far as it is inside.
fn cut(picture: &RgbImage, place: SourceRect) -> Option<ColorImage> {
    let clamp = |at: f32, side: u32| (at.max(0.0) as u32).min(side);
    let (left, top) = (clamp(place.x.floor(), picture.width()), clamp(place.y.floor(), picture.height()));
    let right = clamp((place.x + place.width).ceil(), picture.width());
    let bottom = clamp((place.y + place.height).ceil(), picture.height());
    if right <= left || bottom <= top {
        return None;
    }
    let step = ((right - left).max(bottom - top)).div_ceil(SIDE).max(1);
    let (width, height) = ((right - left).div_ceil(step), (bottom - top).div_ceil(step));
    let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (left + x * step, top + y * step)));
    let pixels = pixels.map(|(x, y)| {
        let [r, g, b] = picture.get_pixel(x, y).0;
        Color32::from_rgb(r, g, b)
    });
    Some(ColorImage::new([width as usize, height as usize], pixels.collect()))
}

impl Glassbox {
    /// The strongest places of the map side by side.
    pub(super) fn what_it_read(&mut self, ui: &mut Ui, map: &AnswerMap) {
        let Some(exchange) = self.ask.chosen() else { return };
        let Some(answer) = exchange.answer() else { return };
        let top = map.top(BOXES);
        let of = (exchange.about.id, top.clone());
        if self.ask.crops.of.as_ref() != Some(&of) {
            let cuts = top.iter().filter_map(|(index, value)| {
                let image = cut(&exchange.rgb, map.place(&answer.view, *index))?;
                let size = (image.size[0] as u32, image.size[1] as u32);
                Some((texture(ui.ctx(), image), *value, size))
            });
            let textures = cuts.collect();
            self.ask.crops = Crops { of: Some(of), textures };
        }
        if self.ask.crops.textures.is_empty() {
            hint(ui, "Nothing of the picture was read in this part of the answer.");
            return;
        }
        let p = palette(ui.ctx());
        let count = self.ask.crops.textures.len().max(3) as f32;
        let side = ((ui.available_width() - 6.0 * (count - 1.0)) / count).clamp(40.0, 96.0);
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing = vec2(6.0, 6.0);
            for (texture, value, (width, height)) in &self.ask.crops.textures {
                let (rect, response) = ui.allocate_exact_size(vec2(side, side), Sense::hover());
                let size = texture.size_vec2();
                let size = size * (side / size.x.max(size.y));
                let place = egui::Rect::from_center_size(rect.center(), size);
                ui.painter().rect_filled(rect, CornerRadius::same(3), p.canvas);
                egui::Image::new(texture).paint_at(ui, place);
                ui.painter().rect_stroke(rect, CornerRadius::same(3), p.outline(), StrokeKind::Inside);
                let share = format!("{:.0} %", 100.0 * value);
                response.widget_info(|| {
                    egui::WidgetInfo::labeled(
                        egui::Role::Image,
                        true,
                        format!("Read part of {width} × {height} pixels"),
                    )
                });
                response.on_hover_ui(|ui| {
                    let large = size * (280.0 / side);
                    ui.add(egui::Image::new(texture).fit_to_exact_size(large));
                    ui.label(egui::RichText::new(format!("{width} × {height} pixels, {share}")).font(theme::small()));
                });
            }
        });
    }
}

fn texture(ctx: &Context, image: ColorImage) -> TextureHandle {
    ctx.load_texture("read part", image, TextureOptions::LINEAR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crop_ends_at_the_rim() {
        let picture = RgbImage::from_fn(20, 10, |x, y| image::Rgb([x as u8, y as u8, 0]));
        let place = |x: f32, y: f32| SourceRect { x, y, width: 8.0, height: 8.0 };
        let inside = cut(&picture, place(4.0, 1.0)).unwrap();
        assert_eq!((inside.size, inside.pixels[0]), ([8, 8], Color32::from_rgb(4, 1, 0)));
        assert_eq!(cut(&picture, place(-3.0, -3.0)).unwrap().size, [5, 5]);
        assert_eq!(cut(&picture, place(16.0, 6.0)).unwrap().size, [4, 4]);
        assert!(cut(&picture, place(30.0, 0.0)).is_none() && cut(&picture, place(0.0, -9.0)).is_none());
    }
}
