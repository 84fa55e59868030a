//! The window: shows the open picture and its versions, builds requests for the engine, shows what comes back.

use std::path::Path;

/// Opens the window, on `picture` if one is given, and returns when it is closed.
///
/// # Errors
/// If there is no display, or no graphics adapter that can draw the window.
pub fn open_window(picture: Option<&Path>) -> anyhow::Result<()> {
    let _ = picture;
    anyhow::bail!("the window is not built yet")
}
