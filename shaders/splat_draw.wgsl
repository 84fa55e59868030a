// Draws one window of sorted Gaussians as quads, the farthest first, blended premultiplied into targets of three channels
// and alpha each. A line that ends in EACH is there once for each target, its number in the place of #.

struct Instance {
    @location(#) channels_#: vec3f, // EACH
    @location(8) place: vec4f,
    @location(9) shape: vec4f,
    @location(10) bounds: vec4f,
}

struct Quad {
    @builtin(position) position: vec4f,
    @location(#) @interpolate(flat) channels_#: vec3f, // EACH
    @location(8) @interpolate(flat) place: vec4f,
    @location(9) @interpolate(flat) shape: vec2f,
}

struct Targets {
    @location(#) target_#: vec4f, // EACH
}

@group(0) @binding(0) var<uniform> view: View;

@vertex
fn quad(@builtin(vertex_index) corner: u32, instance: Instance) -> Quad {
    let sign = vec2f(f32(corner & 1u), f32(corner >> 1u)) * 2.0 - 1.0;
    let centre = instance.place.xy;
    let longer = instance.shape.zw;
    let half = length(longer);
    // Any quad that covers the ellipse will do, since the pixels know their distance themselves: an enormous ellipse has
    // the part of its box that lies in the picture.
    let low = max(centre - instance.bounds.yz, vec2f(0.0));
    let high = min(centre + instance.bounds.yz, view.size);
    var at = select(low, high, sign > vec2f(0.0));
    let side = high - low;
    if half > 0.0 && 4.0 * half * instance.bounds.x < side.x * side.y && half < 8192.0 {
        at = centre + sign.x * longer + sign.y * instance.bounds.x * vec2f(-longer.y, longer.x) / half;
    }
    let clip = at / view.size * vec2f(2.0, -2.0) + vec2f(-1.0, 1.0);
    var out: Quad;
    out.position = vec4f(clip, 0.0, 1.0);
    out.channels_# = instance.channels_#; // EACH
    out.place = instance.place;
    out.shape = instance.shape.xy;
    return out;
}

// The share of the pixel that the Gaussian takes.
fn alpha_of(in: Quad) -> f32 {
    let d = in.position.xy - in.place.xy;
    let u = in.place.z * d.x + in.place.w * d.y;
    let v = in.shape.x * d.y;
    return min(ALPHA_MAX, in.shape.y * exp(-0.5 * (u * u + v * v)));
}

@fragment
fn blend(in: Quad) -> Targets {
    let alpha = alpha_of(in);
    if alpha < ALPHA_MIN { discard; }
    var out: Targets;
    out.target_# = vec4f(in.channels_# * alpha, alpha); // EACH
    return out;
}

// For adding up how many Gaussians a pixel has.
@fragment
fn count(in: Quad) -> @location(0) vec4f {
    if alpha_of(in) < ALPHA_MIN { discard; }
    return vec4f(1.0, 0.0, 0.0, 0.0);
}
