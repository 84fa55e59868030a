//! Models on disk: `models.toml`, where files are, opening, verifying and converting them. Knows nothing of networks.
