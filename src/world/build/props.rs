//! Cars, boats, fences, lamps, signs and piers.

use glam::{Vec2, Vec3};

use super::{Frame, Mesh, Style, Texture};
use crate::world::look::Part;
use crate::world::palette::hex;
use crate::world::rng::Draw;
use crate::world::terrain::Terrain;

/// Adds a small car, about 4 m long, heading along local x.
pub fn car(mesh: &mut Mesh, at: Vec3, yaw: f32, colour: Vec3, object: u16, draw: Draw) {
    let f = Frame::new(at, yaw);
    let paint = Style::new(Part::Car, Texture::Metal, colour, object);
    let glass = paint.fixed(Texture::Metal, hex(0x2A_36_42));
    let tyre = paint.fixed(Texture::Plain, hex(0x1C_1C_1E));
    let chrome = paint.fixed(Texture::Metal, hex(0xC8_CA_CC));
    let (half, w) = (2.05, 0.88);
    let low = 0.34;
    let belt = 0.92;
    let roof = if draw.chance("van", 0.3) { 1.72 } else { 1.48 };
    let nose = draw.range("nose", 0.74, 0.86);
    // lower body: a hull with a sloping bonnet
    let side =
        [(-half, low), (half, low), (half, nose), (half - 0.95, belt), (-half + 0.3, belt), (-half, nose + 0.08)];
    for z in [-w, w] {
        let p = side.map(|(x, y)| f.at(x, y, z));
        for i in 1..5 {
            mesh.triangle([p[0], p[i], p[i + 1]], [Vec2::ZERO; 3], paint);
        }
    }
    for i in 0..6 {
        let (a, b) = (side[i], side[(i + 1) % 6]);
        mesh.quad([f.at(a.0, a.1, -w), f.at(b.0, b.1, -w), f.at(b.0, b.1, w), f.at(a.0, a.1, w)], Vec2::ONE, paint);
    }
    // cabin: glass below, painted roof
    let (c0, c1, t0, t1, iw) = (-half + 0.4, half - 1.05, -half + 0.85, half - 1.75, w - 0.16);
    let lower = [(c0, -w + 0.04), (c1, -w + 0.04), (c1, w - 0.04), (c0, w - 0.04)];
    let upper = [(t0, -iw), (t1, -iw), (t1, iw), (t0, iw)];
    for i in 0..4 {
        let j = (i + 1) % 4;
        mesh.quad(
            [
                f.at(lower[i].0, belt, lower[i].1),
                f.at(lower[j].0, belt, lower[j].1),
                f.at(upper[j].0, roof, upper[j].1),
                f.at(upper[i].0, roof, upper[i].1),
            ],
            Vec2::ONE,
            glass,
        );
    }
    mesh.cuboid(&f, Vec3::new(t0 - 0.06, roof - 0.02, -iw - 0.03), Vec3::new(t1 + 0.06, roof + 0.07, iw + 0.03), paint);
    // pillars between the side windows
    for z in [-1.0_f32, 1.0] {
        let x = (t0 + t1) / 2.0;
        let (b, t) = (z * (w - 0.03), z * (iw + 0.02));
        mesh.quad(
            [f.at(x - 0.07, belt, b), f.at(x + 0.07, belt, b), f.at(x + 0.07, roof, t), f.at(x - 0.07, roof, t)],
            Vec2::ONE,
            paint,
        );
    }
    for x in [-half + 0.72, half - 0.78] {
        for z in [-w, w] {
            let out = z.signum();
            mesh.tube(f.at(x, 0.34, z - out * 0.2), f.at(x, 0.34, z + out * 0.04), 0.35, 0.35, 12, tyre);
            disc(mesh, &f, Vec3::new(x, 0.34, z + out * 0.04), 0.35, tyre);
            disc(mesh, &f, Vec3::new(x, 0.34, z + out * 0.05), 0.19, chrome);
        }
    }
    for z in [-w + 0.22, w - 0.22] {
        mesh.cuboid(
            &f,
            Vec3::new(half - 0.02, 0.55, z - 0.15),
            Vec3::new(half + 0.03, 0.72, z + 0.15),
            paint.fixed(Texture::Plain, hex(0xFF_F4_D8)),
        );
        mesh.cuboid(
            &f,
            Vec3::new(-half - 0.03, 0.6, z - 0.15),
            Vec3::new(-half + 0.02, 0.76, z + 0.15),
            paint.fixed(Texture::Plain, hex(0xA8_20_1C)),
        );
    }
    mesh.cuboid(&f, Vec3::new(-half - 0.05, 0.34, -w), Vec3::new(-half + 0.05, 0.46, w), chrome);
    mesh.cuboid(&f, Vec3::new(half - 0.05, 0.34, -w), Vec3::new(half + 0.05, 0.46, w), chrome);
}

/// A disc across local z.
fn disc(mesh: &mut Mesh, f: &Frame, c: Vec3, r: f32, style: Style) {
    let n = 12;
    let at = |i: usize| {
        let a = std::f32::consts::TAU * i as f32 / n as f32;
        f.at(c.x + r * a.cos(), c.y + r * a.sin(), c.z)
    };
    for i in 0..n {
        mesh.triangle([f.at(c.x, c.y, c.z), at(i), at(i + 1)], [Vec2::ZERO; 3], style);
    }
}

/// Adds a boat on the water, heading along local x; with a sail when `sail`.
#[allow(clippy::too_many_arguments, reason = "a small shape needs all of them")]
pub fn boat(mesh: &mut Mesh, x: f32, z: f32, yaw: f32, length: f32, sail: bool, colour: Vec3, object: u16, draw: Draw) {
    let f = Frame::new(Vec3::new(x, 0.0, z), yaw);
    let hull = Style::new(Part::Boat, Texture::Metal, colour, object);
    let deck = hull.fixed(Texture::Planks, hex(0xB0_86_5A));
    let spar = hull.fixed(Texture::Plain, hex(0x8A_68_48));
    let half = length / 2.0;
    let beam = length * 0.17;
    // stations from stern to bow: along, half width at the rail, half width at the waterline, rail height
    let stations = [
        (-1.0, 0.72, 0.5, 0.16),
        (-0.55, 0.98, 0.74, 0.13),
        (0.0, 1.0, 0.8, 0.12),
        (0.5, 0.82, 0.55, 0.14),
        (0.82, 0.42, 0.2, 0.175),
        (1.0, 0.02, 0.0, 0.21),
    ];
    let rail = |i: usize, s: f32| {
        let (a, w, _, h) = stations[i];
        f.at(a * half * 1.04, h * length, s * w * beam)
    };
    let keel = |i: usize, s: f32| {
        let (a, _, w, _) = stations[i];
        f.at(a * half * 0.94, -0.1, s * w * beam)
    };
    for i in 0..stations.len() - 1 {
        for s in [-1.0_f32, 1.0] {
            mesh.quad([keel(i, s), keel(i + 1, s), rail(i + 1, s), rail(i, s)], Vec2::ONE, hull);
            let lift = Vec3::Y * 0.02;
            let stripe = hull.fixed(Texture::Plain, hex(0xEE_E8_DC));
            let (a, b) = (rail(i, s), rail(i + 1, s));
            let drop = Vec3::Y * length * 0.03;
            let out = f.turn(Vec3::Z) * (s * 0.015);
            mesh.quad([a - drop + out, b - drop + out, b + lift + out, a + lift + out], Vec2::ONE, stripe);
        }
        let sink = Vec3::NEG_Y * length * 0.045;
        mesh.quad(
            [rail(i, -1.0) + sink, rail(i + 1, -1.0) + sink, rail(i + 1, 1.0) + sink, rail(i, 1.0) + sink],
            Vec2::new(0.6, 0.6),
            deck,
        );
    }
    mesh.quad([keel(0, -1.0), keel(0, 1.0), rail(0, 1.0), rail(0, -1.0)], Vec2::ONE, hull);
    if sail {
        let mast = length * draw.range("mast", 1.15, 1.35);
        let foot = f.at(half * 0.12, 0.1, 0.0);
        mesh.tube(foot, foot + Vec3::Y * mast, 0.06, 0.04, 5, spar);
        let cloth =
            hull.fixed(Texture::Sail, hex(*draw.pick("sail", &[0xF6_F2_E6_u32, 0xF6_F2_E6, 0xE8_D8_B0, 0xC8_5A_44])));
        let belly = draw.range("belly", 0.06, 0.14) * length;
        let boom = f.at(-half * 0.9, length * 0.24, belly);
        let tack = f.at(half * 0.08, length * 0.22, 0.0);
        let head = foot + Vec3::Y * mast * 0.97;
        let mid = (boom + head) * 0.5 + f.turn(Vec3::new(-0.08 * length, 0.0, belly * 0.5));
        mesh.triangle([tack, boom, mid], [Vec2::ZERO; 3], cloth);
        mesh.triangle([tack, mid, head], [Vec2::ZERO; 3], cloth.tone(0.97));
        let bow = f.at(half * 0.98, length * 0.22, 0.0);
        let jib = foot + Vec3::Y * mast * 0.8;
        mesh.triangle([bow, f.at(half * 0.2, length * 0.26, belly * 0.8), jib], [Vec2::ZERO; 3], cloth.tone(0.94));
        mesh.tube(tack, boom, 0.045, 0.035, 4, spar);
    } else {
        for a in [-0.45, 0.15] {
            mesh.cuboid(
                &f,
                Vec3::new(a * half - 0.13, length * 0.105, -beam * 0.92),
                Vec3::new(a * half + 0.13, length * 0.125, beam * 0.92),
                deck.tone(0.85),
            );
        }
        if draw.chance("cabin", 0.4) {
            let h = length * 0.34;
            mesh.cuboid(
                &f,
                Vec3::new(-half * 0.5, 0.1, -beam * 0.6),
                Vec3::new(half * 0.15, h, beam * 0.6),
                hull.fixed(Texture::Planks, hex(0xEE_E8_DC)),
            );
            mesh.cuboid(
                &f,
                Vec3::new(-half * 0.58, h, -beam * 0.7),
                Vec3::new(half * 0.22, h + 0.08, beam * 0.7),
                hull,
            );
            mesh.cuboid(
                &f,
                Vec3::new(half * 0.02, h * 0.62, -beam * 0.62),
                Vec3::new(half * 0.12, h * 0.9, beam * 0.62),
                hull.fixed(Texture::Metal, hex(0x30_40_50)),
            );
        }
    }
}

/// Adds a fence along a line of ground points.
pub fn fence(mesh: &mut Mesh, line: &[Vec3], height: f32, pickets: bool, colour: Vec3, object: u16) {
    let style = Style::new(Part::Fence, Texture::Planks, colour, object);
    for pair in line.windows(2) {
        let (a, b) = (pair[0], pair[1]);
        let way = b - a;
        let length = way.length();
        if length < 0.2 {
            continue;
        }
        let flat = Vec3::new(way.x, 0.0, way.z).normalize_or_zero();
        let side = Vec3::new(-flat.z, 0.0, flat.x);
        let rails: &[f32] = if pickets { &[0.3, 0.75] } else { &[0.45, 0.85] };
        for f in rails {
            let (p, q) = (a + Vec3::Y * height * f, b + Vec3::Y * height * f);
            for (o, tone) in [(side * 0.04, 1.0), (side * -0.04, 1.0)] {
                let h = Vec3::Y * 0.06;
                mesh.quad([p + o - h, q + o - h, q + o + h, p + o + h], Vec2::new(length, 0.1), style.tone(tone));
            }
            let h = Vec3::Y * 0.06;
            mesh.quad(
                [p + side * 0.04 + h, q + side * 0.04 + h, q - side * 0.04 + h, p - side * 0.04 + h],
                Vec2::new(length, 0.1),
                style,
            );
        }
        let posts = if pickets { (length / 0.34).round().max(1.0) as usize } else { 1 };
        for i in 0..posts {
            let base = a + way * (i as f32 / posts as f32);
            let thick = if pickets { 0.05 } else { 0.09 };
            let yaw = flat.x.atan2(flat.z) - std::f32::consts::FRAC_PI_2;
            let f = Frame::new(base, yaw);
            let wide = if pickets { 0.08 } else { thick };
            mesh.cuboid(&f, Vec3::new(-wide, -0.4, -thick), Vec3::new(wide, height, thick), style.tone(0.96));
        }
    }
}

/// Adds a street lamp. Returns the place of its light.
pub fn lamp(mesh: &mut Mesh, at: Vec3, height: f32, object: u16) -> Vec3 {
    let iron = Style::new(Part::Lamp, Texture::Metal, hex(0x2C_32_34), object);
    let f = Frame::new(at, 0.4);
    mesh.tube(at - Vec3::Y * 0.3, at + Vec3::Y * 0.7, 0.13, 0.09, 8, iron);
    mesh.tube(at + Vec3::Y * 0.7, at + Vec3::Y * height, 0.065, 0.05, 6, iron);
    let (b, t) = (height, height + 0.62);
    let glass = iron.fixed(Texture::LampGlass, hex(0xE8_E4_D8));
    for (x0, z0, x1, z1) in
        [(-1.0, -1.0, 1.0, -1.0), (1.0, -1.0, 1.0, 1.0), (1.0, 1.0, -1.0, 1.0), (-1.0, 1.0, -1.0, -1.0_f32)]
    {
        let (lo, hi) = (0.15, 0.25);
        mesh.quad(
            [
                f.at(x0 * lo, b, z0 * lo),
                f.at(x1 * lo, b, z1 * lo),
                f.at(x1 * hi, t, z1 * hi),
                f.at(x0 * hi, t, z0 * hi),
            ],
            Vec2::ONE,
            glass,
        );
    }
    mesh.cuboid(&f, Vec3::new(-0.17, b - 0.06, -0.17), Vec3::new(0.17, b, 0.17), iron);
    let tip = f.at(0.0, t + 0.34, 0.0);
    let c = [(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0_f32)].map(|(x, z)| f.at(x * 0.32, t, z * 0.32));
    for i in 0..4 {
        mesh.triangle([c[i], c[(i + 1) % 4], tip], [Vec2::ZERO; 3], iron);
    }
    at + Vec3::Y * (height + 0.3)
}

/// Adds a sign board on two posts; `word` is an index into the scene's words.
#[allow(clippy::too_many_arguments, reason = "a small shape needs all of them")]
pub fn sign(mesh: &mut Mesh, at: Vec3, yaw: f32, size: Vec2, post: f32, colour: Vec3, word: u16, object: u16) {
    let f = Frame::new(at, yaw);
    let wood = Style::new(Part::Sign, Texture::Planks, hex(0x6E_50_36), object).fixed(Texture::Planks, hex(0x6E_50_36));
    let (w, h) = (size.x / 2.0, size.y);
    for x in [-w * 0.8, w * 0.8] {
        mesh.cuboid(&f, Vec3::new(x - 0.07, -0.5, 0.04), Vec3::new(x + 0.07, post + h + 0.12, 0.18), wood);
    }
    mesh.cuboid(
        &f,
        Vec3::new(-w - 0.06, post - 0.06, -0.02),
        Vec3::new(w + 0.06, post + h + 0.06, 0.05),
        wood.tone(0.8),
    );
    let board = Style::new(Part::Sign, Texture::Board(word), colour, object);
    let z = -0.045;
    mesh.quad([f.at(-w, post, z), f.at(w, post, z), f.at(w, post + h, z), f.at(-w, post + h, z)], Vec2::ONE, board);
}

/// Adds a pier of planks from the shore out over the water.
pub fn pier(mesh: &mut Mesh, from: Vec3, way: Vec3, length: f32, object: u16, terrain: &Terrain) {
    let yaw = (-way.z).atan2(way.x);
    let f = Frame::new(Vec3::new(from.x, 0.0, from.z), yaw);
    let wood =
        Style::new(Part::Fence, Texture::Planks, hex(0x8E_72_54), object).fixed(Texture::Planks, hex(0x8E_72_54));
    mesh.cuboid(&f, Vec3::new(-1.0, 0.42, -0.8), Vec3::new(length, 0.54, 0.8), wood);
    let posts = (length / 2.2) as usize;
    for i in 0..=posts {
        for z in [-0.75, 0.75] {
            let x = 0.3 + i as f32 * 2.2;
            let p = f.at(x, 0.0, z);
            let foot = terrain.height(p.x, p.z).min(0.0) - 0.4;
            mesh.cuboid(&f, Vec3::new(x - 0.09, foot, z - 0.09), Vec3::new(x + 0.09, 0.95, z + 0.09), wood.tone(0.85));
        }
    }
}
