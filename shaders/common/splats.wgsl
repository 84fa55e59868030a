// What the passes of the splat renderer share: the view, pieces of the scene, and what a projected Gaussian is.

// A camera; its numbers and names are those of src/splats/projection.rs.
struct View {
    // World to camera, row by row.
    rotation: array<vec4f, 3>,
    // Where the camera stands, as the sum of two numbers: scenes far from the origin do not tremble.
    eye: vec4f,
    eye_rest: vec4f,
    focal: vec2f,
    principal: vec2f,
    size: vec2f,
    // Near and far plane.
    depths: vec2f,
    // x/z and y/z at which the Jacobian may be taken: x from, x to, y from, y to.
    limits: vec4f,
    // Degree of the spherical harmonics, coefficients of each Gaussian, 1 for the antialiased filter.
    degree: u32,
    coefficients: u32,
    antialiased: u32,
    // Numbers of each Gaussian in `channels`, and where colour, depth and normal begin; NOT_WANTED where they do not.
    stride: u32,
    colour_at: u32,
    depth_at: u32,
    normal_at: u32,
    // Depths are multiplied by this, so that half floats hold them.
    depth_scale: f32,
    // Standard deviations are multiplied by this, and opacities are this where it is above 0: ellipsoids and centres.
    spread: f32,
    solid: f32,
}

const NOT_WANTED: u32 = 0xffffffffu;
const ALPHA_MIN: f32 = 1.0 / 255.0;
const ALPHA_MAX: f32 = 0.99;

// vec4f a projected Gaussian takes. place: centre (pixels), then the first row of M, where sigma = |M d|^2 / 2 for a
// distance d from the centre and M = (x, y; 0, z); shape: z of M, opacity, half the longer axis of its ellipse (pixels);
// bounds: half the shorter axis, half the sides of its box.
const RECORD: u32 = 3u;
