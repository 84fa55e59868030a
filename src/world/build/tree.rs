//! Trees: round ones that shed their leaves, tall poplars, birches and conifers; rocks share their lumps.

use std::f32::consts::TAU;

use glam::{Vec2, Vec3};

use super::{Layer, Mesh, Style, Texture};
use crate::world::look::Part;
use crate::world::noise::unit2;
use crate::world::palette::hex;
use crate::world::rng::Draw;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TreeKind {
    Round,
    Poplar,
    Birch,
    Conifer,
    Bush,
}

/// A tree to build: where, what, how high (metres).
#[derive(Clone, Copy, Debug)]
pub struct Tree {
    pub at: Vec3,
    pub kind: TreeKind,
    pub height: f32,
    pub colour: Vec3,
    /// 0 coarse (far away) … 2 fine (close)
    pub detail: u8,
}

/// Corners and faces of a sphere made from an icosahedron, subdivided once when `fine`.
fn ball(fine: bool) -> (Vec<Vec3>, Vec<[usize; 3]>) {
    let t = (1.0 + 5.0_f32.sqrt()) / 2.0;
    let mut corners: Vec<Vec3> = [
        (-1.0, t, 0.0),
        (1.0, t, 0.0),
        (-1.0, -t, 0.0),
        (1.0, -t, 0.0),
        (0.0, -1.0, t),
        (0.0, 1.0, t),
        (0.0, -1.0, -t),
        (0.0, 1.0, -t),
        (t, 0.0, -1.0),
        (t, 0.0, 1.0),
        (-t, 0.0, -1.0),
        (-t, 0.0, 1.0),
    ]
    .iter()
    .map(|(x, y, z)| Vec3::new(*x, *y, *z).normalize())
    .collect();
    let faces = vec![
        [0, 11, 5],
        [0, 5, 1],
        [0, 1, 7],
        [0, 7, 10],
        [0, 10, 11],
        [1, 5, 9],
        [5, 11, 4],
        [11, 10, 2],
        [10, 7, 6],
        [7, 1, 8],
        [3, 9, 4],
        [3, 4, 2],
        [3, 2, 6],
        [3, 6, 8],
        [3, 8, 9],
        [4, 9, 5],
        [2, 4, 11],
        [6, 2, 10],
        [8, 6, 7],
        [9, 8, 1],
    ];
    if !fine {
        return (corners, faces);
    }
    let mut known = std::collections::BTreeMap::new();
    let mut middle = |a: usize, b: usize, corners: &mut Vec<Vec3>| {
        *known.entry((a.min(b), a.max(b))).or_insert_with(|| {
            corners.push(((corners[a] + corners[b]) * 0.5).normalize());
            corners.len() - 1
        })
    };
    let mut finer = Vec::with_capacity(80);
    for [a, b, c] in faces {
        let (ab, bc, ca) = (middle(a, b, &mut corners), middle(b, c, &mut corners), middle(c, a, &mut corners));
        finer.extend([[a, ab, ca], [b, bc, ab], [c, ca, bc], [ab, bc, ca]]);
    }
    (corners, finer)
}

/// A lumpy ellipsoid. `round` blends the facets' normals towards those of the ellipsoid.
#[allow(clippy::too_many_arguments)]
fn lump(mesh: &mut Mesh, centre: Vec3, radii: Vec3, rough: f32, round: f32, fine: bool, style: Style, draw: Draw) {
    let (corners, faces) = ball(fine);
    let seed = draw.bits("shape") as u32;
    let spin = draw.range("spin", 0.0, TAU);
    let (sin, cos) = spin.sin_cos();
    let place: Vec<(Vec3, Vec3)> = corners
        .iter()
        .enumerate()
        .map(|(i, c)| {
            let turned = Vec3::new(c.x * cos + c.z * sin, c.y, c.z * cos - c.x * sin);
            let push = 1.0 + rough * (2.0 * unit2(i as i32, 7, seed) - 1.0);
            (centre + turned * radii * push, (turned / radii).normalize())
        })
        .collect();
    for (index, [a, b, c]) in faces.into_iter().enumerate() {
        let p = [place[a].0, place[b].0, place[c].0];
        let flat = (p[1] - p[0]).cross(p[2] - p[0]).normalize_or_zero();
        let n = [a, b, c].map(|i| (flat * (1.0 - round) + place[i].1 * round).normalize_or_zero());
        let tone = style.tone * (0.93 + 0.14 * unit2(index as i32, 3, seed));
        let uv = p.map(|q| Vec2::new(q.x + q.z * 0.7, q.y));
        mesh.smooth(p, n, uv, style.tone(tone));
    }
}

/// Twigs of a tree without leaves.
#[allow(clippy::too_many_arguments, reason = "a small shape needs all of them")]
fn branch(mesh: &mut Mesh, from: Vec3, direction: Vec3, length: f32, radius: f32, depth: u8, style: Style, draw: Draw) {
    let to = from + direction * length;
    mesh.tube(from, to, radius, radius * 0.55, if depth > 1 { 5 } else { 3 }, style);
    if depth == 0 {
        return;
    }
    let count = 3 + draw.index("count", 2);
    for i in 0..count {
        let d = draw.at(i);
        let along = if i == 0 { 1.0 } else { d.range("along", 0.45, 0.95) };
        let turn = TAU * (i as f32 / count as f32 + d.range("turn", 0.0, 0.25));
        let side = direction.any_orthonormal_vector();
        let other = direction.cross(side);
        let spread = d.range("spread", 0.45, 0.85);
        let way = (direction + (side * turn.cos() + other * turn.sin()) * spread + Vec3::Y * 0.15).normalize();
        branch(
            mesh,
            from + direction * length * along,
            way,
            length * d.range("length", 0.55, 0.75),
            radius * 0.5,
            depth - 1,
            style,
            d,
        );
    }
}

/// Adds a tree.
pub fn tree(mesh: &mut Mesh, tree: &Tree, object: u16, draw: Draw) {
    let Tree { at, kind, height, colour, detail } = *tree;
    let bark = match kind {
        TreeKind::Birch => hex(0xD8_D2_C6),
        _ => hex(0x5E_46_34) * draw.range("bark", 0.75, 1.15),
    };
    let trunk = Style::new(Part::Trunk, Texture::Bark, bark, object);
    let tone = draw.range("tone", 0.88, 1.12);
    let leaves = Style::new(Part::Leaves, Texture::Foliage, colour, object).layer(Layer::Leafy).tone(tone);
    let root = at - Vec3::Y * 0.4;
    match kind {
        TreeKind::Conifer => {
            let needles = Style::new(Part::Leaves, Texture::Conifer, colour, object).tone(tone);
            let bare = height * draw.range("bare", 0.1, 0.18);
            let width = height * draw.range("width", 0.17, 0.24);
            mesh.tube(root, at + Vec3::Y * (bare + height * 0.2), height * 0.03, height * 0.02, 6, trunk);
            let tiers = if detail == 0 { 3 } else { 4 + draw.index("tiers", 2) };
            let sides = if detail == 0 { 6 } else { 10 };
            let spin = draw.range("spin", 0.0, TAU);
            for tier in 0..tiers {
                let f = tier as f32 / tiers as f32;
                let bottom = bare + (height - bare) * f * 0.86;
                let top = (bottom + (height - bare) * (1.35 / tiers as f32 + 0.10)).min(height);
                let radius = width * (1.0 - f * 0.78);
                let tip = at + Vec3::new(0.0, if tier + 1 == tiers { height } else { top }, 0.0);
                for i in 0..sides {
                    let corner = |k: usize| {
                        let a = spin + tier as f32 * 0.7 + TAU * k as f32 / sides as f32;
                        let jag = if k.is_multiple_of(2) { 1.0 } else { 0.80 };
                        let drop = if k.is_multiple_of(2) { -0.06 * height / tiers as f32 } else { 0.0 };
                        at + Vec3::new(a.cos() * radius * jag, bottom + drop, a.sin() * radius * jag)
                    };
                    let (a, b) = (corner(i % sides), corner((i + 1) % sides));
                    let shade =
                        needles.tone(tone * (0.9 + 0.2 * unit2(i as i32, tier as i32, draw.bits("face") as u32)));
                    mesh.triangle([a, tip, b], [Vec2::ZERO, Vec2::new(0.5, 1.0), Vec2::X], shade);
                    let under = at + Vec3::Y * (bottom + 0.08 * height / tiers as f32);
                    mesh.triangle([a, b, under], [Vec2::ZERO, Vec2::X, Vec2::Y], shade.tone(tone * 0.6));
                }
            }
        }
        TreeKind::Bush => {
            let count = 2 + draw.index("count", 2);
            for i in 0..count {
                let d = draw.at(i);
                let r = height * d.range("r", 0.4, 0.6);
                let offset = Vec3::new(d.range("x", -0.5, 0.5) * height, r * 0.55, d.range("z", -0.4, 0.4) * height);
                lump(
                    mesh,
                    at + offset,
                    Vec3::new(r * 1.15, r * 0.9, r * 1.1),
                    0.16,
                    0.5,
                    true,
                    leaves.layer(Layer::Always),
                    d,
                );
            }
        }
        TreeKind::Round | TreeKind::Birch | TreeKind::Poplar => {
            let slim = kind == TreeKind::Poplar;
            let trunk_top = height * if slim { 0.16 } else { draw.range("trunk", 0.26, 0.34) };
            let thick = height * if kind == TreeKind::Birch { 0.022 } else { 0.036 };
            let lean = Vec3::new(draw.range("lean.x", -0.04, 0.04), 1.0, draw.range("lean.z", -0.04, 0.04)).normalize();
            let fork = at + lean * trunk_top;
            mesh.tube(
                root,
                fork + lean * height * 0.18,
                thick * 1.25,
                thick * 0.6,
                if detail == 0 { 5 } else { 8 },
                trunk,
            );
            let crown = height - trunk_top;
            if slim {
                let parts = 3;
                for i in 0..parts {
                    let f = i as f32 / parts as f32;
                    let r = height * 0.115 * (1.0 - 0.45 * f);
                    let centre = fork + Vec3::Y * crown * (0.22 + 0.62 * f);
                    lump(mesh, centre, Vec3::new(r, crown * 0.27, r), 0.13, 0.45, detail > 0, leaves, draw.at(i));
                }
            } else {
                let base = crown * if kind == TreeKind::Birch { 0.34 } else { 0.44 };
                let centre = fork + Vec3::Y * crown * 0.48;
                lump(
                    mesh,
                    centre,
                    Vec3::new(base, base * 0.92, base),
                    0.14,
                    0.45,
                    detail > 0,
                    leaves,
                    draw.child("core"),
                );
                let count = match detail {
                    0 => 1,
                    1 => 4,
                    _ => 7,
                };
                for i in 0..count {
                    let d = draw.at(i);
                    let a = TAU * (i as f32 / count as f32 + d.range("a", 0.0, 0.2));
                    let up = d.range("up", -0.35, 0.75);
                    let flat = (1.0 - up * up).sqrt();
                    let r = base * d.range("r", 0.46, 0.66);
                    let offset = Vec3::new(a.cos() * flat, up, a.sin() * flat) * base * d.range("out", 0.62, 0.8);
                    lump(mesh, centre + offset, Vec3::new(r, r * 0.88, r), 0.15, 0.45, detail > 0, leaves, d);
                }
            }
            let twigs = trunk.layer(Layer::Bare);
            let depth = if detail == 0 { 1 } else { 2 };
            let count = if slim { 7 } else { 5 };
            for i in 0..count {
                let d = draw.child("twigs").at(i);
                let a = TAU * (i as f32 / count as f32 + d.range("a", 0.0, 0.15));
                let out = if slim { 0.25 } else { d.range("out", 0.45, 0.85) };
                let way = Vec3::new(a.cos() * out, 1.0, a.sin() * out).normalize();
                let start = at + lean * (trunk_top + height * 0.16 * i as f32 / count as f32);
                branch(mesh, start, way, crown * d.range("length", 0.38, 0.48), thick * 0.5, depth, twigs, d);
            }
            let d = draw.child("leader");
            branch(mesh, fork, lean, crown * 0.5, thick * 0.62, depth, twigs, d);
        }
    }
}

/// Adds a rock, half sunk.
pub fn rock(mesh: &mut Mesh, at: Vec3, size: f32, colour: Vec3, object: u16, draw: Draw) {
    let style = Style::new(Part::Rock, Texture::Stone, colour, object).tone(draw.range("tone", 0.85, 1.1));
    let radii =
        Vec3::new(size * draw.range("x", 0.8, 1.3), size * draw.range("y", 0.5, 0.8), size * draw.range("z", 0.8, 1.2));
    lump(mesh, at + Vec3::Y * size * 0.1, radii, 0.22, 0.1, size > 0.5, style, draw);
}
