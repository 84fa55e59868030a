//! The window's own controls, each in one file; they know the theme and nothing of edits.

pub(crate) mod buttons;
pub(crate) mod colour_bar;
pub(crate) mod compare;
pub(crate) mod filmstrip;
pub(crate) mod heatmap;
pub(crate) mod histogram;
pub(crate) mod picture_view;
pub(crate) mod plot;
pub(crate) mod progress;
pub(crate) mod sliders;
