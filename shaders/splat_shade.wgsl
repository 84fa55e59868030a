// From blended maps to the picture that the window shows: the mode's colours, their share over the scene's own, what is
// selected, and the background. The steps are those of src/splats/shading.rs.

struct Look {
    mode: u32,
    share: f32,
    // 1: there is a background.
    has_background: u32,
    // Depths in the map are multiplied by this.
    depth_scale: f32,
    background: vec4f,
    tint: vec4f,
    // Ends of the three components; in low.w the length of the query.
    low: vec4f,
    high: vec4f,
}

const COLOUR: u32 = 0u;
const DEPTH: u32 = 1u;
const NORMALS: u32 = 2u;
const OPACITY: u32 = 3u;
const COUNT: u32 = 4u;
const COMPONENTS: u32 = 5u;
const CLUSTERS: u32 = 6u;
const COSINE: u32 = 7u;
const SIMILARITY: u32 = 8u;

@group(0) @binding(0) var<uniform> look: Look;
// The scale's colours, then the clusters'.
@group(0) @binding(1) var<uniform> colours: array<vec4f, 320>;
// Bits of the smallest and the largest number.
@group(0) @binding(2) var<storage, read> range: array<u32, 2>;
@group(0) @binding(3) var colour_map: texture_2d<f32>;
// Depth, what is selected, and alpha.
@group(0) @binding(4) var depth_map: texture_2d<f32>;
@group(0) @binding(5) var normal_map: texture_2d<f32>;
@group(0) @binding(6) var folded: texture_2d<f32>;
@group(0) @binding(7) var count_map: texture_2d<f32>;

struct Shaded {
    @location(0) picture: vec4f,
    // The expected depth, 0 where nothing is seen.
    @location(1) depth: vec4f,
}

fn on_scale(value: f32) -> vec3f {
    return colours[u32(clamp(value, 0.0, 1.0) * f32(SCALE - 1u) + 0.5)].xyz;
}

// How far a number lies between the ends of what is seen.
fn from_low(value: f32) -> f32 {
    if range[0] > range[1] { return 0.0; }
    let low = bitcast<f32>(range[0]);
    let high = bitcast<f32>(range[1]);
    return (value - low) / select(1.0, high - low, high > low);
}

@vertex
fn whole(@builtin(vertex_index) corner: u32) -> @builtin(position) vec4f {
    return vec4f(f32(corner & 1u) * 4.0 - 1.0, f32(corner >> 1u) * 4.0 - 1.0, 0.0, 1.0);
}

@fragment
fn shade(@builtin(position) at: vec4f) -> Shaded {
    let pixel = vec2i(at.xy);
    let depth = textureLoad(depth_map, pixel, 0);
    let alpha = depth.w;
    let scaled = select(0.0, depth.x / alpha, alpha > 0.0);
    var mode = vec3f(0.0);
    var covered = alpha;
    switch look.mode {
        case DEPTH: {
            mode = on_scale(1.0 - from_low(scaled)) * alpha;
        }
        case NORMALS: {
            let n = textureLoad(normal_map, pixel, 0).xyz;
            mode = 0.5 * (alpha + vec3f(n.x, -n.y, -n.z));
        }
        case OPACITY: {
            mode = vec3f(alpha);
            covered = 1.0;
        }
        case COUNT: {
            mode = on_scale(from_low(textureLoad(count_map, pixel, 0).x));
            covered = 1.0;
        }
        case COMPONENTS: {
            let values = textureLoad(folded, pixel, 0);
            let extent = look.high.xyz - look.low.xyz;
            if values.w > 0.0 {
                let placed = (values.xyz / values.w - look.low.xyz) / select(extent, vec3f(1.0), extent == vec3f(0.0));
                mode = select(clamp(placed, vec3f(0.0), vec3f(1.0)), vec3f(0.0), extent == vec3f(0.0)) * values.w;
            }
        }
        case CLUSTERS: {
            mode = colours[SCALE + u32(textureLoad(folded, pixel, 0).y + 0.5)].xyz * alpha;
        }
        case COSINE: {
            mode = on_scale(select(0.0, textureLoad(folded, pixel, 0).x / alpha, alpha > 0.0)) * alpha;
        }
        case SIMILARITY: {
            let values = textureLoad(folded, pixel, 0);
            let lengths = sqrt(values.y) * look.low.w;
            mode = on_scale(select(0.0, values.x / lengths, lengths > 0.0)) * alpha;
        }
        default: {}
    }
    let share = select(look.share, 0.0, look.mode == COLOUR);
    var own = vec3f(0.0);
    if share < 1.0 { own = textureLoad(colour_map, pixel, 0).xyz; }
    var seen = share * mode + (1.0 - share) * own;
    let covers = share * covered + (1.0 - share) * alpha;
    if alpha > 0.0 {
        let tinted = TINT * depth.y / alpha;
        seen = seen * (1.0 - tinted) + look.tint.xyz * tinted * covers;
    }
    var out: Shaded;
    if look.has_background == 1u {
        out.picture = vec4f(seen + (1.0 - covers) * look.background.xyz, 1.0);
    } else {
        out.picture = vec4f(min(seen, vec3f(covers)), covers);
    }
    out.depth = vec4f(scaled / look.depth_scale, 0.0, 0.0, 0.0);
    return out;
}
