//! One inference thread, a queue, progress, cancellation, the models that are loaded now.
