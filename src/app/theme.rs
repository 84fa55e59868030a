//! Every colour, distance, radius and text size of the window, for the dark theme and its light twin.
//!
//! Nothing else in `app` names a colour or a font size: widgets ask [`palette`] and the constants here.

use egui::{
    Color32, Context, CornerRadius, FontFamily, FontId, Margin, Shadow, Stroke, Style, TextStyle, Theme, Vec2, Visuals,
};

/// Distances, in points. Things that belong together stand [`space::S`] apart, groups [`space::L`].
pub(crate) mod space {
    pub(crate) const XS: f32 = 4.0;
    pub(crate) const S: f32 = 8.0;
    pub(crate) const M: f32 = 12.0;
    pub(crate) const L: f32 = 16.0;
}

/// Corner radii, in points.
pub(crate) mod radius {
    pub(crate) const SMALL: u8 = 4;
    pub(crate) const CONTROL: u8 = 6;
    pub(crate) const CARD: u8 = 8;
    pub(crate) const WINDOW: u8 = 10;
}

/// Fixed sizes of the shell, in points.
pub(crate) mod size {
    pub(crate) const TOP_BAR: f32 = 48.0;
    pub(crate) const STATUS: f32 = 28.0;
    pub(crate) const CONTROL: f32 = 28.0;
    pub(crate) const ICON: f32 = 16.0;
    pub(crate) const FILMSTRIP: f32 = 188.0;
    pub(crate) const LENS: f32 = 384.0;
    pub(crate) const LENS_NARROW: f32 = 340.0;
}

/// The colours of one theme, by what they are for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Palette {
    /// Behind the picture.
    pub(crate) canvas: Color32,
    /// Side panels, bars.
    pub(crate) panel: Color32,
    /// Cards on a panel.
    pub(crate) raised: Color32,
    /// Text fields.
    pub(crate) field: Color32,
    /// Buttons at rest.
    pub(crate) control: Color32,
    /// Under the pointer.
    pub(crate) hover: Color32,
    /// Held down.
    pub(crate) pressed: Color32,
    /// Dividers and outlines.
    pub(crate) line: Color32,
    /// What is read first.
    pub(crate) text: Color32,
    /// Explanations, units, labels of values.
    pub(crate) muted: Color32,
    /// The one accent: primary action, selection, focus.
    pub(crate) accent: Color32,
    pub(crate) accent_hover: Color32,
    /// Text on the accent.
    pub(crate) on_accent: Color32,
    /// Accent as a quiet background.
    pub(crate) accent_soft: Color32,
    pub(crate) success: Color32,
    pub(crate) warning: Color32,
    pub(crate) error: Color32,
    /// One colour for each instruction; always beside its number, never alone.
    pub(crate) series: [Color32; 8],
}

const fn rgb(hex: u32) -> Color32 {
    Color32::from_rgb((hex >> 16) as u8, (hex >> 8) as u8, hex as u8)
}

/// The default theme.
pub(crate) const DARK: Palette = Palette {
    canvas: rgb(0x0f_1113),
    panel: rgb(0x19_1c1f),
    raised: rgb(0x21_2529),
    field: rgb(0x13_1518),
    control: rgb(0x2a_2f34),
    hover: rgb(0x34_3a41),
    pressed: rgb(0x3d_444c),
    line: rgb(0x31_373d),
    text: rgb(0xe6_e9ec),
    muted: rgb(0xa3_abb4),
    accent: rgb(0x5f_cdbd),
    accent_hover: rgb(0x7c_dccf),
    on_accent: rgb(0x06_201c),
    accent_soft: rgb(0x1f_3a38),
    success: rgb(0x82_cf8d),
    warning: rgb(0xe8_b866),
    error: rgb(0xf3_8f85),
    series: [
        rgb(0x5f_cdbd),
        rgb(0xe8_b866),
        rgb(0x9d_b4ff),
        rgb(0xf3_8fb4),
        rgb(0xb5_d36b),
        rgb(0xd0_a0f0),
        rgb(0x6f_c3f2),
        rgb(0xf3_a583),
    ],
};

/// Its light twin.
pub(crate) const LIGHT: Palette = Palette {
    canvas: rgb(0xe4_e7ea),
    panel: rgb(0xfa_fbfc),
    raised: rgb(0xff_ffff),
    field: rgb(0xee_f1f4),
    control: rgb(0xe6_e9ec),
    hover: rgb(0xdb_dfe3),
    pressed: rgb(0xce_d4d9),
    line: rgb(0xd0_d5da),
    text: rgb(0x1a_1e22),
    muted: rgb(0x52_5b64),
    accent: rgb(0x0b_7468),
    accent_hover: rgb(0x08_5f55),
    on_accent: rgb(0xff_ffff),
    accent_soft: rgb(0xd3_ece8),
    success: rgb(0x1f_7330),
    warning: rgb(0x87_5600),
    error: rgb(0xb3_2a1e),
    series: [
        rgb(0x0b_7468),
        rgb(0x87_5600),
        rgb(0x3a_53c5),
        rgb(0xae_2a63),
        rgb(0x4c_6b0c),
        rgb(0x7a_3fae),
        rgb(0x0a_6699),
        rgb(0xa6_4519),
    ],
};

impl Palette {
    /// The colour of instruction number `index` (from 0).
    pub(crate) fn series(&self, index: usize) -> Color32 {
        self.series[index % self.series.len()]
    }

    /// Outline of cards and fields.
    pub(crate) fn outline(&self) -> Stroke {
        Stroke::new(1.0, self.line)
    }

    /// The ring around what the keyboard is at.
    pub(crate) fn focus_ring(&self) -> Stroke {
        Stroke::new(2.0, self.accent)
    }
}

/// The colours of the theme that is shown now.
pub(crate) fn palette(ctx: &Context) -> &'static Palette {
    of(ctx.theme())
}

fn of(theme: Theme) -> &'static Palette {
    match theme {
        Theme::Dark => &DARK,
        Theme::Light => &LIGHT,
    }
}

/// Headings of dialogs.
pub(crate) fn heading() -> FontId {
    FontId::new(19.0, FontFamily::Proportional)
}

/// Tabs of lenses, headings of groups.
pub(crate) fn tab() -> FontId {
    FontId::new(15.0, FontFamily::Proportional)
}

/// Everything that is read.
pub(crate) fn body() -> FontId {
    FontId::new(14.0, FontFamily::Proportional)
}

/// Help, units, captions.
pub(crate) fn small() -> FontId {
    FontId::new(12.0, FontFamily::Proportional)
}

/// Recipes, logs.
pub(crate) fn mono() -> FontId {
    FontId::new(12.0, FontFamily::Monospace)
}

/// Gives both themes to egui.
pub(crate) fn install(ctx: &Context) {
    for theme in [Theme::Dark, Theme::Light] {
        ctx.style_mut_of(theme, |style| apply(style, theme));
    }
}

fn apply(style: &mut Style, theme: Theme) {
    let p = of(theme);
    style.text_styles = [
        (TextStyle::Heading, heading()),
        (TextStyle::Body, body()),
        (TextStyle::Button, body()),
        (TextStyle::Small, small()),
        (TextStyle::Monospace, mono()),
    ]
    .into();
    let spacing = &mut style.spacing;
    spacing.item_spacing = Vec2::splat(space::S);
    spacing.button_padding = Vec2::new(10.0, 5.0);
    spacing.interact_size = Vec2::new(size::CONTROL, size::CONTROL);
    spacing.icon_width = 18.0;
    spacing.icon_width_inner = 10.0;
    spacing.icon_spacing = space::S;
    spacing.menu_margin = Margin::same(6);
    spacing.window_margin = Margin::same(20);
    spacing.combo_width = 90.0;
    spacing.tooltip_width = 320.0;
    spacing.scroll.bar_width = 8.0;
    spacing.scroll.floating_width = 4.0;
    style.interaction.tooltip_delay = 0.4;
    style.interaction.selectable_labels = false;
    style.animation_time = 0.1;
    style.visuals = visuals(theme, p);
}

fn visuals(theme: Theme, p: &Palette) -> Visuals {
    let mut v = match theme {
        Theme::Dark => Visuals::dark(),
        Theme::Light => Visuals::light(),
    };
    let round = CornerRadius::same(radius::CONTROL);
    let shadow = |blur, alpha| Shadow { offset: [0, 6], blur, spread: 0, color: Color32::from_black_alpha(alpha) };
    let depth = if theme == Theme::Dark { 120 } else { 45 };
    v.override_text_color = None;
    v.weak_text_color = Some(p.muted);
    v.panel_fill = p.panel;
    v.window_fill = p.raised;
    v.window_stroke = p.outline();
    v.window_corner_radius = CornerRadius::same(radius::WINDOW);
    v.menu_corner_radius = CornerRadius::same(radius::CARD);
    v.window_shadow = shadow(40, depth);
    v.popup_shadow = shadow(20, depth);
    v.extreme_bg_color = p.field;
    v.faint_bg_color = p.raised;
    v.code_bg_color = p.field;
    v.text_edit_bg_color = Some(p.field);
    v.hyperlink_color = p.accent;
    v.warn_fg_color = p.warning;
    v.error_fg_color = p.error;
    v.selection.bg_fill = p.accent_soft;
    v.selection.stroke = Stroke::new(1.0, p.accent);
    v.text_cursor.stroke = Stroke::new(2.0, p.accent);
    v.slider_trailing_fill = true;
    v.indent_has_left_vline = false;
    v.disabled_alpha = 0.5;
    let set = |w: &mut egui::style::WidgetVisuals, fill: Color32, stroke: Stroke, text: Color32| {
        w.bg_fill = fill;
        w.weak_bg_fill = fill;
        w.bg_stroke = stroke;
        w.fg_stroke = Stroke::new(1.5, text);
        w.corner_radius = round;
        w.expansion = 0.0;
    };
    set(&mut v.widgets.noninteractive, p.panel, p.outline(), p.text);
    set(&mut v.widgets.inactive, p.control, Stroke::NONE, p.text);
    set(&mut v.widgets.hovered, p.hover, Stroke::NONE, p.text);
    set(&mut v.widgets.active, p.pressed, p.focus_ring(), p.text);
    set(&mut v.widgets.open, p.hover, Stroke::NONE, p.text);
    v
}

#[cfg(test)]
mod tests {
    use super::*;

    fn luminance(c: Color32) -> f64 {
        let channel = |v: u8| {
            let v = f64::from(v) / 255.0;
            if v <= 0.040_45 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(c.r()) + 0.7152 * channel(c.g()) + 0.0722 * channel(c.b())
    }

    fn contrast(a: Color32, b: Color32) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn text_is_readable_on_everything_it_stands_on() {
        for (name, p) in [("dark", DARK), ("light", LIGHT)] {
            let grounds = [p.canvas, p.panel, p.raised, p.field];
            for text in [p.text, p.muted, p.accent, p.success, p.warning, p.error] {
                for ground in grounds {
                    let ratio = contrast(text, ground);
                    assert!(ratio >= 4.5, "{name}: {text:?} on {ground:?} has a contrast of {ratio:.2}");
                }
            }
            for ground in [p.control, p.hover, p.pressed, p.accent_soft] {
                assert!(contrast(p.text, ground) >= 4.5, "{name}: text on {ground:?}");
            }
            for ground in [p.accent, p.accent_hover] {
                assert!(contrast(p.on_accent, ground) >= 4.5, "{name}: on accent");
            }
            for line in p.series {
                assert!(contrast(line, p.raised) >= 3.0, "{name}: {line:?} in a plot");
            }
        }
    }
}
