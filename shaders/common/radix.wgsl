// What the three passes of a radix digit share. Keys ascend; equal keys keep their order.
//
// Nothing here waits for another workgroup or knows of subgroups: each digit is counted, summed and scattered by passes
// of their own. The first digit reads the keys of the whole scene from the last to the first (of two Gaussians at one
// depth the first of the scene is drawn last and so lies in front), leaves out the culled ones and thereby finds how
// many are sorted.

struct Digit {
    shift: u32,
    // 1: the first digit, over `count` keys whose values are their places.
    is_first: u32,
    count: u32,
    // Windows of so many Gaussians are drawn one after the other, and how many windows there are.
    window: u32,
    windows: u32,
}

const DIGITS: u32 = 256u;
const ROWS: u32 = 16u;
// Keys a workgroup takes.
const TILE: u32 = 4096u;
// In the state: workgroups of the next digits (x, y, z), then how many keys there are, then the windows' draw arguments.
const STATE_COUNT: u32 = 3u;
const STATE_DRAWS: u32 = 4u;
