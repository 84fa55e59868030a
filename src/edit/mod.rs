//! The Edit lens' method, SANE: caption, specify, condition, denoise with per-element guidance, contributions.
