// Projection: one invocation a Gaussian finds its ellipse in the picture, its depth key and its channels.
// The steps are those of src/splats/projection.rs; what no pixel keeps has the key CULLED_KEY.

struct Chunk {
    first: u32,
    count: u32,
}

@group(0) @binding(0) var<uniform> view: View;
@group(0) @binding(1) var<uniform> chunk: Chunk;
// Centre and opacity; rotation w, x, y, z; standard deviations.
@group(0) @binding(2) var<storage, read> geometry: array<vec4f>;
@group(0) @binding(3) var<storage, read> harmonics: array<f32>;
// One bit a Gaussian of the whole scene.
@group(0) @binding(4) var<storage, read> visible: array<u32>;
@group(0) @binding(5) var<storage, read_write> records: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> channels: array<f32>;
// Of the whole scene: what sorts from the farthest to the nearest.
@group(0) @binding(7) var<storage, read_write> keys: array<u32>;
// One bit a Gaussian of the whole scene: those that are tinted.
@group(0) @binding(8) var<storage, read> selected: array<u32>;

const LOW_PASS: f32 = 0.3;
const EXTENT_MAX: f32 = 3.33;
const COMPENSATION_MIN: f32 = 0.000025;
const LARGEST: f32 = 3.0e38;

const C0: f32 = 0.28209479;
const C1: f32 = 0.48860252;

fn coefficient(base: u32, at: u32) -> vec3f {
    let i = base + 3u * at;
    return vec3f(harmonics[i], harmonics[i + 1u], harmonics[i + 2u]);
}

fn colour(index: u32, d: vec3f) -> vec3f {
    let base = index * 3u * view.coefficients;
    var sum = 0.5 + C0 * coefficient(base, 0u);
    if view.degree >= 1u {
        sum += C1 * (d.z * coefficient(base, 2u) - d.y * coefficient(base, 1u) - d.x * coefficient(base, 3u));
    }
    if view.degree >= 2u {
        let q = d * d;
        sum += 1.0925484 * d.x * d.y * coefficient(base, 4u) - 1.0925484 * d.y * d.z * coefficient(base, 5u)
            + 0.31539157 * (2.0 * q.z - q.x - q.y) * coefficient(base, 6u)
            - 1.0925484 * d.x * d.z * coefficient(base, 7u) + 0.5462742 * (q.x - q.y) * coefficient(base, 8u);
        if view.degree >= 3u {
            sum += -0.5900436 * d.y * (3.0 * q.x - q.y) * coefficient(base, 9u)
                + 2.8906114 * d.x * d.y * d.z * coefficient(base, 10u)
                - 0.45704580 * d.y * (4.0 * q.z - q.x - q.y) * coefficient(base, 11u)
                + 0.37317634 * d.z * (2.0 * q.z - 3.0 * q.x - 3.0 * q.y) * coefficient(base, 12u)
                - 0.45704580 * d.x * (4.0 * q.z - q.x - q.y) * coefficient(base, 13u)
                + 1.4453057 * d.z * (q.x - q.y) * coefficient(base, 14u)
                - 0.5900436 * d.x * (q.x - 3.0 * q.y) * coefficient(base, 15u);
        }
    }
    return max(sum, vec3f(0.0));
}

fn put(at: u32, value: vec3f) {
    channels[at] = value.x;
    channels[at + 1u] = value.y;
    channels[at + 2u] = value.z;
}

@compute @workgroup_size(256)
fn project(@builtin(global_invocation_id) id: vec3u) {
    let index = id.x;
    if index >= chunk.count { return; }
    let global = chunk.first + index;
    keys[global] = CULLED_KEY;
    if (visible[global / 32u] >> (global % 32u) & 1u) == 0u { return; }

    let at = geometry[3u * index];
    let away = (at.xyz - view.eye.xyz) - view.eye_rest.xyz;
    let rows = array<vec3f, 3>(view.rotation[0].xyz, view.rotation[1].xyz, view.rotation[2].xyz);
    let seen = vec3f(dot(rows[0], away), dot(rows[1], away), dot(rows[2], away));
    if !(seen.z > view.depths.x && seen.z < view.depths.y) { return; }
    var opacity = select(at.w, view.solid, view.solid > 0.0);
    if opacity < ALPHA_MIN { return; }

    // The Gaussian's axes in the world, as long as its standard deviations: columns of R diag(s).
    let q = geometry[3u * index + 1u];
    let scale = view.spread * geometry[3u * index + 2u].xyz;
    let w = q.x; let x = q.y; let y = q.z; let z = q.w;
    let turn_x = vec3f(1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y + w * z), 2.0 * (x * z - w * y));
    let turn_y = vec3f(2.0 * (x * y - w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z + w * x));
    let turn_z = vec3f(2.0 * (x * z + w * y), 2.0 * (y * z - w * x), 1.0 - 2.0 * (x * x + y * y));

    // V = J W R diag(s); the Jacobian's point is clamped to a little more than the picture.
    let per = view.focal / seen.z;
    let across = vec2f(
        clamp(seen.x / seen.z, view.limits.x, view.limits.y),
        clamp(seen.y / seen.z, view.limits.z, view.limits.w),
    );
    let row_u = per.x * rows[0] - per.x * across.x * rows[2];
    let row_v = per.y * rows[1] - per.y * across.y * rows[2];
    let u = vec3f(dot(row_u, turn_x), dot(row_u, turn_y), dot(row_u, turn_z)) * scale;
    let v = vec3f(dot(row_v, turn_x), dot(row_v, turn_y), dot(row_v, turn_z)) * scale;
    var xx = dot(u, u);
    let xy = dot(u, v);
    var yy = dot(v, v);
    // A sum of squares, so that thin Gaussians do not cancel.
    let area = cross(u, v);
    let sharp = dot(area, area);
    let determinant = sharp + LOW_PASS * (xx + yy) + LOW_PASS * LOW_PASS;
    if !(determinant > 0.0 && determinant < LARGEST) { return; }
    if view.antialiased == 1u { opacity *= sqrt(max(sharp / determinant, COMPENSATION_MIN)); }
    if opacity < ALPHA_MIN { return; }
    xx += LOW_PASS;
    yy += LOW_PASS;

    let centre = view.focal * seen.xy / seen.z + view.principal;
    let reach = min(EXTENT_MAX, sqrt(2.0 * log(opacity / ALPHA_MIN)));
    let extent = reach * vec2f(sqrt(xx), sqrt(yy));
    if any(centre + extent <= vec2f(0.0)) || any(centre - extent >= view.size) { return; }

    let first = sqrt(yy / determinant);
    let second = -xy / (determinant * first);
    // Axes of the ellipse; of a circle any will do.
    let half_difference = 0.5 * (xx - yy);
    let radius = length(vec2f(half_difference, xy));
    let longer = 0.5 * (xx + yy) + radius;
    var axis = vec2f(1.0, 0.0);
    if radius > 1e-12 * longer {
        if half_difference >= 0.0 { axis = normalize(vec2f(half_difference + radius, xy)); }
        else { axis = normalize(vec2f(xy, radius - half_difference)); }
    }
    keys[global] = ~bitcast<u32>(seen.z);
    records[RECORD * index] = vec4f(centre, first, second);
    records[RECORD * index + 1u] = vec4f(1.0 / sqrt(yy), opacity, reach * sqrt(longer) * axis);
    records[RECORD * index + 2u] = vec4f(reach * sqrt(determinant / longer), extent, 0.0);

    let base = index * view.stride;
    if view.colour_at != NOT_WANTED {
        let far = length(away);
        put(base + view.colour_at, colour(index, select(vec3f(0.0), away / far, far > 0.0)));
    }
    if view.depth_at != NOT_WANTED { 
        let tinted = f32(selected[global / 32u] >> (global % 32u) & 1u);
        put(base + view.depth_at, vec3f(seen.z * view.depth_scale, tinted, 0.0));
    }
    if view.normal_at != NOT_WANTED {
        var shortest = turn_x;
        var least = scale.x;
        if scale.y < least { shortest = turn_y; least = scale.y; }
        if scale.z < least { shortest = turn_z; }
        let turned = vec3f(dot(rows[0], shortest), dot(rows[1], shortest), dot(rows[2], shortest));
        put(base + view.normal_at, select(turned, -turned, dot(turned, seen) > 0.0));
    }
}
