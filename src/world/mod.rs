//! The synthetic world: scenes with ground truth, for training, tests and demonstration.
