//! Houses: cottages, tall houses, barns and churches from walls, gabled roofs, doors, windows and chimneys.

use glam::{Vec2, Vec3};

use super::{Frame, Mesh, Style, Texture};
use crate::world::look::Part;
use crate::world::palette::hex;
use crate::world::rng::Draw;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HouseKind {
    Cottage,
    Tall,
    Barn,
    Church,
}

#[derive(Clone, Copy, Debug)]
pub struct House {
    pub at: Vec3,
    pub yaw: f32,
    pub kind: HouseKind,
    /// width along the front, depth, height of the walls, metres
    pub size: Vec3,
    pub roof: Vec3,
    pub wall: Vec3,
    pub door: Vec3,
    pub roof_texture: Texture,
    pub wall_texture: Texture,
}

impl House {
    /// Radius of the ground the house covers.
    pub fn radius(&self) -> f32 {
        0.5 * self.size.x.hypot(self.size.y)
    }
}

struct Styles {
    roof: Style,
    wall: Style,
    door: Style,
    glass: Style,
    trim: Style,
    stone: Style,
    chimney: Style,
}

/// A gabled body: `wide` along local x, `deep` along z, ridge along x when `along_x`.
#[allow(clippy::too_many_arguments)]
fn body(mesh: &mut Mesh, frame: &Frame, wide: f32, deep: f32, high: f32, rise: f32, along_x: bool, s: &Styles) {
    let (w, d) = (wide / 2.0, deep / 2.0);
    let at = |x: f32, y: f32, z: f32| frame.at(x, y, z);
    mesh.cuboid(frame, Vec3::new(-w - 0.08, -1.6, -d - 0.08), Vec3::new(w + 0.08, 0.35, d + 0.08), s.stone);
    let walls = [
        ([(-w, -d), (w, -d)], wide),
        ([(w, -d), (w, d)], deep),
        ([(w, d), (-w, d)], wide),
        ([(-w, d), (-w, -d)], deep),
    ];
    for ([a, b], length) in walls {
        mesh.quad(
            [at(a.0, 0.0, a.1), at(b.0, 0.0, b.1), at(b.0, high, b.1), at(a.0, high, a.1)],
            Vec2::new(length, high),
            s.wall,
        );
    }
    let over = 0.45;
    let thick = 0.2;
    // half the span across the ridge, half the length along it
    let (span, length) = if along_x { (d, w) } else { (w, d) };
    let slope = rise / span;
    let place = |along: f32, y: f32, across: f32| if along_x { at(along, y, across) } else { at(across, y, along) };
    for side in [-1.0_f32, 1.0] {
        let gable = [
            place(side * length, high, -span),
            place(side * length, high, span),
            place(side * length, high + rise, 0.0),
        ];
        mesh.triangle(gable, [Vec2::new(0.0, high), Vec2::new(2.0 * span, high), Vec2::new(span, high + rise)], s.wall);
    }
    let reach = length + over;
    for side in [-1.0_f32, 1.0] {
        let eave_across = side * (span + over);
        let eave_y = high - slope * over;
        let run = ((span + over).powi(2) + (rise + slope * over).powi(2)).sqrt();
        let top = [
            place(-reach, eave_y + thick, eave_across),
            place(reach, eave_y + thick, eave_across),
            place(reach, high + rise + thick, 0.0),
            place(-reach, high + rise + thick, 0.0),
        ];
        mesh.quad(top, Vec2::new(2.0 * reach, run), s.roof);
        let low = top.map(|p| p - Vec3::Y * thick);
        mesh.quad(low, Vec2::new(2.0 * reach, run), s.trim.tone(0.7));
        let edge = s.trim;
        mesh.quad([low[0], low[1], top[1], top[0]], Vec2::new(2.0 * reach, thick), edge);
        mesh.quad([low[0], top[0], top[3], low[3]], Vec2::new(thick, run), edge);
        mesh.quad([low[1], top[1], top[2], low[2]], Vec2::new(thick, run), edge);
    }
}

/// A window on a wall: centre, unit direction along the wall, outward unit normal, size.
#[allow(clippy::too_many_arguments, reason = "a small shape needs all of them")]
fn window(
    mesh: &mut Mesh,
    centre: Vec3,
    along: Vec3,
    out: Vec3,
    wide: f32,
    high: f32,
    s: &Styles,
    shutters: Option<Style>,
) {
    let up = Vec3::Y;
    let panel = |mesh: &mut Mesh, c: Vec3, w: f32, h: f32, style: Style, unit: bool| {
        let (a, u) = (along * (w / 2.0), up * (h / 2.0));
        let size = if unit { Vec2::ONE } else { Vec2::new(w, h) };
        mesh.quad([c - a - u, c + a - u, c + a + u, c - a + u], size, style);
    };
    panel(mesh, centre + out * 0.05, wide, high, s.glass, true);
    let sill_at = centre - up * (high / 2.0 + 0.06) + out * 0.1;
    panel(mesh, sill_at, wide + 0.3, 0.14, s.trim, false);
    if let Some(style) = shutters {
        for side in [-1.0_f32, 1.0] {
            panel(
                mesh,
                centre + along * (side * (wide * 0.5 + wide * 0.23)) + out * 0.06,
                wide * 0.42,
                high * 1.04,
                style,
                false,
            );
        }
    }
}

fn chimney(mesh: &mut Mesh, frame: &Frame, x: f32, z: f32, from: f32, to: f32, style: Style) {
    mesh.cuboid(frame, Vec3::new(x - 0.38, from, z - 0.38), Vec3::new(x + 0.38, to, z + 0.38), style);
    mesh.cuboid(frame, Vec3::new(x - 0.48, to, z - 0.48), Vec3::new(x + 0.48, to + 0.16, z + 0.48), style.tone(0.75));
}

/// Adds a house. Returns where light falls out of its front, a metre before the door.
pub fn house(mesh: &mut Mesh, house: &House, object: u16, draw: Draw) -> Vec3 {
    let frame = Frame::new(house.at, house.yaw);
    let Vec3 { x: wide, y: deep, z: high } = house.size;
    let wall = Style::new(Part::Wall, house.wall_texture, house.wall, object);
    let styles = Styles {
        roof: Style::new(Part::Roof, house.roof_texture, house.roof, object).tone(draw.range("roof.tone", 0.94, 1.06)),
        wall,
        door: Style::new(Part::Door, Texture::Door, house.door, object),
        glass: Style::new(Part::Window, Texture::Glass, hex(0xEE_EA_E0), object).fixed(Texture::Glass, hex(0xEE_EA_E0)),
        trim: wall.fixed(Texture::Plain, if house.kind == HouseKind::Barn { hex(0xE8_E2_D6) } else { hex(0xD8_D0_C2) }),
        stone: wall.fixed(Texture::Stone, hex(0x8C_88_80)),
        chimney: Style::new(Part::Chimney, Texture::Stone, hex(0x8E_5A_48), object),
    };
    let rise = match house.kind {
        HouseKind::Church => deep.min(wide) * 0.62,
        HouseKind::Barn => wide * 0.42,
        _ => deep.min(wide) * draw.range("pitch", 0.36, 0.48),
    };
    let along_x = match house.kind {
        HouseKind::Church | HouseKind::Barn => false,
        HouseKind::Cottage => !draw.chance("gable", 0.25),
        HouseKind::Tall => draw.chance("gable", 0.5),
    };
    body(mesh, &frame, wide, deep, high, rise, along_x, &styles);
    let (w, d) = (wide / 2.0, deep / 2.0);
    let front = frame.turn(Vec3::NEG_Z);
    let along = frame.turn(Vec3::X);
    let door_size = match house.kind {
        HouseKind::Barn => Vec2::new(3.0, 3.2),
        HouseKind::Church => Vec2::new(1.7, 2.8),
        _ => Vec2::new(1.25, 2.25),
    };
    let storeys = ((high / 2.8).floor() as usize).max(1);
    let door_x = match house.kind {
        HouseKind::Barn | HouseKind::Church => 0.0,
        _ => w * draw.range("door.x", -0.35, 0.35),
    };
    // door and its step
    let c = frame.at(door_x, 0.3, -d) + front * 0.06;
    let a = along * (door_size.x / 2.0);
    let quad = [c - a, c + a, c + a + Vec3::Y * door_size.y, c - a + Vec3::Y * door_size.y];
    mesh.quad(quad, Vec2::ONE, styles.door);
    mesh.cuboid(
        &frame,
        Vec3::new(door_x - door_size.x * 0.7, -0.8, -d - 0.9),
        Vec3::new(door_x + door_size.x * 0.7, 0.28, -d),
        styles.stone.tone(1.15),
    );
    let shutters = (house.kind == HouseKind::Cottage && draw.chance("shutters", 0.55))
        .then(|| wall.fixed(Texture::Planks, house.door * 0.9));
    // windows on all four walls
    let (pane_w, pane_h) = match house.kind {
        HouseKind::Church => (0.9, 2.6),
        HouseKind::Barn => (0.9, 0.9),
        _ => (1.15, 1.4),
    };
    for storey in 0..storeys {
        let y = match house.kind {
            HouseKind::Church => high * 0.52,
            HouseKind::Barn => high - 0.9,
            _ => 1.75 + 2.75 * storey as f32,
        };
        for (wall_index, (length, origin, dir, out)) in [
            (wide, Vec3::new(0.0, 0.0, -d), Vec3::X, Vec3::NEG_Z),
            (deep, Vec3::new(w, 0.0, 0.0), Vec3::Z, Vec3::X),
            (wide, Vec3::new(0.0, 0.0, d), Vec3::NEG_X, Vec3::Z),
            (deep, Vec3::new(-w, 0.0, 0.0), Vec3::NEG_Z, Vec3::NEG_X),
        ]
        .into_iter()
        .enumerate()
        {
            let count = ((length - 0.8) / 2.7).floor().max(1.0) as usize;
            for i in 0..count {
                let x = length * ((i as f32 + 0.5) / count as f32 - 0.5);
                if wall_index == 0 && storey == 0 && (x - door_x).abs() < door_size.x * 0.5 + pane_w * 1.05 {
                    continue;
                }
                if wall_index == 0 && house.kind == HouseKind::Barn && y - pane_h < door_size.y && x.abs() < 2.4 {
                    continue;
                }
                let local = origin + dir * x + Vec3::Y * y;
                let centre = frame.at(local.x, local.y, local.z);
                window(
                    mesh,
                    centre,
                    frame.turn(dir),
                    frame.turn(out),
                    pane_w,
                    pane_h,
                    &styles,
                    shutters.filter(|_| wall_index == 0),
                );
            }
        }
    }
    // a window in each gable that has room
    let gable_room = if along_x { deep } else { wide };
    if gable_room > 5.0 && house.kind != HouseKind::Church {
        let y = high + rise * 0.30;
        let ends: [(Vec3, Vec3, Vec3); 2] = if along_x {
            [(Vec3::new(w, y, 0.0), Vec3::Z, Vec3::X), (Vec3::new(-w, y, 0.0), Vec3::NEG_Z, Vec3::NEG_X)]
        } else {
            [(Vec3::new(0.0, y, -d), Vec3::X, Vec3::NEG_Z), (Vec3::new(0.0, y, d), Vec3::NEG_X, Vec3::Z)]
        };
        for (local, dir, out) in ends {
            let centre = frame.at(local.x, local.y, local.z);
            window(mesh, centre, frame.turn(dir), frame.turn(out), 0.95, 1.05, &styles, None);
        }
    }
    match house.kind {
        HouseKind::Cottage | HouseKind::Tall => {
            let side = if draw.chance("chimney.side", 0.5) { 0.55 } else { -0.55 };
            let (x, z) = if along_x { (w * side, 0.5) } else { (0.5, d * side) };
            chimney(
                mesh,
                &frame,
                x,
                z,
                high + rise * 0.5,
                high + rise + draw.range("chimney.height", 0.7, 1.1),
                styles.chimney,
            );
        }
        HouseKind::Church => {
            let t = wide * 0.30;
            let tower = Frame::new(frame.at(0.0, 0.0, d + t * 0.6), house.yaw);
            let top = high * 1.75;
            tower_block(mesh, &tower, t, top, &styles);
        }
        HouseKind::Barn => {}
    }
    frame.at(door_x, 1.9, -d - 1.4)
}

/// A square tower with a pointed roof.
fn tower_block(mesh: &mut Mesh, frame: &Frame, t: f32, top: f32, s: &Styles) {
    mesh.cuboid(frame, Vec3::new(-t, -1.5, -t), Vec3::new(t, top, t), s.wall);
    let tip = frame.at(0.0, top + t * 3.4, 0.0);
    let r = t * 1.18;
    let c = [(-r, -r), (r, -r), (r, r), (-r, r)].map(|(x, z)| frame.at(x, top - 0.1, z));
    for i in 0..4 {
        let (a, b) = (c[i], c[(i + 1) % 4]);
        mesh.triangle([a, b, tip], [Vec2::ZERO, Vec2::new(2.0 * r, 0.0), Vec2::new(r, t * 3.5)], s.roof);
        mesh.triangle([b, a, frame.at(0.0, top - 0.1, 0.0)], [Vec2::ZERO, Vec2::X, Vec2::Y], s.trim.tone(0.7));
    }
    for (dir, out) in [(Vec3::X, Vec3::NEG_Z), (Vec3::Z, Vec3::X), (Vec3::NEG_Z, Vec3::NEG_X)] {
        let local = out * t + Vec3::Y * (top - 1.7);
        let centre = frame.at(local.x, local.y, local.z);
        window(mesh, centre, frame.turn(dir), frame.turn(out), 0.8, 1.5, s, None);
    }
}
