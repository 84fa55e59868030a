//! What lies under a place of the picture, found on a thread of its own: one depth comes back from the device, and the
//! Gaussian next to the point is looked for among all of them.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use egui::{Context, Pos2};
use glam::{DVec2, DVec3};
use rayon::prelude::*;

use crate::splats::camera::Camera;
use crate::splats::gaussians::Gaussians;
use crate::splats::gpu::OnScreen;
use crate::splats::selection::{Combine, Dab, Marks, under_dab};

/// The depths of a picture, wherever they lie.
#[derive(Clone)]
pub(super) enum Depths {
    /// Row by row, 0 where nothing is seen.
    Here(Arc<Vec<f32>>),
    OnDevice(Box<OnScreen>),
}

/// What a pick is for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum For {
    /// The pointer is there.
    Hover,
    /// Similarity is asked about it.
    Ask,
    /// The eye is to look at it.
    Focus,
    /// A brush passes over it: its radius in parts of the picture's width, whether it reaches through everything, and what
    /// becomes of what it finds.
    Brush { radius: f64, through: bool, how: Combine },
}

/// A place to look at.
#[derive(Clone)]
pub(super) struct Pick {
    pub(super) purpose: For,
    /// 0..=1 both ways.
    pub(super) at: Pos2,
    pub(super) scene: Arc<Gaussians>,
    pub(super) visible: Option<Marks>,
    pub(super) camera: Camera,
    pub(super) depths: Depths,
}

/// What is under a place.
#[derive(Clone, Debug)]
pub(super) struct Hit {
    pub(super) at: Pos2,
    pub(super) point: DVec3,
    pub(super) depth: f32,
    /// The Gaussian whose centre is next to it.
    pub(super) nearest: usize,
}

/// An answer: for what, of which scene, and what is there.
pub(super) struct Picked {
    pub(super) purpose: For,
    pub(super) scene: u64,
    pub(super) hit: Option<Hit>,
    /// What a brush selects.
    pub(super) marks: Option<Marks>,
}

#[derive(Default)]
struct Desk {
    picks: VecDeque<Pick>,
    closed: bool,
}

type Shared = Arc<(Mutex<Desk>, Condvar)>;

/// The thread that looks.
pub(super) struct Picking {
    desk: Shared,
    results: Receiver<Picked>,
}

impl Picking {
    pub(super) fn start(ctx: &Context) -> std::io::Result<Self> {
        let (desk, (sender, results)) = (Shared::default(), channel());
        let (of_thread, ctx) = (Arc::clone(&desk), ctx.clone());
        std::thread::Builder::new().name("splat picks".to_owned()).spawn(move || work(&of_thread, &sender, &ctx))?;
        Ok(Self { desk, results })
    }

    /// Asks for a place. Of places that the pointer only passes the newest counts.
    pub(super) fn want(&self, pick: Pick) {
        let mut desk = self.desk.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pick.purpose == For::Hover {
            desk.picks.retain(|waiting| waiting.purpose != For::Hover);
        }
        desk.picks.push_back(pick);
        drop(desk);
        self.desk.1.notify_one();
    }

    /// What has come since.
    pub(super) fn take(&self) -> Vec<Picked> {
        self.results.try_iter().collect()
    }
}

impl Drop for Picking {
    fn drop(&mut self) {
        self.desk.0.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.desk.1.notify_one();
    }
}

fn work(desk: &Shared, results: &Sender<Picked>, ctx: &Context) {
    loop {
        let mut now = desk.0.lock().unwrap_or_else(PoisonError::into_inner);
        while now.picks.is_empty() && !now.closed {
            now = desk.1.wait(now).unwrap_or_else(PoisonError::into_inner);
        }
        let Some(pick) = now.picks.pop_front().filter(|_| !now.closed) else { return };
        drop(now);
        let looked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| match pick.purpose {
            For::Brush { radius, through, .. } => (None, dab(&pick, radius, through)),
            _ => (hit(&pick), None),
        }));
        // Nothing is told of a fault: the picture that comes from the same device tells it.
        let (hit, marks) = looked.unwrap_or_default();
        let answer = Picked { purpose: pick.purpose, scene: pick.scene.revision(), hit, marks };
        if results.send(answer).is_err() {
            return;
        }
        ctx.request_repaint();
    }
}

/// The depth at the place that is picked, if anything is seen there.
fn depth_at(pick: &Pick) -> Option<f32> {
    let (width, height) = (pick.camera.width, pick.camera.height);
    let (x, y) = ((pick.at.x * width as f32) as u32, (pick.at.y * height as f32) as u32);
    let (x, y) = (x.min(width - 1), y.min(height - 1));
    let depth = match &pick.depths {
        Depths::Here(depths) => *depths.get((y * width + x) as usize)?,
        Depths::OnDevice(view) => view.depth_at(x, y).ok()?,
    };
    (depth > 0.0).then_some(depth)
}

/// The place that is picked, pixels of the camera's picture.
fn pixel(pick: &Pick) -> DVec2 {
    DVec2::new(f64::from(pick.at.x), f64::from(pick.at.y))
        * DVec2::new(f64::from(pick.camera.width), f64::from(pick.camera.height))
}

/// What a brush of that radius selects there.
fn dab(pick: &Pick, radius: f64, through: bool) -> Option<Marks> {
    let depth = if through { None } else { Some(f64::from(depth_at(pick)?)) };
    let radius = radius * f64::from(pick.camera.width);
    Some(under_dab(&pick.scene, &pick.camera, &Dab { at: pixel(pick), radius, depth }))
}

fn hit(pick: &Pick) -> Option<Hit> {
    let depth = depth_at(pick)?;
    let point = pick.camera.unproject(pixel(pick), f64::from(depth));
    let nearest = nearest(&pick.scene, pick.visible.as_ref(), point)?;
    Some(Hit { at: pick.at, point, depth, nearest })
}

/// The visible Gaussian whose centre is next to a point, of equals the first.
fn nearest(scene: &Gaussians, visible: Option<&Marks>, point: DVec3) -> Option<usize> {
    let shown = |index: &usize| visible.is_none_or(|marks| marks.has(*index));
    let far = |index: usize| (DVec3::from(scene.positions()[index].map(f64::from)) - point).length_squared();
    let all = (0..scene.len()).into_par_iter().with_min_len(1 << 14).filter(shown);
    all.map(|index| (far(index), index)).min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))).map(|(_, index)| index)
}
