// What the projection writes and the sort reads: the key of a Gaussian that no pixel keeps. Others are the bits of its
// depth, inverted, so that keys that ascend go from the farthest to the nearest.
const CULLED_KEY: u32 = 0xffffffffu;
