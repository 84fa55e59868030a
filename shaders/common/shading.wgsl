// Numbers that the passes after the blending share; those of src/splats/shading.rs.

// Pixels with less in them say nothing about how far the scene reaches.
const SEEN: f32 = 0.5;
// How much of a selected Gaussian is the colour of selection.
const TINT: f32 = 0.6;
// Colours of a scale.
const SCALE: u32 = 256u;
